/* Linear layers: y (R,O) = x (R,I) w (O,I)^T + b (O), a product of matrices. */
#include "config.h"

#include "compiler/ops/op.h"

#include "compiler/graph/build.h"
#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/shapes.h"

static bool build(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    int64_t in = x.v->cols, out = arg_given(l, 0) ? arg_int(l, 0) : in;
    if (!layer_positive(b, l, "out", out) ||
        layer_too_large(b, l, "the weight's number of elements",
                        (double)in * (double)out * (b->experts ? b->experts->count : 1)))
        return false;
    double std;
    if (!layer_weight_std(b, l, 2, in, &std))
        return false;
    struct node *n = layer_node(b, &op_linear, l, x);
    n->experts = x.v->experts;
    n->weight = layer_param(b, l, "weight", 2, (int64_t[]){out, in}, INIT_TRUNC_NORMAL, std);
    if (l->args[1].i)
        n->bias = layer_param(b, l, "bias", 1, &out, INIT_ZERO, 0);
    *y = tensor_like(x, node_output(b->g, n, x.v->rows, out, x.v->experts));
    return true;
}

static void interpret(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < x.rows; r++) {
        const double *w = interp_slice(it->params, n->weight, x, r),
                     *b = interp_slice(it->params, n->bias, x, r);
        for (int64_t o = 0; o < y.cols; o++) {
            double sum = b ? b[o] : 0;
            for (int64_t i = 0; i < x.cols; i++)
                sum += matrix_row(x, r)[i] * w[o * x.cols + i];
            matrix_row(y, r)[o] = sum;
        }
    }
}

static void interpret_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), dx = interp_out(it, n, 0);
    for (int64_t r = 0; r < dy.rows; r++) {
        const double *w = interp_slice(it->params, n->weight, dy, r);
        for (int64_t i = 0; i < dx.cols; i++) {
            double sum = 0;
            for (int64_t o = 0; o < dy.cols; o++)
                sum += matrix_row(dy, r)[o] * w[o * dx.cols + i];
            matrix_row(dx, r)[i] = sum;
        }
    }
}

static void interpret_dw(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), x = interp_in(it, n, 1);
    for (int64_t r = 0; r < dy.rows; r++) {
        double *dw = interp_slice(it->grads, n->weight, dy, r),
               *db = interp_slice(it->grads, n->bias, dy, r);
        for (int64_t o = 0; o < dy.cols; o++) {
            for (int64_t i = 0; i < x.cols; i++)
                dw[o * x.cols + i] += matrix_row(dy, r)[o] * matrix_row(x, r)[i];
            if (db)
                db[o] += matrix_row(dy, r)[o];
        }
    }
}

static void differentiate(struct differ *d, struct node *n, struct value *dy)
{
    if (grad_wants(d, n->in[0]))
        grad_through(d, &op_linear_dx, n, dy, NULL, NULL);
    if (!grad_learns(n))
        return;
    struct value *x = grad_again(d, n->in[0]);
    struct node *dw = grad_node(d, &op_linear_dw, n);
    node_input(dw, dy);
    node_input(dw, x);
}

static const char *wrong(const struct node *n)
{
    return wrong_unless_product(n, n->in[0], n->out[0]);
}

static const char *wrong_dx(const struct node *n)
{
    return wrong_unless_product(n, n->out[0], n->in[0]);
}

static const char *wrong_dw(const struct node *n)
{
    return wrong_unless_product(n, n->in[1], n->in[0]);
}

static int64_t macs(const struct node *n)
{
    return graph_rows(n->in[0]) * n->in[0]->cols * n->out[0]->cols;
}

static struct factor factor(const struct node *n)
{
    const struct param *w = n->weight;
    int at = w->experts ? 1 : 0;
    return (struct factor){.rows = w->shape[at],
                           .taps = 1,
                           .in = w->shape[at + 1],
                           .groups = 1,
                           .experts = w->experts ? w->experts : 1};
}

const struct layer layer_linear = {
    .name = "linear",
    .signature = "out: int?, bias: bool = true, init: float? where $init == none or $init >= 0, "
                 "gain: float? where $gain == none or $gain >= 0",
    .doc = "y = W x + b per token; out defaults to the incoming width; init: deviation of the "
           "weights, 0.02, or, by gain, gain / root of the number of inputs of an output",
    .mixes = MIXES_NOTHING,
    .build = build,
};

const struct op op_linear = {
    .name = "linear",
    .definition = "y (R,O) = x (R,I) w (O,I)^T + b (O); b may be missing",
    .inputs = 1,
    .outputs = 1,
    .interpret = interpret,
    .lower = lower_rows_by_weight,
    .differentiate = differentiate,
    .macs = macs,
    .factor = factor,
    .wrong = wrong,
    .rows_are_outputs = true,
};

const struct op op_linear_dx = {
    .name = "linear_dx",
    .definition = "in: dy (R,O); out: dx (R,I) = dy w",
    .inputs = 1,
    .outputs = 1,
    .interpret = interpret_dx,
    .lower = lower_rows_by_transpose,
    .factor = factor,
    .transposed = true,
    .wrong = wrong_dx,
};

const struct op op_linear_dw = {
    .name = "linear_dw",
    .definition = "in: dy, x; dw += dy^T x; db += sum of the rows of dy",
    .inputs = 2,
    .outputs = 0,
    .interpret = interpret_dw,
    .lower = lower_rows_gradient,
    .wrong = wrong_dw,
};
