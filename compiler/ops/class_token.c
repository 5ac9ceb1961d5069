/* A learned token before the others. */
#include "config.h"

#include "compiler/ops/op.h"

#include <string.h>

#include "compiler/graph/build.h"
#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/shapes.h"

static bool build(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    if (!need_kind(b, l, x, TENSOR_TOKENS))
        return false;
    struct node *n = layer_node(b, &op_class_token, l, x);
    n->weight = layer_param(b, l, "", 3, (int64_t[]){1, 1, x.v->cols}, INIT_TRUNC_NORMAL, 1e-6);
    n->weight->decays = false;
    *y = (struct tensor){node_output(b->g, n, x.v->rows + 1, x.v->cols, NULL), TENSOR_TOKENS, x.h,
                         x.w};
    return true;
}

static void interpret(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    int64_t tokens = n->out[0]->rows;
    for (int64_t b = 0; b < it->settings.images; b++)
        for (int64_t t = 0; t < tokens; t++) {
            const double *from =
                t ? matrix_row(x, b * (tokens - 1) + t - 1) : it->params[n->weight->id];
            memcpy(matrix_row(y, b * tokens + t), from, (size_t)y.cols * sizeof *from);
        }
}

static void interpret_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), dx = interp_out(it, n, 0);
    int64_t tokens = n->in[0]->rows;
    for (int64_t r = 0; r < dy.rows; r++)
        for (int64_t c = 0; c < dy.cols; c++)
            if (r % tokens == 0)
                it->grads[n->weight->id][c] += matrix_row(dy, r)[c];
            else
                matrix_row(dx, r / tokens * (tokens - 1) + r % tokens - 1)[c] =
                    matrix_row(dy, r)[c];
}

static void differentiate(struct differ *d, struct node *n, struct value *dy)
{
    grad_through(d, &op_class_token_dx, n, dy, NULL, NULL);
}

static void lower(struct lowering *lo, const struct node *n)
{
    int64_t cols = n->out[0]->cols;
    struct launch *l = open_launch(lo, DOMAIN_IMAGES, n);
    lower_move_rows(lo, l, n, operand_image(lo, n->out[0]),
                    operand_param(lo, n->weight, SPACE_PARAMS), cols);
    lower_move_rows(lo, l, n, operand_shifted(operand_image(lo, n->out[0]), cols * 4),
                    operand_image(lo, n->in[0]), n->in[0]->rows * cols);
}

static void lower_dx(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0];
    int64_t cols = dy->cols;
    struct launch *l = open_launch(lo, DOMAIN_IMAGES, n);
    lower_move_rows(lo, l, n, operand_image(lo, n->out[0]),
                    operand_shifted(operand_image(lo, dy), cols * 4), n->out[0]->rows * cols);
    struct call *c = node_call(lo, later_launch(lo, DOMAIN_PARTS, n), KERNEL_reduce, n);
    c->operand.reduce.y = operand_param(lo, n->weight, SPACE_GRADS);
    c->operand.reduce.x = operand_start(lo, dy);
    c->size.reduce.n = cols;
    c->size.reduce.stride = dy->rows * cols;
}

static const char *wrong_between(const struct node *n, const struct value *x, const struct value *y)
{
    if (!param_is(n->weight, x, 3, (int64_t[]){1, 1, x->cols}))
        return "the weight is not one token";
    return shape_is(y, x->rows + 1, x->cols) ? NULL : "there is not one token more";
}

static const char *wrong(const struct node *n)
{
    return wrong_between(n, n->in[0], n->out[0]);
}

static const char *wrong_dx(const struct node *n)
{
    return wrong_between(n, n->out[0], n->in[0]);
}

const struct layer layer_class_token = {
    .name = "class_token",
    .signature = "",
    .doc = "puts a learned token before the others",
    .mixes = MIXES_TOKENS,
    .build = build,
};

const struct op op_class_token = {
    .name = "class_token",
    .definition = "y (T+1,D) = w (1,1,D), then x",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret,
    .lower = lower,
    .differentiate = differentiate,
};

const struct op op_class_token_dx = {
    .name = "class_token_dx",
    .definition = "in: dy (T+1,D); out: dx (T,D); dw += sum over the pictures of row 0",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong_dx,
    .interpret = interpret_dx,
    .lower = lower_dx,
};
