/* The choice of experts, a group of pictures at a time: noise on the logits, the K largest, gates,
 * and who is dropped under a capacity. */
#include "config.h"

#include <math.h>
#include <stddef.h>

#include "compiler/emit/routing.h"
#include "lang/base/arena.h"
#include "runtime/vrt.h"

/* -- one token -- */

struct noise {
    V from, to, key0, key1, step, counter;
    double deviation;
    uint32_t key;
};

static void noise_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct noise *x = data;
    V v = vload(e, at(e, x->from, i), mask), out[4];
    (void)carry;
    if (x->deviation > 0) {
        V column = iadd(e, splat(e, LLVMBuildTrunc(e->b, i, e->i32, "")), lanes(e, e->i32, 0, 1));
        math_philox(
            e, (V[]){splat(e, x->counter), column, ilike(e, column, x->key), splat(e, x->step)},
            splat(e, x->key0), splat(e, x->key1), out);
        v = vfma(e, math_normal(e, out[0], out[1]), vkf(e, x->deviation), v);
    }
    vstore(e, v, at(e, x->to, i), mask);
}

/* The next largest element after (value, index) in falling order, lower indices first among
 * equals. */
static void next_choice(struct emit *e, V row, int64_t E, V rank, V *value, V *index)
{
    struct loop l;
    V start[2] = {kf(e, -INFINITY), rank};
    loop_begin(e, &l, ki(e, 0), ki(e, E), 1, 2, start);
    V v = load(e, e->f32, at(e, row, l.i));
    V lower = vgt(e, *value, v), same = LLVMBuildFCmp(e->b, LLVMRealOEQ, *value, v, "");
    V free = LLVMBuildOr(e->b, lower, LLVMBuildAnd(e->b, same, ilt(e, *index, l.i), ""), "");
    V better = LLVMBuildAnd(e->b, free, vgt(e, v, l.carry[0]), "");
    V next[2] = {choose(e, better, v, l.carry[0]), choose(e, better, l.i, l.carry[1])};
    loop_end(e, &l, next);
    *value = l.carry[0];
    *index = l.carry[1];
}

static void choose_experts(struct emit *e, const struct routing *r, V row, V choice)
{
    struct loop j;
    V last[2] = {kf(e, INFINITY), ki(e, -1)};
    loop_begin(e, &j, ki(e, 0), ki(e, r->K), 1, 2, last);
    last[0] = j.carry[0];
    last[1] = j.carry[1];
    next_choice(e, row, r->E, j.i, &last[0], &last[1]);
    store_index(e, last[1], choice, j.i);
    loop_end(e, &j, last);
}

/* Where experts choose: choice j is expert j. */
static void choose_all(struct emit *e, const struct routing *r, V choice)
{
    struct loop j;
    loop_begin(e, &j, ki(e, 0), ki(e, r->E), 1, 0, NULL);
    store_index(e, j.i, choice, j.i);
    loop_end(e, &j, NULL);
}

struct scores {
    V z, bias, out, max, scale;
};

static void score_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct scores *s = data;
    V p = probability(e, vload(e, at(e, s->z, i), mask), s->max, s->scale);
    (void)carry;
    vstore(e, s->bias ? vadd(e, p, vload(e, at(e, s->bias, i), mask)) : p, at(e, s->out, i), mask);
}

/* out = softmax(z), plus the bias if there is one. */
static void probabilities(struct emit *e, const struct routing *r, V z, V bias, V out)
{
    struct scores s = {.z = z, .bias = bias, .out = out};
    V max, sum;
    softmax_terms(e, z, r->E, &max, &sum);
    s.max = splat(e, max);
    s.scale = splat(e, vdiv(e, kf(e, 1), sum));
    each_vector(e, ki(e, r->E), score_body, &s, NULL, 0);
}

/* Gates of one token; returns the weight of the first choice before renormalising. */
static V store_gates(struct emit *e, const struct routing *r, V row, V choice, V gates)
{
    V max, inverse, sum = kf(e, 0);
    softmax_terms(e, row, r->E, &max, &inverse);
    inverse = vdiv(e, kf(e, 1), inverse);
    struct loop l;
    loop_begin(e, &l, ki(e, 0), ki(e, r->K), 1, 1, &sum);
    V g = probability(e, load(e, e->f32, at(e, row, load_index(e, choice, l.i))), max, inverse);
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

/* -- route: capacity -- */

struct sort {
    V keys, index, keys2, index2, count;
};

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
        V digit =
            LLVMBuildAnd(e->b, LLVMBuildLShr(e->b, key, ki32(e, shift), ""), ki32(e, 255), "");
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
        loop_begin(e, &l, ki(e, 0), ki(e, 256), 1, 1, &zero); /* counts to first places */
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

/* Where the decision about choice j of an item is left for the sort of the rows: in the slot of its
 * first row. */
static V slot_index(struct emit *e, const struct routing *r, V item, V j)
{
    return iadd(e, imulk(e, item, r->m->span * r->K), j);
}

/* Offer choices rank by rank, tokens in order; past the limit of its expert a choice is dropped. */
static void apply_capacity(struct emit *e, const struct routing *r, V choice, V slots, V order,
                           V counts, V limit)
{
    struct loop j, t;
    clear_counts(e, counts, r->E);
    loop_begin(e, &j, ki(e, 0), ki(e, r->K), 1, 0, NULL);
    loop_begin(e, &t, ki(e, 0), r->tokens, 1, 0, NULL);
    V token = order ? load_index(e, order, t.i) : t.i;
    V counter = int_at(e, counts, load_index(e, choice, iadd(e, imulk(e, token, r->K), j.i))),
      used = load(e, e->i32, counter);
    V room = ilt(e, used, limit);
    store(e, choose(e, room, ki32(e, 0), ki32(e, -1)),
          int_at(e, slots, slot_index(e, r, token, j.i)));
    store(e, choose(e, room, iaddk(e, used, 1), used), counter);
    loop_end(e, &t, NULL);
    loop_end(e, &j, NULL);
}

static void keep_all(struct emit *e, const struct routing *r, V slots)
{
    struct loop t, j;
    loop_begin(e, &t, ki(e, 0), r->tokens, 1, 0, NULL);
    loop_begin(e, &j, ki(e, 0), ki(e, r->K), 1, 0, NULL);
    store(e, ki32(e, 0), int_at(e, slots, slot_index(e, r, t.i, j.i)));
    loop_end(e, &j, NULL);
    loop_end(e, &t, NULL);
}

/* A key that falls as the positive number x grows. */
static V falling_key(struct emit *e, V x)
{
    return LLVMBuildNot(e->b, LLVMBuildBitCast(e->b, x, e->i32, ""), "");
}

/* Each expert takes the `limit` tokens with the largest gates for it; gates (tokens, E). */
static void select_tokens(struct emit *e, const struct routing *r, V gates, V slots, struct sort s,
                          V limit)
{
    struct loop x, t;
    loop_begin(e, &x, ki(e, 0), ki(e, r->E), 1, 0, NULL);
    loop_begin(e, &t, ki(e, 0), r->tokens, 1, 0, NULL);
    store(e, falling_key(e, load(e, e->f32, at(e, gates, iadd(e, imulk(e, t.i, r->E), x.i)))),
          int_at(e, s.keys, t.i));
    store_index(e, t.i, s.index, t.i);
    loop_end(e, &t, NULL);
    radix_sort(e, s, r->tokens);
    loop_begin(e, &t, ki(e, 0), r->tokens, 1, 0, NULL);
    V first = ilt(e, t.i, limit);
    store(e, choose(e, first, ki32(e, 0), ki32(e, -1)),
          int_at(e, slots, slot_index(e, r, load_index(e, s.index, t.i), x.i)));
    loop_end(e, &t, NULL);
    loop_end(e, &x, NULL);
}

/* -- the kernel -- */

struct group {
    struct routing r;
    V z, logits, gates, bias, choice, slots, hold, scores;
    struct sort sort;
    bool training, limited, sorted; /* limited: there is a capacity; sorted: by priority */
};

/* Choice and gates of item i. */
static void route_item(struct emit *e, const struct group *g, V i)
{
    const struct routing *r = &g->r;
    V z = at(e, g->z, imulk(e, i, r->E)), choice = int_at(e, g->choice, imulk(e, i, r->K));
    V gates = at(e, g->gates, imulk(e, i, r->K)), clean = at(e, g->logits, imulk(e, i, r->E));
    struct branch br;
    V first = NULL;
    if (r->m->choice == CHOICE_EXPERT) {
        choose_all(e, r, choice);
        probabilities(e, r, z, NULL, gates);
    } else {
        if_begin(e, &br, LLVMBuildNot(e->b, g->hold, ""));
        if (r->m->bias)
            probabilities(e, r, z, g->bias, g->scores);
        choose_experts(e, r, r->m->bias ? g->scores : z, choice);
        if_end(e, &br);
        first = store_gates(e, r, z, choice, gates);
        entropy_add(e, r, clean);
    }
    if (g->training)
        balance_add(e, r, clean, z, choice);
    if (g->sorted) {
        store(e, falling_key(e, first), int_at(e, g->sort.keys, i));
        store_index(e, i, g->sort.index, i);
    }
}

/* Which choices are kept: all, those within the capacity, or those that experts make. */
static void keep_choices(struct emit *e, const struct group *g, V pictures, V counts)
{
    const struct moe *m = g->r.m;
    if (!g->limited) {
        keep_all(e, &g->r, g->slots);
        return;
    }
    V limit = load(e, e->i32, int_at(e, capacity_table(e, m, g->training), pictures));
    if (m->choice == CHOICE_EXPERT) {
        select_tokens(e, &g->r, g->gates, g->slots, g->sort,
                      LLVMBuildSExt(e->b, limit, e->i64, ""));
        return;
    }
    if (g->sorted)
        radix_sort(e, g->sort, g->r.tokens);
    apply_capacity(e, &g->r, g->choice, g->slots, g->sorted ? g->sort.index : NULL, counts, limit);
}

void emit_route(struct emit *e, const struct kernel_args *k)
{
    struct group g = {.r = routing_of(e, k, k->p.route.decisions),
                      .z = k->p.route.z,
                      .logits = k->p.route.logits,
                      .gates = k->p.route.gates,
                      .bias = k->p.route.bias,
                      .hold = routing_held(e, k->ctx),
                      .training = k->call->size.route.training};
    const struct moe *m = g.r.m;
    struct route_scratch s = plan_route_scratch(m);
    V room = k->p.route.scratch, counts = bytesk(e, room, s.counts),
      first = imulk(e, g.r.first_token, g.r.K);
    g.sort = (struct sort){room, bytesk(e, room, s.index), bytesk(e, room, s.next_keys),
                           bytesk(e, room, s.next_index), bytesk(e, room, s.buckets)};
    g.scores = bytesk(e, room, s.scores);
    g.limited = (g.training ? m->capacity : m->eval_capacity) > 0;
    g.sorted = g.limited && m->choice == CHOICE_TOKEN && m->batch_priority;
    g.choice = int_at(e, routing_field(e, &g.r, g.r.at.choice), first);
    g.slots = int_at(e, routing_field(e, &g.r, g.r.at.slot), imulk(e, first, m->span));
    struct noise x = {.deviation = g.training ? m->noise : 0, .key = m->key};
    struct loop t;
    struct branch br;
    V base = iadd(e, ctx_int(e, k->ctx, offsetof(struct vrt_ctx, first_image)), k->row);
    random_keys(e, k->ctx, &x.key0, &x.key1, &x.step);
    balance_clear(e, &g.r);
    loop_begin(e, &t, ki(e, 0), g.r.tokens, 1, 0, NULL);
    x.from = at(e, g.logits, imulk(e, t.i, g.r.E));
    x.to = at(e, g.z, imulk(e, t.i, g.r.E));
    x.counter = LLVMBuildTrunc(e->b, iadd(e, imulk(e, base, g.r.T), t.i), e->i32, "");
    each_vector(e, ki(e, g.r.E), noise_body, &x, NULL, 0);
    route_item(e, &g, t.i);
    loop_end(e, &t, NULL);
    if_begin(e, &br, LLVMBuildNot(e->b, g.hold, ""));
    keep_choices(e, &g, k->m, counts);
    if_end(e, &br);
}
