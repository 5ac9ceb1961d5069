/* Holding pictures out. Input: a training split; output: the same without them, and a data set of
 * them alone. Of each class every so many-th picture goes, by its place, which depends on names
 * alone (IDX: on the place in the file): so a run, its resumption and `eval` hold out the same
 * ones, whatever the layout. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/source.h"

/* A data set over the same files, without items. */
static struct vrt_dataset *sibling(const struct vrt_dataset *d, struct vrt_error *e)
{
    struct vrt_dataset *s = calloc(1, sizeof *s);
    bool ok = s != NULL;

    if (ok) {
        *s = (struct vrt_dataset){.source = d->source, .width = d->width, .height = d->height};
        s->root = strdup(d->root);
        s->split = strdup(d->split);
        s->blobs = calloc((size_t)d->nblobs + 1, sizeof *s->blobs);
        s->small = calloc((size_t)d->nsmall + 1, sizeof *s->small);
        s->index.items = calloc((size_t)d->index.nitems + 1, sizeof *s->index.items);
        ok = s->root != NULL && s->split != NULL && s->blobs != NULL && s->small != NULL &&
             s->index.items != NULL &&
             vrt_buffer_append(&s->index.names, d->index.names.data, d->index.names.size, e) &&
             vrt_index_copy_classes(&s->index, &d->index, e);
    }
    for (int i = 0; ok && i < d->nsmall; i++)
        s->small[s->nsmall++] = d->small[i];
    for (int i = 0; ok && i < d->nblobs; i++) {
        d->blobs[i]->references++;
        s->blobs[s->nblobs++] = d->blobs[i];
    }
    if (ok)
        return s;
    vrt_dataset_close(s);
    return NULL;
}

/* Of n pictures of a class, is the i-th held out? */
static bool goes(int64_t i, double share)
{
    return (int64_t)((double)(i + 1) * share + 0.5) > (int64_t)((double)i * share + 0.5);
}

static bool describe(struct vrt_dataset *d, const char *what, int64_t all, struct vrt_error *e)
{
    free(d->describe);
    if (asprintf(&d->describe, "%s %s%s%s: %lld pictures, %lld classes (%s of %lld)",
                 d->source->kind, d->root, d->split[0] != 0 ? ", " : "", d->split,
                 (long long)d->index.nitems, (long long)d->index.nclasses, what,
                 (long long)all) >= 0)
        return true;
    d->describe = NULL;
    return vrt_fail(e, VRT_NO_MEMORY, "no memory to hold pictures out");
}

bool vrt_dataset_hold_out(struct vrt_dataset *d, double share, struct vrt_dataset **out,
                          struct vrt_error *e)
{
    struct vrt_index *from = &d->index, *to;
    /* of each class */
    int64_t all = from->nitems, kept = 0, *seen = calloc((size_t)from->nclasses, sizeof *seen);

    *out = seen != NULL ? sibling(d, e) : NULL;
    if (*out == NULL) {
        free(seen);
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to hold pictures out");
    }
    to = &(*out)->index;
    for (int64_t i = 0; i < all; i++) {
        const struct vrt_item item = from->items[i];
        if (goes(seen[item.label]++, share))
            to->items[to->nitems++] = item;
        else
            from->items[kept++] = item;
    }
    free(seen);
    from->nitems = kept;
    if (to->nitems > 0 && kept > 0)
        return describe(d, "kept", all, e) && describe(*out, "held out", all, e);
    return vrt_fail(
        e, VRT_BAD_INPUT,
        "holding out %g of %lld pictures leaves none on one side; set data.holdout otherwise",
        share, (long long)all);
}
