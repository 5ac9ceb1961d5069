/* The rules of adapt.h. Each is a pair of functions: does it hold for a tensor of the program, and
 * how is that tensor made. */
#include "runtime/io/adapt_rules.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/random.h"
#include "runtime/io/positions.h"

enum { NAME_SIZE = 1024, GRID_LIMIT = 1 << 20 };

/* -- shapes and names -- */

static size_t elements(const struct vrt_tensor *tensor)
{
    size_t n = 1;
    for (size_t i = 0; i < tensor->rank; i++)
        n *= (size_t)tensor->shape[i];
    return n;
}

/* Equal but for axes of 1 at the end. */
static bool alike(const int64_t *want, size_t want_rank, const uint64_t *have, size_t have_rank)
{
    while (want_rank > 0 && want[want_rank - 1] == 1)
        want_rank--;
    while (have_rank > 0 && have[have_rank - 1] == 1)
        have_rank--;
    if (want_rank != have_rank)
        return false;
    for (size_t i = 0; i < want_rank; i++)
        if ((uint64_t)want[i] != have[i])
            return false;
    return true;
}

/* Equal but for the first axis and axes of 1 at the end. */
static bool alike_behind(const struct vrt_param *p, const struct vrt_tensor *have)
{
    return p->rank > 0 && have->rank > 0 &&
           alike(p->shape + 1, (size_t)p->rank - 1, have->shape + 1, have->rank - 1);
}

int vrt_adapt_compare(const void *a, const void *b)
{
    const struct source *x = a, *y = b;
    return strcmp(x->name, y->name);
}

struct source *vrt_adapt_find(const struct adapt *a, const char *name)
{
    size_t low = 0, high = a->nsources;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(a->sources[middle].name, name);
        if (order == 0)
            return &a->sources[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static struct source *find_below(const struct adapt *a, const struct layer *l, const char *rest)
{
    char name[NAME_SIZE];
    return snprintf(name, sizeof name, "%s.%s", l->moe->prefix, rest) < (int)sizeof name
               ? vrt_adapt_find(a, name)
               : NULL;
}

const char *vrt_adapt_below(const struct layer *l, const char *name)
{
    return l->length > 0 && strncmp(name, l->moe->prefix, l->length) == 0 && name[l->length] == '.'
               ? name + l->length + 1
               : NULL;
}

const char *vrt_adapt_behind(const char *text, const char *word)
{
    size_t n = strlen(word);
    return text != NULL && strncmp(text, word, n) == 0 ? text + n : NULL;
}

/* -- the rules: does it fit, and from what -- */

/* The grid of a file's positions: as the file says (*told), else a square as timm takes it. */
static bool old_grid(const struct adapt *a, const struct source *from, int64_t before,
                     struct vrt_grid *out, bool *told)
{
    const json_t *grid = json_object_get(a->grids, from->tensor->name);
    int64_t rows =
        from->tensor->shape[1] < INT32_MAX ? (int64_t)from->tensor->shape[1] - before : 0;
    out->height = json_integer_value(json_array_get(grid, 0));
    out->width = json_integer_value(json_array_get(grid, 1));
    *told = grid != NULL;
    if (grid == NULL && rows > 0)
        out->height = out->width = (int64_t)sqrt((double)rows);
    return out->height > 0 && out->width > 0 && out->height <= GRID_LIMIT &&
           out->width <= GRID_LIMIT && out->height * out->width == rows;
}

static bool fits_positions(const struct adapt *a, const struct wanted *w, struct source **from)
{
    struct vrt_grid old;
    bool told;
    const struct vrt_role *r = w->role;
    *from = w->same;
    if (r == NULL || r->kind != VRT_ROLE_POSITIONS || r->grid_height == 0 || w->same == NULL)
        return false;
    const struct vrt_tensor *have = w->same->tensor;
    if (have->rank != 3 || have->shape[0] != 1 || have->shape[2] != (uint64_t)w->p->shape[2] ||
        !old_grid(a, w->same, w->p->shape[1] - (int64_t)r->grid_height * r->grid_width, &old,
                  &told))
        return false;
    return told ? old.height != r->grid_height || old.width != r->grid_width
                : have->shape[1] != (uint64_t)w->p->shape[1];
}

static bool fits_exact(const struct adapt *a, const struct wanted *w, struct source **from)
{
    (void)a;
    *from = w->same;
    return w->same != NULL && w->same->tensor->rank == (size_t)w->p->rank &&
           alike(w->p->shape, (size_t)w->p->rank, w->same->tensor->shape, w->same->tensor->rank);
}

static bool fits_axes(const struct adapt *a, const struct wanted *w, struct source **from)
{
    (void)a;
    *from = w->same;
    return w->same != NULL &&
           alike(w->p->shape, (size_t)w->p->rank, w->same->tensor->shape, w->same->tensor->rank);
}

static bool fits_head(const struct adapt *a, const struct wanted *w, struct source **from)
{
    (void)a;
    *from = w->same;
    return w->role != NULL && w->role->kind == VRT_ROLE_HEAD && w->same != NULL &&
           alike_behind(w->p, w->same->tensor);
}

/* One row of it may be of use, or the rows stand in another order. */
static bool fits_rows(const struct adapt *a, const struct wanted *w, struct source **from)
{
    return a->head.moved && fits_head(a, w, from) &&
           w->same->tensor->shape[0] == (uint64_t)a->head.in_file &&
           w->p->shape[0] == a->head.count;
}

/* experts.X and experts.KIND.X are made of X. */
static bool fits_experts(const struct adapt *a, const struct wanted *w, struct source **from)
{
    const char *x = vrt_adapt_behind(w->rest, "experts."),
               *kind = x != NULL ? strchr(x, '.') : NULL;
    if (x == NULL || !w->layer->dense)
        return false;
    *from = find_below(a, w->layer, x);
    if (*from == NULL && kind != NULL)
        *from = find_below(a, w->layer, kind + 1);
    return *from != NULL && w->p->rank > 0 &&
           alike(w->p->shape + 1, (size_t)w->p->rank - 1, (*from)->tensor->shape,
                 (*from)->tensor->rank);
}

/* One shared expert, or several under a first axis. */
static bool fits_shared(const struct adapt *a, const struct wanted *w, struct source **from)
{
    const char *x = vrt_adapt_behind(w->rest, "shared.");
    if (x == NULL || !w->layer->dense || (*from = find_below(a, w->layer, x)) == NULL)
        return false;
    const struct vrt_tensor *have = (*from)->tensor;
    return alike(w->p->shape, (size_t)w->p->rank, have->shape, have->rank) ||
           (w->p->rank > 0 &&
            alike(w->p->shape + 1, (size_t)w->p->rank - 1, have->shape, have->rank));
}

static bool fits_router(const struct adapt *a, const struct wanted *w, struct source **from)
{
    (void)a;
    *from = NULL;
    return w->rest != NULL && w->layer->dense && w->same == NULL &&
           vrt_adapt_behind(w->rest, "experts.") == NULL &&
           vrt_adapt_behind(w->rest, "shared.") == NULL;
}

static bool fits_keep(const struct adapt *a, const struct wanted *w, struct source **from)
{
    (void)a;
    *from = w->same;
    if (w->rest == NULL || w->same == NULL || w->p->rank == 0 || w->same->tensor->rank == 0)
        return false;
    const struct layer *l = w->layer;
    return l->in_file > l->moe->experts && w->p->shape[0] == l->moe->experts &&
           w->same->tensor->shape[0] == (uint64_t)l->in_file && alike_behind(w->p, w->same->tensor);
}

/* -- the rules: doing it -- */

static bool fill_copy(const struct adapt *a, const struct step *s, float *to, struct vrt_error *e)
{
    return vrt_tensors_read(a->t, s->from->tensor, 0, (uint64_t)s->to.p->count, to, e);
}

static bool fill_positions(const struct adapt *a, const struct step *s, float *to,
                           struct vrt_error *e)
{
    const struct vrt_role *r = s->to.role;
    const struct vrt_tensor *have = s->from->tensor;
    struct vrt_grid old, new = {r->grid_height, r->grid_width};
    int64_t cols = s->to.p->shape[2], before = s->to.p->shape[1] - new.height *new.width;
    float *from = calloc(elements(have), sizeof *from);
    bool told, ok = from != NULL && old_grid(a, s->from, before, &old, &told);
    ok = ok || vrt_adapt_no_memory(a, e);
    ok = ok && vrt_tensors_read(a->t, have, 0, elements(have), from, e);
    if (ok) {
        memcpy(to, from, (size_t)(before * cols) * sizeof *to);
        ok = vrt_positions_resample(from + before * cols, old, to + before * cols, new, cols) ||
             vrt_adapt_no_memory(a, e);
    }
    free(from);
    return ok;
}

static bool fill_fresh(const struct adapt *a, const struct step *s, float *to, struct vrt_error *e)
{
    (void)to;
    (void)e;
    a->how->fresh(a->how->data, s->to.index);
    return true;
}

static bool fill_rows(const struct adapt *a, const struct step *s, float *to, struct vrt_error *e)
{
    const struct head *h = &a->head;
    int64_t n = s->to.p->count / h->count;
    fill_fresh(a, s, to, e);
    for (int64_t i = 0; i < h->count; i++)
        if (h->rows[i] >= 0 && !vrt_tensors_read(a->t, s->from->tensor, (uint64_t)(h->rows[i] * n),
                                                 (uint64_t)n, to + i * n, e))
            return false;
    return true;
}

static double deviation(const float *x, size_t n)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i];
    for (size_t i = 0; i < n; i++)
        squares += ((double)x[i] - sum / (double)n) * ((double)x[i] - sum / (double)n);
    return sqrt(squares / (double)n);
}

static bool fill_copies(const struct adapt *a, const struct step *s, float *to, struct vrt_error *e)
{
    size_t n = elements(s->from->tensor), copies = (size_t)s->to.p->count / n;
    if (!vrt_tensors_read(a->t, s->from->tensor, 0, n, to, e))
        return false;
    for (size_t i = 1; i < copies; i++)
        memcpy(to + i * n, to, n * sizeof *to);
    return true;
}

static bool fill_experts(const struct adapt *a, const struct step *s, float *to,
                         struct vrt_error *e)
{
    size_t n = elements(s->from->tensor), copies = (size_t)s->to.p->count / n;
    if (!fill_copies(a, s, to, e))
        return false;
    double noise = a->how->noise * (a->how->noise > 0 ? deviation(to, n) : 0);
    for (size_t i = 0; noise > 0 && i < copies; i++) {
        struct vrt_random r;
        vrt_random_start(&r, a->how->seed, VRT_RANDOM_UPCYCLE, (uint32_t)s->to.index, (uint32_t)i);
        for (size_t j = 0; j < n; j++)
            to[i * n + j] = (float)((double)to[i * n + j] + noise * vrt_random_normal(&r));
    }
    return true;
}

static bool fill_keep(const struct adapt *a, const struct step *s, float *to, struct vrt_error *e)
{
    int64_t n = s->to.p->count / s->to.p->shape[0];
    for (int64_t i = 0; i < s->to.layer->nkeep; i++)
        if (!vrt_tensors_read(a->t, s->from->tensor, (uint64_t)(s->to.layer->keep[i] * n),
                              (uint64_t)n, to + i * n, e))
            return false;
    return true;
}

const struct rule vrt_adapt_rules[VRT_ADAPT_RULES] = {
    {"positions resampled", FREE, fits_positions, fill_positions},
    {NULL, FINE_TUNE, fits_rows, fill_rows},
    {NULL, FREE, fits_exact, fill_copy},
    {"axes of 1 taken off or added", FREE, fits_axes, fill_copy},
    {"a new head for another number of classes", FINE_TUNE, fits_head, fill_fresh},
    {"experts kept", KEEP, fits_keep, fill_keep},
    {"experts copied from dense layers", UPCYCLE, fits_experts, fill_experts},
    {"shared experts copied from dense layers", UPCYCLE, fits_shared, fill_copies},
    {"initial values beside copied experts", UPCYCLE, fits_router, fill_fresh},
};
