/* The product of two values, number by number. */
#include "config.h"

#include "compiler/ops/op.h"

#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/shapes.h"

static void interpret(struct interp *it, const struct node *n)
{
    struct matrix a = interp_in(it, n, 0), b = interp_in(it, n, 1), y = interp_out(it, n, 0);
    for (int64_t i = 0; i < y.rows * y.cols; i++)
        y.at[i] = a.at[i] * b.at[i];
}

static void differentiate(struct differ *d, struct node *n, struct value *dy)
{
    for (int i = 0; i < 2; i++) {
        if (!grad_wants(d, n->in[i]))
            continue;
        struct value *other = grad_again(d, n->in[1 - i]);
        struct node *m = grad_node(d, &op_mul, n);
        node_input(m, dy);
        node_input(m, other);
        grad_add_to(d, n->in[i], grad_like(d, m, n->in[i]));
    }
}

static void lower(struct lowering *lo, const struct node *n)
{
    lower_elementwise(lo, n, KERNEL_mul);
}

static int64_t joined(const struct value *a, const struct value *b)
{
    return a->rows == b->rows && a->cols == b->cols ? a->cols : 0;
}

const struct op op_mul = {
    .name = "mul",
    .definition = "y = x0 * x1",
    .inputs = 2,
    .outputs = 1,
    .wrong = wrong_unless_alike,
    .interpret = interpret,
    .lower = lower,
    .differentiate = differentiate,
    .join = LAYER_PRODUCT,
    .joined = joined,
};
