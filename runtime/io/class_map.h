/* What the outputs of a network mean to data of other classes: a text that says it, in one of two
 * forms.
 *
 *   numbers      a line for each class of the data, in sorted order: the number of its output, from
 *                0 on
 *   names        a line for each output, in order: the name of its class (what follows white space
 *                is left out)
 *
 * In place of a file the word `natural` says that outputs are the data's classes in their natural
 * order, as timm sorts folders. */
#ifndef RUNTIME_IO_CLASS_MAP_H
#define RUNTIME_IO_CLASS_MAP_H

#include <stdint.h>

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"

struct vrt_class_map {
    const char *path;       /* the caller's */
    bool natural;           /* it is the word: neither lines nor names */
    int64_t count;          /* lines */
    int32_t *outputs;       /* of each class, all different; NULL: the lines are names */
    const char **names;     /* of each output, all different; NULL: the lines are numbers */
    struct vrt_buffer text; /* what the names point into */
};

/* For a network of so many outputs; `path` is the word, or a file. Free it after an error, too. */
bool vrt_class_map_read(struct vrt_class_map *m, const char *path, int64_t outputs,
                        struct vrt_error *e);
void vrt_class_map_free(struct vrt_class_map *m);

#endif
