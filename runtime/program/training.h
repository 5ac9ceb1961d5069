/* A training under way: what `train` and its dry run have in common.
 *
 * A step is `calls` calls of the network on `images` pictures each, whose gradients add up.
 * Everything random in it depends on the seed, the step and the place of a picture alone, so a
 * training that was killed and resumed ends in the same bits. */
#ifndef RUNTIME_PROGRAM_TRAINING_H
#define RUNTIME_PROGRAM_TRAINING_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/io/progress.h"
#include "runtime/program/evaluate.h"
#include "runtime/program/model.h"
#include "runtime/program/run.h"
#include "runtime/program/schedule.h"
#include "runtime/program/settings.h"
#include "runtime/program/unread.h"

struct vrt_analysis;

struct vrt_training {
    const struct vrt_options *o;
    struct vrt_settings s;
    struct vrt_model m;
    struct vrt_run run;
    struct vrt_position at;
    struct vrt_schedule schedule;
    struct vrt_dataset *train, *val;
    struct vrt_loader *loader;
    struct vrt_progress bar;
    char *classes; /* names, as a JSON list */
    int32_t *labels;
    int64_t images, calls, steps; /* per call; calls per step; steps per epoch */
    int64_t group;              /* pictures that are routed and mixed together; divides `images` */
    int64_t end;                /* steps of an epoch that are done: all, but in a dry run */
    double saved_at, save_took; /* seconds */
    struct vrt_unread_list unread;
    char unread_path[PATH_MAX]; /* bad_pictures.txt */
    int64_t step_unread;        /* pictures of this step that could not be read */
};

/* Settings, data, network and run folder; with a state, all stands where it was saved. Close it
 * also after a failure. */
bool vrt_training_open(struct vrt_training *t, const struct vrt_options *o, struct vrt_error *e);
void vrt_training_close(struct vrt_training *t);

/* "PROGRAM train --resume --out FOLDER", to be pasted into a shell; returns `text`. */
enum { VRT_COMMAND = 2 * 4 * PATH_MAX + 40 };
const char *vrt_training_command(const struct vrt_training *t, char text[VRT_COMMAND]);

/* The steps of the epoch that are still to do, until `end` or a signal asks to stop. */
bool vrt_training_steps(struct vrt_training *t, struct vrt_error *e);

/* On the validation split, with the averaged weights where there are any. a: what is to be
 * analysed; NULL: nothing. */
bool vrt_training_evaluate(struct vrt_training *t, struct vrt_analysis *a, struct vrt_score *score,
                           struct vrt_error *e);

/* Evaluation, metrics, weights, and last the state: until it is saved, a resumed run does all of
 * this again, with the same result. */
bool vrt_training_end_epoch(struct vrt_training *t, struct vrt_error *e);

/* Errors say how the run goes on. */
bool vrt_training_save_state(struct vrt_training *t, struct vrt_error *e);
bool vrt_training_save_weights(const struct vrt_training *t, const char *name, struct vrt_error *e);

/* report.html and the TensorBoard file, from what the run folder holds. They are made from it
 * alone, so a training goes on where they cannot be written. */
bool vrt_training_report(const struct vrt_training *t, bool ended, struct vrt_error *e);

void vrt_training_tell(const struct vrt_training *t); /* what begins here, on stdout */
int vrt_dry_run(const struct vrt_options *o,
                struct vrt_error *e); /* in a folder that goes away; the exit status */

#endif
