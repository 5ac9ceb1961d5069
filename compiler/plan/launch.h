/* What lowering rules are written with. */
#ifndef COMPILER_PLAN_LAUNCH_H
#define COMPILER_PLAN_LAUNCH_H

#include "compiler/plan/lower.h"

/* Launches. A rule either joins the open chain (row_launch), starts a launch of its own
 * (open_launch), or leaves one to be run when the chain is closed (later_launch). new_launch()
 * appends to f, unless that is NULL. */
struct launch *new_launch(struct arena *a, struct function *f, enum domain domain,
                          const char *name);
void close_launch(struct lowering *lo);
struct launch *open_launch(struct lowering *lo, enum domain domain, const struct node *n);
struct launch *later_launch(struct lowering *lo, enum domain domain, const struct node *n);
struct launch *row_launch(struct lowering *lo, const struct node *n, const struct value *v);

/* Calls: their operands and sizes are filled in by name; those that are not are nowhere and 0. */
struct call *add_call(struct arena *a, struct launch *l, enum kernel k, const char *name);
struct call *node_call(struct lowering *lo, struct launch *l, enum kernel k, const struct node *n);

/* Buffers; row_bytes 0: not made of rows. */
struct buffer *new_buffer(struct lowering *lo, const char *name, int64_t bytes, int64_t row_bytes);
struct buffer *row_buffer(struct lowering *lo, const char *name, int64_t rows, int64_t cols);
struct buffer *buffer_of(struct lowering *lo, const struct value *v);
struct buffer *decisions_buffer(struct lowering *lo, const struct moe *m);

/* Operands: of a value by the rows of the tile, by picture, or from its start; of a param; of the
 * kernel's own scratch. */
struct operand operand_rows(struct lowering *lo, const struct value *v);
struct operand operand_image(struct lowering *lo, const struct value *v);
struct operand operand_start(struct lowering *lo, const struct value *v);
struct operand operand_whole(struct buffer *b);
struct operand operand_rows_in(struct buffer *b);
struct operand operand_param(struct lowering *lo, const struct param *p, enum space space);
struct operand operand_packed(struct lowering *lo, const struct param *p, bool transposed);
struct operand operand_scratch(struct lowering *lo, const char *name, int64_t bytes);
struct operand operand_shifted(struct operand o, int64_t bytes);
struct operand operand_region(enum space space, int64_t offset, int64_t s1, int64_t s2);
struct operand operand_nowhere(void);

/* What rules of several operations share (rules.c). */

/* Sums of a tile for a param's gradient: one row of `cols` for each tile of the open launch; and
 * the launch that adds those of all tiles to the gradient, in their order. */
struct operand lower_tile_sums(struct lowering *lo, const struct node *n, int64_t cols);
void lower_reduce_tiles(struct lowering *lo, const struct node *n, const struct param *p,
                        struct operand sums, int64_t cols);

/* A kernel whose operands are the output and the inputs, row by row, and whose first size is the
 * width. */
struct call *lower_elementwise(struct lowering *lo, const struct node *n, enum kernel k);

/* A kernel whose operands are the outputs and the inputs, picture by picture, in `parts`. */
struct call *lower_by_images(struct lowering *lo, const struct node *n, enum kernel k,
                             int64_t parts);

/* The rows of the input to one, their sum or mean, picture by picture; and one row to all of the
 * output, as it is or divided by their number. */
void lower_sum_rows(struct lowering *lo, const struct node *n, bool mean);
void lower_spread_rows(struct lowering *lo, const struct node *n, bool mean);

/* `count` columns of each row; zeros; and whole rows moved within each picture: a copy with m = 1
 * and all its numbers in one row. */
void lower_copy(struct lowering *lo, struct launch *l, const struct node *n, struct operand y,
                struct operand x, int64_t count, int64_t ldy, int64_t ldx);
void lower_zero(struct lowering *lo, struct launch *l, const struct node *n, struct operand y,
                int64_t cols);
void lower_move_rows(struct lowering *lo, struct launch *l, const struct node *n, struct operand y,
                     struct operand x, int64_t count);

/* The decisions of the node's routing. */
struct operand operand_decisions(struct lowering *lo, const struct node *n);

/* Products (product.c): of `size` N, K, ldc and lda are taken; and rows of a value times the node's
 * weight, or, transposed, the gradient of the rows. */
void lower_gemm(struct lowering *lo, struct launch *l, const struct node *n, struct operand y,
                struct operand x, struct operand b, const struct param *bias,
                struct gemm_sizes size);
void lower_rows_by_weight(struct lowering *lo, const struct node *n);
void lower_rows_by_transpose(struct lowering *lo, const struct node *n);

/* dw (N, I, taps) += dy^T x for one group of channels; of `size` N, taps, I, ldy and ldx are taken;
 * rows: of a picture. And of a weight that rows are multiplied by: in 0 is dy, in 1 x. */
void lower_weight_gradient(struct lowering *lo, const struct node *n, struct operand dy,
                           struct operand x, struct linear_dw_sizes size, int64_t rows, int group);
void lower_rows_gradient(struct lowering *lo, const struct node *n);

#endif
