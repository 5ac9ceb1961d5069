/* Layer scale (Touvron et al. 2021, CaiT): one learned factor for each channel. */
#include "config.h"

#include "compiler/ops/op.h"

#include "compiler/graph/build.h"
#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/shapes.h"

static bool build(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    struct node *n = layer_unary(b, &op_scale, l, x, y);
    n->weight = layer_param(b, l, "", 1, &x.v->cols, INIT_CONST, arg_float(l, 0));
    return true;
}

static void interpret(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < x.rows; r++) {
        const double *w = interp_slice(it->params, n->weight, x, r);
        for (int64_t c = 0; c < x.cols; c++)
            matrix_row(y, r)[c] = matrix_row(x, r)[c] * w[c];
    }
}

static void interpret_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), x = interp_in(it, n, 1), dx = interp_out(it, n, 0);
    for (int64_t r = 0; r < x.rows; r++) {
        const double *w = interp_slice(it->params, n->weight, x, r);
        double *dw = interp_slice(it->grads, n->weight, x, r);
        for (int64_t c = 0; c < x.cols; c++) {
            matrix_row(dx, r)[c] = matrix_row(dy, r)[c] * w[c];
            dw[c] += matrix_row(dy, r)[c] * matrix_row(x, r)[c];
        }
    }
}

static void differentiate(struct differ *d, struct node *n, struct value *dy)
{
    grad_through(d, &op_scale_dx, n, dy, n->in[0], NULL);
}

static void lower(struct lowering *lo, const struct node *n)
{
    struct call *c = lower_elementwise(lo, n, KERNEL_scale);
    c->operand.scale.w = operand_param(lo, n->weight, SPACE_PARAMS);
}

static void lower_dx(struct lowering *lo, const struct node *n)
{
    int64_t cols = n->out[0]->cols;
    row_launch(lo, n, n->out[0]);
    struct operand pw = lower_tile_sums(lo, n, cols);
    struct call *c = lower_elementwise(lo, n, KERNEL_scale_dx);
    c->operand.scale_dx.w = operand_param(lo, n->weight, SPACE_PARAMS);
    c->operand.scale_dx.pw = pw;
    lower_reduce_tiles(lo, n, n->weight, pw, cols);
}

static const char *wrong(const struct node *n)
{
    const char *why = wrong_unless_by_column(n->weight, n->in[0]);
    return why ? why : wrong_unless_alike(n);
}

const struct layer layer_scale = {
    .name = "scale",
    .signature = "init: float = 1e-6",
    .doc = "layer scale: one learned factor per channel",
    .mixes = MIXES_NOTHING,
    .build = build,
};

const struct op op_scale = {
    .name = "scale",
    .definition = "y = x * w (C)",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret,
    .lower = lower,
    .differentiate = differentiate,
};

const struct op op_scale_dx = {
    .name = "scale_dx",
    .definition = "in: dy, x; out: dx = dy * w; dw += sum of the rows of dy * x",
    .inputs = 2,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret_dx,
    .lower = lower_dx,
};
