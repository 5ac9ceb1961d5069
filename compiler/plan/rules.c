/* Calls that the lowering rules of several operations make: row by row, picture by picture, copies,
 * and sums over tiles. */
#include "config.h"

#include "compiler/plan/launch.h"

/* -- sums over tiles -- */

/* Sums of a tile for a param's gradient: one row of `cols` for each tile of the open launch. */
struct operand lower_tile_sums(struct lowering *lo, const struct node *n, int64_t cols)
{
    struct buffer *b = new_buffer(lo, n->name, 0, 0);
    b->bytes = -cols * 4; /* times the tiles, once those are known: place_buffers() */
    b->keep = true;
    struct operand o = operand_whole(b);
    o.s2 = cols * 4;
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

/* Kernels whose operands are the output and the inputs, row by row, and whose only size is the
 * width. */
struct call *lower_elementwise(struct lowering *lo, const struct node *n, enum kernel k)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), k, n);
    call_operand(c, operand_rows(lo, n->out[0]));
    for (int i = 0; i < n->nin; i++)
        call_operand(c, operand_rows(lo, n->in[i]));
    call_size(c, n->out[0]->cols);
    return c;
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
    for (int i = 0; i < n->nout; i++)
        call_operand(c, operand_image(lo, n->out[i]));
    for (int i = 0; i < n->nin; i++)
        call_operand(c, operand_image(lo, n->in[i]));
    return c;
}

/* Between T rows and one. */
void lower_one_row(struct lowering *lo, const struct node *n, enum kernel k,
                   const struct value *rows, bool mean)
{
    struct call *c = lower_by_images(lo, n, k, 1);
    call_size(c, rows->rows);
    call_size(c, rows->cols);
    call_size(c, mean);
}

/* Whole rows moved within each picture: a copy with m = 1 and all its numbers in one row. */
void lower_move_rows(struct lowering *lo, struct launch *l, const struct node *n, struct operand y,
                     struct operand x, int64_t count)
{
    lower_copy(lo, l, n, y, x, count, count, count);
}
