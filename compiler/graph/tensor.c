/* What the shape rules of operations are written with: arguments of a layer, tensors as the
 * language sees them, new nodes and params of the layer at hand, and the complaints that several
 * share. */
#include "config.h"

#include "compiler/graph/build.h"

#include <limits.h>
#include <math.h>

#include "lang/base/arena.h"
#include "lang/base/diag.h"

#define WEIGHT_STD 0.02 /* timm's: trunc_normal */

bool arg_given(const struct spec_layer *l, int i)
{
    return (size_t)i < l->nargs && l->args[i].type != SPEC_NONE;
}

int64_t arg_int(const struct spec_layer *l, int i)
{
    return l->args[i].i;
}

double arg_float(const struct spec_layer *l, int i)
{
    return l->args[i].type == SPEC_INT ? (double)l->args[i].i : l->args[i].f;
}

static double arg_or(const struct spec_layer *l, int i, double unset)
{
    return arg_given(l, i) ? arg_float(l, i) : unset;
}

int arg_size(const struct spec_layer *l, int i)
{
    int64_t v = arg_int(l, i);
    return v > INT_MAX / 4 ? INT_MAX / 4 : v < INT_MIN / 4 ? INT_MIN / 4 : (int)v;
}

struct tensor tensor_tokens(struct value *v)
{
    return (struct tensor){v, TENSOR_TOKENS, 0, 0};
}

struct tensor tensor_like(struct tensor x, struct value *v)
{
    x.v = v;
    return x;
}

const char *tensor_text(struct builder *b, struct tensor x)
{
    switch (x.kind) {
    case TENSOR_MAP:
        return arena_printf(b->g->arena, "a map of %d x %d x %lld", x.h, x.w, (long long)x.v->cols);
    case TENSOR_TOKENS:
        return arena_printf(b->g->arena, "%lld tokens of %lld", (long long)x.v->rows,
                            (long long)x.v->cols);
    default: return arena_printf(b->g->arena, "a vector of %lld", (long long)x.v->cols);
    }
}

bool need_kind(struct builder *b, const struct spec_layer *l, struct tensor x,
               enum tensor_kind kind)
{
    static const char *const wanted[] = {"a map", "tokens", "a vector"};
    if (x.kind == kind)
        return true;
    diag_report(b->diag, DIAG_SHAPE_KIND, l->loc, "this layer works on %s, here it meets %s",
                wanted[kind], tensor_text(b, x));
    if (kind == TENSOR_MAP && x.kind == TENSOR_TOKENS)
        diag_help(b->diag, "`grid` turns tokens into a map");
    if (kind == TENSOR_TOKENS && x.kind == TENSOR_MAP)
        diag_help(b->diag, "`tokens` turns a map into tokens");
    return false;
}

const char *join_names(struct arena *a, const char *prefix, const char *label)
{
    if (!*label)
        return prefix;
    return *prefix ? arena_printf(a, "%s.%s", prefix, label) : label;
}

struct node *layer_node(struct builder *b, const struct op *op, const struct spec_layer *l,
                        struct tensor x)
{
    struct node *n = graph_node(b->g, op, b->title, l->loc);
    node_input(n, x.v);
    return n;
}

struct param *layer_param(struct builder *b, const struct spec_layer *l, const char *part, int rank,
                          const int64_t *shape, enum param_init init, double value)
{
    const char *name = join_names(b->g->arena, b->prefix, part);
    struct param *p = graph_param(b->g, name, b->experts ? b->experts->count : 0, rank, shape);
    p->init = init;
    p->init_value = value;
    p->drawn = b->experts && b->experts->moe->alike ? p->count / b->experts->count : 0;
    p->loc = l->loc;
    return p;
}

/* The deviation of the first weights, by one of the arguments `init` and `gain`, which stand side
 * by side. */
bool layer_weight_std(struct builder *b, const struct spec_layer *l, int init, int64_t inputs,
                      double *std)
{
    bool by_gain = arg_given(l, init + 1);
    *std = by_gain ? arg_float(l, init + 1) / sqrt((double)inputs) : arg_or(l, init, WEIGHT_STD);
    if (!by_gain || !arg_given(l, init))
        return true;
    diag_report(b->diag, DIAG_CHOICE_KEY, l->loc,
                "`init` and `gain` both say how wide the weights are: give one of them");
    return false;
}

bool layer_too_large(struct builder *b, const struct spec_layer *l, const char *what, double size)
{
    if (size >= 1 && size < 2147483648.0)
        return false;
    diag_report(b->diag, DIAG_SHAPE_TOO_LARGE, l->loc, "%s would be %.0f", what, size);
    return true;
}

bool layer_positive(struct builder *b, const struct spec_layer *l, const char *what, int64_t v)
{
    if (v > 0 && v <= 1 << 24)
        return true;
    diag_report(b->diag, DIAG_SHAPE_TOO_LARGE, l->loc, "%s = %lld must be from 1 to %d", what,
                (long long)v, 1 << 24);
    return false;
}

/* A layer that keeps the shape and has no params. */
struct node *layer_unary(struct builder *b, const struct op *op, const struct spec_layer *l,
                         struct tensor x, struct tensor *y)
{
    struct node *n = layer_node(b, op, l, x);
    n->experts = x.v->experts;
    *y = tensor_like(x, node_output(b->g, n, x.v->rows, x.v->cols, x.v->experts));
    return n;
}
