/* The interpreter's nodes that look at the rows of a whole picture: convolution, pooling,
 * transposition, tokens and positions, with their gradients. Maps are row-major: position (y, x) is
 * row y * width + x of its picture. */
#include "config.h"

#include "compiler/graph/interpret_node.h"

#include <math.h>
#include <string.h>

static void zero(struct matrix m)
{
    memset(m.at, 0, (size_t)(m.rows * m.cols) * sizeof *m.at);
}

/* -- convolution -- */

static void tap_y(double *y, double *x, double *w)
{
    *y += *x * *w;
}
static void tap_x(double *y, double *x, double *w)
{
    *x += *y * *w;
}
static void tap_w(double *y, double *x, double *w)
{
    *w += *y * *x;
}

/* One output: call `tap` on each input and weight it meets inside the map. */
static void conv_window(const struct node *n, void tap(double *, double *, double *), double *y,
                        double *x, int64_t x_cols, double *w, int64_t inputs, int oy, int ox)
{
    for (int ky = 0; ky < n->kernel; ky++)
        for (int kx = 0; kx < n->kernel; kx++) {
            int iy = oy * n->stride - n->padding + ky, ix = ox * n->stride - n->padding + kx;
            if (iy < 0 || iy >= n->height || ix < 0 || ix >= n->width)
                continue;
            for (int64_t i = 0; i < inputs; i++)
                tap(y, x + ((int64_t)iy * n->width + ix) * x_cols + i,
                    w + (i * n->kernel + ky) * n->kernel + kx);
        }
}

/* The three products of a convolution differ only in which of y, x, w receives: the walk over them
 * is the same. */
static void conv(const struct interp *it, const struct node *n,
                 void tap(double *, double *, double *), struct matrix y, struct matrix x,
                 double *w)
{
    int64_t inputs = x.cols / n->groups, outputs = y.cols / n->groups;
    for (int64_t b = 0; b < it->settings.images; b++)
        for (int oy = 0; oy < n->out_height; oy++)
            for (int ox = 0; ox < n->out_width; ox++)
                for (int64_t o = 0; o < y.cols; o++) {
                    double *out = matrix_row(y, (b * n->out_height + oy) * n->out_width + ox) + o;
                    double *in = matrix_row(x, b * n->height * n->width) + o / outputs * inputs;
                    conv_window(n, tap, out, in, x.cols, w + o * inputs * n->kernel * n->kernel,
                                inputs, oy, ox);
                }
}

void interpret_conv(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < y.rows; r++)
        for (int64_t o = 0; o < y.cols; o++)
            matrix_row(y, r)[o] = n->bias ? it->params[n->bias->id][o] : 0;
    conv(it, n, tap_y, y, x, it->params[n->weight->id]);
}

void interpret_conv_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), dx = interp_out(it, n, 0);
    zero(dx);
    conv(it, n, tap_x, dy, dx, it->params[n->weight->id]);
}

void interpret_conv_dw(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), x = interp_in(it, n, 1);
    conv(it, n, tap_w, dy, x, it->grads[n->weight->id]);
    if (n->bias)
        for (int64_t r = 0; r < dy.rows; r++)
            for (int64_t o = 0; o < dy.cols; o++)
                it->grads[n->bias->id][o] += matrix_row(dy, r)[o];
}

/* -- pooling -- */

/* The rows of a picture, of the part of output position `r`'s window that lies inside the map. */
struct window {
    int top, bottom, left, right;
};

static struct window pool_window(const struct node *n, int64_t r)
{
    int y = (int)(r / n->out_width) * n->stride - n->padding,
        x = (int)(r % n->out_width) * n->stride - n->padding;
    return (struct window){
        .top = y > 0 ? y : 0,
        .bottom = y + n->kernel < n->height ? y + n->kernel : n->height,
        .left = x > 0 ? x : 0,
        .right = x + n->kernel < n->width ? x + n->kernel : n->width,
    };
}

static int64_t pool_positions(const struct node *n)
{
    return (int64_t)n->out_height * n->out_width;
}

static double *map_at(const struct node *n, struct matrix map, int64_t b, int y, int x)
{
    return matrix_row(map, (b * n->height + y) * n->width + x);
}

/* The row in which column c is largest, the first of equals. */
static double *window_largest(const struct node *n, struct matrix x, int64_t b, struct window w,
                              int64_t c)
{
    double *best = map_at(n, x, b, w.top, w.left);
    for (int i = w.top; i < w.bottom; i++)
        for (int j = w.left; j < w.right; j++)
            if (map_at(n, x, b, i, j)[c] > best[c])
                best = map_at(n, x, b, i, j);
    return best;
}

void interpret_max_pool(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < y.rows; r++)
        for (int64_t c = 0; c < y.cols; c++) {
            struct window w = pool_window(n, r % pool_positions(n));
            matrix_row(y, r)[c] = window_largest(n, x, r / pool_positions(n), w, c)[c];
        }
}

void interpret_max_pool_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), x = interp_in(it, n, 1), dx = interp_out(it, n, 0);
    zero(dx);
    for (int64_t r = 0; r < dy.rows; r++)
        for (int64_t c = 0; c < dy.cols; c++) {
            struct window w = pool_window(n, r % pool_positions(n));
            const double *best = window_largest(n, x, r / pool_positions(n), w, c);
            dx.at[best - x.at + c] += matrix_row(dy, r)[c];
        }
}

static int64_t window_size(struct window w)
{
    return (int64_t)(w.bottom - w.top) * (w.right - w.left);
}

void interpret_avg_pool(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    zero(y);
    for (int64_t r = 0; r < y.rows; r++) {
        struct window w = pool_window(n, r % pool_positions(n));
        for (int i = w.top; i < w.bottom; i++)
            for (int j = w.left; j < w.right; j++)
                for (int64_t c = 0; c < y.cols; c++)
                    matrix_row(y, r)[c] +=
                        map_at(n, x, r / pool_positions(n), i, j)[c] / (double)window_size(w);
    }
}

void interpret_avg_pool_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), dx = interp_out(it, n, 0);
    zero(dx);
    for (int64_t r = 0; r < dy.rows; r++) {
        struct window w = pool_window(n, r % pool_positions(n));
        for (int i = w.top; i < w.bottom; i++)
            for (int j = w.left; j < w.right; j++)
                for (int64_t c = 0; c < dy.cols; c++)
                    map_at(n, dx, r / pool_positions(n), i, j)[c] +=
                        matrix_row(dy, r)[c] / (double)window_size(w);
    }
}

void interpret_mean_pool(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    int64_t tokens = n->in[0]->rows;
    zero(y);
    for (int64_t r = 0; r < x.rows; r++)
        for (int64_t c = 0; c < x.cols; c++)
            matrix_row(y, r / tokens)[c] += matrix_row(x, r)[c] / (double)tokens;
}

void interpret_mean_pool_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), dx = interp_out(it, n, 0);
    int64_t tokens = n->out[0]->rows;
    for (int64_t r = 0; r < dx.rows; r++)
        for (int64_t c = 0; c < dx.cols; c++)
            matrix_row(dx, r)[c] = matrix_row(dy, r / tokens)[c] / (double)tokens;
}

/* -- tokens -- */

void interpret_transpose(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t b = 0; b < it->settings.images; b++)
        for (int64_t r = 0; r < y.cols; r++)
            for (int64_t c = 0; c < x.cols; c++)
                matrix_row(y, b * x.cols + c)[r] = matrix_row(x, b * y.cols + r)[c];
}

void interpret_class_token(struct interp *it, const struct node *n)
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

void interpret_class_token_dx(struct interp *it, const struct node *n)
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

void interpret_take_tokens(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    size_t picture = (size_t)(n->out[0]->rows * y.cols) * sizeof *y.at;
    for (int64_t b = 0; b < it->settings.images; b++)
        memcpy(matrix_row(y, b * n->out[0]->rows), matrix_row(x, b * n->in[0]->rows + n->index),
               picture);
}

void interpret_take_tokens_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), dx = interp_out(it, n, 0);
    size_t picture = (size_t)(n->in[0]->rows * dy.cols) * sizeof *dy.at;
    zero(dx);
    for (int64_t b = 0; b < it->settings.images; b++)
        memcpy(matrix_row(dx, b * n->out[0]->rows + n->index), matrix_row(dy, b * n->in[0]->rows),
               picture);
}

void interpret_positions(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t i = 0; i < x.rows * x.cols; i++)
        y.at[i] = x.at[i] + it->params[n->weight->id][i % (n->in[0]->rows * x.cols)];
}

void interpret_positions_dw(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0);
    for (int64_t i = 0; i < dy.rows * dy.cols; i++)
        it->grads[n->weight->id][i % (n->in[0]->rows * dy.cols)] += dy.at[i];
}

/* Column c of the fixed position (y, x), for D columns in four quarters: sin(x w), cos(x w), sin(y
 * w), cos(y w), with w = temperature^(-i / (D / 4)) for the i-th of a quarter. Chen et al., MoCo v3
 * (2021); D is a multiple of 4. */
static double fixed_position(const struct node *n, int64_t position, int64_t c, int64_t cols)
{
    int64_t quarter = cols / 4, which = c / quarter;
    int64_t coordinate = which < 2 ? position % n->width : position / n->width;
    double angle = (double)coordinate * pow(n->rate, -(double)(c % quarter) / (double)quarter);
    return which % 2 ? cos(angle) : sin(angle);
}

void interpret_sincos(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    int64_t tokens = n->in[0]->rows, before = tokens - (int64_t)n->height * n->width;
    for (int64_t r = 0; r < x.rows; r++)
        for (int64_t c = 0; c < x.cols; c++) {
            double fixed =
                r % tokens < before ? 0 : fixed_position(n, r % tokens - before, c, x.cols);
            matrix_row(y, r)[c] = matrix_row(x, r)[c] + fixed;
        }
}
