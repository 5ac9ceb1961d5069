/* Which tars of a folder are of a split: SPLIT.tar, ILSVRC2012_img_SPLIT.tar, or shards,
 * PREFIX-SPLIT-000017.tar. */
#ifndef RUNTIME_DATA_SHARDS_H
#define RUNTIME_DATA_SHARDS_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/status.h"

struct vrt_shards {
    const char *root; /* the caller's */
    char *folder;     /* where they lie: root, or the folder of the pattern that root is */
    char **files;     /* names in it, sorted */
    size_t count, room;
    const char *split; /* as they call it: "validation" for "val", perhaps */
};

/* Is the path a pattern, FOLDER/PREFIX-{000000..000012}.tar? */
bool vrt_shards_pattern(const char *path);

/* Of a pattern the split is the one that its name tells, else `train`; other splits are looked for
 * in its folder. None at all is no error: count is 0. Free it after an error, too. */
bool vrt_shards_find(struct vrt_shards *s, const char *root, const char *split,
                     struct vrt_error *e);
void vrt_shards_free(struct vrt_shards *s);

#endif
