/* The product of two matrices of each picture: y = a b. */
#include "config.h"

#include "compiler/ops/op.h"

#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/shapes.h"

static void interpret(struct interp *it, const struct node *n)
{
    struct matrix a = interp_in(it, n, 0), b = interp_in(it, n, 1), y = interp_out(it, n, 0);
    int64_t rows = n->in[0]->rows, inner = n->in[1]->rows;
    for (int64_t r = 0; r < y.rows; r++)
        for (int64_t c = 0; c < y.cols; c++) {
            double sum = 0;
            for (int64_t k = 0; k < inner; k++)
                sum += matrix_row(a, r)[k] * matrix_row(b, r / rows * inner + k)[c];
            matrix_row(y, r)[c] = sum;
        }
}

static struct value *transposed(struct differ *d, struct node *of, struct value *v)
{
    v = grad_again(d, v);
    struct node *n = grad_node(d, &op_transpose, of);
    node_input(n, v);
    return grad_output(d, n, v->cols, v->rows);
}

/* y = a b: da = dy b^T, db = a^T dy. */
static void differentiate(struct differ *d, struct node *n, struct value *dy)
{
    for (int i = 0; i < 2; i++) {
        if (!grad_wants(d, n->in[i]))
            continue;
        struct value *left = i == 0 ? dy : transposed(d, n, n->in[0]),
                     *right = i == 0 ? transposed(d, n, n->in[1]) : dy;
        struct node *m = grad_node(d, &op_matmul, n);
        node_input(m, left);
        node_input(m, right);
        grad_add_to(d, n->in[i], grad_like(d, m, n->in[i]));
    }
}

static void lower(struct lowering *lo, const struct node *n)
{
    struct call *c = lower_by_images(lo, n, KERNEL_matmul, 1);
    const struct value *a = n->in[0], *b = n->in[1];
    c->operand.matmul.scratch =
        operand_scratch(lo, n->name, plan_packed_bytes(lo->plan->vector, b->cols, b->rows));
    c->size.matmul.R = a->rows;
    c->size.matmul.M = a->cols;
    c->size.matmul.C = b->cols;
}

static const char *wrong(const struct node *n)
{
    const struct value *a = n->in[0], *b = n->in[1];
    if (a->cols != b->rows)
        return "the inner sizes differ";
    return shape_is(n->out[0], a->rows, b->cols) ? NULL : "the output is not rows by columns";
}

static int64_t macs(const struct node *n)
{
    return n->in[0]->rows * n->in[0]->cols * n->out[0]->cols;
}

const struct op op_matmul = {
    .name = "matmul",
    .definition = "y (R,C) = a (R,M) b (M,C) of each picture",
    .inputs = 2,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret,
    .lower = lower,
    .differentiate = differentiate,
    .macs = macs,
};
