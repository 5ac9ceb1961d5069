/* Launches, calls, buffers and operands: what the lowering rules are written with. Row-wise nodes
 * join the open launch when they run over the same rows; reductions over all rows wait until it is
 * closed. */
#include "config.h"

#include "compiler/plan/launch.h"

#include "lang/base/arena.h"

/* -- launches and calls -- */

struct launch *new_launch(struct arena *a, struct function *f, enum domain domain, const char *name)
{
    struct launch *l = arena_alloc(a, sizeof *l);
    l->domain = domain;
    l->name = name;
    l->parts = 1;
    l->rows = 1;
    l->tile = domain == DOMAIN_IMAGES;
    if (f)
        *ARENA_PUSH(a, f->launches, f->n, f->cap) = l;
    return l;
}

struct call *add_call(struct arena *a, struct launch *l, enum kernel k, const char *name)
{
    struct call *c = ARENA_PUSH(a, l->calls, l->ncalls, l->cap);
    *c = (struct call){.kernel = k, .name = name};
    for (int i = 0; i < CALL_OPERANDS; i++)
        c->operand.at[i] = operand_nowhere();
    return c;
}

struct operand operand_region(enum space space, int64_t offset, int64_t s1, int64_t s2)
{
    return (struct operand){.space = space, .offset = offset, .s1 = s1, .s2 = s2};
}

struct operand operand_nowhere(void)
{
    return (struct operand){.space = SPACE_NONE};
}

void close_launch(struct lowering *lo)
{
    lo->open = NULL;
    for (size_t i = 0; i < lo->ndeferred; i++)
        *ARENA_PUSH(lo->plan->arena, lo->f->launches, lo->f->n, lo->f->cap) = lo->deferred[i];
    lo->ndeferred = 0;
}

struct launch *open_launch(struct lowering *lo, enum domain domain, const struct node *n)
{
    close_launch(lo);
    return new_launch(lo->plan->arena, lo->f, domain, n->name);
}

/* A launch over everything that need not run before the open chain ends. */
struct launch *later_launch(struct lowering *lo, enum domain domain, const struct node *n)
{
    struct launch *l = new_launch(lo->plan->arena, NULL, domain, n->name);
    *ARENA_PUSH(lo->plan->arena, lo->deferred, lo->ndeferred, lo->cap_deferred) = l;
    return l;
}

struct buffer *decisions_buffer(struct lowering *lo, const struct moe *m)
{
    return lo->of_value[m->decisions->id];
}

/* The launch over the rows of v. */
struct launch *row_launch(struct lowering *lo, const struct node *n, const struct value *v)
{
    struct launch *l = lo->open;
    if (l && lo->fuse && l->experts == v->experts && (v->experts || l->rows == v->rows))
        return l;
    l = open_launch(lo, v->experts ? DOMAIN_EXPERTS : DOMAIN_ROWS, n);
    l->rows = v->rows;
    l->experts = v->experts;
    l->decisions = v->experts ? decisions_buffer(lo, v->experts->moe) : NULL;
    return lo->open = l;
}

struct call *node_call(struct lowering *lo, struct launch *l, enum kernel k, const struct node *n)
{
    return add_call(lo->plan->arena, l, k, n->name);
}

/* -- buffers and operands -- */

struct buffer *new_buffer(struct lowering *lo, const char *name, int64_t bytes, int64_t row_bytes)
{
    struct buffer *b = arena_alloc(lo->plan->arena, sizeof *b);
    b->id = (int)lo->nbuffers;
    b->name = name;
    b->bytes = bytes;
    b->row_bytes = row_bytes;
    b->space = SPACE_ARENA;
    *ARENA_PUSH(lo->plan->arena, lo->buffers, lo->nbuffers, lo->cap_buffers) = b;
    return b;
}

struct buffer *row_buffer(struct lowering *lo, const char *name, int64_t rows, int64_t cols)
{
    return new_buffer(lo, name, rows * cols * 4 * lo->g->micro, cols * 4);
}

struct buffer *buffer_of(struct lowering *lo, const struct value *v)
{
    return lo->of_value[v->id];
}

struct operand operand_whole(struct buffer *b)
{
    return (struct operand){.space = b->space, .buffer = b};
}

struct operand operand_rows_in(struct buffer *b)
{
    return (struct operand){.space = b->space, .buffer = b, .s0 = b->row_bytes};
}

struct operand operand_rows(struct lowering *lo, const struct value *v)
{
    return operand_rows_in(buffer_of(lo, v));
}

struct operand operand_image(struct lowering *lo, const struct value *v)
{
    struct operand o = operand_whole(buffer_of(lo, v));
    o.s0 = v->rows * v->cols * 4;
    return o;
}

struct operand operand_start(struct lowering *lo, const struct value *v)
{
    return operand_whole(buffer_of(lo, v));
}

struct operand operand_shifted(struct operand o, int64_t bytes)
{
    o.offset += bytes;
    return o;
}

struct operand operand_param(struct lowering *lo, const struct param *p, enum space space)
{
    return p ? operand_region(space, lo->plan->params[p->id].offset,
                              p->experts ? p->count / p->experts * 4 : 0, 0)
             : operand_nowhere();
}

struct operand operand_packed(struct lowering *lo, const struct param *p, bool transposed)
{
    const struct placed_param *q = &lo->plan->params[p->id];
    return operand_region(SPACE_PACKED, transposed ? q->packed_t : q->packed,
                          p->experts ? (transposed ? q->packed_t_slice : q->packed_slice) : 0, 0);
}

struct operand operand_scratch(struct lowering *lo, const char *name, int64_t bytes)
{
    struct buffer *b = new_buffer(lo, name, bytes, 0);
    b->space = SPACE_SCRATCH;
    return operand_whole(b);
}
