/* The form itself: construction of values, nodes and params. */
#include "config.h"

#include "compiler/graph/graph.h"

#include <assert.h>
#include <math.h>

#include "compiler/ops/op.h"
#include "lang/base/arena.h"
#include "lang/lang.h"

const char *const recompute_words[] = {
    [RECOMPUTE_NONE] = "none", [RECOMPUTE_CHEAP] = "cheap", [RECOMPUTE_BLOCK] = "block"};

const struct lang_op *graph_layers(struct arena *a, size_t *n)
{
    struct lang_op *list = arena_array(a, LAYER_COUNT, sizeof *list);
    *n = LAYER_COUNT;
    for (size_t i = 0; i < *n; i++) {
        const struct layer *l = layer_table[i];
        list[i] = (struct lang_op){l->name, l->signature, l->mixes == MIXES_NOTHING, l->doc};
    }
    return list;
}

struct value *graph_value(struct graph *g, int64_t rows, int64_t cols, struct experts *experts)
{
    struct value *v = arena_alloc(g->arena, sizeof *v);
    v->id = (int)g->nvalues;
    v->rows = rows;
    v->cols = cols;
    v->experts = experts;
    *ARENA_PUSH(g->arena, g->values, g->nvalues, g->cap_values) = v;
    return v;
}

struct node *graph_node(struct graph *g, const struct op *op, const char *name, struct loc loc)
{
    struct node *n = arena_alloc(g->arena, sizeof *n);
    n->id = (int)g->nnodes;
    n->op = op;
    n->block = -1;
    n->name = name;
    n->loc = loc;
    *ARENA_PUSH(g->arena, g->nodes, g->nnodes, g->cap_nodes) = n;
    return n;
}

void node_input(struct node *n, struct value *v)
{
    assert(n->nin < NODE_IN);
    n->in[n->nin++] = v;
}

struct value *node_output(struct graph *g, struct node *n, int64_t rows, int64_t cols,
                          struct experts *experts)
{
    assert(n->nout < NODE_OUT);
    struct value *v = graph_value(g, rows, cols, experts);
    v->from = n;
    v->name = n->name;
    n->out[n->nout++] = v;
    return v;
}

struct param *graph_param(struct graph *g, const char *name, int experts, int rank,
                          const int64_t *shape)
{
    struct param *p = arena_alloc(g->arena, sizeof *p);
    p->id = (int)g->nparams;
    p->name = name;
    p->experts = experts;
    p->count = 1;
    if (experts)
        p->shape[p->rank++] = experts;
    for (int i = 0; i < rank; i++)
        p->shape[p->rank++] = shape[i];
    for (int i = 0; i < p->rank; i++)
        p->count *= p->shape[i];
    p->learned = true;
    p->decays = rank > 1;
    p->weight_decay = NAN;
    p->lr_factor = 1;
    *ARENA_PUSH(g->arena, g->params, g->nparams, g->cap_params) = p;
    return p;
}

void node_set_facts(struct graph *g, struct node *n, const void *facts, size_t size)
{
    n->facts = arena_copy(g->arena, facts, size);
    n->facts_size = size;
}

const void *node_facts(const struct node *n, size_t size)
{
    assert(n->facts && n->facts_size == size);
    return n->facts;
}

bool moe_has_losses(const struct moe *m)
{
    return m->importance > 0 || m->load > 0 || m->switch_loss > 0 || m->z_loss > 0;
}

/* Choices made, choices dropped, items, choices made since the last update, and the sum of the
 * entropies. */
int64_t moe_balance_bytes(const struct moe *m)
{
    return 4 * (3 * (int64_t)m->experts + 2);
}

int64_t moe_capacity(const struct moe *m, bool training, int64_t tokens)
{
    double f = training ? m->capacity : m->eval_capacity;
    if (f <= 0)
        return 0;
    int k = m->choice == CHOICE_TOKEN ? m->top_k : 1;
    /* The small number keeps ceil(64 * 1.1 ..) from climbing over an integer by a rounding
     * error. */
    double c = ceil((double)tokens * k * f / m->experts - 1e-9);
    return c<1 ? 1 : c>(double) tokens ? tokens : (int64_t)c;
}
