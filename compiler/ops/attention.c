/* Softmax attention (Vaswani et al. 2017, eq. 1) of tokens that hold q, k and v of all heads side
 * by side. */
#include "config.h"

#include "compiler/ops/op.h"

#include <math.h>

#include "compiler/graph/build.h"
#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/facts.h"
#include "compiler/ops/shapes.h"
#include "lang/base/diag.h"

static int heads_of(const struct node *n)
{
    return NODE_FACTS(n, attention)->heads;
}

static bool build(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    int64_t heads = arg_int(l, 0), dim = x.v->cols / 3;
    if (!need_kind(b, l, x, TENSOR_TOKENS))
        return false;
    if (x.v->cols % 3 || heads < 1 || heads > dim || dim % heads) {
        diag_report(b->diag, DIAG_SHAPE_DIVIDE, l->loc,
                    "attention takes q, k and v of %lld heads side by side; %lld channels do "
                    "not divide so",
                    (long long)heads, (long long)x.v->cols);
        diag_help(b->diag, "put linear(out: 3 * dim) in front, with heads dividing dim");
        return false;
    }
    struct node *n = layer_node(b, &op_attention, l, x);
    node_set_facts(b->g, n, &(struct attention){.heads = (int)heads}, sizeof(struct attention));
    *y = tensor_tokens(node_output(b->g, n, x.v->rows, dim, NULL));
    node_output(b->g, n, x.v->rows, heads, NULL);
    return true;
}

/* One head of one picture. */
struct head {
    const struct matrix *x;
    int64_t row, tokens, dim; /* first row of the picture, T, D / heads */
    int64_t q, k, v;          /* first columns */
};

static struct head head_of(const struct matrix *x, int64_t image, int64_t tokens, int64_t head,
                           int64_t heads)
{
    int64_t width = x->cols / 3, dim = width / heads;
    return (struct head){.x = x,
                         .row = image * tokens,
                         .tokens = tokens,
                         .dim = dim,
                         .q = head * dim,
                         .k = width + head * dim,
                         .v = 2 * width + head * dim};
}

/* Scaled score of token t for token s. */
static double score(const struct head *h, int64_t t, int64_t s)
{
    const double *q = matrix_row(*h->x, h->row + t) + h->q,
                 *k = matrix_row(*h->x, h->row + s) + h->k;
    double sum = 0;
    for (int64_t i = 0; i < h->dim; i++)
        sum += q[i] * k[i];
    return sum / sqrt((double)h->dim);
}

static double log_sum_exp(const struct head *h, int64_t t)
{
    double largest = score(h, t, 0), sum = 0;
    for (int64_t s = 1; s < h->tokens; s++)
        largest = fmax(largest, score(h, t, s));
    for (int64_t s = 0; s < h->tokens; s++)
        sum += exp(score(h, t, s) - largest);
    return largest + log(sum);
}

static void interpret(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0), lse = interp_out(it, n, 1);
    int64_t tokens = n->in[0]->rows;
    for (int64_t i = 0; i < y.rows * y.cols; i++)
        y.at[i] = 0;
    for (int64_t r = 0; r < x.rows; r++)
        for (int64_t g = 0; g < lse.cols; g++) {
            struct head h = head_of(&x, r / tokens, tokens, g, lse.cols);
            double total = matrix_row(lse, r)[g] = log_sum_exp(&h, r % tokens);
            for (int64_t s = 0; s < tokens; s++) {
                double p = exp(score(&h, r % tokens, s) - total);
                for (int64_t i = 0; i < h.dim; i++)
                    matrix_row(y, r)[h.q + i] += p * matrix_row(x, h.row + s)[h.v + i];
            }
        }
}

/* With p = softmax of the scores: dv_s += p_ts dy_t, and dscore_ts = p_ts (dy_t . v_s - dy_t . y_t)
 * gives dq_t and dk_s. */
static void interpret_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), x = interp_in(it, n, 1), y = interp_in(it, n, 2),
                  lse = interp_in(it, n, 3);
    struct matrix dx = interp_out(it, n, 0);
    int64_t tokens = n->in[0]->rows;
    for (int64_t i = 0; i < dx.rows * dx.cols; i++)
        dx.at[i] = 0;
    for (int64_t r = 0; r < x.rows; r++)
        for (int64_t g = 0; g < lse.cols; g++) {
            struct head h = head_of(&x, r / tokens, tokens, g, lse.cols);
            const double *d = matrix_row(dy, r) + h.q;
            double mean = interp_dot(d, matrix_row(y, r) + h.q, h.dim);
            for (int64_t s = 0; s < tokens; s++) {
                const double *from = matrix_row(x, h.row + s);
                double *to = matrix_row(dx, h.row + s),
                       p = exp(score(&h, r % tokens, s) - matrix_row(lse, r)[g]);
                double slope = p * (interp_dot(d, from + h.v, h.dim) - mean) / sqrt((double)h.dim);
                for (int64_t i = 0; i < h.dim; i++) {
                    to[h.v + i] += p * d[i];
                    to[h.k + i] += slope * matrix_row(x, r)[h.q + i];
                    matrix_row(dx, r)[h.q + i] += slope * from[h.k + i];
                }
            }
        }
}

static void differentiate(struct differ *d, struct node *n, struct value *dy)
{
    struct value *lse = grad_again(d, n->out[1]);
    struct node *m = grad_through(d, &op_attention_dx, n, dy, n->in[0], n->out[0]);
    node_input(m, lse);
}

static struct operand room(struct lowering *lo, const struct node *n, int64_t dim, bool backward)
{
    int64_t bytes =
        attention_scratch(lo->plan->vector, n->in[0]->rows, dim / heads_of(n), backward);
    return operand_scratch(lo, n->name, bytes);
}

static void lower(struct lowering *lo, const struct node *n)
{
    int64_t dim = n->out[0]->cols;
    struct call *c = lower_by_images(lo, n, KERNEL_attention, heads_of(n));
    c->operand.attention.scratch = room(lo, n, dim, false);
    c->size.attention =
        (struct attention_sizes){.T = n->in[0]->rows, .D = dim, .heads = heads_of(n)};
}

static void lower_dx(struct lowering *lo, const struct node *n)
{
    int64_t dim = n->in[0]->cols;
    struct call *c = lower_by_images(lo, n, KERNEL_attention_dx, heads_of(n));
    c->operand.attention_dx.scratch = room(lo, n, dim, true);
    c->size.attention_dx =
        (struct attention_dx_sizes){.T = n->in[0]->rows, .D = dim, .heads = heads_of(n)};
}

static const char *wrong_between(const struct node *n, const struct value *x, const struct value *y,
                                 const struct value *lse)
{
    if (x->rows != y->rows || x->cols != 3 * y->cols || y->cols % heads_of(n))
        return "x does not hold q, k and v of all heads";
    return shape_is(lse, x->rows, heads_of(n)) ? NULL : "one sum for each token and head is needed";
}

static const char *wrong(const struct node *n)
{
    return wrong_between(n, n->in[0], n->out[0], n->out[1]);
}

static const char *wrong_dx(const struct node *n)
{
    if (!shape_alike(n->in[0], n->in[2]) || !shape_alike(n->in[1], n->out[0]))
        return "values and their gradients differ in shape";
    return wrong_between(n, n->in[1], n->in[2], n->in[3]);
}

static int64_t macs(const struct node *n)
{
    const struct value *x = n->in[0];
    return 2 * x->rows * x->rows * (x->cols / 3);
}

static void print(const struct node *n, FILE *out)
{
    fprintf(out, " groups=%d", heads_of(n));
}

const struct layer layer_attention = {
    .name = "attention",
    .signature = "heads: int",
    .doc = "softmax attention of tokens (T,3D) = q, k, v to (T,D), scaled by 1/sqrt(D / heads)",
    .mixes = MIXES_TOKENS,
    .build = build,
};

const struct op op_attention = {
    .name = "attention",
    .definition = "x (T,3D) = q, k, v of heads side by side; y (T,D) = softmax(q k^T / "
                  "sqrt(D/heads)) v; out 1: (T,heads) log-sum-exp of the scaled scores",
    .inputs = 1,
    .outputs = 2,
    .wrong = wrong,
    .interpret = interpret,
    .lower = lower,
    .differentiate = differentiate,
    .macs = macs,
    .print = print,
};

const struct op op_attention_dx = {
    .name = "attention_dx",
    .definition = "in: dy, x, y, log-sum-exp; out: dx (T,3D)",
    .inputs = 4,
    .outputs = 1,
    .wrong = wrong_dx,
    .interpret = interpret_dx,
    .lower = lower_dx,
    .print = print,
};
