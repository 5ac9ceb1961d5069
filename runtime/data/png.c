/* PNG by libpng's low-level interface (the simplified one would apply gamma). Input: the bytes of a
 * file; output: pixels of 1 or 3 channels: palettes looked up, 16 bits cut to 8, alpha dropped. */
#include "runtime/data/image.h"

#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "runtime/data/exif.h"

#define MAX_PIXELS (64 << 20) /* what passes this */
#define MAX_ROWS \
    (96 << 20) /* and this, bytes of pixels before compression, takes less than two seconds */
#define SLACK (64 << 10) /* bytes that are read for one row, beyond twice the row */

struct reader {
    png_structp png;
    png_infop info;
    const uint8_t *bytes;
    size_t left, quota; /* of bytes: in the file, for this row */
    struct vrt_image *image;
    struct vrt_error *error;
    bool lacking; /* there was no memory for a part, whatever libpng made of that */
};

static png_voidp allocate(png_structp png, png_alloc_size_t size)
{
    struct reader *r = png_get_mem_ptr(png);
    void *block = malloc(size);

    r->lacking = r->lacking || block == NULL;
    return block;
}

static void release(png_structp png, png_voidp block)
{
    (void)png;
    free(block);
}

static void on_error(png_structp png, png_const_charp text)
{
    struct reader *r = png_get_error_ptr(png);

    vrt_fail(r->error, VRT_BAD_INPUT, "damaged PNG (%s); replace or remove it", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    struct reader *r = png_get_error_ptr(png);

    (void)text;
    r->image->warnings++;
}

static void on_read(png_structp png, png_bytep to, size_t size)
{
    struct reader *r = png_get_io_ptr(png);

    if (size > r->left)
        png_error(png, "truncated: the file ends before the picture does");
    if (size > r->quota) /* behind the last row the library would inflate all there is */
        png_error(png, "more data than pixels");
    memcpy(to, r->bytes, size);
    r->bytes += size;
    r->left -= size;
    r->quota -= size;
}

/* Only the chunks that make pixels are looked at, and EXIF if it is wanted: a text can be
 * compressed a thousandfold. */
static void set_limits(png_structp png, bool exif)
{
    png_set_user_limits(png, VRT_IMAGE_MAX_SIDE, VRT_IMAGE_MAX_SIDE);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    if (exif)
        png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_AS_DEFAULT, (png_const_bytep) "eXIf", 1);
}

/* Where it stands before the pixels, as it should. */
static void read_exif(struct reader *r)
{
    png_uint_32 size;
    png_bytep bytes;

    if (png_get_eXIf_1(r->png, r->info, &size, &bytes) != 0)
        r->image->orientation = vrt_exif_orientation(bytes, size);
}

static bool check_work(const struct reader *r)
{
    uint64_t width = png_get_image_width(r->png, r->info),
             height = png_get_image_height(r->png, r->info);

    if (width * height <= MAX_PIXELS && png_get_rowbytes(r->png, r->info) * height <= MAX_ROWS)
        return true;
    return vrt_fail(r->error, VRT_BAD_INPUT,
                    "decoding this PNG takes too long: %llu x %llu pixels of %d x %d bits; make it "
                    "smaller, or save it as a JPEG",
                    (unsigned long long)width, (unsigned long long)height,
                    png_get_channels(r->png, r->info), png_get_bit_depth(r->png, r->info));
}

/* Ask for 8-bit gray or RGB, whatever is stored. */
static void set_output(png_structp png, png_infop info, int channels)
{
    int type = png_get_color_type(png, info);

    png_set_strip_16(png);
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (type == PNG_COLOR_TYPE_GRAY)
        png_set_expand_gray_1_2_4_to_8(png);
    if (channels == 3 && !(type & PNG_COLOR_MASK_COLOR))
        png_set_gray_to_rgb(png);
    png_set_strip_alpha(png);
}

/* Runs below the setjmp; leaves by png_longjmp or with the result. */
static bool decode(struct reader *r, int channels)
{
    struct vrt_image *image = r->image;
    int passes, stored;
    size_t row;

    set_limits(r->png, image->exif != VRT_EXIF_IGNORE);
    png_set_read_fn(r->png, r, on_read);
    png_read_info(r->png, r->info);
    read_exif(r);
    if (!check_work(r))
        return false;
    row = png_get_rowbytes(r->png, r->info);
    set_output(r->png, r->info, channels);
    passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    stored = png_get_channels(r->png, r->info);
    if (!vrt_image_resize(image, png_get_image_width(r->png, r->info),
                          png_get_image_height(r->png, r->info), stored, r->error))
        return false;
    if (png_get_rowbytes(r->png, r->info) != (size_t)image->width * (size_t)stored ||
        (stored != 1 && stored != 3))
        return vrt_fail(r->error, VRT_BAD_INPUT,
                        "PNG with an unknown layout of pixels; convert it");
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < image->height; y++) {
            r->quota = 2 * row + SLACK;
            png_read_row(r->png,
                         image->pixels.data + (size_t)y * (size_t)image->width * (size_t)stored,
                         NULL);
        }
    return true;
}

bool vrt_png_decode(struct vrt_image *image, const uint8_t *bytes, size_t size, int channels,
                    struct vrt_error *e)
{
    struct reader r = {.bytes = bytes, .left = size, .quota = SIZE_MAX, .image = image, .error = e};
    volatile bool ok = false;

    r.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning, &r, allocate,
                                     release);
    r.info = r.png != NULL ? png_create_info_struct(r.png) : NULL;
    if (r.info == NULL)
        r.lacking = true;
    else if (setjmp(png_jmpbuf(r.png)) == 0)
        ok = decode(&r, channels);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    if (r.lacking)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to decode this PNG; use fewer --threads");
    return ok;
}
