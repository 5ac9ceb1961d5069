/* The interpreter's attention. A row of x holds q, k and v side by side, each of all heads side by
 * side. */
#include "config.h"

#include "compiler/graph/interpret_node.h"

#include <math.h>

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

void interpret_attention(struct interp *it, const struct node *n)
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

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* With p = softmax of the scores: dv_s += p_ts dy_t, and dscore_ts = p_ts (dy_t . v_s - dy_t . y_t)
 * gives dq_t and dk_s. */
void interpret_attention_dx(struct interp *it, const struct node *n)
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
            double mean = dot(d, matrix_row(y, r) + h.q, h.dim);
            for (int64_t s = 0; s < tokens; s++) {
                const double *from = matrix_row(x, h.row + s);
                double *to = matrix_row(dx, h.row + s),
                       p = exp(score(&h, r % tokens, s) - matrix_row(lse, r)[g]);
                double slope = p * (dot(d, from + h.v, h.dim) - mean) / sqrt((double)h.dim);
                for (int64_t i = 0; i < h.dim; i++) {
                    to[h.v + i] += p * d[i];
                    to[h.k + i] += slope * matrix_row(x, r)[h.q + i];
                    matrix_row(dx, r)[h.q + i] += slope * from[h.k + i];
                }
            }
        }
}
