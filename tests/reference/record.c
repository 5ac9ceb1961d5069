/* Tensors that another program computed, and the count of comparisons: see record.h. */
#include "config.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/reference/record.h"

void record_open(struct record *r, const char *path)
{
    struct vrt_error e;
    char full[4096];
    snprintf(full, sizeof full, "%s/tests/reference/%s", getenv("top_srcdir"), path);
    *r = (struct record){0};
    if (!vrt_tensors_open(&r->tensors, full, &e))
        fail_msg("%s", e.text);
}

void record_close(struct record *r)
{
    vrt_tensors_close(r->tensors);
}

void record_check(struct record *r, bool good, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!good && !r->wrong++)
        vsnprintf(r->first, sizeof r->first, format, arguments);
    va_end(arguments);
}

float *record_read(struct record *r, const char *name, int64_t n)
{
    const struct vrt_tensor *x = vrt_tensors_find(r->tensors, name);
    bool fits = x && x->end - x->begin == 4 * (uint64_t)n;
    record_check(r, fits, "%s is not in the record with %" PRId64 " numbers", name, n);
    struct vrt_error e;
    float *to = fits ? malloc((size_t)n * sizeof *to) : NULL;
    if (to && !vrt_tensors_read(r->tensors, x, 0, (uint64_t)n, to, &e))
        fail_msg("%s", e.text);
    return to;
}

int64_t record_count(const struct record *r, const char *prefix)
{
    int64_t n = 0;
    for (size_t i = 0; i < vrt_tensors_count(r->tensors); i++)
        n += !strncmp(vrt_tensors_at(r->tensors, i)->name, prefix, strlen(prefix));
    return n;
}

struct CMUnitTest record_test(const char *title, CMUnitTestFunction run, const void *row)
{
    return (struct CMUnitTest){title, run, NULL, NULL, (void *)(uintptr_t)row};
}

int record_main(const char *group, const struct CMUnitTest *tests, size_t n)
{
    if (!getenv("top_srcdir")) {
        puts("Bail out! top_srcdir must be set");
        return 99;
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return _cmocka_run_group_tests(group, tests, n, NULL, NULL);
}
