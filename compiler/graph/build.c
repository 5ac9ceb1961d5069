/* Resolved spec -> graph: runs the parts of the model in order and expands what composes layers.
 * Names grow on the way down: `prefix` names tensors as the weights file does, `title` names nodes
 * as `info` prints them. */
#include "config.h"

#include "compiler/graph/build.h"

#include <math.h>
#include <string.h>

#include "compiler/ops/op.h"
#include "lang/base/arena.h"
#include "lang/base/diag.h"
#include "lang/base/text.h"
#include "lang/lang.h"

/* Several hundred blocks; what a plan of that size takes stays far below a second. */
#define NODE_LIMIT 4000

static bool build_sequence(struct builder *b, const struct spec_layer *l, struct tensor x,
                           struct tensor *y)
{
    for (size_t i = 0; i < l->nkids; i++)
        if (!build_layer(b, l->kids[i], x, &x))
            return false;
    *y = x;
    return true;
}

bool build_join(struct builder *b, const struct op *op, const struct spec_layer *l, struct loc at,
                struct tensor *x, struct tensor y)
{
    int64_t cols = op->joined(x->v, y.v);
    if (!cols) {
        diag_report(b->diag, DIAG_SHAPE_MISMATCH, at,
                    "this branch ends in %s, the ones before in %s", tensor_text(b, y),
                    tensor_text(b, *x));
        return false;
    }
    struct node *n = layer_node(b, op, l, *x);
    node_input(n, y.v);
    n->experts = x->v->experts;
    *x = tensor_like(*x, node_output(b->g, n, x->v->rows, cols, x->v->experts));
    return true;
}

static bool build_residual(struct builder *b, const struct spec_layer *l, struct tensor x,
                           struct tensor *y)
{
    struct tensor z;
    if (!build_sequence(b, l, x, &z))
        return false;
    if (x.v->rows != z.v->rows || x.v->cols != z.v->cols) {
        diag_report(b->diag, DIAG_SHAPE_MISMATCH, l->loc, "the residual's branch turns %s into %s",
                    tensor_text(b, x), tensor_text(b, z));
        diag_help(b->diag, "the branch must end in the shape it starts from");
        return false;
    }
    *y = x;
    return build_join(b, op_joining(LAYER_SUM), l, l->loc, y, z);
}

static bool build_branches(struct builder *b, const struct spec_layer *l, struct tensor x,
                           struct tensor *y)
{
    const struct op *op = op_joining(l->kind);
    *y = x;
    for (size_t i = 0; i < l->nkids; i++) {
        struct tensor z;
        if (!build_layer(b, l->kids[i], x, &z))
            return false;
        if (i == 0)
            *y = z;
        else if (!build_join(b, op, l, l->kids[i]->loc, y, z))
            return false;
    }
    return true;
}

bool build_layer(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    const char *prefix = b->prefix, *title = b->title;
    b->prefix = join_names(b->g->arena, prefix, l->label);
    b->title = join_names(b->g->arena, title, l->label);
    bool ok = false;
    switch (l->kind) {
    case LAYER_OP:       ok = layer_table[l->op]->build(b, l, x, y); break;
    case LAYER_SEQ:      ok = build_sequence(b, l, x, y); break;
    case LAYER_RESIDUAL: ok = build_residual(b, l, x, y); break;
    case LAYER_SUM:
    case LAYER_PRODUCT:
    case LAYER_CONCAT:   ok = build_branches(b, l, x, y); break;
    case LAYER_MOE:      ok = build_moe(b, l, x, y); break;
    }
    b->prefix = prefix;
    b->title = title;
    /* One picture's worth of any value, and all of them at once, must be countable with room to
     * spare. */
    if (ok && y->v->rows * y->v->cols > INT64_C(1) << 31) {
        diag_report(b->diag, DIAG_SHAPE_TOO_LARGE, l->loc, "the result, %s, is too large",
                    tensor_text(b, *y));
        return false;
    }
    if (ok && b->g->nnodes > NODE_LIMIT) {
        diag_report(b->diag, DIAG_TOO_LARGE, l->loc, "the network has more than %d operations",
                    NODE_LIMIT);
        return false;
    }
    return ok;
}

/* -- the whole model -- */

static bool glob(const char *pattern, const char *text)
{
    const char *star = NULL, *back = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            back = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++back;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

static void apply_groups(struct graph *g)
{
    for (size_t i = 0; i < g->nparams; i++)
        for (size_t j = 0; j < g->spec->ngroups; j++) {
            const struct spec_group *s = &g->spec->groups[j];
            if (!glob(s->match, g->params[i]->name))
                continue;
            if (g->params[i]->decays && !isnan(s->weight_decay))
                g->params[i]->weight_decay = s->weight_decay;
            g->params[i]->lr_factor *= s->lr_factor;
        }
}

static bool check_names(struct builder *b)
{
    struct map seen = {0};
    for (size_t i = 0; i < b->g->nparams; i++) {
        struct param *p = b->g->params[i];
        const struct param *before = map_get(&seen, p->name);
        if (!*p->name) {
            diag_report(b->diag, DIAG_LABEL_MISSING, p->loc,
                        "a layer with weights has no label to name them by");
            diag_help(b->diag, "write `name = layer(...)`");
            return false;
        }
        if (!strcmp(p->name, "__metadata__")) {
            diag_report(b->diag, DIAG_TENSOR_NAME, p->loc,
                        "a tensor cannot be called `%s`: files of weights keep their remarks "
                        "under this name",
                        p->name);
            return false;
        }
        if (before) {
            diag_report(b->diag, DIAG_TENSOR_NAME, p->loc, "two tensors would be called `%.200s`",
                        p->name);
            diag_note(b->diag, before->loc, "the other one is here");
            return false;
        }
        map_put(b->g->arena, &seen, p->name, p);
    }
    return true;
}

static void add_loss(struct graph *g, struct value *logits, struct loc loc)
{
    g->target = graph_value(g, 1, logits->cols, NULL);
    g->target->name = "target";
    struct node *n = graph_node(g, op_loss(spec_text(g->spec, KEY_train_loss)), "loss", loc);
    node_input(n, logits);
    node_input(n, g->target);
    node_output(g, n, 1, 1, NULL);
    node_output(g, n, 1, logits->cols, NULL);
}

/* The input of the last layer with weights, on the way back from the logits: what `predict
 * --features` prints. */
static struct value *find_features(const struct graph *g)
{
    struct value *v = g->logits;
    while (v->from && !v->from->weight && v->from->nin && v->from->in[0]->rows == 1)
        v = v->from->in[0];
    return v->from && v->from->weight && v->from->in[0]->rows == 1 && !v->from->in[0]->experts
               ? v->from->in[0]
               : g->logits;
}

/* The last layer, where its tensors have a row for each class. */
static void mark_head(struct graph *g)
{
    const struct node *n = g->logits->from;
    if (!n || !n->op->rows_are_outputs)
        return;
    n->weight->role = PARAM_HEAD;
    if (n->bias)
        n->bias->role = PARAM_HEAD;
}

/* How many levels of the network lie above a part: the stem is the lowest, each block one with what
 * enters before it, the head the highest (layer-wise decay as Bao and others 2022, BEiT, have
 * it). */
static int levels_above(const struct spec_model *m, size_t part)
{
    const struct spec_part *p = &m->parts[part];
    int above = 1;
    if (p->stage < 0 && part + 1 == m->nparts)
        return 0;
    for (size_t i = part + 1; i < m->nparts; i++)
        above += m->parts[i].block >= 0;
    return p->stage >= 0 && p->block < 0 ? above - 1 : above;
}

static bool build_parts(struct builder *b)
{
    const struct spec_model *m = &b->g->spec->model;
    const double decay = spec_number(b->g->spec, KEY_train_layer_decay);
    struct tensor x = {b->g->input, TENSOR_MAP, m->height, m->width};
    for (size_t i = 0; i < m->nparts; i++) {
        size_t first = b->g->nnodes, params = b->g->nparams;
        b->prefix = m->parts[i].prefix;
        b->title = m->parts[i].title;
        if (!build_layer(b, m->parts[i].body, x, &x))
            return false;
        for (size_t j = first; j < b->g->nnodes && m->parts[i].block >= 0; j++)
            b->g->nodes[j]->block = (int)i;
        for (size_t j = params; j < b->g->nparams; j++)
            b->g->params[j]->lr_factor *= pow(decay, levels_above(m, i));
    }
    if (x.v->rows != 1 || x.v->cols != m->classes) {
        diag_report(b->diag, DIAG_HEAD_SHAPE, m->loc, "the model ends in %s, but has %d classes",
                    tensor_text(b, x), m->classes);
        diag_help(b->diag,
                  "end the head with a pooling layer or take_token, and linear(out: classes)");
        return false;
    }
    b->g->logits = x.v;
    return true;
}

struct graph *graph_build(struct arena *a, const struct spec *spec, bool training, struct diag *d)
{
    struct graph *g = arena_alloc(a, sizeof *g);
    const struct spec_model *m = &spec->model;
    g->arena = a;
    g->spec = spec;
    g->training = training;
    g->micro = (int64_t)spec_number(spec, KEY_train_micro);
    g->next_key = 16;
    g->input = graph_value(g, (int64_t)m->height * m->width, m->channels, NULL);
    g->input->name = "input";
    struct builder b = {.g = g, .diag = d, .prefix = "", .title = ""};
    if (!build_parts(&b) || !check_names(&b))
        return NULL;
    share_groups(g);
    g->features = find_features(g);
    apply_groups(g);
    mark_head(g);
    if (training)
        add_loss(g, g->logits, m->loc);
    g->nforward = g->nnodes;
    return g;
}
