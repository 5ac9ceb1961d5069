/* JPEG by libjpeg-turbo. Input: the bytes of a file; output: pixels of 1, 3 or (CMYK, inverted) 4
 * channels.
 *
 * A new decompressor for every picture: one that is kept would lend its Huffman and quantisation
 * tables to the next file, whose pixels would then depend on what was read before. */
#include "runtime/data/image.h"

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>
#include <jerror.h>

#include "runtime/data/exif.h"

#define MAX_MEMORY (384 << 20) /* bytes of the library's own, for progressive files */
#define MAX_SCANS  100
#define APP1       (JPEG_APP0 + 1) /* where EXIF stands */
#define MAX_MARKER 0xffff          /* bytes */
/* Visits of a pixel by a scan, of 1.2 nanoseconds on a core of 2 GHz from 2017; a byte of the file
 * costs as much as 20. A progressive photo of 45 megapixels (ten scans, 15 MB) passes; whatever
 * passes takes less than two seconds there. */
#define MAX_WORK  (3ll << 28)
#define BYTE_WORK 20

struct reader {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    struct vrt_error *error;
    size_t size; /* of the file */
};

/* The library's own errors end here. */
static void on_error(j_common_ptr info)
{
    struct reader *r = info->client_data;
    char text[JMSG_LENGTH_MAX];

    r->errors.format_message(info, text);
    if (r->errors.msg_code == JERR_OUT_OF_MEMORY)
        vrt_fail(r->error, VRT_NO_MEMORY, "no memory to decode this JPEG; use fewer --threads");
    else if (r->errors.msg_code == JERR_NO_BACKING_STORE)
        vrt_fail(r->error, VRT_BAD_INPUT,
                 "decoding this JPEG takes more than %d MiB of memory; make it smaller, or save it "
                 "again as a plain (not progressive) JPEG",
                 MAX_MEMORY >> 20);
    else
        vrt_fail(r->error, VRT_BAD_INPUT, "damaged JPEG (%s); replace or remove it", text);
    longjmp(r->escape, 1);
}

/* Warnings are counted, all but one: where bytes are missing, the library would fill in gray. */
static void on_message(j_common_ptr info, int level)
{
    struct reader *r = info->client_data;

    if (level >= 0)
        return;
    if (r->errors.msg_code == JWRN_JPEG_EOF) {
        vrt_fail(r->error, VRT_BAD_INPUT,
                 "truncated JPEG: the file ends before the picture does; replace or remove it");
        longjmp(r->escape, 1);
    }
    r->errors.num_warnings++;
}

/* Called for each row of blocks of each scan: a small file can ask for any number of passes over a
 * large picture. */
static void on_progress(j_common_ptr info)
{
    struct reader *r = info->client_data;
    long long scans = r->info.input_scan_number,
              pixels = (long long)r->info.image_width * r->info.image_height;

    if (scans < 2 ||
        (scans <= MAX_SCANS && scans * pixels + BYTE_WORK * (long long)r->size <= MAX_WORK))
        return;
    vrt_fail(r->error, VRT_BAD_INPUT,
             "decoding this JPEG takes too long: %u x %u pixels in more than %lld scans; save it "
             "again as a plain (not progressive) JPEG, or remove it",
             r->info.image_width, r->info.image_height, scans - 1);
    longjmp(r->escape, 1);
}

static void start(struct reader *r)
{
    r->info.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = on_error;
    r->errors.emit_message = on_message;
    r->info.client_data = r;
    r->progress.progress_monitor = on_progress;
}

/* What the library shall deliver for what the file holds; JCS_UNKNOWN: nothing. */
static J_COLOR_SPACE output_space(J_COLOR_SPACE stored, int channels)
{
    static const struct {
        J_COLOR_SPACE stored, gray, colour;
    } table[] = {
        {JCS_GRAYSCALE, JCS_GRAYSCALE, JCS_RGB},
        {JCS_YCbCr, JCS_RGB, JCS_RGB},
        {JCS_RGB, JCS_RGB, JCS_RGB},
        {JCS_CMYK, JCS_CMYK, JCS_CMYK},
        {JCS_YCCK, JCS_CMYK, JCS_CMYK},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].stored == stored)
            return channels == 1 ? table[i].gray : table[i].colour;
    return JCS_UNKNOWN;
}

/* Runs below the setjmp; leaves by longjmp or with the result. */
static bool decode(struct reader *r, struct vrt_image *image, const uint8_t *bytes, size_t size,
                   int channels)
{
    jpeg_create_decompress(&r->info);
    r->info.mem->max_memory_to_use = MAX_MEMORY;
    r->info.progress = &r->progress;
    jpeg_mem_src(&r->info, bytes, (unsigned long)size);
    if (image->exif != VRT_EXIF_IGNORE)
        jpeg_save_markers(&r->info, APP1, MAX_MARKER);
    jpeg_read_header(&r->info, TRUE);
    for (jpeg_saved_marker_ptr m = r->info.marker_list; m != NULL && image->orientation == 0;
         m = m->next)
        image->orientation = vrt_exif_orientation(m->data, m->data_length);
    r->info.out_color_space = output_space(r->info.jpeg_color_space, channels);
    if (r->info.out_color_space == JCS_UNKNOWN)
        return vrt_fail(r->error, VRT_BAD_INPUT,
                        "JPEG with %d colour components, which have no known meaning; convert it",
                        r->info.num_components);
    if (r->info.arith_code) /* five megabytes take a second */
        return vrt_fail(r->error, VRT_BAD_INPUT,
                        "JPEG with arithmetic coding, which few programs read; save it again as a "
                        "plain JPEG");
    r->info.dct_method = JDCT_ISLOW;
    r->info.do_fancy_upsampling = TRUE;
    jpeg_calc_output_dimensions(&r->info);
    if (!vrt_image_resize(image, r->info.output_width, r->info.output_height,
                          r->info.output_components, r->error))
        return false;
    jpeg_start_decompress(&r->info);
    while (r->info.output_scanline < r->info.output_height) {
        size_t stride = (size_t)image->width * (size_t)image->channels;
        JSAMPROW row = image->pixels.data + stride * r->info.output_scanline;
        jpeg_read_scanlines(&r->info, &row, 1);
    }
    return true;
}

bool vrt_jpeg_decode(struct vrt_image *image, const uint8_t *bytes, size_t size, int channels,
                     struct vrt_error *e)
{
    struct reader r = {.error = e, .size = size};
    volatile bool ok = false;

    start(&r);
    if (setjmp(r.escape) == 0)
        ok = decode(&r, image, bytes, size, channels);
    image->warnings += (int)r.errors.num_warnings;
    jpeg_destroy_decompress(&r.info);
    return ok;
}
