/* Data sets, pictures and broken files for the end-to-end tests, the same bytes at every call.
 *
 *   make_data idx FOLDER SIDE TRAIN TEST CLASSES     IDX files of gray pictures
 *   make_data tree FOLDER SIDE TRAIN TEST CLASSES    folders of JPEG (plain, progressive, gray) and
 *                                                    PNG
 *   make_data picture KIND FILE SIDE                 one picture, see `kinds`
 *   make_data orient FROM TO N                       a JPEG with N for its EXIF orientation
 *   make_data edit FROM TO OLD NEW                   a safetensors file with OLD replaced by NEW in
 *                                                    its header
 *
 * A picture of class c shows a bar in noise; its angle (mirrored, it is no other class's) and the
 * brightness around it tell the class, so that a few steps of training suffice. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jpeglib.h>
#include <png.h>

enum { SIDE_MAX = 4096, PATH_SIZE = 4096 };

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static FILE *open_file(const char *path, const char *mode)
{
    FILE *f = fopen(path, mode);
    if (f == NULL)
        die(path);
    return f;
}

static void close_file(FILE *f, const char *path)
{
    if (ferror(f) || fclose(f) != 0)
        die(path);
}

static uint32_t mix(uint32_t x)
{
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

/* Channel k of pixel (y, x) of picture n. */
static uint8_t pixel(int side, int class, int classes, uint32_t n, int y, int x, int k)
{
    double angle = 1.57079633 * class / classes, shift = (double)(mix(n) % 100) / 100.0 - 0.5;
    double dx = (double)x / side - 0.5, dy = (double)y / side - 0.5;
    double far = fabs(dx * sin(angle) - dy * cos(angle) - 0.3 * shift);
    uint32_t noise = mix(n * 65537u + (uint32_t)((y * side + x) * 3 + k)) % 48;
    return (uint8_t)((far < 0.12 ? 200u : 10u + 120u * (unsigned)class / (unsigned)classes) +
                     noise);
}

static uint8_t *make_pixels(int side, int channels, int class, int classes, uint32_t n)
{
    uint8_t *p = malloc((size_t)side * (size_t)side * (size_t)channels), *at = p;
    if (p == NULL)
        die("make_data");
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++)
            for (int k = 0; k < channels; k++)
                *at++ = pixel(side, class, classes, n, y, x, k);
    return p;
}

/* --- IDX --- */

static void put_word(FILE *f, uint32_t v)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        fputc((int)(v >> shift & 255), f);
}

static void write_idx(const char *folder, const char *prefix, int side, int count, int classes,
                      uint32_t first)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s-images-idx3-ubyte", folder, prefix);
    FILE *f = open_file(path, "wb");
    put_word(f, 0x803);
    put_word(f, (uint32_t)count);
    put_word(f, (uint32_t)side);
    put_word(f, (uint32_t)side);
    for (int i = 0; i < count; i++) {
        uint8_t *p = make_pixels(side, 1, i % classes, classes, first + (uint32_t)i);
        fwrite(p, 1, (size_t)side * (size_t)side, f);
        free(p);
    }
    close_file(f, path);
    snprintf(path, sizeof path, "%s/%s-labels-idx1-ubyte", folder, prefix);
    f = open_file(path, "wb");
    put_word(f, 0x801);
    put_word(f, (uint32_t)count);
    for (int i = 0; i < count; i++)
        fputc(i % classes, f);
    close_file(f, path);
}

/* --- pictures --- */

struct picture {
    const uint8_t *pixels;
    int side, channels;
};

static void write_jpeg(const char *path, const struct picture *p, J_COLOR_SPACE stored,
                       bool progressive)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    FILE *f = open_file(path, "wb");
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_stdio_dest(&c, f);
    c.image_width = c.image_height = (JDIMENSION)p->side;
    c.input_components = p->channels;
    c.in_color_space = p->channels == 1 ? JCS_GRAYSCALE : p->channels == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&c);
    jpeg_set_colorspace(&c, stored);
    jpeg_set_quality(&c, 90, TRUE);
    if (progressive)
        jpeg_simple_progression(&c);
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < c.image_height) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)p->pixels +
                       (size_t)p->side * (size_t)p->channels * c.next_scanline;
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    close_file(f, path);
}

static void write_png(const char *path, const struct picture *p)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)p->side,
                       .height = (png_uint_32)p->side,
                       .format = p->channels == 1   ? PNG_FORMAT_GRAY
                                 : p->channels == 3 ? PNG_FORMAT_RGB
                                                    : PNG_FORMAT_RGBA};
    if (!png_image_write_to_file(&image, path, 0, p->pixels, 0, NULL)) {
        fprintf(stderr, "%s: %s\n", path, image.message);
        exit(1);
    }
}

/* The whole file, and room for one byte more. */
static uint8_t *slurp(const char *path, size_t *size)
{
    FILE *f = open_file(path, "rb");
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    uint8_t *data = malloc(*size + 1);
    if (data == NULL || fread(data, 1, *size, f) != *size)
        die(path);
    data[*size] = 0;
    close_file(f, path);
    return data;
}

static void spill(const char *path, const void *data, size_t size)
{
    FILE *f = open_file(path, "wb");
    fwrite(data, 1, size, f);
    close_file(f, path);
}

static void truncate_file(const char *path)
{
    size_t size;
    uint8_t *data = slurp(path, &size);
    spill(path, data, size * 6 / 10);
    free(data);
}

/* The frame header (SOF) then claims 65500 x 65500 pixels. */
static void enlarge_jpeg(const char *path)
{
    size_t size, at = 2;
    uint8_t *data = slurp(path, &size);
    while (at + 9 < size && (data[at + 1] < 0xc0 || data[at + 1] > 0xc2))
        at += 2 + ((size_t)data[at + 2] << 8 | data[at + 3]);
    memcpy(data + at + 5, "\xff\xdc\xff\xdc", 4);
    spill(path, data, size);
    free(data);
}

/* IHDR then claims 2^31 - 1 pixels a side; its checksum is made to agree. */
static void enlarge_png(const char *path)
{
    size_t size;
    uint8_t *data = slurp(path, &size);
    uint32_t crc = ~0u;
    memcpy(data + 16, "\x7f\xff\xff\xff\x7f\xff\xff\xff", 8);
    for (int i = 12; i < 29; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    for (int i = 0; i < 4; i++)
        data[29 + i] = (uint8_t)(~crc >> (24 - 8 * i));
    spill(path, data, size);
    free(data);
}

static const struct kind {
    const char *name;
    int channels;
    bool png, progressive;
    J_COLOR_SPACE stored;
    void (*spoil)(const char *path);
} kinds[] = {
    {"plain", 3, false, false, JCS_YCbCr, NULL},
    {"rgb", 3, false, false, JCS_RGB, NULL},
    {"gray", 1, false, false, JCS_GRAYSCALE, NULL},
    {"progressive", 3, false, true, JCS_YCbCr, NULL},
    {"cmyk", 4, false, false, JCS_CMYK, NULL},
    {"ycck", 4, false, false, JCS_YCCK, NULL},
    {"truncated", 3, false, false, JCS_YCbCr, truncate_file},
    {"truncated-progressive", 3, false, true, JCS_YCbCr, truncate_file},
    {"huge", 3, false, false, JCS_YCbCr, enlarge_jpeg},
    {"png", 3, true, false, JCS_RGB, NULL},
    {"png-gray", 1, true, false, JCS_GRAYSCALE, NULL},
    {"png-alpha", 4, true, false, JCS_RGB, NULL},
    {"png-truncated", 3, true, false, JCS_RGB, truncate_file},
    {"png-huge", 3, true, false, JCS_RGB, enlarge_png},
};
enum { NKINDS = sizeof kinds / sizeof *kinds };

static const struct kind *find_kind(const char *name)
{
    for (int i = 0; i < NKINDS; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    fprintf(stderr, "make_data: no kind of picture is called %s\n", name);
    exit(2);
}

static void write_picture(const char *path, const struct kind *kind, int side, int class,
                          int classes, uint32_t n)
{
    uint8_t *pixels = make_pixels(side, kind->channels, class, classes, n);
    struct picture p = {pixels, side, kind->channels};
    if (kind->png)
        write_png(path, &p);
    else
        write_jpeg(path, &p, kind->stored, kind->progressive);
    if (kind->spoil != NULL)
        kind->spoil(path);
    free(pixels);
}

/* EXIF right behind the beginning. */
static void orient_jpeg(const char *from, const char *to, int orientation)
{
    uint8_t exif[] = "\xff\xe1\0\42"
                     "Exif\0\0II*\0\10\0\0\0\1\0\22\1\3\0\1\0\0\0N\0\0\0\0\0\0";
    size_t size;
    uint8_t *data = slurp(from, &size);
    FILE *f = open_file(to, "wb");
    exif[28] = (uint8_t)orientation;
    fwrite(data, 1, 2, f);
    fwrite(exif, 1, sizeof exif, f);
    fwrite(data + 2, 1, size - 2, f);
    close_file(f, to);
    free(data);
}

static void make_folder(const char *path)
{
    if (mkdir(path, 0777) != 0 && access(path, F_OK) != 0)
        die(path);
}

/* Five sorts of files in turn; the names do not tell which. */
static void write_tree(const char *folder, const char *split, int side, int count, int classes,
                       uint32_t first)
{
    static const char *const sorts[] = {"plain", "progressive", "png", "gray", "plain"};
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", folder, split);
    make_folder(path);
    for (int i = 0; i < count; i++) {
        int class = i % classes;
        snprintf(path, sizeof path, "%s/%s/class%02d", folder, split, class);
        if (i < classes)
            make_folder(path);
        snprintf(path, sizeof path, "%s/%s/class%02d/%05d.jpg", folder, split, class, i);
        write_picture(path, find_kind(sorts[i / classes % 5]), side, class, classes,
                      first + (uint32_t)i);
    }
}

/* --- safetensors --- */

/* OLD must occur once; the header's length and padding follow. */
static void edit_header(const char *from, const char *to, const char *old, const char *new)
{
    size_t size, length = 0, was = strlen(old), is = strlen(new);
    uint8_t *data = slurp(from, &size);
    for (int i = 7; i >= 0; i--)
        length = length << 8 | data[i];
    char *header = (char *)data + 8, *at = memmem(header, length, old, was);
    if (at == NULL || memmem(at + 1, length - (size_t)(at + 1 - header), old, was) != NULL) {
        fprintf(stderr, "make_data: `%s` is not once in the header of %s\n", old, from);
        exit(1);
    }
    FILE *f = open_file(to, "wb");
    uint64_t longer = length - was + is;
    for (int i = 0; i < 8; i++)
        fputc((int)(longer >> 8 * i & 255), f);
    fwrite(header, 1, (size_t)(at - header), f);
    fwrite(new, 1, is, f);
    fwrite(at + was, 1, length - was - (size_t)(at - header), f);
    fwrite(header + length, 1, size - 8 - length, f);
    close_file(f, to);
    free(data);
}

static int number(const char *text, int max)
{
    long v = strtol(text, NULL, 10);
    if (v < 1 || v > max) {
        fprintf(stderr, "make_data: %s is not 1 to %d\n", text, max);
        exit(2);
    }
    return (int)v;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (argc == 7 && (strcmp(what, "idx") == 0 || strcmp(what, "tree") == 0)) {
        int side = number(argv[3], SIDE_MAX), train = number(argv[4], 1000000),
            test = number(argv[5], 1000000);
        int classes = number(argv[6], 100);
        make_folder(argv[2]);
        if (what[0] == 'i') {
            write_idx(argv[2], "train", side, train, classes, 0);
            write_idx(argv[2], "t10k", side, test, classes, 1000000);
        } else {
            write_tree(argv[2], "train", side, train, classes, 0);
            write_tree(argv[2], "test", side, test, classes, 1000000);
        }
    } else if (argc == 5 && strcmp(what, "picture") == 0)
        write_picture(argv[3], find_kind(argv[2]), number(argv[4], SIDE_MAX), 1, 4, 7);
    else if (argc == 5 && strcmp(what, "orient") == 0)
        orient_jpeg(argv[2], argv[3], number(argv[4], 8));
    else if (argc == 6 && strcmp(what, "edit") == 0)
        edit_header(argv[2], argv[3], argv[4], argv[5]);
    else {
        fprintf(stderr, "make_data: wrong arguments; see the head of make_data.c\n");
        return 2;
    }
    return 0;
}
