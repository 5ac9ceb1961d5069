/* The channels of two values side by side. */
#include "config.h"

#include "compiler/ops/op.h"

#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/facts.h"
#include "compiler/ops/shapes.h"

static void interpret(struct interp *it, const struct node *n)
{
    struct matrix y = interp_out(it, n, 0);
    int64_t at = 0;
    for (int i = 0; i < n->nin; i++) {
        struct matrix x = interp_in(it, n, i);
        for (int64_t r = 0; r < x.rows; r++)
            for (int64_t c = 0; c < x.cols; c++)
                matrix_row(y, r)[at + c] = matrix_row(x, r)[c];
        at += x.cols;
    }
}

static void differentiate(struct differ *d, struct node *n, struct value *dy)
{
    for (int i = 0, from = 0; i < 2; from += (int)n->in[i]->cols, i++) {
        if (!grad_wants(d, n->in[i]))
            continue;
        struct node *s = grad_node(d, &op_slice, n);
        grad_set_facts(d, s, &(struct range){from}, sizeof(struct range));
        node_input(s, dy);
        grad_add_to(d, n->in[i], grad_like(d, s, n->in[i]));
    }
}

static void lower(struct lowering *lo, const struct node *n)
{
    const struct value *y = n->out[0];
    struct launch *l = row_launch(lo, n, y);
    for (int i = 0, at = 0; i < 2; at += (int)n->in[i]->cols, i++)
        lower_copy(lo, l, n, operand_shifted(operand_rows(lo, y), at * 4),
                   operand_rows(lo, n->in[i]), n->in[i]->cols, y->cols, n->in[i]->cols);
}

static int64_t joined(const struct value *a, const struct value *b)
{
    return a->rows == b->rows ? a->cols + b->cols : 0;
}

static const char *wrong(const struct node *n)
{
    if (!shape_same_rows(n->in[0], n->out[0]) || !shape_same_rows(n->in[1], n->out[0]))
        return "the rows of the values differ";
    return n->in[0]->cols + n->in[1]->cols == n->out[0]->cols ? NULL : "the widths do not add up";
}

const struct op op_concat = {
    .name = "concat",
    .definition = "y = columns of the inputs side by side (two)",
    .inputs = 2,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret,
    .lower = lower,
    .differentiate = differentiate,
    .join = LAYER_CONCAT,
    .joined = joined,
};
