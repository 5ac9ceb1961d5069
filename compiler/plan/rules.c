/* Calls that the lowering rules of several operations make: row by row, picture by picture, copies,
 * and sums over tiles. */
#include "config.h"

#include "compiler/plan/launch.h"

#include <assert.h>

/* -- sums over tiles -- */

/* Sums of a tile for a param's gradient: one row of `cols` for each tile of the open launch. */
struct operand lower_tile_sums(struct lowering *lo, const struct node *n, int64_t cols)
{
    assert(lo->open);
    struct buffer *b = new_buffer(lo, n->name, 0, 0);
    b->sums_of = lo->open;
    b->tile_bytes = float_bytes(cols);
    b->keep = true;
    struct operand o = operand_whole(b);
    o.s2 = b->tile_bytes;
    return o;
}

/* Add the sums of all tiles to the gradient, in their order. */
void lower_reduce_tiles(struct lowering *lo, const struct node *n, const struct param *p,
                        struct operand sums, int64_t cols)
{
    const struct experts *experts = lo->open->experts;
    struct launch *l = later_launch(lo, experts ? DOMAIN_EXPERT_TILES : DOMAIN_TILES, n);
    l->experts = experts;
    l->decisions = lo->open->decisions;
    l->rows = lo->open->rows;
    l->tiles_of = lo->open;
    struct call *c = node_call(lo, l, KERNEL_reduce, n);
    c->operand.reduce.y = operand_param(lo, p, SPACE_GRADS);
    sums.s2 = 0;
    sums.s0 = float_bytes(cols);
    c->operand.reduce.x = sums;
    c->size.reduce.n = cols;
    c->size.reduce.stride = cols;
}

/* -- row by row -- */

/* Kernels whose operands are the output and the inputs, row by row, and whose only size is the
 * width. */
struct call *lower_elementwise(struct lowering *lo, const struct node *n, enum kernel k)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), k, n);
    assert(kernel_table[k].noperands > n->nin);
    c->operand.at[0] = operand_rows(lo, n->out[0]);
    for (int i = 0; i < n->nin; i++)
        c->operand.at[1 + i] = operand_rows(lo, n->in[i]);
    c->size.at[0] = n->out[0]->cols;
    return c;
}

void lower_copy(struct lowering *lo, struct launch *l, const struct node *n, struct operand y,
                struct operand x, int64_t count, int64_t ldy, int64_t ldx)
{
    struct call *c = node_call(lo, l, KERNEL_copy, n);
    c->operand.copy.y = y;
    c->operand.copy.x = x;
    c->size.copy.n = count;
    c->size.copy.ldy = ldy;
    c->size.copy.ldx = ldx;
}

void lower_zero(struct lowering *lo, struct launch *l, const struct node *n, struct operand y,
                int64_t cols)
{
    struct call *c = node_call(lo, l, KERNEL_zero, n);
    c->operand.zero.y = y;
    c->size.zero.C = cols;
}

struct operand operand_decisions(struct lowering *lo, const struct node *n)
{
    return operand_whole(decisions_buffer(lo, n->moe));
}

/* -- picture by picture -- */

struct call *lower_by_images(struct lowering *lo, const struct node *n, enum kernel k,
                             int64_t parts)
{
    struct launch *l = open_launch(lo, DOMAIN_IMAGES, n);
    l->parts = parts;
    struct call *c = node_call(lo, l, k, n);
    assert(kernel_table[k].noperands >= n->nout + n->nin);
    for (int i = 0; i < n->nout; i++)
        c->operand.at[i] = operand_image(lo, n->out[i]);
    for (int i = 0; i < n->nin; i++)
        c->operand.at[n->nout + i] = operand_image(lo, n->in[i]);
    return c;
}

void lower_sum_rows(struct lowering *lo, const struct node *n, bool mean)
{
    const struct value *rows = n->in[0];
    struct call *c = lower_by_images(lo, n, KERNEL_sum_rows, 1);
    c->size.sum_rows = (struct sum_rows_sizes){.T = rows->rows, .C = rows->cols, .mean = mean};
}

void lower_spread_rows(struct lowering *lo, const struct node *n, bool mean)
{
    const struct value *rows = n->out[0];
    struct call *c = lower_by_images(lo, n, KERNEL_spread_rows, 1);
    c->size.spread_rows =
        (struct spread_rows_sizes){.T = rows->rows, .C = rows->cols, .mean = mean};
}

/* Whole rows moved within each picture: a copy with m = 1 and all its numbers in one row. */
void lower_move_rows(struct lowering *lo, struct launch *l, const struct node *n, struct operand y,
                     struct operand x, int64_t count)
{
    lower_copy(lo, l, n, y, x, count, count, count);
}
