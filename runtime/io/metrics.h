/* The records of a run: metrics.jsonl, one line per optimiser step and per evaluation, and
 * metrics.csv, one per epoch.
 *
 * Lines go out by one write(2) each, those of steps from a buffer of the caller's stack: no
 * allocation in a step. The lengths of the files are part of the saved state; opening cuts off what
 * was written after it, so that every step stands there once. */
#ifndef RUNTIME_IO_METRICS_H
#define RUNTIME_IO_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"
#include "runtime/vrt.h"

struct vrt_score {              /* of pictures classified */
    int64_t images, top1, top5; /* counts */
    double loss;                /* sum of the cross-entropies; divide by images */
    int64_t unread; /* of the images, those that could not be read: no hits, each with the loss of a
                       guess */
};

struct vrt_step_record {
    int64_t step, epoch;       /* both from 1 */
    double loss, balance_loss; /* means over the batch's pictures, over its routing groups */
    double lr, grad_norm, images_per_s;
};

struct vrt_epoch_record {
    int64_t step, epoch;
    double lr, train_loss, balance_loss, images_per_s, seconds;
    struct vrt_score val;
    const struct vrt_moe *moes;
    int64_t nmoes;
    const double *balance; /* the program's sums over the epoch's training, see vrt_put_layer() */
};

struct vrt_metrics {
    int jsonl, csv;     /* file descriptors */
    const char *folder; /* the caller's, for messages */
    int64_t jsonl_bytes, csv_bytes;
};

/* Open both files in `folder`, cut to these lengths (0: start afresh). A file shorter than its
 * length has lost lines:
 * `*lost` tells. */
bool vrt_metrics_open(struct vrt_metrics *m, const char *folder, int64_t jsonl_bytes,
                      int64_t csv_bytes, bool *lost, struct vrt_error *e);
bool vrt_metrics_step(struct vrt_metrics *m, const struct vrt_step_record *r, struct vrt_error *e);
bool vrt_metrics_epoch(struct vrt_metrics *m, const struct vrt_epoch_record *r,
                       struct vrt_error *e);
/* More lines of metrics.jsonl, as they are. */
bool vrt_metrics_lines(struct vrt_metrics *m, const char *lines, size_t size, struct vrt_error *e);
/* The warnings in metrics.jsonl behind byte `from`, appended to `lines`. */
bool vrt_metrics_warnings(const struct vrt_metrics *m, int64_t from, struct vrt_buffer *lines,
                          struct vrt_error *e);
bool vrt_metrics_sync(struct vrt_metrics *m,
                      struct vrt_error *e); /* before a state that counts on them is saved */
void vrt_metrics_close(struct vrt_metrics *m);

/* Append the epoch's line of metrics.jsonl, with its newline; with many experts it is long. */
bool vrt_metrics_epoch_text(struct vrt_buffer *b, const struct vrt_epoch_record *r,
                            struct vrt_error *e);

/* The rank of a label, 0 for top-1: the number of logits above its own plus the number of equal
 * ones with a lower index; a NaN counts as above. */
int64_t vrt_rank(const float *logits, int64_t label, int64_t classes);

/* Add n pictures: logits (n,classes), labels (n). */
void vrt_score_add(struct vrt_score *s, const float *logits, const int32_t *labels, int64_t n,
                   int64_t classes);

#endif
