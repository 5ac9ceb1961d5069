/* Memory: what lives inside one chain goes to the thread's scratch, everything else to an offset in
 * the arena. Both are packed the same way: larger buffers first, each at the lowest place that no
 * buffer alive at the same time covers. */
#include "config.h"

#include <limits.h>
#include <stdlib.h>

#include "compiler/plan/lower.h"
#include "lang/base/arena.h"

#define ALIGN 64

static int64_t align(int64_t v)
{
    return (v + ALIGN - 1) / ALIGN * ALIGN;
}

static bool chains(const struct launch *l)
{
    return l->domain == DOMAIN_ROWS || l->domain == DOMAIN_EXPERTS;
}

/* -- packing -- */

static int by_size(const void *a, const void *b)
{
    const struct buffer *x = *(struct buffer *const *)a, *y = *(struct buffer *const *)b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->id - y->id;
}

static bool overlap_in_time(const struct buffer *a, const struct buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* `placed` holds the buffers placed so far by rising offset. */
static void insert(struct buffer **placed, size_t n, struct buffer *b)
{
    for (; n && placed[n - 1]->offset > b->offset; n--)
        placed[n] = placed[n - 1];
    placed[n] = b;
}

static int64_t pack_buffers(struct arena *a, struct buffer **list, size_t n, int64_t red_zone)
{
    struct buffer **placed = arena_array(a, n + 1, sizeof *placed);
    int64_t top = 0;
    qsort(list, n, sizeof *list, by_size);
    for (size_t i = 0; i < n; i++) {
        int64_t at = 0, size = align(list[i]->bytes) + red_zone;
        for (size_t j = 0; j < i && at + size > placed[j]->offset; j++) {
            int64_t end = placed[j]->offset + align(placed[j]->bytes) + red_zone;
            if (end > at && overlap_in_time(list[i], placed[j]))
                at = end;
        }
        list[i]->offset = at;
        insert(placed, i, list[i]);
        if (at + size > top)
            top = at + size;
    }
    return top;
}

/* -- lifetimes -- */

static void note_use(struct buffer *b, const struct launch *l, int index)
{
    if (b->last < 0)
        b->first = index;
    b->last = index;
    if (!chains(l))
        b->keep = true;
}

static void note_uses(struct lowering *lo)
{
    struct use use[CALL_ALL];
    for (size_t i = 0; i < lo->f->n; i++) {
        struct launch *l = lo->f->launches[i];
        for (size_t j = 0; j < l->ncalls; j++)
            for (int k = call_uses(&l->calls[j], use); k-- > 0;)
                if (use[k].operand->buffer)
                    note_use(use[k].operand->buffer, l, (int)i);
    }
}

static void choose_scratch(struct lowering *lo)
{
    for (size_t i = 0; i < lo->nbuffers; i++)
        lo->buffers[i]->last = -1;
    note_uses(lo);
    for (size_t i = 0; i < lo->nbuffers; i++) {
        struct buffer *b = lo->buffers[i];
        if (lo->fuse && b->space == SPACE_ARENA && !b->keep && b->last >= 0 && b->first == b->last)
            b->space = SPACE_SCRATCH;
        /* Decisions outlive the step: hold_routing. */
        if (b->row_bytes == 0 && b->keep && !b->sums_of)
            b->first = 0, b->last = INT_MAX;
    }
}

/* The scratch of one launch: its buffers, with calls for lifetimes. */
static size_t scratch_of(struct arena *a, struct launch *l, struct buffer ***list)
{
    size_t n = 0, cap = 0;
    struct use use[CALL_ALL];
    *list = NULL;
    for (size_t j = 0; j < l->ncalls; j++)
        for (int k = 0, uses = call_uses(&l->calls[j], use); k < uses; k++) {
            struct buffer *b = use[k].operand->buffer;
            if (!b || b->space != SPACE_SCRATCH)
                continue;
            bool seen = false;
            for (size_t i = 0; i < n; i++)
                seen |= (*list)[i] == b;
            if (!seen) {
                *ARENA_PUSH(a, *list, n, cap) = b;
                b->first = (int)j;
            }
            b->last = (int)j;
        }
    return n;
}

static void place_scratch(struct lowering *lo, struct launch *l)
{
    struct arena *a = lo->plan->arena;
    struct buffer **list;
    size_t n = scratch_of(a, l, &list);
    if (chains(l)) {
        struct buffer **made_of_rows = arena_array(a, n + 1, sizeof *made_of_rows);
        size_t nrows = 0;
        for (size_t i = 0; i < n; i++)
            if (list[i]->row_bytes) {
                list[i]->bytes = list[i]->row_bytes;
                made_of_rows[nrows++] = list[i];
            }
        int64_t per_row = nrows ? pack_buffers(a, made_of_rows, nrows, 0) : 0;
        l->tile = l->experts ? plan_decisions(l->experts->moe, lo->g->micro).rows_per_tile
                             : tile_rows(per_row);
        for (size_t i = 0; i < nrows; i++)
            made_of_rows[i]->bytes = made_of_rows[i]->row_bytes * l->tile;
    }
    l->scratch_bytes = n ? pack_buffers(a, list, n, 0) : 0;
    if (l->scratch_bytes > lo->plan->scratch_bytes)
        lo->plan->scratch_bytes = l->scratch_bytes;
}

/* -- sums of tiles: their size follows from the tile of the chain that writes them -- */

static int64_t tiles_of(const struct lowering *lo, const struct launch *l)
{
    if (l->experts)
        return plan_decisions(l->experts->moe, lo->g->micro).max_tiles;
    return tile_count(lo->g->micro * l->rows, l->tile);
}

static void size_sums(struct lowering *lo)
{
    for (size_t i = 0; i < lo->nbuffers; i++)
        if (lo->buffers[i]->sums_of)
            lo->buffers[i]->bytes =
                lo->buffers[i]->tile_bytes * tiles_of(lo, lo->buffers[i]->sums_of);
    for (size_t i = 0; i < lo->f->n; i++)
        if (lo->f->launches[i]->tiles_of)
            lo->f->launches[i]->tile = lo->f->launches[i]->tiles_of->tile;
}

int64_t place_buffers(struct lowering *lo)
{
    struct arena *a = lo->plan->arena;
    struct buffer **list = arena_array(a, lo->nbuffers + 1, sizeof *list);
    size_t n = 0;
    choose_scratch(lo);
    for (size_t i = 0; i < lo->f->n; i++)
        place_scratch(lo, lo->f->launches[i]);
    size_sums(lo);
    for (size_t i = 0; i < lo->nbuffers; i++)
        if (lo->buffers[i]->space == SPACE_ARENA && lo->buffers[i]->last >= 0)
            list[n++] = lo->buffers[i];
    for (size_t i = 0; i < n && lo->plan->red_zones; i++)
        list[i]->first = 0, list[i]->last = INT_MAX;
    int64_t bytes = pack_buffers(a, list, n, lo->plan->red_zones ? PLAN_RED_ZONE : 0);
    lo->buffers = list;
    lo->nbuffers = n;
    return bytes;
}
