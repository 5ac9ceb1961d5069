/* What the files of a run folder tell: run.json, spec.vmoe, metrics.jsonl, analysis.json. Each of
 * them may be missing. */
#ifndef RUNTIME_REPORT_HISTORY_H
#define RUNTIME_REPORT_HISTORY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"

/* A step of the training; fields stand in the order of the names in history.c. What is no number is
 * NaN. */
struct vrt_step_point {
    double step, epoch, loss, balance, lr, norm, speed;
};

/* The evaluation after an epoch. */
struct vrt_epoch_point {
    double step, epoch, images, top1, top5, loss, train_loss, balance, lr, speed, seconds;
    const json_t *moe;   /* of vrt_history.lines */
    size_t steps_before; /* steps that stand before it in the file */
};

struct vrt_history {
    struct vrt_step_point *steps;
    struct vrt_epoch_point *epochs;
    size_t nsteps, nepochs;
    json_t *run, *analysis; /* NULL: there is none that can be read */
    json_t *lines;          /* the evaluations and the warnings, as they are */
    json_t *warnings;       /* lines with a text, a step, an epoch */
    struct vrt_buffer spec; /* with a zero byte at the end; data NULL: none */
    bool metrics;           /* metrics.jsonl is there */
};

/* False without memory, where `folder` is no folder, or one of the files is there and cannot be
 * read. */
bool vrt_history_read(struct vrt_history *h, const char *folder, struct vrt_error *e);
void vrt_history_free(struct vrt_history *h);

/* Of the evaluation: index of the best top-1; -1 without any. The last one that reaches it is not
 * better than the first. */
long vrt_history_best(const struct vrt_history *h);

/* Steps of an epoch; 0 if nothing tells. */
double vrt_history_epoch_steps(const struct vrt_history *h);

double vrt_history_key(const struct vrt_history *h,
                       const char *key); /* of run.json's keys: "300 epochs" is 300; NaN: none */
double vrt_history_started(
    const struct vrt_history *h); /* of run.json, in seconds since 1970; 0: unknown */

/* The entry of one MoE layer in an evaluation; NULL if it has none. */
const json_t *vrt_history_layer(const struct vrt_epoch_point *p, const char *layer);

/* A number of a JSON object, NaN where there is none. */
double vrt_member(const json_t *object, const char *name);

#endif
