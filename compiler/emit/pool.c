/* Pooling and transposition, one picture a call. */
#include "config.h"

#include <math.h>
#include <stddef.h>

#include "compiler/emit/emit.h"

struct pool {
    V x, y, dx, dy;
    int64_t n, H, W, C, k, stride, pad, OH, OW;
    V y0, x0;
    bool average;
    V scale;
    double share;
};

/* -- all rows and one: sums and means, and the way back -- */

static void sum_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct pool *p = data;
    struct loop l;
    (void)carry;
    V sum = vkf(e, 0), from = at(e, p->x, i);
    loop_begin(e, &l, ki(e, 0), ki(e, p->n), 1, 1, &sum);
    sum = vadd(e, l.carry[0], vload(e, at(e, from, imulk(e, l.i, p->C)), mask));
    loop_end(e, &l, &sum);
    vstore(e, vmul(e, l.carry[0], vkf(e, p->share)), at(e, p->y, i), mask);
}

static double share_of(int64_t rows, bool mean)
{
    return mean ? 1.0 / (double)rows : 1;
}

void emit_sum_rows(struct emit *e, const struct kernel_args *k)
{
    struct pool p = {.y = k->p.sum_rows.y,
                     .x = k->p.sum_rows.x,
                     .n = k->call->size.sum_rows.T,
                     .C = k->call->size.sum_rows.C,
                     .share = share_of(k->call->size.sum_rows.T, k->call->size.sum_rows.mean)};
    each_vector(e, ki(e, p.C), sum_body, &p, NULL, 0);
}

static void spread_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct pool *p = data;
    struct loop l;
    (void)carry;
    V v = vmul(e, vload(e, at(e, p->dy, i), mask), vkf(e, p->share)), to = at(e, p->dx, i);
    loop_begin(e, &l, ki(e, 0), ki(e, p->n), 1, 0, NULL);
    vstore(e, v, at(e, to, imulk(e, l.i, p->C)), mask);
    loop_end(e, &l, NULL);
}

void emit_spread_rows(struct emit *e, const struct kernel_args *k)
{
    struct pool p = {.dx = k->p.spread_rows.y,
                     .dy = k->p.spread_rows.x,
                     .n = k->call->size.spread_rows.T,
                     .C = k->call->size.spread_rows.C,
                     .share =
                         share_of(k->call->size.spread_rows.T, k->call->size.spread_rows.mean)};
    each_vector(e, ki(e, p.C), spread_body, &p, NULL, 0);
}

/* -- windows -- */

struct bounds {
    V y_from, y_to, x_from, x_to;
};

static V larger(struct emit *e, V a, V b)
{
    return choose(e, ilt(e, a, b), b, a);
}

/* The part of the window at output (oy, ox) that lies inside the map. */
static struct bounds bounds_of(struct emit *e, const struct pool *p, V oy, V ox)
{
    V y = iaddk(e, imulk(e, oy, p->stride), -p->pad),
      x = iaddk(e, imulk(e, ox, p->stride), -p->pad);
    return (struct bounds){larger(e, y, ki(e, 0)), imin(e, iaddk(e, y, p->k), ki(e, p->H)),
                           larger(e, x, ki(e, 0)), imin(e, iaddk(e, x, p->k), ki(e, p->W))};
}

static V window_share(struct emit *e, const struct bounds *b)
{
    V count = imul(e, isub(e, b->y_to, b->y_from), isub(e, b->x_to, b->x_from));
    return vdiv(e, kf(e, 1), LLVMBuildSIToFP(e->b, count, e->f32, ""));
}

/* An element takes part if it is larger, or not a number, which must not vanish. */
static V beats(struct emit *e, V x, V best)
{
    return LLVMBuildFCmp(e->b, LLVMRealUGT, x, best, "");
}

struct window_state {
    const struct pool *p;
    struct bounds b;
    V position;
};

static V window_best(struct emit *e, const struct window_state *w, V i, V mask)
{
    struct loop y, x;
    V start = vkf(e, w->p->average ? 0 : -INFINITY);
    loop_begin(e, &y, w->b.y_from, w->b.y_to, 1, 1, &start);
    loop_begin(e, &x, w->b.x_from, w->b.x_to, 1, 1, y.carry);
    V v = vload(e,
                at(e, w->p->x, iadd(e, imulk(e, iadd(e, imulk(e, y.i, w->p->W), x.i), w->p->C), i)),
                mask);
    V next =
        w->p->average ? vadd(e, x.carry[0], v) : choose(e, beats(e, v, x.carry[0]), v, x.carry[0]);
    loop_end(e, &x, &next);
    loop_end(e, &y, x.carry);
    return y.carry[0];
}

static void window_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct window_state *w = data;
    (void)carry;
    V best = window_best(e, w, i, mask);
    if (w->p->average)
        best = vmul(e, best, splat(e, window_share(e, &w->b)));
    vstore(e, best, at(e, w->p->y, iadd(e, imulk(e, w->position, w->p->C), i)), mask);
}

static void each_window(struct emit *e, const struct pool *p, vector_body *body)
{
    struct loop y, x;
    loop_begin(e, &y, ki(e, 0), ki(e, p->OH), 1, 0, NULL);
    loop_begin(e, &x, ki(e, 0), ki(e, p->OW), 1, 0, NULL);
    struct window_state w = {p, bounds_of(e, p, y.i, x.i), iadd(e, imulk(e, y.i, p->OW), x.i)};
    each_vector(e, ki(e, p->C), body, &w, NULL, 0);
    loop_end(e, &x, NULL);
    loop_end(e, &y, NULL);
}

static struct pool pool_of(struct pool_sizes s)
{
    return (struct pool){.H = s.H,
                         .W = s.W,
                         .C = s.C,
                         .k = s.k,
                         .stride = s.stride,
                         .pad = s.pad,
                         .OH = s.OH,
                         .OW = s.OW,
                         .average = s.average};
}

void emit_pool(struct emit *e, const struct kernel_args *k)
{
    struct pool p = pool_of(k->call->size.pool);
    p.y = k->p.pool.y;
    p.x = k->p.pool.x;
    each_window(e, &p, window_body);
}

/* dy spread over the window: to each element its share, or to the first that is the largest. */
static void window_dx_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct window_state *w = data;
    const struct pool *p = w->p;
    struct loop y, x;
    (void)carry;
    V dy = vload(e, at(e, p->dy, iadd(e, imulk(e, w->position, p->C), i)), mask), best = NULL;
    if (p->average)
        dy = vmul(e, dy, splat(e, window_share(e, &w->b)));
    else
        best = window_best(e, w, i, mask);
    loop_begin(e, &y, w->b.y_from, w->b.y_to, 1, 1, &dy);
    loop_begin(e, &x, w->b.x_from, w->b.x_to, 1, 1, y.carry);
    V offset = iadd(e, imulk(e, iadd(e, imulk(e, y.i, p->W), x.i), p->C), i),
      to = at(e, p->dx, offset), left = x.carry[0];
    V add = left;
    if (!p->average) {
        V hit = LLVMBuildFCmp(e->b, LLVMRealUEQ, vload(e, at(e, p->x, offset), mask), best, "");
        add = choose(e, hit, left, vkf(e, 0));
        left = choose(e, hit, vkf(e, 0), left);
    }
    vstore(e, vadd(e, vload(e, to, mask), add), to, mask);
    loop_end(e, &x, &left);
    loop_end(e, &y, x.carry);
}

void emit_pool_dx(struct emit *e, const struct kernel_args *k)
{
    const struct pool_dx_sizes *s = &k->call->size.pool_dx;
    struct pool p = pool_of(
        (struct pool_sizes){s->H, s->W, s->C, s->k, s->stride, s->pad, s->OH, s->OW, s->average});
    p.dx = k->p.pool_dx.dx;
    p.dy = k->p.pool_dx.dy;
    p.x = k->p.pool_dx.x;
    clear_floats(e, p.dx, ki(e, p.H * p.W * p.C));
    each_window(e, &p, window_dx_body);
}

/* -- transposition -- */

void emit_transpose(struct emit *e, const struct kernel_args *k)
{
    int64_t T = k->call->size.transpose.T, C = k->call->size.transpose.C;
    struct loop c, t;
    loop_begin(e, &c, ki(e, 0), ki(e, C), 1, 0, NULL);
    V from = at(e, k->p.transpose.x, c.i), to = at(e, k->p.transpose.y, imulk(e, c.i, T));
    loop_begin(e, &t, ki(e, 0), ki(e, T), e->W, 0, NULL);
    V mask = T % e->W ? mask_below(e, isub(e, ki(e, T), t.i)) : NULL;
    vstore(e, vgather(e, at(e, from, imulk(e, t.i, C)), lanes(e, e->i64, 0, C), mask),
           at(e, to, t.i), mask);
    loop_end(e, &t, NULL);
    loop_end(e, &c, NULL);
}
