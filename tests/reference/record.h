/* What another program computed, in a safetensors file, and how a comparison with it went. Files
 * that cannot be read fail the cmocka test. */
#ifndef TESTS_REFERENCE_RECORD_H
#define TESTS_REFERENCE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/io/safetensors.h"

struct record {
    struct vrt_tensors *tensors;
    int wrong;       /* comparisons that failed, */
    char first[256]; /* and the first of them */
};

/* `path`: from tests/reference on. */
void record_open(struct record *r, const char *path);
void record_close(struct record *r);

void record_check(struct record *r, bool good, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A tensor of n numbers, to be freed; NULL, and a failed comparison, if there is none. */
float *record_read(struct record *r, const char *name, int64_t n);

/* Tensors whose names begin so. */
int64_t record_count(const struct record *r, const char *prefix);

/* A test of one row of a table: run gets it as *state. */
struct CMUnitTest record_test(const char *title, CMUnitTestFunction run, const void *row);

/* Run them; returns main's status, 99 if top_srcdir is not set. */
int record_main(const char *group, const struct CMUnitTest *tests, size_t n);

#endif
