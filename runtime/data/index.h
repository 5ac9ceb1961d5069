/* The list of a data set: classes and items, gathered in any order, then sorted. */
#ifndef RUNTIME_DATA_INDEX_H
#define RUNTIME_DATA_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"
#include "runtime/data/odd.h"

#define VRT_MAX_NAME    1024 /* bytes of "class/file" */
#define VRT_MAX_ITEMS   100000000
#define VRT_MAX_CLASSES 1000000

struct vrt_item {
    /* where its bytes begin, and in which of the data set's files; folders: 0 */
    uint64_t file : 16, offset : 48;
    uint64_t name; /* offset into names: "class/file" */
    uint32_t size; /* how many; folders: 0 */
    int32_t label;
};

struct vrt_class {
    char *name; /* owned */
    int32_t id; /* by first sight, until the index is finished */
    int64_t count;
};

struct vrt_index {
    struct vrt_item *items;
    struct vrt_class *classes; /* sorted by name (strcmp); where labels are numbers: "0", "1", .. */
    int64_t nitems, items_room, nclasses, classes_room;
    struct vrt_buffer names;
    struct vrt_odd odd; /* files that are no pictures */
    int64_t loose;      /* pictures beside class folders */
};

/* The id of a class, new or known. */
bool vrt_index_class(struct vrt_index *x, const char *name, size_t length, int32_t *id,
                     struct vrt_error *e);

/* A picture; name is "class/file". */
bool vrt_index_add(struct vrt_index *x, int32_t id, const char *name, uint64_t offset,
                   uint32_t size, struct vrt_error *e);

/* Sort the items by class, then name (strcmp); labels become places in the sorted classes, or in
 * those of `classes_of`, which this index then takes over. Errors: no class, an empty class, a
 * class that classes_of lacks. `where` names the split for messages. */
bool vrt_index_finish(struct vrt_index *x, const struct vrt_index *classes_of, const char *where,
                      struct vrt_error *e);
/* The same where labels, or the names of added classes, are numbers: classes "0" to the largest, or
 * those of `classes_of`. */
bool vrt_index_finish_numbers(struct vrt_index *x, const struct vrt_index *classes_of,
                              const char *where, struct vrt_error *e);

/* The classes "0" .. "n-1", in this order, or those of another index: for labels that are
 * numbers. */
bool vrt_index_numbers(struct vrt_index *x, int64_t n, struct vrt_error *e);
bool vrt_index_copy_classes(struct vrt_index *x, const struct vrt_index *of, struct vrt_error *e);

void vrt_index_free(struct vrt_index *x);

#endif
