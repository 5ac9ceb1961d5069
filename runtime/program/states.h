/* The states of a run: saving, restoring, and going back to an earlier one. */
#ifndef RUNTIME_PROGRAM_STATES_H
#define RUNTIME_PROGRAM_STATES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"

struct vrt_model;
struct vrt_position;
struct vrt_run;
struct vrt_state;

/* Bytes of the memory that a state holds. */
double vrt_run_state_bytes(const struct vrt_model *m);

/* Save everything that the next step depends on. */
bool vrt_run_save(struct vrt_run *r, const struct vrt_model *m, const struct vrt_position *at,
                  struct vrt_error *e);

/* Model, position and metrics as they were when `state` was saved; `text` is its text. */
bool vrt_run_restore(struct vrt_run *r, const struct vrt_state *state, const json_t *text,
                     struct vrt_model *m, struct vrt_position *at, struct vrt_error *e);

/* What a state says of the training: owned by the caller. */
json_t *vrt_run_text(const struct vrt_state *s, struct vrt_error *e);

/* Restore the newest state that was saved before `step`; its weights have not seen it. Warnings of
 * later steps stay in the metrics. *found is false, and nothing changed, where there is none. */
bool vrt_run_go_back(struct vrt_run *r, int64_t step, struct vrt_model *m, struct vrt_position *at,
                     bool *found, struct vrt_error *e);

#endif
