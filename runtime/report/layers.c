/* MoE layers from the files of a run: see layers.h. */
#include "runtime/report/layers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXPERTS = 4096 };

const json_t *vrt_layer_list(const struct vrt_history *h)
{
    const json_t *list = h->nepochs > 0 ? h->epochs[h->nepochs - 1].moe : NULL;
    return json_array_size(list) > 0 ? list : json_object_get(h->analysis, "moe");
}

bool vrt_layer_read(struct vrt_layer *l, const struct vrt_history *h, const json_t *entry,
                    struct vrt_error *e)
{
    const char *name = json_string_value(json_object_get(entry, "layer"));
    size_t experts = json_array_size(json_object_get(entry, "load")), room = h->nepochs;
    *l = (struct vrt_layer){.name = name != NULL ? name : "",
                            .experts = experts < EXPERTS ? experts : EXPERTS};
    l->block = calloc((4 + l->experts) * room + 1, sizeof *l->block);
    if (l->block == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for the experts of %.60s in the report",
                        l->name);
    l->epoch = l->block;
    l->step = l->epoch + room;
    l->dropped = l->step + room;
    l->entropy = l->dropped + room;
    l->load = l->entropy + room;
    for (size_t i = 0; i < room; i++)
        l->n += vrt_history_layer(&h->epochs[i], l->name) != NULL;
    for (size_t i = 0, at = 0; i < room; i++) {
        const json_t *j = vrt_history_layer(&h->epochs[i], l->name),
                     *load = json_object_get(j, "load");
        if (j == NULL)
            continue;
        l->epoch[at] = h->epochs[i].epoch;
        l->step[at] = h->epochs[i].step;
        l->dropped[at] = vrt_member(j, "dropped");
        l->entropy[at] = vrt_member(j, "entropy");
        for (size_t k = 0; k < l->experts; k++)
            l->load[k * l->n + at] = json_number_value(json_array_get(load, k));
        at++;
    }
    return true;
}

void vrt_layer_free(struct vrt_layer *l)
{
    free(l->block);
}

double vrt_layer_dead_since(const struct vrt_layer *l, size_t expert)
{
    double since = 0;
    for (size_t i = l->n; i > 0; i--) {
        if (!(l->load[expert * l->n + i - 1] < 0.1 / (double)l->experts))
            break;
        since = l->epoch[i - 1];
    }
    return since;
}

/* -- classes and experts -- */

struct met {
    size_t index, favourite;
    double strength;
};

static int by_favourite(const void *a, const void *b)
{
    const struct met *x = a, *y = b;
    if (x->favourite != y->favourite)
        return (x->favourite > y->favourite) - (x->favourite < y->favourite);
    if (x->strength != y->strength)
        return (y->strength > x->strength) - (y->strength < x->strength);
    return (x->index > y->index) - (x->index < y->index);
}

static double row_sum(const json_t *row, size_t n)
{
    double sum = 0;
    for (size_t k = 0; k < n; k++)
        sum += json_number_value(json_array_get(row, k));
    return sum;
}

static const json_t *find_layer(const json_t *list, const char *layer)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(list, i), "layer"));
        if (name != NULL && strcmp(name, layer) == 0)
            return json_array_get(list, i);
    }
    return NULL;
}

bool vrt_meeting_read(struct vrt_meeting *t, const struct vrt_history *h, const char *layer,
                      struct vrt_error *e)
{
    const json_t *entry = find_layer(json_object_get(h->analysis, "moe"), layer),
                 *rows = json_object_get(entry, "classes");
    size_t n = json_array_size(rows), experts = json_array_size(json_array_get(rows, 0));
    *t = (struct vrt_meeting){.experts = experts < EXPERTS ? experts : EXPERTS};
    struct met *met = calloc(n + 1, sizeof *met);
    t->order = calloc(n + 1, sizeof *t->order);
    t->share = calloc(n * t->experts + 1, sizeof *t->share);
    if (met == NULL || t->order == NULL || t->share == NULL) {
        free(met);
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for the %zu classes of %.60s in the report", n,
                        layer);
    }
    for (size_t c = 0; c < n; c++) {
        const json_t *row = json_array_get(rows, c);
        double sum = row_sum(row, t->experts);
        if (!(sum > 0))
            continue;
        struct met *m = &met[t->classes++];
        m->index = c;
        for (size_t k = 0; k < t->experts; k++) {
            double share = json_number_value(json_array_get(row, k)) / sum;
            m->favourite = share > m->strength ? k : m->favourite;
            m->strength = fmax(share, m->strength);
        }
    }
    qsort(met, t->classes, sizeof *met, by_favourite);
    for (size_t i = 0; i < t->classes; i++) {
        const json_t *row = json_array_get(rows, met[i].index);
        double sum = row_sum(row, t->experts);
        t->order[i] = met[i].index;
        for (size_t k = 0; k < t->experts; k++)
            t->share[k * t->classes + i] = json_number_value(json_array_get(row, k)) / sum;
    }
    free(met);
    return true;
}

void vrt_meeting_free(struct vrt_meeting *t)
{
    free(t->order);
    free(t->share);
}
