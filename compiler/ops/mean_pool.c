/* The mean over all tokens. */
#include "config.h"

#include "compiler/ops/op.h"

#include "compiler/graph/build.h"
#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/shapes.h"

static bool build(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    if (x.kind == TENSOR_VECTOR && !need_kind(b, l, x, TENSOR_TOKENS))
        return false;
    struct node *n = layer_node(b, &op_mean_pool, l, x);
    *y = (struct tensor){node_output(b->g, n, 1, x.v->cols, NULL), TENSOR_VECTOR, 0, 0};
    return true;
}

static void interpret(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    int64_t tokens = n->in[0]->rows;
    interp_zero(y);
    for (int64_t r = 0; r < x.rows; r++)
        for (int64_t c = 0; c < x.cols; c++)
            matrix_row(y, r / tokens)[c] += matrix_row(x, r)[c] / (double)tokens;
}

static void interpret_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), dx = interp_out(it, n, 0);
    int64_t tokens = n->out[0]->rows;
    for (int64_t r = 0; r < dx.rows; r++)
        for (int64_t c = 0; c < dx.cols; c++)
            matrix_row(dx, r)[c] = matrix_row(dy, r / tokens)[c] / (double)tokens;
}

static void differentiate(struct differ *d, struct node *n, struct value *dy)
{
    grad_through(d, &op_mean_pool_dx, n, dy, NULL, NULL);
}

static void lower(struct lowering *lo, const struct node *n)
{
    lower_sum_rows(lo, n, true);
}

static void lower_dx(struct lowering *lo, const struct node *n)
{
    lower_spread_rows(lo, n, true);
}

static const char *wrong(const struct node *n)
{
    return shape_is(n->out[0], 1, n->in[0]->cols) ? NULL : "the output is not one row as wide";
}

static const char *wrong_dx(const struct node *n)
{
    return shape_is(n->in[0], 1, n->out[0]->cols) ? NULL : "the gradient is not one row as wide";
}

const struct layer layer_mean_pool = {
    .name = "mean_pool",
    .signature = "",
    .doc = "mean over all tokens, to a vector",
    .mixes = MIXES_TOKENS,
    .build = build,
};

const struct op op_mean_pool = {
    .name = "mean_pool",
    .definition = "y (1,C) = mean over the rows",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret,
    .lower = lower,
    .differentiate = differentiate,
};

const struct op op_mean_pool_dx = {
    .name = "mean_pool_dx",
    .definition = "in: dy (1,C); out: dx (T,C) = dy / T",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong_dx,
    .interpret = interpret_dx,
    .lower = lower_dx,
};
