/* The losses: cross-entropy of the softmax, and the mean of binary cross-entropies. */
#include "config.h"

#include "compiler/ops/op.h"

#include <math.h>

#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/shapes.h"

static void interpret(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), target = interp_in(it, n, 1);
    struct matrix loss = interp_out(it, n, 0), dx = interp_out(it, n, 1);
    for (int64_t r = 0; r < x.rows; r++) {
        const double *in = matrix_row(x, r), *t = matrix_row(target, r);
        double largest = in[0], sum = 0;
        for (int64_t c = 0; c < x.cols; c++)
            largest = fmax(largest, in[c]);
        for (int64_t c = 0; c < x.cols; c++)
            sum += exp(in[c] - largest);
        loss.at[r] = 0;
        for (int64_t c = 0; c < x.cols; c++) {
            double log_p = in[c] - largest - log(sum);
            loss.at[r] -= t[c] * log_p;
            matrix_row(dx, r)[c] = (exp(log_p) - t[c]) * it->settings.loss_scale;
        }
    }
}

static void interpret_binary_cross_entropy(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), target = interp_in(it, n, 1);
    struct matrix loss = interp_out(it, n, 0), dx = interp_out(it, n, 1);
    for (int64_t r = 0; r < x.rows; r++) {
        loss.at[r] = 0;
        for (int64_t c = 0; c < x.cols; c++) {
            double in = matrix_row(x, r)[c], t = matrix_row(target, r)[c];
            double log_s = -log1p(exp(-fabs(in))) + fmin(in, 0), log_rest = log_s - in;
            loss.at[r] -= (t * log_s + (1 - t) * log_rest) / (double)x.cols;
            matrix_row(dx, r)[c] = (exp(log_s) - t) / (double)x.cols * it->settings.loss_scale;
        }
    }
}

/* The losses of all pictures are one number, and so are those of all routing groups. */
static void sum_losses(struct lowering *lo, const struct node *n)
{
    struct launch *l = open_launch(lo, DOMAIN_PARTS, n);
    struct call *c = node_call(lo, l, KERNEL_loss_sum, n);
    c->operand.loss_sum.loss = operand_start(lo, n->out[0]);
    for (size_t i = 0; i < lo->g->nmoes; i++) {
        if (!moe_has_losses(lo->g->moes[i]))
            continue;
        c = node_call(lo, l, KERNEL_balance_sum, n);
        c->moe = lo->g->moes[i];
        c->operand.balance_sum.decisions = operand_whole(decisions_buffer(lo, c->moe));
        c->size.balance_sum.moe = c->moe->id;
    }
}

static void lower(struct lowering *lo, const struct node *n)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), KERNEL_cross_entropy, n);
    c->operand.cross_entropy.loss = operand_rows(lo, n->out[0]);
    c->operand.cross_entropy.dlogits = operand_rows(lo, n->out[1]);
    c->operand.cross_entropy.logits = operand_rows(lo, n->in[0]);
    c->operand.cross_entropy.target = operand_rows(lo, n->in[1]);
    c->size.cross_entropy.C = n->in[0]->cols;
    sum_losses(lo, n);
}

static void lower_binary_cross_entropy(struct lowering *lo, const struct node *n)
{
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), KERNEL_binary_cross_entropy, n);
    c->operand.binary_cross_entropy.loss = operand_rows(lo, n->out[0]);
    c->operand.binary_cross_entropy.dlogits = operand_rows(lo, n->out[1]);
    c->operand.binary_cross_entropy.logits = operand_rows(lo, n->in[0]);
    c->operand.binary_cross_entropy.target = operand_rows(lo, n->in[1]);
    c->size.binary_cross_entropy.C = n->in[0]->cols;
    sum_losses(lo, n);
}

static const char *wrong(const struct node *n)
{
    if (!shape_alike(n->in[0], n->in[1]) || !shape_alike(n->in[0], n->out[1]))
        return "logits, target and gradient differ in shape";
    return shape_is(n->out[0], n->in[0]->rows, 1) ? NULL : "the loss is not one number";
}

const struct op op_cross_entropy = {
    .name = "cross_entropy",
    .definition = "in: logits, target; out 0: loss (1,1) = -sum target * log softmax(logits); out "
                  "1: d logits = (softmax - target) * ctx.loss_scale (target sums to 1)",
    .inputs = 2,
    .outputs = 2,
    .wrong = wrong,
    .interpret = interpret,
    .lower = lower,
    .loss = "cross_entropy",
};

const struct op op_binary_cross_entropy = {
    .name = "binary_cross_entropy",
    .definition = "the same with loss = mean over the classes of -target log s - (1 - target) "
                  "log(1 - s), s = sigmoid(logits)",
    .inputs = 2,
    .outputs = 2,
    .wrong = wrong,
    .interpret = interpret_binary_cross_entropy,
    .lower = lower_binary_cross_entropy,
    .loss = "binary_cross_entropy",
};
