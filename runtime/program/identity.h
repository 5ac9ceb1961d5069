/* What a training was begun with, in run.json and in its states: the spec, the values of keys,
 * checksums of the data's list and of the file of --weights. On resuming they are held against what
 * is there now. */
#ifndef RUNTIME_PROGRAM_IDENTITY_H
#define RUNTIME_PROGRAM_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"

struct vrt_dataset;
struct vrt_options;
struct vrt_run;

struct vrt_run_data {
    const struct vrt_dataset *train, *val;
};

/* Fill r->identity. That the weights are no longer those of r->before is told. */
bool vrt_identity_make(struct vrt_run *r, const struct vrt_options *o,
                       const struct vrt_run_data *data, int64_t images_per_call,
                       struct vrt_error *e);

/* Is it that of r->before? An error says what has changed. Other pictures to evaluate on are none,
 * but told. */
bool vrt_identity_compare(const struct vrt_run *r, const struct vrt_run_data *data,
                          struct vrt_error *e);

/* How many pictures each class has, and a checksum of their names: "24:1a2b3c4d 23:...". malloc'ed;
 * NULL: no memory. */
char *vrt_identity_classes(const struct vrt_dataset *d, struct vrt_error *e);

#endif
