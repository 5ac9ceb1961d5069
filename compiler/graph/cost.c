/* Parameters and multiply-accumulates, as the field counts them: products of matrices, convolutions and attention; norms, activations
 * and biases are not counted. */
#include "config.h"

#include "compiler/graph/graph.h"

int64_t graph_node_macs(const struct node *n)
{
    const struct value *x = n->nin ? n->in[0] : NULL;
    switch (n->op) {
    case NODE_linear:
        return x->rows * x->cols * n->out[0]->cols;
    case NODE_conv:
        return n->out[0]->rows * n->out[0]->cols * (x->cols / n->groups) * n->kernel * n->kernel;
    case NODE_attention:
        return 2 * x->rows * x->rows * (x->cols / 3);
    default:
        return 0;
    }
}

static int top_k_of(const struct graph *g, const struct param *p)
{
    for (size_t i = 0; i < g->nforward; i++)
        if (g->nodes[i]->weight == p || g->nodes[i]->bias == p)
            return g->nodes[i]->experts->moe->top_k;
    return 0;
}

struct cost graph_cost(const struct graph *g)
{
    struct cost c = {0};
    for (size_t i = 0; i < g->nparams; i++) {
        const struct param *p = g->params[i];
        c.params_total += p->count;
        c.params_active += p->experts ? p->count / p->experts * top_k_of(g, p) : p->count;
    }
    for (size_t i = 0; i < g->nforward; i++)
        c.macs += graph_node_macs(g->nodes[i]);
    return c;
}
