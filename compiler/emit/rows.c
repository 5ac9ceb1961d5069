/* Row-wise kernels: norms, activations, elementwise arithmetic, copies, reductions. Elementwise
 * ones see m rows of C numbers as one run of m * C. */
#include "config.h"

#include <stddef.h>

#include "compiler/emit/emit.h"
#include "runtime/vrt.h"

/* -- runs of numbers: one body for all elementwise kernels -- */

struct run {
    const struct kernel_args *k;
    int kind;
};

V act_value(struct emit *e, V x, int kind)
{
    switch (kind) {
    case ACT_GELU: return math_gelu(e, x);
    case ACT_SILU: return vmul(e, x, math_sigmoid(e, x));
    default:       return choose(e, vgt(e, like(e, x, 0), x), like(e, x, 0), x);
    }
}

V act_slope(struct emit *e, V dy, V x, int kind)
{
    if (kind == ACT_RELU)
        return choose(e, vgt(e, x, like(e, x, 0)), dy, like(e, x, 0));
    if (kind == ACT_GELU)
        return vmul(e, dy, math_gelu_slope(e, x));
    V s = math_sigmoid(e, x), one = like(e, x, 1);
    return vmul(e, vmul(e, dy, s), vfma(e, x, vsub(e, one, s), one));
}

static void act_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct run *r = data;
    (void)carry;
    vstore(e, act_value(e, vload(e, at(e, r->k->p[1], i), mask), r->kind), at(e, r->k->p[0], i),
           mask);
}

static void act_dx_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct run *r = data;
    (void)carry;
    V dy = vload(e, at(e, r->k->p[1], i), mask), x = vload(e, at(e, r->k->p[2], i), mask);
    vstore(e, act_slope(e, dy, x, r->kind), at(e, r->k->p[0], i), mask);
}

static void binary_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct run *r = data;
    (void)carry;
    V a = vload(e, at(e, r->k->p[1], i), mask), b = vload(e, at(e, r->k->p[2], i), mask);
    vstore(e, r->kind ? vmul(e, a, b) : vadd(e, a, b), at(e, r->k->p[0], i), mask);
}

static void run_over(struct emit *e, const struct kernel_args *k, vector_body *body, int kind)
{
    struct run r = {k, kind};
    each_vector(e, imulk(e, k->m, k->call->size[0]), body, &r, NULL, 0);
}

void emit_act(struct emit *e, const struct kernel_args *k)
{
    run_over(e, k, act_body, (int)k->call->size[1]);
}
void emit_act_dx(struct emit *e, const struct kernel_args *k)
{
    run_over(e, k, act_dx_body, (int)k->call->size[1]);
}
void emit_add(struct emit *e, const struct kernel_args *k)
{
    run_over(e, k, binary_body, 0);
}
void emit_mul(struct emit *e, const struct kernel_args *k)
{
    run_over(e, k, binary_body, 1);
}
void emit_zero(struct emit *e, const struct kernel_args *k)
{
    clear_floats(e, k->p[0], imulk(e, k->m, k->call->size[0]));
}

/* -- rows one by one -- */

struct row {
    V p[8];
    V mean, rstd, scale, a, b;
};

static void each_row(struct emit *e, const struct kernel_args *k, struct loop *l, struct row *r,
                     const int64_t *strides, int n)
{
    loop_begin(e, l, ki(e, 0), k->m, 1, 0, NULL);
    for (int i = 0; i < n; i++)
        r->p[i] = strides[i] ? at(e, k->p[i], imulk(e, l->i, strides[i])) : k->p[i];
}

static void sum_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    carry[0] = vadd(e, carry[0], vload(e, at(e, r->p[2], i), mask));
}

static void variance_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    V d = vmasked(e, mask, vsub(e, vload(e, at(e, r->p[2], i), mask), r->mean), 0);
    carry[0] = vfma(e, d, d, carry[0]);
}

static void norm_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    (void)carry;
    V x = vmul(e, vsub(e, vload(e, at(e, r->p[2], i), mask), r->mean), r->rstd);
    V y = vfma(e, x, vload(e, at(e, r->p[3], i), mask), vload(e, at(e, r->p[4], i), mask));
    vstore(e, y, at(e, r->p[0], i), mask);
}

/* Two passes over a row that is in L1: the variance about the mean loses no digits. */
void emit_layernorm(struct emit *e, const struct kernel_args *k)
{
    int64_t C = k->call->size[0];
    struct loop l;
    struct row r;
    each_row(e, k, &l, &r, (int64_t[]){C, 2, C, 0, 0}, 5);
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
    store(e, mean, r.p[1]);
    store(e, rstd, atk(e, r.p[1], 1));
    loop_end(e, &l, NULL);
}

/* g = dy w; a = sum g / C; b = sum g xhat / C; dx = rstd (g - a - xhat b). dw and db gather in this
 * tile's sums. */
static void layernorm_sums(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    V dy = vload(e, at(e, r->p[1], i), mask);
    V x =
        vmasked(e, mask, vmul(e, vsub(e, vload(e, at(e, r->p[2], i), mask), r->mean), r->rstd), 0);
    V g = vmul(e, dy, vload(e, at(e, r->p[4], i), mask));
    carry[0] = vadd(e, carry[0], g);
    carry[1] = vfma(e, g, x, carry[1]);
    V pw = at(e, r->p[5], i), pb = at(e, r->p[6], i);
    vstore(e, vfma(e, dy, x, vload(e, pw, mask)), pw, mask);
    vstore(e, vadd(e, dy, vload(e, pb, mask)), pb, mask);
}

static void layernorm_slope(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    (void)carry;
    V x = vmul(e, vsub(e, vload(e, at(e, r->p[2], i), mask), r->mean), r->rstd);
    V g = vmul(e, vload(e, at(e, r->p[1], i), mask), vload(e, at(e, r->p[4], i), mask));
    V d = vsub(e, vsub(e, g, r->a), vmul(e, x, r->b));
    vstore(e, vmul(e, d, r->rstd), at(e, r->p[0], i), mask);
}

void emit_layernorm_dx(struct emit *e, const struct kernel_args *k)
{
    int64_t C = k->call->size[0];
    struct loop l;
    struct row r;
    clear_floats(e, k->p[5], ki(e, C));
    clear_floats(e, k->p[6], ki(e, C));
    each_row(e, k, &l, &r, (int64_t[]){C, C, C, 2, 0, 0, 0}, 7);
    r.mean = splat(e, load(e, e->f32, r.p[3]));
    r.rstd = splat(e, load(e, e->f32, atk(e, r.p[3], 1)));
    V sum[2] = {vkf(e, 0), vkf(e, 0)}, inverse = kf(e, 1.0 / (double)C);
    each_vector(e, ki(e, C), layernorm_sums, &r, sum, 2);
    r.a = splat(e, vmul(e, hsum(e, sum[0]), inverse));
    r.b = splat(e, vmul(e, hsum(e, sum[1]), inverse));
    each_vector(e, ki(e, C), layernorm_slope, &r, NULL, 0);
    loop_end(e, &l, NULL);
}

static void scale_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    (void)carry;
    vstore(e, vmul(e, vload(e, at(e, r->p[1], i), mask), vload(e, at(e, r->p[2], i), mask)),
           at(e, r->p[0], i), mask);
}

void emit_scale(struct emit *e, const struct kernel_args *k)
{
    int64_t C = k->call->size[0];
    struct loop l;
    struct row r;
    each_row(e, k, &l, &r, (int64_t[]){C, C, 0}, 3);
    each_vector(e, ki(e, C), scale_body, &r, NULL, 0);
    loop_end(e, &l, NULL);
}

static void factor_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    (void)carry;
    vstore(e, vmul(e, vload(e, at(e, r->p[1], i), mask), r->scale), at(e, r->p[0], i), mask);
}

void emit_scale_rows(struct emit *e, const struct kernel_args *k)
{
    int64_t C = k->call->size[0];
    struct loop l;
    struct row r;
    each_row(e, k, &l, &r, (int64_t[]){C, C, 1}, 3);
    r.scale = splat(e, load(e, e->f32, r.p[2]));
    each_vector(e, ki(e, C), factor_body, &r, NULL, 0);
    loop_end(e, &l, NULL);
}

static void scale_dx_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    (void)carry;
    V dy = vload(e, at(e, r->p[1], i), mask), pw = at(e, r->p[4], i);
    vstore(e, vfma(e, dy, vload(e, at(e, r->p[2], i), mask), vload(e, pw, mask)), pw, mask);
    vstore(e, vmul(e, dy, vload(e, at(e, r->p[3], i), mask)), at(e, r->p[0], i), mask);
}

void emit_scale_dx(struct emit *e, const struct kernel_args *k)
{
    int64_t C = k->call->size[0];
    struct loop l;
    struct row r;
    clear_floats(e, k->p[4], ki(e, C));
    each_row(e, k, &l, &r, (int64_t[]){C, C, C, 0, 0}, 5);
    each_vector(e, ki(e, C), scale_dx_body, &r, NULL, 0);
    loop_end(e, &l, NULL);
}

static void copy_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    (void)carry;
    vstore(e, vload(e, at(e, r->p[1], i), mask), at(e, r->p[0], i), mask);
}

void emit_copy(struct emit *e, const struct kernel_args *k)
{
    const int64_t *s = k->call->size;
    struct loop l;
    struct row r;
    each_row(e, k, &l, &r, (int64_t[]){s[1], s[2]}, 2);
    each_vector(e, ki(e, s[0]), copy_body, &r, NULL, 0);
    loop_end(e, &l, NULL);
}

static void positions_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    struct row *r = data;
    (void)carry;
    vstore(e, vadd(e, vload(e, at(e, r->p[1], i), mask), vload(e, at(e, r->p[2], i), mask)),
           at(e, r->p[0], i), mask);
}

void emit_positions(struct emit *e, const struct kernel_args *k)
{
    int64_t C = k->call->size[0], rows = k->call->size[1];
    struct loop l;
    struct row r;
    each_row(e, k, &l, &r, (int64_t[]){C, C, 0}, 3);
    r.p[2] = at(e, r.p[2], imulk(e, irem(e, iadd(e, k->row, l.i), ki(e, rows)), C));
    each_vector(e, ki(e, C), positions_body, &r, NULL, 0);
    loop_end(e, &l, NULL);
}

static void reduce_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct kernel_args *k = data;
    struct loop l;
    (void)carry;
    V sum = vload(e, at(e, k->p[0], i), mask), from = at(e, k->p[1], i);
    loop_begin(e, &l, ki(e, 0), k->m, 1, 1, &sum);
    sum = vadd(e, l.carry[0], vload(e, at(e, from, imulk(e, l.i, k->call->size[1])), mask));
    loop_end(e, &l, &sum);
    vstore(e, l.carry[0], at(e, k->p[0], i), mask);
}

void emit_reduce(struct emit *e, const struct kernel_args *k)
{
    each_vector(e, ki(e, k->call->size[0]), reduce_body, (void *)k, NULL, 0);
}

/* -- random masks -- */

void random_keys(struct emit *e, V ctx, V *key0, V *key1, V *step)
{
    V seed = ctx_int(e, ctx, offsetof(struct vrt_ctx, seed));
    *key0 = LLVMBuildTrunc(e->b, seed, e->i32, "");
    *key1 = LLVMBuildTrunc(e->b, LLVMBuildLShr(e->b, seed, ki(e, 32), ""), e->i32, "");
    *step = LLVMBuildTrunc(e->b, ctx_int(e, ctx, offsetof(struct vrt_ctx, step)), e->i32, "");
}

/* The token that a row belongs to, counted over this call; for routed rows also which choice of it.
 * The sizes K and pair_at. */
static V token_of(struct emit *e, const struct kernel_args *k, V decisions, const int64_t *size,
                  V i, V *choice)
{
    V row = iadd(e, k->row, i);
    *choice = ki(e, 0);
    if (!size[0])
        return row;
    V pair =
        LLVMBuildZExt(e->b, load(e, e->i32, at(e, bytesk(e, decisions, size[1]), row)), e->i64, "");
    *choice = irem(e, pair, ki(e, size[0]));
    return idiv(e, pair, ki(e, size[0]));
}

void emit_drop_factors(struct emit *e, const struct kernel_args *k)
{
    const int64_t *s = k->call->size;
    V key0, key1, step, choice, out[4];
    struct loop l;
    random_keys(e, k->ctx, &key0, &key1, &step);
    V p =
        vmul(e, ctx_float(e, k->ctx, offsetof(struct vrt_ctx, drop_path)), kf(e, k->call->real[0]));
    V kept = vdiv(e, kf(e, 1), vsub(e, kf(e, 1), p));
    V first = ctx_int(e, k->ctx, offsetof(struct vrt_ctx, first_image));
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    V image = iadd(e, first, idiv(e, token_of(e, k, k->p[1], s + 2, l.i, &choice), ki(e, s[0])));
    math_philox(e, (V[]){LLVMBuildTrunc(e->b, image, e->i32, ""), ki32(e, 0), ki32(e, s[1]), step},
                key0, key1, out);
    V drop = vgt(e, p, math_uniform(e, out[0]));
    store(e, choose(e, drop, kf(e, 0), kept), at(e, k->p[0], l.i));
    loop_end(e, &l, NULL);
}

struct mask_state {
    V x, y, counter0, first, key0, key1, step, words;
    int64_t C, key;
    double rate;
};

/* Element col uses word col % 4 of counter (row, col / 4): a vector of counters covers 4 W columns,
 * put in order through the stack. One number at a time would do; this keeps one Philox for each 4
 * numbers. */
static void dropout_block(struct emit *e, V block, const struct mask_state *s)
{
    V counter = LLVMBuildTrunc(
        e->b, iadd(e, splat(e, iadd(e, s->first, imulk(e, block, e->W))), lanes(e, e->i64, 0, 1)),
        e->vi, "");
    V out[4];
    math_philox(e,
                (V[]){splat(e, s->counter0), counter, ilike(e, counter, (uint64_t)s->key),
                      splat(e, s->step)},
                splat(e, s->key0), splat(e, s->key1), out);
    for (int w = 0; w < 4; w++)
        store(e, math_uniform(e, out[w]), atk(e, s->words, (int64_t)w * e->W));
    V rate = kf(e, s->rate), kept = kf(e, 1.0 / (1.0 - s->rate));
    V from = imulk(e, block, 4 * (int64_t)e->W),
      to = imin(e, iaddk(e, from, 4 * (int64_t)e->W), ki(e, s->C));
    struct loop l;
    loop_begin(e, &l, from, to, 1, 0, NULL);
    V c = isub(e, l.i, from);
    V u =
        load(e, e->f32,
             at(e, s->words, iadd(e, imulk(e, irem(e, c, ki(e, 4)), e->W), idiv(e, c, ki(e, 4)))));
    V x = load(e, e->f32, at(e, s->x, l.i));
    store(e, vmul(e, x, choose(e, vgt(e, rate, u), kf(e, 0), kept)), at(e, s->y, l.i));
    loop_end(e, &l, NULL);
}

void emit_dropout(struct emit *e, const struct kernel_args *k)
{
    const int64_t *z = k->call->size;
    struct mask_state s = {.C = z[0], .key = z[2], .rate = k->call->real[0]};
    int64_t rows = z[1];
    struct loop l, b;
    V choice;
    s.words = slot(e, e->f32, 4 * e->W);
    random_keys(e, k->ctx, &s.key0, &s.key1, &s.step);
    V base = imulk(e, ctx_int(e, k->ctx, offsetof(struct vrt_ctx, first_image)), rows);
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    V token = token_of(e, k, k->p[2], z + 3, l.i, &choice);
    s.first = imulk(e, choice, (s.C + 3) / 4); /* choices take counters of their own */
    s.counter0 = LLVMBuildTrunc(e->b, iadd(e, base, token), e->i32, "");
    s.x = at(e, k->p[1], imulk(e, l.i, s.C));
    s.y = at(e, k->p[0], imulk(e, l.i, s.C));
    loop_begin(e, &b, ki(e, 0), ki(e, (s.C + 4 * e->W - 1) / (4 * e->W)), 1, 0, NULL);
    dropout_block(e, b.i, &s);
    loop_end(e, &b, NULL);
    loop_end(e, &l, NULL);
}
