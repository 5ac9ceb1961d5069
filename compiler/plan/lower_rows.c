/* Lowering of row-wise nodes: products, norms, activations, columns, positions. Chains of them
 * become one pass over tiles. */
#include "config.h"

#include "compiler/plan/launch.h"

#include <math.h>

#include "lang/base/arena.h"

/* -- sums over tiles -- */

/* Sums of a tile for a param's gradient: one row of `cols` for each tile of the open launch. */
static struct operand tile_sums(struct lowering *lo, const struct node *n, int64_t cols)
{
    struct buffer *b = new_buffer(lo, n->name, 0, 0);
    b->bytes = -cols * 4; /* times the tiles, once those are known: place_buffers() */
    b->keep = true;
    struct operand o = operand_whole(b);
    o.s2 = cols * 4;
    return o;
}

/* Add the sums of all tiles to the gradient, in their order. */
static void reduce_tiles(struct lowering *lo, const struct node *n, const struct param *p,
                         struct operand sums, int64_t cols)
{
    const struct experts *experts = lo->open->experts;
    struct launch *l = later_launch(lo, experts ? DOMAIN_EXPERT_TILES : DOMAIN_TILES, n);
    l->experts = experts;
    l->decisions = lo->open->decisions;
    l->rows = lo->open->rows;
    l->tile = -1; /* m counts the tiles of the chain: place_buffers() fills it in */
    struct call *c = node_call(lo, l, KERNEL_reduce, n);
    call_operand(c, operand_param(lo, p, SPACE_GRADS));
    sums.s2 = 0;
    sums.s0 = cols * 4;
    call_operand(c, sums);
    call_size(c, cols);
    call_size(c, cols);
}

/* -- row by row -- */

void lower_gemm(struct lowering *lo, struct launch *l, const struct node *n, struct operand y,
                struct operand x, struct operand b, const struct param *bias, const int64_t size[4])
{
    struct call *c = node_call(lo, l, KERNEL_gemm, n);
    call_operand(c, y);
    call_operand(c, x);
    call_operand(c, b);
    call_operand(c, operand_param(lo, bias, SPACE_PARAMS));
    for (int i = 0; i < 4; i++)
        call_size(c, size[i]);
    call_size(c, 1);
    call_size(c, bias ? START_BIAS : START_ZERO);
}

void lower_linear(struct lowering *lo, const struct node *n)
{
    const struct value *x = n->in[0], *y = n->out[0];
    struct launch *l = row_launch(lo, n, y);
    lower_gemm(lo, l, n, operand_rows(lo, y), operand_rows(lo, x),
               operand_packed(lo, n->weight, false), n->bias,
               (int64_t[]){y->cols, x->cols, y->cols, x->cols});
}

void lower_linear_dx(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0], *dx = n->out[0];
    struct launch *l = row_launch(lo, n, dx);
    lower_gemm(lo, l, n, operand_rows(lo, dx), operand_rows(lo, dy),
               operand_packed(lo, n->weight, true), NULL,
               (int64_t[]){dx->cols, dy->cols, dx->cols, dy->cols});
}

/* dw (N, I, taps) += dy^T x for one group of channels. */
void lower_weight_gradient(struct lowering *lo, const struct node *n, struct operand dy,
                           struct operand x, int64_t shape[6], int group)
{
    int64_t N = shape[0], taps = shape[1], I = shape[2], K = taps * I;
    struct dw_tile t = tile_dw(lo->plan->vector, N, K);
    const struct experts *experts = n->weight->experts ? n->experts : NULL;
    struct launch *l = later_launch(lo, experts ? DOMAIN_EXPERT_PARTS : DOMAIN_PARTS, n);
    l->experts = experts;
    l->decisions = experts ? decisions_buffer(lo, experts->moe) : NULL;
    l->rows = shape[5];
    l->parts = (N + t.block - 1) / t.block * ((K + t.wide - 1) / t.wide);
    struct call *c = node_call(lo, l, KERNEL_linear_dw, n);
    call_operand(c, operand_shifted(operand_param(lo, n->weight, SPACE_GRADS), group * N * K * 4));
    call_operand(c, n->bias
                        ? operand_shifted(operand_param(lo, n->bias, SPACE_GRADS), group * N * 4)
                        : operand_nowhere());
    call_operand(c, dy);
    call_operand(c, x);
    call_operand(c, operand_scratch(lo, n->name, dw_scratch(lo->plan->vector, t, K, taps > 1)));
    for (int i = 0; i < 3; i++)
        call_size(c, shape[i]);
    call_size(c, t.block);
    call_size(c, t.wide);
    call_size(c, shape[3]);
    call_size(c, shape[4]);
    call_size(c, n->bias != NULL);
}

void lower_linear_dw(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0], *x = n->in[1];
    struct operand ody = dy->experts ? operand_rows(lo, dy) : operand_start(lo, dy);
    struct operand ox = x->experts ? operand_rows(lo, x) : operand_start(lo, x);
    lower_weight_gradient(lo, n, ody, ox,
                          (int64_t[]){dy->cols, 1, x->cols, dy->cols, x->cols, dy->rows}, 0);
}

void lower_layernorm(struct lowering *lo, const struct node *n)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), KERNEL_layernorm, n);
    call_operand(c, operand_rows(lo, n->out[0]));
    call_operand(c, operand_rows(lo, n->out[1]));
    call_operand(c, operand_rows(lo, n->in[0]));
    call_operand(c, operand_param(lo, n->weight, SPACE_PARAMS));
    call_operand(c, operand_param(lo, n->bias, SPACE_PARAMS));
    call_size(c, n->in[0]->cols);
    c->real[0] = n->eps;
}

void lower_layernorm_dx(struct lowering *lo, const struct node *n)
{
    int64_t cols = n->out[0]->cols;
    struct launch *l = row_launch(lo, n, n->out[0]);
    struct operand pw = tile_sums(lo, n, cols), pb = tile_sums(lo, n, cols);
    struct call *c = node_call(lo, l, KERNEL_layernorm_dx, n);
    call_operand(c, operand_rows(lo, n->out[0]));
    for (int i = 0; i < 3; i++)
        call_operand(c, operand_rows(lo, n->in[i]));
    call_operand(c, operand_param(lo, n->weight, SPACE_PARAMS));
    call_operand(c, pw);
    call_operand(c, pb);
    call_size(c, cols);
    reduce_tiles(lo, n, n->weight, pw, cols);
    reduce_tiles(lo, n, n->bias, pb, cols);
}

/* Kernels whose operands are the output and the inputs, row by row, and whose only size is the
 * width. */
static struct call *elementwise(struct lowering *lo, const struct node *n, enum kernel k)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), k, n);
    call_operand(c, operand_rows(lo, n->out[0]));
    for (int i = 0; i < n->nin; i++)
        call_operand(c, operand_rows(lo, n->in[i]));
    call_size(c, n->out[0]->cols);
    return c;
}

void lower_gelu(struct lowering *lo, const struct node *n)
{
    call_size(elementwise(lo, n, KERNEL_act), ACT_GELU);
}
void lower_relu(struct lowering *lo, const struct node *n)
{
    call_size(elementwise(lo, n, KERNEL_act), ACT_RELU);
}
void lower_silu(struct lowering *lo, const struct node *n)
{
    call_size(elementwise(lo, n, KERNEL_act), ACT_SILU);
}
void lower_gelu_dx(struct lowering *lo, const struct node *n)
{
    call_size(elementwise(lo, n, KERNEL_act_dx), ACT_GELU);
}
void lower_relu_dx(struct lowering *lo, const struct node *n)
{
    call_size(elementwise(lo, n, KERNEL_act_dx), ACT_RELU);
}
void lower_silu_dx(struct lowering *lo, const struct node *n)
{
    call_size(elementwise(lo, n, KERNEL_act_dx), ACT_SILU);
}
void lower_add(struct lowering *lo, const struct node *n)
{
    elementwise(lo, n, KERNEL_add);
}
void lower_mul(struct lowering *lo, const struct node *n)
{
    elementwise(lo, n, KERNEL_mul);
}

/* -- layers of routers -- */

static void codes(struct lowering *lo, const struct node *n, enum codes kind)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), KERNEL_codes, n);
    call_operand(c, operand_rows(lo, n->out[0]));
    call_operand(c, operand_rows(lo, n->in[0]));
    call_operand(c, operand_param(lo, n->weight, SPACE_PARAMS));
    call_operand(c, operand_scratch(lo, n->name, n->out[0]->cols * 4));
    call_size(c, n->in[0]->cols);
    call_size(c, n->out[0]->cols);
    call_size(c, kind);
}

static void codes_dx(struct lowering *lo, const struct node *n, enum codes kind)
{
    int64_t cols = n->out[0]->cols, codes = n->in[0]->cols;
    struct launch *l = row_launch(lo, n, n->out[0]);
    struct operand pw = tile_sums(lo, n, cols * codes);
    struct call *c = node_call(lo, l, KERNEL_codes_dx, n);
    call_operand(c, operand_rows(lo, n->out[0]));
    call_operand(c, operand_rows(lo, n->in[0]));
    call_operand(c, operand_rows(lo, n->in[1]));
    call_operand(c, kind == CODES_COSINE ? operand_rows(lo, n->in[2]) : operand_nowhere());
    call_operand(c, operand_param(lo, n->weight, SPACE_PARAMS));
    call_operand(c, pw);
    call_operand(c, operand_scratch(lo, n->name, codes * 4));
    call_size(c, cols);
    call_size(c, codes);
    call_size(c, kind);
    reduce_tiles(lo, n, n->weight, pw, cols * codes);
}

void lower_cosine(struct lowering *lo, const struct node *n)
{
    codes(lo, n, CODES_COSINE);
}
void lower_distance(struct lowering *lo, const struct node *n)
{
    codes(lo, n, CODES_DISTANCE);
}
void lower_cosine_dx(struct lowering *lo, const struct node *n)
{
    codes_dx(lo, n, CODES_COSINE);
}
void lower_distance_dx(struct lowering *lo, const struct node *n)
{
    codes_dx(lo, n, CODES_DISTANCE);
}
void lower_softmax(struct lowering *lo, const struct node *n)
{
    elementwise(lo, n, KERNEL_softmax);
}
void lower_softmax_dx(struct lowering *lo, const struct node *n)
{
    elementwise(lo, n, KERNEL_softmax_dx);
}

void lower_gain(struct lowering *lo, const struct node *n)
{
    struct call *c = elementwise(lo, n, KERNEL_gain);
    call_operand(c, operand_param(lo, n->weight, SPACE_PARAMS));
    call_size(c, n->index);
    c->real[0] = n->rate;
}

void lower_gain_dx(struct lowering *lo, const struct node *n)
{
    row_launch(lo, n, n->out[0]);
    struct operand pw = tile_sums(lo, n, 1);
    struct call *c = elementwise(lo, n, KERNEL_gain_dx);
    call_operand(c, operand_param(lo, n->weight, SPACE_PARAMS));
    call_operand(c, pw);
    call_size(c, n->index);
    c->real[0] = n->rate;
    reduce_tiles(lo, n, n->weight, pw, 1);
}

void lower_scale(struct lowering *lo, const struct node *n)
{
    call_operand(elementwise(lo, n, KERNEL_scale), operand_param(lo, n->weight, SPACE_PARAMS));
}

void lower_scale_dx(struct lowering *lo, const struct node *n)
{
    int64_t cols = n->out[0]->cols;
    row_launch(lo, n, n->out[0]);
    struct operand pw = tile_sums(lo, n, cols);
    struct call *c = elementwise(lo, n, KERNEL_scale_dx);
    call_operand(c, operand_param(lo, n->weight, SPACE_PARAMS));
    call_operand(c, pw);
    reduce_tiles(lo, n, n->weight, pw, cols);
}

/* What tells a random mask's kernel which row it sees. */
static void mask_sizes(struct lowering *lo, const struct node *n, struct call *c)
{
    const struct moe *m = n->experts ? n->experts->moe : NULL;
    call_operand(c, m ? operand_whole(decisions_buffer(lo, m)) : operand_nowhere());
    call_size(c, m ? m->tokens * m->span : n->out[0]->rows);
    call_size(c, n->key);
    call_size(c, m ? m->top_k : 0);
    call_size(c, m ? plan_decisions(m, lo->g->micro).pair : 0);
    c->real[0] = n->rate;
}

void lower_drop_path(struct lowering *lo, const struct node *n)
{
    struct operand factors = operand_rows_in(row_buffer(lo, n->name, n->out[0]->rows, 1));
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), KERNEL_drop_factors, n);
    call_operand(c, factors);
    mask_sizes(lo, n, c);
    call_operand(elementwise(lo, n, KERNEL_scale_rows), factors);
}

void lower_dropout(struct lowering *lo, const struct node *n)
{
    mask_sizes(lo, n, elementwise(lo, n, KERNEL_dropout));
}

void lower_copy(struct lowering *lo, struct launch *l, const struct node *n, struct operand y,
                struct operand x, int64_t count, int64_t ldy, int64_t ldx)
{
    struct call *c = node_call(lo, l, KERNEL_copy, n);
    call_operand(c, y);
    call_operand(c, x);
    call_size(c, count);
    call_size(c, ldy);
    call_size(c, ldx);
}

void lower_zero(struct lowering *lo, struct launch *l, const struct node *n, struct operand y,
                int64_t cols)
{
    struct call *c = node_call(lo, l, KERNEL_zero, n);
    call_operand(c, y);
    call_size(c, cols);
}

void lower_slice(struct lowering *lo, const struct node *n)
{
    const struct value *x = n->in[0], *y = n->out[0];
    struct launch *l = row_launch(lo, n, y);
    lower_copy(lo, l, n, operand_rows(lo, y), operand_shifted(operand_rows(lo, x), n->index * 4),
               y->cols, y->cols, x->cols);
}

void lower_slice_dx(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0], *dx = n->out[0];
    struct launch *l = row_launch(lo, n, dx);
    lower_zero(lo, l, n, operand_rows(lo, dx), dx->cols);
    lower_copy(lo, l, n, operand_shifted(operand_rows(lo, dx), n->index * 4), operand_rows(lo, dy),
               dy->cols, dx->cols, dy->cols);
}

void lower_concat(struct lowering *lo, const struct node *n)
{
    const struct value *y = n->out[0];
    struct launch *l = row_launch(lo, n, y);
    for (int i = 0, at = 0; i < 2; at += (int)n->in[i]->cols, i++)
        lower_copy(lo, l, n, operand_shifted(operand_rows(lo, y), at * 4),
                   operand_rows(lo, n->in[i]), n->in[i]->cols, y->cols, n->in[i]->cols);
}

static void add_positions(struct lowering *lo, const struct node *n, struct operand table)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), KERNEL_positions, n);
    call_operand(c, operand_rows(lo, n->out[0]));
    call_operand(c, operand_rows(lo, n->in[0]));
    call_operand(c, table);
    call_size(c, n->out[0]->cols);
    call_size(c, n->out[0]->rows);
}

void lower_positions(struct lowering *lo, const struct node *n)
{
    add_positions(lo, n, operand_param(lo, n->weight, SPACE_PARAMS));
}

/* Sine-cosine table in two dimensions: a quarter of the channels each for sin x, cos x, sin y, cos
 * y. */
void lower_sincos(struct lowering *lo, const struct node *n)
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
    add_positions(lo, n, operand_region(SPACE_CONST, (int64_t)index, 0, 0));
}

void lower_positions_dw(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0];
    struct launch *l = later_launch(lo, DOMAIN_PARTS, n);
    l->parts = dy->rows;
    struct call *c = node_call(lo, l, KERNEL_reduce, n);
    struct operand y = operand_param(lo, n->weight, SPACE_GRADS), x = operand_start(lo, dy);
    y.s2 = x.s2 = dy->cols * 4;
    call_operand(c, y);
    call_operand(c, x);
    call_size(c, dy->cols);
    call_size(c, dy->rows * dy->cols);
}
