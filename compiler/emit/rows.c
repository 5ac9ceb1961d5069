/* Row-wise kernels: norms, elementwise arithmetic, copies, reductions. Elementwise ones see m rows
 * of C numbers as one run of m * C. */
#include "config.h"

#include "compiler/emit/emit.h"

/* -- runs of numbers -- */

struct binary {
    V y, a, b;
    V (*of)(struct emit *e, V a, V b);
};

static void binary_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct binary *r = data;
    (void)carry;
    V a = vload(e, at(e, r->a, i), mask), b = vload(e, at(e, r->b, i), mask);
    vstore(e, r->of(e, a, b), at(e, r->y, i), mask);
}

void emit_add(struct emit *e, const struct kernel_args *k)
{
    struct binary r = {k->p.add.y, k->p.add.a, k->p.add.b, vadd};
    each_vector(e, imulk(e, k->m, k->call->size.add.C), binary_body, &r, NULL, 0);
}

void emit_mul(struct emit *e, const struct kernel_args *k)
{
    struct binary r = {k->p.mul.y, k->p.mul.a, k->p.mul.b, vmul};
    each_vector(e, imulk(e, k->m, k->call->size.mul.C), binary_body, &r, NULL, 0);
}

void emit_zero(struct emit *e, const struct kernel_args *k)
{
    clear_floats(e, k->p.zero.y, imulk(e, k->m, k->call->size.zero.C));
}

/* -- rows one by one -- */

/* A row at work: its operands, and what is known of it. */
struct row {
    V y, x, dy, w, b, stats, pw, pb;
    V mean, rstd, scale, mean_g, mean_gh;
};

static V row_of(struct emit *e, V p, V i, int64_t cols)
{
    return at(e, p, imulk(e, i, cols));
}

static void each_row(struct emit *e, const struct kernel_args *k, struct loop *l)
{
    loop_begin(e, l, ki(e, 0), k->m, 1, 0, NULL);
}

static void sum_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    carry[0] = vadd(e, carry[0], vload(e, at(e, r->x, i), mask));
}

static void variance_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    V d = vmasked(e, mask, vsub(e, vload(e, at(e, r->x, i), mask), r->mean), 0);
    carry[0] = vfma(e, d, d, carry[0]);
}

static void norm_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    (void)carry;
    V x = vmul(e, vsub(e, vload(e, at(e, r->x, i), mask), r->mean), r->rstd);
    V y = vfma(e, x, vload(e, at(e, r->w, i), mask), vload(e, at(e, r->b, i), mask));
    vstore(e, y, at(e, r->y, i), mask);
}

/* Two passes over a row that is in L1: the variance about the mean loses no digits. */
void emit_layernorm(struct emit *e, const struct kernel_args *k)
{
    int64_t C = k->call->size.layernorm.C;
    struct loop l;
    struct row r = {.w = k->p.layernorm.w, .b = k->p.layernorm.b};
    each_row(e, k, &l);
    r.y = row_of(e, k->p.layernorm.y, l.i, C);
    r.stats = row_of(e, k->p.layernorm.stats, l.i, 2);
    r.x = row_of(e, k->p.layernorm.x, l.i, C);
    V sum = vkf(e, 0), inverse = kf(e, 1.0 / (double)C);
    each_vector(e, ki(e, C), sum_body, &r, &sum, 1);
    V mean = vmul(e, hsum(e, sum), inverse);
    r.mean = splat(e, mean);
    sum = vkf(e, 0);
    each_vector(e, ki(e, C), variance_body, &r, &sum, 1);
    V variance = vfma(e, hsum(e, sum), inverse, kf(e, k->call->real[0]));
    V rstd = vdiv(e, kf(e, 1), vsqrt(e, variance));
    r.rstd = splat(e, rstd);
    each_vector(e, ki(e, C), norm_body, &r, NULL, 0);
    store(e, mean, r.stats);
    store(e, rstd, atk(e, r.stats, 1));
    loop_end(e, &l, NULL);
}

/* g = dy w; dx = rstd (g - sum g / C - xhat sum g xhat / C). dw and db gather in this tile's
 * sums. */
static void layernorm_sums(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    V dy = vload(e, at(e, r->dy, i), mask);
    V x = vmasked(e, mask, vmul(e, vsub(e, vload(e, at(e, r->x, i), mask), r->mean), r->rstd), 0);
    V g = vmul(e, dy, vload(e, at(e, r->w, i), mask));
    carry[0] = vadd(e, carry[0], g);
    carry[1] = vfma(e, g, x, carry[1]);
    V pw = at(e, r->pw, i), pb = at(e, r->pb, i);
    vstore(e, vfma(e, dy, x, vload(e, pw, mask)), pw, mask);
    vstore(e, vadd(e, dy, vload(e, pb, mask)), pb, mask);
}

static void layernorm_slope(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    (void)carry;
    V x = vmul(e, vsub(e, vload(e, at(e, r->x, i), mask), r->mean), r->rstd);
    V g = vmul(e, vload(e, at(e, r->dy, i), mask), vload(e, at(e, r->w, i), mask));
    V d = vsub(e, vsub(e, g, r->mean_g), vmul(e, x, r->mean_gh));
    vstore(e, vmul(e, d, r->rstd), at(e, r->y, i), mask);
}

void emit_layernorm_dx(struct emit *e, const struct kernel_args *k)
{
    int64_t C = k->call->size.layernorm_dx.C;
    struct loop l;
    struct row r = {
        .w = k->p.layernorm_dx.w, .pw = k->p.layernorm_dx.pw, .pb = k->p.layernorm_dx.pb};
    clear_floats(e, r.pw, ki(e, C));
    clear_floats(e, r.pb, ki(e, C));
    each_row(e, k, &l);
    r.y = row_of(e, k->p.layernorm_dx.dx, l.i, C);
    r.dy = row_of(e, k->p.layernorm_dx.dy, l.i, C);
    r.x = row_of(e, k->p.layernorm_dx.x, l.i, C);
    r.stats = row_of(e, k->p.layernorm_dx.stats, l.i, 2);
    r.mean = splat(e, load(e, e->f32, r.stats));
    r.rstd = splat(e, load(e, e->f32, atk(e, r.stats, 1)));
    V sum[2] = {vkf(e, 0), vkf(e, 0)}, inverse = kf(e, 1.0 / (double)C);
    each_vector(e, ki(e, C), layernorm_sums, &r, sum, 2);
    r.mean_g = splat(e, vmul(e, hsum(e, sum[0]), inverse));
    r.mean_gh = splat(e, vmul(e, hsum(e, sum[1]), inverse));
    each_vector(e, ki(e, C), layernorm_slope, &r, NULL, 0);
    loop_end(e, &l, NULL);
}

static void scale_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    (void)carry;
    vstore(e, vmul(e, vload(e, at(e, r->x, i), mask), vload(e, at(e, r->w, i), mask)),
           at(e, r->y, i), mask);
}

void emit_scale(struct emit *e, const struct kernel_args *k)
{
    int64_t C = k->call->size.scale.C;
    struct loop l;
    struct row r = {.w = k->p.scale.w};
    each_row(e, k, &l);
    r.y = row_of(e, k->p.scale.y, l.i, C);
    r.x = row_of(e, k->p.scale.x, l.i, C);
    each_vector(e, ki(e, C), scale_body, &r, NULL, 0);
    loop_end(e, &l, NULL);
}

static void factor_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    (void)carry;
    vstore(e, vmul(e, vload(e, at(e, r->x, i), mask), r->scale), at(e, r->y, i), mask);
}

void emit_scale_rows(struct emit *e, const struct kernel_args *k)
{
    int64_t C = k->call->size.scale_rows.C;
    struct loop l;
    struct row r = {.y = NULL};
    each_row(e, k, &l);
    r.y = row_of(e, k->p.scale_rows.y, l.i, C);
    r.x = row_of(e, k->p.scale_rows.x, l.i, C);
    r.scale = splat(e, load(e, e->f32, row_of(e, k->p.scale_rows.f, l.i, 1)));
    each_vector(e, ki(e, C), factor_body, &r, NULL, 0);
    loop_end(e, &l, NULL);
}

static void scale_dx_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    (void)carry;
    V dy = vload(e, at(e, r->dy, i), mask), pw = at(e, r->pw, i);
    vstore(e, vfma(e, dy, vload(e, at(e, r->x, i), mask), vload(e, pw, mask)), pw, mask);
    vstore(e, vmul(e, dy, vload(e, at(e, r->w, i), mask)), at(e, r->y, i), mask);
}

void emit_scale_dx(struct emit *e, const struct kernel_args *k)
{
    int64_t C = k->call->size.scale_dx.C;
    struct loop l;
    struct row r = {.w = k->p.scale_dx.w, .pw = k->p.scale_dx.pw};
    clear_floats(e, r.pw, ki(e, C));
    each_row(e, k, &l);
    r.y = row_of(e, k->p.scale_dx.dx, l.i, C);
    r.dy = row_of(e, k->p.scale_dx.dy, l.i, C);
    r.x = row_of(e, k->p.scale_dx.x, l.i, C);
    each_vector(e, ki(e, C), scale_dx_body, &r, NULL, 0);
    loop_end(e, &l, NULL);
}

static void copy_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    (void)carry;
    vstore(e, vload(e, at(e, r->x, i), mask), at(e, r->y, i), mask);
}

void emit_copy(struct emit *e, const struct kernel_args *k)
{
    const struct copy_sizes *s = &k->call->size.copy;
    struct loop l;
    struct row r = {.y = NULL};
    each_row(e, k, &l);
    r.y = row_of(e, k->p.copy.y, l.i, s->ldy);
    r.x = row_of(e, k->p.copy.x, l.i, s->ldx);
    each_vector(e, ki(e, s->n), copy_body, &r, NULL, 0);
    loop_end(e, &l, NULL);
}

static void positions_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    (void)carry;
    vstore(e, vadd(e, vload(e, at(e, r->x, i), mask), vload(e, at(e, r->w, i), mask)),
           at(e, r->y, i), mask);
}

void emit_positions(struct emit *e, const struct kernel_args *k)
{
    int64_t C = k->call->size.positions.C, rows = k->call->size.positions.rows;
    struct loop l;
    struct row r = {.y = NULL};
    each_row(e, k, &l);
    r.y = row_of(e, k->p.positions.y, l.i, C);
    r.x = row_of(e, k->p.positions.x, l.i, C);
    r.w = row_of(e, k->p.positions.w, irem(e, iadd(e, k->row, l.i), ki(e, rows)), C);
    each_vector(e, ki(e, C), positions_body, &r, NULL, 0);
    loop_end(e, &l, NULL);
}

static void reduce_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct kernel_args *k = data;
    int64_t stride = k->call->size.reduce.stride;
    struct loop l;
    (void)carry;
    V sum = vload(e, at(e, k->p.reduce.y, i), mask), from = at(e, k->p.reduce.x, i);
    loop_begin(e, &l, ki(e, 0), k->m, 1, 1, &sum);
    sum = vadd(e, l.carry[0], vload(e, at(e, from, imulk(e, l.i, stride)), mask));
    loop_end(e, &l, &sum);
    vstore(e, l.carry[0], at(e, k->p.reduce.y, i), mask);
}

void emit_reduce(struct emit *e, const struct kernel_args *k)
{
    each_vector(e, ki(e, k->call->size.reduce.n), reduce_body, (void *)k, NULL, 0);
}
