/* Classifying a split of a data set, after each epoch of training and for `eval`. */
#ifndef RUNTIME_PROGRAM_EVALUATE_H
#define RUNTIME_PROGRAM_EVALUATE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"
#include "runtime/data/loader.h"
#include "runtime/io/metrics.h"

struct vrt_classes;
struct vrt_experts;
struct vrt_model;
struct vrt_dataset;
struct vrt_settings;
struct vrt_unread_list;
struct vrt_verdict;

struct vrt_evaluation {
    const struct vrt_dataset *dataset;
    struct vrt_transform transform;
    int64_t limit; /* 0: all pictures */
    /* of the data among the outputs; NULL: the same, and all are scored over */
    const struct vrt_classes *classes;
    bool strict; /* a picture whose logits are not finite is an error, not a wrong answer */
    const volatile sig_atomic_t *stop; /* not 0: give up early; may be NULL */
    struct vrt_verdict *verdicts;      /* of each picture, in order; NULL: not wanted */
    struct vrt_experts *experts;       /* who got what is added here; NULL: not wanted */
    /* where pictures that cannot be read are told; they count, and are no hits */
    struct vrt_unread_list *unread;
};

/* Are the n logits of a picture numbers? An error names it. */
bool vrt_check_logits(const float *logits, int64_t n, const char *picture, struct vrt_error *e);

/* Weights must be packed (pack_eval or pack_train). The score covers all pictures unless *stop was
 * set. */
bool vrt_evaluate(struct vrt_model *m, const struct vrt_evaluation *v, struct vrt_score *score,
                  struct vrt_error *e);

/* Do the data's classes fit the network? More than it has is an error. */
bool vrt_check_classes(const struct vrt_model *m, const struct vrt_dataset *d, struct vrt_error *e);

/* The names of a data set's classes as a JSON list; malloc'ed, NULL without memory. */
char *vrt_classes_text(const struct vrt_dataset *d, struct vrt_error *e);

#endif
