/* Weights in safetensors files: 8 bytes little-endian N, a JSON header of N bytes, then the tensors without gaps.
 *
 * The reader trusts nothing: sizes, offsets, duplicate names, gaps and overlaps are checked before a byte is used. The
 * writer replaces a file in one step: after a crash or on a full disk the old one is still there. */
#ifndef RUNTIME_IO_SAFETENSORS_H
#define RUNTIME_IO_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

struct vrt_param;
struct vrt_tensors;

/* Map a file and check its layout. Files in pickle format (.pth, .pt) are refused with the lines that convert them. */
bool vrt_tensors_open(struct vrt_tensors **out, const char *path, struct vrt_error *e);
void vrt_tensors_close(struct vrt_tensors *t);

/* The text under `key` in the header's __metadata__, NULL if there is none; it lives as long as `t`. */
const char *vrt_tensors_meta(const struct vrt_tensors *t, const char *key);

/* Copy every tensor of the table into `block` (params[i].offset bytes on, as float; F16 and BF16 are converted). The
 * file must hold exactly the tensors of the table with their shapes; otherwise nothing is copied and the error names
 * what is missing, what is too much and what differs in shape. */
bool vrt_tensors_load(const struct vrt_tensors *t, const struct vrt_param *params, int64_t nparams, void *block,
                      struct vrt_error *e);

struct vrt_meta { const char *key, *value; };

/* Write the table's tensors from `block`, as F32, with the metadata given. */
bool vrt_tensors_save(const char *path, const struct vrt_param *params, int64_t nparams, const void *block,
                      const struct vrt_meta *meta, size_t nmeta, struct vrt_error *e);

#endif
