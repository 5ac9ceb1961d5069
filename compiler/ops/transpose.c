/* Tokens (T,D) to (D,T). */
#include "config.h"

#include "compiler/ops/op.h"

#include "compiler/graph/build.h"
#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/shapes.h"

static bool build(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    if (!need_kind(b, l, x, TENSOR_TOKENS))
        return false;
    struct node *n = layer_node(b, &op_transpose, l, x);
    *y = tensor_tokens(node_output(b->g, n, x.v->cols, x.v->rows, NULL));
    return true;
}

static void interpret(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t b = 0; b < it->settings.images; b++)
        for (int64_t r = 0; r < y.cols; r++)
            for (int64_t c = 0; c < x.cols; c++)
                matrix_row(y, b * x.cols + c)[r] = matrix_row(x, b * y.cols + r)[c];
}

static void lower(struct lowering *lo, const struct node *n)
{
    struct call *c = lower_by_images(lo, n, KERNEL_transpose, 1);
    c->size.transpose.T = n->in[0]->rows;
    c->size.transpose.C = n->in[0]->cols;
}

static const char *wrong(const struct node *n)
{
    const struct value *x = n->in[0];
    return shape_is(n->out[0], x->cols, x->rows) ? NULL : "rows and columns are not exchanged";
}

const struct layer layer_transpose = {
    .name = "transpose",
    .signature = "",
    .doc = "tokens (T,D) to (D,T)",
    .mixes = MIXES_TOKENS,
    .build = build,
};

const struct op op_transpose = {
    .name = "transpose",
    .definition = "y (D,T) = x (T,D)^T of each picture",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret,
    .lower = lower,
    .differentiate = grad_itself,
};
