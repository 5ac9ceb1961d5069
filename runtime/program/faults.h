/* What a training bears by itself, and what it says of it: on stderr, and as lines {"warning":"text","step":1,"epoch":1} of its metrics. */
#ifndef RUNTIME_PROGRAM_FAULTS_H
#define RUNTIME_PROGRAM_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"

struct vrt_training;

/* Pictures of the call under way that could not be read: told, counted, and too many are an error. */
bool vrt_training_unread(struct vrt_training *t, struct vrt_error *e);

/* At the end of an epoch: what could not be read in it. */
bool vrt_training_review(struct vrt_training *t, struct vrt_error *e);

/* The data failed, not the training: save what is learnt and say in *e how the run goes on; always false. */
bool vrt_training_keep(struct vrt_training *t, struct vrt_error *e);

#endif
