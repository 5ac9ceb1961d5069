/* The row of a vector, T times. */
#include "config.h"

#include "compiler/ops/op.h"

#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/shapes.h"

static void interpret(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < y.rows; r++)
        for (int64_t c = 0; c < y.cols; c++)
            matrix_row(y, r)[c] = matrix_row(x, r / n->out[0]->rows)[c];
}

static void interpret_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), dx = interp_out(it, n, 0);
    for (int64_t r = 0; r < dx.rows; r++)
        for (int64_t c = 0; c < dx.cols; c++) {
            matrix_row(dx, r)[c] = 0;
            for (int64_t t = 0; t < n->in[0]->rows; t++)
                matrix_row(dx, r)[c] += matrix_row(dy, r * n->in[0]->rows + t)[c];
        }
}

static void differentiate(struct differ *d, struct node *n, struct value *dy)
{
    grad_through(d, &op_repeat_dx, n, dy, NULL, NULL);
}

static void lower(struct lowering *lo, const struct node *n)
{
    lower_spread_rows(lo, n, false);
}

static void lower_dx(struct lowering *lo, const struct node *n)
{
    lower_sum_rows(lo, n, false);
}

static const char *wrong(const struct node *n)
{
    return shape_is(n->in[0], 1, n->out[0]->cols) ? NULL : "the input is not one row as wide";
}

static const char *wrong_dx(const struct node *n)
{
    return shape_is(n->out[0], 1, n->in[0]->cols) ? NULL : "the gradient is not one row as wide";
}

const struct op op_repeat = {
    .name = "repeat",
    .definition = "y (T,C) = the row of x (1,C), T times",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret,
    .lower = lower,
    .differentiate = differentiate,
};

const struct op op_repeat_dx = {
    .name = "repeat_dx",
    .definition = "in: dy (T,C); out: dx (1,C) = sum of its rows",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong_dx,
    .interpret = interpret_dx,
    .lower = lower_dx,
};
