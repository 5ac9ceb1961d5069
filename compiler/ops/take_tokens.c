/* Some tokens in a row: all but the first (drop_tokens), or one as a vector (take_token). */
#include "config.h"

#include "compiler/ops/op.h"

#include <string.h>

#include "compiler/graph/build.h"
#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/facts.h"
#include "compiler/ops/shapes.h"
#include "lang/base/diag.h"

static int64_t first_of(const struct node *n)
{
    return NODE_FACTS(n, range)->first;
}

static bool build_drop_tokens(struct builder *b, const struct spec_layer *l, struct tensor x,
                              struct tensor *y)
{
    int64_t count = arg_int(l, 0);
    if (!need_kind(b, l, x, TENSOR_TOKENS))
        return false;
    if (count < 1 || count >= x.v->rows) {
        diag_report(b->diag, DIAG_SHAPE_MISMATCH, l->loc, "%s without %lld of them",
                    tensor_text(b, x), (long long)count);
        return false;
    }
    struct node *n = layer_node(b, &op_take_tokens, l, x);
    node_set_facts(b->g, n, &(struct range){count}, sizeof(struct range));
    *y = tensor_like(x, node_output(b->g, n, x.v->rows - count, x.v->cols, NULL));
    return true;
}

static bool build_take_token(struct builder *b, const struct spec_layer *l, struct tensor x,
                             struct tensor *y)
{
    int64_t index = arg_int(l, 0);
    if (!need_kind(b, l, x, TENSOR_TOKENS))
        return false;
    if (index < 0 || index >= x.v->rows) {
        diag_report(b->diag, DIAG_SHAPE_MISMATCH, l->loc, "token %lld of %s", (long long)index,
                    tensor_text(b, x));
        return false;
    }
    struct node *n = layer_node(b, &op_take_tokens, l, x);
    node_set_facts(b->g, n, &(struct range){index}, sizeof(struct range));
    *y = (struct tensor){node_output(b->g, n, 1, x.v->cols, NULL), TENSOR_VECTOR, 0, 0};
    return true;
}

static void interpret(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    size_t picture = (size_t)(n->out[0]->rows * y.cols) * sizeof *y.at;
    for (int64_t b = 0; b < it->settings.images; b++)
        memcpy(matrix_row(y, b * n->out[0]->rows), matrix_row(x, b * n->in[0]->rows + first_of(n)),
               picture);
}

static void interpret_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), dx = interp_out(it, n, 0);
    size_t picture = (size_t)(n->in[0]->rows * dy.cols) * sizeof *dy.at;
    interp_zero(dx);
    for (int64_t b = 0; b < it->settings.images; b++)
        memcpy(matrix_row(dx, b * n->out[0]->rows + first_of(n)),
               matrix_row(dy, b * n->in[0]->rows), picture);
}

static void differentiate(struct differ *d, struct node *n, struct value *dy)
{
    grad_through(d, &op_take_tokens_dx, n, dy, NULL, NULL);
}

static void lower(struct lowering *lo, const struct node *n)
{
    const struct value *y = n->out[0];
    struct launch *l = open_launch(lo, DOMAIN_IMAGES, n);
    lower_move_rows(lo, l, n, operand_image(lo, y),
                    operand_shifted(operand_image(lo, n->in[0]), first_of(n) * y->cols * 4),
                    y->rows * y->cols);
}

static void lower_dx(struct lowering *lo, const struct node *n)
{
    const struct value *dx = n->out[0], *dy = n->in[0];
    struct launch *l = open_launch(lo, DOMAIN_IMAGES, n);
    lower_zero(lo, l, n, operand_image(lo, dx), dx->rows * dx->cols);
    lower_move_rows(lo, l, n, operand_shifted(operand_image(lo, dx), first_of(n) * dx->cols * 4),
                    operand_image(lo, dy), dy->rows * dy->cols);
}

static const char *wrong_part(const struct node *n, const struct value *part,
                              const struct value *whole)
{
    if (part->cols != whole->cols)
        return "the widths of the two values differ";
    return first_of(n) < 0 || first_of(n) + part->rows > whole->rows ? "tokens that are not there"
                                                                     : NULL;
}

static const char *wrong(const struct node *n)
{
    return wrong_part(n, n->out[0], n->in[0]);
}

static const char *wrong_dx(const struct node *n)
{
    return wrong_part(n, n->in[0], n->out[0]);
}

static void print(const struct node *n, FILE *out)
{
    if (first_of(n))
        fprintf(out, " index=%d", (int)first_of(n));
}

const struct layer layer_drop_tokens = {
    .name = "drop_tokens",
    .signature = "count: int = 1",
    .doc = "the tokens without the first ones",
    .mixes = MIXES_TOKENS,
    .build = build_drop_tokens,
};

const struct layer layer_take_token = {
    .name = "take_token",
    .signature = "index: int = 0",
    .doc = "one token, as a vector",
    .mixes = MIXES_TOKENS,
    .build = build_take_token,
};

const struct op op_take_tokens = {
    .name = "take_tokens",
    .definition = "y (O,C) = rows index .. index+O-1 of each picture",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret,
    .lower = lower,
    .differentiate = differentiate,
    .print = print,
};

const struct op op_take_tokens_dx = {
    .name = "take_tokens_dx",
    .definition = "in: dy (O,C); out: dx (T,C), zero but for rows index .. index+O-1",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong_dx,
    .interpret = interpret_dx,
    .lower = lower_dx,
    .print = print,
};
