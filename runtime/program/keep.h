/* Which epochs' weights stay, and when a training has stopped getting better. */
#ifndef RUNTIME_PROGRAM_KEEP_H
#define RUNTIME_PROGRAM_KEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"

struct vrt_training;

/* The epoch that ends has `top1` hits. best.safetensors is that of the best epoch, of equal ones
 * the first; with train.keep_best = k > 1 the k best epochs have a file each,
 * epoch-0012.safetensors. *best: this is the best so far. All is done again, with the same result,
 * by a run that was killed before its state was saved. */
bool vrt_keep_best(struct vrt_training *t, int64_t epoch, int64_t top1, bool *best,
                   struct vrt_error *e);

/* Are all epochs done, or train.patience of them without a better top-1? */
bool vrt_training_over(const struct vrt_training *t);

#endif
