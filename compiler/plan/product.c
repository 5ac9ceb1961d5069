/* Products of matrices: a value by a weight, and the gradient of a weight. */
#include "config.h"

#include "compiler/plan/launch.h"

void lower_gemm(struct lowering *lo, struct launch *l, const struct node *n, struct operand y,
                struct operand x, struct operand b, const struct param *bias,
                struct gemm_sizes size)
{
    struct call *c = node_call(lo, l, KERNEL_gemm, n);
    c->operand.gemm.c = y;
    c->operand.gemm.a = x;
    c->operand.gemm.b = b;
    c->operand.gemm.bias = operand_param(lo, bias, SPACE_PARAMS);
    c->size.gemm = size;
    c->size.gemm.step = 1;
    c->size.gemm.start = bias ? START_BIAS : START_ZERO;
}

void lower_rows_by_weight(struct lowering *lo, const struct node *n)
{
    const struct value *x = n->in[0], *y = n->out[0];
    struct launch *l = row_launch(lo, n, y);
    lower_gemm(lo, l, n, operand_rows(lo, y), operand_rows(lo, x),
               operand_packed(lo, n->weight, false), n->bias,
               (struct gemm_sizes){.N = y->cols, .K = x->cols, .ldc = y->cols, .lda = x->cols});
}

void lower_rows_by_transpose(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0], *dx = n->out[0];
    struct launch *l = row_launch(lo, n, dx);
    lower_gemm(lo, l, n, operand_rows(lo, dx), operand_rows(lo, dy),
               operand_packed(lo, n->weight, true), NULL,
               (struct gemm_sizes){.N = dx->cols, .K = dy->cols, .ldc = dx->cols, .lda = dy->cols});
}

void lower_weight_gradient(struct lowering *lo, const struct node *n, struct operand dy,
                           struct operand x, struct linear_dw_sizes size, int64_t rows, int group)
{
    int64_t N = size.N, K = size.taps * size.I;
    struct dw_tile t = tile_dw(lo->plan->vector, N, K);
    const struct experts *experts = n->weight->experts ? n->experts : NULL;
    struct launch *l = later_launch(lo, experts ? DOMAIN_EXPERT_PARTS : DOMAIN_PARTS, n);
    l->experts = experts;
    l->decisions = experts ? decisions_buffer(lo, experts->moe) : NULL;
    l->rows = rows;
    l->parts = (N + t.block - 1) / t.block * ((K + t.wide - 1) / t.wide);
    struct call *c = node_call(lo, l, KERNEL_linear_dw, n);
    c->operand.linear_dw.dw =
        operand_shifted(operand_param(lo, n->weight, SPACE_GRADS), group * N * K * 4);
    c->operand.linear_dw.db =
        n->bias ? operand_shifted(operand_param(lo, n->bias, SPACE_GRADS), group * N * 4)
                : operand_nowhere();
    c->operand.linear_dw.dy = dy;
    c->operand.linear_dw.x = x;
    c->operand.linear_dw.scratch =
        operand_scratch(lo, n->name, dw_scratch(lo->plan->vector, t, K, size.taps > 1));
    c->size.linear_dw = size;
    c->size.linear_dw.block = t.block;
    c->size.linear_dw.wide = t.wide;
    c->size.linear_dw.biased = n->bias != NULL;
}

void lower_rows_gradient(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0], *x = n->in[1];
    struct operand ody = dy->experts ? operand_rows(lo, dy) : operand_start(lo, dy);
    struct operand ox = x->experts ? operand_rows(lo, x) : operand_start(lo, x);
    lower_weight_gradient(
        lo, n, ody, ox,
        (struct linear_dw_sizes){
            .N = dy->cols, .taps = 1, .I = x->cols, .ldy = dy->cols, .ldx = x->cols},
        dy->rows, 0);
}
