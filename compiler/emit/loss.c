/* Losses: of each picture, with the gradient by the logits, and their sum. */
#include "config.h"

#include <stddef.h>

#include "compiler/emit/emit.h"
#include "runtime/vrt.h"

/* -- cross-entropy -- */

struct entropy {
    V logits, target, out, max, inverse, scale;
};

/* Sums of exp(x - max), of target * (x - max), and of the target. */
static void sums_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct entropy *s = data;
    V d = vsub(e, vload(e, at(e, s->logits, i), mask), s->max),
      t = vload(e, at(e, s->target, i), mask);
    carry[0] = vadd(e, carry[0], vmasked(e, mask, math_exp(e, d), 0));
    carry[1] = vfma(e, t, vmasked(e, mask, d, 0), carry[1]);
    carry[2] = vadd(e, carry[2], t);
}

static void slope_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct entropy *s = data;
    V p = vmul(e, math_exp(e, vsub(e, vload(e, at(e, s->logits, i), mask), s->max)), s->inverse);
    (void)carry;
    vstore(e, vmul(e, vsub(e, p, vload(e, at(e, s->target, i), mask)), s->scale), at(e, s->out, i),
           mask);
}

void emit_cross_entropy(struct emit *e, const struct kernel_args *k)
{
    int64_t C = k->call->size.cross_entropy.C;
    V scale = splat(e, ctx_float(e, k->ctx, offsetof(struct vrt_ctx, loss_scale)));
    struct loop l;
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    V row = imulk(e, l.i, C);
    struct entropy s = {.out = at(e, k->p.cross_entropy.dlogits, row),
                        .logits = at(e, k->p.cross_entropy.logits, row),
                        .target = at(e, k->p.cross_entropy.target, row),
                        .scale = scale};
    V sum[3] = {vkf(e, 0), vkf(e, 0), vkf(e, 0)};
    s.max = splat(e, row_max(e, s.logits, C));
    each_vector(e, ki(e, C), sums_body, &s, sum, 3);
    V total = hsum(e, sum[0]);
    s.inverse = splat(e, vdiv(e, kf(e, 1), total));
    V loss = vsub(e, vmul(e, math_log(e, total), hsum(e, sum[2])), hsum(e, sum[1]));
    store(e, loss, at(e, k->p.cross_entropy.loss, l.i));
    each_vector(e, ki(e, C), slope_body, &s, NULL, 0);
    loop_end(e, &l, NULL);
}

/* -- binary cross-entropy -- */

struct binary {
    V logits, target, out, scale;
};

/* -t log s - (1 - t) log(1 - s) = max(x, 0) - t x + log(1 + exp(-|x|)), s: sigmoid of x. */
static void binary_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct binary *s = data;
    V x = vload(e, at(e, s->logits, i), mask), t = vload(e, at(e, s->target, i), mask);
    V tail = math_log(e, vadd(e, math_exp(e, vneg(e, intrinsic1(e, "llvm.fabs", x))), vkf(e, 1)));
    V loss = vadd(e, vsub(e, vmax(e, x, vkf(e, 0)), vmul(e, t, x)), tail);
    carry[0] = vadd(e, carry[0], vmasked(e, mask, loss, 0));
    vstore(e, vmul(e, vsub(e, math_sigmoid(e, x), t), s->scale), at(e, s->out, i), mask);
}

void emit_binary_cross_entropy(struct emit *e, const struct kernel_args *k)
{
    int64_t C = k->call->size.binary_cross_entropy.C;
    V share = kf(e, 1.0 / (double)C);
    struct loop l;
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    V row = imulk(e, l.i, C), sum = vkf(e, 0);
    struct binary s = {
        .out = at(e, k->p.binary_cross_entropy.dlogits, row),
        .logits = at(e, k->p.binary_cross_entropy.logits, row),
        .target = at(e, k->p.binary_cross_entropy.target, row),
        .scale =
            splat(e, vmul(e, ctx_float(e, k->ctx, offsetof(struct vrt_ctx, loss_scale)), share))};
    each_vector(e, ki(e, C), binary_body, &s, &sum, 1);
    store(e, vmul(e, hsum(e, sum), share), at(e, k->p.binary_cross_entropy.loss, l.i));
    loop_end(e, &l, NULL);
}

/* Sets both losses: the balance losses of this call are added after. */
void emit_loss_sum(struct emit *e, const struct kernel_args *k)
{
    store(e, sum_in_double(e, k->p.loss_sum.loss, k->m),
          ctx_field(e, k->ctx, offsetof(struct vrt_ctx, loss)));
    store(e, LLVMConstReal(e->f64, 0),
          ctx_field(e, k->ctx, offsetof(struct vrt_ctx, balance_loss)));
}
