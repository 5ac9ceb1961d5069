/* What a training bears by itself, and what it says of it: on stderr, and as lines
 * {"warning":"text","step":1,"epoch":1} of its metrics. */
#ifndef RUNTIME_PROGRAM_FAULTS_H
#define RUNTIME_PROGRAM_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"

struct vrt_training;

/* A step is skipped whose loss or gradients are not finite; after VRT_SKIPS in a row the training
 * goes back to a state before them, with half the learning rate; after VRT_RETURNS such returns it
 * stops. */
enum { VRT_SKIPS = 3, VRT_RETURNS = 2, VRT_PICTURES_NAMED = 16 };

/* A warning of our own. */
bool vrt_training_warn(struct vrt_training *t, struct vrt_error *e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The step under way has no finite result: `what` of it is `value`. Its gradients are dropped and
 * the position moves behind it, or back: *back tells. `call`: the one whose loss it was, -1: not
 * known. */
bool vrt_training_skip(struct vrt_training *t, const char *what, double value, int64_t call,
                       bool *back, struct vrt_error *e);

/* Pictures of the call under way that could not be read: told, counted, and too many are an
 * error. */
bool vrt_training_unread(struct vrt_training *t, struct vrt_error *e);

/* At the end of an epoch: what could not be read in it, and experts that were hardly chosen. */
bool vrt_training_review(struct vrt_training *t, struct vrt_error *e);

/* The data failed, not the training: save what is learnt and say in *e how the run goes on; always
 * false. */
bool vrt_training_keep(struct vrt_training *t, struct vrt_error *e);

#endif
