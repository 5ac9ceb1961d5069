/* Pooling of maps: the largest of each window (max_pool), or the mean over its positions inside the
 * map (avg_pool). */
#include "config.h"

#include "compiler/ops/op.h"

#include "compiler/graph/build.h"
#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/shapes.h"
#include "compiler/ops/window.h"

static bool build(struct builder *b, const struct op *op, const struct spec_layer *l,
                  struct tensor x, struct tensor *y)
{
    if (!need_kind(b, l, x, TENSOR_MAP))
        return false;
    struct window w;
    int kernel = arg_size(l, 0), stride = arg_given(l, 1) ? arg_size(l, 1) : kernel;
    if (!window_make(b, l, x, &w, kernel, stride, arg_size(l, 2)))
        return false;
    struct node *n = layer_node(b, op, l, x);
    node_set_facts(b->g, n, &w, sizeof w);
    *y = window_output(b, n, &w, x.v->cols);
    return true;
}

static bool build_max_pool(struct builder *b, const struct spec_layer *l, struct tensor x,
                           struct tensor *y)
{
    return build(b, &op_max_pool, l, x, y);
}

static bool build_avg_pool(struct builder *b, const struct spec_layer *l, struct tensor x,
                           struct tensor *y)
{
    return build(b, &op_avg_pool, l, x, y);
}

/* The rows of a picture, of the part of output position `r`'s window that lies inside the map. */
struct part {
    int top, bottom, left, right;
};

static struct part part_inside(const struct window *s, int64_t r)
{
    int y = (int)(r / s->out_width) * s->stride - s->padding,
        x = (int)(r % s->out_width) * s->stride - s->padding;
    return (struct part){
        .top = y > 0 ? y : 0,
        .bottom = y + s->kernel < s->height ? y + s->kernel : s->height,
        .left = x > 0 ? x : 0,
        .right = x + s->kernel < s->width ? x + s->kernel : s->width,
    };
}

static int64_t positions_of(const struct window *s)
{
    return (int64_t)s->out_height * s->out_width;
}

static double *map_at(const struct window *s, struct matrix map, int64_t b, int y, int x)
{
    return matrix_row(map, (b * s->height + y) * s->width + x);
}

/* The row in which column c is largest, the first of equals. */
static double *largest_of(const struct window *s, struct matrix x, int64_t b, struct part w,
                          int64_t c)
{
    double *best = map_at(s, x, b, w.top, w.left);
    for (int i = w.top; i < w.bottom; i++)
        for (int j = w.left; j < w.right; j++)
            if (map_at(s, x, b, i, j)[c] > best[c])
                best = map_at(s, x, b, i, j);
    return best;
}

static void interpret_max_pool(struct interp *it, const struct node *n)
{
    const struct window *s = NODE_FACTS(n, window);
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < y.rows; r++)
        for (int64_t c = 0; c < y.cols; c++) {
            struct part w = part_inside(s, r % positions_of(s));
            matrix_row(y, r)[c] = largest_of(s, x, r / positions_of(s), w, c)[c];
        }
}

static void interpret_max_pool_dx(struct interp *it, const struct node *n)
{
    const struct window *s = NODE_FACTS(n, window);
    struct matrix dy = interp_in(it, n, 0), x = interp_in(it, n, 1), dx = interp_out(it, n, 0);
    interp_zero(dx);
    for (int64_t r = 0; r < dy.rows; r++)
        for (int64_t c = 0; c < dy.cols; c++) {
            struct part w = part_inside(s, r % positions_of(s));
            const double *best = largest_of(s, x, r / positions_of(s), w, c);
            dx.at[best - x.at + c] += matrix_row(dy, r)[c];
        }
}

static int64_t size_of(struct part w)
{
    return (int64_t)(w.bottom - w.top) * (w.right - w.left);
}

static void interpret_avg_pool(struct interp *it, const struct node *n)
{
    const struct window *s = NODE_FACTS(n, window);
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    interp_zero(y);
    for (int64_t r = 0; r < y.rows; r++) {
        struct part w = part_inside(s, r % positions_of(s));
        for (int i = w.top; i < w.bottom; i++)
            for (int j = w.left; j < w.right; j++)
                for (int64_t c = 0; c < y.cols; c++)
                    matrix_row(y, r)[c] +=
                        map_at(s, x, r / positions_of(s), i, j)[c] / (double)size_of(w);
    }
}

static void interpret_avg_pool_dx(struct interp *it, const struct node *n)
{
    const struct window *s = NODE_FACTS(n, window);
    struct matrix dy = interp_in(it, n, 0), dx = interp_out(it, n, 0);
    interp_zero(dx);
    for (int64_t r = 0; r < dy.rows; r++) {
        struct part w = part_inside(s, r % positions_of(s));
        for (int i = w.top; i < w.bottom; i++)
            for (int j = w.left; j < w.right; j++)
                for (int64_t c = 0; c < dy.cols; c++)
                    map_at(s, dx, r / positions_of(s), i, j)[c] +=
                        matrix_row(dy, r)[c] / (double)size_of(w);
    }
}

static void grad_max_pool(struct differ *d, struct node *n, struct value *dy)
{
    grad_through(d, &op_max_pool_dx, n, dy, n->in[0], NULL);
}

static void grad_avg_pool(struct differ *d, struct node *n, struct value *dy)
{
    grad_through(d, &op_avg_pool_dx, n, dy, NULL, NULL);
}

static struct pool_sizes sizes_of(const struct node *n, bool average)
{
    const struct window *s = NODE_FACTS(n, window);
    return (struct pool_sizes){.H = s->height,
                               .W = s->width,
                               .C = n->out[0]->cols,
                               .k = s->kernel,
                               .stride = s->stride,
                               .pad = s->padding,
                               .OH = s->out_height,
                               .OW = s->out_width,
                               .average = average};
}

static void lower(struct lowering *lo, const struct node *n, bool average)
{
    lower_by_images(lo, n, KERNEL_pool, 1)->size.pool = sizes_of(n, average);
}

static void lower_dx(struct lowering *lo, const struct node *n, bool average)
{
    struct pool_sizes s = sizes_of(n, average);
    struct call *c = lower_by_images(lo, n, KERNEL_pool_dx, 1);
    c->size.pool_dx = (struct pool_dx_sizes){.H = s.H,
                                             .W = s.W,
                                             .C = s.C,
                                             .k = s.k,
                                             .stride = s.stride,
                                             .pad = s.pad,
                                             .OH = s.OH,
                                             .OW = s.OW,
                                             .average = average};
}

static void lower_max_pool(struct lowering *lo, const struct node *n)
{
    lower(lo, n, false);
}

static void lower_avg_pool(struct lowering *lo, const struct node *n)
{
    lower(lo, n, true);
}

static void lower_max_pool_dx(struct lowering *lo, const struct node *n)
{
    lower_dx(lo, n, false);
}

static void lower_avg_pool_dx(struct lowering *lo, const struct node *n)
{
    lower_dx(lo, n, true);
}

static const char *wrong_between(const struct node *n, const struct value *x, const struct value *y)
{
    if (x->cols != y->cols)
        return "the channels of the two maps differ";
    return window_wrong(NODE_FACTS(n, window), x, y);
}

static const char *wrong(const struct node *n)
{
    return wrong_between(n, n->in[0], n->out[0]);
}

static const char *wrong_dx(const struct node *n)
{
    if (n->nin > 1 && !shape_alike(n->in[1], n->out[0]))
        return "x and its gradient differ in shape";
    return wrong_between(n, n->out[0], n->in[0]);
}

static void print(const struct node *n, FILE *out)
{
    window_print(NODE_FACTS(n, window), out);
}

const struct layer layer_max_pool = {
    .name = "max_pool",
    .signature = "kernel: px, stride: px?, padding: px = 0px",
    .doc = "largest of each window; stride defaults to the kernel",
    .mixes = MIXES_TOKENS,
    .build = build_max_pool,
};

const struct layer layer_avg_pool = {
    .name = "avg_pool",
    .signature = "kernel: px, stride: px?, padding: px = 0px",
    .doc = "mean of each window, padding not counted",
    .mixes = MIXES_TOKENS,
    .build = build_avg_pool,
};

const struct op op_max_pool = {
    .name = "max_pool",
    .definition = "largest of each kernel x kernel window (padding never wins; ties: first in "
                  "row-major order)",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret_max_pool,
    .lower = lower_max_pool,
    .differentiate = grad_max_pool,
    .print = print,
};

const struct op op_avg_pool = {
    .name = "avg_pool",
    .definition = "mean of each window over the positions inside the map",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret_avg_pool,
    .lower = lower_avg_pool,
    .differentiate = grad_avg_pool,
    .print = print,
};

const struct op op_max_pool_dx = {
    .name = "max_pool_dx",
    .definition = "in: dy, x; out: dx: dy goes to the first largest of each window",
    .inputs = 2,
    .outputs = 1,
    .wrong = wrong_dx,
    .interpret = interpret_max_pool_dx,
    .lower = lower_max_pool_dx,
    .print = print,
};

const struct op op_avg_pool_dx = {
    .name = "avg_pool_dx",
    .definition = "in: dy; out: dx",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong_dx,
    .interpret = interpret_avg_pool_dx,
    .lower = lower_avg_pool_dx,
    .print = print,
};
