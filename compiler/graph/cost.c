/* Parameters and multiply-accumulates, as the field counts them: products of matrices, convolutions
 * and attention; norms, activations and biases are not counted. */
#include "config.h"

#include <math.h>

#include "compiler/graph/graph.h"
#include "compiler/ops/op.h"

int64_t graph_rows(const struct value *v)
{
    if (!v->experts)
        return v->rows;
    const struct moe *m = v->experts->moe;
    double all = m->choice == CHOICE_EXPERT ? m->active * (double)m->tokens : (double)m->rows;
    return llround(all * v->experts->count / m->experts);
}

int64_t graph_node_macs(const struct node *n)
{
    return n->op->macs ? n->op->macs(n) : 0;
}

/* Experts of this kind that a token meets, on average. */
static double active_of(const struct graph *g, const struct param *p)
{
    for (size_t i = 0; i < g->nforward; i++)
        if (g->nodes[i]->weight == p || g->nodes[i]->bias == p) {
            const struct experts *x = g->nodes[i]->experts;
            return x->moe->active * x->count / x->moe->experts;
        }
    return 0;
}

struct cost graph_cost(const struct graph *g)
{
    struct cost c = {0};
    for (size_t i = 0; i < g->nparams; i++) {
        const struct param *p = g->params[i];
        if (!p->learned)
            continue;
        c.params_total += p->count;
        c.params_active +=
            p->experts ? llround((double)p->count / p->experts * active_of(g, p)) : p->count;
    }
    for (size_t i = 0; i < g->nforward; i++)
        c.macs += graph_node_macs(g->nodes[i]);
    return c;
}
