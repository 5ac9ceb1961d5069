/* The interpreter's layers that routers and soft routing are made of: learned codes, softmax,
 * gains, products of two values. */
#include "config.h"

#include "compiler/graph/interpret_node.h"

#include <math.h>

/* -- learned codes -- */

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static double length(const double *x, int64_t n)
{
    return fmax(sqrt(dot(x, x, n)), 1e-12);
}

void interpret_cosine(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < x.rows; r++) {
        const double *w = interp_slice(it->params, n->weight, x, r), *row = matrix_row(x, r);
        for (int64_t o = 0; o < y.cols; o++)
            matrix_row(y, r)[o] = dot(row, w + o * x.cols, x.cols) /
                                  (length(row, x.cols) * length(w + o * x.cols, x.cols));
    }
}

/* d cos / d x = w / (|x| |w|) - cos x / |x|^2, and the same with x and w exchanged. */
void interpret_cosine_dx(struct interp *it, const struct node *n)
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

void interpret_distance(struct interp *it, const struct node *n)
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

void interpret_distance_dx(struct interp *it, const struct node *n)
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

/* -- softmax -- */

void interpret_softmax(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < x.rows; r++)
        interp_softmax(matrix_row(y, r), matrix_row(x, r), x.cols);
}

void interpret_softmax_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), y = interp_in(it, n, 1), dx = interp_out(it, n, 0);
    for (int64_t r = 0; r < y.rows; r++) {
        double mean = dot(matrix_row(dy, r), matrix_row(y, r), y.cols);
        for (int64_t c = 0; c < y.cols; c++)
            matrix_row(dx, r)[c] = matrix_row(y, r)[c] * (matrix_row(dy, r)[c] - mean);
    }
}

/* -- one learned number -- */

static double factor(const struct node *n, double w)
{
    return n->index ? exp(fmin(w, n->rate)) : w;
}

static double factor_slope(const struct node *n, double w)
{
    return !n->index ? 1 : w <= n->rate ? exp(w) : 0;
}

void interpret_gain(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < x.rows; r++)
        for (int64_t c = 0; c < x.cols; c++)
            matrix_row(y, r)[c] =
                matrix_row(x, r)[c] * factor(n, *interp_slice(it->params, n->weight, x, r));
}

void interpret_gain_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), x = interp_in(it, n, 1), dx = interp_out(it, n, 0);
    for (int64_t r = 0; r < x.rows; r++) {
        double w = *interp_slice(it->params, n->weight, x, r);
        for (int64_t c = 0; c < x.cols; c++)
            matrix_row(dx, r)[c] = matrix_row(dy, r)[c] * factor(n, w);
        *interp_slice(it->grads, n->weight, x, r) +=
            dot(matrix_row(dy, r), matrix_row(x, r), x.cols) * factor_slope(n, w);
    }
}

/* -- products of two values, and repeated rows -- */

void interpret_matmul(struct interp *it, const struct node *n)
{
    struct matrix a = interp_in(it, n, 0), b = interp_in(it, n, 1), y = interp_out(it, n, 0);
    int64_t rows = n->in[0]->rows, inner = n->in[1]->rows;
    for (int64_t r = 0; r < y.rows; r++)
        for (int64_t c = 0; c < y.cols; c++) {
            double sum = 0;
            for (int64_t k = 0; k < inner; k++)
                sum += matrix_row(a, r)[k] * matrix_row(b, r / rows * inner + k)[c];
            matrix_row(y, r)[c] = sum;
        }
}

void interpret_repeat(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < y.rows; r++)
        for (int64_t c = 0; c < y.cols; c++)
            matrix_row(y, r)[c] = matrix_row(x, r / n->out[0]->rows)[c];
}

void interpret_repeat_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), dx = interp_out(it, n, 0);
    for (int64_t r = 0; r < dx.rows; r++)
        for (int64_t c = 0; c < dx.cols; c++) {
            matrix_row(dx, r)[c] = 0;
            for (int64_t t = 0; t < n->in[0]->rows; t++)
                matrix_row(dx, r)[c] += matrix_row(dy, r * n->in[0]->rows + t)[c];
        }
}
