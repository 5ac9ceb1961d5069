/* Whole files, made by the libraries that write such files or by hand. Input: nothing. Output:
 * bytes. */
#include "tests/fuzz/seeds.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <jpeglib.h>
#include <png.h>

#include "runtime/io/safetensors.h"
#include "runtime/io/state.h"

enum { SIDE = 24, PICTURES = 3 };

void fuzz_must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "fuzz: %s\n", what);
    exit(99);
}

static void append(struct fuzz_bytes *b, const void *bytes, size_t size)
{
    fuzz_replace(b, b->size, 0, bytes, size);
}

static void put_text(struct fuzz_bytes *b, const char *text)
{
    fuzz_bytes_set(b, text, strlen(text));
}

/* -- pictures -- */

static void fill(uint8_t *pixels, int channels)
{
    for (int i = 0; i < SIDE * SIDE * channels; i++)
        pixels[i] = (uint8_t)(i * 7 + i / SIDE * 3);
}

/* Turned by a quarter, as a JPEG says it; a PNG leaves the first six bytes out. */
static const uint8_t exif[] = "Exif\0\0MM\0*\0\0\0\10\0\1\1\22\0\3\0\0\0\1\0\6\0\0\0\0\0";

static void make_jpeg(struct fuzz_bytes *b, J_COLOR_SPACE space, int channels, bool progressive)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    uint8_t pixels[SIDE * SIDE * 4];
    unsigned char *bytes = NULL;
    unsigned long size = 0;
    fill(pixels, channels);
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &bytes, &size);
    c.image_width = c.image_height = SIDE;
    c.input_components = channels;
    c.in_color_space = space;
    jpeg_set_defaults(&c);
    if (progressive)
        jpeg_simple_progression(&c);
    jpeg_start_compress(&c, TRUE);
    jpeg_write_marker(&c, JPEG_APP0 + 1, exif, sizeof exif);
    for (int y = 0; y < SIDE; y++) {
        JSAMPROW row = pixels + (ptrdiff_t)y * SIDE * channels;
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    fuzz_bytes_set(b, bytes, size);
    free(bytes);
}

void fuzz_make_jpeg_rgb(struct fuzz_bytes *b)
{
    make_jpeg(b, JCS_RGB, 3, false);
}
void fuzz_make_jpeg_gray(struct fuzz_bytes *b)
{
    make_jpeg(b, JCS_GRAYSCALE, 1, false);
}
void fuzz_make_jpeg_cmyk(struct fuzz_bytes *b)
{
    make_jpeg(b, JCS_CMYK, 4, false);
}
void fuzz_make_jpeg_progressive(struct fuzz_bytes *b)
{
    make_jpeg(b, JCS_RGB, 3, true);
}

static void png_put(png_structp png, png_bytep bytes, size_t size)
{
    append(png_get_io_ptr(png), bytes, size);
}

static void make_png(struct fuzz_bytes *b, int type, int channels, int interlace)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_color colours[256] = {{1, 2, 3}};
    uint8_t pixels[SIDE * SIDE * 4];
    png_bytep rows[SIDE];
    fill(pixels, channels);
    for (int y = 0; y < SIDE; y++)
        rows[y] = pixels + (ptrdiff_t)y * SIDE * channels;
    b->size = 0;
    png_set_write_fn(png, b, png_put, NULL);
    png_set_IHDR(png, info, SIDE, SIDE, 8, type, interlace, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, colours, 256);
    uint8_t copy[sizeof exif];
    memcpy(copy, exif, sizeof exif);
    png_set_eXIf_1(png, info, sizeof exif - 6, copy + 6);
    png_set_rows(png, info, rows);
    png_write_png(png, info, PNG_TRANSFORM_IDENTITY, NULL);
    png_destroy_write_struct(&png, &info);
}

void fuzz_make_png_rgba(struct fuzz_bytes *b)
{
    make_png(b, PNG_COLOR_TYPE_RGB_ALPHA, 4, PNG_INTERLACE_ADAM7);
}
void fuzz_make_png_gray(struct fuzz_bytes *b)
{
    make_png(b, PNG_COLOR_TYPE_GRAY, 1, PNG_INTERLACE_NONE);
}
void fuzz_make_png_palette(struct fuzz_bytes *b)
{
    make_png(b, PNG_COLOR_TYPE_PALETTE, 1, PNG_INTERLACE_NONE);
}

/* -- archives -- */

static struct archive *begin_tar(struct fuzz_bytes *b, int filter, bool pax, size_t *used)
{
    struct archive *a = archive_write_new();
    archive_write_add_filter(a, filter);
    archive_write_set_bytes_in_last_block(a, 1);
    fuzz_must((pax ? archive_write_set_format_pax(a) : archive_write_set_format_gnutar(a)) ==
                  ARCHIVE_OK,
              "no tar");
    fuzz_must(archive_write_open_memory(a, b->data, b->room, used) == ARCHIVE_OK, "no archive");
    return a;
}

static void add_member(struct archive *a, const char *name, const void *bytes, size_t size)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, (la_int64_t)size);
    fuzz_must(archive_write_header(a, entry) == ARCHIVE_OK, "no entry");
    fuzz_must(archive_write_data(a, bytes, size) == (la_ssize_t)size, "no data");
    archive_entry_free(entry);
}

static void end_tar(struct archive *a, struct fuzz_bytes *b, const size_t *used)
{
    fuzz_must(archive_write_close(a) == ARCHIVE_OK, "no end");
    archive_write_free(a);
    b->size = *used;
}

/* Two splits of two classes, each with a JPEG and a PNG. */
static void make_tree(struct fuzz_bytes *b, int filter, bool pax)
{
    struct fuzz_bytes picture = fuzz_bytes_new(b->room);
    size_t used = 0;
    struct archive *a = begin_tar(b, filter, pax, &used);
    for (int i = 0; i < 8; i++) {
        char name[300];
        snprintf(name, sizeof name, "%s/%s/%0*d.img", i & 4 ? "train" : "val",
                 i & 2 ? "cat" : "dog", i == 7 ? 150 : 3, i);
        if (i & 1)
            fuzz_make_jpeg_gray(&picture);
        else
            fuzz_make_png_gray(&picture);
        add_member(a, name, picture.data, picture.size);
    }
    end_tar(a, b, &used);
    fuzz_bytes_free(&picture);
}

void fuzz_make_tar(struct fuzz_bytes *b)
{
    make_tree(b, ARCHIVE_FILTER_NONE, true);
}
void fuzz_make_gnu_tar(struct fuzz_bytes *b)
{
    make_tree(b, ARCHIVE_FILTER_NONE, false);
}
void fuzz_make_tar_gz(struct fuzz_bytes *b)
{
    make_tree(b, ARCHIVE_FILTER_GZIP, true);
}

/* A tar of the pictures of one class, in a tar of them. */
void fuzz_make_tar_of_tars(struct fuzz_bytes *b)
{
    struct fuzz_bytes inner = fuzz_bytes_new(b->room), picture = fuzz_bytes_new(b->room);
    size_t used = 0, inside;
    struct archive *a = begin_tar(b, ARCHIVE_FILTER_NONE, true, &used);
    fuzz_make_png_gray(&picture);
    for (int i = 0; i < 2; i++) {
        struct archive *class = begin_tar(&inner, ARCHIVE_FILTER_NONE, false, &inside);
        add_member(class, "1.JPEG", picture.data, picture.size);
        add_member(class, "folder/2.JPEG", picture.data, picture.size);
        end_tar(class, &inner, &inside);
        add_member(a, i ? "n01440764.tar" : "n01443537.tar", inner.data, inner.size);
    }
    end_tar(a, b, &used);
    fuzz_bytes_free(&inner);
    fuzz_bytes_free(&picture);
}

/* Pictures with their labels beside. */
void fuzz_make_shard(struct fuzz_bytes *b)
{
    static const char json[] = "{\"label\": 0, \"more\": [null, -1.5e3, {\"a\": \"\\u00e9\"}]}";
    struct fuzz_bytes picture = fuzz_bytes_new(b->room);
    size_t used = 0;
    struct archive *a = begin_tar(b, ARCHIVE_FILTER_NONE, true, &used);
    fuzz_make_jpeg_gray(&picture);
    add_member(a, "000.jpg", picture.data, picture.size);
    add_member(a, "000.cls", "1\n", 2);
    add_member(a, "001.json", json, strlen(json));
    add_member(a, "001.seg.jpg", picture.data, picture.size);
    end_tar(a, b, &used);
    fuzz_bytes_free(&picture);
}

/* The development kit of ILSVRC2012, as far as it is read. */
void fuzz_make_kit(struct fuzz_bytes *b)
{
    size_t used = 0;
    struct archive *a = begin_tar(b, ARCHIVE_FILTER_NONE, false, &used);
    add_member(a, "ILSVRC2012_devkit_t12/readme.txt", "read me\n", 8);
    add_member(a, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt",
               "490\n361\n171\n", 12);
    end_tar(a, b, &used);
}

/* -- labels of val_00000001.png, val_00000002.png and val_00000003.png -- */

void fuzz_make_truth(struct fuzz_bytes *b)
{
    put_text(b, "490\n361\n171\n");
}

void fuzz_make_numbers(struct fuzz_bytes *b)
{
    put_text(b, "val_00000001.png 65\nval/val_00000002.png 970\r\nval_00000003.png 0\n");
}

void fuzz_make_solution(struct fuzz_bytes *b)
{
    put_text(b, "ImageId,PredictionString\nval_00000001,n01751748 111 108 370 246 "
                "\nval_00000002,n09193705 0 0 5 5\n"
                "val_00000003,n02105855 12 0 9 9 n02105855 7 7 7 7\n");
}

void fuzz_make_annotations(struct fuzz_bytes *b)
{
    put_text(
        b,
        "val_00000001.png\tn03444034\t0\t32\t44\t62\nval_00000002.png\tn04067472\t52\t55\t57\t59\n"
        "val_00000003.png\tn03444034\t4\t0\t60\t55\n");
}

/* -- CIFAR -- */

void fuzz_make_cifar(struct fuzz_bytes *b)
{
    enum { RECORD = 3073 };
    b->size = 0;
    for (int i = 0; i < PICTURES * RECORD; i++)
        append(b, &(uint8_t){(uint8_t)(i % RECORD ? i * 7 : i / RECORD)}, 1);
}

void fuzz_make_cifar_names(struct fuzz_bytes *b)
{
    put_text(b, "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n");
}

/* -- IDX -- */

static void make_idx(struct fuzz_bytes *b, bool labels)
{
    const uint8_t header[16] = {0, 0, 8, labels ? 1 : 3, 0, 0, 0, PICTURES,
                                0, 0, 0, SIDE,           0, 0, 0, SIDE};
    uint8_t pixels[SIDE * SIDE];
    b->size = 0;
    append(b, header, labels ? 8 : 16);
    fill(pixels, 1);
    for (int i = 0; i < PICTURES; i++)
        append(b, labels ? (const uint8_t[]){(uint8_t)i} : pixels, labels ? 1 : sizeof pixels);
}

void fuzz_make_idx_pixels(struct fuzz_bytes *b)
{
    make_idx(b, false);
}
void fuzz_make_idx_labels(struct fuzz_bytes *b)
{
    make_idx(b, true);
}

/* -- weights -- */

const struct vrt_param fuzz_params[FUZZ_NPARAMS] = {
    {"a.weight", 2, VRT_INIT_ZERO, {2, 3, 0, 0}, 0, 6, 0, 0, 1, 0},
    {"a.bias", 1, VRT_INIT_ZERO, {2, 0, 0, 0}, 64, 2, 0, 0, 1, 0},
    {"b", 3, VRT_INIT_ZERO, {1, 4, 2, 0}, 128, 8, 0, 0, 1, 0},
};

static void take_file(struct fuzz_bytes *b, const char *path)
{
    FILE *f = fopen(path, "rb");
    fuzz_must(f, path);
    b->size = fread(b->data, 1, b->room, f);
    fclose(f);
    unlink(path);
}

void fuzz_make_weights(struct fuzz_bytes *b)
{
    static const float values[48] = {1, 2, 3};
    const struct vrt_meta meta[] = {
        {"format", "pt"}, {"classes", "[\"a\",\"b\"]"}, {"positions", "{\"b\":[1,4]}"}};
    char path[] = "/tmp/vmoe-fuzz-weights-XXXXXX";
    int fd = mkstemp(path);
    struct vrt_error e;
    fuzz_must(fd >= 0 && vrt_tensors_save(path, fuzz_params, FUZZ_NPARAMS, values, meta, 3, &e),
              path);
    close(fd);
    take_file(b, path);
}

void fuzz_make_state(struct fuzz_bytes *b)
{
    float values[FUZZ_BLOCK] = {1, 2, 3};
    const struct vrt_state_block blocks[2] = {{values, sizeof values}, {values, 0}};
    char folder[] = "/tmp/vmoe-fuzz-state-XXXXXX", path[100];
    struct vrt_error e;
    fuzz_must(mkdtemp(folder) && vrt_state_save(folder, 2, "{\"step\": 7}", blocks, 2, &e), folder);
    snprintf(path, sizeof path, "%s/0.state", folder);
    take_file(b, path);
    rmdir(folder);
}
