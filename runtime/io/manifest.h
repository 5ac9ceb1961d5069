/* The list of the states in a folder, manifest.json: name, number, step, bytes and checksum of
 * each, newest first. It is written after the state that it names is durable, so a state that it
 * names must be there and be whole: one that is gone, or another one under its name, is seen. A
 * state that is newer than the list is one whose list was still to be written. */
#ifndef RUNTIME_IO_MANIFEST_H
#define RUNTIME_IO_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"

enum { VRT_STATES = 2 };

struct vrt_listed {
    uint64_t sequence, bytes; /* sequence 0: no such row */
    int64_t step;             /* -1: not known */
    char file[24], sum[40];   /* "1.state"; hexadecimal */
};

struct vrt_manifest {
    struct vrt_listed row[VRT_STATES]; /* newest first */
    bool damaged;                      /* there is a file, but it cannot be understood */
};

/* False: no memory to read it, which says nothing of it. */
bool vrt_manifest_read(struct vrt_manifest *m, const char *folder, struct vrt_error *e);

/* Put a row in front, in place of the one with its file's name, and write the list. */
bool vrt_manifest_write(struct vrt_manifest *m, const char *folder, const struct vrt_listed *newest,
                        struct vrt_error *e);

/* The row of a file, NULL if it is not listed. */
const struct vrt_listed *vrt_manifest_find(const struct vrt_manifest *m, const char *file);

#endif
