/* The run folder of a training: spec.vmoe, run.json, the metrics, the weights, and the states that
 * resuming needs.
 *
 * A run is known by its identity: the spec's hash, the values of the run-time keys, the pictures
 * per call and the list of the data. A state of another identity is refused; it would not end in
 * the same weights. */
#ifndef RUNTIME_PROGRAM_RUN_H
#define RUNTIME_PROGRAM_RUN_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"
#include "runtime/io/metrics.h"
#include "runtime/program/position.h"

struct vrt_adapt;
struct vrt_claim;
struct vrt_dataset;
struct vrt_model;
struct vrt_options;
struct vrt_run_data;
struct vrt_state;

enum { VRT_RUN_FOLDER = PATH_MAX - 64 };

struct vrt_run {
    char folder[VRT_RUN_FOLDER];
    struct vrt_claim *claim; /* on the folder, against a second training in it; NULL: none */
    bool fresh;              /* no state was found */
    bool empty;              /* the folder was, when it was opened */
    size_t made;             /* bytes of `folder` that name the outermost one made here; 0: none */
    uint64_t sequence;       /* of the last state */
    char *dead; /* a letter for each expert of the network: `x` was told to be without choices, else
                   `.` */
    struct vrt_state *state; /* found by open, NULL after it was restored */
    json_t *before; /* what an earlier training of this folder left: its state's text or run.json */
    json_t *identity;
    const char *stand_in; /* the split that is evaluated for want of a validation set; NULL: none */
    struct vrt_metrics metrics;
};

/* Make or enter the folder of --out and claim it. Without --resume it must be empty; with it, the
 * newest state is found and the values of keys that the command line does not give are those of the
 * run. */
bool vrt_run_open(struct vrt_run *r, const struct vrt_options *o, struct vrt_error *e);
void vrt_run_close(struct vrt_run *r);

/* The training could not begin: the folder as it was found, so that the next try may have it. */
void vrt_run_undo(struct vrt_run *r);

/* The file of --weights, or on resuming afresh that of the run before; NULL: none. *how: what was
 * permitted with it. */
const char *vrt_run_weights(const struct vrt_run *r, const struct vrt_options *o,
                            struct vrt_adapt *how);

/* Likewise --class-map; NULL: not given. */
const char *vrt_run_class_map(const struct vrt_run *r, const struct vrt_options *o);

/* Fix the identity, hold it against what was found, and write or reopen the files. Restores model
 * and position from the state if there is one. */
bool vrt_run_begin(struct vrt_run *r, const struct vrt_options *o, const struct vrt_run_data *data,
                   int64_t images_per_call, struct vrt_model *m, struct vrt_position *at,
                   struct vrt_error *e);

/* The folder that --out names, else runs/PROGRAM. */
bool vrt_run_folder(const struct vrt_options *o, char folder[VRT_RUN_FOLDER], struct vrt_error *e);

/* Is a file of this name one that a training writes into its run folder? */
bool vrt_run_writes(const char *name);

/* "FOLDER/name"; name at most 50 bytes. */
const char *vrt_run_path(const struct vrt_run *r, const char *name, char path[PATH_MAX]);

#endif
