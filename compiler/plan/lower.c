/* Graph -> launches: one rule for each kind of node. Row-wise nodes join the open launch when they run over the same rows, so that
 * a chain such as norm, linear, activation, linear, scale, add becomes one pass over tiles; reductions over all rows wait until
 * the chain ends. */
#include "config.h"

#include <math.h>

#include "compiler/plan/lower.h"
#include "lang/base/arena.h"

/* -- launches and calls -- */

struct launch *new_launch(struct arena *a, struct function *f, enum domain domain, const char *name)
{
    struct launch *l = arena_alloc(a, sizeof *l);
    l->domain = domain;
    l->name = name;
    l->parts = 1;
    l->rows = 1;
    if (f)
        *ARENA_PUSH(a, f->launches, f->n, f->cap) = l;
    return l;
}

struct call *add_call(struct arena *a, struct launch *l, enum kernel k, const char *name)
{
    struct call *c = ARENA_PUSH(a, l->calls, l->ncalls, l->cap);
    *c = (struct call){.kernel = k, .name = name};
    return c;
}

void call_size(struct call *c, int64_t v)
{
    c->size[c->nsizes++] = v;
}

void call_operand(struct call *c, struct operand o)
{
    c->operand[c->noperands++] = o;
}

struct operand in_region(enum space space, int64_t offset, int64_t s1, int64_t s2)
{
    return (struct operand){.space = space, .offset = offset, .s1 = s1, .s2 = s2};
}

struct operand nowhere(void)
{
    return (struct operand){.space = SPACE_NONE};
}

static void close_launch(struct lowering *lo)
{
    lo->open = NULL;
    for (size_t i = 0; i < lo->ndeferred; i++)
        *ARENA_PUSH(lo->plan->arena, lo->f->launches, lo->f->n, lo->f->cap) = lo->deferred[i];
    lo->ndeferred = 0;
}

static struct launch *launch(struct lowering *lo, enum domain domain, const struct node *n)
{
    close_launch(lo);
    return new_launch(lo->plan->arena, lo->f, domain, n->name);
}

/* A launch over everything that need not run before the open chain ends. */
static struct launch *later(struct lowering *lo, enum domain domain, const struct node *n)
{
    struct launch *l = new_launch(lo->plan->arena, NULL, domain, n->name);
    *ARENA_PUSH(lo->plan->arena, lo->deferred, lo->ndeferred, lo->cap_deferred) = l;
    return l;
}

static struct buffer *decisions_of(struct lowering *lo, const struct moe *m)
{
    for (size_t i = 0; i < lo->g->nforward; i++)
        if (lo->g->nodes[i]->op == NODE_route && lo->g->nodes[i]->moe == m)
            return lo->of_value[lo->g->nodes[i]->out[2]->id];
    return NULL;
}

/* The launch over the rows of v. */
static struct launch *rows_of(struct lowering *lo, const struct node *n, const struct value *v)
{
    struct launch *l = lo->open;
    if (l && lo->fuse && l->moe == v->moe && (v->moe || l->rows == v->rows))
        return l;
    l = launch(lo, v->moe ? DOMAIN_EXPERTS : DOMAIN_ROWS, n);
    l->rows = v->rows;
    l->moe = v->moe;
    l->decisions = v->moe ? decisions_of(lo, v->moe) : NULL;
    return lo->open = l;
}

static struct call *call(struct lowering *lo, struct launch *l, enum kernel k, const struct node *n)
{
    return add_call(lo->plan->arena, l, k, n->name);
}

/* -- buffers and operands -- */

static struct buffer *new_buffer(struct lowering *lo, const char *name, int64_t bytes, int64_t row_bytes)
{
    struct buffer *b = arena_alloc(lo->plan->arena, sizeof *b);
    b->id = (int)lo->nbuffers;
    b->name = name;
    b->bytes = bytes;
    b->row_bytes = row_bytes;
    b->space = SPACE_ARENA;
    *ARENA_PUSH(lo->plan->arena, lo->buffers, lo->nbuffers, lo->cap_buffers) = b;
    return b;
}

static struct buffer *row_buffer(struct lowering *lo, const char *name, int64_t rows, int64_t cols)
{
    return new_buffer(lo, name, rows * cols * 4 * lo->g->micro, cols * 4);
}

static struct buffer *buffer_of(struct lowering *lo, const struct value *v)
{
    return lo->of_value[v->id];
}

static struct operand whole(struct buffer *b)
{
    return (struct operand){.space = b->space, .buffer = b};
}

static struct operand rows_in(struct buffer *b)
{
    return (struct operand){.space = b->space, .buffer = b, .s0 = b->row_bytes};
}

static struct operand by_rows(struct lowering *lo, const struct value *v)
{
    return rows_in(buffer_of(lo, v));
}

static struct operand by_image(struct lowering *lo, const struct value *v)
{
    struct operand o = whole(buffer_of(lo, v));
    o.s0 = v->rows * v->cols * 4;
    return o;
}

static struct operand from_start(struct lowering *lo, const struct value *v)
{
    return whole(buffer_of(lo, v));
}

static struct operand shifted(struct operand o, int64_t bytes)
{
    o.offset += bytes;
    return o;
}

static struct operand of_param(struct lowering *lo, const struct param *p, enum space space)
{
    return p ? in_region(space, lo->plan->params[p->id].offset, p->experts ? p->count / p->experts * 4 : 0, 0) : nowhere();
}

static struct operand packed(struct lowering *lo, const struct param *p, bool transposed)
{
    const struct placed_param *q = &lo->plan->params[p->id];
    return in_region(SPACE_PACKED, transposed ? q->packed_t : q->packed,
                     p->experts ? (transposed ? q->packed_t_slice : q->packed_slice) : 0, 0);
}

static struct operand kernel_scratch(struct lowering *lo, const char *name, int64_t bytes)
{
    struct buffer *b = new_buffer(lo, name, bytes, 0);
    b->space = SPACE_SCRATCH;
    return whole(b);
}

/* Sums of a tile for a param's gradient: one row of `cols` for each tile of the open launch. */
static struct operand tile_sums(struct lowering *lo, const struct node *n, int64_t cols)
{
    struct buffer *b = new_buffer(lo, n->name, 0, 0);
    b->bytes = -cols * 4;                       /* times the tiles, once those are known: place_buffers() */
    b->keep = true;
    struct operand o = whole(b);
    o.s2 = cols * 4;
    return o;
}

/* Add the sums of all tiles to the gradient, in their order. */
static void reduce_tiles(struct lowering *lo, const struct node *n, const struct param *p, struct operand sums, int64_t cols)
{
    const struct moe *m = lo->open->moe;
    struct launch *l = later(lo, m ? DOMAIN_EXPERT_TILES : DOMAIN_PARTS, n);
    l->moe = m;
    l->decisions = lo->open->decisions;
    l->rows = lo->open->rows;
    l->tile = -1;                               /* m counts the tiles of the chain: place_buffers() fills it in */
    struct call *c = call(lo, l, KERNEL_reduce, n);
    call_operand(c, of_param(lo, p, SPACE_GRADS));
    sums.s2 = 0;
    sums.s0 = cols * 4;
    call_operand(c, sums);
    call_size(c, cols);
    call_size(c, cols);
}

/* -- row by row -- */

typedef void lower_rule(struct lowering *lo, const struct node *n);

static void gemm(struct lowering *lo, struct launch *l, const struct node *n, struct operand y, struct operand x,
                 struct operand b, const struct param *bias, const int64_t size[4])
{
    struct call *c = call(lo, l, KERNEL_gemm, n);
    call_operand(c, y);
    call_operand(c, x);
    call_operand(c, b);
    call_operand(c, of_param(lo, bias, SPACE_PARAMS));
    for (int i = 0; i < 4; i++)
        call_size(c, size[i]);
    call_size(c, bias ? START_BIAS : START_ZERO);
}

static void lower_linear(struct lowering *lo, const struct node *n)
{
    const struct value *x = n->in[0], *y = n->out[0];
    struct launch *l = rows_of(lo, n, y);
    gemm(lo, l, n, by_rows(lo, y), by_rows(lo, x), packed(lo, n->weight, false), n->bias,
         (int64_t[]){y->cols, x->cols, y->cols, x->cols});
}

static void lower_linear_dx(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0], *dx = n->out[0];
    struct launch *l = rows_of(lo, n, dx);
    gemm(lo, l, n, by_rows(lo, dx), by_rows(lo, dy), packed(lo, n->weight, true), NULL,
         (int64_t[]){dx->cols, dy->cols, dx->cols, dy->cols});
}

/* dw (N, I, taps) += dy^T x for one group of channels. */
static void weight_gradient(struct lowering *lo, const struct node *n, struct operand dy, struct operand x, int64_t shape[6],
                            int group)
{
    int64_t N = shape[0], taps = shape[1], I = shape[2], block = tile_dw_block(N);
    const struct moe *m = n->weight->experts ? n->moe : NULL;
    struct launch *l = later(lo, m ? DOMAIN_EXPERT_PARTS : DOMAIN_PARTS, n);
    l->moe = m;
    l->decisions = m ? decisions_of(lo, m) : NULL;
    l->rows = shape[5];
    l->parts = (N + block - 1) / block;
    struct call *c = call(lo, l, KERNEL_linear_dw, n);
    call_operand(c, shifted(of_param(lo, n->weight, SPACE_GRADS), group * N * taps * I * 4));
    call_operand(c, n->bias ? shifted(of_param(lo, n->bias, SPACE_GRADS), group * N * 4) : nowhere());
    call_operand(c, dy);
    call_operand(c, x);
    call_operand(c, kernel_scratch(lo, n->name, dw_scratch(block, taps * I, taps > 1)));
    for (int i = 0; i < 3; i++)
        call_size(c, shape[i]);
    call_size(c, block);
    call_size(c, shape[3]);
    call_size(c, shape[4]);
    call_size(c, n->bias != NULL);
}

static void lower_linear_dw(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0], *x = n->in[1];
    struct operand ody = dy->moe ? by_rows(lo, dy) : from_start(lo, dy);
    struct operand ox = x->moe ? by_rows(lo, x) : from_start(lo, x);
    weight_gradient(lo, n, ody, ox, (int64_t[]){dy->cols, 1, x->cols, dy->cols, x->cols, dy->rows}, 0);
}

static void lower_layernorm(struct lowering *lo, const struct node *n)
{
    struct call *c = call(lo, rows_of(lo, n, n->out[0]), KERNEL_layernorm, n);
    call_operand(c, by_rows(lo, n->out[0]));
    call_operand(c, by_rows(lo, n->out[1]));
    call_operand(c, by_rows(lo, n->in[0]));
    call_operand(c, of_param(lo, n->weight, SPACE_PARAMS));
    call_operand(c, of_param(lo, n->bias, SPACE_PARAMS));
    call_size(c, n->in[0]->cols);
    c->real[0] = n->eps;
}

static void lower_layernorm_dx(struct lowering *lo, const struct node *n)
{
    int64_t cols = n->out[0]->cols;
    struct launch *l = rows_of(lo, n, n->out[0]);
    struct operand pw = tile_sums(lo, n, cols), pb = tile_sums(lo, n, cols);
    struct call *c = call(lo, l, KERNEL_layernorm_dx, n);
    call_operand(c, by_rows(lo, n->out[0]));
    for (int i = 0; i < 3; i++)
        call_operand(c, by_rows(lo, n->in[i]));
    call_operand(c, of_param(lo, n->weight, SPACE_PARAMS));
    call_operand(c, pw);
    call_operand(c, pb);
    call_size(c, cols);
    reduce_tiles(lo, n, n->weight, pw, cols);
    reduce_tiles(lo, n, n->bias, pb, cols);
}

/* Kernels whose operands are the output and the inputs, row by row, and whose only size is the width. */
static struct call *elementwise(struct lowering *lo, const struct node *n, enum kernel k)
{
    struct call *c = call(lo, rows_of(lo, n, n->out[0]), k, n);
    call_operand(c, by_rows(lo, n->out[0]));
    for (int i = 0; i < n->nin; i++)
        call_operand(c, by_rows(lo, n->in[i]));
    call_size(c, n->out[0]->cols);
    return c;
}

static void lower_gelu(struct lowering *lo, const struct node *n)    { call_size(elementwise(lo, n, KERNEL_act), ACT_GELU); }
static void lower_relu(struct lowering *lo, const struct node *n)    { call_size(elementwise(lo, n, KERNEL_act), ACT_RELU); }
static void lower_silu(struct lowering *lo, const struct node *n)    { call_size(elementwise(lo, n, KERNEL_act), ACT_SILU); }
static void lower_gelu_dx(struct lowering *lo, const struct node *n) { call_size(elementwise(lo, n, KERNEL_act_dx), ACT_GELU); }
static void lower_relu_dx(struct lowering *lo, const struct node *n) { call_size(elementwise(lo, n, KERNEL_act_dx), ACT_RELU); }
static void lower_silu_dx(struct lowering *lo, const struct node *n) { call_size(elementwise(lo, n, KERNEL_act_dx), ACT_SILU); }
static void lower_add(struct lowering *lo, const struct node *n)     { elementwise(lo, n, KERNEL_add); }
static void lower_mul(struct lowering *lo, const struct node *n)     { elementwise(lo, n, KERNEL_mul); }

static void lower_scale(struct lowering *lo, const struct node *n)
{
    call_operand(elementwise(lo, n, KERNEL_scale), of_param(lo, n->weight, SPACE_PARAMS));
}

static void lower_scale_dx(struct lowering *lo, const struct node *n)
{
    int64_t cols = n->out[0]->cols;
    rows_of(lo, n, n->out[0]);
    struct operand pw = tile_sums(lo, n, cols);
    struct call *c = elementwise(lo, n, KERNEL_scale_dx);
    call_operand(c, of_param(lo, n->weight, SPACE_PARAMS));
    call_operand(c, pw);
    reduce_tiles(lo, n, n->weight, pw, cols);
}

static void random_mask(struct lowering *lo, const struct node *n, enum kernel k)
{
    const struct moe *m = n->out[0]->moe;
    struct call *c = elementwise(lo, n, k);
    call_operand(c, m ? whole(decisions_of(lo, m)) : nowhere());
    call_size(c, m ? m->tokens : n->out[0]->rows);
    call_size(c, n->key);
    call_size(c, m ? m->top_k : 0);
    call_size(c, m ? plan_decisions(m, lo->g->micro).pair : 0);
    c->real[0] = n->rate;
}

static void lower_drop_path(struct lowering *lo, const struct node *n) { random_mask(lo, n, KERNEL_drop_path); }
static void lower_dropout(struct lowering *lo, const struct node *n)   { random_mask(lo, n, KERNEL_dropout); }

static void copy_columns(struct lowering *lo, struct launch *l, const struct node *n, struct operand y, struct operand x,
                         int64_t count, int64_t ldy, int64_t ldx)
{
    struct call *c = call(lo, l, KERNEL_copy, n);
    call_operand(c, y);
    call_operand(c, x);
    call_size(c, count);
    call_size(c, ldy);
    call_size(c, ldx);
}

static void zero_rows(struct lowering *lo, struct launch *l, const struct node *n, struct operand y, int64_t cols)
{
    struct call *c = call(lo, l, KERNEL_zero, n);
    call_operand(c, y);
    call_size(c, cols);
}

static void lower_slice(struct lowering *lo, const struct node *n)
{
    const struct value *x = n->in[0], *y = n->out[0];
    struct launch *l = rows_of(lo, n, y);
    copy_columns(lo, l, n, by_rows(lo, y), shifted(by_rows(lo, x), n->index * 4), y->cols, y->cols, x->cols);
}

static void lower_slice_dx(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0], *dx = n->out[0];
    struct launch *l = rows_of(lo, n, dx);
    zero_rows(lo, l, n, by_rows(lo, dx), dx->cols);
    copy_columns(lo, l, n, shifted(by_rows(lo, dx), n->index * 4), by_rows(lo, dy), dy->cols, dx->cols, dy->cols);
}

static void lower_concat(struct lowering *lo, const struct node *n)
{
    const struct value *y = n->out[0];
    struct launch *l = rows_of(lo, n, y);
    for (int i = 0, at = 0; i < 2; at += (int)n->in[i]->cols, i++)
        copy_columns(lo, l, n, shifted(by_rows(lo, y), at * 4), by_rows(lo, n->in[i]), n->in[i]->cols, y->cols,
                     n->in[i]->cols);
}

static void add_positions(struct lowering *lo, const struct node *n, struct operand table)
{
    struct call *c = call(lo, rows_of(lo, n, n->out[0]), KERNEL_positions, n);
    call_operand(c, by_rows(lo, n->out[0]));
    call_operand(c, by_rows(lo, n->in[0]));
    call_operand(c, table);
    call_size(c, n->out[0]->cols);
    call_size(c, n->out[0]->rows);
}

static void lower_positions(struct lowering *lo, const struct node *n)
{
    add_positions(lo, n, of_param(lo, n->weight, SPACE_PARAMS));
}

/* Sine-cosine table in two dimensions: a quarter of the channels each for sin x, cos x, sin y, cos y. */
static void lower_sincos(struct lowering *lo, const struct node *n)
{
    struct plan *p = lo->plan;
    int64_t cols = n->out[0]->cols, rows = n->out[0]->rows, quarter = cols / 4;
    float *table = arena_array(p->arena, (size_t)(rows * cols), sizeof *table);
    float *row = table + (rows - (int64_t)n->height * n->width) * cols;
    for (int i = 0; i < n->height; i++)
        for (int j = 0; j < n->width; j++, row += cols)
            for (int64_t k = 0; k < quarter; k++) {
                double w = pow(n->rate, -(double)k / (double)quarter);
                row[k] = (float)sin(j * w);
                row[quarter + k] = (float)cos(j * w);
                row[2 * quarter + k] = (float)sin(i * w);
                row[3 * quarter + k] = (float)cos(i * w);
            }
    size_t index = p->nconsts;
    *ARENA_PUSH(p->arena, p->consts, p->nconsts, p->cap_consts) = table;
    size_t counts = index;
    *ARENA_PUSH(p->arena, p->const_counts, counts, p->cap_counts) = (size_t)(rows * cols);
    add_positions(lo, n, in_region(SPACE_CONST, (int64_t)index, 0, 0));
}

static void lower_positions_dw(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0];
    struct launch *l = later(lo, DOMAIN_PARTS, n);
    l->parts = dy->rows;
    struct call *c = call(lo, l, KERNEL_reduce, n);
    struct operand y = of_param(lo, n->weight, SPACE_GRADS), x = from_start(lo, dy);
    y.s2 = x.s2 = dy->cols * 4;
    call_operand(c, y);
    call_operand(c, x);
    call_size(c, dy->cols);
    call_size(c, dy->rows * dy->cols);
}

/* -- convolutions -- */

static bool is_depthwise(const struct node *n)
{
    return n->groups > 1 && n->weight->shape[0] == n->groups && n->weight->shape[1] == 1;
}

static bool is_pointwise(const struct node *n)
{
    return n->kernel == 1 && n->stride == 1 && n->groups == 1;
}

struct conv_shape { int64_t H, W, C, k, stride, pad, OH, OW, groups, I, O, taps; };

static struct conv_shape conv_shape(const struct node *n)
{
    int64_t I = n->weight->shape[1];
    return (struct conv_shape){n->height, n->width, I * n->groups, n->kernel, n->stride, n->padding, n->out_height,
                               n->out_width, n->groups, I, n->weight->shape[0] / n->groups, (int64_t)n->kernel * n->kernel};
}

static void im2col(struct lowering *lo, struct launch *l, const struct node *n, struct buffer *cols, const struct value *x)
{
    struct conv_shape s = conv_shape(n);
    struct call *c = call(lo, l, KERNEL_im2col, n);
    call_operand(c, rows_in(cols));
    call_operand(c, from_start(lo, x));
    for (int i = 0; i < 6; i++)
        call_size(c, (&s.H)[i]);
    call_size(c, s.OW);
    call_size(c, s.OH * s.OW);
    call_size(c, s.groups);
}

/* One kernel serves both directions: the gradient of the input is a convolution of dy, spread out by the stride, with the
 * kernel turned round. */
static void depthwise(struct lowering *lo, const struct node *n, const struct value *y, const struct value *x, bool backward)
{
    struct conv_shape s = conv_shape(n);
    int vector = lo->plan->vector;
    int64_t stride = backward ? 1 : s.stride, oh = backward ? s.H : s.OH, ow = backward ? s.W : s.OW;
    struct launch *l = launch(lo, DOMAIN_IMAGES, n);
    l->parts = (s.C + vector - 1) / vector;
    struct call *c = call(lo, l, KERNEL_dwconv, n);
    struct operand oy = by_image(lo, y), ox = by_image(lo, x), w = packed(lo, n->weight, false);
    struct operand b = !backward && n->bias ? of_param(lo, n->bias, SPACE_PARAMS) : nowhere();
    oy.s2 = ox.s2 = b.s2 = vector * 4;
    w.s2 = s.taps * vector * 4;
    call_operand(c, oy);
    call_operand(c, ox);
    call_operand(c, w);
    call_operand(c, b);
    call_operand(c, kernel_scratch(lo, n->name, dwconv_scratch(vector, oh, ow, s.k, stride)));
    int64_t sizes[] = {s.C, backward ? s.OH : s.H, backward ? s.OW : s.W, s.k, stride, backward ? s.k - 1 - s.pad : s.pad,
                       backward ? s.stride : 1, oh, ow, backward, !backward && n->bias};
    for (int i = 0; i < 11; i++)
        call_size(c, sizes[i]);
}

static void lower_conv(struct lowering *lo, const struct node *n)
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
    close_launch(lo);                   /* patches reach beyond a tile's own rows */
    struct launch *l = rows_of(lo, n, y);
    struct buffer *cols = row_buffer(lo, n->name, y->rows, K * s.groups);
    im2col(lo, l, n, cols, x);
    for (int g = 0; g < n->groups; g++) {
        gemm(lo, l, n, shifted(by_rows(lo, y), g * s.O * 4), shifted(rows_in(cols), g * K * 4),
             shifted(packed(lo, n->weight, false), g * plan_packed_bytes(lo->plan->vector, s.O, K)), n->bias,
             (int64_t[]){s.O, K, y->cols, K * s.groups});
        if (n->bias)
            l->calls[l->ncalls - 1].operand[3].offset += g * s.O * 4;
    }
}

static void lower_conv_dx(struct lowering *lo, const struct node *n)
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
    struct launch *l = rows_of(lo, n, dy);
    struct buffer *cols = row_buffer(lo, n->name, dy->rows, K * s.groups);
    cols->keep = true;
    for (int g = 0; g < n->groups; g++)
        gemm(lo, l, n, shifted(rows_in(cols), g * K * 4), shifted(by_rows(lo, dy), g * s.O * 4),
             shifted(packed(lo, n->weight, true), g * plan_packed_bytes(lo->plan->vector, K, s.O)), NULL,
             (int64_t[]){K, s.O, K * s.groups, dy->cols});
    l = launch(lo, DOMAIN_IMAGES, n);
    l->parts = s.H;
    struct call *c = call(lo, l, KERNEL_col2im, n);
    struct operand from = whole(cols);
    from.s0 = dy->rows * K * s.groups * 4;
    call_operand(c, by_image(lo, dx));
    call_operand(c, from);
    for (int i = 0; i < 9; i++)
        call_size(c, (&s.H)[i]);
}

static void depthwise_dw(struct lowering *lo, const struct node *n)
{
    struct conv_shape s = conv_shape(n);
    int vector = lo->plan->vector;
    struct launch *l = later(lo, DOMAIN_PARTS, n);
    l->parts = (s.C + vector - 1) / vector;
    struct call *c = call(lo, l, KERNEL_dwconv_dw, n);
    struct operand dw = of_param(lo, n->weight, SPACE_GRADS), db = of_param(lo, n->bias, SPACE_GRADS);
    struct operand dy = from_start(lo, n->in[0]), x = from_start(lo, n->in[1]);
    dw.s2 = vector * s.taps * 4;
    db.s2 = dy.s2 = x.s2 = vector * 4;
    call_operand(c, dw);
    call_operand(c, db);
    call_operand(c, dy);
    call_operand(c, x);
    call_operand(c, kernel_scratch(lo, n->name, dwconv_scratch(vector, s.OH, s.OW, s.k, s.stride)));
    int64_t sizes[] = {s.C, s.H, s.W, s.k, s.stride, s.pad, s.OH, s.OW};
    for (int i = 0; i < 8; i++)
        call_size(c, sizes[i]);
    call_size(c, n->bias != NULL);
}

static void lower_conv_dw(struct lowering *lo, const struct node *n)
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
    struct launch *l = later(lo, DOMAIN_ROWS, n);
    l->rows = dy->rows;
    im2col(lo, l, n, cols, x);
    for (int g = 0; g < n->groups; g++)
        weight_gradient(lo, n, shifted(from_start(lo, dy), g * s.O * 4), shifted(whole(cols), g * K * 4),
                        (int64_t[]){s.O, s.taps, s.I, dy->cols, K * s.groups, dy->rows}, g);
}

/* -- picture by picture -- */

static struct call *by_images(struct lowering *lo, const struct node *n, enum kernel k, int64_t parts)
{
    struct launch *l = launch(lo, DOMAIN_IMAGES, n);
    l->parts = parts;
    struct call *c = call(lo, l, k, n);
    for (int i = 0; i < n->nout; i++)
        call_operand(c, by_image(lo, n->out[i]));
    for (int i = 0; i < n->nin; i++)
        call_operand(c, by_image(lo, n->in[i]));
    return c;
}

static void attention_sizes(struct lowering *lo, const struct node *n, struct call *c, int64_t T, int64_t D)
{
    call_operand(c, kernel_scratch(lo, n->name, attention_scratch(lo->plan->vector, T, D / n->groups,
                                                                  c->kernel == KERNEL_attention_dx)));
    call_size(c, T);
    call_size(c, D);
    call_size(c, n->groups);
}

static void lower_attention(struct lowering *lo, const struct node *n)
{
    attention_sizes(lo, n, by_images(lo, n, KERNEL_attention, n->groups), n->in[0]->rows, n->out[0]->cols);
}

static void lower_attention_dx(struct lowering *lo, const struct node *n)
{
    attention_sizes(lo, n, by_images(lo, n, KERNEL_attention_dx, n->groups), n->in[0]->rows, n->in[0]->cols);
}

static void lower_mean_pool(struct lowering *lo, const struct node *n)
{
    struct call *c = by_images(lo, n, KERNEL_mean_pool, 1);
    call_size(c, n->in[0]->rows);
    call_size(c, n->in[0]->cols);
}

static void lower_mean_pool_dx(struct lowering *lo, const struct node *n)
{
    struct call *c = by_images(lo, n, KERNEL_mean_pool_dx, 1);
    call_size(c, n->out[0]->rows);
    call_size(c, n->out[0]->cols);
}

static void pool(struct lowering *lo, const struct node *n, enum kernel k, bool average)
{
    struct call *c = by_images(lo, n, k, 1);
    if (k == KERNEL_pool_dx && average)
        call_operand(c, nowhere());
    int64_t sizes[] = {n->height, n->width, n->out[0]->cols, n->kernel, n->stride, n->padding, n->out_height, n->out_width,
                       average};
    for (int i = 0; i < 9; i++)
        call_size(c, sizes[i]);
}

static void lower_max_pool(struct lowering *lo, const struct node *n)    { pool(lo, n, KERNEL_pool, false); }
static void lower_avg_pool(struct lowering *lo, const struct node *n)    { pool(lo, n, KERNEL_pool, true); }
static void lower_max_pool_dx(struct lowering *lo, const struct node *n) { pool(lo, n, KERNEL_pool_dx, false); }
static void lower_avg_pool_dx(struct lowering *lo, const struct node *n) { pool(lo, n, KERNEL_pool_dx, true); }

static void lower_transpose(struct lowering *lo, const struct node *n)
{
    struct call *c = by_images(lo, n, KERNEL_transpose, 1);
    call_size(c, n->in[0]->rows);
    call_size(c, n->in[0]->cols);
}

/* Whole rows moved within each picture: a copy with m = 1 and all its numbers in one row. */
static void move_rows(struct lowering *lo, struct launch *l, const struct node *n, struct operand y, struct operand x,
                      int64_t count)
{
    copy_columns(lo, l, n, y, x, count, count, count);
}

static void lower_class_token(struct lowering *lo, const struct node *n)
{
    int64_t cols = n->out[0]->cols;
    struct launch *l = launch(lo, DOMAIN_IMAGES, n);
    move_rows(lo, l, n, by_image(lo, n->out[0]), of_param(lo, n->weight, SPACE_PARAMS), cols);
    move_rows(lo, l, n, shifted(by_image(lo, n->out[0]), cols * 4), by_image(lo, n->in[0]), n->in[0]->rows * cols);
}

static void lower_class_token_dx(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0];
    int64_t cols = dy->cols;
    struct launch *l = launch(lo, DOMAIN_IMAGES, n);
    move_rows(lo, l, n, by_image(lo, n->out[0]), shifted(by_image(lo, dy), cols * 4), n->out[0]->rows * cols);
    struct call *c = call(lo, later(lo, DOMAIN_PARTS, n), KERNEL_reduce, n);
    call_operand(c, of_param(lo, n->weight, SPACE_GRADS));
    call_operand(c, from_start(lo, dy));
    call_size(c, cols);
    call_size(c, dy->rows * cols);
}

static void lower_take_token(struct lowering *lo, const struct node *n)
{
    int64_t cols = n->out[0]->cols;
    struct launch *l = launch(lo, DOMAIN_IMAGES, n);
    move_rows(lo, l, n, by_image(lo, n->out[0]), shifted(by_image(lo, n->in[0]), n->index * cols * 4), cols);
}

static void lower_take_token_dx(struct lowering *lo, const struct node *n)
{
    const struct value *dx = n->out[0];
    struct launch *l = launch(lo, DOMAIN_IMAGES, n);
    zero_rows(lo, l, n, by_image(lo, dx), dx->rows * dx->cols);
    move_rows(lo, l, n, shifted(by_image(lo, dx), n->index * dx->cols * 4), by_image(lo, n->in[0]), dx->cols);
}

/* -- experts -- */

static struct operand decisions(struct lowering *lo, const struct node *n)
{
    return whole(decisions_of(lo, n->moe));
}

static void group_call(struct lowering *lo, const struct node *n, enum kernel k)
{
    struct launch *l = launch(lo, DOMAIN_GROUPS, n);
    struct call *c = call(lo, l, k, n);
    l->moe = c->moe = n->moe;
    call_operand(c, by_image(lo, n->out[0]));
    for (int i = 0; i < n->nin; i++)
        if (!n->in[i]->raw)
            call_operand(c, by_image(lo, n->in[i]));
    if (k == KERNEL_route)
        call_operand(c, by_image(lo, n->out[1]));
    call_operand(c, decisions(lo, n));
    if (k == KERNEL_route)
        call_operand(c, kernel_scratch(lo, n->name, 16 * n->moe->group * n->moe->tokens + 4096 + 8 * n->moe->experts));
    call_size(c, n->moe->id);
    call_size(c, lo->g->training);
}

static void lower_route(struct lowering *lo, const struct node *n)
{
    group_call(lo, n, KERNEL_route);
    struct launch *l = launch(lo, DOMAIN_PARTS, n);
    struct call *c = call(lo, l, KERNEL_route_sort, n);
    c->moe = n->moe;
    call_operand(c, decisions(lo, n));
    call_operand(c, in_region(SPACE_BALANCE, n->moe->balance_offset, 0, 0));
    call_size(c, n->moe->id);
    call_size(c, lo->g->training);
}

static void lower_route_dx(struct lowering *lo, const struct node *n)
{
    group_call(lo, n, KERNEL_route_dx);
}

static void lower_dispatch(struct lowering *lo, const struct node *n)
{
    struct call *c = call(lo, rows_of(lo, n, n->out[0]), KERNEL_dispatch, n);
    call_operand(c, by_rows(lo, n->out[0]));
    call_operand(c, from_start(lo, n->in[0]));
    call_operand(c, decisions(lo, n));
    call_size(c, n->out[0]->cols);
    call_size(c, n->moe->top_k);
    call_size(c, plan_decisions(n->moe, lo->g->micro).pair);
}

static void combine(struct lowering *lo, const struct node *n, const struct value *gates)
{
    struct call *c = call(lo, rows_of(lo, n, n->out[0]), KERNEL_combine, n);
    call_operand(c, by_rows(lo, n->out[0]));
    call_operand(c, from_start(lo, n->in[0]));
    call_operand(c, gates ? by_rows(lo, gates) : nowhere());
    call_operand(c, decisions(lo, n));
    call_size(c, n->out[0]->cols);
    call_size(c, n->moe->top_k);
    call_size(c, plan_decisions(n->moe, lo->g->micro).slot);
    call_size(c, gates != NULL);
}

static void lower_combine(struct lowering *lo, const struct node *n)     { combine(lo, n, n->in[1]); }
static void lower_dispatch_dx(struct lowering *lo, const struct node *n) { combine(lo, n, NULL); }

static void lower_combine_dx(struct lowering *lo, const struct node *n)
{
    struct call *c = call(lo, rows_of(lo, n, n->out[0]), KERNEL_combine_dx, n);
    call_operand(c, by_rows(lo, n->out[0]));
    call_operand(c, from_start(lo, n->in[0]));
    call_operand(c, from_start(lo, n->in[1]));
    call_operand(c, decisions(lo, n));
    call_size(c, n->out[0]->cols);
    call_size(c, n->moe->top_k);
    call_size(c, plan_decisions(n->moe, lo->g->micro).pair);
}

static void lower_combine_dgate(struct lowering *lo, const struct node *n)
{
    struct call *c = call(lo, rows_of(lo, n, n->in[0]), KERNEL_combine_dgate, n);
    call_operand(c, by_rows(lo, n->out[0]));
    call_operand(c, by_rows(lo, n->in[0]));
    call_operand(c, from_start(lo, n->in[1]));
    call_operand(c, decisions(lo, n));
    call_size(c, n->in[0]->cols);
    call_size(c, n->moe->top_k);
    call_size(c, plan_decisions(n->moe, lo->g->micro).slot);
}

/* -- loss -- */

static void lower_cross_entropy(struct lowering *lo, const struct node *n)
{
    struct call *c = call(lo, rows_of(lo, n, n->out[0]), KERNEL_cross_entropy, n);
    call_operand(c, by_rows(lo, n->out[0]));
    call_operand(c, by_rows(lo, n->out[1]));
    call_operand(c, by_rows(lo, n->in[0]));
    call_operand(c, by_rows(lo, n->in[1]));
    call_size(c, n->in[0]->cols);
    struct launch *l = launch(lo, DOMAIN_PARTS, n);
    call_operand(call(lo, l, KERNEL_loss_sum, n), from_start(lo, n->out[0]));
    for (size_t i = 0; i < lo->g->nmoes; i++) {
        struct call *b = call(lo, l, KERNEL_balance_sum, n);
        b->moe = lo->g->moes[i];
        call_operand(b, whole(decisions_of(lo, lo->g->moes[i])));
        call_size(b, lo->g->moes[i]->id);
    }
}

static lower_rule *const rules[] = {
#define NODE(name, doc) lower_##name,
#include "compiler/graph/nodes.def"
#undef NODE
};

/* -- a graph -- */

struct decisions plan_decisions(const struct moe *m, int64_t micro)
{
    int64_t tokens = micro * m->tokens, routed = tokens * m->top_k, groups = (micro + m->group - 1) / m->group;
    struct decisions d = {.rows_per_tile = tile_expert_rows(m)};
    d.max_tiles = routed / d.rows_per_tile + m->experts;
    d.slot = 4 * routed;
    d.pair = d.slot + 4 * routed;
    d.first = d.pair + 4 * routed;
    d.tile = d.first + 4 * (m->experts + 1);
    d.tile_first = d.tile + 16 * d.max_tiles;
    d.stats = d.tile_first + 4 * (m->experts + 1);
    d.bytes = d.stats + groups * 8 * m->experts;
    return d;
}

static void place_value(struct lowering *lo, const struct value *v, enum space space)
{
    lo->of_value[v->id]->space = space;
    lo->of_value[v->id]->keep = true;
}

static void make_buffers(struct lowering *lo)
{
    const struct graph *g = lo->g;
    lo->of_value = arena_array(lo->plan->arena, g->nvalues, sizeof *lo->of_value);
    for (size_t i = 0; i < g->nvalues; i++) {
        const struct value *v = g->values[i];
        lo->of_value[i] = v->raw ? new_buffer(lo, v->name, plan_decisions(v->from->moe, g->micro).bytes, 0)
                                 : row_buffer(lo, v->name, v->rows, v->cols);
        lo->of_value[i]->keep = v->raw;
    }
    place_value(lo, g->input, SPACE_INPUT);
    if (g->features->from)
        place_value(lo, g->features, SPACE_FEATURES);
    if (g->logits != g->features)
        place_value(lo, g->logits, SPACE_OUTPUT);
    if (g->target)
        place_value(lo, g->target, SPACE_TARGET);
}

/* A network whose features are its input or its logits: they must stand in both places. */
static void copy_features(struct lowering *lo)
{
    const struct graph *g = lo->g;
    if (g->features->from && g->features != g->logits)
        return;
    struct launch *l = new_launch(lo->plan->arena, lo->f, DOMAIN_ROWS, "features");
    struct call *c = add_call(lo->plan->arena, l, KERNEL_copy, "features");
    struct operand to = in_region(g->features == g->logits ? SPACE_OUTPUT : SPACE_FEATURES, 0, 0, 0);
    to.s0 = g->features->cols * 4;
    call_operand(c, to);
    call_operand(c, by_rows(lo, g->features));
    for (int i = 0; i < 3; i++)
        call_size(c, g->features->cols);
}

void lower_graph(struct lowering *lo)
{
    const struct graph *g = lo->g;
    make_buffers(lo);
    for (size_t i = 0; i < g->nnodes; i++) {
        if (i == g->nforward) {
            close_launch(lo);
            lo->plan->train_forward = lo->f->n;
        }
        if (!lo->fuse)
            close_launch(lo);
        rules[g->nodes[i]->op](lo, g->nodes[i]);
    }
    close_launch(lo);
    copy_features(lo);
}
