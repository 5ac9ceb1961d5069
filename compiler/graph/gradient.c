/* Forward graph -> training graph: one rule for each node that has a gradient, applied in reverse
 * order. Rules belong to primitive nodes; what the language composes needs none.
 *
 * What backward nodes read stays in memory until then, or is made again: cheap row-wise results
 * (activations, norms, gathered tokens) where they are read, since the plan fuses the second making
 * into the kernels that read it; whole blocks in front of their backward nodes. */
#include "config.h"

#include <assert.h>

#include "compiler/graph/graph.h"
#include "lang/base/arena.h"

struct differ {
    struct graph *g;
    struct value **grad;  /* by value id: d loss / d value so far, or NULL */
    struct value **again; /* by value id: the value made again, or NULL */
    bool *wanted;         /* by value id: depends on a param that learns */
    bool *kept;           /* by value id: never made again */
    size_t nvalues;       /* of the forward graph */
};

/* A param whose learning rate is zero needs no gradient, and what lies below the lowest that learns
 * needs none either. */
static bool learns(const struct node *n)
{
    return (n->weight && n->weight->lr_factor > 0) || (n->bias && n->bias->lr_factor > 0);
}

static bool wants(const struct differ *d, const struct value *v)
{
    return (size_t)v->id < d->nvalues && d->wanted[v->id];
}

static struct node *backward_node(struct differ *d, enum node_op op, const struct node *of)
{
    struct node *n = graph_node(d->g, op, of->name, of->loc);
    int id = n->id;
    *n = *of;
    n->id = id;
    n->op = op;
    n->backward = true;
    n->nin = n->nout = 0;
    return n;
}

static struct value *value_like(struct differ *d, struct node *n, const struct value *v)
{
    return node_output(d->g, n, v->rows, v->cols, v->experts);
}

static void accumulate(struct differ *d, struct value *v, struct value *dv)
{
    if (!wants(d, v))
        return;
    if (!d->grad[v->id]) {
        d->grad[v->id] = dv;
        return;
    }
    struct node *n = backward_node(d, NODE_add, v->from);
    n->weight = n->bias = NULL;
    n->moe = NULL;
    n->experts = v->experts;
    node_input(n, d->grad[v->id]);
    node_input(n, dv);
    d->grad[v->id] = value_like(d, n, v);
}

static bool is_cheap(enum node_op op)
{
    return op == NODE_gelu || op == NODE_relu || op == NODE_silu || op == NODE_layernorm ||
           op == NODE_dispatch;
}

static bool is_made_again(const struct differ *d, const struct value *v)
{
    const struct node *n = v->from;
    if (!n || d->g->recompute == RECOMPUTE_NONE || d->kept[v->id])
        return false;
    return (d->g->recompute == RECOMPUTE_BLOCK && n->block >= 0) ||
           (is_cheap(n->op) && v == n->out[0]);
}

/* v as the backward pass reads it: kept in memory, or the same numbers computed a second time. */
static struct value *again(struct differ *d, struct value *v)
{
    if (!is_made_again(d, v))
        return v;
    if (d->again[v->id])
        return d->again[v->id];
    const struct node *of = v->from;
    struct value *in[NODE_IN];
    for (int i = 0; i < of->nin; i++)
        in[i] = again(d, of->in[i]);
    struct node *n = backward_node(d, of->op, of);
    n->again = true;
    for (int i = 0; i < of->nin; i++)
        node_input(n, in[i]);
    for (int i = 0; i < of->nout; i++)
        d->again[of->out[i]->id] = value_like(d, n, of->out[i]);
    return d->again[v->id];
}

/* A backward node with one gradient in and one out, which reads up to two forward values as
 * well. */
static struct node *one_to_one(struct differ *d, enum node_op op, struct node *of, struct value *dy,
                               struct value *saved1, struct value *saved2)
{
    saved1 = saved1 ? again(d, saved1) : NULL;
    saved2 = saved2 ? again(d, saved2) : NULL;
    struct node *n = backward_node(d, op, of);
    node_input(n, dy);
    if (saved1)
        node_input(n, saved1);
    if (saved2)
        node_input(n, saved2);
    accumulate(d, of->in[0], value_like(d, n, of->in[0]));
    return n;
}

typedef void grad_rule(struct differ *d, struct node *n, struct value *dy);

static void grad_linear(struct differ *d, struct node *n, struct value *dy)
{
    if (wants(d, n->in[0]))
        one_to_one(d, NODE_linear_dx, n, dy, NULL, NULL);
    if (!learns(n))
        return;
    struct value *x = again(d, n->in[0]);
    struct node *dw = backward_node(d, NODE_linear_dw, n);
    node_input(dw, dy);
    node_input(dw, x);
}

static void grad_cosine(struct differ *d, struct node *n, struct value *dy)
{
    one_to_one(d, NODE_cosine_dx, n, dy, n->in[0], n->out[0]);
}

static void grad_distance(struct differ *d, struct node *n, struct value *dy)
{
    one_to_one(d, NODE_distance_dx, n, dy, n->in[0], NULL);
}

static void grad_conv(struct differ *d, struct node *n, struct value *dy)
{
    if (wants(d, n->in[0]))
        one_to_one(d, NODE_conv_dx, n, dy, NULL, NULL);
    if (!learns(n))
        return;
    struct value *x = again(d, n->in[0]);
    struct node *dw = backward_node(d, NODE_conv_dw, n);
    node_input(dw, dy);
    node_input(dw, x);
}

static void grad_layernorm(struct differ *d, struct node *n, struct value *dy)
{
    one_to_one(d, NODE_layernorm_dx, n, dy, n->in[0], n->out[1]);
}

static void grad_gelu(struct differ *d, struct node *n, struct value *dy)
{
    one_to_one(d, NODE_gelu_dx, n, dy, n->in[0], NULL);
}

static void grad_relu(struct differ *d, struct node *n, struct value *dy)
{
    one_to_one(d, NODE_relu_dx, n, dy, n->in[0], NULL);
}

static void grad_silu(struct differ *d, struct node *n, struct value *dy)
{
    one_to_one(d, NODE_silu_dx, n, dy, n->in[0], NULL);
}

static void grad_softmax(struct differ *d, struct node *n, struct value *dy)
{
    one_to_one(d, NODE_softmax_dx, n, dy, n->out[0], NULL);
}

static void grad_gain(struct differ *d, struct node *n, struct value *dy)
{
    one_to_one(d, NODE_gain_dx, n, dy, n->in[0], NULL);
}

static void grad_scale(struct differ *d, struct node *n, struct value *dy)
{
    one_to_one(d, NODE_scale_dx, n, dy, n->in[0], NULL);
}

/* Linear in x, with the same mask: the gradient is the node itself. */
static void grad_same(struct differ *d, struct node *n, struct value *dy)
{
    one_to_one(d, n->op, n, dy, NULL, NULL);
}

static void grad_slice(struct differ *d, struct node *n, struct value *dy)
{
    one_to_one(d, NODE_slice_dx, n, dy, NULL, NULL);
}

static void grad_concat(struct differ *d, struct node *n, struct value *dy)
{
    for (int i = 0, from = 0; i < 2; from += (int)n->in[i]->cols, i++) {
        if (!wants(d, n->in[i]))
            continue;
        struct node *s = backward_node(d, NODE_slice, n);
        s->index = from;
        node_input(s, dy);
        accumulate(d, n->in[i], value_like(d, s, n->in[i]));
    }
}

static void grad_add(struct differ *d, struct node *n, struct value *dy)
{
    for (int i = 0; i < 2; i++)
        if (wants(d, n->in[i]))
            accumulate(d, n->in[i], dy);
}

static void grad_mul(struct differ *d, struct node *n, struct value *dy)
{
    for (int i = 0; i < 2; i++) {
        if (!wants(d, n->in[i]))
            continue;
        struct value *other = again(d, n->in[1 - i]);
        struct node *m = backward_node(d, NODE_mul, n);
        node_input(m, dy);
        node_input(m, other);
        accumulate(d, n->in[i], value_like(d, m, n->in[i]));
    }
}

static void grad_positions(struct differ *d, struct node *n, struct value *dy)
{
    if (learns(n))
        node_input(backward_node(d, NODE_positions_dw, n), dy);
    if (wants(d, n->in[0]))
        accumulate(d, n->in[0], dy);
}

static void grad_sincos(struct differ *d, struct node *n, struct value *dy)
{
    accumulate(d, n->in[0], dy);
}

static void grad_attention(struct differ *d, struct node *n, struct value *dy)
{
    struct value *lse = again(d, n->out[1]);
    struct node *m = one_to_one(d, NODE_attention_dx, n, dy, n->in[0], n->out[0]);
    node_input(m, lse);
}

static void grad_mean_pool(struct differ *d, struct node *n, struct value *dy)
{
    one_to_one(d, NODE_mean_pool_dx, n, dy, NULL, NULL);
}

static void grad_max_pool(struct differ *d, struct node *n, struct value *dy)
{
    one_to_one(d, NODE_max_pool_dx, n, dy, n->in[0], NULL);
}

static void grad_avg_pool(struct differ *d, struct node *n, struct value *dy)
{
    one_to_one(d, NODE_avg_pool_dx, n, dy, NULL, NULL);
}

static void grad_repeat(struct differ *d, struct node *n, struct value *dy)
{
    one_to_one(d, NODE_repeat_dx, n, dy, NULL, NULL);
}

static struct value *transposed(struct differ *d, struct node *of, struct value *v)
{
    v = again(d, v);
    struct node *n = backward_node(d, NODE_transpose, of);
    node_input(n, v);
    return node_output(d->g, n, v->cols, v->rows, NULL);
}

/* y = a b: da = dy b^T, db = a^T dy. */
static void grad_matmul(struct differ *d, struct node *n, struct value *dy)
{
    for (int i = 0; i < 2; i++) {
        if (!wants(d, n->in[i]))
            continue;
        struct value *left = i == 0 ? dy : transposed(d, n, n->in[0]),
                     *right = i == 0 ? transposed(d, n, n->in[1]) : dy;
        struct node *m = backward_node(d, NODE_matmul, n);
        node_input(m, left);
        node_input(m, right);
        accumulate(d, n->in[i], value_like(d, m, n->in[i]));
    }
}

static void grad_class_token(struct differ *d, struct node *n, struct value *dy)
{
    one_to_one(d, NODE_class_token_dx, n, dy, NULL, NULL);
}

static void grad_take_tokens(struct differ *d, struct node *n, struct value *dy)
{
    one_to_one(d, NODE_take_tokens_dx, n, dy, NULL, NULL);
}

static void grad_route(struct differ *d, struct node *n, struct value *dgates)
{
    struct node *m = one_to_one(d, NODE_route_dx, n, dgates, n->in[0], n->out[0]);
    m->weight = NULL;
    node_input(m, n->out[1]);
    node_input(m, n->out[2]);
}

static void grad_dispatch(struct differ *d, struct node *n, struct value *dy)
{
    if (wants(d, n->in[0]))
        one_to_one(d, NODE_collect, n, dy, n->in[1], NULL);
}

static void grad_collect(struct differ *d, struct node *n, struct value *dy)
{
    one_to_one(d, NODE_dispatch, n, dy, n->in[1], NULL);
}

static void grad_combine(struct differ *d, struct node *n, struct value *dy)
{
    struct value *x = again(d, n->in[0]);
    struct node *m = backward_node(d, NODE_combine_dgate, n);
    node_input(m, dy);
    node_input(m, x);
    node_input(m, n->in[2]);
    accumulate(d, n->in[1], value_like(d, m, n->in[1]));
    one_to_one(d, NODE_combine_dx, n, dy, n->in[1], n->in[2]);
}

static grad_rule *const rules[NODE_COUNT] = {
    [NODE_linear] = grad_linear,
    [NODE_conv] = grad_conv,
    [NODE_layernorm] = grad_layernorm,
    [NODE_cosine] = grad_cosine,
    [NODE_distance] = grad_distance,
    [NODE_softmax] = grad_softmax,
    [NODE_gain] = grad_gain,
    [NODE_matmul] = grad_matmul,
    [NODE_repeat] = grad_repeat,
    [NODE_gelu] = grad_gelu,
    [NODE_relu] = grad_relu,
    [NODE_silu] = grad_silu,
    [NODE_scale] = grad_scale,
    [NODE_drop_path] = grad_same,
    [NODE_dropout] = grad_same,
    [NODE_slice] = grad_slice,
    [NODE_concat] = grad_concat,
    [NODE_add] = grad_add,
    [NODE_mul] = grad_mul,
    [NODE_positions] = grad_positions,
    [NODE_sincos] = grad_sincos,
    [NODE_attention] = grad_attention,
    [NODE_mean_pool] = grad_mean_pool,
    [NODE_max_pool] = grad_max_pool,
    [NODE_avg_pool] = grad_avg_pool,
    [NODE_transpose] = grad_same,
    [NODE_class_token] = grad_class_token,
    [NODE_take_tokens] = grad_take_tokens,
    [NODE_route] = grad_route,
    [NODE_dispatch] = grad_dispatch,
    [NODE_combine] = grad_combine,
    [NODE_collect] = grad_collect,
};

/* A value wants a gradient if a param stands before it. The gradient of a route enters by its gates
 * (output 1). */
static void mark_wanted(struct differ *d)
{
    for (size_t i = 0; i < d->g->nforward; i++) {
        const struct node *n = d->g->nodes[i];
        bool w = learns(n);
        for (int j = 0; j < n->nin; j++)
            w |= d->wanted[n->in[j]->id];
        for (int j = 0; j < n->nout; j++)
            d->wanted[n->out[j]->id] = w && !n->out[j]->raw;
    }
}

/* Routing is decided once: what it reads and gives stays. So does what leaves a block that is made
 * again as a whole. */
static void mark_kept(struct differ *d)
{
    for (size_t i = 0; i < d->g->nforward; i++) {
        const struct node *n = d->g->nodes[i];
        bool routes = n->op == NODE_route || n->op == NODE_slots;
        for (int j = 0; j < n->nin; j++) {
            int block = n->in[j]->from ? n->in[j]->from->block : -1;
            d->kept[n->in[j]->id] |=
                routes || (d->g->recompute == RECOMPUTE_BLOCK && block >= 0 && block != n->block);
        }
        for (int j = 0; j < n->nout; j++)
            d->kept[n->out[j]->id] |= routes;
    }
}

/* Of the nodes from `first` on, which belong to one block, those that make values again go before
 * the others: the block's forward pass stands together, and what follows joins its last chain. */
static void gather_again(struct graph *g, size_t first)
{
    struct node **rest = arena_array(g->arena, g->nnodes - first + 1, sizeof *rest);
    size_t top = first, nrest = 0;
    for (size_t i = first; i < g->nnodes; i++)
        if (g->nodes[i]->again)
            g->nodes[top++] = g->nodes[i];
        else
            rest[nrest++] = g->nodes[i];
    for (size_t i = 0; i < nrest; i++)
        g->nodes[top++] = rest[i];
    for (size_t i = first; i < g->nnodes; i++)
        g->nodes[i]->id = (int)i;
}

static void differentiate_node(struct differ *d, struct node *n)
{
    struct value *y = n->nout ? n->out[n->op == NODE_route ? 1 : 0] : NULL;
    if (y && rules[n->op] && d->grad[y->id] && d->wanted[y->id])
        rules[n->op](d, n, d->grad[y->id]);
}

void graph_differentiate(struct graph *g, enum recompute level)
{
    struct differ d = {.g = g, .nvalues = g->nvalues};
    g->recompute = level;
    d.grad = arena_array(g->arena, g->nvalues, sizeof *d.grad);
    d.again = arena_array(g->arena, g->nvalues, sizeof *d.again);
    d.wanted = arena_array(g->arena, g->nvalues, sizeof *d.wanted);
    d.kept = arena_array(g->arena, g->nvalues, sizeof *d.kept);
    mark_wanted(&d);
    mark_kept(&d);
    const struct node *loss = g->nodes[g->nforward - 1];
    assert(node_is_loss(loss));
    d.grad[g->logits->id] = loss->out[1];
    for (size_t i = g->nforward, first = i; i-- > 0;) {
        differentiate_node(&d, g->nodes[i]);
        if (i && g->nodes[i]->block == g->nodes[i - 1]->block)
            continue;
        if (level == RECOMPUTE_BLOCK && g->nodes[i]->block >= 0)
            gather_again(g, first);
        first = g->nnodes;
    }
}
