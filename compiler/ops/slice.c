/* Channels first .. first+O-1. */
#include "config.h"

#include "compiler/ops/op.h"

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

static bool build(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    int64_t from = arg_int(l, 0), count = arg_int(l, 1);
    if (from < 0 || count < 1 || from > x.v->cols || count > x.v->cols - from) {
        diag_report(b->diag, DIAG_SHAPE_MISMATCH, l->loc, "channels %lld .. %lld of %s",
                    (long long)from, (long long)from + count - 1, tensor_text(b, x));
        return false;
    }
    struct node *n = layer_node(b, &op_slice, l, x);
    n->experts = x.v->experts;
    node_set_facts(b->g, n, &(struct range){from}, sizeof(struct range));
    *y = tensor_like(x, node_output(b->g, n, x.v->rows, count, x.v->experts));
    return true;
}

static void interpret(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < y.rows; r++)
        for (int64_t c = 0; c < y.cols; c++)
            matrix_row(y, r)[c] = matrix_row(x, r)[first_of(n) + c];
}

static void interpret_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), dx = interp_out(it, n, 0);
    for (int64_t r = 0; r < dx.rows; r++)
        for (int64_t c = 0; c < dx.cols; c++)
            matrix_row(dx, r)[c] = c >= first_of(n) && c < first_of(n) + dy.cols
                                       ? matrix_row(dy, r)[c - first_of(n)]
                                       : 0;
}

static void differentiate(struct differ *d, struct node *n, struct value *dy)
{
    grad_through(d, &op_slice_dx, n, dy, NULL, NULL);
}

static void lower(struct lowering *lo, const struct node *n)
{
    const struct value *x = n->in[0], *y = n->out[0];
    struct launch *l = row_launch(lo, n, y);
    lower_copy(lo, l, n, operand_rows(lo, y), operand_shifted(operand_rows(lo, x), first_of(n) * 4),
               y->cols, y->cols, x->cols);
}

static void lower_dx(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0], *dx = n->out[0];
    struct launch *l = row_launch(lo, n, dx);
    lower_zero(lo, l, n, operand_rows(lo, dx), dx->cols);
    lower_copy(lo, l, n, operand_shifted(operand_rows(lo, dx), first_of(n) * 4),
               operand_rows(lo, dy), dy->cols, dx->cols, dy->cols);
}

static const char *wrong_part(const struct node *n, const struct value *part,
                              const struct value *whole)
{
    if (!shape_same_rows(part, whole))
        return "the rows of the two values differ";
    return first_of(n) < 0 || first_of(n) + part->cols > whole->cols ? "channels that are not there"
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

const struct layer layer_slice = {
    .name = "slice",
    .signature = "from: int, count: int",
    .doc = "channels from .. from+count-1",
    .mixes = MIXES_NOTHING,
    .build = build,
};

const struct op op_slice = {
    .name = "slice",
    .definition = "y (R,O) = x[:, index .. index+O-1]",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret,
    .lower = lower,
    .differentiate = differentiate,
    .print = print,
};

const struct op op_slice_dx = {
    .name = "slice_dx",
    .definition = "in: dy (R,O); out: dx (R,C), zero outside index .. index+O-1",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong_dx,
    .interpret = interpret_dx,
    .lower = lower_dx,
    .print = print,
};
