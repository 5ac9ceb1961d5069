/* Positions: a learned vector for each token (Dosovitskiy et al. 2021), or fixed sines and
 * cosines. */
#include "config.h"

#include "compiler/ops/op.h"

#include <math.h>

#include "compiler/graph/build.h"
#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/facts.h"
#include "compiler/ops/shapes.h"
#include "lang/base/arena.h"
#include "lang/base/diag.h"

static bool build_positions(struct builder *b, const struct spec_layer *l, struct tensor x,
                            struct tensor *y)
{
    if (x.kind == TENSOR_VECTOR && !need_kind(b, l, x, TENSOR_TOKENS))
        return false;
    struct node *n = layer_unary(b, &op_positions, l, x, y);
    n->weight = layer_param(b, l, "", 3, (int64_t[]){1, x.v->rows, x.v->cols}, INIT_TRUNC_NORMAL,
                            arg_float(l, 0));
    n->weight->decays = false;
    n->weight->role = PARAM_POSITIONS;
    n->weight->grid_height = x.h;
    n->weight->grid_width = x.w;
    return true;
}

static bool build_positions_sincos(struct builder *b, const struct spec_layer *l, struct tensor x,
                                   struct tensor *y)
{
    int64_t t = x.v->rows, side = (int64_t)sqrt((double)t);
    int h = x.h, w = x.w;
    if (x.kind == TENSOR_VECTOR && !need_kind(b, l, x, TENSOR_TOKENS))
        return false;
    if (x.kind == TENSOR_TOKENS) {
        if (side * side > t)
            side--;
        h = w = (int)side;
        if (side * side != t && side * side + 1 != t) {
            diag_report(b->diag, DIAG_SHAPE_GRID, l->loc,
                        "%s are not a square, nor a class token and a square", tensor_text(b, x));
            diag_help(b->diag, "add the positions to the map, before `tokens`");
            return false;
        }
    }
    if (x.v->cols % 4) {
        diag_report(b->diag, DIAG_SHAPE_DIVIDE, l->loc,
                    "sine-cosine positions need a multiple of 4 channels, not %lld",
                    (long long)x.v->cols);
        return false;
    }
    struct node *n = layer_unary(b, &op_sincos, l, x, y);
    struct sincos facts = {.height = h, .width = w, .temperature = arg_float(l, 0)};
    node_set_facts(b->g, n, &facts, sizeof facts);
    return true;
}

static void interpret(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t i = 0; i < x.rows * x.cols; i++)
        y.at[i] = x.at[i] + it->params[n->weight->id][i % (n->in[0]->rows * x.cols)];
}

static void interpret_dw(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0);
    for (int64_t i = 0; i < dy.rows * dy.cols; i++)
        it->grads[n->weight->id][i % (n->in[0]->rows * dy.cols)] += dy.at[i];
}

/* Column c of the fixed position (y, x), for D columns in four quarters: sin(x w), cos(x w), sin(y
 * w), cos(y w), with w = temperature^(-i / (D / 4)) for the i-th of a quarter. Chen et al., MoCo v3
 * (2021); D is a multiple of 4. */
static double fixed_position(const struct sincos *s, int64_t position, int64_t c, int64_t cols)
{
    int64_t quarter = cols / 4, which = c / quarter;
    int64_t coordinate = which < 2 ? position % s->width : position / s->width;
    double angle =
        (double)coordinate * pow(s->temperature, -(double)(c % quarter) / (double)quarter);
    return which % 2 ? cos(angle) : sin(angle);
}

static void interpret_sincos(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    const struct sincos *s = NODE_FACTS(n, sincos);
    int64_t tokens = n->in[0]->rows, before = tokens - (int64_t)s->height * s->width;
    for (int64_t r = 0; r < x.rows; r++)
        for (int64_t c = 0; c < x.cols; c++) {
            double fixed =
                r % tokens < before ? 0 : fixed_position(s, r % tokens - before, c, x.cols);
            matrix_row(y, r)[c] = matrix_row(x, r)[c] + fixed;
        }
}

static void differentiate(struct differ *d, struct node *n, struct value *dy)
{
    if (grad_learns(n))
        node_input(grad_node(d, &op_positions_dw, n), dy);
    if (grad_wants(d, n->in[0]))
        grad_add_to(d, n->in[0], dy);
}

static void grad_sincos(struct differ *d, struct node *n, struct value *dy)
{
    grad_add_to(d, n->in[0], dy);
}

static void add_positions(struct lowering *lo, const struct node *n, struct operand table)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), KERNEL_positions, n);
    c->operand.positions.y = operand_rows(lo, n->out[0]);
    c->operand.positions.x = operand_rows(lo, n->in[0]);
    c->operand.positions.w = table;
    c->size.positions.C = n->out[0]->cols;
    c->size.positions.rows = n->out[0]->rows;
}

static void lower(struct lowering *lo, const struct node *n)
{
    add_positions(lo, n, operand_param(lo, n->weight, SPACE_PARAMS));
}

/* Sine-cosine table in two dimensions: a quarter of the channels each for sin x, cos x, sin y, cos
 * y. */
static void lower_sincos(struct lowering *lo, const struct node *n)
{
    struct plan *p = lo->plan;
    int64_t cols = n->out[0]->cols, rows = n->out[0]->rows, quarter = cols / 4;
    float *table = arena_array(p->arena, (size_t)(rows * cols), sizeof *table);
    const struct sincos *s = NODE_FACTS(n, sincos);
    float *row = table + (rows - (int64_t)s->height * s->width) * cols;
    for (int i = 0; i < s->height; i++)
        for (int j = 0; j < s->width; j++, row += cols)
            for (int64_t k = 0; k < quarter; k++) {
                double w = pow(s->temperature, -(double)k / (double)quarter);
                row[k] = (float)sin(j * w);
                row[quarter + k] = (float)cos(j * w);
                row[2 * quarter + k] = (float)sin(i * w);
                row[3 * quarter + k] = (float)cos(i * w);
            }
    size_t index = p->nconsts;
    *ARENA_PUSH(p->arena, p->consts, p->nconsts, p->cap_consts) = table;
    size_t counts = index;
    *ARENA_PUSH(p->arena, p->const_counts, counts, p->cap_counts) = (size_t)(rows * cols);
    add_positions(lo, n, operand_region(SPACE_CONST, (int64_t)index, 0, 0));
}

static void lower_dw(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0];
    struct launch *l = later_launch(lo, DOMAIN_PARTS, n);
    l->parts = dy->rows;
    struct call *c = node_call(lo, l, KERNEL_reduce, n);
    struct operand y = operand_param(lo, n->weight, SPACE_GRADS), x = operand_start(lo, dy);
    y.s2 = x.s2 = dy->cols * 4;
    c->operand.reduce.y = y;
    c->operand.reduce.x = x;
    c->size.reduce.n = dy->cols;
    c->size.reduce.stride = dy->rows * dy->cols;
}

static const char *wrong_table(const struct node *n)
{
    const struct value *x = n->in[0];
    return param_is(n->weight, x, 3, (int64_t[]){1, x->rows, x->cols})
               ? NULL
               : "the weight has not one row for each token";
}

static const char *wrong(const struct node *n)
{
    const char *why = wrong_table(n);
    return why ? why : wrong_unless_alike(n);
}

static const char *wrong_sincos(const struct node *n)
{
    const struct sincos *s = NODE_FACTS(n, sincos);
    if ((int64_t)s->height * s->width > n->in[0]->rows || n->in[0]->cols % 4)
        return "the map has more positions than there are tokens, or no quarters of channels";
    return wrong_unless_alike(n);
}

static void print_sincos(const struct node *n, FILE *out)
{
    fprintf(out, " rate=%g", NODE_FACTS(n, sincos)->temperature);
}

const struct layer layer_positions = {
    .name = "positions",
    .signature = "init: float = 0.02",
    .doc = "adds a learned vector to each token",
    .mixes = MIXES_TOKENS,
    .build = build_positions,
};

const struct layer layer_positions_sincos = {
    .name = "positions_sincos",
    .signature = "temperature: float = 10000.0",
    .doc = "adds fixed two-dimensional sine-cosine positions",
    .mixes = MIXES_TOKENS,
    .build = build_positions_sincos,
};

const struct op op_positions = {
    .name = "positions",
    .definition = "y[b,t,:] = x[b,t,:] + w[t,:]; w (1,T,D)",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret,
    .lower = lower,
    .differentiate = differentiate,
};

const struct op op_sincos = {
    .name = "sincos",
    .definition = "y[b,t,:] = x[b,t,:] + table; position (i,j) of height x width, D/4 columns each "
                  "of sin(j w), cos(j w), sin(i w), cos(i w), w_n = rate^(-n / (D/4)); rows before "
                  "the last height*width get none",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong_sincos,
    .interpret = interpret_sincos,
    .lower = lower_sincos,
    .differentiate = grad_sincos,
    .print = print_sincos,
};

const struct op op_positions_dw = {
    .name = "positions_dw",
    .definition = "in: dy; dw[t,:] += sum over the pictures",
    .inputs = 1,
    .outputs = 0,
    .wrong = wrong_table,
    .interpret = interpret_dw,
    .lower = lower_dw,
};
