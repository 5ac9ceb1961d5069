/* A TensorBoard event file of the run: `tensorboard --logdir FOLDER` shows its curves.
 *
 * The file is a function of run.json and metrics.jsonl: the same lines give the same bytes, wall
 * times included (the start of the run plus the time of the steps so far). So it is made anew each
 * time, and of what is in the folder only the part that differs is replaced: an epoch appends, and
 * after a resume no step stands there twice, since metrics.jsonl was cut. A TensorBoard that is
 * watching goes on reading where it was; only where something was cut off does it have to be
 * started again. */
#ifndef RUNTIME_REPORT_EVENTS_H
#define RUNTIME_REPORT_EVENTS_H

#include <stdbool.h>

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"
#include "runtime/report/history.h"

/* The bytes of the file. */
bool vrt_events_make(struct vrt_buffer *b, const struct vrt_history *h, struct vrt_error *e);

/* FOLDER/events.out.tfevents.START.HOST.vmoe; one of an earlier beginning of the run goes away. */
bool vrt_events_write(const char *folder, const struct vrt_history *h, struct vrt_error *e);

/* Is this a name of such a file? */
bool vrt_events_named(const char *name);

#endif
