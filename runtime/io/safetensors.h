/* Weights in safetensors files: 8 bytes little-endian N, a JSON header of N bytes, then the tensors
 * without gaps.
 *
 * The reader trusts nothing: sizes, offsets, duplicate names, gaps and overlaps are checked before
 * a byte is used. The writer replaces a file in one step: after a crash or on a full disk the old
 * one is still there. */
#ifndef RUNTIME_IO_SAFETENSORS_H
#define RUNTIME_IO_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

struct vrt_param;
struct vrt_tensors;

/* Open a file and check its layout. Files in pickle format (.pth, .pt) are refused with the lines
 * that convert them. */
bool vrt_tensors_open(struct vrt_tensors **out, const char *path, struct vrt_error *e);
void vrt_tensors_close(struct vrt_tensors *t);

/* The text under `key` in the header's __metadata__, NULL if there is none; it lives as long as
 * `t`. */
const char *vrt_tensors_meta(const struct vrt_tensors *t, const char *key);

enum { VRT_RANK_LIMIT = 8 };

struct vrt_tensor { /* of an open file, which owns it */
    const char *name;
    const struct vrt_dtype *dtype;
    uint64_t shape[VRT_RANK_LIMIT]; /* first `rank` used */
    uint64_t begin, end;            /* bytes behind the header */
    size_t rank;
};

const char *vrt_tensors_path(const struct vrt_tensors *t);
size_t vrt_tensors_count(const struct vrt_tensors *t);
const struct vrt_tensor *vrt_tensors_at(const struct vrt_tensors *t, size_t i); /* sorted by name */
const struct vrt_tensor *vrt_tensors_find(const struct vrt_tensors *t,
                                          const char *name); /* NULL: there is none */

/* Whether its elements can become floats: F32, F16 and BF16 can. */
bool vrt_tensor_readable(const struct vrt_tensor *tensor);

/* Elements first .. first + n - 1 of a readable tensor, as floats. They must lie inside. An error:
 * the file was cut since it was opened, or a number is not finite. */
bool vrt_tensors_read(const struct vrt_tensors *t, const struct vrt_tensor *tensor, uint64_t first,
                      uint64_t n, float *to, struct vrt_error *e);

struct vrt_meta {
    const char *key, *value;
};

/* Write the table's tensors from `block`, as F32, with the metadata given. None may be called
 * `__metadata__`. */
bool vrt_tensors_save(const char *path, const struct vrt_param *params, int64_t nparams,
                      const void *block, const struct vrt_meta *meta, size_t nmeta,
                      struct vrt_error *e);

#endif
