/* The softmax of rows that are in L1: the largest element, the sum of exp(x - largest), the
 * probabilities, their gradient. */
#include "config.h"

#include <math.h>

#include "compiler/emit/emit.h"

struct row {
    V x, max, scale, to, dy;
};

static void max_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct row *r = data;
    carry[0] = vmax(e, carry[0], vmasked(e, mask, vload(e, at(e, r->x, i), mask), -INFINITY));
}

static void sum_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct row *r = data;
    V y = math_exp(e, vsub(e, vload(e, at(e, r->x, i), mask), r->max));
    carry[0] = vadd(e, carry[0], vmasked(e, mask, y, 0));
}

V row_max(struct emit *e, V x, int64_t n)
{
    struct row r = {.x = x};
    V best = vkf(e, -INFINITY);
    each_vector(e, ki(e, n), max_body, &r, &best, 1);
    return hmax(e, best);
}

void softmax_terms(struct emit *e, V x, int64_t n, V *max, V *sum)
{
    struct row r = {.x = x};
    V total = vkf(e, 0);
    *max = row_max(e, x, n);
    r.max = splat(e, *max);
    each_vector(e, ki(e, n), sum_body, &r, &total, 1);
    *sum = hsum(e, total);
}

static void entropy_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct row *r = data;
    V d = vsub(e, vload(e, at(e, r->x, i), mask), r->max), y = vmasked(e, mask, math_exp(e, d), 0);
    carry[0] = vadd(e, carry[0], y);
    carry[1] = vfma(e, y, vmax(e, d, vkf(e, -100)), carry[1]);
}

/* With d = x - max and S the sum of exp(d): log S - sum of exp(d) d / S. Far below the maximum
 * exp(d) is 0, and d may be infinite. */
V softmax_entropy(struct emit *e, V x, int64_t n)
{
    struct row r = {.x = x, .max = splat(e, row_max(e, x, n))};
    V sums[2] = {vkf(e, 0), vkf(e, 0)};
    each_vector(e, ki(e, n), entropy_body, &r, sums, 2);
    V sum = hsum(e, sums[0]);
    return vsub(e, math_log(e, sum), vdiv(e, hsum(e, sums[1]), sum));
}

V probability(struct emit *e, V x, V max, V inverse)
{
    return vmul(e, math_exp(e, vsub(e, x, max)), inverse);
}

static void softmax_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct row *r = data;
    (void)carry;
    vstore(e, probability(e, vload(e, at(e, r->x, i), mask), r->max, r->scale), at(e, r->to, i),
           mask);
}

void emit_softmax(struct emit *e, const struct kernel_args *k)
{
    int64_t C = k->call->size.softmax.C;
    struct loop l;
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    V row = imulk(e, l.i, C), max, sum;
    struct row r = {.to = at(e, k->p.softmax.y, row), .x = at(e, k->p.softmax.x, row)};
    softmax_terms(e, r.x, C, &max, &sum);
    r.max = splat(e, max);
    r.scale = splat(e, vdiv(e, kf(e, 1), sum));
    each_vector(e, ki(e, C), softmax_body, &r, NULL, 0);
    loop_end(e, &l, NULL);
}

static void slope_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct row *r = data;
    V d = vsub(e, vload(e, at(e, r->dy, i), mask), r->scale);
    (void)carry;
    vstore(e, vmul(e, vload(e, at(e, r->x, i), mask), d), at(e, r->to, i), mask);
}

/* dx = y (dy - sum of dy y) */
void emit_softmax_dx(struct emit *e, const struct kernel_args *k)
{
    int64_t C = k->call->size.softmax_dx.C;
    struct loop l;
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    V row = imulk(e, l.i, C);
    struct row r = {.to = at(e, k->p.softmax_dx.dx, row),
                    .dy = at(e, k->p.softmax_dx.dy, row),
                    .x = at(e, k->p.softmax_dx.y, row)};
    r.scale = splat(e, dot(e, r.dy, r.x, C));
    each_vector(e, ki(e, C), slope_body, &r, NULL, 0);
    loop_end(e, &l, NULL);
}
