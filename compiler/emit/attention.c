/* Attention of one head of one picture, inside the cache: scores of some queries against all keys,
 * softmax, times the values.
 *
 * x (T,3D) holds q, k, v of all heads side by side. Forward, keys and values are packed once a
 * head; then queries pass in equal shares. Backward, keys pass in equal shares against all queries,
 * and the probabilities are computed again from the log-sum-exp, exp(s - lse), instead of keeping T
 * x T of them. With rows of keys, what belongs to a query (lse, delta) lies along the lanes, and
 * only dq needs the transpose, which a product reads by strides:
 *     dP = v dy^T, dS = P (dP - delta) / sqrt(d) with delta_i = sum_j dy_ij y_ij,
 *     dv = P dy, dk = dS q, dq = dS^T k. */
#include "config.h"

#include <math.h>
#include <stddef.h>

#include "compiler/emit/emit.h"
#include "compiler/plan/lower.h"

struct head {
    int64_t T, D, d, wide, share; /* wide: T rounded up to vectors; share: queries of a pass */
    V q, k, v, ctx;               /* of this head, rows 3D apart */
    V room;                       /* scratch not yet used */
};

static struct head head_of(struct emit *e, const struct kernel_args *k, struct attention_sizes s,
                           V qkv, V scratch)
{
    struct head h = {.T = s.T,
                     .D = s.D,
                     .d = s.D / s.heads,
                     .share = tile_attention(s.T),
                     .ctx = k->ctx,
                     .room = scratch};
    h.wide = (h.T + e->W - 1) / e->W * e->W;
    h.q = at(e, qkv, imulk(e, k->row, h.d));
    h.k = atk(e, h.q, h.D);
    h.v = atk(e, h.q, 2 * h.D);
    return h;
}

static V take(struct emit *e, struct head *h, int64_t size)
{
    V p = h->room;
    h->room = bytesk(e, p, (size + 63) / 64 * 64);
    return p;
}

static V packed_columns(struct emit *e, struct head *h, V x, int64_t ld)
{
    V to = take(e, h, plan_packed_bytes(e->W, h->T, h->d));
    pack_columns(e, to, x, ld, h->T, h->d);
    return to;
}

static V packed_rows(struct emit *e, struct head *h, V x, int64_t ld)
{
    V to = take(e, h, plan_packed_bytes(e->W, h->d, h->T));
    pack_rows(e, to, x, ld, h->d, ki(e, h->T), h->T);
    return to;
}

/* -- softmax of a row of scores -- */

struct softmax {
    V s, scale, less;
};

/* exp(s * scale - less) */
static void exp_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct softmax *s = data;
    V y = vmasked(e, mask,
                  math_exp(e, vfma(e, vload(e, at(e, s->s, i), mask), s->scale, vneg(e, s->less))),
                  0);
    carry[0] = vadd(e, carry[0], y);
    vstore(e, y, at(e, s->s, i), mask);
}

/* s = exp((s - max) * scale), whose sum is returned; lse of the scaled scores. */
static V softmax_row(struct emit *e, V row, int64_t T, double scale, V *lse)
{
    V less = vmul(e, row_max(e, row, T), kf(e, scale)), sum = vkf(e, 0);
    struct softmax s = {row, vkf(e, scale), splat(e, less)};
    each_vector(e, ki(e, T), exp_body, &s, &sum, 1);
    V total = hsum(e, sum);
    *lse = vadd(e, less, math_log(e, total));
    return total;
}

struct pass {
    struct loop l;
    V m;
};

static void pass_begin(struct emit *e, const struct head *h, struct pass *p)
{
    loop_begin(e, &p->l, ki(e, 0), ki(e, h->T), h->share, 0, NULL);
    p->m =
        h->T % h->share ? imin(e, ki(e, h->share), isub(e, ki(e, h->T), p->l.i)) : ki(e, h->share);
}

/* c (m, N) = a (m, K) b */
static void product(struct emit *e, const struct head *h, V c, int64_t ldc, V a, int64_t lda, V b,
                    int64_t N, int64_t K, V m)
{
    gemm_call(
        e,
        (struct gemm_sizes){.N = N, .K = K, .ldc = ldc, .lda = lda, .step = 1, .start = START_ZERO},
        c, a, b, m, h->ctx);
}

struct norm {
    V y, factor;
};

static void norm_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct norm *n = data;
    (void)carry;
    vstore(e, vmul(e, vload(e, at(e, n->y, i), mask), n->factor), at(e, n->y, i), mask);
}

void emit_attention(struct emit *e, const struct kernel_args *k)
{
    struct head h =
        head_of(e, k, k->call->size.attention, k->p.attention.qkv, k->p.attention.scratch);
    int64_t ld = 3 * h.D, heads = k->call->size.attention.heads;
    V keys = packed_columns(e, &h, h.k, ld), values = packed_rows(e, &h, h.v, ld),
      sums = take(e, &h, h.share * 4), s = h.room;
    V y = at(e, k->p.attention.y, imulk(e, k->row, h.d)), lse = at(e, k->p.attention.lse, k->row);
    struct pass p;
    struct loop r;
    pass_begin(e, &h, &p);
    V out = at(e, y, imulk(e, p.l.i, h.D));
    product(e, &h, s, h.wide, at(e, h.q, imulk(e, p.l.i, ld)), ld, keys, h.T, h.d, p.m);
    loop_begin(e, &r, ki(e, 0), p.m, 1, 0, NULL);
    V row_lse,
        sum = softmax_row(e, at(e, s, imulk(e, r.i, h.wide)), h.T, 1 / sqrt((double)h.d), &row_lse);
    store(e, sum, at(e, sums, r.i));
    store(e, row_lse, at(e, lse, imulk(e, iadd(e, p.l.i, r.i), heads)));
    loop_end(e, &r, NULL);
    product(e, &h, out, h.D, s, h.wide, values, h.d, h.T, p.m);
    loop_begin(e, &r, ki(e, 0), p.m, 1, 0, NULL);
    struct norm n = {at(e, out, imulk(e, r.i, h.D)),
                     splat(e, vdiv(e, kf(e, 1), load(e, e->f32, at(e, sums, r.i))))};
    each_vector(e, ki(e, h.d), norm_body, &n, NULL, 0);
    loop_end(e, &r, NULL);
    loop_end(e, &p.l, NULL);
}

/* -- backward -- */

struct slope {
    V s, dp, lse, delta, scale;
};

/* p = exp(s * scale - lse); ds = p (dp - delta) * scale */
static void slope_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct slope *s = data;
    (void)carry;
    V p = math_exp(e, vfma(e, vload(e, at(e, s->s, i), mask), s->scale,
                           vneg(e, vload(e, at(e, s->lse, i), mask))));
    V dp = vsub(e, vload(e, at(e, s->dp, i), mask), vload(e, at(e, s->delta, i), mask));
    vstore(e, p, at(e, s->s, i), mask);
    vstore(e, vmul(e, vmul(e, p, dp), s->scale), at(e, s->dp, i), mask);
}

/* lse and delta of this head's queries, side by side; dq, which gathers over the shares of keys, is
 * cleared. */
static void start_queries(struct emit *e, const struct head *h, const struct kernel_args *k,
                          struct slope *s, V dq, V dy, V y)
{
    struct loop i;
    loop_begin(e, &i, ki(e, 0), ki(e, h->T), 1, 0, NULL);
    V place = imulk(e, i.i, h->D), lse = at(e, at(e, k->p.attention_dx.lse, k->row),
                                            imulk(e, i.i, k->call->size.attention_dx.heads));
    store(e, load(e, e->f32, lse), at(e, s->lse, i.i));
    store(e, dot(e, at(e, dy, place), at(e, y, place), h->d), at(e, s->delta, i.i));
    clear_floats(e, at(e, dq, imulk(e, place, 3)), ki(e, h->d));
    loop_end(e, &i, NULL);
}

void emit_attention_dx(struct emit *e, const struct kernel_args *k)
{
    const struct attention_dx_sizes *size = &k->call->size.attention_dx;
    struct attention_sizes sizes = {.T = size->T, .D = size->D, .heads = size->heads};
    struct head h = head_of(e, k, sizes, k->p.attention_dx.qkv, k->p.attention_dx.scratch);
    int64_t ld = 3 * h.D;
    V dq = at(e, k->p.attention_dx.dqkv, imulk(e, k->row, h.d)), dk = atk(e, dq, h.D),
      dv = atk(e, dq, 2 * h.D);
    V dy = at(e, k->p.attention_dx.dy, imulk(e, k->row, h.d)),
      y = at(e, k->p.attention_dx.y, imulk(e, k->row, h.d));
    V q_columns = packed_columns(e, &h, h.q, ld), dy_columns = packed_columns(e, &h, dy, h.D);
    V q_rows = packed_rows(e, &h, h.q, ld), dy_rows = packed_rows(e, &h, dy, h.D);
    V key_rows = take(e, &h, plan_packed_bytes(e->W, h.d, h.share)),
      s = take(e, &h, h.share * h.wide * 4), dp = take(e, &h, h.share * h.wide * 4);
    struct slope sl = {.lse = take(e, &h, h.T * 4),
                       .delta = take(e, &h, h.T * 4),
                       .scale = vkf(e, 1 / sqrt((double)h.d))};
    struct pass p;
    struct loop r;
    start_queries(e, &h, k, &sl, dq, dy, y);
    pass_begin(e, &h, &p);
    V place = imulk(e, p.l.i, ld), keys = at(e, h.k, place);
    product(e, &h, s, h.wide, keys, ld, q_columns, h.T, h.d, p.m);
    product(e, &h, dp, h.wide, at(e, h.v, place), ld, dy_columns, h.T, h.d, p.m);
    loop_begin(e, &r, ki(e, 0), p.m, 1, 0, NULL);
    sl.s = at(e, s, imulk(e, r.i, h.wide));
    sl.dp = at(e, dp, imulk(e, r.i, h.wide));
    each_vector(e, ki(e, h.T), slope_body, &sl, NULL, 0);
    loop_end(e, &r, NULL);
    product(e, &h, at(e, dv, place), ld, s, h.wide, dy_rows, h.d, h.T, p.m);
    product(e, &h, at(e, dk, place), ld, dp, h.wide, q_rows, h.d, h.T, p.m);
    /* Past the last keys ds holds another share's, which rows of zeros take out. */
    pack_rows(e, key_rows, keys, ld, h.d, p.m, h.share);
    gemm_call(e,
              (struct gemm_sizes){
                  .N = h.d, .K = h.share, .ldc = ld, .lda = 1, .step = h.wide, .start = START_C},
              dq, dp, key_rows, ki(e, h.T), h.ctx);
    loop_end(e, &p.l, NULL);
}
