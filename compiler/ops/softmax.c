/* Softmax over the channels of a token. */
#include "config.h"

#include "compiler/ops/op.h"

#include "compiler/graph/build.h"
#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/shapes.h"

static bool build(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    return layer_unary(b, &op_softmax, l, x, y);
}

static void interpret(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < x.rows; r++)
        interp_softmax(matrix_row(y, r), matrix_row(x, r), x.cols);
}

static void interpret_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), y = interp_in(it, n, 1), dx = interp_out(it, n, 0);
    for (int64_t r = 0; r < y.rows; r++) {
        double mean = interp_dot(matrix_row(dy, r), matrix_row(y, r), y.cols);
        for (int64_t c = 0; c < y.cols; c++)
            matrix_row(dx, r)[c] = matrix_row(y, r)[c] * (matrix_row(dy, r)[c] - mean);
    }
}

static void differentiate(struct differ *d, struct node *n, struct value *dy)
{
    grad_through(d, &op_softmax_dx, n, dy, n->out[0], NULL);
}

static void lower(struct lowering *lo, const struct node *n)
{
    lower_elementwise(lo, n, KERNEL_softmax);
}

static void lower_dx(struct lowering *lo, const struct node *n)
{
    lower_elementwise(lo, n, KERNEL_softmax_dx);
}

const struct layer layer_softmax = {
    .name = "softmax",
    .signature = "",
    .doc = "softmax over the channels of a token",
    .mixes = MIXES_NOTHING,
    .build = build,
};

const struct op op_softmax = {
    .name = "softmax",
    .definition = "y = softmax of each row",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong_unless_alike,
    .interpret = interpret,
    .lower = lower,
    .differentiate = differentiate,
};

const struct op op_softmax_dx = {
    .name = "softmax_dx",
    .definition = "in: dy, y; out: dx = y (dy - sum of dy y)",
    .inputs = 2,
    .outputs = 1,
    .wrong = wrong_unless_alike,
    .interpret = interpret_dx,
    .lower = lower_dx,
};
