/* Lowering of experts (routing, rows in and out) and of the loss. */
#include "config.h"

#include "compiler/plan/launch.h"

/* -- experts -- */

static struct operand decisions(struct lowering *lo, const struct node *n)
{
    return operand_whole(decisions_buffer(lo, n->moe));
}

/* The launch of a routing kernel; operands follow. */
static struct call *moe_call(struct lowering *lo, const struct node *n, enum domain domain,
                             enum kernel k)
{
    struct launch *l = open_launch(lo, domain, n);
    struct call *c = node_call(lo, l, k, n);
    l->moe = c->moe = n->moe;
    call_size(c, n->moe->id);
    if (k == KERNEL_route || k == KERNEL_route_sort)
        call_size(c, lo->g->training);
    return c;
}

static void sort_rows(struct lowering *lo, const struct node *n)
{
    struct call *c = moe_call(lo, n, DOMAIN_PARTS, KERNEL_route_sort);
    call_operand(c, decisions(lo, n));
    call_operand(c, operand_region(SPACE_BALANCE, n->moe->balance_offset, 0, 0));
    call_operand(c, lo->g->training
                        ? operand_nowhere()
                        : operand_region(SPACE_CHOICES, 4 * n->moe->choices_offset, 0, 0));
}

void lower_route(struct lowering *lo, const struct node *n)
{
    const struct moe *m = n->moe;
    struct call *c = moe_call(lo, n, DOMAIN_GROUPS, KERNEL_route);
    call_operand(c, operand_image(lo, n->out[0]));
    call_operand(c, operand_image(lo, n->in[0]));
    call_operand(c, operand_image(lo, n->out[1]));
    call_operand(c, operand_param(lo, m->bias, SPACE_PARAMS));
    call_operand(c, decisions(lo, n));
    call_operand(c,
                 operand_scratch(lo, n->name, 16 * m->group * m->tokens + 4096 + 16 * m->experts));
    sort_rows(lo, n);
}

void lower_slots(struct lowering *lo, const struct node *n)
{
    call_operand(moe_call(lo, n, DOMAIN_PARTS, KERNEL_slots), decisions(lo, n));
    sort_rows(lo, n);
}

void lower_route_dx(struct lowering *lo, const struct node *n)
{
    struct call *c = moe_call(lo, n, DOMAIN_GROUPS, KERNEL_route_dx);
    call_operand(c, operand_image(lo, n->out[0]));
    for (int i = 0; i < n->nin; i++)
        if (!n->in[i]->raw)
            call_operand(c, operand_image(lo, n->in[i]));
    call_operand(c, decisions(lo, n));
}

void lower_dispatch(struct lowering *lo, const struct node *n)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), KERNEL_dispatch, n);
    call_operand(c, operand_rows(lo, n->out[0]));
    call_operand(c, operand_start(lo, n->in[0]));
    call_operand(c, decisions(lo, n));
    call_size(c, n->out[0]->cols);
    call_size(c, n->moe->top_k);
    call_size(c, plan_decisions(n->moe, lo->g->micro).pair);
}

/* Where the decisions say which routed rows belong to these experts; 0, 0: to all. */
static void call_range(struct lowering *lo, struct call *c, const struct experts *x)
{
    int64_t first = plan_decisions(x->moe, lo->g->micro).first;
    bool all = x->count == x->moe->experts;
    call_size(c, all ? 0 : first + 4 * x->first);
    call_size(c, all ? 0 : first + 4 * (x->first + x->count));
}

static void combine(struct lowering *lo, const struct node *n, const struct value *gates)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), KERNEL_combine, n);
    call_operand(c, operand_rows(lo, n->out[0]));
    call_operand(c, operand_start(lo, n->in[0]));
    call_operand(c, gates ? operand_rows(lo, gates) : operand_nowhere());
    call_operand(c, decisions(lo, n));
    call_size(c, n->out[0]->cols);
    call_size(c, n->moe->top_k);
    call_size(c, plan_decisions(n->moe, lo->g->micro).slot);
    call_size(c, gates != NULL);
    call_range(lo, c, n->experts);
}

void lower_combine(struct lowering *lo, const struct node *n)
{
    combine(lo, n, n->in[1]);
}
void lower_collect(struct lowering *lo, const struct node *n)
{
    combine(lo, n, NULL);
}

void lower_combine_dx(struct lowering *lo, const struct node *n)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), KERNEL_combine_dx, n);
    call_operand(c, operand_rows(lo, n->out[0]));
    call_operand(c, operand_start(lo, n->in[0]));
    call_operand(c, operand_start(lo, n->in[1]));
    call_operand(c, decisions(lo, n));
    call_size(c, n->out[0]->cols);
    call_size(c, n->moe->top_k);
    call_size(c, plan_decisions(n->moe, lo->g->micro).pair);
}

void lower_combine_dgate(struct lowering *lo, const struct node *n)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->in[0]), KERNEL_combine_dgate, n);
    call_operand(c, operand_rows(lo, n->out[0]));
    call_operand(c, operand_rows(lo, n->in[0]));
    call_operand(c, operand_start(lo, n->in[1]));
    call_operand(c, decisions(lo, n));
    call_size(c, n->in[0]->cols);
    call_size(c, n->moe->top_k);
    call_size(c, plan_decisions(n->moe, lo->g->micro).slot);
    call_range(lo, c, n->experts);
}

/* -- loss -- */

static void lower_loss(struct lowering *lo, const struct node *n, enum kernel kernel)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), kernel, n);
    call_operand(c, operand_rows(lo, n->out[0]));
    call_operand(c, operand_rows(lo, n->out[1]));
    call_operand(c, operand_rows(lo, n->in[0]));
    call_operand(c, operand_rows(lo, n->in[1]));
    call_size(c, n->in[0]->cols);
    struct launch *l = open_launch(lo, DOMAIN_PARTS, n);
    call_operand(node_call(lo, l, KERNEL_loss_sum, n), operand_start(lo, n->out[0]));
    for (size_t i = 0; i < lo->g->nmoes; i++) {
        if (!moe_has_losses(lo->g->moes[i]))
            continue;
        struct call *b = node_call(lo, l, KERNEL_balance_sum, n);
        b->moe = lo->g->moes[i];
        call_operand(b, operand_whole(decisions_buffer(lo, lo->g->moes[i])));
        call_size(b, lo->g->moes[i]->id);
    }
}

void lower_cross_entropy(struct lowering *lo, const struct node *n)
{
    lower_loss(lo, n, KERNEL_cross_entropy);
}

void lower_binary_cross_entropy(struct lowering *lo, const struct node *n)
{
    lower_loss(lo, n, KERNEL_binary_cross_entropy);
}
