/* Activations: functions of each number alone. */
#include "config.h"

#include "compiler/ops/op.h"

#include <math.h>

#include "compiler/graph/build.h"
#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/shapes.h"

static bool build_gelu(struct builder *b, const struct spec_layer *l, struct tensor x,
                       struct tensor *y)
{
    return layer_unary(b, &op_gelu, l, x, y);
}

static bool build_relu(struct builder *b, const struct spec_layer *l, struct tensor x,
                       struct tensor *y)
{
    return layer_unary(b, &op_relu, l, x, y);
}

static bool build_silu(struct builder *b, const struct spec_layer *l, struct tensor x,
                       struct tensor *y)
{
    return layer_unary(b, &op_silu, l, x, y);
}

static double gelu(double x)
{
    return x * interp_normal_cdf(x);
}

static double gelu_slope(double x)
{
    return interp_normal_cdf(x) + x * interp_normal_pdf(x);
}

static double relu(double x)
{
    return x > 0 ? x : 0;
}

static double relu_slope(double x)
{
    return x > 0;
}

static double silu(double x)
{
    return x / (1 + exp(-x));
}

static double silu_slope(double x)
{
    double s = 1 / (1 + exp(-x));
    return s * (1 + x * (1 - s));
}

static void map(struct interp *it, const struct node *n, double f(double))
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t i = 0; i < x.rows * x.cols; i++)
        y.at[i] = f(x.at[i]);
}

static void map_dx(struct interp *it, const struct node *n, double slope(double))
{
    struct matrix dy = interp_in(it, n, 0), x = interp_in(it, n, 1), dx = interp_out(it, n, 0);
    for (int64_t i = 0; i < x.rows * x.cols; i++)
        dx.at[i] = dy.at[i] * slope(x.at[i]);
}

static void interpret_gelu(struct interp *it, const struct node *n)
{
    map(it, n, gelu);
}

static void interpret_relu(struct interp *it, const struct node *n)
{
    map(it, n, relu);
}

static void interpret_silu(struct interp *it, const struct node *n)
{
    map(it, n, silu);
}

static void interpret_gelu_dx(struct interp *it, const struct node *n)
{
    map_dx(it, n, gelu_slope);
}

static void interpret_relu_dx(struct interp *it, const struct node *n)
{
    map_dx(it, n, relu_slope);
}

static void interpret_silu_dx(struct interp *it, const struct node *n)
{
    map_dx(it, n, silu_slope);
}

static void grad_gelu(struct differ *d, struct node *n, struct value *dy)
{
    grad_through(d, &op_gelu_dx, n, dy, n->in[0], NULL);
}

static void grad_relu(struct differ *d, struct node *n, struct value *dy)
{
    grad_through(d, &op_relu_dx, n, dy, n->in[0], NULL);
}

static void grad_silu(struct differ *d, struct node *n, struct value *dy)
{
    grad_through(d, &op_silu_dx, n, dy, n->in[0], NULL);
}

static void lower_gelu(struct lowering *lo, const struct node *n)
{
    lower_elementwise(lo, n, KERNEL_act)->size.act.kind = ACT_gelu;
}

static void lower_relu(struct lowering *lo, const struct node *n)
{
    lower_elementwise(lo, n, KERNEL_act)->size.act.kind = ACT_relu;
}

static void lower_silu(struct lowering *lo, const struct node *n)
{
    lower_elementwise(lo, n, KERNEL_act)->size.act.kind = ACT_silu;
}

static void lower_gelu_dx(struct lowering *lo, const struct node *n)
{
    lower_elementwise(lo, n, KERNEL_act_dx)->size.act_dx.kind = ACT_gelu;
}

static void lower_relu_dx(struct lowering *lo, const struct node *n)
{
    lower_elementwise(lo, n, KERNEL_act_dx)->size.act_dx.kind = ACT_relu;
}

static void lower_silu_dx(struct lowering *lo, const struct node *n)
{
    lower_elementwise(lo, n, KERNEL_act_dx)->size.act_dx.kind = ACT_silu;
}

const struct layer layer_gelu = {
    .name = "gelu",
    .signature = "",
    .doc = "x Phi(x), exact (erf)",
    .mixes = MIXES_NOTHING,
    .build = build_gelu,
};

const struct layer layer_relu = {
    .name = "relu",
    .signature = "",
    .doc = "max(x, 0)",
    .mixes = MIXES_NOTHING,
    .build = build_relu,
};

const struct layer layer_silu = {
    .name = "silu",
    .signature = "",
    .doc = "x sigmoid(x)",
    .mixes = MIXES_NOTHING,
    .build = build_silu,
};

const struct op op_gelu = {
    .name = "gelu",
    .definition = "y = x Phi(x)",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong_unless_alike,
    .interpret = interpret_gelu,
    .lower = lower_gelu,
    .differentiate = grad_gelu,
    .again = AGAIN_CHEAP,
};

const struct op op_relu = {
    .name = "relu",
    .definition = "y = max(x, 0)",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong_unless_alike,
    .interpret = interpret_relu,
    .lower = lower_relu,
    .differentiate = grad_relu,
    .again = AGAIN_CHEAP,
};

const struct op op_silu = {
    .name = "silu",
    .definition = "y = x / (1 + exp(-x))",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong_unless_alike,
    .interpret = interpret_silu,
    .lower = lower_silu,
    .differentiate = grad_silu,
    .again = AGAIN_CHEAP,
};

const struct op op_gelu_dx = {
    .name = "gelu_dx",
    .definition = "in: dy, x; out: dy * (Phi(x) + x phi(x))",
    .inputs = 2,
    .outputs = 1,
    .wrong = wrong_unless_alike,
    .interpret = interpret_gelu_dx,
    .lower = lower_gelu_dx,
};

const struct op op_relu_dx = {
    .name = "relu_dx",
    .definition = "in: dy, x; out: dy where x > 0, else 0",
    .inputs = 2,
    .outputs = 1,
    .wrong = wrong_unless_alike,
    .interpret = interpret_relu_dx,
    .lower = lower_relu_dx,
};

const struct op op_silu_dx = {
    .name = "silu_dx",
    .definition = "in: dy, x; out: dy * s * (1 + x (1 - s)), s = sigmoid(x)",
    .inputs = 2,
    .outputs = 1,
    .wrong = wrong_unless_alike,
    .interpret = interpret_silu_dx,
    .lower = lower_silu_dx,
};
