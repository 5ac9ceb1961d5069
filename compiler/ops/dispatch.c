/* Rows to the experts and back. */
#include "config.h"

#include "compiler/ops/op.h"

#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/shapes.h"

static void interpret(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < y.rows; r++)
        for (int64_t c = 0; c < y.cols; c++)
            matrix_row(y, r)[c] = matrix_row(x, y.routing->pair[y.first + r] / y.moe->top_k)[c];
}

/* The row of x that holds this (token, choice) pair, -1 if it was dropped or went to other
 * experts. */
static int64_t row_of(struct matrix x, int64_t pair)
{
    int64_t slot = x.routing->slot[pair] - x.first;
    return x.routing->slot[pair] >= 0 && slot >= 0 && slot < x.rows ? slot : -1;
}

/* y[t,:] = sum over the kept choices of gate * x[slot,:]; gates may be missing: 1. */
static void gather(struct matrix x, const double *gates, int top_k, struct matrix y)
{
    for (int64_t t = 0; t < y.rows; t++)
        for (int64_t c = 0; c < y.cols; c++) {
            double sum = 0;
            for (int64_t pair = t * top_k; pair < (t + 1) * top_k; pair++)
                if (row_of(x, pair) >= 0)
                    sum += (gates ? gates[pair] : 1) * matrix_row(x, row_of(x, pair))[c];
            matrix_row(y, t)[c] = sum;
        }
}

static void interpret_collect(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0);
    gather(x, NULL, x.moe->top_k, interp_out(it, n, 0));
}

static void interpret_combine(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), gates = interp_in(it, n, 1);
    gather(x, gates.at, x.moe->top_k, interp_out(it, n, 0));
}

static void interpret_combine_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), gates = interp_in(it, n, 1), dx = interp_out(it, n, 0);
    for (int64_t r = 0; r < dx.rows; r++)
        for (int64_t c = 0; c < dx.cols; c++) {
            int32_t pair = dx.routing->pair[dx.first + r];
            matrix_row(dx, r)[c] = gates.at[pair] * matrix_row(dy, pair / dx.moe->top_k)[c];
        }
}

static void interpret_combine_dgate(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), x = interp_in(it, n, 1), dgates = interp_out(it, n, 0);
    for (int64_t pair = 0; pair < dgates.rows * dgates.cols; pair++) {
        int64_t slot = row_of(x, pair);
        dgates.at[pair] = 0;
        for (int64_t c = 0; c < dy.cols && slot >= 0; c++)
            dgates.at[pair] += matrix_row(dy, pair / dgates.cols)[c] * matrix_row(x, slot)[c];
    }
}

static void differentiate(struct differ *d, struct node *n, struct value *dy)
{
    if (grad_wants(d, n->in[0]))
        grad_through(d, &op_collect, n, dy, n->in[1], NULL);
}

static void grad_collect(struct differ *d, struct node *n, struct value *dy)
{
    grad_through(d, &op_dispatch, n, dy, n->in[1], NULL);
}

static void grad_combine(struct differ *d, struct node *n, struct value *dy)
{
    struct value *x = grad_again(d, n->in[0]);
    struct node *m = grad_node(d, &op_combine_dgate, n);
    node_input(m, dy);
    node_input(m, x);
    node_input(m, n->in[2]);
    grad_add_to(d, n->in[1], grad_like(d, m, n->in[1]));
    grad_through(d, &op_combine_dx, n, dy, n->in[1], n->in[2]);
}

static void lower(struct lowering *lo, const struct node *n)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), KERNEL_dispatch, n);
    c->operand.dispatch.y = operand_rows(lo, n->out[0]);
    c->operand.dispatch.x = operand_start(lo, n->in[0]);
    c->operand.dispatch.decisions = operand_decisions(lo, n);
    c->size.dispatch.C = n->out[0]->cols;
    c->size.dispatch.K = n->moe->top_k;
    c->size.dispatch.pair_at = plan_decisions(n->moe, lo->g->micro).pair;
}

/* Where the decisions say which routed rows belong to these experts; 0, 0: all do. */
struct part {
    int64_t from_at, to_at;
};

static struct part rows_of(struct lowering *lo, const struct experts *x)
{
    int64_t first = plan_decisions(x->moe, lo->g->micro).first;
    if (x->count == x->moe->experts)
        return (struct part){0, 0};
    return (struct part){first + 4 * x->first, first + 4 * (x->first + x->count)};
}

static void combine(struct lowering *lo, const struct node *n, const struct value *gates)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), KERNEL_combine, n);
    c->operand.combine.y = operand_rows(lo, n->out[0]);
    c->operand.combine.x = operand_start(lo, n->in[0]);
    c->operand.combine.gates = gates ? operand_rows(lo, gates) : operand_nowhere();
    c->operand.combine.decisions = operand_decisions(lo, n);
    c->size.combine.C = n->out[0]->cols;
    c->size.combine.K = n->moe->top_k;
    c->size.combine.slot_at = plan_decisions(n->moe, lo->g->micro).slot;
    c->size.combine.gated = gates != NULL;
    struct part mine = rows_of(lo, n->experts);
    c->size.combine.from_at = mine.from_at;
    c->size.combine.to_at = mine.to_at;
}

static void lower_combine(struct lowering *lo, const struct node *n)
{
    combine(lo, n, n->in[1]);
}

static void lower_collect(struct lowering *lo, const struct node *n)
{
    combine(lo, n, NULL);
}

static void lower_combine_dx(struct lowering *lo, const struct node *n)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), KERNEL_combine_dx, n);
    c->operand.combine_dx.dx = operand_rows(lo, n->out[0]);
    c->operand.combine_dx.dy = operand_start(lo, n->in[0]);
    c->operand.combine_dx.gates = operand_start(lo, n->in[1]);
    c->operand.combine_dx.decisions = operand_decisions(lo, n);
    c->size.combine_dx.C = n->out[0]->cols;
    c->size.combine_dx.K = n->moe->top_k;
    c->size.combine_dx.pair_at = plan_decisions(n->moe, lo->g->micro).pair;
}

static void lower_combine_dgate(struct lowering *lo, const struct node *n)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->in[0]), KERNEL_combine_dgate, n);
    c->operand.combine_dgate.dgates = operand_rows(lo, n->out[0]);
    c->operand.combine_dgate.dy = operand_rows(lo, n->in[0]);
    c->operand.combine_dgate.x = operand_start(lo, n->in[1]);
    c->operand.combine_dgate.decisions = operand_decisions(lo, n);
    c->size.combine_dgate.C = n->in[0]->cols;
    c->size.combine_dgate.K = n->moe->top_k;
    c->size.combine_dgate.slot_at = plan_decisions(n->moe, lo->g->micro).slot;
    struct part mine = rows_of(lo, n->experts);
    c->size.combine_dgate.from_at = mine.from_at;
    c->size.combine_dgate.to_at = mine.to_at;
}

/* Between a value of all items, `all`, and the rows that experts got of it; the last input holds
 * the decisions. */
static const char *wrong_between(const struct node *n, const struct value *all,
                                 const struct value *routed)
{
    const struct moe *m = n->moe;
    if (!m || n->in[n->nin - 1] != m->decisions || !n->experts || n->experts->moe != m)
        return "the decisions are not those of its layer";
    if (all->experts || routed->experts != n->experts || routed->rows != m->rows)
        return "the routed rows are not those of its experts";
    return all->cols == routed->cols && all->rows == m->tokens * m->span
               ? NULL
               : "items and routed rows differ in width or number";
}

static const char *wrong_gates(const struct node *n, const struct value *gates)
{
    const struct moe *m = n->moe;
    return shape_is(gates, m->tokens * m->span, m->top_k) ? NULL
                                                          : "there is not one gate for each choice";
}

static const char *wrong(const struct node *n)
{
    return wrong_between(n, n->in[0], n->out[0]);
}

static const char *wrong_collect(const struct node *n)
{
    return wrong_between(n, n->out[0], n->in[0]);
}

static const char *wrong_combine(const struct node *n)
{
    const char *why = wrong_collect(n);
    return why ? why : wrong_gates(n, n->in[1]);
}

static const char *wrong_combine_dx(const struct node *n)
{
    const char *why = wrong_between(n, n->in[0], n->out[0]);
    return why ? why : wrong_gates(n, n->in[1]);
}

static const char *wrong_combine_dgate(const struct node *n)
{
    const char *why = wrong_between(n, n->in[0], n->in[1]);
    return why ? why : wrong_gates(n, n->out[0]);
}

const struct op op_dispatch = {
    .name = "dispatch",
    .definition = "y[r,:] = x[token of r,:]; in 1: decisions",
    .inputs = 2,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret,
    .lower = lower,
    .differentiate = differentiate,
    .again = AGAIN_CHEAP,
};

const struct op op_combine = {
    .name = "combine",
    .definition = "y[t,:] = sum over kept choices j (in order) of gate[t,j] * x[slot,:]; in: x "
                  "routed, gates, decisions",
    .inputs = 3,
    .outputs = 1,
    .wrong = wrong_combine,
    .interpret = interpret_combine,
    .lower = lower_combine,
    .differentiate = grad_combine,
};

const struct op op_collect = {
    .name = "collect",
    .definition =
        "in: x routed, decisions; out: y (T,C) = sum over kept choices j (in order) of x[slot,:]",
    .inputs = 2,
    .outputs = 1,
    .wrong = wrong_collect,
    .interpret = interpret_collect,
    .lower = lower_collect,
    .differentiate = grad_collect,
};

const struct op op_combine_dx = {
    .name = "combine_dx",
    .definition = "in: dy (T,C), gates, decisions; out: dx routed = gate * dy[token]",
    .inputs = 3,
    .outputs = 1,
    .wrong = wrong_combine_dx,
    .interpret = interpret_combine_dx,
    .lower = lower_combine_dx,
};

const struct op op_combine_dgate = {
    .name = "combine_dgate",
    .definition = "in: dy (T,C), x routed, decisions; out: d gates (T,K) = dot(dy[t,:], "
                  "x[slot,:]), 0 where dropped",
    .inputs = 3,
    .outputs = 1,
    .wrong = wrong_combine_dgate,
    .interpret = interpret_combine_dgate,
    .lower = lower_combine_dgate,
};
