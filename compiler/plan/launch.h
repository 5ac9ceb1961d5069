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

/* Calls: operands and sizes in the order of kernels.def. */
struct call *add_call(struct arena *a, struct launch *l, enum kernel k, const char *name);
struct call *node_call(struct lowering *lo, struct launch *l, enum kernel k, const struct node *n);
void call_size(struct call *c, int64_t v);
void call_operand(struct call *c, struct operand o);

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

/* Rules, one for each row of nodes.def. */
#define NODE(name, doc) void lower_##name(struct lowering *lo, const struct node *n);
#include "compiler/graph/nodes.def"
#undef NODE

/* Shared by rules. lower_gemm: size = N, K, ldc, lda. lower_weight_gradient: shape = N, taps, I,
 * row strides of dy and x, rows of a picture, for one group of channels. */
void lower_gemm(struct lowering *lo, struct launch *l, const struct node *n, struct operand y,
                struct operand x, struct operand b, const struct param *bias,
                const int64_t size[4]);
void lower_weight_gradient(struct lowering *lo, const struct node *n, struct operand dy,
                           struct operand x, int64_t shape[6], int group);
void lower_copy(struct lowering *lo, struct launch *l, const struct node *n, struct operand y,
                struct operand x, int64_t count, int64_t ldy, int64_t ldx);
void lower_zero(struct lowering *lo, struct launch *l, const struct node *n, struct operand y,
                int64_t cols);

#endif
