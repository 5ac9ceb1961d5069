/* Forward graph -> training graph: one rule for each node that has a gradient, applied in reverse
 * order. Rules belong to primitive nodes; what the language composes needs none.
 *
 * What backward nodes read stays in memory until then, or is made again: cheap row-wise results
 * (activations, norms, gathered tokens) where they are read, since the plan fuses the second making
 * into the kernels that read it; whole blocks in front of their backward nodes. */
#include "config.h"

#include <assert.h>

#include "compiler/graph/differ.h"
#include "compiler/ops/op.h"
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
bool grad_learns(const struct node *n)
{
    return (n->weight && n->weight->lr_factor > 0) || (n->bias && n->bias->lr_factor > 0);
}

bool grad_wants(const struct differ *d, const struct value *v)
{
    return (size_t)v->id < d->nvalues && d->wanted[v->id];
}

struct node *grad_node(struct differ *d, const struct op *op, const struct node *of)
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

struct value *grad_like(struct differ *d, struct node *n, const struct value *v)
{
    return node_output(d->g, n, v->rows, v->cols, v->experts);
}

struct value *grad_output(struct differ *d, struct node *n, int64_t rows, int64_t cols)
{
    return node_output(d->g, n, rows, cols, NULL);
}

void grad_set_facts(struct differ *d, struct node *n, const void *facts, size_t size)
{
    node_set_facts(d->g, n, facts, size);
}

void grad_add_to(struct differ *d, struct value *v, struct value *dv)
{
    if (!grad_wants(d, v))
        return;
    if (!d->grad[v->id]) {
        d->grad[v->id] = dv;
        return;
    }
    struct node *n = grad_node(d, op_joining(LAYER_SUM), v->from);
    n->weight = n->bias = NULL;
    n->moe = NULL;
    n->facts = NULL;
    n->experts = v->experts;
    node_input(n, d->grad[v->id]);
    node_input(n, dv);
    d->grad[v->id] = grad_like(d, n, v);
}

static bool is_made_again(const struct differ *d, const struct value *v)
{
    const struct node *n = v->from;
    if (!n || d->g->recompute == RECOMPUTE_NONE || d->kept[v->id])
        return false;
    return (d->g->recompute == RECOMPUTE_BLOCK && n->block >= 0) ||
           (n->op->again == AGAIN_CHEAP && v == n->out[0]);
}

struct value *grad_again(struct differ *d, struct value *v)
{
    if (!is_made_again(d, v))
        return v;
    if (d->again[v->id])
        return d->again[v->id];
    const struct node *of = v->from;
    struct value *in[NODE_IN];
    for (int i = 0; i < of->nin; i++)
        in[i] = grad_again(d, of->in[i]);
    struct node *n = grad_node(d, of->op, of);
    n->again = true;
    for (int i = 0; i < of->nin; i++)
        node_input(n, in[i]);
    for (int i = 0; i < of->nout; i++)
        d->again[of->out[i]->id] = grad_like(d, n, of->out[i]);
    return d->again[v->id];
}

struct node *grad_through(struct differ *d, const struct op *op, struct node *of, struct value *dy,
                          struct value *saved1, struct value *saved2)
{
    saved1 = saved1 ? grad_again(d, saved1) : NULL;
    saved2 = saved2 ? grad_again(d, saved2) : NULL;
    struct node *n = grad_node(d, op, of);
    node_input(n, dy);
    if (saved1)
        node_input(n, saved1);
    if (saved2)
        node_input(n, saved2);
    grad_add_to(d, of->in[0], grad_like(d, n, of->in[0]));
    return n;
}

void grad_itself(struct differ *d, struct node *n, struct value *dy)
{
    grad_through(d, n->op, n, dy, NULL, NULL);
}

/* A value wants a gradient if a param stands before it. */
static void mark_wanted(struct differ *d)
{
    for (size_t i = 0; i < d->g->nforward; i++) {
        const struct node *n = d->g->nodes[i];
        bool w = grad_learns(n);
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
        bool decided = n->op->again == AGAIN_NEVER;
        for (int j = 0; j < n->nin; j++) {
            int block = n->in[j]->from ? n->in[j]->from->block : -1;
            d->kept[n->in[j]->id] |=
                decided || (d->g->recompute == RECOMPUTE_BLOCK && block >= 0 && block != n->block);
        }
        for (int j = 0; j < n->nout; j++)
            d->kept[n->out[j]->id] |= decided;
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
    struct value *y = n->nout ? n->out[n->op->grad_output] : NULL;
    if (y && n->op->differentiate && d->grad[y->id] && d->wanted[y->id])
        n->op->differentiate(d, n, d->grad[y->id]);
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
    assert(loss->op->loss);
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
