/* The graph as text (--emit graph), and its verifier. */
#include "config.h"

#include <inttypes.h>

#include "compiler/graph/graph.h"
#include "compiler/ops/op.h"

static void print_value(const struct value *v, FILE *out)
{
    fprintf(out, "%%%d:%" PRId64 "x%" PRId64 "%s", v->id, v->rows, v->cols,
            v->raw       ? "!"
            : v->experts ? "*"
                         : "");
}

static void print_attributes(const struct node *n, FILE *out)
{
    if (n->op->print)
        n->op->print(n, out);
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
    fprintf(out, "%s%s(", n->nout ? " = " : "", n->op->name);
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

/* Every value is made once, before it is used; sizes are positive; the operation's room says
 * whether shapes and params are such as it works on. */
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
    bool counted = n->nin == n->op->inputs && n->nout == n->op->outputs;
    const char *wrong = counted ? n->op->wrong(n) : "the number of inputs or outputs is wrong";
    if (wrong)
        fprintf(out, "node %d (%s, %s): %s\n", n->id, n->op->name, n->name, wrong);
    return !wrong;
}

bool graph_verify(const struct graph *g, FILE *out)
{
    for (size_t i = 0; i < g->nnodes; i++)
        if (!node_ok(g, g->nodes[i], out))
            return false;
    return g->logits && g->features;
}
