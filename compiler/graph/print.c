/* The graph as text (--emit graph), and its verifier. */
#include "config.h"

#include <inttypes.h>

#include "compiler/graph/graph.h"

static void print_value(const struct value *v, FILE *out)
{
    fprintf(out, "%%%d:%" PRId64 "x%" PRId64 "%s", v->id, v->rows, v->cols,
            v->raw       ? "!"
            : v->experts ? "*"
                         : "");
}

static void print_attributes(const struct node *n, FILE *out)
{
    if (n->kernel)
        fprintf(out, " kernel=%d stride=%d padding=%d in=%dx%d out=%dx%d", n->kernel, n->stride,
                n->padding, n->height, n->width, n->out_height, n->out_width);
    if (n->groups)
        fprintf(out, " groups=%d", n->groups);
    if (n->index)
        fprintf(out, " index=%d", n->index);
    if (n->eps > 0)
        fprintf(out, " eps=%g", n->eps);
    if (n->rate > 0)
        fprintf(out, " rate=%g", n->rate);
    const struct moe *m = n->experts ? n->experts->moe : n->moe;
    if (m)
        fprintf(out, " moe=%d", m->id);
    if (n->experts && n->experts->count < m->experts)
        fprintf(out, " experts=%d..%d", n->experts->first,
                n->experts->first + n->experts->count - 1);
    if (n->weight)
        fprintf(out, " w=%s", n->weight->name);
    if (n->bias)
        fprintf(out, " b=%s", n->bias->name);
}

static void print_node(const struct node *n, FILE *out)
{
    for (int i = 0; i < n->nout; i++) {
        fputs(i ? ", " : "", out);
        print_value(n->out[i], out);
    }
    fprintf(out, "%s%s(", n->nout ? " = " : "", node_op_name(n->op));
    for (int i = 0; i < n->nin; i++)
        fprintf(out, "%s%%%d", i ? ", " : "", n->in[i]->id);
    fputs(")", out);
    print_attributes(n, out);
    fprintf(out, "    # %s\n", n->name);
}

void graph_print(const struct graph *g, FILE *out)
{
    fprintf(out, "graph %s: values are rows x cols of one picture, * routed, ! decisions\n",
            g->training ? "train" : "eval");
    for (size_t i = 0; i < g->nparams; i++) {
        const struct param *p = g->params[i];
        fprintf(out, "param %s (", p->name);
        for (int j = 0; j < p->rank; j++)
            fprintf(out, "%s%" PRId64, j ? "," : "", p->shape[j]);
        fprintf(out, ")%s\n", p->decays ? " decays" : "");
    }
    for (size_t i = 0; i < g->nmoes; i++) {
        const struct moe *m = g->moes[i];
        fprintf(out,
                "moe %d %s: choice=%s experts=%d top_k=%d tokens=%" PRId64 " span=%" PRId64
                " rows=%" PRId64 " group=%d "
                "capacity=%g/%g noise=%g importance=%g load=%g switch=%g z=%g bias=%g\n",
                m->id, m->name, moe_choice_words[m->choice], m->experts, m->top_k, m->tokens,
                m->span, m->rows, m->group, m->capacity, m->eval_capacity, m->noise, m->importance,
                m->load, m->switch_loss, m->z_loss, m->bias_rate);
    }
    fputs("input ", out);
    print_value(g->input, out);
    fputs("\n", out);
    for (size_t i = 0; i < g->nnodes; i++) {
        if (i == g->nforward)
            fputs("backward\n", out);
        print_node(g->nodes[i], out);
    }
    fprintf(out, "logits %%%d, features %%%d\n", g->logits->id, g->features->id);
}

/* Every value is made once, before it is used; sizes are positive; shapes of elementwise nodes
 * agree. */
static bool node_ok(const struct graph *g, const struct node *n, FILE *out)
{
    for (int i = 0; i < n->nin; i++) {
        const struct value *v = n->in[i];
        if (v->from ? v->from->id >= n->id : v != g->input && v != g->target) {
            fprintf(out, "node %d (%s): input %d is not made before\n", n->id, n->name, i);
            return false;
        }
    }
    for (int i = 0; i < n->nout; i++)
        if (n->out[i]->from != n || n->out[i]->rows < 1 || n->out[i]->cols < 1) {
            fprintf(out, "node %d (%s): output %d is wrong\n", n->id, n->name, i);
            return false;
        }
    if ((n->op == NODE_add || n->op == NODE_mul) &&
        (n->nin != 2 || n->in[0]->rows != n->in[1]->rows || n->in[0]->cols != n->in[1]->cols ||
         n->in[0]->experts != n->in[1]->experts)) {
        fprintf(out, "node %d (%s): the two inputs differ in shape\n", n->id, n->name);
        return false;
    }
    return true;
}

bool graph_verify(const struct graph *g, FILE *out)
{
    for (size_t i = 0; i < g->nnodes; i++)
        if (!node_ok(g, g->nodes[i], out))
            return false;
    return g->logits && g->features;
}
