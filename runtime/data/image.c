/* From encoded bytes to pixels: choice of the decoder by content, and the colour conversions both
 * decoders share. */
#include "runtime/data/image.h"

#include "runtime/base/file.h"
#include "runtime/data/exif.h"

/* How files begin; `?` is any byte. What is not decoded is listed to be named in the message. */
static const struct magic {
    const char *name;
    const char *bytes;
    size_t size; /* at most VRT_IMAGE_HEAD */
    bool picture;
    bool (*decode)(struct vrt_image *, const uint8_t *, size_t, int, struct vrt_error *);
} magics[] = {
    {"JPEG", "\xff\xd8\xff", 3, true, vrt_jpeg_decode},
    {"PNG", "\x89PNG\r\n\x1a\n", 8, true, vrt_png_decode},
    {"a GIF", "GIF8", 4, true, NULL},
    {"a BMP", "BM????\0\0\0\0", 10, true, NULL},
    {"a TIFF", "II*\0", 4, true, NULL},
    {"a TIFF", "MM\0*", 4, true, NULL},
    {"a WebP", "RIFF????WEBP", 12, true, NULL},
    {"a HEIF", "????ftyphei", 11, true, NULL},
    {"a HEIF", "????ftyphev", 11, true, NULL},
    {"a HEIF", "????ftypmif1", 12, true, NULL},
    {"a HEIF", "????ftypmsf1", 12, true, NULL},
    {"an AVIF", "????ftypavi", 11, true, NULL},
    {"a JPEG 2000", "\0\0\0\x0cjP", 6, true, NULL},
    {"a JPEG XL", "\0\0\0\x0cJXL ", 8, true, NULL},
    {"a JPEG XL", "\xff\x0a", 2, true, NULL},
    {"a gzip", "\x1f\x8b", 2, false, NULL},
    {"a zip", "PK\3\4", 4, false, NULL},
    {"an HTML", "<", 1, false, NULL},
};

static bool begins(const struct magic *m, const uint8_t *bytes, size_t size)
{
    if (size < m->size)
        return false;
    for (size_t i = 0; i < m->size; i++)
        if (m->bytes[i] != '?' && (uint8_t)m->bytes[i] != bytes[i])
            return false;
    return true;
}

static const struct magic *find_magic(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++)
        if (begins(&magics[i], bytes, size))
            return &magics[i];
    return NULL;
}

bool vrt_image_known(const uint8_t *bytes, size_t size)
{
    const struct magic *magic = find_magic(bytes, size);

    return magic != NULL && magic->picture;
}

bool vrt_image_resize(struct vrt_image *image, int64_t width, int64_t height, int channels,
                      struct vrt_error *e)
{
    if (width < 1 || height < 1)
        return vrt_fail(e, VRT_BAD_INPUT, "the picture has no pixels");
    if (width > VRT_IMAGE_MAX_SIDE || height > VRT_IMAGE_MAX_SIDE)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "the picture is %lld x %lld pixels; the limit is %d a side",
                        (long long)width, (long long)height, VRT_IMAGE_MAX_SIDE);
    if (width * height * (channels < 3 ? 3 : channels) > 3ll * VRT_IMAGE_MAX_PIXELS)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "the picture is %lld x %lld pixels; the limit is %d in all",
                        (long long)width, (long long)height, VRT_IMAGE_MAX_PIXELS);
    if (!vrt_buffer_reserve(&image->pixels, (size_t)(width * height * channels), e))
        return false;
    image->pixels.size = (size_t)(width * height * channels);
    image->width = (int)width;
    image->height = (int)height;
    image->channels = channels;
    return true;
}

void vrt_image_free(struct vrt_image *image)
{
    vrt_buffer_free(&image->pixels);
    vrt_buffer_free(&image->file);
    *image = (struct vrt_image){0};
}

/* a b / 255, rounded, as Pillow does it. */
static int mul_255(int a, int b)
{
    int t = a * b + 128;

    return ((t >> 8) + t) >> 8;
}

/* Both run forward in place: a pixel is written no later than it is read. */
static void cmyk_to_rgb(uint8_t *pixels, size_t count)
{
    uint8_t *to = pixels;

    for (const uint8_t *from = pixels; count > 0; count--, from += 4, to += 3) {
        int light = from[3]; /* inverted: 255 - K */
        int c = 255 - from[0], m = 255 - from[1], y = 255 - from[2];
        int r = light - mul_255(c, light), g = light - mul_255(m, light),
            b = light - mul_255(y, light);
        to[0] = (uint8_t)(r < 0 ? 0 : r);
        to[1] = (uint8_t)(g < 0 ? 0 : g);
        to[2] = (uint8_t)(b < 0 ? 0 : b);
    }
}

/* ITU-R 601-2 luma, 16-bit fixed point. */
static void rgb_to_gray(uint8_t *pixels, size_t count)
{
    uint8_t *to = pixels;

    for (const uint8_t *from = pixels; count > 0; count--, from += 3)
        *to++ = (uint8_t)((from[0] * 19595u + from[1] * 38470u + from[2] * 7471u + 0x8000u) >> 16);
}

void vrt_image_reduce(struct vrt_image *image, int channels)
{
    size_t count = (size_t)image->width * (size_t)image->height;

    if (image->channels == 4) {
        cmyk_to_rgb(image->pixels.data, count);
        image->channels = 3;
    }
    if (image->channels == 3 && channels == 1) {
        rgb_to_gray(image->pixels.data, count);
        image->channels = 1;
    }
    image->pixels.size = count * (size_t)image->channels;
}

bool vrt_image_decode(struct vrt_image *image, const uint8_t *bytes, size_t size, int channels,
                      struct vrt_error *e)
{
    const struct magic *magic = find_magic(bytes, size);

    image->warnings = 0;
    image->orientation = 0;
    if (size == 0)
        return vrt_fail(e, VRT_BAD_INPUT, "the file is empty; replace or remove it");
    if (magic == NULL)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "this is neither a JPEG nor a PNG picture; replace or remove it");
    if (magic->decode == NULL)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "this looks like %s file; convert it to JPEG or PNG, or remove it",
                        magic->name);
    if (!magic->decode(image, bytes, size, channels, e))
        return false;
    image->format = magic->name;
    image->cmyk = image->channels == 4;
    vrt_image_reduce(image, channels);
    return image->exif != VRT_EXIF_TURN || image->orientation < 2 ||
           vrt_exif_turn(image, image->orientation, e);
}

bool vrt_image_read(struct vrt_image *image, const char *path, int channels, struct vrt_error *e)
{
    struct vrt_error inner;

    if (!vrt_file_read(path, VRT_IMAGE_MAX_FILE, &image->file, e))
        return false;
    if (!vrt_image_decode(image, image->file.data, image->file.size, channels, &inner))
        return vrt_fail(e, inner.code, "%s: %s", path, inner.text);
    return true;
}
