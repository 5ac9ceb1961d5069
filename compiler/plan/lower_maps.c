/* Lowering of nodes that see a whole picture: convolutions, attention, pooling, tokens put before
 * and taken out. */
#include "config.h"

#include "compiler/plan/launch.h"

/* -- convolutions -- */

static bool is_depthwise(const struct node *n)
{
    return n->groups > 1 && n->weight->shape[0] == n->groups && n->weight->shape[1] == 1;
}

static bool is_pointwise(const struct node *n)
{
    return n->kernel == 1 && n->stride == 1 && n->groups == 1;
}

struct conv_shape {
    int64_t H, W, C, k, stride, pad, OH, OW, groups, I, O, taps;
};

static struct conv_shape conv_shape(const struct node *n)
{
    int64_t I = n->weight->shape[1];
    return (struct conv_shape){n->height,
                               n->width,
                               I * n->groups,
                               n->kernel,
                               n->stride,
                               n->padding,
                               n->out_height,
                               n->out_width,
                               n->groups,
                               I,
                               n->weight->shape[0] / n->groups,
                               (int64_t)n->kernel * n->kernel};
}

static void im2col(struct lowering *lo, struct launch *l, const struct node *n, struct buffer *cols,
                   const struct value *x)
{
    struct conv_shape s = conv_shape(n);
    struct call *c = node_call(lo, l, KERNEL_im2col, n);
    call_operand(c, operand_rows_in(cols));
    call_operand(c, operand_start(lo, x));
    for (int i = 0; i < 6; i++)
        call_size(c, (&s.H)[i]);
    call_size(c, s.OW);
    call_size(c, s.OH * s.OW);
    call_size(c, s.groups);
}

/* One kernel serves both directions: the gradient of the input is a convolution of dy, spread out
 * by the stride, with the kernel turned round. */
static void depthwise(struct lowering *lo, const struct node *n, const struct value *y,
                      const struct value *x, bool backward)
{
    struct conv_shape s = conv_shape(n);
    int vector = lo->plan->vector;
    int64_t stride = backward ? 1 : s.stride, oh = backward ? s.H : s.OH,
            ow = backward ? s.W : s.OW;
    struct dwconv_tile t = tile_dwconv(vector, s.C, oh, ow, s.taps);
    struct launch *l = open_launch(lo, DOMAIN_IMAGES, n);
    l->tile = t.images;
    l->parts = t.parts;
    struct call *c = node_call(lo, l, KERNEL_dwconv, n);
    call_operand(c, operand_image(lo, y));
    call_operand(c, operand_image(lo, x));
    call_operand(c, operand_packed(lo, n->weight, false));
    call_operand(c, !backward && n->bias ? operand_param(lo, n->bias, SPACE_PARAMS)
                                         : operand_nowhere());
    int64_t sizes[] = {s.C,
                       backward ? s.OH : s.H,
                       backward ? s.OW : s.W,
                       s.k,
                       stride,
                       backward ? s.k - 1 - s.pad : s.pad,
                       backward ? s.stride : 1,
                       oh,
                       ow,
                       backward,
                       !backward && n->bias,
                       t.band,
                       t.group};
    for (int i = 0; i < 13; i++)
        call_size(c, sizes[i]);
}

void lower_conv(struct lowering *lo, const struct node *n)
{
    const struct value *x = n->in[0], *y = n->out[0];
    struct conv_shape s = conv_shape(n);
    if (is_pointwise(n)) {
        lower_linear(lo, n);
        return;
    }
    if (is_depthwise(n)) {
        depthwise(lo, n, y, x, false);
        return;
    }
    int64_t K = s.taps * s.I;
    close_launch(lo); /* patches reach beyond a tile's own rows */
    struct launch *l = row_launch(lo, n, y);
    struct buffer *cols = row_buffer(lo, n->name, y->rows, K * s.groups);
    im2col(lo, l, n, cols, x);
    for (int g = 0; g < n->groups; g++) {
        lower_gemm(lo, l, n, operand_shifted(operand_rows(lo, y), g * s.O * 4),
                   operand_shifted(operand_rows_in(cols), g * K * 4),
                   operand_shifted(operand_packed(lo, n->weight, false),
                                   g * plan_packed_bytes(lo->plan->vector, s.O, K)),
                   n->bias, (int64_t[]){s.O, K, y->cols, K * s.groups});
        if (n->bias)
            l->calls[l->ncalls - 1].operand[3].offset += g * s.O * 4;
    }
}

void lower_conv_dx(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0], *dx = n->out[0];
    struct conv_shape s = conv_shape(n);
    if (is_pointwise(n)) {
        lower_linear_dx(lo, n);
        return;
    }
    if (is_depthwise(n)) {
        depthwise(lo, n, dx, dy, true);
        return;
    }
    int64_t K = s.taps * s.I;
    struct launch *l = row_launch(lo, n, dy);
    struct buffer *cols = row_buffer(lo, n->name, dy->rows, K * s.groups);
    cols->keep = true;
    for (int g = 0; g < n->groups; g++)
        lower_gemm(lo, l, n, operand_shifted(operand_rows_in(cols), g * K * 4),
                   operand_shifted(operand_rows(lo, dy), g * s.O * 4),
                   operand_shifted(operand_packed(lo, n->weight, true),
                                   g * plan_packed_bytes(lo->plan->vector, K, s.O)),
                   NULL, (int64_t[]){K, s.O, K * s.groups, dy->cols});
    l = open_launch(lo, DOMAIN_IMAGES, n);
    l->parts = s.H;
    struct call *c = node_call(lo, l, KERNEL_col2im, n);
    struct operand from = operand_whole(cols);
    from.s0 = dy->rows * K * s.groups * 4;
    call_operand(c, operand_image(lo, dx));
    call_operand(c, from);
    for (int i = 0; i < 9; i++)
        call_size(c, (&s.H)[i]);
}

/* Slices of pictures are summed apart, then added in their order. Operands count pictures, not
 * slices: a slice has `step` bytes of room for each of its pictures, enough in all for its sums. */
static void depthwise_dw(struct lowering *lo, const struct node *n)
{
    struct conv_shape s = conv_shape(n);
    int64_t vector = lo->plan->vector, vectors = (s.C + vector - 1) / vector,
            one = (s.taps + 1) * vector;
    struct dwconv_tile t = tile_dwconv_dw((int)vector, s.C, s.OH * s.OW, s.taps);
    int64_t step = (vectors * one * 4 / t.images + 64) / 64 * 64,
            slices = (lo->g->micro + t.images - 1) / t.images;
    struct buffer *sums = new_buffer(lo, n->name, slices * t.images * step, 0);
    struct operand to = operand_whole(sums), from = to;
    sums->keep = true;
    to.s0 = step;
    struct launch *l = later_launch(lo, DOMAIN_IMAGES, n);
    l->tile = t.images;
    l->parts = t.parts;
    struct call *c = node_call(lo, l, KERNEL_dwconv_dw, n);
    call_operand(c, to);
    call_operand(c, operand_image(lo, n->in[0]));
    call_operand(c, operand_image(lo, n->in[1]));
    int64_t copied = dwconv_dw_scratch((int)vector, s.H * s.W + s.OH * s.OW);
    call_operand(c, copied ? operand_scratch(lo, n->name, copied) : operand_nowhere());
    int64_t sizes[] = {s.C,     s.H,        s.W, s.k, s.stride, s.pad, s.OH, s.OW, n->bias != NULL,
                       t.group, copied != 0};
    for (int i = 0; i < 11; i++)
        call_size(c, sizes[i]);
    l = later_launch(lo, DOMAIN_PARTS, n);
    l->parts = vectors;
    l->tile = t.images;
    c = node_call(lo, l, KERNEL_dwconv_sum, n);
    struct operand dw = operand_param(lo, n->weight, SPACE_GRADS),
                   db = operand_param(lo, n->bias, SPACE_GRADS);
    dw.s2 = vector * s.taps * 4;
    db.s2 = vector * 4;
    from.s2 = one * 4;
    call_operand(c, dw);
    call_operand(c, db);
    call_operand(c, from);
    call_size(c, s.C);
    call_size(c, s.taps);
    call_size(c, step / 4 * t.images);
    call_size(c, n->bias != NULL);
}

void lower_conv_dw(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0], *x = n->in[1];
    struct conv_shape s = conv_shape(n);
    if (is_depthwise(n)) {
        depthwise_dw(lo, n);
        return;
    }
    if (is_pointwise(n)) {
        lower_linear_dw(lo, n);
        return;
    }
    int64_t K = s.taps * s.I;
    struct buffer *cols = row_buffer(lo, n->name, dy->rows, K * s.groups);
    cols->keep = true;
    struct launch *l = later_launch(lo, DOMAIN_ROWS, n);
    l->rows = dy->rows;
    im2col(lo, l, n, cols, x);
    for (int g = 0; g < n->groups; g++)
        lower_weight_gradient(lo, n, operand_shifted(operand_start(lo, dy), g * s.O * 4),
                              operand_shifted(operand_whole(cols), g * K * 4),
                              (int64_t[]){s.O, s.taps, s.I, dy->cols, K * s.groups, dy->rows}, g);
}

/* -- picture by picture -- */

static struct call *by_images(struct lowering *lo, const struct node *n, enum kernel k,
                              int64_t parts)
{
    struct launch *l = open_launch(lo, DOMAIN_IMAGES, n);
    l->parts = parts;
    struct call *c = node_call(lo, l, k, n);
    for (int i = 0; i < n->nout; i++)
        call_operand(c, operand_image(lo, n->out[i]));
    for (int i = 0; i < n->nin; i++)
        call_operand(c, operand_image(lo, n->in[i]));
    return c;
}

static void attention_sizes(struct lowering *lo, const struct node *n, struct call *c, int64_t T,
                            int64_t D)
{
    call_operand(c, operand_scratch(lo, n->name,
                                    attention_scratch(lo->plan->vector, T, D / n->groups,
                                                      c->kernel == KERNEL_attention_dx)));
    call_size(c, T);
    call_size(c, D);
    call_size(c, n->groups);
}

void lower_attention(struct lowering *lo, const struct node *n)
{
    attention_sizes(lo, n, by_images(lo, n, KERNEL_attention, n->groups), n->in[0]->rows,
                    n->out[0]->cols);
}

void lower_attention_dx(struct lowering *lo, const struct node *n)
{
    attention_sizes(lo, n, by_images(lo, n, KERNEL_attention_dx, n->groups), n->in[0]->rows,
                    n->in[0]->cols);
}

/* Between T rows and one. */
static void one_row(struct lowering *lo, const struct node *n, enum kernel k,
                    const struct value *rows, bool mean)
{
    struct call *c = by_images(lo, n, k, 1);
    call_size(c, rows->rows);
    call_size(c, rows->cols);
    call_size(c, mean);
}

void lower_mean_pool(struct lowering *lo, const struct node *n)
{
    one_row(lo, n, KERNEL_sum_rows, n->in[0], true);
}
void lower_repeat_dx(struct lowering *lo, const struct node *n)
{
    one_row(lo, n, KERNEL_sum_rows, n->in[0], false);
}
void lower_mean_pool_dx(struct lowering *lo, const struct node *n)
{
    one_row(lo, n, KERNEL_spread_rows, n->out[0], true);
}
void lower_repeat(struct lowering *lo, const struct node *n)
{
    one_row(lo, n, KERNEL_spread_rows, n->out[0], false);
}

void lower_matmul(struct lowering *lo, const struct node *n)
{
    struct call *c = by_images(lo, n, KERNEL_matmul, 1);
    const struct value *a = n->in[0], *b = n->in[1];
    call_operand(
        c, operand_scratch(lo, n->name, plan_packed_bytes(lo->plan->vector, b->cols, b->rows)));
    call_size(c, a->rows);
    call_size(c, a->cols);
    call_size(c, b->cols);
}

static void pool(struct lowering *lo, const struct node *n, enum kernel k, bool average)
{
    struct call *c = by_images(lo, n, k, 1);
    if (k == KERNEL_pool_dx && average)
        call_operand(c, operand_nowhere());
    int64_t sizes[] = {n->height,  n->width,      n->out[0]->cols, n->kernel, n->stride,
                       n->padding, n->out_height, n->out_width,    average};
    for (int i = 0; i < 9; i++)
        call_size(c, sizes[i]);
}

void lower_max_pool(struct lowering *lo, const struct node *n)
{
    pool(lo, n, KERNEL_pool, false);
}
void lower_avg_pool(struct lowering *lo, const struct node *n)
{
    pool(lo, n, KERNEL_pool, true);
}
void lower_max_pool_dx(struct lowering *lo, const struct node *n)
{
    pool(lo, n, KERNEL_pool_dx, false);
}
void lower_avg_pool_dx(struct lowering *lo, const struct node *n)
{
    pool(lo, n, KERNEL_pool_dx, true);
}

void lower_transpose(struct lowering *lo, const struct node *n)
{
    struct call *c = by_images(lo, n, KERNEL_transpose, 1);
    call_size(c, n->in[0]->rows);
    call_size(c, n->in[0]->cols);
}

/* Whole rows moved within each picture: a copy with m = 1 and all its numbers in one row. */
static void move_rows(struct lowering *lo, struct launch *l, const struct node *n, struct operand y,
                      struct operand x, int64_t count)
{
    lower_copy(lo, l, n, y, x, count, count, count);
}

void lower_class_token(struct lowering *lo, const struct node *n)
{
    int64_t cols = n->out[0]->cols;
    struct launch *l = open_launch(lo, DOMAIN_IMAGES, n);
    move_rows(lo, l, n, operand_image(lo, n->out[0]), operand_param(lo, n->weight, SPACE_PARAMS),
              cols);
    move_rows(lo, l, n, operand_shifted(operand_image(lo, n->out[0]), cols * 4),
              operand_image(lo, n->in[0]), n->in[0]->rows * cols);
}

void lower_class_token_dx(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0];
    int64_t cols = dy->cols;
    struct launch *l = open_launch(lo, DOMAIN_IMAGES, n);
    move_rows(lo, l, n, operand_image(lo, n->out[0]),
              operand_shifted(operand_image(lo, dy), cols * 4), n->out[0]->rows * cols);
    struct call *c = node_call(lo, later_launch(lo, DOMAIN_PARTS, n), KERNEL_reduce, n);
    call_operand(c, operand_param(lo, n->weight, SPACE_GRADS));
    call_operand(c, operand_start(lo, dy));
    call_size(c, cols);
    call_size(c, dy->rows * cols);
}

void lower_take_tokens(struct lowering *lo, const struct node *n)
{
    const struct value *y = n->out[0];
    struct launch *l = open_launch(lo, DOMAIN_IMAGES, n);
    move_rows(lo, l, n, operand_image(lo, y),
              operand_shifted(operand_image(lo, n->in[0]), n->index * y->cols * 4),
              y->rows * y->cols);
}

void lower_take_tokens_dx(struct lowering *lo, const struct node *n)
{
    const struct value *dx = n->out[0], *dy = n->in[0];
    struct launch *l = open_launch(lo, DOMAIN_IMAGES, n);
    lower_zero(lo, l, n, operand_image(lo, dx), dx->rows * dx->cols);
    move_rows(lo, l, n, operand_shifted(operand_image(lo, dx), n->index * dx->cols * 4),
              operand_image(lo, dy), dy->rows * dy->cols);
}
