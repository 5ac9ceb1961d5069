/* One learned number: y = x * f, with f = w (gain), or f = exp(min(w, largest)) (temperature; the
 * clamp is that of CLIP, Radford et al. 2021). */
#include "config.h"

#include "compiler/ops/op.h"

#include <math.h>

#include "compiler/graph/build.h"
#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/facts.h"
#include "compiler/ops/shapes.h"

static bool build(struct builder *b, const struct spec_layer *l, struct tensor x, struct gain facts,
                  struct tensor *y)
{
    static const int64_t one = 1;
    struct node *n = layer_unary(b, &op_gain, l, x, y);
    n->weight = layer_param(b, l, "", 1, &one, INIT_CONST, arg_float(l, 0));
    node_set_facts(b->g, n, &facts, sizeof facts);
    return true;
}

static bool build_gain(struct builder *b, const struct spec_layer *l, struct tensor x,
                       struct tensor *y)
{
    return build(b, l, x, (struct gain){.exponential = false}, y);
}

static bool build_temperature(struct builder *b, const struct spec_layer *l, struct tensor x,
                              struct tensor *y)
{
    double largest = arg_given(l, 1) ? arg_float(l, 1) : INFINITY;
    return build(b, l, x, (struct gain){.exponential = true, .largest = largest}, y);
}

static double factor(const struct node *n, double w)
{
    const struct gain *g = NODE_FACTS(n, gain);
    return g->exponential ? exp(fmin(w, g->largest)) : w;
}

static double factor_slope(const struct node *n, double w)
{
    const struct gain *g = NODE_FACTS(n, gain);
    return !g->exponential ? 1 : w <= g->largest ? exp(w) : 0;
}

static void interpret(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < x.rows; r++)
        for (int64_t c = 0; c < x.cols; c++)
            matrix_row(y, r)[c] =
                matrix_row(x, r)[c] * factor(n, *interp_slice(it->params, n->weight, x, r));
}

static void interpret_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), x = interp_in(it, n, 1), dx = interp_out(it, n, 0);
    for (int64_t r = 0; r < x.rows; r++) {
        double w = *interp_slice(it->params, n->weight, x, r);
        for (int64_t c = 0; c < x.cols; c++)
            matrix_row(dx, r)[c] = matrix_row(dy, r)[c] * factor(n, w);
        *interp_slice(it->grads, n->weight, x, r) +=
            interp_dot(matrix_row(dy, r), matrix_row(x, r), x.cols) * factor_slope(n, w);
    }
}

static void differentiate(struct differ *d, struct node *n, struct value *dy)
{
    grad_through(d, &op_gain_dx, n, dy, n->in[0], NULL);
}

static void lower(struct lowering *lo, const struct node *n)
{
    struct call *c = lower_elementwise(lo, n, KERNEL_gain);
    c->operand.gain.w = operand_param(lo, n->weight, SPACE_PARAMS);
    c->size.gain.exponential = NODE_FACTS(n, gain)->exponential;
    c->real[0] = NODE_FACTS(n, gain)->largest;
}

static void lower_dx(struct lowering *lo, const struct node *n)
{
    row_launch(lo, n, n->out[0]);
    struct operand pw = lower_tile_sums(lo, n, 1);
    struct call *c = lower_elementwise(lo, n, KERNEL_gain_dx);
    c->operand.gain_dx.w = operand_param(lo, n->weight, SPACE_PARAMS);
    c->operand.gain_dx.pw = pw;
    c->size.gain_dx.exponential = NODE_FACTS(n, gain)->exponential;
    c->real[0] = NODE_FACTS(n, gain)->largest;
    lower_reduce_tiles(lo, n, n->weight, pw, 1);
}

static const char *wrong(const struct node *n)
{
    if (!param_is(n->weight, n->in[0], 1, (int64_t[]){1}))
        return "the weight is not one number";
    return wrong_unless_alike(n);
}

static void print(const struct node *n, FILE *out)
{
    const struct gain *g = NODE_FACTS(n, gain);
    if (g->exponential)
        fprintf(out, " index=1 rate=%g", g->largest);
}

const struct layer layer_gain = {
    .name = "gain",
    .signature = "init: float = 1.0",
    .doc = "y = g x with one learned number g",
    .mixes = MIXES_NOTHING,
    .build = build_gain,
};

const struct layer layer_temperature = {
    .name = "temperature",
    .signature = "init: float = 0.0, max: float?",
    .doc = "y = exp(t) x with one learned number t, taken as `max` where it is larger",
    .mixes = MIXES_NOTHING,
    .build = build_temperature,
};

const struct op op_gain = {
    .name = "gain",
    .definition = "y = x * f, w (1): f = w; index = 1: f = exp(min(w, rate))",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret,
    .lower = lower,
    .differentiate = differentiate,
    .print = print,
};

const struct op op_gain_dx = {
    .name = "gain_dx",
    .definition =
        "in: dy, x; out: dx = dy * f; dw += sum of dy * x * df/dw (df/dw = 0 above the largest)",
    .inputs = 2,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret_dx,
    .lower = lower_dx,
    .print = print,
};
