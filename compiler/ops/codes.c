/* Learned codes that each token is compared with: by the cosine of the angle (cosine), or by the
 * squared distance (distance). */
#include "config.h"

#include "compiler/ops/op.h"

#include <math.h>

#include "compiler/graph/build.h"
#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/shapes.h"

/* Learned codes that each token is compared with. */
static bool build_codes(struct builder *b, const struct op *op, const struct spec_layer *l,
                        struct tensor x, struct tensor *y)
{
    int64_t in = x.v->cols, out = arg_int(l, 0);
    if (!layer_positive(b, l, "out", out) ||
        layer_too_large(b, l, "the codes' number of elements",
                        (double)in * (double)out * (b->experts ? b->experts->count : 1)))
        return false;
    struct node *n = layer_node(b, op, l, x);
    n->experts = x.v->experts;
    n->weight = layer_param(b, l, "", 2, (int64_t[]){out, in}, INIT_TRUNC_NORMAL, arg_float(l, 1));
    *y = tensor_like(x, node_output(b->g, n, x.v->rows, out, x.v->experts));
    return true;
}

static bool build_cosine_codes(struct builder *b, const struct spec_layer *l, struct tensor x,
                               struct tensor *y)
{
    return build_codes(b, &op_cosine, l, x, y);
}

static bool build_distance_codes(struct builder *b, const struct spec_layer *l, struct tensor x,
                                 struct tensor *y)
{
    return build_codes(b, &op_distance, l, x, y);
}

static double length(const double *x, int64_t n)
{
    return fmax(sqrt(interp_dot(x, x, n)), 1e-12);
}

static void interpret_cosine(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < x.rows; r++) {
        const double *w = interp_slice(it->params, n->weight, x, r), *row = matrix_row(x, r);
        for (int64_t o = 0; o < y.cols; o++)
            matrix_row(y, r)[o] = interp_dot(row, w + o * x.cols, x.cols) /
                                  (length(row, x.cols) * length(w + o * x.cols, x.cols));
    }
}

/* d cos / d x = w / (|x| |w|) - cos x / |x|^2, and the same with x and w exchanged. */
static void interpret_cosine_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), x = interp_in(it, n, 1), y = interp_in(it, n, 2),
                  dx = interp_out(it, n, 0);
    int64_t cols = x.cols;
    for (int64_t r = 0; r < x.rows; r++) {
        const double *weights = interp_slice(it->params, n->weight, x, r), *row = matrix_row(x, r);
        double *slopes = interp_slice(it->grads, n->weight, x, r), lx = length(row, cols),
               *to = matrix_row(dx, r);
        for (int64_t c = 0; c < cols; c++)
            to[c] = 0;
        for (int64_t o = 0; o < dy.cols; o++) {
            const double *w = weights + o * cols;
            double lw = length(w, cols), d = matrix_row(dy, r)[o], cosine = matrix_row(y, r)[o];
            for (int64_t c = 0; c < cols; c++) {
                to[c] += d * (w[c] / (lx * lw) - cosine * row[c] / (lx * lx));
                slopes[o * cols + c] += d * (row[c] / (lx * lw) - cosine * w[c] / (lw * lw));
            }
        }
    }
}

static void interpret_distance(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < x.rows; r++)
        for (int64_t o = 0; o < y.cols; o++) {
            const double *w = interp_slice(it->params, n->weight, x, r) + o * x.cols;
            double sum = 0;
            for (int64_t c = 0; c < x.cols; c++)
                sum += pow(matrix_row(x, r)[c] - w[c], 2);
            matrix_row(y, r)[o] = -sum;
        }
}

static void interpret_distance_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), x = interp_in(it, n, 1), dx = interp_out(it, n, 0);
    for (int64_t r = 0; r < x.rows; r++) {
        const double *w = interp_slice(it->params, n->weight, x, r);
        double *dw = interp_slice(it->grads, n->weight, x, r);
        for (int64_t c = 0; c < x.cols; c++) {
            double sum = 0;
            for (int64_t o = 0; o < dy.cols; o++) {
                double slope = 2 * matrix_row(dy, r)[o] * (matrix_row(x, r)[c] - w[o * x.cols + c]);
                sum -= slope;
                dw[o * x.cols + c] += slope;
            }
            matrix_row(dx, r)[c] = sum;
        }
    }
}

static void grad_cosine(struct differ *d, struct node *n, struct value *dy)
{
    grad_through(d, &op_cosine_dx, n, dy, n->in[0], n->out[0]);
}

static void grad_distance(struct differ *d, struct node *n, struct value *dy)
{
    grad_through(d, &op_distance_dx, n, dy, n->in[0], NULL);
}

static void lower_codes(struct lowering *lo, const struct node *n, enum codes kind)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), KERNEL_codes, n);
    c->operand.codes.y = operand_rows(lo, n->out[0]);
    c->operand.codes.x = operand_rows(lo, n->in[0]);
    c->operand.codes.w = operand_param(lo, n->weight, SPACE_PARAMS);
    c->operand.codes.scratch = operand_scratch(lo, n->name, n->out[0]->cols * 4);
    c->size.codes.C = n->in[0]->cols;
    c->size.codes.O = n->out[0]->cols;
    c->size.codes.kind = kind;
}

static void lower_codes_dx(struct lowering *lo, const struct node *n, enum codes kind)
{
    int64_t cols = n->out[0]->cols, codes = n->in[0]->cols;
    struct launch *l = row_launch(lo, n, n->out[0]);
    struct operand pw = lower_tile_sums(lo, n, cols * codes);
    struct call *c = node_call(lo, l, KERNEL_codes_dx, n);
    c->operand.codes_dx.dx = operand_rows(lo, n->out[0]);
    c->operand.codes_dx.dy = operand_rows(lo, n->in[0]);
    c->operand.codes_dx.x = operand_rows(lo, n->in[1]);
    c->operand.codes_dx.y = kind == CODES_COSINE ? operand_rows(lo, n->in[2]) : operand_nowhere();
    c->operand.codes_dx.w = operand_param(lo, n->weight, SPACE_PARAMS);
    c->operand.codes_dx.pw = pw;
    c->operand.codes_dx.scratch = operand_scratch(lo, n->name, codes * 4);
    c->size.codes_dx.C = cols;
    c->size.codes_dx.O = codes;
    c->size.codes_dx.kind = kind;
    lower_reduce_tiles(lo, n, n->weight, pw, cols * codes);
}

static void lower_cosine(struct lowering *lo, const struct node *n)
{
    lower_codes(lo, n, CODES_COSINE);
}

static void lower_distance(struct lowering *lo, const struct node *n)
{
    lower_codes(lo, n, CODES_DISTANCE);
}

static void lower_cosine_dx(struct lowering *lo, const struct node *n)
{
    lower_codes_dx(lo, n, CODES_COSINE);
}

static void lower_distance_dx(struct lowering *lo, const struct node *n)
{
    lower_codes_dx(lo, n, CODES_DISTANCE);
}

static const char *wrong(const struct node *n)
{
    return n->bias ? "codes have no bias" : wrong_unless_product(n, n->in[0], n->out[0]);
}

static const char *wrong_dx(const struct node *n)
{
    if (!shape_alike(n->in[1], n->out[0]))
        return "x and its gradient differ in shape";
    if (n->nin > 2 && !shape_alike(n->in[2], n->in[0]))
        return "y and its gradient differ in shape";
    return wrong_unless_product(n, n->in[1], n->in[0]);
}

static int64_t macs(const struct node *n)
{
    return graph_rows(n->in[0]) * n->in[0]->cols * n->out[0]->cols;
}

const struct layer layer_cosine_codes = {
    .name = "cosine_codes",
    .signature = "out: int, init: float = 0.02 where $init >= 0",
    .doc = "similarity to learned codes: <x, w> / (|x| |w|)",
    .mixes = MIXES_NOTHING,
    .build = build_cosine_codes,
};

const struct layer layer_distance_codes = {
    .name = "distance_codes",
    .signature = "out: int, init: float = 0.02 where $init >= 0",
    .doc = "closeness to learned codes: -|x - w|^2",
    .mixes = MIXES_NOTHING,
    .build = build_distance_codes,
};

const struct op op_cosine = {
    .name = "cosine",
    .definition = "y (R,O) = <x, w_o> / (max(|x|, 1e-12) max(|w_o|, 1e-12)); w (O,I)",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret_cosine,
    .lower = lower_cosine,
    .differentiate = grad_cosine,
    .macs = macs,
};

const struct op op_distance = {
    .name = "distance",
    .definition = "y (R,O) = -sum over i of (x_i - w_oi)^2; w (O,I)",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret_distance,
    .lower = lower_distance,
    .differentiate = grad_distance,
    .macs = macs,
};

const struct op op_cosine_dx = {
    .name = "cosine_dx",
    .definition = "in: dy, x, y; out: dx; dw",
    .inputs = 3,
    .outputs = 1,
    .wrong = wrong_dx,
    .interpret = interpret_cosine_dx,
    .lower = lower_cosine_dx,
};

const struct op op_distance_dx = {
    .name = "distance_dx",
    .definition = "in: dy, x; out: dx; dw",
    .inputs = 2,
    .outputs = 1,
    .wrong = wrong_dx,
    .interpret = interpret_distance_dx,
    .lower = lower_distance_dx,
};
