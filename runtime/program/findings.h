/* What the gradient check found: a result for each tensor, told for tensors of a kind together. */
#ifndef RUNTIME_PROGRAM_FINDINGS_H
#define RUNTIME_PROGRAM_FINDINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"
#include "runtime/program/derivative.h"

struct vrt_finding {
    enum vrt_verdict verdict;
    double analytic,
        numeric;  /* derivative along the direction that decided, as claimed and found */
    double error; /* relative */
};

/* Whether the loss changes with the tensor. */
bool vrt_finding_moves(struct vrt_finding f);

/* The one that says more: wrong before right before unclear, then the larger error. */
struct vrt_finding vrt_finding_weightier(struct vrt_finding a, struct vrt_finding b);

enum { VRT_KIND_SIZE = 200 };

struct vrt_kind { /* tensors whose names differ in numbers only */
    char name[VRT_KIND_SIZE];
    int64_t tensors, verdicts[VRT_VERDICTS];
    struct vrt_finding example; /* the weightiest */
};

struct vrt_findings {
    struct vrt_kind *kinds; /* the caller's, room for one a tensor */
    int64_t n;
};

void vrt_findings_add(struct vrt_findings *f, const char *tensor, struct vrt_finding found);

/* The table, or one object of JSON, to standard output, and how many tensors failed. */
bool vrt_findings_print(const struct vrt_findings *f, bool as_json, int64_t *failed,
                        struct vrt_error *e);

#endif
