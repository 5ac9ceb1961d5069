/* The softmax of a row that is in L1: its largest element, and the sum of exp(x - largest). */
#include "config.h"

#include <math.h>

#include "compiler/emit/emit.h"

struct row { V x, max; };

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
