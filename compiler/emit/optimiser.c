/* The update: the gradient's norm, then the weights and their moving average. */
#include "config.h"

#include <stddef.h>

#include "compiler/emit/emit.h"
#include "runtime/vrt.h"

/* -- norm -- */

static void square_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    V x = vload(e, at(e, (V)data, i), mask);
    carry[0] = vfma(e, x, x, carry[0]);
}

static V chunk_length(struct emit *e, const struct kernel_args *k, int64_t n, int64_t chunk)
{
    return imin(e, ki(e, chunk), isub(e, ki(e, n), imulk(e, k->row, chunk)));
}

void emit_square_sum(struct emit *e, const struct kernel_args *k)
{
    V sum = vkf(e, 0);
    each_vector(e, chunk_length(e, k, k->call->size.square_sum.n, k->call->size.square_sum.chunk),
                square_body, k->p.square_sum.x, &sum, 1);
    store(e, hsum(e, sum), k->p.square_sum.y);
}

void emit_norm_sum(struct emit *e, const struct kernel_args *k)
{
    V sum = sum_in_double(e, k->p.norm_sum.x, ki(e, k->call->size.norm_sum.n));
    store(e, sum, ctx_field(e, k->ctx, offsetof(struct vrt_ctx, grad_norm2)));
}

/* -- what optimisers share -- */

/* The numbers that one task updates. The addresses are of its first one; those that the optimiser
 * does without are NULL. */
struct update {
    V p, g, m1, m2, ema, count;
    V beta1, beta2, rest1, rest2, scale1, scale2, eps; /* of the moments; scale: 1 / (1 - beta^t) */
    V lr, grad, decay; /* scalars but grad: factor on the gradient */
    V keep, rate, momentum;
    V ema_decay, ema_rest;
    bool nesterov;
};

static V setting(struct emit *e, const struct kernel_args *k, size_t offset)
{
    return ctx_float(e, k->ctx, offset);
}

/* real: weight decay, below 0 the recipe's; factor on the learning rate. */
static void read_rates(struct emit *e, const struct kernel_args *k, struct update *u)
{
    u->lr = vmul(e, setting(e, k, offsetof(struct vrt_ctx, lr)), kf(e, k->call->real[1]));
    u->decay = k->call->real[0] < 0 ? setting(e, k, offsetof(struct vrt_ctx, weight_decay))
                                    : kf(e, k->call->real[0]);
    u->rate = splat(e, u->lr);
    u->grad = splat(e, setting(e, k, offsetof(struct vrt_ctx, grad_scale)));
}

static void read_moments(struct emit *e, const struct kernel_args *k, struct update *u)
{
    V one = kf(e, 1), beta1 = setting(e, k, offsetof(struct vrt_ctx, beta1)),
      beta2 = setting(e, k, offsetof(struct vrt_ctx, beta2));
    u->beta1 = splat(e, beta1);
    u->beta2 = splat(e, beta2);
    u->rest1 = splat(e, vsub(e, one, beta1));
    u->rest2 = splat(e, vsub(e, one, beta2));
    u->scale1 = splat(e, vdiv(e, one, setting(e, k, offsetof(struct vrt_ctx, bias1))));
    u->scale2 = splat(e, vdiv(e, one, setting(e, k, offsetof(struct vrt_ctx, bias2))));
    u->eps = splat(e, setting(e, k, offsetof(struct vrt_ctx, eps)));
}

/* Adam's direction: m1 = b1 m1 + (1-b1) g; m2 = b2 m2 + (1-b2) g^2; (m1 / (1-b1^t)) / (sqrt(m2 /
 * (1-b2^t)) + eps). */
static V adam_step(struct emit *e, const struct update *u, V i, V mask)
{
    V m1 = at(e, u->m1, i), m2 = at(e, u->m2, i),
      slope = vmul(e, vload(e, at(e, u->g, i), mask), u->grad);
    V first = vfma(e, vload(e, m1, mask), u->beta1, vmul(e, slope, u->rest1));
    V second = vfma(e, vload(e, m2, mask), u->beta2, vmul(e, vmul(e, slope, slope), u->rest2));
    vstore(e, first, m1, mask);
    vstore(e, second, m2, mask);
    return vdiv(e, vmul(e, first, u->scale1),
                vadd(e, vsqrt(e, vmul(e, second, u->scale2)), u->eps));
}

static void ema_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct update *u = data;
    V ema = at(e, u->ema, i), p = at(e, u->p, i);
    (void)carry;
    vstore(e, vfma(e, vload(e, ema, mask), u->ema_decay, vmul(e, vload(e, p, mask), u->ema_rest)),
           ema, mask);
}

/* The weights change; then their average, if there is one. */
static void apply(struct emit *e, const struct kernel_args *k, struct update *u, vector_body *body)
{
    V decay = setting(e, k, offsetof(struct vrt_ctx, ema_decay));
    struct branch br;
    u->ema_decay = splat(e, decay);
    u->ema_rest = splat(e, vsub(e, kf(e, 1), decay));
    each_vector(e, u->count, body, u, NULL, 0);
    if_begin(e, &br, vgt(e, decay, kf(e, 0)));
    each_vector(e, u->count, ema_body, u, NULL, 0);
    if_end(e, &br);
}

/* -- AdamW (Loshchilov and Hutter 2019): p = p (1 - lr decay) - lr step -- */

static void adamw_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct update *u = data;
    V p = at(e, u->p, i), step = adam_step(e, u, i, mask);
    (void)carry;
    vstore(e, vsub(e, vmul(e, vload(e, p, mask), u->keep), vmul(e, step, u->rate)), p, mask);
    vstore(e, vkf(e, 0), at(e, u->g, i), mask);
}

void emit_adamw(struct emit *e, const struct kernel_args *k)
{
    struct update u = {.p = k->p.adamw.p,
                       .g = k->p.adamw.g,
                       .m1 = k->p.adamw.m1,
                       .m2 = k->p.adamw.m2,
                       .ema = k->p.adamw.ema,
                       .count =
                           chunk_length(e, k, k->call->size.adamw.n, k->call->size.adamw.chunk)};
    read_rates(e, k, &u);
    read_moments(e, k, &u);
    u.keep = splat(e, vsub(e, kf(e, 1), vmul(e, u.lr, u.decay)));
    apply(e, k, &u, adamw_body);
}

/* -- SGD with momentum, as PyTorch has it: g += decay p; m = momentum m + g; p -= lr (g + momentum
 * m, or m) -- */

static void sgd_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct update *u = data;
    V p = at(e, u->p, i), g = at(e, u->g, i), m = at(e, u->m1, i), before = vload(e, p, mask);
    (void)carry;
    V slope = vfma(e, before, u->keep, vmul(e, vload(e, g, mask), u->grad));
    V sum = vfma(e, vload(e, m, mask), u->momentum, slope);
    V step = u->nesterov ? vfma(e, sum, u->momentum, slope) : sum;
    vstore(e, sum, m, mask);
    vstore(e, vsub(e, before, vmul(e, step, u->rate)), p, mask);
    vstore(e, vkf(e, 0), g, mask);
}

void emit_sgd(struct emit *e, const struct kernel_args *k)
{
    struct update u = {.p = k->p.sgd.p,
                       .g = k->p.sgd.g,
                       .m1 = k->p.sgd.m1,
                       .ema = k->p.sgd.ema,
                       .count = chunk_length(e, k, k->call->size.sgd.n, k->call->size.sgd.chunk)};
    read_rates(e, k, &u);
    u.keep = splat(e, u.decay);
    u.momentum = splat(e, setting(e, k, offsetof(struct vrt_ctx, momentum)));
    u.nesterov = k->call->size.sgd.nesterov != 0;
    apply(e, k, &u, sgd_body);
}

/* -- LAMB (You and others 2020): step = Adam's + decay p; p -= lr |p| / |step| step, by tensor;
 * without decay it is Adam --
 *
 * A tensor, or each expert's part of it, is a slice of n numbers, cut into chunks. lamb leaves the
 * steps in g and the sums of squares of each chunk in `sums`, lamb_apply adds those of its
 * slice. */

struct chunk {
    V from, count, slice;
    int64_t per;
}; /* `per` chunks make a slice */

static struct chunk chunk_of(struct emit *e, const struct kernel_args *k, int64_t n, int64_t chunk)
{
    int64_t per = (n + chunk - 1) / chunk;
    V slice = idiv(e, k->row, ki(e, per)), first = imulk(e, irem(e, k->row, ki(e, per)), chunk);
    return (struct chunk){iadd(e, imulk(e, slice, n), first),
                          imin(e, ki(e, chunk), isub(e, ki(e, n), first)), slice, per};
}

static void lamb_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct update *u = data;
    V p = vload(e, at(e, u->p, i), mask), step = vfma(e, p, u->keep, adam_step(e, u, i, mask));
    vstore(e, step, at(e, u->g, i), mask);
    step = vmasked(e, mask, step, 0);
    carry[0] = vfma(e, p, p, carry[0]);
    carry[1] = vfma(e, step, step, carry[1]);
}

void emit_lamb(struct emit *e, const struct kernel_args *k)
{
    struct chunk c = chunk_of(e, k, k->call->size.lamb.n, k->call->size.lamb.chunk);
    struct update u = {.p = at(e, k->p.lamb.p, c.from),
                       .g = at(e, k->p.lamb.g, c.from),
                       .m1 = at(e, k->p.lamb.m1, c.from),
                       .m2 = at(e, k->p.lamb.m2, c.from)};
    V sum[2] = {vkf(e, 0), vkf(e, 0)}, to = at(e, k->p.lamb.sums, imulk(e, k->row, 2));
    read_rates(e, k, &u);
    read_moments(e, k, &u);
    u.keep = splat(e, u.decay);
    each_vector(e, c.count, lamb_body, &u, sum, 2);
    store(e, hsum(e, sum[0]), to);
    store(e, hsum(e, sum[1]), atk(e, to, 1));
}

static void lamb_apply_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct update *u = data;
    V p = at(e, u->p, i), g = at(e, u->g, i);
    (void)carry;
    vstore(e, vsub(e, vload(e, p, mask), vmul(e, vload(e, g, mask), u->rate)), p, mask);
    vstore(e, vkf(e, 0), g, mask);
}

/* |p| / |step|; 1 where either is zero, or nothing decays. */
static V trust(struct emit *e, V sums, const struct chunk *c, V decay)
{
    V first = at(e, sums, imulk(e, c->slice, 2 * c->per)), sum[2] = {kf(e, 0), kf(e, 0)},
      zero = kf(e, 0);
    struct loop l;
    loop_begin(e, &l, ki(e, 0), ki(e, c->per), 1, 2, sum);
    V from = at(e, first, imulk(e, l.i, 2));
    sum[0] = vadd(e, l.carry[0], load(e, e->f32, from));
    sum[1] = vadd(e, l.carry[1], load(e, e->f32, atk(e, from, 1)));
    loop_end(e, &l, sum);
    V ratio = vdiv(e, vsqrt(e, l.carry[0]), vsqrt(e, l.carry[1]));
    ratio = choose(e, vgt(e, l.carry[0], zero), ratio, kf(e, 1));
    ratio = choose(e, vgt(e, l.carry[1], zero), ratio, kf(e, 1));
    return choose(e, vgt(e, decay, zero), ratio, kf(e, 1));
}

void emit_lamb_apply(struct emit *e, const struct kernel_args *k)
{
    struct chunk c = chunk_of(e, k, k->call->size.lamb_apply.n, k->call->size.lamb_apply.chunk);
    struct update u = {.p = at(e, k->p.lamb_apply.p, c.from),
                       .g = at(e, k->p.lamb_apply.g, c.from),
                       .ema = at(e, k->p.lamb_apply.ema, c.from),
                       .count = c.count};
    read_rates(e, k, &u);
    u.rate = splat(e, vmul(e, u.lr, trust(e, k->p.lamb_apply.sums, &c, u.decay)));
    apply(e, k, &u, lamb_apply_body);
}
