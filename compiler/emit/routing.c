/* Experts: noise, choice, gates, capacity and statistics of a routing group; the places of the routed rows; gathering and scattering
 * of rows; and the gradient of the router with its balance losses. Design section 4 gives the meaning.
 *
 * Balance losses (Riquelme et al. 2021, V-MoE, routing.py): importance_e = sum over the tokens of softmax(clean logits)_e, load_e = sum
 * over the tokens of Phi((clean_e - threshold) / noise); each costs weight * var / mean^2 over the experts. */
#include "config.h"

#include <math.h>
#include <stddef.h>

#include "compiler/emit/emit.h"
#include "compiler/graph/graph.h"
#include "lang/base/arena.h"
#include "runtime/vrt.h"

struct routing {
    const struct moe *m;
    struct decisions at;
    int64_t E, K, T;
    V decisions, ctx, tokens, first_token;      /* of this group or call */
    V z, logits, gates, stats;
};

static struct routing routing_of(struct emit *e, const struct kernel_args *k, V decisions)
{
    const struct moe *m = k->call->moe;
    struct routing r = {.m = m, .at = plan_decisions(m, e->plan->eval->micro), .E = m->experts, .K = m->top_k, .T = m->tokens,
                        .decisions = decisions, .ctx = k->ctx};
    r.tokens = imulk(e, k->m, r.T);
    r.first_token = imulk(e, k->row, r.T);
    r.stats = bytes(e, bytesk(e, decisions, r.at.stats), imulk(e, idiv(e, k->row, ki(e, m->group)), 8 * r.E));
    return r;
}

static V int_at(struct emit *e, V p, V index)
{
    return LLVMBuildGEP2(e->b, e->i32, p, &index, 1, "");
}

static V load_index(struct emit *e, V p, V index)
{
    return LLVMBuildSExt(e->b, load(e, e->i32, int_at(e, p, index)), e->i64, "");
}

static void store_index(struct emit *e, V v, V p, V index)
{
    store(e, LLVMBuildTrunc(e->b, v, e->i32, ""), int_at(e, p, index));
}

static V field(struct emit *e, const struct routing *r, int64_t offset)
{
    return bytesk(e, r->decisions, offset);
}

static V held(struct emit *e, V ctx)
{
    return vgt(e, ctx_float(e, ctx, offsetof(struct vrt_ctx, hold_routing)), kf(e, 0.5));
}

/* -- rows of E numbers -- */

struct experts { struct emit *e; V from, to, max, scale, threshold, a, b, key0, key1, step, counter, sum; double noise; uint32_t key; };

static void noise_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct experts *x = data;
    V v = vload(e, at(e, x->from, i), mask), out[4];
    (void)carry;
    if (x->noise > 0) {
        V column = iadd(e, splat(e, LLVMBuildTrunc(e->b, i, e->i32, "")), lanes(e, e->i32, 0, 1));
        math_philox(e, (V[]){splat(e, x->counter), column, ilike(e, column, x->key), splat(e, x->step)}, splat(e, x->key0),
                    splat(e, x->key1), out);
        v = vfma(e, math_normal(e, out[0], out[1]), vkf(e, x->noise), v);
    }
    vstore(e, v, at(e, x->to, i), mask);
}

static void max_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct experts *x = data;
    carry[0] = vmax(e, carry[0], vmasked(e, mask, vload(e, at(e, x->from, i), mask), -INFINITY));
}

static void sum_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct experts *x = data;
    V y = math_exp(e, vsub(e, vload(e, at(e, x->from, i), mask), x->max));
    carry[0] = vadd(e, carry[0], vmasked(e, mask, y, 0));
}

/* Largest element and 1 / sum of exp(x - largest). */
static void softmax_of(struct emit *e, V row, int64_t E, V *max, V *inverse)
{
    struct experts x = {.from = row};
    V best = vkf(e, -INFINITY), sum = vkf(e, 0);
    each_vector(e, ki(e, E), max_body, &x, &best, 1);
    *max = hmax(e, best);
    x.max = splat(e, *max);
    each_vector(e, ki(e, E), sum_body, &x, &sum, 1);
    *inverse = vdiv(e, kf(e, 1), hsum(e, sum));
}

/* -- route: one token -- */

/* The next largest element after (value, index) in falling order, lower indices first among equals. */
static void next_choice(struct emit *e, V row, int64_t E, int64_t rank, V *value, V *index)
{
    struct loop l;
    V start[2] = {kf(e, -INFINITY), ki(e, rank)};
    loop_begin(e, &l, ki(e, 0), ki(e, E), 1, 2, start);
    V v = load(e, e->f32, at(e, row, l.i)), free = LLVMConstInt(e->i1, 1, false);
    if (*value) {
        V lower = vgt(e, *value, v), same = LLVMBuildFCmp(e->b, LLVMRealOEQ, *value, v, "");
        free = LLVMBuildOr(e->b, lower, LLVMBuildAnd(e->b, same, ilt(e, *index, l.i), ""), "");
    }
    V better = LLVMBuildAnd(e->b, free, vgt(e, v, l.carry[0]), "");
    V next[2] = {choose(e, better, v, l.carry[0]), choose(e, better, l.i, l.carry[1])};
    loop_end(e, &l, next);
    *value = l.carry[0];
    *index = l.carry[1];
}

static void choose_experts(struct emit *e, const struct routing *r, V row, V choice)
{
    V value = NULL, index = NULL;
    for (int64_t j = 0; j < r->K; j++) {
        next_choice(e, row, r->E, j, &value, &index);
        store_index(e, index, choice, ki(e, j));
    }
}

static V probability(struct emit *e, V row, V index, V max, V inverse)
{
    return vmul(e, math_exp(e, vsub(e, load(e, e->f32, at(e, row, index)), max)), inverse);
}

/* Gates of one token; returns the weight of the first choice before renormalising. */
static V store_gates(struct emit *e, const struct routing *r, V row, V choice, V gates)
{
    V max, inverse, sum = kf(e, 0);
    softmax_of(e, row, r->E, &max, &inverse);
    struct loop l;
    loop_begin(e, &l, ki(e, 0), ki(e, r->K), 1, 1, &sum);
    V g = probability(e, row, load_index(e, choice, l.i), max, inverse);
    store(e, g, at(e, gates, l.i));
    sum = vadd(e, l.carry[0], g);
    loop_end(e, &l, &sum);
    sum = l.carry[0];
    V first = load(e, e->f32, gates);
    if (r->m->renormalise) {
        loop_begin(e, &l, ki(e, 0), ki(e, r->K), 1, 0, NULL);
        store(e, vdiv(e, load(e, e->f32, at(e, gates, l.i)), sum), at(e, gates, l.i));
        loop_end(e, &l, NULL);
    }
    return first;
}

static void importance_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct experts *x = data;
    V q = vmul(e, math_exp(e, vsub(e, vload(e, at(e, x->from, i), mask), x->max)), x->scale), to = at(e, x->to, i);
    (void)carry;
    vstore(e, vadd(e, vload(e, to, mask), q), to, mask);
}

static V standard(struct emit *e, const struct experts *x, V i, V mask)
{
    return vmul(e, vsub(e, vload(e, at(e, x->from, i), mask), x->threshold), vkf(e, 1 / x->noise));
}

static void load_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct experts *x = data;
    V to = at(e, x->to, i);
    (void)carry;
    vstore(e, vadd(e, vload(e, to, mask), math_phi(e, standard(e, x, i, mask), NULL)), to, mask);
}

static V threshold_of(struct emit *e, const struct routing *r, V z, V choice)
{
    return splat(e, load(e, e->f32, at(e, z, load_index(e, choice, ki(e, r->K - 1)))));
}

static void add_statistics(struct emit *e, const struct routing *r, V clean, V z, V choice)
{
    struct experts x = {.from = clean, .to = r->stats, .noise = r->m->noise};
    if (r->m->importance > 0) {
        V max, inverse;
        softmax_of(e, clean, r->E, &max, &inverse);
        x.max = splat(e, max);
        x.scale = splat(e, inverse);
        each_vector(e, ki(e, r->E), importance_body, &x, NULL, 0);
    }
    if (r->m->load > 0) {
        x.to = atk(e, r->stats, r->E);
        x.threshold = threshold_of(e, r, z, choice);
        each_vector(e, ki(e, r->E), load_body, &x, NULL, 0);
    }
}

/* -- route: capacity -- */

struct sort { V keys, index, keys2, index2, count; };

static void radix_pass(struct emit *e, const struct sort *s, V n, int shift)
{
    struct loop l;
    V zero = ki32(e, 0);
    loop_begin(e, &l, ki(e, 0), ki(e, 256), 1, 0, NULL);
    store(e, zero, int_at(e, s->count, l.i));
    loop_end(e, &l, NULL);
    for (int pass = 0; pass < 2; pass++) {
        loop_begin(e, &l, ki(e, 0), n, 1, 0, NULL);
        V key = load(e, e->i32, int_at(e, s->keys, l.i));
        V digit = LLVMBuildAnd(e->b, LLVMBuildLShr(e->b, key, ki32(e, shift), ""), ki32(e, 255), "");
        V slot_of = int_at(e, s->count, LLVMBuildZExt(e->b, digit, e->i64, ""));
        V c = load(e, e->i32, slot_of);
        store(e, iaddk(e, c, 1), slot_of);
        if (pass) {
            V to = LLVMBuildZExt(e->b, c, e->i64, "");
            store(e, key, int_at(e, s->keys2, to));
            store(e, load(e, e->i32, int_at(e, s->index, l.i)), int_at(e, s->index2, to));
        }
        loop_end(e, &l, NULL);
        if (pass)
            continue;
        loop_begin(e, &l, ki(e, 0), ki(e, 256), 1, 1, &zero);       /* counts to first places */
        V n_digit = load(e, e->i32, int_at(e, s->count, l.i)), next = iadd(e, l.carry[0], n_digit);
        store(e, l.carry[0], int_at(e, s->count, l.i));
        loop_end(e, &l, &next);
    }
}

/* Stable, by falling key: keys are the inverted bits of positive floats. */
static void radix_sort(struct emit *e, struct sort s, V n)
{
    for (int shift = 0; shift < 32; shift += 8) {
        radix_pass(e, &s, n, shift);
        struct sort t = {s.keys2, s.index2, s.keys, s.index, s.count};
        s = t;
    }
}

static V capacity_table(struct emit *e, const struct moe *m, bool training)
{
    int n = m->group + 1;
    V *limits = arena_array(e->arena, (size_t)n, sizeof *limits);
    for (int i = 0; i < n; i++)
        limits[i] = ki32(e, moe_capacity(m, training, i * m->tokens));
    V g = LLVMAddGlobal(e->module, LLVMArrayType2(e->i32, (uint64_t)n), "capacity");
    LLVMSetInitializer(g, LLVMConstArray2(e->i32, limits, (uint64_t)n));
    LLVMSetGlobalConstant(g, true);
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    return g;
}

/* Offer choices rank by rank, tokens in order; past the limit of its expert a choice is dropped. */
static void apply_capacity(struct emit *e, const struct routing *r, V choice, V slots, V order, V counts, V limit)
{
    struct loop j, t;
    loop_begin(e, &j, ki(e, 0), ki(e, r->E), 1, 0, NULL);
    store(e, ki32(e, 0), int_at(e, counts, j.i));
    loop_end(e, &j, NULL);
    loop_begin(e, &j, ki(e, 0), ki(e, r->K), 1, 0, NULL);
    loop_begin(e, &t, ki(e, 0), r->tokens, 1, 0, NULL);
    V token = order ? load_index(e, order, t.i) : t.i, pair = iadd(e, imulk(e, token, r->K), j.i);
    V counter = int_at(e, counts, load_index(e, choice, pair)), used = load(e, e->i32, counter);
    V room = ilt(e, used, limit);
    store(e, choose(e, room, ki32(e, 0), ki32(e, -1)), int_at(e, slots, pair));
    store(e, choose(e, room, iaddk(e, used, 1), used), counter);
    loop_end(e, &t, NULL);
    loop_end(e, &j, NULL);
}

static void keep_all(struct emit *e, V slots, V n)
{
    struct loop l;
    loop_begin(e, &l, ki(e, 0), n, 1, 0, NULL);
    store(e, ki32(e, 0), int_at(e, slots, l.i));
    loop_end(e, &l, NULL);
}

static void clear_statistics(struct emit *e, const struct routing *r)
{
    struct loop l;
    loop_begin(e, &l, ki(e, 0), ki(e, 2 * r->E), 1, 0, NULL);
    store(e, kf(e, 0), at(e, r->stats, l.i));
    loop_end(e, &l, NULL);
}

void emit_route(struct emit *e, const struct kernel_args *k)
{
    struct routing r = routing_of(e, k, k->p[3]);
    bool training = k->call->size[1];
    int64_t most = (int64_t)r.m->group * r.T;
    bool limited = (training ? r.m->capacity : r.m->eval_capacity) > 0, sorted = limited && r.m->batch_priority;
    struct sort s = {k->p[4], bytesk(e, k->p[4], 4 * most), bytesk(e, k->p[4], 8 * most), bytesk(e, k->p[4], 12 * most),
                     bytesk(e, k->p[4], 16 * most)};
    V counts = bytesk(e, s.count, 1024), hold = held(e, r.ctx), pairs = imulk(e, r.first_token, r.K);
    V choice = int_at(e, field(e, &r, r.at.choice), pairs), slots = int_at(e, field(e, &r, r.at.slot), pairs);
    struct experts x = {.noise = training ? r.m->noise : 0, .key = r.m->key};
    struct loop t;
    struct branch br;
    V base = imulk(e, iadd(e, ctx_int(e, r.ctx, offsetof(struct vrt_ctx, first_image)), k->row), r.T);
    random_keys(e, r.ctx, &x.key0, &x.key1, &x.step);
    clear_statistics(e, &r);
    loop_begin(e, &t, ki(e, 0), r.tokens, 1, 0, NULL);
    V row = imulk(e, t.i, r.E), z = at(e, k->p[0], row), mine = int_at(e, choice, imulk(e, t.i, r.K));
    x.from = at(e, k->p[1], row);
    x.to = z;
    x.counter = LLVMBuildTrunc(e->b, iadd(e, base, t.i), e->i32, "");
    each_vector(e, ki(e, r.E), noise_body, &x, NULL, 0);
    if_begin(e, &br, LLVMBuildNot(e->b, hold, ""));
    choose_experts(e, &r, z, mine);
    if_end(e, &br);
    V first = store_gates(e, &r, z, mine, at(e, k->p[2], imulk(e, t.i, r.K)));
    if (training)
        add_statistics(e, &r, x.from, z, mine);
    if (sorted) {
        store(e, LLVMBuildNot(e->b, LLVMBuildBitCast(e->b, first, e->i32, ""), ""), int_at(e, s.keys, t.i));
        store_index(e, t.i, s.index, t.i);
    }
    loop_end(e, &t, NULL);
    if_begin(e, &br, LLVMBuildNot(e->b, hold, ""));
    if (limited) {
        V limit = load(e, e->i32, int_at(e, capacity_table(e, r.m, training), k->m));
        if (sorted)
            radix_sort(e, s, r.tokens);
        apply_capacity(e, &r, choice, slots, sorted ? s.index : NULL, counts, limit);
    } else {
        keep_all(e, slots, imulk(e, r.tokens, r.K));
    }
    if_end(e, &br);
}

/* -- places of the routed rows -- */

static void add_to(struct emit *e, V p, V v)
{
    store(e, vadd(e, load(e, e->f32, p), v), p);
}

static void bump(struct emit *e, V counts, V index, V *old)
{
    V p = int_at(e, counts, index), c = load(e, e->i32, p);
    store(e, iaddk(e, c, 1), p);
    if (old)
        *old = c;
}

/* counts[e]: kept choices of each expert; load counters of the program gather all choices and the dropped ones. */
static void count_choices(struct emit *e, const struct routing *r, V choice, V slots, V counts, V balance, V n)
{
    struct loop l;
    struct branch br;
    loop_begin(e, &l, ki(e, 0), ki(e, r->E), 1, 0, NULL);
    store(e, ki32(e, 0), int_at(e, counts, l.i));
    loop_end(e, &l, NULL);
    loop_begin(e, &l, ki(e, 0), n, 1, 0, NULL);
    V expert = load_index(e, choice, l.i);
    add_to(e, at(e, balance, expert), kf(e, 1));
    if_begin(e, &br, ilt(e, load_index(e, slots, l.i), ki(e, 0)));
    add_to(e, at(e, balance, iaddk(e, expert, r->E)), kf(e, 1));
    if_else(e, &br);
    bump(e, counts, expert, NULL);
    if_end(e, &br);
    loop_end(e, &l, NULL);
    add_to(e, atk(e, balance, 2 * r->E), LLVMBuildSIToFP(e->b, r->tokens, e->f32, ""));
}

/* first[], and counts[] turned into the next free row of each expert. */
static void first_rows(struct emit *e, const struct routing *r, V counts, V first)
{
    struct loop l;
    V sum = ki(e, 0);
    loop_begin(e, &l, ki(e, 0), ki(e, r->E), 1, 1, &sum);
    V next = iadd(e, l.carry[0], load_index(e, counts, l.i));
    store_index(e, l.carry[0], first, l.i);
    store_index(e, l.carry[0], counts, l.i);
    loop_end(e, &l, &next);
    store_index(e, l.carry[0], first, ki(e, r->E));
}

static void place_rows(struct emit *e, V choice, V slots, V counts, V pair, V n)
{
    struct loop l;
    struct branch br;
    loop_begin(e, &l, ki(e, 0), n, 1, 0, NULL);
    if_begin(e, &br, ilt(e, ki(e, -1), load_index(e, slots, l.i)));
    V row;
    bump(e, counts, load_index(e, choice, l.i), &row);
    store(e, row, int_at(e, slots, l.i));
    store_index(e, l.i, pair, LLVMBuildSExt(e->b, row, e->i64, ""));
    if_end(e, &br);
    loop_end(e, &l, NULL);
}

static void cut_tiles(struct emit *e, const struct routing *r, V first, V tile, V tile_first)
{
    struct loop x, t;
    V count = ki(e, 0);
    loop_begin(e, &x, ki(e, 0), ki(e, r->E), 1, 1, &count);
    V from = load_index(e, first, x.i), to = load_index(e, first, iaddk(e, x.i, 1));
    store_index(e, x.carry[0], tile_first, x.i);
    loop_begin(e, &t, from, to, r->at.rows_per_tile, 1, x.carry);
    V entry = int_at(e, tile, imulk(e, t.carry[0], 4)), rows = imin(e, ki(e, r->at.rows_per_tile), isub(e, to, t.i));
    store_index(e, x.i, entry, ki(e, 0));
    store_index(e, t.i, entry, ki(e, 1));
    store_index(e, rows, entry, ki(e, 2));
    store_index(e, ki(e, 0), entry, ki(e, 3));
    V next = iaddk(e, t.carry[0], 1);
    loop_end(e, &t, &next);
    loop_end(e, &x, t.carry);
    store_index(e, x.carry[0], tile_first, ki(e, r->E));
}

void emit_route_sort(struct emit *e, const struct kernel_args *k)
{
    struct routing r = routing_of(e, k, k->p[0]);
    struct branch br;
    V counts = slot(e, e->i32, r.E), n = imulk(e, r.tokens, r.K);
    V choice = field(e, &r, r.at.choice), slots = field(e, &r, r.at.slot), first = field(e, &r, r.at.first);
    if_begin(e, &br, LLVMBuildNot(e->b, held(e, r.ctx), ""));
    count_choices(e, &r, choice, slots, counts, k->p[1], n);
    first_rows(e, &r, counts, first);
    place_rows(e, choice, slots, counts, field(e, &r, r.at.pair), n);
    cut_tiles(e, &r, first, field(e, &r, r.at.tile), field(e, &r, r.at.tile_first));
    if_end(e, &br);
}

/* -- balance losses -- */

struct moments { V mean, variance; };

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

void emit_balance_sum(struct emit *e, const struct kernel_args *k)
{
    struct routing r = routing_of(e, k, k->p[0]);
    if (r.m->importance <= 0 && r.m->load <= 0)
        return;
    struct loop l;
    V sum = kf(e, 0), groups = idiv(e, iaddk(e, k->m, r.m->group - 1), ki(e, r.m->group)), total;
    loop_begin(e, &l, ki(e, 0), groups, 1, 1, &sum);
    V stats = at(e, bytesk(e, k->p[0], r.at.stats), imulk(e, l.i, 2 * r.E));
    sum = l.carry[0];
    if (r.m->importance > 0)
        sum = vadd(e, sum, spread_loss(e, stats, r.E, r.m->importance));
    if (r.m->load > 0)
        sum = vadd(e, sum, spread_loss(e, atk(e, stats, r.E), r.E, r.m->load));
    loop_end(e, &l, &sum);
    V p = ctx_field(e, k->ctx, offsetof(struct vrt_ctx, balance_loss));
    total = LLVMBuildFAdd(e->b, load(e, e->f64, p), LLVMBuildFPExt(e->b, l.carry[0], e->f64, ""), "");
    store(e, total, p);
}

/* -- route_dx -- */

/* slope[i] = d (weight * var / mean^2) / d x_i, times the scale of the loss. */
static void spread_slopes(struct emit *e, const struct routing *r, V x, V slope, double weight)
{
    struct moments m = moments_of(e, x, r->E);
    struct loop l;
    V scale = vmul(e, ctx_float(e, r->ctx, offsetof(struct vrt_ctx, balance_scale)), kf(e, 2 * weight / (double)r->E));
    V factor = vdiv(e, scale, vmul(e, m.mean, m.mean)), shift = vadd(e, m.mean, vdiv(e, m.variance, m.mean));
    loop_begin(e, &l, ki(e, 0), ki(e, r->E), 1, 0, NULL);
    store(e, vmul(e, vsub(e, load(e, e->f32, at(e, x, l.i)), shift), factor), at(e, slope, l.i));
    loop_end(e, &l, NULL);
}

static V softmax_at(struct emit *e, const struct experts *x, V i, V mask)
{
    return vmasked(e, mask, vmul(e, math_exp(e, vsub(e, vload(e, at(e, x->from, i), mask), x->max)), x->scale), 0);
}

/* to = -p * a: the part of the softmax's slope that all experts share. */
static void shared_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct experts *x = data;
    (void)carry;
    vstore(e, vneg(e, vmul(e, softmax_at(e, x, i, mask), x->a)), at(e, x->to, i), mask);
}

static void inner_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct experts *x = data;
    carry[0] = vfma(e, softmax_at(e, x, i, mask), vload(e, at(e, x->b, i), mask), carry[0]);
}

/* to += p * (b - a) */
static void importance_slope_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct experts *x = data;
    V to = at(e, x->to, i), d = vsub(e, vload(e, at(e, x->b, i), mask), x->a);
    (void)carry;
    vstore(e, vfma(e, softmax_at(e, x, i, mask), d, vload(e, to, mask)), to, mask);
}

/* to += b * density / noise; carries the sum, which the threshold takes back. */
static void load_slope_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct experts *x = data;
    V density, to = at(e, x->to, i);
    math_phi(e, standard(e, x, i, mask), &density);
    V d = vmul(e, vmul(e, density, vkf(e, 1 / x->noise)), vload(e, at(e, x->b, i), mask));
    vstore(e, vadd(e, vload(e, to, mask), d), to, mask);
    carry[0] = vadd(e, carry[0], vmasked(e, mask, d, 0));
}

struct token { V dlogits, dgates, logits, z, gates, choice; };

static void task_slope(struct emit *e, const struct routing *r, const struct token *t)
{
    struct loop l;
    V sum = kf(e, 0);
    loop_begin(e, &l, ki(e, 0), ki(e, r->K), 1, 1, &sum);
    sum = vfma(e, load(e, e->f32, at(e, t->dgates, l.i)), load(e, e->f32, at(e, t->gates, l.i)), l.carry[0]);
    loop_end(e, &l, &sum);
    V inner = l.carry[0], max, inverse;
    struct experts x = {.from = t->z, .to = t->dlogits, .a = r->m->renormalise ? vkf(e, 0) : splat(e, inner)};
    softmax_of(e, t->z, r->E, &max, &inverse);
    x.max = splat(e, max);
    x.scale = splat(e, inverse);
    each_vector(e, ki(e, r->E), shared_body, &x, NULL, 0);
    loop_begin(e, &l, ki(e, 0), ki(e, r->K), 1, 0, NULL);
    V dg = load(e, e->f32, at(e, t->dgates, l.i));
    if (r->m->renormalise)
        dg = vsub(e, dg, inner);
    add_to(e, at(e, t->dlogits, load_index(e, t->choice, l.i)), vmul(e, dg, load(e, e->f32, at(e, t->gates, l.i))));
    loop_end(e, &l, NULL);
}

static void importance_slope(struct emit *e, const struct routing *r, const struct token *t, V slope)
{
    V max, inverse, sum = vkf(e, 0);
    struct experts x = {.from = t->logits, .to = t->dlogits, .b = slope};
    softmax_of(e, t->logits, r->E, &max, &inverse);
    x.max = splat(e, max);
    x.scale = splat(e, inverse);
    each_vector(e, ki(e, r->E), inner_body, &x, &sum, 1);
    x.a = splat(e, hsum(e, sum));
    each_vector(e, ki(e, r->E), importance_slope_body, &x, NULL, 0);
}

static void load_slope(struct emit *e, const struct routing *r, const struct token *t, V slope)
{
    V sum = vkf(e, 0);
    struct experts x = {.from = t->logits, .to = t->dlogits, .b = slope, .noise = r->m->noise,
                        .threshold = threshold_of(e, r, t->z, t->choice)};
    each_vector(e, ki(e, r->E), load_slope_body, &x, &sum, 1);
    add_to(e, at(e, t->dlogits, load_index(e, t->choice, ki(e, r->K - 1))), vneg(e, hsum(e, sum)));
}

void emit_route_dx(struct emit *e, const struct kernel_args *k)
{
    struct routing r = routing_of(e, k, k->p[5]);
    V slope1 = slot(e, e->f32, r.E), slope2 = slot(e, e->f32, r.E);
    V choice = int_at(e, field(e, &r, r.at.choice), imulk(e, r.first_token, r.K));
    struct loop l;
    if (r.m->importance > 0)
        spread_slopes(e, &r, r.stats, slope1, r.m->importance);
    if (r.m->load > 0)
        spread_slopes(e, &r, atk(e, r.stats, r.E), slope2, r.m->load);
    loop_begin(e, &l, ki(e, 0), r.tokens, 1, 0, NULL);
    V wide = imulk(e, l.i, r.E), narrow = imulk(e, l.i, r.K);
    struct token t = {at(e, k->p[0], wide), at(e, k->p[1], narrow), at(e, k->p[2], wide), at(e, k->p[3], wide),
                      at(e, k->p[4], narrow), int_at(e, choice, narrow)};
    task_slope(e, &r, &t);
    if (r.m->importance > 0)
        importance_slope(e, &r, &t, slope1);
    if (r.m->load > 0)
        load_slope(e, &r, &t, slope2);
    loop_end(e, &l, NULL);
}

/* -- rows in and out of the experts -- */

struct move { V to, from, factor; };

static void move_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct move *m = data;
    V x = vload(e, at(e, m->from, i), mask);
    (void)carry;
    vstore(e, m->factor ? vmul(e, x, m->factor) : x, at(e, m->to, i), mask);
}

static void add_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct move *m = data;
    V x = vload(e, at(e, m->from, i), mask), to = at(e, m->to, i), y = vload(e, to, mask);
    (void)carry;
    vstore(e, m->factor ? vfma(e, x, m->factor, y) : vadd(e, x, y), to, mask);
}

static V pair_of(struct emit *e, const struct kernel_args *k, V decisions, int64_t pair_at, V i)
{
    return load_index(e, bytesk(e, decisions, pair_at), iadd(e, k->row, i));
}

void emit_dispatch(struct emit *e, const struct kernel_args *k)
{
    const int64_t *s = k->call->size;
    struct loop l;
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    V token = idiv(e, pair_of(e, k, k->p[2], s[2], l.i), ki(e, s[1]));
    struct move m = {at(e, k->p[0], imulk(e, l.i, s[0])), at(e, k->p[1], imulk(e, token, s[0])), NULL};
    each_vector(e, ki(e, s[0]), move_body, &m, NULL, 0);
    loop_end(e, &l, NULL);
}

void emit_combine_dx(struct emit *e, const struct kernel_args *k)
{
    const int64_t *s = k->call->size;
    struct loop l;
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    V pair = pair_of(e, k, k->p[3], s[2], l.i), token = idiv(e, pair, ki(e, s[1]));
    struct move m = {at(e, k->p[0], imulk(e, l.i, s[0])), at(e, k->p[1], imulk(e, token, s[0])),
                     splat(e, load(e, e->f32, at(e, k->p[2], pair)))};
    each_vector(e, ki(e, s[0]), move_body, &m, NULL, 0);
    loop_end(e, &l, NULL);
}

/* The row of choice j of token i of this tile, and its index among the pairs of the tile. */
static V slot_of(struct emit *e, const struct kernel_args *k, V decisions, int64_t K, int64_t slot_at, V i, V j, V *local)
{
    *local = iadd(e, imulk(e, i, K), j);
    return load_index(e, bytesk(e, decisions, slot_at), iadd(e, imulk(e, k->row, K), *local));
}

void emit_combine(struct emit *e, const struct kernel_args *k)
{
    const int64_t *s = k->call->size;
    struct loop l, j;
    struct branch br;
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    struct move m = {at(e, k->p[0], imulk(e, l.i, s[0])), NULL, NULL};
    clear_floats(e, m.to, ki(e, s[0]));
    loop_begin(e, &j, ki(e, 0), ki(e, s[1]), 1, 0, NULL);
    V local, row = slot_of(e, k, k->p[3], s[1], s[2], l.i, j.i, &local);
    if_begin(e, &br, ilt(e, ki(e, -1), row));
    m.from = at(e, k->p[1], imulk(e, row, s[0]));
    m.factor = s[3] ? splat(e, load(e, e->f32, at(e, k->p[2], local))) : NULL;
    each_vector(e, ki(e, s[0]), add_body, &m, NULL, 0);
    if_end(e, &br);
    loop_end(e, &j, NULL);
    loop_end(e, &l, NULL);
}

static void dot_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct move *m = data;
    carry[0] = vfma(e, vload(e, at(e, m->to, i), mask), vload(e, at(e, m->from, i), mask), carry[0]);
}

void emit_combine_dgate(struct emit *e, const struct kernel_args *k)
{
    const int64_t *s = k->call->size;
    struct loop l, j;
    struct branch br;
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    struct move m = {at(e, k->p[1], imulk(e, l.i, s[0])), NULL, NULL};
    loop_begin(e, &j, ki(e, 0), ki(e, s[1]), 1, 0, NULL);
    V local, row = slot_of(e, k, k->p[3], s[1], s[2], l.i, j.i, &local), to = at(e, k->p[0], local);
    store(e, kf(e, 0), to);
    if_begin(e, &br, ilt(e, ki(e, -1), row));
    V sum = vkf(e, 0);
    m.from = at(e, k->p[2], imulk(e, row, s[0]));
    each_vector(e, ki(e, s[0]), dot_body, &m, &sum, 1);
    store(e, hsum(e, sum), to);
    if_end(e, &br);
    loop_end(e, &j, NULL);
    loop_end(e, &l, NULL);
}
