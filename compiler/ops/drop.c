/* Drop path (Huang et al. 2016, stochastic depth) and dropout (Srivastava et al. 2014). */
#include "config.h"

#include "compiler/ops/op.h"

#include "compiler/graph/build.h"
#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/facts.h"
#include "compiler/ops/shapes.h"
#include "lang/base/diag.h"

static bool check_rate(struct builder *b, const struct spec_layer *l, double rate)
{
    if (rate >= 0 && rate < 1)
        return true;
    diag_report(b->diag, DIAG_OUT_OF_RANGE, l->loc,
                "a rate of %g drops everything; it must be at least 0 and below 1", rate);
    return false;
}

static void set_mask(struct builder *b, struct node *n, double rate)
{
    struct mask mask = {.rate = rate, .key = b->g->next_key++};
    node_set_facts(b->g, n, &mask, sizeof mask);
}

static bool build_drop_path(struct builder *b, const struct spec_layer *l, struct tensor x,
                            struct tensor *y)
{
    *y = x;
    double share = arg_float(l, 0);
    if (!(share >= 0 && share <= 1)) {
        diag_report(b->diag, DIAG_OUT_OF_RANGE, l->loc, "share = %g must be from 0 to 1", share);
        return false;
    }
    if (!b->g->training || share == 0)
        return true;
    struct node *n = layer_unary(b, &op_drop_path, l, x, y);
    set_mask(b, n, share);
    return true;
}

static bool build_dropout(struct builder *b, const struct spec_layer *l, struct tensor x,
                          struct tensor *y)
{
    *y = x;
    double rate = arg_float(l, 0);
    if (!check_rate(b, l, rate))
        return false;
    if (!b->g->training || rate == 0)
        return true;
    struct node *n = layer_unary(b, &op_dropout, l, x, y);
    set_mask(b, n, rate);
    return true;
}

/* The token a row belongs to, counted over all images of the call, and which of its choices the row
 * is. */
static int64_t row_token(struct matrix x, int64_t r)
{
    return x.routing ? x.routing->pair[x.first + r] / x.moe->top_k : r;
}

static int64_t row_choice(struct matrix x, int64_t r)
{
    return x.routing ? x.routing->pair[x.first + r] % x.moe->top_k : 0;
}

static void interpret_drop_path(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    int64_t tokens = x.moe ? x.moe->tokens * x.moe->span : n->in[0]->rows;
    double p = it->g->training ? NODE_FACTS(n, mask)->rate * it->settings.drop_path : 0;
    for (int64_t r = 0; r < x.rows; r++) {
        double u[4];
        interp_uniform(it, (uint32_t)(it->settings.first_image + row_token(x, r) / tokens), 0,
                       NODE_FACTS(n, mask)->key, u);
        for (int64_t c = 0; c < x.cols; c++)
            matrix_row(y, r)[c] = u[0] >= p ? matrix_row(x, r)[c] / (1 - p) : 0;
    }
}

static void interpret_dropout(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    int64_t tokens = x.moe ? x.moe->tokens * x.moe->span : n->in[0]->rows;
    double rate = it->g->training ? NODE_FACTS(n, mask)->rate : 0;
    for (int64_t r = 0; r < x.rows; r++)
        for (int64_t c = 0; c < x.cols; c++) {
            double u[4];
            int64_t block = c / 4 + (x.cols + 3) / 4 * row_choice(x, r);
            interp_uniform(it, (uint32_t)(it->settings.first_image * tokens + row_token(x, r)),
                           (uint32_t)block, NODE_FACTS(n, mask)->key, u);
            matrix_row(y, r)[c] = u[c % 4] >= rate ? matrix_row(x, r)[c] / (1 - rate) : 0;
        }
}

/* What tells a random mask's kernel which row it sees. */
struct seen {
    struct operand decisions;
    int64_t rows, K, pair_at;
};

static struct seen rows_seen(struct lowering *lo, const struct node *n)
{
    const struct moe *m = n->experts ? n->experts->moe : NULL;
    if (!m)
        return (struct seen){operand_nowhere(), n->out[0]->rows, 0, 0};
    return (struct seen){operand_whole(decisions_buffer(lo, m)), m->tokens * m->span, m->top_k,
                         plan_decisions(m, lo->g->micro).pair};
}

static void lower_drop_path(struct lowering *lo, const struct node *n)
{
    struct operand factors = operand_rows_in(row_buffer(lo, n->name, n->out[0]->rows, 1));
    struct call *c = node_call(lo, row_launch(lo, n, n->out[0]), KERNEL_drop_factors, n);
    struct seen s = rows_seen(lo, n);
    c->operand.drop_factors.f = factors;
    c->operand.drop_factors.decisions = s.decisions;
    c->size.drop_factors = (struct drop_factors_sizes){
        .rows = s.rows, .key = NODE_FACTS(n, mask)->key, .K = s.K, .pair_at = s.pair_at};
    c->real[0] = NODE_FACTS(n, mask)->rate;
    lower_elementwise(lo, n, KERNEL_scale_rows)->operand.scale_rows.f = factors;
}

static void lower_dropout(struct lowering *lo, const struct node *n)
{
    struct call *c = lower_elementwise(lo, n, KERNEL_dropout);
    struct seen s = rows_seen(lo, n);
    c->operand.dropout.decisions = s.decisions;
    c->size.dropout.rows = s.rows;
    c->size.dropout.key = NODE_FACTS(n, mask)->key;
    c->size.dropout.K = s.K;
    c->size.dropout.pair_at = s.pair_at;
    c->real[0] = NODE_FACTS(n, mask)->rate;
}

static const char *wrong(const struct node *n)
{
    double rate = NODE_FACTS(n, mask)->rate;
    return rate > 0 && rate <= 1 ? wrong_unless_alike(n) : "the rate is no share";
}

static void print(const struct node *n, FILE *out)
{
    fprintf(out, " rate=%g", NODE_FACTS(n, mask)->rate);
}

const struct layer layer_drop_path = {
    .name = "drop_path",
    .signature = "share: float = 1.0",
    .doc = "drops the branch of a picture in training, at share x the drop-path rate",
    .mixes = MIXES_NOTHING,
    .build = build_drop_path,
};

const struct layer layer_dropout = {
    .name = "dropout",
    .signature = "rate: float",
    .doc = "zeroes elements in training, and scales the others by 1 / (1 - rate)",
    .mixes = MIXES_NOTHING,
    .build = build_dropout,
};

const struct op op_drop_path = {
    .name = "drop_path",
    .definition = "training: y = x * keep / (1 - p) with p = rate * ctx.drop_path, keep = u(word 0 "
                  "of counter (image, 0)) >= p; else y = x",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret_drop_path,
    .lower = lower_drop_path,
    .differentiate = grad_itself,
    .print = print,
};

const struct op op_dropout = {
    .name = "dropout",
    .definition = "training: y = x * keep / (1 - rate), keep = u >= rate; element (row, col) uses "
                  "word col % 4 of counter (image * rows + row, col / 4); routed rows use the row "
                  "and image of their token, and add ceil(C / 4) * choice to the second word",
    .inputs = 1,
    .outputs = 1,
    .wrong = wrong,
    .interpret = interpret_dropout,
    .lower = lower_dropout,
    .differentiate = grad_itself,
    .print = print,
};
