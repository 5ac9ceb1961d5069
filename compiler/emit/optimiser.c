/* The loss and the update: cross-entropy, sums of losses, the gradient's norm, AdamW (Loshchilov and Hutter 2019) with the moving
 * average of the weights. */
#include "config.h"

#include <math.h>
#include <stddef.h>

#include "compiler/emit/emit.h"
#include "runtime/vrt.h"

/* -- cross-entropy -- */

struct entropy { V logits, target, out, max, inverse, scale; };

/* Sums of exp(x - max), of target * (x - max), and of the target. */
static void sums_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct entropy *s = data;
    V d = vsub(e, vload(e, at(e, s->logits, i), mask), s->max), t = vload(e, at(e, s->target, i), mask);
    carry[0] = vadd(e, carry[0], vmasked(e, mask, math_exp(e, d), 0));
    carry[1] = vfma(e, t, vmasked(e, mask, d, 0), carry[1]);
    carry[2] = vadd(e, carry[2], t);
}

static void slope_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct entropy *s = data;
    V p = vmul(e, math_exp(e, vsub(e, vload(e, at(e, s->logits, i), mask), s->max)), s->inverse);
    (void)carry;
    vstore(e, vmul(e, vsub(e, p, vload(e, at(e, s->target, i), mask)), s->scale), at(e, s->out, i), mask);
}

void emit_cross_entropy(struct emit *e, const struct kernel_args *k)
{
    int64_t C = k->call->size[0];
    V scale = splat(e, ctx_float(e, k->ctx, offsetof(struct vrt_ctx, loss_scale)));
    struct loop l;
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    V row = imulk(e, l.i, C);
    struct entropy s = {.out = at(e, k->p[1], row), .logits = at(e, k->p[2], row), .target = at(e, k->p[3], row), .scale = scale};
    V sum[3] = {vkf(e, 0), vkf(e, 0), vkf(e, 0)};
    s.max = splat(e, row_max(e, s.logits, C));
    each_vector(e, ki(e, C), sums_body, &s, sum, 3);
    V total = hsum(e, sum[0]);
    s.inverse = splat(e, vdiv(e, kf(e, 1), total));
    V loss = vsub(e, vmul(e, math_log(e, total), hsum(e, sum[2])), hsum(e, sum[1]));
    store(e, loss, at(e, k->p[0], l.i));
    each_vector(e, ki(e, C), slope_body, &s, NULL, 0);
    loop_end(e, &l, NULL);
}

static V sum_in_double(struct emit *e, V x, V n)
{
    struct loop l;
    V sum = LLVMConstReal(e->f64, 0);
    loop_begin(e, &l, ki(e, 0), n, 1, 1, &sum);
    V v = LLVMBuildFPExt(e->b, load(e, e->f32, at(e, x, l.i)), e->f64, "");
    sum = LLVMBuildFAdd(e->b, l.carry[0], v, "");
    loop_end(e, &l, &sum);
    return l.carry[0];
}

/* Sets both losses: the balance losses of this call are added after. */
void emit_loss_sum(struct emit *e, const struct kernel_args *k)
{
    store(e, sum_in_double(e, k->p[0], k->m), ctx_field(e, k->ctx, offsetof(struct vrt_ctx, loss)));
    store(e, LLVMConstReal(e->f64, 0), ctx_field(e, k->ctx, offsetof(struct vrt_ctx, balance_loss)));
}

/* -- norm -- */

static void square_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    V x = vload(e, at(e, (V)data, i), mask);
    carry[0] = vfma(e, x, x, carry[0]);
}

static V chunk_length(struct emit *e, const struct kernel_args *k)
{
    int64_t n = k->call->size[0], chunk = k->call->size[1];
    return imin(e, ki(e, chunk), isub(e, ki(e, n), imulk(e, k->row, chunk)));
}

void emit_square_sum(struct emit *e, const struct kernel_args *k)
{
    V sum = vkf(e, 0);
    each_vector(e, chunk_length(e, k), square_body, k->p[1], &sum, 1);
    store(e, hsum(e, sum), k->p[0]);
}

void emit_norm_sum(struct emit *e, const struct kernel_args *k)
{
    V sum = sum_in_double(e, k->p[0], ki(e, k->call->size[0]));
    store(e, sum, ctx_field(e, k->ctx, offsetof(struct vrt_ctx, grad_norm2)));
}

/* -- AdamW -- */

struct adamw { const struct kernel_args *k; V beta1, beta2, rest1, rest2, scale1, scale2, eps, keep, lr, grad, decay, rest; };

/* m1 = b1 m1 + (1-b1) g; m2 = b2 m2 + (1-b2) g^2; p = p (1 - lr wd) - lr (m1 / bias1) / (sqrt(m2 / bias2) + eps) */
static void adamw_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct adamw *a = data;
    V p = at(e, a->k->p[0], i), g = at(e, a->k->p[1], i), m1 = at(e, a->k->p[2], i), m2 = at(e, a->k->p[3], i);
    (void)carry;
    V slope = vmul(e, vload(e, g, mask), a->grad);
    V first = vfma(e, vload(e, m1, mask), a->beta1, vmul(e, slope, a->rest1));
    V second = vfma(e, vload(e, m2, mask), a->beta2, vmul(e, vmul(e, slope, slope), a->rest2));
    V step = vdiv(e, vmul(e, first, a->scale1), vadd(e, vsqrt(e, vmul(e, second, a->scale2)), a->eps));
    V next = vsub(e, vmul(e, vload(e, p, mask), a->keep), vmul(e, step, a->lr));
    vstore(e, first, m1, mask);
    vstore(e, second, m2, mask);
    vstore(e, next, p, mask);
    vstore(e, vkf(e, 0), g, mask);
}

static void ema_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct adamw *a = data;
    V ema = at(e, a->k->p[4], i), p = at(e, a->k->p[0], i);
    (void)carry;
    vstore(e, vfma(e, vload(e, ema, mask), a->decay, vmul(e, vload(e, p, mask), a->rest)), ema, mask);
}

static V setting(struct emit *e, const struct kernel_args *k, size_t offset)
{
    return ctx_float(e, k->ctx, offset);
}

void emit_adamw(struct emit *e, const struct kernel_args *k)
{
    V one = kf(e, 1), beta1 = setting(e, k, offsetof(struct vrt_ctx, beta1)), beta2 = setting(e, k, offsetof(struct vrt_ctx, beta2));
    V lr = vmul(e, setting(e, k, offsetof(struct vrt_ctx, lr)), kf(e, k->call->real[1]));
    V decay = k->call->real[0] < 0 ? setting(e, k, offsetof(struct vrt_ctx, weight_decay)) : kf(e, k->call->real[0]);
    V ema = setting(e, k, offsetof(struct vrt_ctx, ema_decay)), count = chunk_length(e, k);
    struct adamw a = {
        .k = k, .beta1 = splat(e, beta1), .beta2 = splat(e, beta2), .rest1 = splat(e, vsub(e, one, beta1)),
        .rest2 = splat(e, vsub(e, one, beta2)), .lr = splat(e, lr), .keep = splat(e, vsub(e, one, vmul(e, lr, decay))),
        .scale1 = splat(e, vdiv(e, one, setting(e, k, offsetof(struct vrt_ctx, bias1)))),
        .scale2 = splat(e, vdiv(e, one, setting(e, k, offsetof(struct vrt_ctx, bias2)))),
        .eps = splat(e, setting(e, k, offsetof(struct vrt_ctx, eps))),
        .grad = splat(e, setting(e, k, offsetof(struct vrt_ctx, grad_scale))),
        .decay = splat(e, ema), .rest = splat(e, vsub(e, one, ema)),
    };
    struct branch br;
    each_vector(e, count, adamw_body, &a, NULL, 0);
    if_begin(e, &br, vgt(e, ema, kf(e, 0)));
    each_vector(e, count, ema_body, &a, NULL, 0);
    if_end(e, &br);
}
