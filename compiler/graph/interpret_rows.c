/* The interpreter's nodes that treat each row alone: linear, layer norm, activations, scale, drops,
 * columns, sums and the loss, with their gradients. Rows may be routed: interp_slice() gives the
 * weights of a row's expert. */
#include "config.h"

#include "compiler/graph/interpret_node.h"

#include <math.h>

/* -- linear -- */

void interpret_linear(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < x.rows; r++) {
        const double *w = interp_slice(it->params, n->weight, x, r),
                     *b = interp_slice(it->params, n->bias, x, r);
        for (int64_t o = 0; o < y.cols; o++) {
            double sum = b ? b[o] : 0;
            for (int64_t i = 0; i < x.cols; i++)
                sum += matrix_row(x, r)[i] * w[o * x.cols + i];
            matrix_row(y, r)[o] = sum;
        }
    }
}

void interpret_linear_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), dx = interp_out(it, n, 0);
    for (int64_t r = 0; r < dy.rows; r++) {
        const double *w = interp_slice(it->params, n->weight, dy, r);
        for (int64_t i = 0; i < dx.cols; i++) {
            double sum = 0;
            for (int64_t o = 0; o < dy.cols; o++)
                sum += matrix_row(dy, r)[o] * w[o * dx.cols + i];
            matrix_row(dx, r)[i] = sum;
        }
    }
}

void interpret_linear_dw(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), x = interp_in(it, n, 1);
    for (int64_t r = 0; r < dy.rows; r++) {
        double *dw = interp_slice(it->grads, n->weight, dy, r),
               *db = interp_slice(it->grads, n->bias, dy, r);
        for (int64_t o = 0; o < dy.cols; o++) {
            for (int64_t i = 0; i < x.cols; i++)
                dw[o * x.cols + i] += matrix_row(dy, r)[o] * matrix_row(x, r)[i];
            if (db)
                db[o] += matrix_row(dy, r)[o];
        }
    }
}

/* -- layer norm -- */

void interpret_layernorm(struct interp *it, const struct node *n)
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
        double rstd = 1 / sqrt(variance + n->eps);
        for (int64_t c = 0; c < x.cols; c++)
            matrix_row(y, r)[c] = (in[c] - mean) * rstd * w[c] + b[c];
        matrix_row(stats, r)[0] = mean;
        matrix_row(stats, r)[1] = rstd;
    }
}

/* With h = xhat and g = dy w: dx = rstd (g - mean(g) - h mean(g h)). */
void interpret_layernorm_dx(struct interp *it, const struct node *n)
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

/* -- activations -- */

static double gelu(double x)
{
    return x * interp_normal_cdf(x);
}

static double gelu_slope(double x)
{
    return interp_normal_cdf(x) + x * interp_normal_pdf(x);
}

static double relu(double x)
{
    return x > 0 ? x : 0;
}

static double relu_slope(double x)
{
    return x > 0;
}

static double silu(double x)
{
    return x / (1 + exp(-x));
}

static double silu_slope(double x)
{
    double s = 1 / (1 + exp(-x));
    return s * (1 + x * (1 - s));
}

static void map(struct interp *it, const struct node *n, double f(double))
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t i = 0; i < x.rows * x.cols; i++)
        y.at[i] = f(x.at[i]);
}

static void map_dx(struct interp *it, const struct node *n, double slope(double))
{
    struct matrix dy = interp_in(it, n, 0), x = interp_in(it, n, 1), dx = interp_out(it, n, 0);
    for (int64_t i = 0; i < x.rows * x.cols; i++)
        dx.at[i] = dy.at[i] * slope(x.at[i]);
}

void interpret_gelu(struct interp *it, const struct node *n)
{
    map(it, n, gelu);
}
void interpret_relu(struct interp *it, const struct node *n)
{
    map(it, n, relu);
}
void interpret_silu(struct interp *it, const struct node *n)
{
    map(it, n, silu);
}
void interpret_gelu_dx(struct interp *it, const struct node *n)
{
    map_dx(it, n, gelu_slope);
}
void interpret_relu_dx(struct interp *it, const struct node *n)
{
    map_dx(it, n, relu_slope);
}
void interpret_silu_dx(struct interp *it, const struct node *n)
{
    map_dx(it, n, silu_slope);
}

/* -- scale -- */

void interpret_scale(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < x.rows; r++) {
        const double *w = interp_slice(it->params, n->weight, x, r);
        for (int64_t c = 0; c < x.cols; c++)
            matrix_row(y, r)[c] = matrix_row(x, r)[c] * w[c];
    }
}

void interpret_scale_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), x = interp_in(it, n, 1), dx = interp_out(it, n, 0);
    for (int64_t r = 0; r < x.rows; r++) {
        const double *w = interp_slice(it->params, n->weight, x, r);
        double *dw = interp_slice(it->grads, n->weight, x, r);
        for (int64_t c = 0; c < x.cols; c++) {
            matrix_row(dx, r)[c] = matrix_row(dy, r)[c] * w[c];
            dw[c] += matrix_row(dy, r)[c] * matrix_row(x, r)[c];
        }
    }
}

/* -- drop path and dropout: linear, so the gradient is the node itself on dy, with the same key
 * -- */

/* The token a row belongs to, counted over all images of the call, and which of its choices the row
 * is. */
static int64_t row_token(struct matrix x, int64_t r)
{
    return x.routing ? x.routing->pair[x.first + r] / x.moe->top_k : r;
}

static int64_t row_choice(struct matrix x, int64_t r)
{
    return x.routing ? x.routing->pair[x.first + r] % x.moe->top_k : 0;
}

void interpret_drop_path(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    int64_t tokens = x.moe ? x.moe->tokens * x.moe->span : n->in[0]->rows;
    double p = it->g->training ? n->rate * it->settings.drop_path : 0;
    for (int64_t r = 0; r < x.rows; r++) {
        double u[4];
        interp_uniform(it, (uint32_t)(it->settings.first_image + row_token(x, r) / tokens), 0,
                       n->key, u);
        for (int64_t c = 0; c < x.cols; c++)
            matrix_row(y, r)[c] = u[0] >= p ? matrix_row(x, r)[c] / (1 - p) : 0;
    }
}

void interpret_dropout(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    int64_t tokens = x.moe ? x.moe->tokens * x.moe->span : n->in[0]->rows;
    double rate = it->g->training ? n->rate : 0;
    for (int64_t r = 0; r < x.rows; r++)
        for (int64_t c = 0; c < x.cols; c++) {
            double u[4];
            int64_t block = c / 4 + (x.cols + 3) / 4 * row_choice(x, r);
            interp_uniform(it, (uint32_t)(it->settings.first_image * tokens + row_token(x, r)),
                           (uint32_t)block, n->key, u);
            matrix_row(y, r)[c] = u[c % 4] >= rate ? matrix_row(x, r)[c] / (1 - rate) : 0;
        }
}

/* -- columns -- */

void interpret_slice(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < y.rows; r++)
        for (int64_t c = 0; c < y.cols; c++)
            matrix_row(y, r)[c] = matrix_row(x, r)[n->index + c];
}

void interpret_slice_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), dx = interp_out(it, n, 0);
    for (int64_t r = 0; r < dx.rows; r++)
        for (int64_t c = 0; c < dx.cols; c++)
            matrix_row(dx, r)[c] =
                c >= n->index && c < n->index + dy.cols ? matrix_row(dy, r)[c - n->index] : 0;
}

void interpret_concat(struct interp *it, const struct node *n)
{
    struct matrix y = interp_out(it, n, 0);
    int64_t at = 0;
    for (int i = 0; i < n->nin; i++) {
        struct matrix x = interp_in(it, n, i);
        for (int64_t r = 0; r < x.rows; r++)
            for (int64_t c = 0; c < x.cols; c++)
                matrix_row(y, r)[at + c] = matrix_row(x, r)[c];
        at += x.cols;
    }
}

/* -- sums and products -- */

void interpret_add(struct interp *it, const struct node *n)
{
    struct matrix a = interp_in(it, n, 0), b = interp_in(it, n, 1), y = interp_out(it, n, 0);
    for (int64_t i = 0; i < y.rows * y.cols; i++)
        y.at[i] = a.at[i] + b.at[i];
}

void interpret_mul(struct interp *it, const struct node *n)
{
    struct matrix a = interp_in(it, n, 0), b = interp_in(it, n, 1), y = interp_out(it, n, 0);
    for (int64_t i = 0; i < y.rows * y.cols; i++)
        y.at[i] = a.at[i] * b.at[i];
}

/* -- loss -- */

void interpret_cross_entropy(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), target = interp_in(it, n, 1);
    struct matrix loss = interp_out(it, n, 0), dx = interp_out(it, n, 1);
    for (int64_t r = 0; r < x.rows; r++) {
        const double *in = matrix_row(x, r), *t = matrix_row(target, r);
        double largest = in[0], sum = 0;
        for (int64_t c = 0; c < x.cols; c++)
            largest = fmax(largest, in[c]);
        for (int64_t c = 0; c < x.cols; c++)
            sum += exp(in[c] - largest);
        loss.at[r] = 0;
        for (int64_t c = 0; c < x.cols; c++) {
            double log_p = in[c] - largest - log(sum);
            loss.at[r] -= t[c] * log_p;
            matrix_row(dx, r)[c] = (exp(log_p) - t[c]) * it->settings.loss_scale;
        }
    }
}

void interpret_binary_cross_entropy(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), target = interp_in(it, n, 1);
    struct matrix loss = interp_out(it, n, 0), dx = interp_out(it, n, 1);
    for (int64_t r = 0; r < x.rows; r++) {
        loss.at[r] = 0;
        for (int64_t c = 0; c < x.cols; c++) {
            double in = matrix_row(x, r)[c], t = matrix_row(target, r)[c];
            double log_s = -log1p(exp(-fabs(in))) + fmin(in, 0), log_rest = log_s - in;
            loss.at[r] -= (t * log_s + (1 - t) * log_rest) / (double)x.cols;
            matrix_row(dx, r)[c] = (exp(log_s) - t) / (double)x.cols * it->settings.loss_scale;
        }
    }
}
