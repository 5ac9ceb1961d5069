/* Weights: their places in the regions, the packed copies that the kernels read, and the functions
 * that pack them. Params with the same decay and learning-rate factor lie together, so that the
 * update is a few long launches. */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include "compiler/plan/launch.h"
#include "compiler/ops/op.h"
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

/* The nodes that read a weight packed, as it is or transposed. */
static bool packs(const struct node *n, bool transposed)
{
    return n->op->factor && n->op->transposed == transposed;
}

static void place_packed(struct plan *p, const struct node *n, bool transposed, int64_t *top)
{
    struct placed_param *q = &p->params[n->weight->id];
    int64_t *at = transposed ? &q->packed_t : &q->packed;
    struct factor f = n->op->factor(n);
    int64_t K = f.taps * f.in, bytes;
    if (*at >= 0 || (transposed && f.single))
        return;
    if (f.single)
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
        if (packs(g->nodes[i], false))
            place_packed(p, g->nodes[i], false, &top);
    p->packed_eval_bytes = top;
    for (size_t i = g->nforward; i < g->nnodes; i++)
        if (packs(g->nodes[i], true))
            place_packed(p, g->nodes[i], true, &top);
    p->packed_train_bytes = top;
    for (size_t i = 0; i < g->nmoes; i++) {
        p->balance_bytes = g->moes[i]->balance_offset + moe_balance_bytes(g->moes[i]);
        p->choices = g->moes[i]->choices_offset + g->moes[i]->experts;
    }
}

/* -- packing -- */

static void add_pack(struct plan *p, struct launch *l, bool transposed, struct operand to,
                     struct operand from, struct pack_sizes s)
{
    struct call *c = add_call(p->arena, l, transposed ? KERNEL_pack_t : KERNEL_pack, l->name);
    if (transposed) {
        c->operand.pack_t = (struct pack_t_operands){.b = to, .w = from};
        c->size.pack_t =
            (struct pack_t_sizes){.K = s.N, .taps = s.taps, .I = s.I, .panel = s.panel};
    } else {
        c->operand.pack = (struct pack_operands){.b = to, .w = from};
        c->size.pack = s;
    }
}

static void add_packing(struct plan *p, struct function *f, const struct node *n, bool transposed)
{
    const struct placed_param *q = &p->params[n->weight->id];
    struct factor w = n->op->factor(n);
    int64_t K = w.taps * w.in;
    bool single = w.single;
    int64_t groups = single ? 1 : w.groups, rows = single ? n->weight->shape[0] : w.rows;
    int64_t width = transposed ? K : rows, depth = transposed ? rows : K;
    int64_t panel = single ? p->vector : plan_panel(p->vector, width);
    for (int64_t g = 0; g < groups; g++) {
        struct launch *l = new_launch(p->arena, f, DOMAIN_PARTS, n->weight->name);
        l->parts = (width + panel - 1) / panel * w.experts;
        int64_t packed =
            (transposed ? q->packed_t : q->packed) + g * plan_packed_bytes(p->vector, width, depth);
        struct operand to = operand_region(SPACE_PACKED, packed, 0, float_bytes(panel * depth));
        struct operand from =
            operand_region(SPACE_PARAMS, q->offset + float_bytes(g * rows * K), 0, 0);
        add_pack(p, l, transposed, to, from, (struct pack_sizes){rows, w.taps, w.in, panel});
    }
}

static void pack_nodes(struct plan *p, struct function *f, bool transposed)
{
    const struct graph *g = p->train;
    bool *done = arena_array(p->arena, g->nparams + 1, sizeof *done);
    for (size_t i = 0; i < g->nnodes; i++) {
        const struct node *n = g->nodes[i];
        if (!packs(n, transposed) || done[n->weight->id])
            continue;
        if (transposed && n->op->factor(n).single)
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
