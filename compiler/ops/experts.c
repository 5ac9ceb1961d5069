/* Experts: a LAYER_MOE expanded to the router, the decisions, rows in, the experts, rows out. Each
 * kind of expert gets rows in and out of its own, which are then summed. Who chooses:
 *
 *     tokens    logits -> route -> dispatch, experts, combine
 *     experts   the same with a decision for each (token, expert)
 *     nobody    (soft MoE, Puigcerver et al. 2024, eq. 1 to 3) slots = softmax over the tokens
 *               (logits)^T x -> dispatch, experts, collect -> softmax over
 *               the slots (logits) times them
 *
 * Whole pictures are routed by the mean of their tokens. */
#include "config.h"

#include "compiler/graph/build.h"

#include <stdint.h>

#include "compiler/ops/op.h"
#include "lang/base/arena.h"
#include "lang/base/diag.h"

static void fill_losses(struct moe *m, const struct spec_moe *s, bool training)
{
    m->capacity = s->capacity;
    m->eval_capacity = s->eval_capacity;
    m->bias_rate = s->bias;
    if (!training)
        return;
    m->noise = s->noise;
    m->importance = s->importance;
    m->load = s->load;
    m->switch_loss = s->switch_loss;
    m->z_loss = s->z_loss;
}

/* The most rows that a picture can get, in groups of any size up to the whole one: what experts
 * take is rounded up once a group. */
static int64_t rows_taken(const struct moe *m, bool training)
{
    int64_t most = 0;
    for (int64_t n = 1; n <= m->group; n++) {
        int64_t rows = (moe_capacity(m, training, n * m->tokens) * m->experts + n - 1) / n;
        most = rows > most ? rows : most;
    }
    return most;
}

/* What is routed, and how many rows that can make. */
static void fill_sizes(struct moe *m, const struct spec_moe *s, int64_t tokens)
{
    m->tokens = tokens;
    m->span = 1;
    m->top_k = s->top_k;
    m->active = s->top_k;
    if (s->per_image) {
        m->tokens = 1;
        m->span = tokens;
    }
    m->rows = tokens * s->top_k;
    if (s->choice == CHOICE_EXPERT) {
        int64_t most = rows_taken(m, true), most_eval = rows_taken(m, false);
        m->top_k = m->experts;
        m->rows = most > most_eval ? most : most_eval;
        m->active = (double)(moe_capacity(m, false, tokens) * m->experts) / (double)tokens;
    }
    if (s->choice == CHOICE_SOFT) {
        m->top_k = 1;
        m->tokens = m->rows = (int64_t)s->slots * s->experts;
        m->active = s->experts;
    }
}

static struct moe *new_moe(struct builder *b, const struct spec_moe *s, int64_t tokens)
{
    struct graph *g = b->g;
    const struct moe *before = g->nmoes ? g->moes[g->nmoes - 1] : NULL;
    struct moe *m = arena_alloc(g->arena, sizeof *m);
    m->id = (int)g->nmoes;
    m->name = b->title;
    m->prefix = b->prefix;
    m->choice = s->choice;
    m->experts = s->experts;
    m->group = s->group;
    m->alike = s->alike;
    m->nkinds = (int)s->nkinds;
    m->shared = s->shared;
    m->renormalise = s->renormalise;
    m->batch_priority = s->batch_priority;
    m->key = g->next_key++;
    m->balance_offset = before ? before->balance_offset + moe_balance_bytes(before) : 0;
    m->choices_offset = before ? before->choices_offset + before->experts : 0;
    fill_losses(m, s, g->training);
    fill_sizes(m, s, tokens);
    *ARENA_PUSH(g->arena, g->moes, g->nmoes, g->cap_moes) = m;
    return m;
}

static int common_multiple(int a, int b)
{
    int x = a, y = b;
    while (y) {
        int rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

void share_groups(struct graph *g)
{
    g->group = 1;
    for (size_t i = 0; i < g->nmoes; i++)
        g->group = common_multiple(g->group, g->moes[i]->group);
    for (size_t i = 0; i < g->nmoes; i++)
        g->moes[i]->share = (double)g->moes[i]->group / g->group;
}

/* Decisions are numbers of 32 bits. */
static bool check_size(struct builder *b, const struct spec_layer *l, const struct moe *m)
{
    double choices = (double)b->g->micro * (double)m->tokens * (double)m->span * m->top_k;
    if (choices < INT32_MAX && (double)b->g->micro * (double)m->rows < INT32_MAX)
        return true;
    diag_report(b->diag, DIAG_SHAPE_TOO_LARGE, l->loc, "%.0f decisions in a step are too many",
                choices);
    diag_help(b->diag, "a smaller train.micro, or fewer experts, makes fewer");
    return false;
}

static bool check_moe(struct builder *b, const struct spec_layer *l, struct tensor x)
{
    const struct spec_moe *s = l->moe;
    if (x.kind == TENSOR_VECTOR || b->experts) {
        diag_report(b->diag, DIAG_SHAPE_KIND, l->loc,
                    b->experts ? "experts inside an expert"
                               : "experts need tokens or a map, this is %s",
                    tensor_text(b, x));
        return false;
    }
    if (s->load > 0 && s->noise <= 0) {
        diag_report(b->diag, DIAG_NOISE_REQUIRED, s->loc,
                    "the load loss needs noise on the router's logits, and noise is 0");
        diag_help(b->diag, "leave `noise` out (it is then 1 / experts), or set balance.load = 0");
        return false;
    }
    return true;
}

static struct tensor plain(struct builder *b, const struct op *op, const struct spec_layer *l,
                           struct tensor x, int64_t rows, int64_t cols)
{
    return tensor_tokens(node_output(b->g, layer_node(b, op, l, x), rows, cols, NULL));
}

/* The product of two matrices of each picture. */
static struct tensor build_product(struct builder *b, const struct spec_layer *l,
                                   struct tensor left, struct tensor right)
{
    struct node *n = layer_node(b, &op_matmul, l, left);
    node_input(n, right.v);
    return tensor_tokens(node_output(b->g, n, left.v->rows, right.v->cols, NULL));
}

static bool build_router(struct builder *b, const struct spec_layer *l, struct tensor x,
                         struct tensor *logits)
{
    const struct spec_moe *s = l->moe;
    int64_t wanted = s->choice == CHOICE_SOFT ? (int64_t)s->experts * s->slots : s->experts;
    if (s->per_image) {
        x = plain(b, &op_mean_pool, l, x, 1, x.v->cols);
        x.kind = TENSOR_VECTOR;
    }
    if (!build_layer(b, l->kids[0], x, logits))
        return false;
    if (logits->v->rows == x.v->rows && logits->v->cols == wanted)
        return true;
    diag_report(b->diag, DIAG_ROUTER_WIDTH, l->kids[0]->loc,
                "the router must give %lld numbers for each token, %s; it gives %s",
                (long long)wanted, s->choice == CHOICE_SOFT ? "one a slot" : "one an expert",
                tensor_text(b, *logits));
    return false;
}

/* -- experts -- */

/* The layers of an expert, shared or not: they keep what they get. */
static bool build_body(struct builder *b, const struct spec_layer *body, struct tensor x,
                       struct tensor *y)
{
    if (!build_layer(b, body, x, y))
        return false;
    if (y->v->rows == x.v->rows && y->v->cols == x.v->cols)
        return true;
    diag_report(b->diag, DIAG_EXPERT_WIDTH, body->loc,
                "an expert must keep the width: it turns %lld channels into %lld",
                (long long)x.v->cols, (long long)y->v->cols);
    return false;
}

/* One kind: rows in, its layers. */
static bool build_kind(struct builder *b, const struct spec_layer *l, size_t kind, int first,
                       struct moe *m, struct tensor x, struct tensor *y)
{
    struct experts *experts = arena_alloc(b->g->arena, sizeof *experts);
    *experts = (struct experts){m, first, l->moe->kinds[kind].count};
    struct node *dispatch = layer_node(b, &op_dispatch, l, x);
    dispatch->moe = m;
    dispatch->experts = experts;
    node_input(dispatch, m->decisions);
    struct value *routed = node_output(b->g, dispatch, m->rows, x.v->cols, experts);
    b->experts = experts;
    bool ok = build_body(b, l->kids[1 + kind], tensor_tokens(routed), y);
    b->experts = NULL;
    return ok;
}

/* All kinds, each brought back to the items by combine (with gates) or collect, and summed. */
static bool build_experts(struct builder *b, const struct spec_layer *l, struct moe *m,
                          struct tensor x, struct value *gates, struct tensor *y)
{
    for (size_t i = 0, first = 0; i < l->moe->nkinds;
         first += (size_t)l->moe->kinds[i].count, i++) {
        struct tensor out;
        if (!build_kind(b, l, i, (int)first, m, x, &out))
            return false;
        struct node *back = layer_node(b, gates ? &op_combine : &op_collect, l, out);
        back->moe = m;
        back->experts = out.v->experts;
        if (gates)
            node_input(back, gates);
        node_input(back, m->decisions);
        struct tensor part = tensor_like(x, node_output(b->g, back, x.v->rows, x.v->cols, NULL));
        if (i == 0)
            *y = part;
        else if (!build_join(b, op_joining(LAYER_SUM), l, l->loc, y, part))
            return false;
    }
    return true;
}

static void add_decisions(struct builder *b, struct node *n, struct moe *m)
{
    m->decisions = node_output(b->g, n, m->tokens, m->top_k, NULL);
    m->decisions->raw = true;
}

static bool build_chosen(struct builder *b, const struct spec_layer *l, struct tensor x,
                         struct tensor logits, struct tensor *y)
{
    struct moe *m = new_moe(b, l->moe, x.v->rows);
    if (!check_size(b, l, m))
        return false;
    struct node *route = layer_node(b, &op_route, l, logits);
    route->moe = m;
    node_output(b->g, route, m->tokens, m->experts, NULL);
    struct value *gates = node_output(b->g, route, m->tokens, m->top_k, NULL);
    add_decisions(b, route, m);
    if (m->bias_rate > 0) {
        const char *prefix = b->prefix;
        int64_t count = m->experts;
        b->prefix = join_names(b->g->arena, prefix, "router");
        route->weight = m->bias = layer_param(b, l, "balance_bias", 1, &count, INIT_ZERO, 0);
        b->prefix = prefix;
        m->bias->learned = false;
        m->bias->lr_factor = 0;
    }
    if (m->span > 1)
        gates = plain(b, &op_repeat, l, tensor_tokens(gates), m->span, m->top_k).v;
    return build_experts(b, l, m, x, gates, y);
}

static bool build_soft(struct builder *b, const struct spec_layer *l, struct tensor x,
                       struct tensor logits, struct tensor *y)
{
    int64_t tokens = x.v->rows, slots = logits.v->cols;
    struct moe *m = new_moe(b, l->moe, tokens);
    if (!check_size(b, l, m))
        return false;
    struct tensor over_tokens =
        plain(b, &op_softmax, l, plain(b, &op_transpose, l, logits, slots, tokens), slots, tokens);
    struct tensor mixed = build_product(b, l, over_tokens, x), out;
    struct node *n = graph_node(b->g, &op_slots, b->title, l->loc);
    n->moe = m;
    add_decisions(b, n, m);
    if (!build_experts(b, l, m, mixed, NULL, &out))
        return false;
    struct tensor over_slots = plain(b, &op_softmax, l, logits, tokens, slots);
    *y = tensor_like(x, build_product(b, l, over_slots, out).v);
    return true;
}

bool build_moe(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    struct tensor logits, shared;
    if (!check_moe(b, l, x) || !build_router(b, l, x, &logits))
        return false;
    if (!(l->moe->choice == CHOICE_SOFT ? build_soft : build_chosen)(b, l, x, logits, y))
        return false;
    if (!l->moe->shared)
        return true;
    if (!build_body(b, l->kids[l->nkids - 1], x, &shared))
        return false;
    return build_join(b, op_joining(LAYER_SUM), l, l->loc, y, shared);
}
