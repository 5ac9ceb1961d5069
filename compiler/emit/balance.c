/* What keeps the experts busy alike: statistics of a routing group, the balance losses, and the
 * gradient of the router.
 *
 * Balance losses, of a group of S tokens, p = softmax(clean logits):
 *     importance, load   var / mean^2 over the experts of sum of p_e, and of sum of Phi((clean_e -
 *                        threshold) / noise)
 *                        (Riquelme et al. 2021, V-MoE, routing.py)
 *     switch             E * sum over the experts of (first choices of e / S) * (mean of p_e)
 *                        (Fedus et al. 2022, eq. 4)
 *     z                  mean of (log sum of exp(clean))^2
 *                        (Zoph et al. 2022, eq. 5)
 * Balancing without a loss (Wang et al. 2024, algorithm 1): a bias of the choice moves by a fixed
 * step against the load. */
#include "config.h"

#include <stddef.h>

#include "compiler/emit/routing.h"
#include "runtime/vrt.h"

/* -- statistics -- */

/* A row of E numbers at work. */
struct row {
    V from, to, max, scale, threshold, a, b;
    double noise;
};

static void importance_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct row *x = data;
    V q = probability(e, vload(e, at(e, x->from, i), mask), x->max, x->scale), to = at(e, x->to, i);
    (void)carry;
    vstore(e, vadd(e, vload(e, to, mask), q), to, mask);
}

static V standard(struct emit *e, const struct row *x, V i, V mask)
{
    return vmul(e, vsub(e, vload(e, at(e, x->from, i), mask), x->threshold), vkf(e, 1 / x->noise));
}

static void load_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct row *x = data;
    V to = at(e, x->to, i);
    (void)carry;
    vstore(e, vadd(e, vload(e, to, mask), math_phi(e, standard(e, x, i, mask), NULL)), to, mask);
}

static V threshold_of(struct emit *e, const struct routing *r, V z, V choice)
{
    return splat(e, load(e, e->f32, at(e, z, load_index(e, choice, ki(e, r->K - 1)))));
}

static bool needs_softmax(const struct moe *m)
{
    return m->importance > 0 || m->switch_loss > 0 || m->z_loss > 0;
}

/* Makes x the softmax of x->from; *lse: the log of the sum, if wanted. */
static void softmax_of(struct emit *e, struct row *x, int64_t E, V *lse)
{
    V max, sum;
    softmax_terms(e, x->from, E, &max, &sum);
    x->max = splat(e, max);
    x->scale = splat(e, vdiv(e, kf(e, 1), sum));
    if (lse)
        *lse = vadd(e, max, math_log(e, sum));
}

/* What a group gathers: probabilities at the front, then load probabilities, first choices, the
 * squared log-sum-exps, entropies. */
static V load_stats(struct emit *e, const struct routing *r)
{
    return atk(e, r->stats, r->E);
}
static V first_stats(struct emit *e, const struct routing *r)
{
    return atk(e, r->stats, 2 * r->E);
}
static V z_stats(struct emit *e, const struct routing *r)
{
    return atk(e, r->stats, 3 * r->E);
}
static V entropy_stats(struct emit *e, const struct routing *r)
{
    return atk(e, r->stats, 3 * r->E + 1);
}

void balance_add(struct emit *e, const struct routing *r, V clean, V z, V choice)
{
    struct row x = {.from = clean, .to = r->stats, .noise = r->m->noise};
    V lse = NULL;
    if (needs_softmax(r->m)) {
        softmax_of(e, &x, r->E, r->m->z_loss > 0 ? &lse : NULL);
        each_vector(e, ki(e, r->E), importance_body, &x, NULL, 0);
    }
    if (lse)
        add_to(e, z_stats(e, r), vmul(e, lse, lse));
    if (r->m->switch_loss > 0)
        add_to(e, at(e, first_stats(e, r), load_index(e, choice, ki(e, 0))), kf(e, 1));
    if (r->m->load > 0) {
        x.to = load_stats(e, r);
        x.threshold = threshold_of(e, r, z, choice);
        each_vector(e, ki(e, r->E), load_body, &x, NULL, 0);
    }
}

void balance_clear(struct emit *e, const struct routing *r)
{
    clear_floats(e, r->stats, ki(e, 3 * r->E + 2));
}

void entropy_add(struct emit *e, const struct routing *r, V clean)
{
    add_to(e, entropy_stats(e, r), softmax_entropy(e, clean, r->E));
}

/* The same routing, with the statistics of group g. */
static struct routing with_group(struct emit *e, const struct routing *first, V g)
{
    struct routing r = *first;
    r.stats = bytes(e, first->stats, imulk(e, g, decisions_stats(r.m)));
    return r;
}

static V groups_of(struct emit *e, const struct routing *r, V pictures)
{
    return idiv(e, iaddk(e, pictures, r->m->group - 1), ki(e, r->m->group));
}

V entropy_total(struct emit *e, const struct routing *r, V pictures)
{
    struct loop l;
    V sum = kf(e, 0);
    loop_begin(e, &l, ki(e, 0), groups_of(e, r, pictures), 1, 1, &sum);
    struct routing group = with_group(e, r, l.i);
    sum = vadd(e, l.carry[0], load(e, e->f32, entropy_stats(e, &group)));
    loop_end(e, &l, &sum);
    return l.carry[0];
}

/* -- balance losses -- */

struct moments {
    V mean, variance;
};

static struct moments moments_of(struct emit *e, V x, int64_t n)
{
    struct loop l;
    V sum = kf(e, 0), inverse = kf(e, 1.0 / (double)n);
    loop_begin(e, &l, ki(e, 0), ki(e, n), 1, 1, &sum);
    sum = vadd(e, l.carry[0], load(e, e->f32, at(e, x, l.i)));
    loop_end(e, &l, &sum);
    V mean = vmul(e, l.carry[0], inverse);
    sum = kf(e, 0);
    loop_begin(e, &l, ki(e, 0), ki(e, n), 1, 1, &sum);
    V d = vsub(e, load(e, e->f32, at(e, x, l.i)), mean);
    sum = vfma(e, d, d, l.carry[0]);
    loop_end(e, &l, &sum);
    return (struct moments){mean, vmul(e, l.carry[0], inverse)};
}

static V spread_loss(struct emit *e, V x, int64_t n, double weight)
{
    struct moments m = moments_of(e, x, n);
    return vmul(e, vdiv(e, m.variance, vmul(e, m.mean, m.mean)), kf(e, weight));
}

/* weight * E / S^2 * sum of first choices times sums of probabilities */
static V switch_loss(struct emit *e, const struct routing *r, V count)
{
    struct loop l;
    V sum = kf(e, 0);
    loop_begin(e, &l, ki(e, 0), ki(e, r->E), 1, 1, &sum);
    sum = vfma(e, load(e, e->f32, at(e, first_stats(e, r), l.i)),
               load(e, e->f32, at(e, r->stats, l.i)), l.carry[0]);
    loop_end(e, &l, &sum);
    V factor = vdiv(e, kf(e, r->m->switch_loss * (double)r->E), vmul(e, count, count));
    return vmul(e, l.carry[0], factor);
}

static V group_loss(struct emit *e, const struct routing *r)
{
    V sum = kf(e, 0), count = LLVMBuildSIToFP(e->b, r->tokens, e->f32, "");
    if (r->m->importance > 0)
        sum = vadd(e, sum, spread_loss(e, r->stats, r->E, r->m->importance));
    if (r->m->load > 0)
        sum = vadd(e, sum, spread_loss(e, load_stats(e, r), r->E, r->m->load));
    if (r->m->switch_loss > 0)
        sum = vadd(e, sum, switch_loss(e, r, count));
    if (r->m->z_loss > 0)
        sum = vadd(e, sum,
                   vdiv(e, vmul(e, load(e, e->f32, z_stats(e, r)), kf(e, r->m->z_loss)), count));
    return vmul(e, sum, kf(e, r->m->share));
}

void emit_balance_sum(struct emit *e, const struct kernel_args *k)
{
    struct routing all = routing_of(e, k, k->p.balance_sum.decisions);
    int64_t group = all.m->group;
    struct loop l;
    V sum = kf(e, 0);
    all.stats = bytesk(e, k->p.balance_sum.decisions, all.at.stats);
    loop_begin(e, &l, ki(e, 0), groups_of(e, &all, k->m), 1, 1, &sum);
    struct routing r = with_group(e, &all, l.i);
    r.tokens = imulk(e, imin(e, ki(e, group), isub(e, k->m, imulk(e, l.i, group))), r.T);
    sum = vadd(e, l.carry[0], group_loss(e, &r));
    loop_end(e, &l, &sum);
    V p = ctx_field(e, k->ctx, offsetof(struct vrt_ctx, balance_loss));
    V total =
        LLVMBuildFAdd(e->b, load(e, e->f64, p), LLVMBuildFPExt(e->b, l.carry[0], e->f64, ""), "");
    store(e, total, p);
}

/* -- route_dx -- */

static V loss_scale(struct emit *e, const struct routing *r, double weight)
{
    return vmul(e, ctx_float(e, r->ctx, offsetof(struct vrt_ctx, balance_scale)),
                kf(e, weight * r->m->share));
}

/* slope[i] = d (weight * var / mean^2) / d x_i, times the scale of the loss. */
static void spread_slopes(struct emit *e, const struct routing *r, V x, V slope, double weight)
{
    struct moments m = moments_of(e, x, r->E);
    struct loop l;
    V scale = loss_scale(e, r, 2 * weight / (double)r->E);
    V factor = vdiv(e, scale, vmul(e, m.mean, m.mean)),
      shift = vadd(e, m.mean, vdiv(e, m.variance, m.mean));
    loop_begin(e, &l, ki(e, 0), ki(e, r->E), 1, 0, NULL);
    store(e, vmul(e, vsub(e, load(e, e->f32, at(e, x, l.i)), shift), factor), at(e, slope, l.i));
    loop_end(e, &l, NULL);
}

/* slope[i] += d switch loss / d (sum of p_i) */
static void switch_slopes(struct emit *e, const struct routing *r, V slope, V count)
{
    struct loop l;
    V factor = vdiv(e, loss_scale(e, r, r->m->switch_loss * (double)r->E), vmul(e, count, count));
    loop_begin(e, &l, ki(e, 0), ki(e, r->E), 1, 0, NULL);
    add_to(e, at(e, slope, l.i), vmul(e, load(e, e->f32, at(e, first_stats(e, r), l.i)), factor));
    loop_end(e, &l, NULL);
}

static V softmax_at(struct emit *e, const struct row *x, V i, V mask)
{
    return vmasked(e, mask, probability(e, vload(e, at(e, x->from, i), mask), x->max, x->scale), 0);
}

/* to = -p * a: the part of the softmax's slope that all experts share. */
static void shared_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct row *x = data;
    (void)carry;
    vstore(e, vneg(e, vmul(e, softmax_at(e, x, i, mask), x->a)), at(e, x->to, i), mask);
}

static void inner_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct row *x = data;
    carry[0] = vfma(e, softmax_at(e, x, i, mask), vload(e, at(e, x->b, i), mask), carry[0]);
}

/* to += p * (b - a) */
static void probability_slope_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct row *x = data;
    V to = at(e, x->to, i), d = vsub(e, vload(e, at(e, x->b, i), mask), x->a);
    (void)carry;
    vstore(e, vfma(e, softmax_at(e, x, i, mask), d, vload(e, to, mask)), to, mask);
}

/* to += b * density / noise; carries the sum, which the threshold takes back. */
static void load_slope_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct row *x = data;
    V density, to = at(e, x->to, i);
    math_phi(e, standard(e, x, i, mask), &density);
    V d = vmul(e, vmul(e, density, vkf(e, 1 / x->noise)), vload(e, at(e, x->b, i), mask));
    vstore(e, vadd(e, vload(e, to, mask), d), to, mask);
    carry[0] = vadd(e, carry[0], vmasked(e, mask, d, 0));
}

struct token {
    V dlogits, dgates, logits, z, gates, choice;
};

static void task_slope(struct emit *e, const struct routing *r, const struct token *t)
{
    struct loop l;
    V sum = kf(e, 0);
    loop_begin(e, &l, ki(e, 0), ki(e, r->K), 1, 1, &sum);
    sum = vfma(e, load(e, e->f32, at(e, t->dgates, l.i)), load(e, e->f32, at(e, t->gates, l.i)),
               l.carry[0]);
    loop_end(e, &l, &sum);
    V inner = l.carry[0];
    struct row x = {
        .from = t->z, .to = t->dlogits, .a = r->m->renormalise ? vkf(e, 0) : splat(e, inner)};
    softmax_of(e, &x, r->E, NULL);
    each_vector(e, ki(e, r->E), shared_body, &x, NULL, 0);
    loop_begin(e, &l, ki(e, 0), ki(e, r->K), 1, 0, NULL);
    V dg = load(e, e->f32, at(e, t->dgates, l.i));
    if (r->m->renormalise)
        dg = vsub(e, dg, inner);
    add_to(e, at(e, t->dlogits, load_index(e, t->choice, l.i)),
           vmul(e, dg, load(e, e->f32, at(e, t->gates, l.i))));
    loop_end(e, &l, NULL);
}

/* The losses that see the probabilities: dlogits += p (slope - sum of p slope + z_scale *
 * log-sum-exp); z_scale NULL: no z loss. */
static void softmax_slope(struct emit *e, const struct routing *r, const struct token *t, V slope,
                          V z_scale)
{
    V lse, sum = vkf(e, 0);
    struct row x = {.from = t->logits, .to = t->dlogits, .b = slope};
    softmax_of(e, &x, r->E, z_scale ? &lse : NULL);
    each_vector(e, ki(e, r->E), inner_body, &x, &sum, 1);
    V inner = hsum(e, sum);
    x.a = splat(e, z_scale ? vsub(e, inner, vmul(e, z_scale, lse)) : inner);
    each_vector(e, ki(e, r->E), probability_slope_body, &x, NULL, 0);
}

static void load_slope(struct emit *e, const struct routing *r, const struct token *t, V slope)
{
    V sum = vkf(e, 0);
    struct row x = {.from = t->logits,
                    .to = t->dlogits,
                    .b = slope,
                    .noise = r->m->noise,
                    .threshold = threshold_of(e, r, t->z, t->choice)};
    each_vector(e, ki(e, r->E), load_slope_body, &x, &sum, 1);
    add_to(e, at(e, t->dlogits, load_index(e, t->choice, ki(e, r->K - 1))), vneg(e, hsum(e, sum)));
}

void emit_route_dx(struct emit *e, const struct kernel_args *k)
{
    struct routing r = routing_of(e, k, k->p.route_dx.decisions);
    V slope1 = slot(e, e->f32, r.E), slope2 = slot(e, e->f32, r.E),
      count = LLVMBuildSIToFP(e->b, r.tokens, e->f32, "");
    V choice = int_at(e, routing_field(e, &r, r.at.choice), imulk(e, r.first_token, r.K)),
      z_scale = NULL;
    struct loop l;
    if (r.m->importance > 0)
        spread_slopes(e, &r, r.stats, slope1, r.m->importance);
    else
        clear_floats(e, slope1, ki(e, r.E));
    if (r.m->switch_loss > 0)
        switch_slopes(e, &r, slope1, count);
    if (r.m->z_loss > 0)
        z_scale = vdiv(e, loss_scale(e, &r, 2 * r.m->z_loss), count);
    if (r.m->load > 0)
        spread_slopes(e, &r, load_stats(e, &r), slope2, r.m->load);
    loop_begin(e, &l, ki(e, 0), r.tokens, 1, 0, NULL);
    V wide = imulk(e, l.i, r.E), narrow = imulk(e, l.i, r.K);
    struct token t = {at(e, k->p.route_dx.dlogits, wide), at(e, k->p.route_dx.dgates, narrow),
                      at(e, k->p.route_dx.logits, wide),  at(e, k->p.route_dx.z, wide),
                      at(e, k->p.route_dx.gates, narrow), int_at(e, choice, narrow)};
    task_slope(e, &r, &t);
    if (needs_softmax(r.m))
        softmax_slope(e, &r, &t, slope1, z_scale);
    if (r.m->load > 0)
        load_slope(e, &r, &t, slope2);
    loop_end(e, &l, NULL);
}

/* -- balancing without a loss -- */

void emit_balance_bias(struct emit *e, const struct kernel_args *k)
{
    int64_t E = k->call->size.balance_bias.E;
    struct loop l;
    V counts = k->p.balance_bias.balance, sum = ki(e, 0), up = kf(e, k->call->real[0]);
    loop_begin(e, &l, ki(e, 0), ki(e, E), 1, 1, &sum);
    sum = iadd(e, l.carry[0], load_index(e, counts, l.i));
    loop_end(e, &l, &sum);
    V all = l.carry[0];
    loop_begin(e, &l, ki(e, 0), ki(e, E), 1, 0, NULL);
    V mine = imulk(e, load_index(e, counts, l.i), E);
    V down = choose(e, ilt(e, all, mine), vneg(e, up), kf(e, 0));
    add_to(e, at(e, k->p.balance_bias.w, l.i), choose(e, ilt(e, mine, all), up, down));
    store_index(e, ki(e, 0), counts, l.i);
    loop_end(e, &l, NULL);
}
