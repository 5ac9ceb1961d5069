/* Reading and following the orientation: see exif.h.
 *
 * EXIF is a TIFF: a byte order, then a list of entries of 12 bytes (tag, type, count, value), whose
 * place the header tells. */
#include "runtime/data/exif.h"

#include <string.h>

enum { HEADER = 8, ENTRY = 12, ORIENTATION = 0x0112, SHORT = 3, LONG = 4 };

struct tiff {
    const uint8_t *bytes;
    size_t size;
    bool big; /* the byte order */
};

static uint32_t get(const struct tiff *t, size_t at, size_t n)
{
    uint32_t value = 0;

    for (size_t i = 0; i < n; i++)
        value = value << 8 | t->bytes[at + (t->big ? i : n - 1 - i)];
    return value;
}

/* The value of an entry, if it is one number. */
static int value_of(const struct tiff *t, size_t at)
{
    uint32_t type = get(t, at + 2, 2), value;

    if ((type != SHORT && type != LONG) || get(t, at + 4, 4) != 1)
        return 0;
    value = get(t, at + 8, type == SHORT ? 2 : 4);
    return value >= 1 && value <= 8 ? (int)value : 0;
}

int vrt_exif_orientation(const uint8_t *bytes, size_t size)
{
    static const char before[] = {'E', 'x', 'i', 'f', 0, 0};
    size_t skip = size >= sizeof before && memcmp(bytes, before, sizeof before) == 0 ? 6 : 0;
    struct tiff t = {bytes + skip, size - skip, false};
    size_t list, n;

    if (t.size < HEADER)
        return 0;
    t.big = memcmp(t.bytes, "MM\0*", 4) == 0;
    if (!t.big && memcmp(t.bytes, "II*\0", 4) != 0)
        return 0;
    list = get(&t, 4, 4);
    if (list > t.size - 2)
        return 0;
    n = get(&t, list, 2);
    for (size_t at = list + 2; n > 0 && t.size - at >= ENTRY; n--, at += ENTRY)
        if (get(&t, at, 2) == ORIENTATION)
            return value_of(&t, at);
    return 0;
}

/* What is seen at (x, y) of the upright picture is stored at (x, y) or, turned, at (y, x), counted
 * from the other end where it is mirrored. The file's bytes are not needed any more: they make
 * room. */
bool vrt_exif_turn(struct vrt_image *image, int orientation, struct vrt_error *e)
{
    static const struct {
        bool turned, from_right, from_bottom;
    } ways[9] = {[2] = {0, 1, 0}, [3] = {0, 1, 1}, [4] = {0, 0, 1}, [5] = {1, 0, 0},
                 [6] = {1, 0, 1}, [7] = {1, 1, 1}, [8] = {1, 1, 0}};
    ptrdiff_t width = image->width, height = image->height, channels = image->channels;
    bool turned = ways[orientation].turned;
    ptrdiff_t right = ways[orientation].from_right ? -channels : channels;
    ptrdiff_t down = ways[orientation].from_bottom ? -channels * width : channels * width;
    ptrdiff_t first =
        (right < 0 ? (width - 1) * channels : 0) + (down < 0 ? (height - 1) * width * channels : 0);
    ptrdiff_t rows = turned ? width : height, columns = turned ? height : width;
    struct vrt_buffer pixels = image->pixels;
    uint8_t *to;

    if (!vrt_buffer_reserve(&image->file, pixels.size, e))
        return false;
    to = image->file.data;
    for (ptrdiff_t y = 0; y < rows; y++)
        for (ptrdiff_t x = 0; x < columns; x++, to += channels)
            memcpy(to, pixels.data + first + (turned ? y * right + x * down : x * right + y * down),
                   (size_t)channels);
    image->file.size = pixels.size;
    image->pixels = image->file;
    image->file = pixels;
    image->width = (int)columns;
    image->height = (int)rows;
    return true;
}
