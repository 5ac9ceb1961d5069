/* How far a training is: all of a state that is not in the model's memory. */
#ifndef RUNTIME_PROGRAM_POSITION_H
#define RUNTIME_PROGRAM_POSITION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { VRT_KEPT = 16 };
struct vrt_kept {
    int64_t epoch, top1;
};

struct vrt_position {
    int64_t step, epoch, batch; /* done: steps in all, epochs, steps of this epoch */
    double epoch_loss, epoch_balance, epoch_seconds; /* sums over the steps of this epoch */
    int64_t best_top1, best_epoch;                   /* -1, 0: none yet */
    /* epochs whose weights have a file of their own, the best first */
    struct vrt_kept kept[VRT_KEPT];
    int64_t nkept;
    int64_t skipped, epoch_skipped; /* steps without a finite result: in all, in this epoch */
    int64_t in_row, went_back; /* such steps since the last good one; returns to an earlier state */
    double lr_factor;          /* on the learning rate: halved at each return */
    int64_t epoch_unread;      /* pictures of this epoch that could not be read */
};

/* Every number of it by its name; false where one is missing. */
json_t *vrt_position_json(const struct vrt_position *at);
bool vrt_position_read(struct vrt_position *at, const json_t *j);

#endif
