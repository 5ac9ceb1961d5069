/* The EXIF orientation: read from good and damaged texts, and followed to the pixel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jpeglib.h>
#include <png.h>

#include "runtime/data/exif.h"

enum { ROOM = 4096 };

struct bytes {
    uint8_t data[ROOM];
    size_t size;
};

static void put(struct bytes *b, bool big, uint32_t value, int n)
{
    for (int i = 0; i < n; i++)
        b->data[b->size++] = (uint8_t)(value >> 8 * (big ? n - 1 - i : i));
}

/* "Exif", a TIFF with two other entries and the orientation, which has the type 3 or 4. */
static struct bytes make_exif(bool big, bool marked, uint32_t type, uint32_t count, uint32_t value)
{
    struct bytes b = {.size = 0};

    if (marked) {
        memcpy(b.data, "Exif\0", 6);
        b.size = 6;
    }
    memcpy(b.data + b.size, big ? "MM\0*" : "II*", 4);
    b.size += 4;
    put(&b, big, 10, 4);
    put(&b, big, 0, 2); /* between header and list */
    put(&b, big, 3, 2);
    for (uint32_t i = 0; i < 3; i++) {
        put(&b, big, i < 2 ? 0x100 + i : 0x112, 2);
        put(&b, big, i < 2 ? 4 : type, 2);
        put(&b, big, i < 2 ? 1 : count, 4);
        put(&b, big, i < 2 ? 8 : value, type == 3 && i == 2 ? 2 : 4);
        put(&b, big, 0, type == 3 && i == 2 ? 2 : 0);
    }
    put(&b, big, 0, 4);
    return b;
}

/* In a block of just that size, so that a byte too much is seen by a sanitizer. */
static int read_exif(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size + (size == 0));
    int orientation;

    memcpy(copy, bytes, size);
    orientation = vrt_exif_orientation(copy, size);
    free(copy);
    return orientation;
}

static void reads_orientations(void **state)
{
    (void)state;
    for (int way = 0; way < 8; way++)
        for (uint32_t value = 0; value < 12; value++) {
            struct bytes b = make_exif(way & 1, way & 2, way & 4 ? 4 : 3, 1, value);
            int wanted = value >= 1 && value <= 8 ? (int)value : 0;
            assert_int_equal(read_exif(b.data, b.size), wanted);
        }
}

static void bears_damaged_texts(void **state)
{
    uint32_t random = 1;

    (void)state;
    for (int way = 0; way < 4; way++) {
        struct bytes b = make_exif(way & 1, way & 2, 3, 1, 6);
        size_t start = way & 2 ? 6 : 0, end = b.size - 4; /* of the list */
        for (size_t size = 0; size <= b.size; size++)
            assert_int_equal(read_exif(b.data, size), size >= end ? 6 : 0);
        for (int offset = 0; offset < 300; offset++) {
            struct bytes moved = b;
            moved.size = start + 4;
            put(&moved, way & 1, offset < 256 ? (uint32_t)offset : 0u - (uint32_t)(offset - 255),
                4);
            moved.size = b.size;
            assert_in_range(read_exif(moved.data, moved.size), 0, 8);
        }
        for (int i = 0; i < 100000; i++) {
            struct bytes wild = b;
            for (int n = 0; n < 3; n++) {
                random = random * 1664525 + 1013904223;
                wild.data[(random >> 16) % wild.size] = (uint8_t)(random >> 8);
            }
            assert_in_range(read_exif(wild.data, wild.size - (random >> 28)), 0, 8);
        }
    }
    assert_int_equal(read_exif((const uint8_t *)"http://ns.adobe.com/xap/1.0/", 28), 0);
    struct bytes two = make_exif(false, true, 3, 2, 6), text = make_exif(true, true, 2, 1, 6);
    assert_int_equal(read_exif(two.data, two.size), 0);
    assert_int_equal(read_exif(text.data, text.size), 0);
}

/* -- pictures -- */

/* What is stored as abc / def, by how the camera was held. */
static const char *const upright[9] = {NULL,       "abc/def",  "cba/fed",  "fed/cba", "def/abc",
                                       "ad/be/cf", "da/eb/fc", "fc/eb/da", "cf/be/ad"};

static void png_put(png_structp png, png_bytep data, size_t size)
{
    struct bytes *b = png_get_io_ptr(png);

    assert_true(b->size + size <= ROOM);
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static struct bytes make_png(int channels, const struct bytes *exif)
{
    static const char stored[2][4] = {"abc", "def"};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    struct bytes b = {.size = 0}, copy;
    png_byte row[9];

    png_set_write_fn(png, &b, png_put, NULL);
    png_set_IHDR(png, info, 3, 2, 8, channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (exif != NULL) {
        copy = *exif;
        png_set_eXIf_1(png, info, (png_uint_32)copy.size, copy.data);
    }
    png_write_info(png, info);
    for (int y = 0; y < 2; y++) {
        for (int i = 0; i < 3 * channels; i++)
            row[i] = (png_byte)(stored[y][i / channels] + 50 * (i % channels));
        png_write_row(png, row);
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return b;
}

static void check_pixels(const struct vrt_image *image, const char *letters)
{
    int width = (int)strcspn(letters, "/");

    assert_int_equal(image->width, width);
    assert_int_equal(image->height, 6 / width);
    assert_int_equal(image->pixels.size, 6 * image->channels);
    for (int y = 0; y < image->height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < image->channels; c++)
                assert_int_equal(image->pixels.data[(y * width + x) * image->channels + c],
                                 letters[y * (width + 1) + x] + 50 * c);
}

static void turns_pictures(void **state)
{
    struct vrt_image image = {0};
    struct vrt_error e;

    (void)state;
    for (int channels = 1; channels <= 3; channels += 2)
        for (int way = 1; way <= 8; way++)
            for (int what = VRT_EXIF_IGNORE; what <= VRT_EXIF_TURN; what++) {
                struct bytes exif = make_exif(way % 2, false, 3, 1, (uint32_t)way);
                struct bytes png = make_png(channels, &exif);
                image.exif = (enum vrt_exif)what;
                assert_true(vrt_image_decode(&image, png.data, png.size, channels, &e));
                assert_int_equal(image.orientation, what == VRT_EXIF_IGNORE ? 0 : way);
                assert_int_equal(image.warnings, 0);
                check_pixels(&image, upright[what == VRT_EXIF_TURN ? way : 1]);
            }
    struct bytes plain = make_png(1, NULL);
    assert_true(vrt_image_decode(&image, plain.data, plain.size, 1, &e));
    assert_int_equal(image.orientation, 0);
    check_pixels(&image, upright[1]);
    vrt_image_free(&image);
}

/* A JPEG of 40 x 24 with what other programs write before EXIF, and the orientation. */
static void make_jpeg(unsigned char **bytes, unsigned long *size, const struct bytes *exif)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned char row[3 * 40];
    JSAMPROW rows[] = {row};

    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    *bytes = NULL;
    jpeg_mem_dest(&c, bytes, size);
    c.image_width = 40;
    c.image_height = 24;
    c.input_components = 3;
    c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_start_compress(&c, TRUE);
    jpeg_write_marker(&c, JPEG_APP0 + 1, (const JOCTET *)"http://ns.adobe.com/xap/1.0/\0<x/>", 33);
    if (exif != NULL)
        jpeg_write_marker(&c, JPEG_APP0 + 1, exif->data, (unsigned)exif->size);
    for (int y = 0; y < 24; y++) {
        for (int i = 0; i < 3 * 40; i++)
            row[i] = (unsigned char)(y * 9 + i * 2);
        jpeg_write_scanlines(&c, rows, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
}

/* Twice turned by a quarter is turned by a half; pixels are those of the file without EXIF. */
static void turns_jpegs(void **state)
{
    struct bytes exif = make_exif(true, true, 3, 1, 6);
    struct vrt_image plain = {0}, turned = {.exif = VRT_EXIF_TURN}, left = {0};
    unsigned char *with, *without;
    unsigned long size, less;
    struct vrt_error e;

    (void)state;
    make_jpeg(&with, &size, &exif);
    make_jpeg(&without, &less, NULL);
    assert_true(vrt_image_decode(&plain, without, less, 3, &e));
    assert_true(vrt_image_decode(&left, with, size, 3, &e));
    assert_memory_equal(plain.pixels.data, left.pixels.data, plain.pixels.size);
    assert_true(vrt_image_decode(&turned, with, size, 3, &e));
    assert_true(turned.width == 24 && turned.height == 40 && turned.orientation == 6);
    for (int y = 0; y < 40; y++)
        for (int x = 0; x < 24; x++)
            assert_memory_equal(turned.pixels.data + 3 * (y * 24 + x),
                                plain.pixels.data + 3 * ((23 - x) * 40 + y), 3);
    assert_true(vrt_image_decode(&turned, without, less, 3, &e)); /* nothing of the last one */
    assert_true(turned.width == 40 && turned.orientation == 0);
    assert_memory_equal(turned.pixels.data, plain.pixels.data, plain.pixels.size);
    free(with);
    free(without);
    vrt_image_free(&plain);
    vrt_image_free(&turned);
    vrt_image_free(&left);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_orientations),
        cmocka_unit_test(bears_damaged_texts),
        cmocka_unit_test(turns_pictures),
        cmocka_unit_test(turns_jpegs),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("exif", tests, NULL, NULL);
    return 0;
}
