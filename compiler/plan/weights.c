/* Weights: their places in the regions, the packed copies that the kernels read, and the functions
 * that pack them. Params with the same decay and learning-rate factor lie together, so that the
 * update is a few long launches. */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include "compiler/plan/launch.h"
#include "lang/base/arena.h"

double param_decay(const struct param *p)
{
    return !p->decays ? 0 : isnan(p->weight_decay) ? -1 : p->weight_decay;
}

static int by_treatment(const void *a, const void *b)
{
    const struct param *x = *(struct param *const *)a, *y = *(struct param *const *)b;
    double dx = param_decay(x), dy = param_decay(y);
    if (dx != dy)
        return dx < dy ? -1 : 1;
    if (x->lr_factor != y->lr_factor)
        return x->lr_factor < y->lr_factor ? -1 : 1;
    return x->id - y->id;
}

struct param **params_in_order(struct plan *p)
{
    struct param **order = arena_array(p->arena, p->train->nparams + 1, sizeof *order);
    for (size_t i = 0; i < p->train->nparams; i++)
        order[i] = p->train->params[i];
    qsort(order, p->train->nparams, sizeof *order, by_treatment);
    return order;
}

static int64_t align(int64_t v)
{
    return (v + 63) / 64 * 64;
}

/* The weight of a linear or conv node as a product: for dx is the transpose needed as well. */
static bool multiplies(const struct node *n, enum node_op linear, enum node_op conv)
{
    return n->op == linear || n->op == conv;
}

static bool depthwise(const struct node *n)
{
    return n->groups > 1 && n->weight->shape[0] == n->groups && n->weight->shape[1] == 1 &&
           n->kernel > 0;
}

struct factor {
    int64_t rows, taps, in, groups, experts;
}; /* w (experts, groups * rows, in, taps) */

static struct factor factor_of(const struct node *n)
{
    const struct param *w = n->weight;
    int at = w->experts ? 1 : 0;
    int64_t groups = n->kernel ? n->groups : 1;
    return (struct factor){w->shape[at] / groups, n->kernel ? (int64_t)n->kernel * n->kernel : 1,
                           w->shape[at + 1], groups, w->experts ? w->experts : 1};
}

static void place_packed(struct plan *p, const struct node *n, bool transposed, int64_t *top)
{
    struct placed_param *q = &p->params[n->weight->id];
    int64_t *at = transposed ? &q->packed_t : &q->packed;
    struct factor f = factor_of(n);
    int64_t K = f.taps * f.in, bytes;
    if (*at >= 0 || (transposed && depthwise(n)))
        return;
    if (depthwise(n))
        bytes = (n->weight->shape[0] + p->vector - 1) / p->vector * p->vector * K * 4;
    else
        bytes = f.groups * (transposed ? plan_packed_bytes(p->vector, K, f.rows)
                                       : plan_packed_bytes(p->vector, f.rows, K));
    *(transposed ? &q->packed_t_slice : &q->packed_slice) = bytes;
    *at = *top;
    *top += align(bytes * f.experts);
}

void place_params(struct plan *p)
{
    const struct graph *g = p->train;
    struct param **order = params_in_order(p);
    p->params = arena_array(p->arena, g->nparams + 1, sizeof *p->params);
    for (size_t i = 0; i < g->nparams; i++) {
        struct placed_param *q = &p->params[order[i]->id];
        q->packed = q->packed_t = -1;
        q->offset = p->params_bytes;
        p->params_bytes += align(order[i]->count * 4);
    }
    int64_t top = 0;
    for (size_t i = 0; i < g->nforward; i++)
        if (multiplies(g->nodes[i], NODE_linear, NODE_conv))
            place_packed(p, g->nodes[i], false, &top);
    p->packed_eval_bytes = top;
    for (size_t i = g->nforward; i < g->nnodes; i++)
        if (multiplies(g->nodes[i], NODE_linear_dx, NODE_conv_dx))
            place_packed(p, g->nodes[i], true, &top);
    p->packed_train_bytes = top;
    for (size_t i = 0; i < g->nmoes; i++) {
        p->balance_bytes = g->moes[i]->balance_offset + moe_balance_bytes(g->moes[i]);
        p->choices = g->moes[i]->choices_offset + g->moes[i]->experts;
    }
}

/* -- packing -- */

static void add_packing(struct plan *p, struct function *f, const struct node *n, bool transposed)
{
    const struct placed_param *q = &p->params[n->weight->id];
    struct factor w = factor_of(n);
    int64_t K = w.taps * w.in;
    bool single = depthwise(n);
    int64_t groups = single ? 1 : w.groups, rows = single ? n->weight->shape[0] : w.rows;
    int64_t width = transposed ? K : rows, depth = transposed ? rows : K;
    int64_t panel = single ? p->vector : plan_panel(p->vector, width);
    for (int64_t g = 0; g < groups; g++) {
        struct launch *l = new_launch(p->arena, f, DOMAIN_PARTS, n->weight->name);
        struct call *c =
            add_call(p->arena, l, transposed ? KERNEL_pack_t : KERNEL_pack, n->weight->name);
        l->parts = (width + panel - 1) / panel * w.experts;
        call_operand(c, operand_region(SPACE_PACKED,
                                       (transposed ? q->packed_t : q->packed) +
                                           g * plan_packed_bytes(p->vector, width, depth),
                                       0, panel * depth * 4));
        call_operand(c, operand_region(SPACE_PARAMS, q->offset + g * rows * K * 4, 0, 0));
        call_size(c, rows);
        call_size(c, w.taps);
        call_size(c, w.in);
        call_size(c, panel);
    }
}

static void pack_nodes(struct plan *p, struct function *f, bool transposed)
{
    const struct graph *g = p->train;
    bool *done = arena_array(p->arena, g->nparams + 1, sizeof *done);
    for (size_t i = 0; i < g->nnodes; i++) {
        const struct node *n = g->nodes[i];
        if (!(transposed ? multiplies(n, NODE_linear_dx, NODE_conv_dx)
                         : multiplies(n, NODE_linear, NODE_conv)))
            continue;
        if (done[n->weight->id] || (transposed && depthwise(n)))
            continue;
        done[n->weight->id] = true;
        add_packing(p, f, n, transposed);
    }
}

void plan_packing(struct plan *p)
{
    pack_nodes(p, &p->pack_eval, false);
    pack_nodes(p, &p->pack_train, false);
    pack_nodes(p, &p->pack_train, true);
}
