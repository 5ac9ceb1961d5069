/* Graph -> launches: each node by the rule of its operation, in order. */
#include "config.h"

#include "compiler/plan/launch.h"

#include "compiler/ops/op.h"
#include "lang/base/arena.h"

static void place_value(struct lowering *lo, const struct value *v, enum space space)
{
    lo->of_value[v->id]->space = space;
    lo->of_value[v->id]->keep = true;
}

static void make_buffers(struct lowering *lo)
{
    const struct graph *g = lo->g;
    lo->of_value = arena_array(lo->plan->arena, g->nvalues, sizeof *lo->of_value);
    for (size_t i = 0; i < g->nvalues; i++) {
        const struct value *v = g->values[i];
        lo->of_value[i] =
            v->raw ? new_buffer(lo, v->name, plan_decisions(v->from->moe, g->micro).bytes, 0)
                   : row_buffer(lo, v->name, v->rows, v->cols);
        lo->of_value[i]->keep = v->raw;
        lo->of_value[i]->value = v;
    }
    place_value(lo, g->input, SPACE_INPUT);
    if (g->features->from)
        place_value(lo, g->features, SPACE_FEATURES);
    if (g->logits != g->features)
        place_value(lo, g->logits, SPACE_OUTPUT);
    if (g->target)
        place_value(lo, g->target, SPACE_TARGET);
}

/* A network whose features are its input or its logits: they must stand in both places. */
static void copy_features(struct lowering *lo)
{
    const struct graph *g = lo->g;
    if (g->features->from && g->features != g->logits)
        return;
    struct launch *l = new_launch(lo->plan->arena, lo->f, DOMAIN_ROWS, "features");
    struct call *c = add_call(lo->plan->arena, l, KERNEL_copy, "features");
    struct operand to =
        operand_region(g->features == g->logits ? SPACE_OUTPUT : SPACE_FEATURES, 0, 0, 0);
    to.s0 = g->features->cols * 4;
    c->operand.copy.y = to;
    c->operand.copy.x = operand_rows(lo, g->features);
    int64_t cols = g->features->cols;
    c->size.copy = (struct copy_sizes){.n = cols, .ldy = cols, .ldx = cols};
}

void lower_graph(struct lowering *lo)
{
    const struct graph *g = lo->g;
    make_buffers(lo);
    for (size_t i = 0; i < g->nnodes; i++) {
        if (i == g->nforward) {
            close_launch(lo);
            lo->plan->train_forward = lo->f->n;
        }
        if (!lo->fuse)
            close_launch(lo);
        g->nodes[i]->op->lower(lo, g->nodes[i]);
    }
    close_launch(lo);
    copy_features(lo);
}
