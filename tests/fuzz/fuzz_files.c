/* Damaged files: pictures, archives, IDX files and weights, changed at random, go through the readers of the runtime.
 *
 * A reader must succeed or give a reason, in bounded time and memory. Checksums of PNG chunks and tar headers are made
 * right again in half of the cases, else nothing would get behind them. `fuzz_files --seed S --first N --count M` runs
 * other cases; a failed one, and with --save the first one, is written to the current folder. */
#include "config.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <jpeglib.h>
#include <png.h>
#include <zlib.h>

#include "runtime/data/dataset.h"
#include "runtime/data/image.h"
#include "runtime/io/adapt.h"
#include "runtime/io/safetensors.h"
#include "runtime/vrt.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/watch.h"

#ifdef VMOE_SANITIZE
enum { CASES = 3000, MEGABYTES = 0 };
#else
enum { CASES = 8000, MEGABYTES = 1200 };    /* the largest picture allowed has 512 MiB, and may be converted once */
#endif
enum { SECONDS = 10, ROOM = 64 << 10, SIDE = 24, PICTURES = 3 };

enum { NO_REASON = CASE_FAILED, WRONG_SIZE };
static const char *const failures[] = { "refused without a reason", "a picture of a wrong size", NULL };

struct fuzz {
    uint64_t seed;
    char folder[64];
};

/* One kind of file: what a good one holds, what makes its checksums right again, and its reader. */
struct kind {
    const char *name;                   /* also of the file in the folder */
    void (*make)(struct fuzz_bytes *b);
    void (*mend)(struct fuzz_bytes *b);
    int (*read)(const char *folder, const char *path, const struct fuzz_bytes *b);
    struct fuzz_bytes good;
};

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "fuzz_files: %s\n", what);
    exit(99);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    must(f && fwrite(bytes, 1, size, f) == size && fclose(f) == 0, path);
}

static void append(struct fuzz_bytes *b, const void *bytes, size_t size)
{
    fuzz_replace(b, b->size, 0, bytes, size);
}

/* -- pictures -- */

static void fill(uint8_t *pixels, int channels)
{
    for (int i = 0; i < SIDE * SIDE * channels; i++)
        pixels[i] = (uint8_t)(i * 7 + i / SIDE * 3);
}

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
    for (int y = 0; y < SIDE; y++) {
        JSAMPROW row = pixels + (ptrdiff_t)y * SIDE * channels;
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    fuzz_bytes_set(b, bytes, size);
    free(bytes);
}

static void make_jpeg_rgb(struct fuzz_bytes *b) { make_jpeg(b, JCS_RGB, 3, false); }
static void make_jpeg_gray(struct fuzz_bytes *b) { make_jpeg(b, JCS_GRAYSCALE, 1, false); }
static void make_jpeg_cmyk(struct fuzz_bytes *b) { make_jpeg(b, JCS_CMYK, 4, false); }
static void make_jpeg_progressive(struct fuzz_bytes *b) { make_jpeg(b, JCS_RGB, 3, true); }

static void png_put(png_structp png, png_bytep bytes, size_t size)
{
    append(png_get_io_ptr(png), bytes, size);
}

static void make_png(struct fuzz_bytes *b, int type, int channels, int interlace)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_color colours[256] = { { 1, 2, 3 } };
    uint8_t pixels[SIDE * SIDE * 4];
    png_bytep rows[SIDE];
    fill(pixels, channels);
    for (int y = 0; y < SIDE; y++)
        rows[y] = pixels + (ptrdiff_t)y * SIDE * channels;
    b->size = 0;
    png_set_write_fn(png, b, png_put, NULL);
    png_set_IHDR(png, info, SIDE, SIDE, 8, type, interlace, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, colours, 256);
    png_set_rows(png, info, rows);
    png_write_png(png, info, PNG_TRANSFORM_IDENTITY, NULL);
    png_destroy_write_struct(&png, &info);
}

static void make_png_rgba(struct fuzz_bytes *b) { make_png(b, PNG_COLOR_TYPE_RGB_ALPHA, 4, PNG_INTERLACE_ADAM7); }
static void make_png_gray(struct fuzz_bytes *b) { make_png(b, PNG_COLOR_TYPE_GRAY, 1, PNG_INTERLACE_NONE); }
static void make_png_palette(struct fuzz_bytes *b) { make_png(b, PNG_COLOR_TYPE_PALETTE, 1, PNG_INTERLACE_NONE); }

static uint32_t big32(const char *p)
{
    const uint8_t *u = (const uint8_t *)p;
    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

/* A chunk: length, type, data, CRC of type and data. */
static void mend_png(struct fuzz_bytes *b)
{
    size_t at = 8;
    while (at + 12 <= b->size && big32(b->data + at) <= b->size - at - 12) {
        size_t length = big32(b->data + at);
        uint32_t crc = (uint32_t)crc32(0, (const Bytef *)b->data + at + 4, (uInt)length + 4);
        for (int i = 0; i < 4; i++)
            b->data[at + 8 + length + (size_t)i] = (char)(crc >> (24 - 8 * i));
        at += length + 12;
    }
}

static int read_picture(const char *folder, const char *path, const struct fuzz_bytes *b)
{
    struct vrt_image image = { 0 };
    struct vrt_error e = { .text = "" };
    int channels = b->size % 2 ? 1 : 3;
    (void)folder, (void)path;
    bool good = vrt_image_decode(&image, (const uint8_t *)b->data, b->size, channels, &e);
    int outcome = good ? CASE_TAKEN : *e.text ? CASE_REFUSED : NO_REASON;
    if (good && (image.channels != channels ||
                 image.pixels.size != (size_t)image.width * (size_t)image.height * (size_t)channels))
        outcome = WRONG_SIZE;
    vrt_image_free(&image);
    return outcome;
}

/* -- data sets -- */

/* Two splits of two classes, each with a JPEG and a PNG. */
static void make_tree(struct fuzz_bytes *b, int filter, bool pax)
{
    struct fuzz_bytes picture = fuzz_bytes_new(ROOM);
    struct archive *a = archive_write_new();
    size_t used = 0;
    archive_write_add_filter(a, filter);
    must((pax ? archive_write_set_format_pax(a) : archive_write_set_format_gnutar(a)) == ARCHIVE_OK, "no tar");
    must(archive_write_open_memory(a, b->data, b->room, &used) == ARCHIVE_OK, "no archive");
    for (int i = 0; i < 8; i++) {
        struct archive_entry *entry = archive_entry_new();
        char name[300];
        snprintf(name, sizeof name, "%s/%s/%0*d.img", i & 4 ? "train" : "val", i & 2 ? "cat" : "dog",
                 i == 7 ? 150 : 3, i);
        if (i & 1)
            make_jpeg_gray(&picture);
        else
            make_png_gray(&picture);
        archive_entry_set_pathname(entry, name);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0644);
        archive_entry_set_size(entry, (la_int64_t)picture.size);
        must(archive_write_header(a, entry) == ARCHIVE_OK, "no entry");
        must(archive_write_data(a, picture.data, picture.size) == (la_ssize_t)picture.size, "no data");
        archive_entry_free(entry);
    }
    must(archive_write_close(a) == ARCHIVE_OK, "no end");
    archive_write_free(a);
    b->size = used;
    fuzz_bytes_free(&picture);
}

static void make_tar(struct fuzz_bytes *b) { make_tree(b, ARCHIVE_FILTER_NONE, true); }
static void make_gnu_tar(struct fuzz_bytes *b) { make_tree(b, ARCHIVE_FILTER_NONE, false); }
static void make_tar_gz(struct fuzz_bytes *b) { make_tree(b, ARCHIVE_FILTER_GZIP, true); }

/* A tar header is 512 bytes; the sum of all, with blanks for the sum itself, stands at 148 in octal. */
static void mend_tar(struct fuzz_bytes *b)
{
    for (size_t at = 0; at + 512 <= b->size; at += 512) {
        char *h = b->data + at, text[8];
        unsigned sum = 0;
        if (memcmp(h + 257, "ustar", 5) != 0)
            continue;
        memset(h + 148, ' ', 8);
        for (int i = 0; i < 512; i++)
            sum += (uint8_t)h[i];
        snprintf(text, sizeof text, "%06o", sum);
        memcpy(h + 148, text, 7);
    }
}

static void read_items(const struct vrt_dataset *d)
{
    struct vrt_image image = { 0 };
    struct vrt_error e;
    char name[200];
    int64_t n = vrt_dataset_count(d);
    for (int64_t i = 0; i < n && i < 8; i++) {
        vrt_dataset_item_name(d, i, name, sizeof name);
        vrt_dataset_read(d, i, 1, &image, &e);
    }
    vrt_image_free(&image);
}

static int read_dataset(const char *root)
{
    struct vrt_dataset *train = NULL, *val = NULL;
    struct vrt_error e = { .text = "" };
    if (!vrt_dataset_open(&train, root, "train", NULL, &e))
        return *e.text ? CASE_REFUSED : NO_REASON;
    read_items(train);
    int outcome = CASE_TAKEN;
    if (vrt_dataset_open(&val, root, "val", train, &e)) {
        read_items(val);
        vrt_dataset_close(val);
    } else {
        outcome = *e.text ? CASE_REFUSED : NO_REASON;
    }
    vrt_dataset_close(train);
    return outcome;
}

static int read_archive(const char *folder, const char *path, const struct fuzz_bytes *b)
{
    (void)folder, (void)b;
    return read_dataset(path);
}

static void make_idx(struct fuzz_bytes *b, bool labels)
{
    const uint8_t header[16] = { 0, 0, 8, labels ? 1 : 3, 0, 0, 0, PICTURES, 0, 0, 0, SIDE, 0, 0, 0, SIDE };
    uint8_t pixels[SIDE * SIDE];
    b->size = 0;
    append(b, header, labels ? 8 : 16);
    fill(pixels, 1);
    for (int i = 0; i < PICTURES; i++)
        append(b, labels ? (const uint8_t[]){ (uint8_t)i } : pixels, labels ? 1 : sizeof pixels);
}

static void make_idx_pixels(struct fuzz_bytes *b) { make_idx(b, false); }
static void make_idx_labels(struct fuzz_bytes *b) { make_idx(b, true); }

/* Files that gzip made would end at their checksum: the damage is done before. */
static void write_idx(const char *folder, const char *name, const struct fuzz_bytes *b, bool zip)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    gzFile f = gzopen(path, zip ? "wb1" : "wbT");
    must(f && gzwrite(f, b->data, (unsigned)b->size) == (int)b->size && gzclose(f) == Z_OK, path);
}

static int read_idx_pair(const char *folder, const struct fuzz_bytes *pixels, const struct fuzz_bytes *labels)
{
    static const char *const names[] = { "train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                         "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte" };
    char root[200];
    snprintf(root, sizeof root, "%s/idx", folder);
    mkdir(root, 0777);
    for (size_t i = 0; i < 4; i++)
        write_idx(root, names[i], i % 2 ? labels : pixels, (pixels->size + i) % 3 == 0);
    return read_dataset(root);
}

static int read_idx_pixels(const char *folder, const char *path, const struct fuzz_bytes *b)
{
    struct fuzz_bytes labels = fuzz_bytes_new(ROOM);
    (void)path;
    make_idx_labels(&labels);
    int outcome = read_idx_pair(folder, b, &labels);
    fuzz_bytes_free(&labels);
    return outcome;
}

static int read_idx_labels(const char *folder, const char *path, const struct fuzz_bytes *b)
{
    struct fuzz_bytes pixels = fuzz_bytes_new(ROOM);
    (void)path;
    make_idx_pixels(&pixels);
    int outcome = read_idx_pair(folder, &pixels, b);
    fuzz_bytes_free(&pixels);
    return outcome;
}

/* -- weights -- */

static const struct vrt_param params[] = {
    { "a.weight", 2, VRT_INIT_ZERO, { 2, 3, 0, 0 }, 0, 6, 0, 0, 1, 0 },
    { "a.bias", 1, VRT_INIT_ZERO, { 2, 0, 0, 0 }, 64, 2, 0, 0, 1, 0 },
    { "b", 3, VRT_INIT_ZERO, { 1, 4, 2, 0 }, 128, 8, 0, 0, 1, 0 },
};
static const struct vrt_role roles[] = { { 0, VRT_ROLE_HEAD, 0, 0, 0 }, { 2, VRT_ROLE_POSITIONS, 2, 2, 0 } };
static const struct vrt_moe moes[] = { { .name = "a", .prefix = "a", .experts = 2, .top_k = 1 } };
enum { NPARAMS = sizeof params / sizeof *params };

static void make_weights(struct fuzz_bytes *b)
{
    static const float values[48] = { 1, 2, 3 };
    const struct vrt_meta meta[] = { { "format", "pt" }, { "classes", "[\"a\",\"b\"]" }, { "positions", "{\"b\":[1,4]}" } };
    char path[] = "/tmp/vmoe-fuzz-weights-XXXXXX";
    int fd = mkstemp(path);
    struct vrt_error e;
    must(fd >= 0 && vrt_tensors_save(path, params, NPARAMS, values, meta, 3, &e), path);
    close(fd);
    FILE *f = fopen(path, "rb");
    must(f, path);
    b->size = fread(b->data, 1, b->room, f);
    fclose(f);
    unlink(path);
}

static void fresh(void *data, int64_t param)
{
    (void)data, (void)param;
}

static int read_weights(const char *folder, const char *path, const struct fuzz_bytes *b)
{
    struct vrt_tensors *t = NULL;
    struct vrt_error e = { .text = "" };
    float block[64] = { 0 };
    const struct vrt_program program = { .params = params, .nparams = NPARAMS, .roles = roles, .nroles = 2, .moes = moes, .nmoes = 1 };
    const struct vrt_adapt how = { .fine_tune = true, .fresh = fresh };
    struct vrt_buffer notes = { 0 };
    (void)folder, (void)b;
    if (!vrt_tensors_open(&t, path, &e))
        return *e.text ? CASE_REFUSED : NO_REASON;
    vrt_tensors_meta(t, "classes");
    bool good = vrt_adapt_load(t, &program, &how, block, &notes, &e);
    vrt_buffer_free(&notes);
    vrt_tensors_close(t);
    return good ? CASE_TAKEN : *e.text ? CASE_REFUSED : NO_REASON;
}

/* -- cases -- */

static struct kind kinds[] = {
    { .name = "rgb.jpg", .make = make_jpeg_rgb, .read = read_picture },
    { .name = "gray.jpg", .make = make_jpeg_gray, .read = read_picture },
    { .name = "cmyk.jpg", .make = make_jpeg_cmyk, .read = read_picture },
    { .name = "progressive.jpg", .make = make_jpeg_progressive, .read = read_picture },
    { .name = "rgba.png", .make = make_png_rgba, .mend = mend_png, .read = read_picture },
    { .name = "gray.png", .make = make_png_gray, .mend = mend_png, .read = read_picture },
    { .name = "palette.png", .make = make_png_palette, .mend = mend_png, .read = read_picture },
    { .name = "pax.tar", .make = make_tar, .mend = mend_tar, .read = read_archive },
    { .name = "gnu.tar", .make = make_gnu_tar, .mend = mend_tar, .read = read_archive },
    { .name = "pax.tar.gz", .make = make_tar_gz, .read = read_archive },
    { .name = "pixels.idx", .make = make_idx_pixels, .read = read_idx_pixels },
    { .name = "labels.idx", .make = make_idx_labels, .read = read_idx_labels },
    { .name = "weights.safetensors", .make = make_weights, .read = read_weights },
};
enum { NKINDS = sizeof kinds / sizeof *kinds };

/* Number i is a case of kind i mod NKINDS; the first of each kind are whole. */
static struct fuzz_bytes make_case(const struct fuzz *z, uint64_t number)
{
    const struct kind *k = &kinds[number % NKINDS];
    struct fuzz_random r = fuzz_random_start(z->seed, number);
    struct fuzz_bytes b = fuzz_bytes_new(ROOM);
    fuzz_bytes_set(&b, k->good.data, k->good.size);
    if (number < NKINDS)
        return b;
    do
        fuzz_mutate_binary(&b, &r);
    while (fuzz_below(&r, 5) < 3);
    if (k->mend && fuzz_below(&r, 2))
        k->mend(&b);
    return b;
}

static int run_case(void *data, uint64_t number)
{
    const struct fuzz *z = data;
    const struct kind *k = &kinds[number % NKINDS];
    struct fuzz_bytes b = make_case(z, number);
    char path[200];
    snprintf(path, sizeof path, "%s/%s", z->folder, k->name);
    write_file(path, b.data, b.size);
    int outcome = k->read(z->folder, path, &b);
    fuzz_bytes_free(&b);
    return outcome;
}

static void save_case(void *data, uint64_t number)
{
    const struct fuzz *z = data;
    struct fuzz_bytes b = make_case(z, number);
    char path[200];
    snprintf(path, sizeof path, "fuzz-%llu-%llu-%s", (unsigned long long)z->seed, (unsigned long long)number,
             kinds[number % NKINDS].name);
    write_file(path, b.data, b.size);
    printf("#   in %s\n", path);
    fuzz_bytes_free(&b);
}

/* -- the program -- */

static int test;

static void tap(bool good, const char *text)
{
    printf("%sok %d - %s\n", good ? "" : "not ", ++test, text);
}

static void test_files(struct fuzz *z, uint64_t first, uint64_t count)
{
    struct watch w = { .run = run_case, .failures = failures, .save = save_case, .data = z, .seconds = SECONDS,
                       .memory = (size_t)MEGABYTES << 20, .batch = 200, .patience = 25 };
    struct watch_result whole = watch_cases(&w, 0, NKINDS), r = watch_cases(&w, first, count);
    tap(whole.failed == 0 && whole.taken == NKINDS, "whole files are read");
    printf("# seed %llu: %llu cases, %llu read, %llu failed; slowest %.0f ms (case %llu)\n", (unsigned long long)z->seed,
           (unsigned long long)r.done, (unsigned long long)r.taken, (unsigned long long)r.failed, 1e3 * r.slowest,
           (unsigned long long)r.slowest_number);
    tap(r.failed == 0 && r.done == count, "damaged files are read or refused");
}

static void remove_folder(const struct fuzz *z)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf '%s'", z->folder);
    must(system(command) == 0, command);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "seed", required_argument, NULL, 's' }, { "first", required_argument, NULL, 'f' },
        { "count", required_argument, NULL, 'c' }, { "save", no_argument, NULL, 'w' }, { NULL, 0, NULL, 0 },
    };
    struct fuzz z = { .seed = 1, .folder = "/tmp/vmoe-fuzz-XXXXXX" };
    uint64_t first = NKINDS, count = CASES;
    bool save = false;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (c) {
        case 's': z.seed = strtoull(optarg, NULL, 10); break;
        case 'f': first = strtoull(optarg, NULL, 10); break;
        case 'c': count = strtoull(optarg, NULL, 10); break;
        case 'w': save = true; break;
        default: return 2;
        }
    must(mkdtemp(z.folder) != NULL, z.folder);
    for (size_t i = 0; i < NKINDS; i++) {
        kinds[i].good = fuzz_bytes_new(ROOM);
        kinds[i].make(&kinds[i].good);
    }
    if (save)
        save_case(&z, first);
    test_files(&z, first, count);
    printf("1..%d\n", test);
    for (size_t i = 0; i < NKINDS; i++)
        fuzz_bytes_free(&kinds[i].good);
    remove_folder(&z);
    return 0;
}
