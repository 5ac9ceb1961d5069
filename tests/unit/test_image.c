/* Decoding, resizing and the transforms, on pictures made here.
 *
 * A colour at (x, y, c) of a test picture is (53x + 97y + 31c + 17xy) mod 256. */
#include <math.h>
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

#include "runtime/data/augment.h"

static uint8_t colour(int x, int y, int c)
{
    return (uint8_t)(x * 53 + y * 97 + c * 31 + x * y * 17);
}

static void fill(struct vrt_image *image, int width, int height, int channels)
{
    struct vrt_error e;

    assert_true(vrt_image_resize(image, width, height, channels, &e));
    for (int i = 0; i < width * height * channels; i++)
        image->pixels.data[i] = colour(i / channels % width, i / channels / width, i % channels);
}

/* --- writers --- */

struct shape {
    J_COLOR_SPACE space;
    int channels, width, height, progressive;
};

/* A smooth picture, so that losses stay small; `bytes` is the caller's to free. */
static void make_jpeg(struct shape s, unsigned char **bytes, unsigned long *size)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned char row[4 * 512];
    JSAMPROW rows[] = {row};

    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    *bytes = NULL;
    *size = 0;
    jpeg_mem_dest(&c, bytes, size);
    c.image_width = (JDIMENSION)s.width;
    c.image_height = (JDIMENSION)s.height;
    c.input_components = s.channels;
    c.in_color_space = s.space;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, 95, TRUE);
    if (s.progressive)
        jpeg_simple_progression(&c);
    jpeg_start_compress(&c, TRUE);
    for (int y = 0; y < s.height; y++) {
        for (int x = 0; x < s.width; x++)
            for (int k = 0; k < s.channels; k++)
                row[x * s.channels + k] = (unsigned char)(100 + x + 20 * k);
        jpeg_write_scanlines(&c, rows, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
}

struct sink {
    uint8_t bytes[1 << 16];
    size_t size;
};

static void sink_put(png_structp png, png_bytep data, size_t size)
{
    struct sink *s = png_get_io_ptr(png);

    assert_true(s->size + size <= sizeof s->bytes);
    memcpy(s->bytes + s->size, data, size);
    s->size += size;
}

static void sink_flush(png_structp png)
{
    (void)png;
}

/* A PNG of the test colours with the given type; 16 bits repeat the byte, then a different low
 * one. */
static void make_png(struct sink *s, int type, int depth, int interlace, int width, int height)
{
    static const int channels_of[] = {[PNG_COLOR_TYPE_GRAY] = 1,
                                      [PNG_COLOR_TYPE_RGB] = 3,
                                      [PNG_COLOR_TYPE_PALETTE] = 1,
                                      [PNG_COLOR_TYPE_GRAY_ALPHA] = 2,
                                      [PNG_COLOR_TYPE_RGB_ALPHA] = 4};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    int channels = channels_of[type], bytes = depth / 8;
    png_color palette[256];
    png_byte row[8 * 256];

    s->size = 0;
    png_set_write_fn(png, s, sink_put, sink_flush);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, depth, type, interlace,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    for (int i = 0; i < 256; i++)
        palette[i] = (png_color){(png_byte)i, (png_byte)(255 - i), (png_byte)(i ^ 85)};
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, palette, 256);
    png_write_info(png, info);
    for (int pass = png_set_interlace_handling(png); pass > 0; pass--)
        for (int y = 0; y < height; y++) {
            for (int i = 0; i < width * channels * bytes; i++) {
                int sample = i / bytes;
                row[i] = i % bytes ? 77 : colour(sample / channels, y, sample % channels);
            }
            png_write_row(png, row);
        }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
}

/* --- tests --- */

/* Sums of a decoded picture stand for its pixels where the loss is the encoder's. */
static void near_ramp(const struct vrt_image *image, int tolerance)
{
    for (int x = 0; x < image->width; x++)
        for (int c = 0; c < image->channels; c++)
            assert_in_range(image->pixels.data[x * image->channels + c] - (100 + x + 20 * c) +
                                tolerance,
                            0, 2 * tolerance);
}

static void decodes_jpeg(void **state)
{
    static const struct shape shapes[] = {
        {JCS_RGB, 3, 40, 9, 0},
        {JCS_RGB, 3, 33, 31, 1},
        {JCS_GRAYSCALE, 1, 17, 5, 0},
        {JCS_CMYK, 4, 20, 20, 0},
    };
    struct vrt_image image = {0};
    struct vrt_error e;

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        unsigned char *bytes;
        unsigned long size;
        make_jpeg(shapes[i], &bytes, &size);
        for (int channels = 1; channels <= 3; channels += 2) {
            assert_true(vrt_image_decode(&image, bytes, size, channels, &e));
            assert_int_equal(image.width, shapes[i].width);
            assert_int_equal(image.height, shapes[i].height);
            assert_int_equal(image.channels, channels);
            if (shapes[i].channels == channels)
                near_ramp(&image, 4);
        }
        for (unsigned long cut = 0; cut < size - 2; cut += 7)
            assert_false(vrt_image_decode(&image, bytes, cut, 3, &e));
        free(bytes);
    }
    vrt_image_free(&image);
}

/* Inverted CMYK as Adobe writes it: (0,0,0,0) is black, all 255 white, and light scales the
 * rest. */
static void decodes_cmyk(void **state)
{
    struct vrt_image image = {0};
    unsigned char *bytes;
    unsigned long size;
    struct vrt_error e;

    (void)state;
    make_jpeg((struct shape){JCS_CMYK, 4, 24, 8, 0}, &bytes, &size);
    assert_true(vrt_image_decode(&image, bytes, size, 3, &e));
    for (int x = 0; x < 24; x++)
        for (int c = 0; c < 3; c++) {
            int expected = (100 + x + 20 * c) * (160 + x) / 255;
            assert_in_range(image.pixels.data[3 * x + c] - expected + 4, 0, 8);
        }
    free(bytes);
    vrt_image_free(&image);
}

static void decodes_png(void **state)
{
    static const int types[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_PALETTE,
                                PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB_ALPHA};
    static struct sink s;
    struct vrt_image image = {0};
    struct vrt_error e;

    (void)state;
    for (int n = 0; n < 20; n++) {
        int type = types[n % 5], depth = n / 5 % 2 && type != PNG_COLOR_TYPE_PALETTE ? 16 : 8;
        make_png(&s, type, depth, n >= 10 ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, 13, 11);
        assert_true(vrt_image_decode(&image, s.bytes, s.size, 3, &e));
        for (int i = 0; i < 13 * 11 * 3; i++) {
            int x = i / 3 % 13, y = i / 39, c = i % 3, v = colour(x, y, 0);
            int expected = type & PNG_COLOR_MASK_PALETTE ? (c == 0   ? v
                                                            : c == 1 ? 255 - v
                                                                     : v ^ 85)
                           : type & PNG_COLOR_MASK_COLOR ? colour(x, y, c)
                                                         : v;
            assert_int_equal(image.pixels.data[i], expected);
        }
        assert_true(vrt_image_decode(&image, s.bytes, s.size, 1, &e));
        if (!(type & PNG_COLOR_MASK_COLOR))
            assert_int_equal(image.pixels.data[14], colour(1, 1, 0));
        assert_false(vrt_image_decode(&image, s.bytes, s.size - 30, 3, &e));
        assert_non_null(strstr(e.text, "truncated"));
    }
    vrt_image_free(&image);
}

/* Any change of the bytes gives a picture or an error, never more (run under the sanitizers). */
static void survives_damage(void **state)
{
    static struct sink s;
    unsigned char *jpeg[2];
    unsigned long size[2];
    struct vrt_image image = {0};
    struct vrt_random r;
    struct vrt_error e;

    (void)state;
    make_jpeg((struct shape){JCS_RGB, 3, 40, 30, 0}, &jpeg[0], &size[0]);
    make_jpeg((struct shape){JCS_RGB, 3, 40, 30, 1}, &jpeg[1], &size[1]);
    make_png(&s, PNG_COLOR_TYPE_RGB, 8, PNG_INTERLACE_NONE, 20, 20);
    vrt_random_start(&r, 1, VRT_RANDOM_GRADCHECK, 0, 0);
    for (int i = 0; i < 3000; i++) {
        uint8_t *bytes = i % 3 < 2 ? jpeg[i % 3] : s.bytes;
        size_t length = i % 3 < 2 ? size[i % 3] : s.size,
               at = (size_t)vrt_random_below(&r, length - 20) + 20;
        uint8_t before = bytes[at];
        bytes[at] = (uint8_t)vrt_random_u32(&r);
        e.text[0] = 0;
        if (!vrt_image_decode(&image, bytes, length, 3, &e))
            assert_true(e.text[0] != 0 && e.code == VRT_BAD_INPUT);
        bytes[at] = before;
    }
    free(jpeg[0]);
    free(jpeg[1]);
    vrt_image_free(&image);
}

static void refuses_files(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *says;
    } bad[] = {
        {"", 0, "empty"},
        {"hello, world", 12, "neither"},
        {"GIF89a....", 10, "GIF"},
        {"<html>", 6, "HTML"},
        {"\xff\xd8\xff\xe0", 4, "truncated"},
        /* PNG header of 60000 x 60000 RGB, checksum right: too many pixels */
        {"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0\xea\x60\x08\x02\0\0\0\x0f\xb0\xe2\x15"
         "\0\0\0\0IDAT\x35\xaf\x06\x1e",
         45, "60000 x 60000"},
    };
    struct vrt_image image = {0};
    struct vrt_error e;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(vrt_image_decode(&image, (const uint8_t *)bad[i].bytes, bad[i].size, 3, &e));
        assert_non_null(strstr(e.text, bad[i].says));
    }
    assert_false(vrt_image_read(&image, "/no/such/none.jpg", 3, &e));
    assert_non_null(strstr(e.text, "none.jpg"));
    vrt_image_free(&image);
}

/* Values recorded from Pillow 11.3: Image.resize of the 5 x 4 test picture, of parts of pixels as
 * well. */
static void resamples_as_pillow(void **state)
{
    static const uint8_t bicubic[] = {80,  111, 125, 139, 108, 136, 136, 167, 121,
                                      106, 137, 103, 156, 101, 111, 121, 152, 67};
    static const uint8_t bilinear[] = {
        29,  60,  91,  62,  93,  124, 104, 113, 144, 145, 100, 131, 132, 141, 172, 152,
        183, 137, 185, 216, 67,  146, 177, 80,  117, 148, 125, 119, 113, 144, 175, 78,
        109, 139, 134, 73,  104, 135, 93,  76,  107, 138, 83,  114, 68,  95,  126, 124,
        133, 113, 144, 204, 55,  86,  146, 126, 102, 133, 164, 74,  146, 177, 28};
    static const uint8_t boxed[] = {59,  92,  128, 136, 106, 142, 142, 169, 166,
                                    128, 164, 150, 175, 76,  106, 101, 123, 81,
                                    90,  124, 93,  148, 94,  128, 147, 172, 65};
    struct vrt_image in = {0}, out = {0};
    struct vrt_resampler r = {0};
    struct vrt_resize how;
    struct vrt_error e;
    struct vrt_view v;

    (void)state;
    fill(&in, 5, 4, 3);
    v = vrt_view_of(&in);
    how = vrt_resize_whole(v, 3, 2, VRT_BICUBIC);
    assert_true(vrt_resample(&r, v, &how, &out, &e));
    assert_memory_equal(out.pixels.data, bicubic, sizeof bicubic);
    how = vrt_resize_whole(v, 7, 3, VRT_BILINEAR);
    assert_true(vrt_resample(&r, v, &how, &out, &e));
    assert_memory_equal(out.pixels.data, bilinear, sizeof bilinear);
    how.keep_top = 1;
    how.keep_height = 2;
    assert_true(vrt_resample(&r, v, &how, &out, &e));
    assert_memory_equal(out.pixels.data, bilinear + 21, 42);
    how = vrt_resize_whole(v, 3, 3, VRT_BICUBIC);
    memcpy(how.box, (float[]){0.5f, 0.25f, 4.25f, 3.5f}, sizeof how.box);
    assert_true(vrt_resample(&r, v, &how, &out, &e));
    assert_memory_equal(out.pixels.data, boxed, sizeof boxed);
    vrt_resampler_free(&r);
    vrt_image_free(&in);
    vrt_image_free(&out);
}

static struct vrt_transform plain(int channels, int width, int height)
{
    return (struct vrt_transform){.channels = channels,
                                  .width = width,
                                  .height = height,
                                  .mean = {0.5, 0.5, 0.5},
                                  .std = {0.25, 0.25, 0.25},
                                  .resample = VRT_BICUBIC,
                                  .crop_pct = 1};
}

static void crops_the_centre(void **state)
{
    struct vrt_transform t = plain(1, 4, 4);
    struct vrt_image image = {0};
    struct vrt_resize how;
    struct vrt_error e;
    float input[16];

    (void)state;
    fill(&image, 7, 4, 1);
    assert_true(vrt_transform_eval(&t, &image, input, &e));
    for (int i = 0; i < 16; i++) /* (7 - 4) / 2 = 1.5 rounds to 2 */
        assert_true(input[i] == (colour(i % 4 + 2, i / 4, 0) / 255.0f - 0.5f) / 0.25f);
    t = plain(3, 224, 224);
    assert_true(vrt_resize_centre(
        &how, (struct vrt_view){.width = 500, .height = 333, .channels = 3}, &t, 0.875, &e));
    assert_int_equal(how.height, 256);
    assert_int_equal(how.width, 384); /* int(256 * 500 / 333) */
    assert_int_equal(how.keep_left, 80);
    assert_int_equal(how.keep_top, 16);
    t.squash = 1;
    assert_true(vrt_resize_centre(
        &how, (struct vrt_view){.width = 500, .height = 333, .channels = 3}, &t, 0.875, &e));
    assert_int_equal(how.height, 256);
    assert_int_equal(how.width, 256);
    assert_int_equal(how.keep_left, 16);
    t = plain(3, 65500, 65500);
    assert_false(vrt_resize_centre(
        &how, (struct vrt_view){.width = 1, .height = 65500, .channels = 3}, &t, 0.875, &e));
    assert_non_null(strstr(e.text, "too narrow"));
    t.crop_pct = 0;
    assert_false(vrt_transform_eval(&t, &image, input, &e));
    vrt_image_free(&image);
}

static void draws_crops(void **state)
{
    struct vrt_transform t = {
        .min_scale = 0.08, .max_scale = 1, .min_ratio = 3.0 / 4, .max_ratio = 4.0 / 3};
    struct vrt_random random;
    struct vrt_rect r;
    double area = 0;

    (void)state;
    vrt_random_start(&random, 3, VRT_RANDOM_AUGMENT, 0, 0);
    for (int i = 0; i < 2000; i++) {
        r = vrt_random_rect(&t, 400, 300, &random);
        assert_true(r.left >= 0 && r.top >= 0 && r.left + r.width <= 400 &&
                    r.top + r.height <= 300);
        assert_true(r.width <= 1.02 * r.height * t.max_ratio &&
                    r.height <= 1.02 * r.width / t.min_ratio);
        area += (double)r.width * r.height / (400 * 300) / 2000;
    }
    assert_true(area > 0.40 && area < 0.54);
    r = vrt_random_rect(&t, 1000, 2, &random); /* nothing fits: the centre at the widest ratio */
    assert_true(r.height == 2 && r.width == 3 && r.left == 498 && r.top == 0);
    r = vrt_random_rect(&t, 1, 1, &random);
    assert_true(r.width == 1 && r.height == 1);
}

/* A training crop is cut out, then resized by the same resampler: as if the picture had never been
 * larger. */
static void resizes_crops(void **state)
{
    struct vrt_transform t = plain(3, 12, 10);
    struct vrt_scratch s = {0};
    struct vrt_image image = {0}, cut = {0}, resized = {0};
    struct vrt_pipeline p;
    struct vrt_error e;
    float input[12 * 10 * 3];

    (void)state;
    t.random_resized_crop = 1;
    t.min_scale = 0.08;
    t.max_scale = 1;
    t.min_ratio = 3.0 / 4;
    t.max_ratio = 4.0 / 3;
    fill(&image, 61, 47, 3);
    for (int n = 0; n < 50; n++) {
        struct vrt_random random, again;
        vrt_random_start(&random, 3, VRT_RANDOM_AUGMENT, 0, (uint32_t)n);
        again = random;
        t.resample = n % 2 ? VRT_BICUBIC : VRT_BILINEAR;
        assert_true(vrt_pipeline_make(&p, &t, &e));
        assert_true(vrt_pipeline_apply(&p, &image, &s, &random, input, &e));
        struct vrt_rect r = vrt_random_rect(&t, 61, 47, &again);
        assert_true(vrt_image_resize(&cut, r.width, r.height, 3, &e));
        for (int i = 0; i < r.width * r.height * 3; i++)
            cut.pixels.data[i] = colour(r.left + i / 3 % r.width, r.top + i / 3 / r.width, i % 3);
        struct vrt_resize how =
            vrt_resize_whole(vrt_view_of(&cut), 12, 10, (enum vrt_filter)t.resample);
        assert_true(vrt_resample(&s.resampler, vrt_view_of(&cut), &how, &resized, &e));
        for (int i = 0; i < 12 * 10 * 3; i++)
            assert_true(input[i] == p.normal[i % 3][resized.pixels.data[i]]);
    }
    vrt_scratch_free(&s);
    vrt_image_free(&image);
    vrt_image_free(&cut);
    vrt_image_free(&resized);
}

/* What a padded crop sees at (x, y), up to one pixel beyond an edge: black, or the pixel next to
 * the edge on the inner side. */
static int beyond(const struct vrt_image *image, int x, int y, bool reflect)
{
    int w = image->width, h = image->height;

    if (!reflect && (x < 0 || y < 0 || x >= w || y >= h))
        return 0;
    x = x < 0 ? 1 : x >= w ? w - 2 : x;
    y = y < 0 ? 1 : y >= h ? h - 2 : y;
    return image->pixels.data[w * y + x];
}

/* Which of the windows of 4 x 4 this input is, from one pixel beyond the upper left corner on, row
 * by row; -1: none. */
static int window_of(const struct vrt_pipeline *p, const struct vrt_image *image, bool flip,
                     const float input[16])
{
    int across = image->width - 1, down = image->height - 1;

    for (int k = 0; k < across * down; k++) {
        bool found = true;
        for (int i = 0; i < 16; i++) {
            int x = (flip ? 3 - i % 4 : i % 4) + k % across - 1, y = i / 4 + k / across - 1;
            found = found && input[i] == p->normal[0][beyond(image, x, y, p->transform.reflect)];
        }
        if (found)
            return k;
    }
    return -1;
}

static void pad_and_flip(int width, int height, bool reflect)
{
    struct vrt_transform t = plain(1, 4, 4);
    struct vrt_scratch s = {0};
    struct vrt_image image = {0};
    struct vrt_pipeline p;
    struct vrt_error e;
    int seen[64] = {0}, flipped = 0, windows = (width - 1) * (height - 1);

    t.padded_crop = 1;
    t.reflect = reflect;
    t.flip = 0.5;
    assert_true(vrt_pipeline_make(&p, &t, &e));
    fill(&image, width, height, 1);
    for (int n = 0; n < 400; n++) {
        struct vrt_random random;
        float input[16];
        vrt_random_start(&random, 3, VRT_RANDOM_AUGMENT, 0, (uint32_t)n);
        assert_true(vrt_pipeline_apply(&p, &image, &s, &random, input, &e));
        int straight = window_of(&p, &image, false, input),
            turned = window_of(&p, &image, true, input);
        assert_true((straight < 0) != (turned < 0));
        seen[straight >= 0 ? straight : turned]++;
        flipped += turned >= 0;
    }
    for (int k = 0; k < windows; k++)
        assert_true(seen[k] > 400 / windows / 3);
    assert_in_range(flipped, 160, 240);
    vrt_scratch_free(&s);
    vrt_image_free(&image);
}

/* With padding, a window that lies anywhere on the picture and its border, black or reflected;
 * flipped half of the time. */
static void pads_and_flips(void **state)
{
    (void)state;
    for (int reflect = 0; reflect < 2; reflect++) {
        pad_and_flip(4, 4, reflect);
        pad_and_flip(7, 4, reflect);
        pad_and_flip(4, 8, reflect);
    }
}

/* Whether a picture, whose first row rises, was turned round at this time. */
static bool is_flipped(const struct vrt_transform *t, const struct vrt_image *image,
                       uint32_t picture, uint32_t time)
{
    struct vrt_scratch s = {0};
    struct vrt_random random;
    struct vrt_pipeline p;
    struct vrt_error e;
    float input[16];

    vrt_random_start(&random, 3, VRT_RANDOM_AUGMENT, time, picture);
    assert_true(vrt_pipeline_make(&p, t, &e) &&
                vrt_pipeline_apply(&p, image, &s, &random, input, &e));
    vrt_scratch_free(&s);
    if (input[0] == input[3])
        fail_msg("the picture is its own mirror");
    return input[0] != p.normal[0][image->pixels.data[0]];
}

/* Each picture is flipped in its share of any epochs, to within one; half of the pictures are in
 * each; copies take turns. */
static void alternates_flips(void **state)
{
    struct vrt_transform t = plain(1, 4, 4);
    struct vrt_image image = {0};

    (void)state;
    t.alternating = true;
    fill(&image, 4, 4, 1);
    for (int share = 1; share <= 4; share++) {
        int at_first = 0;
        t.flip = share / 4.0;
        for (uint32_t n = 0; n < 200; n++) {
            int flipped = 0;
            for (uint32_t epoch = 0; epoch < 9; epoch++) {
                bool now = is_flipped(&t, &image, n, epoch);
                flipped += now;
                at_first += epoch == 0 && now;
                assert_true(fabs(flipped - t.flip * (epoch + 1)) < 1);
                if (share == 2)
                    assert_true(is_flipped(&t, &image, n, epoch + (1 << 24)) != now);
            }
        }
        assert_true(fabs(at_first - 200 * t.flip) <= 30);
    }
    t.flip = 0;
    assert_false(is_flipped(&t, &image, 1, 1));
    vrt_image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_jpeg),     cmocka_unit_test(decodes_cmyk),
        cmocka_unit_test(decodes_png),      cmocka_unit_test(survives_damage),
        cmocka_unit_test(refuses_files),    cmocka_unit_test(resamples_as_pillow),
        cmocka_unit_test(crops_the_centre), cmocka_unit_test(draws_crops),
        cmocka_unit_test(resizes_crops),    cmocka_unit_test(pads_and_flips),
        cmocka_unit_test(alternates_flips),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("image", tests, NULL, NULL);
    return 0;
}
