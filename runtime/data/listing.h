/* What a data set holds, in few numbers that can be kept: whether it is still the same shows
 * without a list of its pictures. */
#ifndef RUNTIME_DATA_LISTING_H
#define RUNTIME_DATA_LISTING_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"

struct vrt_dataset;

struct vrt_listed_class {
    int64_t pictures;
    uint64_t names, sizes; /* checksums over those of its pictures, in their order */
};

struct vrt_listing {
    struct vrt_listed_class *classes; /* owned */
    int64_t nclasses;
    uint64_t names, sizes; /* over all classes */
    bool sized; /* sizes are known: not those of files in folders, which nobody asked for */
};

/* Names are without the root and the split, so that data may move, and into a tar; labels count as
 * names. Free it after an error, too. */
bool vrt_listing_make(struct vrt_listing *l, const struct vrt_dataset *d, struct vrt_error *e);
void vrt_listing_free(struct vrt_listing *l);

#endif
