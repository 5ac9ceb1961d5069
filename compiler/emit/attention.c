/* Attention of one head of one picture, inside the cache: scores of some queries against all keys, softmax, times the values.
 *
 * x (T,3D) holds q, k, v of all heads side by side. Keys and values are packed once a head; then queries pass in equal shares.
 * The backward pass computes the probabilities again from the log-sum-exp, exp(s - lse), instead of keeping T x T of them:
 *     dP = dy v^T, dS = P (dP - sum_j dy_j y_j), dq = dS k / sqrt(d), dk = dS^T q / sqrt(d), dv = P^T dy. */
#include "config.h"

#include <math.h>
#include <stddef.h>

#include "compiler/emit/emit.h"
#include "compiler/plan/lower.h"

struct head {
    int64_t T, D, d, wide, share;       /* wide: T rounded up to vectors; share: queries of a pass */
    V q, k, v, ctx;                     /* of this head, rows 3D apart */
    V room;                             /* scratch not yet used */
};

static struct head head_of(struct emit *e, const struct kernel_args *k, V qkv, V scratch)
{
    const int64_t *s = k->call->size;
    struct head h = {.T = s[0], .D = s[1], .d = s[1] / s[2], .share = tile_query_rows(s[0]), .ctx = k->ctx, .room = scratch};
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

/* -- packing of factors that are values, not weights -- */

/* b (K = d, N = T) for scores: panel columns are rows of x (T, ld). */
static V pack_columns(struct emit *e, struct head *h, V x, int64_t ld)
{
    int64_t panel = plan_panel(e->W, h->T), count = (h->T + panel - 1) / panel;
    V to = take(e, h, plan_packed_bytes(e->W, h->T, h->d));
    struct loop p, k;
    loop_begin(e, &p, ki(e, 0), ki(e, count), 1, 0, NULL);
    V n0 = imulk(e, p.i, panel), from = at(e, x, imulk(e, n0, ld)), out = at(e, to, imulk(e, p.i, panel * h->d));
    loop_begin(e, &k, ki(e, 0), ki(e, h->d), 1, 0, NULL);
    for (int64_t v = 0; v < panel; v += e->W) {
        V mask = h->T % panel ? mask_below(e, isub(e, ki(e, h->T), iaddk(e, n0, v))) : NULL;
        vstore(e, vgather(e, at(e, from, k.i), lanes(e, e->i64, v * ld, ld), mask),
               atk(e, at(e, out, imulk(e, k.i, panel)), v), NULL);
    }
    loop_end(e, &k, NULL);
    loop_end(e, &p, NULL);
    return to;
}

static V pack_rows(struct emit *e, struct head *h, V x, int64_t ld)
{
    V to = take(e, h, plan_packed_bytes(e->W, h->d, h->T));
    pack_value(e, to, x, ld, h->d, ki(e, h->T), h->T);
    return to;
}

/* -- softmax of a row of scores -- */

struct softmax { V s, out, scale, max, lse; int64_t T; };

static void exp_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct softmax *s = data;
    V x = vmul(e, vsub(e, vload(e, at(e, s->s, i), mask), s->max), s->scale);
    V y = vmasked(e, mask, math_exp(e, x), 0);
    carry[0] = vadd(e, carry[0], y);
    vstore(e, y, at(e, s->s, i), mask);
}

static void times_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct softmax *s = data;
    (void)carry;
    vstore(e, vmul(e, vload(e, at(e, s->s, i), mask), s->scale), at(e, s->s, i), mask);
}

/* s = softmax(s * scale); lse of the scaled scores. */
static V softmax_row(struct emit *e, V row, int64_t T, double scale)
{
    struct softmax s = {.s = row, .T = T, .scale = vkf(e, scale)};
    V max = row_max(e, row, T), sum = vkf(e, 0);
    s.max = splat(e, max);
    each_vector(e, ki(e, T), exp_body, &s, &sum, 1);
    V total = hsum(e, sum);
    s.scale = splat(e, vdiv(e, kf(e, 1), total));
    each_vector(e, ki(e, T), times_body, &s, NULL, 0);
    return vfma(e, max, kf(e, scale), math_log(e, total));
}

struct pass { struct loop l; V m; };

static void pass_begin(struct emit *e, const struct head *h, struct pass *p)
{
    loop_begin(e, &p->l, ki(e, 0), ki(e, h->T), h->share, 0, NULL);
    p->m = h->T % h->share ? imin(e, ki(e, h->share), isub(e, ki(e, h->T), p->l.i)) : ki(e, h->share);
}

/* c (m, N) = a (m, K) b */
static void product(struct emit *e, const struct head *h, V c, int64_t ldc, V a, int64_t lda, V b, int64_t N, int64_t K, V m,
                    int start)
{
    gemm_call(e, (int64_t[]){N, K, ldc, lda, start}, c, a, b, m, h->ctx);
}

void emit_attention(struct emit *e, const struct kernel_args *k)
{
    struct head h = head_of(e, k, k->p[2], k->p[3]);
    int64_t ld = 3 * h.D, heads = k->call->size[2];
    V keys = pack_columns(e, &h, h.k, ld), values = pack_rows(e, &h, h.v, ld), s = h.room;
    V y = at(e, k->p[0], imulk(e, k->row, h.d)), lse = at(e, k->p[1], k->row);
    struct pass p;
    struct loop r;
    pass_begin(e, &h, &p);
    product(e, &h, s, h.wide, at(e, h.q, imulk(e, p.l.i, ld)), ld, keys, h.T, h.d, p.m, START_ZERO);
    loop_begin(e, &r, ki(e, 0), p.m, 1, 0, NULL);
    V sum = softmax_row(e, at(e, s, imulk(e, r.i, h.wide)), h.T, 1 / sqrt((double)h.d));
    store(e, sum, at(e, lse, imulk(e, iadd(e, p.l.i, r.i), heads)));
    loop_end(e, &r, NULL);
    product(e, &h, at(e, y, imulk(e, p.l.i, h.D)), h.D, s, h.wide, values, h.d, h.T, p.m, START_ZERO);
    loop_end(e, &p.l, NULL);
}

/* -- backward -- */

struct slope { V s, dp, lse, delta, scale; };

/* p = exp(s * scale - lse); ds = p (dp - delta) * scale */
static void slope_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct slope *s = data;
    (void)carry;
    V p = math_exp(e, vfma(e, vload(e, at(e, s->s, i), mask), s->scale, vneg(e, s->lse)));
    V ds = vmul(e, vmul(e, p, vsub(e, vload(e, at(e, s->dp, i), mask), s->delta)), s->scale);
    vstore(e, p, at(e, s->s, i), mask);
    vstore(e, ds, at(e, s->dp, i), mask);
}

/* to (T, share) = x (m, wide)^T; columns from m on are zero. */
static void turn(struct emit *e, const struct head *h, V to, V x, V m)
{
    struct loop t, v;
    loop_begin(e, &t, ki(e, 0), ki(e, h->T), 1, 0, NULL);
    V from = at(e, x, t.i), out = at(e, to, imulk(e, t.i, h->share));
    loop_begin(e, &v, ki(e, 0), ki(e, h->share), e->W, 0, NULL);
    V on = mask_below(e, isub(e, m, v.i)), room = mask_below(e, isub(e, ki(e, h->share), v.i));
    vstore(e, vgather(e, at(e, from, imulk(e, v.i, h->wide)), lanes(e, e->i64, 0, h->wide), on), at(e, out, v.i), room);
    loop_end(e, &v, NULL);
    loop_end(e, &t, NULL);
}

/* dk and dv of this head start at zero and gather over the passes. */
static void clear_rows(struct emit *e, const struct head *h, V p)
{
    struct loop r;
    loop_begin(e, &r, ki(e, 0), ki(e, h->T), 1, 0, NULL);
    clear_floats(e, at(e, p, imulk(e, r.i, 3 * h->D)), ki(e, h->d));
    loop_end(e, &r, NULL);
}

static void slopes(struct emit *e, const struct head *h, const struct kernel_args *k, const struct pass *p, V s, V dp, V dy, V y)
{
    int64_t heads = k->call->size[2];
    struct loop r;
    loop_begin(e, &r, ki(e, 0), p->m, 1, 0, NULL);
    V row = iadd(e, p->l.i, r.i), place = imulk(e, row, h->D), sum = dot(e, at(e, dy, place), at(e, y, place), h->d);
    struct slope sl = {at(e, s, imulk(e, r.i, h->wide)), at(e, dp, imulk(e, r.i, h->wide)),
                       splat(e, load(e, e->f32, at(e, at(e, k->p[4], k->row), imulk(e, row, heads)))), splat(e, sum),
                       vkf(e, 1 / sqrt((double)h->d))};
    each_vector(e, ki(e, h->T), slope_body, &sl, NULL, 0);
    loop_end(e, &r, NULL);
}

void emit_attention_dx(struct emit *e, const struct kernel_args *k)
{
    struct head h = head_of(e, k, k->p[2], k->p[5]);
    int64_t ld = 3 * h.D;
    V dq = at(e, k->p[0], imulk(e, k->row, h.d)), dk = atk(e, dq, h.D), dv = atk(e, dq, 2 * h.D);
    V dy = at(e, k->p[1], imulk(e, k->row, h.d)), y = at(e, k->p[3], imulk(e, k->row, h.d));
    V keys = pack_columns(e, &h, h.k, ld), values = pack_columns(e, &h, h.v, ld), key_rows = pack_rows(e, &h, h.k, ld);
    V q_rows = take(e, &h, plan_packed_bytes(e->W, h.d, h.share)), dy_rows = take(e, &h, plan_packed_bytes(e->W, h.d, h.share));
    V s = take(e, &h, h.share * h.wide * 4), dp = take(e, &h, h.share * h.wide * 4);
    V turned_p = take(e, &h, h.T * h.share * 4), turned_ds = take(e, &h, h.T * h.share * 4);
    struct pass p;
    clear_rows(e, &h, dk);
    clear_rows(e, &h, dv);
    pass_begin(e, &h, &p);
    V q = at(e, h.q, imulk(e, p.l.i, ld)), dy_p = at(e, dy, imulk(e, p.l.i, h.D));
    product(e, &h, s, h.wide, q, ld, keys, h.T, h.d, p.m, START_ZERO);
    product(e, &h, dp, h.wide, dy_p, h.D, values, h.T, h.d, p.m, START_ZERO);
    slopes(e, &h, k, &p, s, dp, dy, y);
    product(e, &h, at(e, dq, imulk(e, p.l.i, ld)), ld, dp, h.wide, key_rows, h.d, h.T, p.m, START_ZERO);
    turn(e, &h, turned_p, s, p.m);
    turn(e, &h, turned_ds, dp, p.m);
    pack_value(e, q_rows, q, ld, h.d, p.m, h.share);
    pack_value(e, dy_rows, dy_p, h.D, h.d, p.m, h.share);
    product(e, &h, dk, ld, turned_ds, h.share, q_rows, h.d, h.share, ki(e, h.T), START_C);
    product(e, &h, dv, ld, turned_p, h.share, dy_rows, h.d, h.share, ki(e, h.T), START_C);
    loop_end(e, &p.l, NULL);
}
