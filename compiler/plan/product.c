/* Products of matrices: a value by a weight, and the gradient of a weight. */
#include "config.h"

#include "compiler/plan/launch.h"

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

void lower_rows_by_weight(struct lowering *lo, const struct node *n)
{
    const struct value *x = n->in[0], *y = n->out[0];
    struct launch *l = row_launch(lo, n, y);
    lower_gemm(lo, l, n, operand_rows(lo, y), operand_rows(lo, x),
               operand_packed(lo, n->weight, false), n->bias,
               (int64_t[]){y->cols, x->cols, y->cols, x->cols});
}

void lower_rows_by_transpose(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0], *dx = n->out[0];
    struct launch *l = row_launch(lo, n, dx);
    lower_gemm(lo, l, n, operand_rows(lo, dx), operand_rows(lo, dy),
               operand_packed(lo, n->weight, true), NULL,
               (int64_t[]){dx->cols, dy->cols, dx->cols, dy->cols});
}

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

void lower_rows_gradient(struct lowering *lo, const struct node *n)
{
    const struct value *dy = n->in[0], *x = n->in[1];
    struct operand ody = dy->experts ? operand_rows(lo, dy) : operand_start(lo, dy);
    struct operand ox = x->experts ? operand_rows(lo, x) : operand_start(lo, x);
    lower_weight_gradient(lo, n, ody, ox,
                          (int64_t[]){dy->cols, 1, x->cols, dy->cols, x->cols, dy->rows}, 0);
}
