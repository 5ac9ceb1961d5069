/* What became of each picture of an evaluation, and what is told from that: classes, confusion,
 * calibration, an interval. */
#ifndef RUNTIME_IO_VERDICT_H
#define RUNTIME_IO_VERDICT_H

#include <stdint.h>

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"

struct vrt_verdict {
    int32_t label, predicted; /* predicted: the first of the largest logits; NaN counts as the
                               * largest; -1: none, the picture could not be read */
    int32_t rank;             /* of the label: 0 is top-1, see vrt_rank() */
    float confidence;         /* softmax of the predicted logit; 0 where it is not a number */
};

/* logits (n,classes), labels (n) -> v (n). */
void vrt_verdicts(struct vrt_verdict *v, const float *logits, const int32_t *labels, int64_t n,
                  int64_t classes);

/* The 95 % interval of a share, hits of n (Wilson 1927): never beyond 0 and 1, sound for few
 * pictures. n >= 1. */
void vrt_interval(int64_t hits, int64_t n, double *low, double *high);

/* Expected calibration error (Guo et al. 2017, equation 3) in 15 bins of confidence: sum of n_b / n
 * |accuracy_b - confidence_b|. */
enum { VRT_BINS = 15 };
struct vrt_bin {
    int64_t images, hits;
    double confidence;
}; /* confidence: a sum */
void vrt_calibrate(struct vrt_bin bins[VRT_BINS], const struct vrt_verdict *v, int64_t n);
double vrt_calibration_error(const struct vrt_verdict *v, int64_t n);

struct vrt_class_count {
    int64_t images, top1, top5, predicted;
};
void vrt_count_classes(struct vrt_class_count *counts, const struct vrt_verdict *v,
                       int64_t n); /* adds */

/* Pairs that occur, hits among them, most frequent first; room for n. Returns how many. */
struct vrt_confusion {
    int32_t label, predicted;
    int64_t images;
};
int64_t vrt_confusions(struct vrt_confusion *pairs, const struct vrt_verdict *v, int64_t n);

/* Tables as CSV, appended to a buffer; names as vrt_put_field() writes them. `name(data, c)` is the
 * name of class c.
 *   classes      class,images,top1,top5,predicted: a line for each class
 *   confusion    class,predicted,images: a line for each pair that occurs, hits among them, most
 *                frequent first */
typedef const char *vrt_class_namer(const void *data, int64_t c);
bool vrt_put_classes(struct vrt_buffer *b, const struct vrt_verdict *v, int64_t n, int64_t classes,
                     vrt_class_namer *name, const void *data, struct vrt_error *e);
bool vrt_put_confusion(struct vrt_buffer *b, const struct vrt_verdict *v, int64_t n,
                       vrt_class_namer *name, const void *data, struct vrt_error *e);

#endif
