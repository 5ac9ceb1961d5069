/* Convolutions of maps. */
#include "config.h"

#include "compiler/ops/op.h"

#include "compiler/graph/build.h"
#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/shapes.h"
#include "compiler/ops/window.h"
#include "lang/base/diag.h"

static int default_padding(int kernel, int stride)
{
    return stride < kernel ? (kernel - 1) / 2 : 0;
}

/* Patches that do not fill the map would leave pixels unseen; who wants that says so with a
 * padding. */
static bool whole_patches(struct builder *b, const struct spec_layer *l, struct tensor x,
                          int kernel, int stride)
{
    if (stride < kernel || stride < 2 || (x.h % stride == 0 && x.w % stride == 0))
        return true;
    diag_report(b->diag, DIAG_SHAPE_DIVIDE, l->loc, "patches of %d px do not divide %s", stride,
                tensor_text(b, x));
    diag_help(b->diag,
              "choose another size of the pictures, or write `padding: 0px` to leave the rest out");
    return false;
}

static bool build(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y)
{
    if (!need_kind(b, l, x, TENSOR_MAP))
        return false;
    int64_t in = x.v->cols, groups = arg_int(l, 3), out = arg_given(l, 4) ? arg_int(l, 4) : in;
    int kernel = arg_size(l, 0), stride = arg_size(l, 1);
    int padding = arg_given(l, 2) ? arg_size(l, 2) : default_padding(kernel, stride);
    if (!layer_positive(b, l, "out", out) || !layer_positive(b, l, "groups", groups))
        return false;
    if (in % groups || out % groups) {
        diag_report(b->diag, DIAG_SHAPE_DIVIDE, l->loc,
                    "groups = %lld must divide the %lld channels in and the %lld out",
                    (long long)groups, (long long)in, (long long)out);
        return false;
    }
    struct conv c = {.groups = (int)groups};
    if (!arg_given(l, 2) && !whole_patches(b, l, x, kernel, stride))
        return false;
    if (!window_make(b, l, x, &c.window, kernel, stride, padding) ||
        layer_too_large(b, l, "the weight's number of elements",
                        (double)in / (double)groups * (double)out * kernel * kernel))
        return false;
    double std;
    if (!layer_weight_std(b, l, 6, kernel * kernel * (in / groups), &std))
        return false;
    struct node *n = layer_node(b, &op_conv, l, x);
    node_set_facts(b->g, n, &c, sizeof c);
    n->weight = layer_param(b, l, "weight", 4, (int64_t[]){out, in / groups, kernel, kernel},
                            INIT_TRUNC_NORMAL, std);
    if (l->args[5].i)
        n->bias = layer_param(b, l, "bias", 1, &out, INIT_ZERO, 0);
    *y = window_output(b, n, &c.window, out);
    return true;
}

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
static void conv_window(const struct window *s, void tap(double *, double *, double *), double *y,
                        double *x, int64_t x_cols, double *w, int64_t inputs, int oy, int ox)
{
    for (int ky = 0; ky < s->kernel; ky++)
        for (int kx = 0; kx < s->kernel; kx++) {
            int iy = oy * s->stride - s->padding + ky, ix = ox * s->stride - s->padding + kx;
            if (iy < 0 || iy >= s->height || ix < 0 || ix >= s->width)
                continue;
            for (int64_t i = 0; i < inputs; i++)
                tap(y, x + ((int64_t)iy * s->width + ix) * x_cols + i,
                    w + (i * s->kernel + ky) * s->kernel + kx);
        }
}

/* The three products of a convolution differ only in which of y, x, w receives: the walk over them
 * is the same. */
static void conv(const struct interp *it, const struct node *n,
                 void tap(double *, double *, double *), struct matrix y, struct matrix x,
                 double *w)
{
    const struct conv *c = NODE_FACTS(n, conv);
    const struct window *s = &c->window;
    int64_t inputs = x.cols / c->groups, outputs = y.cols / c->groups;
    for (int64_t b = 0; b < it->settings.images; b++)
        for (int oy = 0; oy < s->out_height; oy++)
            for (int ox = 0; ox < s->out_width; ox++)
                for (int64_t o = 0; o < y.cols; o++) {
                    double *out = matrix_row(y, (b * s->out_height + oy) * s->out_width + ox) + o;
                    double *in = matrix_row(x, b * s->height * s->width) + o / outputs * inputs;
                    conv_window(s, tap, out, in, x.cols, w + o * inputs * s->kernel * s->kernel,
                                inputs, oy, ox);
                }
}

static void interpret(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < y.rows; r++)
        for (int64_t o = 0; o < y.cols; o++)
            matrix_row(y, r)[o] = n->bias ? it->params[n->bias->id][o] : 0;
    conv(it, n, tap_y, y, x, it->params[n->weight->id]);
}

static void interpret_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), dx = interp_out(it, n, 0);
    interp_zero(dx);
    conv(it, n, tap_x, dy, dx, it->params[n->weight->id]);
}

static void interpret_dw(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), x = interp_in(it, n, 1);
    conv(it, n, tap_w, dy, x, it->grads[n->weight->id]);
    if (n->bias)
        for (int64_t r = 0; r < dy.rows; r++)
            for (int64_t o = 0; o < dy.cols; o++)
                it->grads[n->bias->id][o] += matrix_row(dy, r)[o];
}

static void differentiate(struct differ *d, struct node *n, struct value *dy)
{
    if (grad_wants(d, n->in[0]))
        grad_through(d, &op_conv_dx, n, dy, NULL, NULL);
    if (!grad_learns(n))
        return;
    struct value *x = grad_again(d, n->in[0]);
    struct node *dw = grad_node(d, &op_conv_dw, n);
    node_input(dw, dy);
    node_input(dw, x);
}

static int groups_of(const struct node *n)
{
    return NODE_FACTS(n, conv)->groups;
}

static bool is_depthwise(const struct node *n)
{
    int groups = groups_of(n);
    return groups > 1 && n->weight->shape[0] == groups && n->weight->shape[1] == 1;
}

static bool is_pointwise(const struct node *n)
{
    const struct window *s = &NODE_FACTS(n, conv)->window;
    return s->kernel == 1 && s->stride == 1 && groups_of(n) == 1;
}

struct conv_shape {
    int64_t H, W, C, k, stride, pad, OH, OW, groups, I, O, taps;
};

static struct conv_shape conv_shape(const struct node *n)
{
    const struct window *s = &NODE_FACTS(n, conv)->window;
    int64_t I = n->weight->shape[1], groups = groups_of(n);
    return (struct conv_shape){
        .H = s->height,
        .W = s->width,
        .C = I * groups,
        .k = s->kernel,
        .stride = s->stride,
        .pad = s->padding,
        .OH = s->out_height,
        .OW = s->out_width,
        .groups = groups,
        .I = I,
        .O = n->weight->shape[0] / groups,
        .taps = (int64_t)s->kernel * s->kernel,
    };
}

static void im2col(struct lowering *lo, struct launch *l, const struct node *n, struct buffer *cols,
                   const struct value *x)
{
    struct conv_shape s = conv_shape(n);
    struct call *c = node_call(lo, l, KERNEL_im2col, n);
    c->operand.im2col.y = operand_rows_in(cols);
    c->operand.im2col.x = operand_start(lo, x);
    c->size.im2col = (struct im2col_sizes){.H = s.H,
                                           .W = s.W,
                                           .C = s.C,
                                           .k = s.k,
                                           .stride = s.stride,
                                           .pad = s.pad,
                                           .OW = s.OW,
                                           .rows = s.OH * s.OW,
                                           .groups = s.groups};
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
    c->operand.dwconv.y = operand_image(lo, y);
    c->operand.dwconv.x = operand_image(lo, x);
    c->operand.dwconv.w = operand_packed(lo, n->weight, false);
    c->operand.dwconv.bias =
        !backward && n->bias ? operand_param(lo, n->bias, SPACE_PARAMS) : operand_nowhere();
    c->size.dwconv = (struct dwconv_sizes){.C = s.C,
                                           .H = backward ? s.OH : s.H,
                                           .W = backward ? s.OW : s.W,
                                           .k = s.k,
                                           .stride = stride,
                                           .pad = backward ? s.k - 1 - s.pad : s.pad,
                                           .up = backward ? s.stride : 1,
                                           .OH = oh,
                                           .OW = ow,
                                           .flip = backward,
                                           .biased = !backward && n->bias,
                                           .band = t.band,
                                           .group = t.group};
}

static void lower(struct lowering *lo, const struct node *n)
{
    const struct value *x = n->in[0], *y = n->out[0];
    struct conv_shape s = conv_shape(n);
    if (is_pointwise(n)) {
        lower_rows_by_weight(lo, n);
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
    for (int g = 0; g < s.groups; g++) {
        lower_gemm(lo, l, n, operand_shifted(operand_rows(lo, y), g * s.O * 4),
                   operand_shifted(operand_rows_in(cols), g * K * 4),
                   operand_shifted(operand_packed(lo, n->weight, false),
                                   g * plan_packed_bytes(lo->plan->vector, s.O, K)),
                   n->bias,
                   (struct gemm_sizes){.N = s.O, .K = K, .ldc = y->cols, .lda = K * s.groups});
        if (n->bias)
            l->calls[l->ncalls - 1].operand.gemm.bias.offset += g * s.O * 4;
    }
}

static void lower_dx(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0], *dx = n->out[0];
    struct conv_shape s = conv_shape(n);
    if (is_pointwise(n)) {
        lower_rows_by_transpose(lo, n);
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
    for (int g = 0; g < s.groups; g++)
        lower_gemm(lo, l, n, operand_shifted(operand_rows_in(cols), g * K * 4),
                   operand_shifted(operand_rows(lo, dy), g * s.O * 4),
                   operand_shifted(operand_packed(lo, n->weight, true),
                                   g * plan_packed_bytes(lo->plan->vector, K, s.O)),
                   NULL,
                   (struct gemm_sizes){.N = K, .K = s.O, .ldc = K * s.groups, .lda = dy->cols});
    l = open_launch(lo, DOMAIN_IMAGES, n);
    l->parts = s.H;
    struct call *c = node_call(lo, l, KERNEL_col2im, n);
    struct operand from = operand_whole(cols);
    from.s0 = dy->rows * K * s.groups * 4;
    c->operand.col2im.dx = operand_image(lo, dx);
    c->operand.col2im.dcol = from;
    c->size.col2im = (struct col2im_sizes){.H = s.H,
                                           .W = s.W,
                                           .C = s.C,
                                           .k = s.k,
                                           .stride = s.stride,
                                           .pad = s.pad,
                                           .OH = s.OH,
                                           .OW = s.OW,
                                           .groups = s.groups};
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
    c->operand.dwconv_dw.sums = to;
    c->operand.dwconv_dw.dy = operand_image(lo, n->in[0]);
    c->operand.dwconv_dw.x = operand_image(lo, n->in[1]);
    int64_t copied = dwconv_dw_scratch((int)vector, s.H * s.W + s.OH * s.OW);
    c->operand.dwconv_dw.scratch =
        copied ? operand_scratch(lo, n->name, copied) : operand_nowhere();
    c->size.dwconv_dw = (struct dwconv_dw_sizes){.C = s.C,
                                                 .H = s.H,
                                                 .W = s.W,
                                                 .k = s.k,
                                                 .stride = s.stride,
                                                 .pad = s.pad,
                                                 .OH = s.OH,
                                                 .OW = s.OW,
                                                 .biased = n->bias != NULL,
                                                 .group = t.group,
                                                 .copied = copied != 0};
    l = later_launch(lo, DOMAIN_PARTS, n);
    l->parts = vectors;
    l->tile = t.images;
    c = node_call(lo, l, KERNEL_dwconv_sum, n);
    struct operand dw = operand_param(lo, n->weight, SPACE_GRADS),
                   db = operand_param(lo, n->bias, SPACE_GRADS);
    dw.s2 = vector * s.taps * 4;
    db.s2 = vector * 4;
    from.s2 = one * 4;
    c->operand.dwconv_sum.dw = dw;
    c->operand.dwconv_sum.db = db;
    c->operand.dwconv_sum.sums = from;
    c->size.dwconv_sum.C = s.C;
    c->size.dwconv_sum.taps = s.taps;
    c->size.dwconv_sum.stride = step / 4 * t.images;
    c->size.dwconv_sum.biased = n->bias != NULL;
}

static void lower_dw(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0], *x = n->in[1];
    struct conv_shape s = conv_shape(n);
    if (is_depthwise(n)) {
        depthwise_dw(lo, n);
        return;
    }
    if (is_pointwise(n)) {
        lower_rows_gradient(lo, n);
        return;
    }
    int64_t K = s.taps * s.I;
    struct buffer *cols = row_buffer(lo, n->name, dy->rows, K * s.groups);
    cols->keep = true;
    struct launch *l = later_launch(lo, DOMAIN_ROWS, n);
    l->rows = dy->rows;
    im2col(lo, l, n, cols, x);
    for (int g = 0; g < s.groups; g++)
        lower_weight_gradient(
            lo, n, operand_shifted(operand_start(lo, dy), g * s.O * 4),
            operand_shifted(operand_whole(cols), g * K * 4),
            (struct linear_dw_sizes){
                .N = s.O, .taps = s.taps, .I = s.I, .ldy = dy->cols, .ldx = K * s.groups},
            dy->rows, g);
}

static const char *wrong_between(const struct node *n, const struct value *x, const struct value *y)
{
    const struct conv *c = NODE_FACTS(n, conv);
    int64_t k = c->window.kernel;
    if (x->cols % c->groups || y->cols % c->groups)
        return "the groups do not divide the channels";
    if (!param_is(n->weight, x, 4, (int64_t[]){y->cols, x->cols / c->groups, k, k}))
        return "the weight is not that of these channels and this kernel";
    if (n->bias && !param_is(n->bias, x, 1, &y->cols))
        return "the bias has not one number for each channel";
    return window_wrong(&c->window, x, y);
}

static const char *wrong(const struct node *n)
{
    return wrong_between(n, n->in[0], n->out[0]);
}

static const char *wrong_dx(const struct node *n)
{
    return wrong_between(n, n->out[0], n->in[0]);
}

static const char *wrong_dw(const struct node *n)
{
    return wrong_between(n, n->in[1], n->in[0]);
}

static int64_t macs(const struct node *n)
{
    const struct conv *c = NODE_FACTS(n, conv);
    int64_t inputs = n->in[0]->cols / c->groups;
    return n->out[0]->rows * n->out[0]->cols * inputs * c->window.kernel * c->window.kernel;
}

static struct factor factor(const struct node *n)
{
    struct conv_shape s = conv_shape(n);
    return (struct factor){.rows = s.O,
                           .taps = s.taps,
                           .in = s.I,
                           .groups = s.groups,
                           .experts = 1,
                           .single = is_depthwise(n)};
}

static void print(const struct node *n, FILE *out)
{
    window_print(&NODE_FACTS(n, conv)->window, out);
    fprintf(out, " groups=%d", groups_of(n));
}

const struct layer layer_conv = {
    .name = "conv",
    .signature = "kernel: px, stride: px = 1px, padding: px?, groups: int = 1, out: int?, bias: "
                 "bool = true, init: float? where $init == none or $init >= 0, "
                 "gain: float? where $gain == none or $gain >= 0",
    .doc = "convolution of a map; padding defaults to (kernel - 1) / 2, or 0 where the stride is "
           "not below the kernel; init: deviation of the weights, 0.02, or, by gain, gain / root "
           "of the number of inputs of an output",
    .mixes = MIXES_TOKENS,
    .build = build,
};

const struct op op_conv = {
    .name = "conv",
    .definition = "map (height,width,I) to (out_height,out_width,O), zero padding, groups; w "
                  "(O,I/groups,kernel,kernel)",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret,
    .lower = lower,
    .differentiate = differentiate,
    .macs = macs,
    .factor = factor,
    .print = print,
};

const struct op op_conv_dx = {
    .name = "conv_dx",
    .definition = "in: dy; out: dx",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong_dx,
    .interpret = interpret_dx,
    .lower = lower_dx,
    .factor = factor,
    .transposed = true,
    .print = print,
};

const struct op op_conv_dw = {
    .name = "conv_dw",
    .definition = "in: dy, x; dw, db",
    .inputs = 2,
    .outputs = 0,
    .wrong = wrong_dw,
    .interpret = interpret_dw,
    .lower = lower_dw,
    .print = print,
};
