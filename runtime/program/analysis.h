/* What an evaluation says beyond its score: classes, confusion, calibration, experts. A training
 * leaves it in analysis.json. */
#ifndef RUNTIME_PROGRAM_ANALYSIS_H
#define RUNTIME_PROGRAM_ANALYSIS_H

#include <stdint.h>

#include "runtime/base/status.h"
#include "runtime/io/experts.h"
#include "runtime/io/metrics.h"
#include "runtime/io/verdict.h"

struct vrt_analysis { /* filled by vrt_evaluate() */
    const struct vrt_program *program;
    struct vrt_verdict *verdicts;
    struct vrt_experts experts;
};

bool vrt_analysis_open(struct vrt_analysis *a, const struct vrt_program *p, int64_t pictures,
                       struct vrt_error *e);
void vrt_analysis_close(struct vrt_analysis *a); /* also after a failed open */

/* The file is replaced in one step; README.md here has its members. classes: the names of the first
 * outputs, a JSON list. */
bool vrt_analysis_write(const struct vrt_analysis *a, const char *path,
                        const struct vrt_epoch_record *r, const char *classes, struct vrt_error *e);

#endif
