/* The data sets of an experiment: what data.train, data.val and data.holdout say. */
#ifndef RUNTIME_PROGRAM_SPLITS_H
#define RUNTIME_PROGRAM_SPLITS_H

#include <stdbool.h>

#include "runtime/base/status.h"

struct vrt_dataset;
struct vrt_settings;

/* All say, on stderr, what was passed over in what they open. */

/* The one that is learnt from. */
bool vrt_open_train(const struct vrt_settings *s, struct vrt_dataset **train, struct vrt_error *e);

/* Both; with data.holdout the second is a part of the first. The same pictures in both are an
 * error. */
bool vrt_open_splits(const struct vrt_settings *s, struct vrt_dataset **train,
                     struct vrt_dataset **val, struct vrt_error *e);

/* The same, but class folders right in the root are all there is: then *val stays as it is. */
bool vrt_open_all(const struct vrt_settings *s, struct vrt_dataset **train,
                  struct vrt_dataset **val, struct vrt_error *e);

/* The one to evaluate: `name`, or where that is NULL what vrt_open_splits gives. */
bool vrt_open_split(const struct vrt_settings *s, const char *name, struct vrt_dataset **out,
                    struct vrt_error *e);

#endif
