/* See listing.h. One pass over the index, which is in memory: a million names take a few
 * hundredths of a second, and no file is touched. */
#include "runtime/data/listing.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "runtime/data/source.h"

/* Pictures of an IDX file share one name: there the place tells them apart. */
static void add_item(struct vrt_listed_class *c, const char *name, uint64_t size, int64_t place)
{
    c->names = XXH3_64bits_withSeed(name, strlen(name), c->names + (uint64_t)place);
    c->sizes = XXH3_64bits_withSeed(&size, sizeof size, c->sizes);
    c->pictures++;
}

bool vrt_listing_make(struct vrt_listing *l, const struct vrt_dataset *d, struct vrt_error *e)
{
    const struct vrt_index *x = &d->index;
    *l = (struct vrt_listing){.nclasses = x->nclasses, .sized = d->source != &vrt_folder_source};
    l->classes = calloc((size_t)x->nclasses + 1, sizeof *l->classes);
    if (l->classes == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for %lld classes", (long long)x->nclasses);
    for (int64_t i = 0; i < x->nitems; i++) {
        const struct vrt_item *item = &x->items[i];
        add_item(&l->classes[item->label], (const char *)x->names.data + item->name, item->size,
                 d->width > 0 ? i : 0);
    }
    for (int64_t c = 0; c < x->nclasses; c++) {
        const struct vrt_listed_class *row = &l->classes[c];
        l->names = XXH3_64bits_withSeed(&row->names, sizeof row->names,
                                        l->names + (uint64_t)row->pictures);
        l->sizes = XXH3_64bits_withSeed(&row->sizes, sizeof row->sizes, l->sizes);
    }
    return true;
}

void vrt_listing_free(struct vrt_listing *l)
{
    free(l->classes);
    *l = (struct vrt_listing){0};
}
