/* Files and folders of pictures: see pictures.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <png.h>

#include "runtime/base/file.h"
#include "tests/unit/fixture.h"
#include "tests/unit/pictures.h"

/* A path in the temporary folder; good until four calls later. */
const char *in_folder(const char *format, ...)
{
    static char texts[4][512];
    static int turn;
    char *text = texts[turn++ & 3];
    int n = snprintf(text, sizeof texts[0], "%s/", folder);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text + n, sizeof texts[0] - (size_t)n, format, arguments);
    va_end(arguments);
    return text;
}

void write_file(const char *path, const void *bytes, size_t size)
{
    struct vrt_error e;

    if (!vrt_file_write(path, bytes, size, &e))
        fail_msg("%s", e.text);
}

/* A PNG of one gray value in 8 x 6 pixels: a picture that says which it is. */
void write_gray(const char *path, int value)
{
    png_image image = {
        .version = PNG_IMAGE_VERSION, .width = 8, .height = 6, .format = PNG_FORMAT_GRAY};
    uint8_t pixels[48];

    memset(pixels, value, sizeof pixels);
    assert_true(png_image_write_to_file(&image, path, 0, pixels, 0, NULL));
}

/* ROOT/SPLIT/CLASS/n.png for two or three classes; the value of picture n of class c is 40c + n +
 * base. */
void write_tree(const char *root, const char *split, int classes, int pictures, int base)
{
    static const char *const names[] = {"cat", "cat-2", "dog"};
    char path[600];

    mkdir(root, 0777);
    snprintf(path, sizeof path, "%s/%s", root, split);
    mkdir(path, 0777);
    for (int c = 0; c < classes; c++) {
        snprintf(path, sizeof path, "%s/%s/%s", root, split, names[c]);
        mkdir(path, 0777);
        for (int n = 0; n < pictures; n++) {
            snprintf(path, sizeof path, "%s/%s/%s/%02d.png", root, split, names[c], n);
            write_gray(path, 40 * c + n + base);
        }
    }
}

struct vrt_transform plain(int channels, int width, int height)
{
    return (struct vrt_transform){.channels = channels,
                                  .width = width,
                                  .height = height,
                                  .mean = {0.5, 0.5, 0.5},
                                  .std = {0.25, 0.25, 0.25},
                                  .resample = 1,
                                  .crop_pct = 1};
}
