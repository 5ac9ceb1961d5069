/* What the tests of data sets and of the loader make: files in the folder of fixture_folder.c. */
#ifndef TESTS_UNIT_PICTURES_H
#define TESTS_UNIT_PICTURES_H

#include <stddef.h>

#include "runtime/data/loader.h"

const char *in_folder(const char *format, ...) __attribute__((format(printf, 1, 2)));
void write_file(const char *path, const void *bytes, size_t size);
void write_gray(const char *path, int value);
void write_tree(const char *root, const char *split, int classes, int pictures, int base);

struct vrt_transform plain(int channels, int width,
                           int height); /* nothing but the size; bytes become -2 .. 2 */

#endif
