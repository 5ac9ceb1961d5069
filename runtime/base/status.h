/* Errors of the runtime: a function that can fail takes a struct vrt_error and returns false after
 * filling it. Nothing below program/ prints or exits. */
#ifndef RUNTIME_BASE_STATUS_H
#define RUNTIME_BASE_STATUS_H

#include <stdbool.h>

/* The exit status of a program; that of VRT_NO_MEMORY is 1. It says nothing of the input: a
 * picture, state or table that found no memory is not bad, and nothing may stand in for it. */
enum vrt_code {
    VRT_OK = 0,
    VRT_BAD_INPUT = 1,
    VRT_USAGE = 2,
    VRT_INTERNAL = 3,
    VRT_NO_MEMORY = 4,
};

struct vrt_error {
    enum vrt_code code;
    char text[2048]; /* what happened, to which file, and what to do; no newline at the end */
};

/* `why` is of something that may be absent or damaged (VRT_OK: it is not), so it is no error; but
 * one that lacked memory is passed on: whether it is there is not known. */
bool vrt_may_fail(const struct vrt_error *why, struct vrt_error *e);

/* Fill *e and return false, so that `return vrt_fail(e, ...)` reads well. */
bool vrt_fail(struct vrt_error *e, enum vrt_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
