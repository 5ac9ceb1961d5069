/* Errors of the runtime: a function that can fail takes a struct vrt_error and returns false after
 * filling it. Nothing below program/ prints or exits. */
#ifndef RUNTIME_BASE_STATUS_H
#define RUNTIME_BASE_STATUS_H

#include <stdbool.h>

/* The exit status of a program. */
enum vrt_code { VRT_OK = 0, VRT_BAD_INPUT = 1, VRT_USAGE = 2, VRT_INTERNAL = 3 };

struct vrt_error {
    enum vrt_code code;
    char text[2048]; /* what happened, to which file, and what to do; no newline at the end */
};

/* Fill *e and return false, so that `return vrt_fail(e, ...)` reads well. */
bool vrt_fail(struct vrt_error *e, enum vrt_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
