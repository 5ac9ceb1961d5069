/* Layer normalisation over the channels (Ba et al. 2016), with weight and bias. */
#include "config.h"

#include "compiler/ops/op.h"

#include <math.h>

#include "compiler/graph/build.h"
#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/facts.h"
#include "compiler/ops/shapes.h"

static bool build(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    struct node *n = layer_unary(b, &op_layernorm, l, x, y);
    node_set_facts(b->g, n, &(struct norm){.eps = arg_float(l, 0)}, sizeof(struct norm));
    n->weight = layer_param(b, l, "weight", 1, &x.v->cols, INIT_ONE, 0);
    n->bias = layer_param(b, l, "bias", 1, &x.v->cols, INIT_ZERO, 0);
    node_output(b->g, n, x.v->rows, 2, x.v->experts);
    return true;
}

static void interpret(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0), stats = interp_out(it, n, 1);
    for (int64_t r = 0; r < x.rows; r++) {
        const double *w = interp_slice(it->params, n->weight, x, r),
                     *b = interp_slice(it->params, n->bias, x, r);
        const double *in = matrix_row(x, r);
        double mean = 0, variance = 0;
        for (int64_t c = 0; c < x.cols; c++)
            mean += in[c] / (double)x.cols;
        for (int64_t c = 0; c < x.cols; c++)
            variance += (in[c] - mean) * (in[c] - mean) / (double)x.cols;
        double rstd = 1 / sqrt(variance + NODE_FACTS(n, norm)->eps);
        for (int64_t c = 0; c < x.cols; c++)
            matrix_row(y, r)[c] = (in[c] - mean) * rstd * w[c] + b[c];
        matrix_row(stats, r)[0] = mean;
        matrix_row(stats, r)[1] = rstd;
    }
}

/* With h = xhat and g = dy w: dx = rstd (g - mean(g) - h mean(g h)). */
static void interpret_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), x = interp_in(it, n, 1), stats = interp_in(it, n, 2);
    struct matrix dx = interp_out(it, n, 0);
    for (int64_t r = 0; r < x.rows; r++) {
        const double *w = interp_slice(it->params, n->weight, x, r);
        double *dw = interp_slice(it->grads, n->weight, x, r),
               *db = interp_slice(it->grads, n->bias, x, r);
        const double *in = matrix_row(x, r), *d = matrix_row(dy, r);
        double mean = matrix_row(stats, r)[0], rstd = matrix_row(stats, r)[1], mean_g = 0,
               mean_gh = 0;
        for (int64_t c = 0; c < x.cols; c++) {
            double h = (in[c] - mean) * rstd;
            dw[c] += d[c] * h;
            db[c] += d[c];
            mean_g += d[c] * w[c] / (double)x.cols;
            mean_gh += d[c] * w[c] * h / (double)x.cols;
        }
        for (int64_t c = 0; c < x.cols; c++)
            matrix_row(dx, r)[c] = rstd * (d[c] * w[c] - mean_g - (in[c] - mean) * rstd * mean_gh);
    }
}

static void differentiate(struct differ *d, struct node *n, struct value *dy)
{
    grad_through(d, &op_layernorm_dx, n, dy, n->in[0], n->out[1]);
}

static void lower(struct lowering *lo, const struct node *n)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), KERNEL_layernorm, n);
    c->operand.layernorm.y = operand_rows(lo, n->out[0]);
    c->operand.layernorm.stats = operand_rows(lo, n->out[1]);
    c->operand.layernorm.x = operand_rows(lo, n->in[0]);
    c->operand.layernorm.w = operand_param(lo, n->weight, SPACE_PARAMS);
    c->operand.layernorm.b = operand_param(lo, n->bias, SPACE_PARAMS);
    c->size.layernorm.C = n->in[0]->cols;
    c->real[0] = NODE_FACTS(n, norm)->eps;
}

static void lower_dx(struct lowering *lo, const struct node *n)
{
    int64_t cols = n->out[0]->cols;
    struct launch *l = row_launch(lo, n, n->out[0]);
    struct operand pw = lower_tile_sums(lo, n, cols), pb = lower_tile_sums(lo, n, cols);
    struct call *c = node_call(lo, l, KERNEL_layernorm_dx, n);
    c->operand.layernorm_dx.dx = operand_rows(lo, n->out[0]);
    c->operand.layernorm_dx.dy = operand_rows(lo, n->in[0]);
    c->operand.layernorm_dx.x = operand_rows(lo, n->in[1]);
    c->operand.layernorm_dx.stats = operand_rows(lo, n->in[2]);
    c->operand.layernorm_dx.w = operand_param(lo, n->weight, SPACE_PARAMS);
    c->operand.layernorm_dx.pw = pw;
    c->operand.layernorm_dx.pb = pb;
    c->size.layernorm_dx.C = cols;
    lower_reduce_tiles(lo, n, n->weight, pw, cols);
    lower_reduce_tiles(lo, n, n->bias, pb, cols);
}

static const char *wrong_params(const struct node *n, const struct value *x,
                                const struct value *stats)
{
    if (!shape_same_rows(stats, x) || stats->cols != 2)
        return "the statistics are not two numbers for each row";
    const char *why = wrong_unless_by_column(n->weight, x);
    return why ? why : wrong_unless_by_column(n->bias, x);
}

static const char *wrong(const struct node *n)
{
    const char *why = wrong_unless_alike(n);
    return why ? why : wrong_params(n, n->in[0], n->out[1]);
}

static const char *wrong_dx(const struct node *n)
{
    if (!shape_alike(n->in[0], n->out[0]) || !shape_alike(n->in[1], n->out[0]))
        return "x and the gradients differ in shape";
    return wrong_params(n, n->in[1], n->in[2]);
}

static void print(const struct node *n, FILE *out)
{
    if (NODE_FACTS(n, norm)->eps > 0)
        fprintf(out, " eps=%g", NODE_FACTS(n, norm)->eps);
}

const struct layer layer_layernorm = {
    .name = "layernorm",
    .signature = "eps: float = 1e-6",
    .doc = "normalisation over the channels, with weight and bias",
    .mixes = MIXES_NOTHING,
    .build = build,
};

const struct op op_layernorm = {
    .name = "layernorm",
    .definition = "y = (x - mean) * rstd * w + b over the columns, variance divided by C; out 1: "
                  "stats (R,2) = mean, rstd; eps",
    .inputs = 1,
    .outputs = 2,
    .wrong = wrong,
    .interpret = interpret,
    .lower = lower,
    .differentiate = differentiate,
    .again = AGAIN_CHEAP,
    .print = print,
};

const struct op op_layernorm_dx = {
    .name = "layernorm_dx",
    .definition = "in: dy, x, stats; out: dx; dw += sum dy * xhat; db += sum dy",
    .inputs = 3,
    .outputs = 1,
    .wrong = wrong_dx,
    .interpret = interpret_dx,
    .lower = lower_dx,
    .print = print,
};
