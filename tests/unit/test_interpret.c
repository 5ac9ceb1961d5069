/* The interpreter against numbers worked out by hand: each forward node alone, then the routing's
 * rules one by one. */
#include "config.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/graph/graph.h"
#include "compiler/graph/interpret.h"
#include "compiler/ops/facts.h"
#include "compiler/ops/op.h"
#include "lang/base/arena.h"
#include "tests/unit/fixture.h"

static struct graph *new_graph(int64_t rows, int64_t cols)
{
    struct graph *g = arena_alloc(arena, sizeof *g);
    g->arena = arena;
    g->training = true;
    g->input = graph_value(g, rows, cols, NULL);
    return g;
}

static struct node *add_node(struct graph *g, const struct op *op, struct moe *moe, struct value *a,
                             struct value *b, struct value *c)
{
    struct node *n = graph_node(g, op, "node", (struct loc){0});
    struct value *in[] = {a, b, c};
    for (int i = 0; i < 3 && in[i]; i++)
        node_input(n, in[i]);
    n->moe = moe;
    g->nforward = g->nnodes;
    return n;
}

static struct interp *start(struct graph *g, int64_t images, const double *input)
{
    struct interp_settings s = {.images = images, .loss_scale = 1, .balance_scale = 1};
    struct interp *it = interp_new(arena, g, &s);
    memcpy(interp_value(it, g->input), input,
           (size_t)(images * g->input->rows * g->input->cols) * sizeof *input);
    return it;
}

static void run(struct interp *it, struct graph *g)
{
    interp_run(it, 0, g->nforward);
}

static void assert_near(const double *got, const double *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= 1e-9))
            fail_msg("element %zu is %.12g, not %.12g", i, got[i], want[i]);
}

static void assert_ints(const int32_t *got, const int32_t *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (got[i] != want[i])
            fail_msg("element %zu is %d, not %d", i, got[i], want[i]);
}

/* -- nodes alone -- */

#define MAX_ELEMENTS 16

struct node_case {
    const char *name;
    struct node node;   /* op and sizes */
    int64_t rows, cols; /* of the input */
    int64_t out_rows, out_cols;
    double x[MAX_ELEMENTS], w[MAX_ELEMENTS], b[MAX_ELEMENTS], y[MAX_ELEMENTS];
};

#define FACTS(type, ...) \
    .facts = &(const struct type){__VA_ARGS__}, .facts_size = sizeof(struct type)
#define WINDOW(k, s, p, h, w, oh, ow) \
    {.kernel = k,                     \
     .stride = s,                     \
     .padding = p,                    \
     .height = h,                     \
     .width = w,                      \
     .out_height = oh,                \
     .out_width = ow}
#define POOL(o) {.op = o, .facts = &pooling, .facts_size = sizeof pooling}
static const struct window pooling = WINDOW(2, 2, 1, 3, 3, 2, 2);

static struct node_case node_cases[] = {
    {"linear",
     {.op = &op_linear},
     1,
     2,
     1,
     3,
     {1, 2},
     {1, 2, 3, 4, 5, 6},
     {100, 200, 300},
     {105, 211, 317}},
    {"layernorm",
     {.op = &op_layernorm, FACTS(norm, .eps = 0)},
     1,
     2,
     1,
     2,
     {1, 3},
     {2, 4},
     {1, 1},
     {-1, 5}},
    {"layernorm eps",
     {.op = &op_layernorm, FACTS(norm, .eps = 3)},
     1,
     2,
     1,
     2,
     {1, 3},
     {2, 4},
     {1, 1},
     {0, 3}},
    {"gelu",
     {.op = &op_gelu},
     1,
     3,
     1,
     3,
     {0, 1, -1},
     {0},
     {0},
     {0, 0.8413447460685429, -0.1586552539314571}},
    {"relu", {.op = &op_relu}, 1, 3, 1, 3, {0, 2, -2}, {0}, {0}, {0, 2, 0}},
    {"silu",
     {.op = &op_silu},
     1,
     3,
     1,
     3,
     {0, 1, -1},
     {0},
     {0},
     {0, 0.7310585786300049, -0.2689414213699951}},
    {"scale", {.op = &op_scale}, 2, 2, 2, 2, {1, 2, 3, 4}, {10, 100}, {0}, {10, 200, 30, 400}},
    {"slice",
     {.op = &op_slice, FACTS(range, 1)},
     2,
     3,
     2,
     2,
     {1, 2, 3, 4, 5, 6},
     {0},
     {0},
     {2, 3, 5, 6}},
    {"positions",
     {.op = &op_positions},
     2,
     2,
     2,
     2,
     {1, 2, 3, 4},
     {10, 20, 30, 40},
     {0},
     {11, 22, 33, 44}},
    {"sincos",
     {.op = &op_sincos, FACTS(sincos, .height = 2, .width = 1, .temperature = 100)},
     2,
     8,
     2,
     8,
     {0},
     {0},
     {0},
     {0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0.8414709848078965, 0.09983341664682815,
      0.5403023058681398, 0.9950041652780258}},
    {"sincos after a class token",
     {.op = &op_sincos, FACTS(sincos, .height = 1, .width = 2, .temperature = 100)},
     3,
     4,
     3,
     4,
     {0},
     {0},
     {0},
     {0, 0, 0, 0, 0, 1, 0, 1, 0.8414709848078965, 0.5403023058681398, 0, 1}},
    {"conv padded, strided",
     {.op = &op_conv, FACTS(conv, WINDOW(3, 2, 1, 3, 3, 2, 2), .groups = 1)},
     9,
     1,
     4,
     1,
     {1, 2, 3, 4, 5, 6, 7, 8, 9},
     {1, 2, 3, 4, 5, 6, 7, 8, 9},
     {1000},
     {1094, 1106, 1106, 1094}},
    {"conv of groups",
     {.op = &op_conv, FACTS(conv, WINDOW(1, 1, 0, 1, 1, 1, 1), .groups = 2)},
     1,
     4,
     1,
     4,
     {1, 2, 3, 4},
     {1, 2, 3, 4, 5, 6, 7, 8},
     {0},
     {5, 11, 39, 53}},
    {"conv of patches",
     {.op = &op_conv, FACTS(conv, WINDOW(2, 2, 0, 2, 3, 1, 1), .groups = 1)},
     6,
     2,
     1,
     1,
     {1, 2, 3, 4, 99, 99, 5, 6, 7, 8, 99, 99},
     {1, 10, 100, 1000, 2, 20, 200, 2000},
     {0},
     {1 + 30 + 500 + 7000 + 4 + 80 + 1200 + 16000}},
    {"attention",
     {.op = &op_attention, FACTS(attention, .heads = 2)},
     2,
     6,
     2,
     2,
     {1, 0, 0, 5, 10, 1, 0, 0, 1.0986122886681098, 7, 20, 3},
     {0},
     {0},
     {17.5, 2, 15, 2}},
    {"mean_pool", {.op = &op_mean_pool}, 2, 2, 1, 2, {1, 2, 3, 6}, {0}, {0}, {2, 4}},
    {"max_pool",
     POOL(&op_max_pool),
     9,
     1,
     4,
     1,
     {-1, -2, -3, -4, -5, -6, -7, -8, -9},
     {0},
     {0},
     {-1, -2, -4, -5}},
    {"avg_pool",
     POOL(&op_avg_pool),
     9,
     1,
     4,
     1,
     {1, 2, 3, 4, 5, 6, 7, 8, 9},
     {0},
     {0},
     {1, 2.5, 5.5, 7}},
    {"transpose",
     {.op = &op_transpose},
     2,
     3,
     3,
     2,
     {1, 2, 3, 4, 5, 6},
     {0},
     {0},
     {1, 4, 2, 5, 3, 6}},
    {"class_token",
     {.op = &op_class_token},
     2,
     2,
     3,
     2,
     {1, 2, 3, 4},
     {8, 9},
     {0},
     {8, 9, 1, 2, 3, 4}},
    {"take_tokens",
     {.op = &op_take_tokens, FACTS(range, 1)},
     3,
     2,
     1,
     2,
     {1, 2, 3, 4, 5, 6},
     {0},
     {0},
     {3, 4}},
};

/* Runs the case on two pictures, the second one without content, so that a picture that reads
 * another's rows is noticed. */
static void test_node(void **state)
{
    const struct node_case *c = *state;
    struct graph *g = new_graph(c->rows, c->cols);
    struct node *n = add_node(g, c->node.op, NULL, g->input, NULL, NULL), made = *n;
    double pictures[2 * MAX_ELEMENTS] = {0};
    *n = c->node;
    n->in[0] = made.in[0];
    n->nin = 1;
    n->weight = graph_param(g, "w", 0, 1, &(int64_t){MAX_ELEMENTS});
    n->bias = graph_param(g, "b", 0, 1, &(int64_t){MAX_ELEMENTS});
    node_output(g, n, c->out_rows, c->out_cols, NULL);
    node_output(g, n, c->rows, 2, NULL); /* stats, or the log-sum-exp of two heads */
    memcpy(pictures, c->x, (size_t)(c->rows * c->cols) * sizeof *c->x);
    struct interp *it = start(g, 2, pictures);
    memcpy(interp_param(it, n->weight), c->w, sizeof c->w);
    memcpy(interp_param(it, n->bias), c->b, sizeof c->b);
    run(it, g);
    assert_near(interp_value(it, n->out[0]), c->y, (size_t)(c->out_rows * c->out_cols));
}

static void test_saved_values(void **state)
{
    (void)state;
    struct graph *g = new_graph(2, 6);
    struct node *norm = add_node(g, &op_layernorm, NULL, g->input, NULL, NULL);
    node_set_facts(g, norm, &(struct norm){0}, sizeof(struct norm));
    norm->weight = norm->bias = graph_param(g, "w", 0, 1, &(int64_t){6});
    node_output(g, norm, 2, 6, NULL);
    node_output(g, norm, 2, 2, NULL);
    struct node *attention = add_node(g, &op_attention, NULL, g->input, NULL, NULL);
    node_set_facts(g, attention, &(struct attention){.heads = 2}, sizeof(struct attention));
    node_output(g, attention, 2, 2, NULL);
    node_output(g, attention, 2, 2, NULL);
    struct interp *it = start(g, 1, (double[]){1, 0, 0, 5, 10, 2, -3, 3, -3, 3, -3, 3});
    run(it, g);
    double log_sums[] = {log(1 + exp(-3)), log(2), log(1 + exp(9)), log(exp(15) + exp(9))};
    assert_near(interp_value(it, norm->out[1]), (double[]){3, 1 / sqrt(12 + 2 / 3.0), 0, 1 / 3.0},
                4);
    assert_near(interp_value(it, attention->out[1]), log_sums, 4);
}

static void test_two_inputs(void **state)
{
    (void)state;
    struct graph *g = new_graph(1, 2);
    static const struct op *const ops[] = {&op_add, &op_mul, &op_concat};
    for (int i = 0; i < 3; i++)
        node_output(g, add_node(g, ops[i], NULL, g->input, g->input, NULL), 1,
                    ops[i] == &op_concat ? 4 : 2, NULL);
    struct interp *it = start(g, 2, (double[]){3, 5, 7, 9});
    run(it, g);
    assert_near(interp_value(it, g->nodes[0]->out[0]), (double[]){6, 10, 14, 18}, 4);
    assert_near(interp_value(it, g->nodes[1]->out[0]), (double[]){9, 25, 49, 81}, 4);
    assert_near(interp_value(it, g->nodes[2]->out[0]), (double[]){3, 5, 3, 5, 7, 9, 7, 9}, 8);
}

static void test_cross_entropy(void **state)
{
    (void)state;
    struct graph *g = new_graph(1, 2);
    struct value *target = graph_value(g, 1, 2, NULL);
    struct node *n = add_node(g, &op_cross_entropy, NULL, g->input, target, NULL);
    node_output(g, n, 1, 1, NULL);
    node_output(g, n, 1, 2, NULL);
    struct interp *it = start(g, 2, (double[]){0, log(3), 1000, 1000});
    memcpy(interp_value(it, target), (double[]){0, 1, 0.5, 0.5}, 4 * sizeof(double));
    interp_settings(it)->loss_scale = 0.5;
    run(it, g);
    assert_near(interp_value(it, n->out[0]), (double[]){log(4.0 / 3), log(2)}, 2);
    assert_near(interp_value(it, n->out[1]), (double[]){0.125, -0.125, 0, 0}, 4);
    assert_near(&(double){interp_loss(it)}, &(double){0.5 * (log(4.0 / 3) + log(2))}, 1);
}

/* Drops take whole pictures, or a share of the elements, and keep the sum in the mean. */
static void test_drops(void **state)
{
    enum { ROWS = 6, COLS = 50, PICTURES = 400 };
    static double ones[PICTURES * ROWS * COLS];
    (void)state;
    struct graph *g = new_graph(ROWS, COLS);
    struct node *path = add_node(g, &op_drop_path, NULL, g->input, NULL, NULL);
    struct node *out = add_node(g, &op_dropout, NULL, g->input, NULL, NULL);
    node_set_facts(g, path, &(struct mask){.rate = 0.5, .key = 17}, sizeof(struct mask));
    node_set_facts(g, out, &(struct mask){.rate = 0.25, .key = 18}, sizeof(struct mask));
    double *y[] = {NULL, NULL}, sum[] = {0, 0};
    node_output(g, path, ROWS, COLS, NULL);
    node_output(g, out, ROWS, COLS, NULL);
    for (int i = 0; i < PICTURES * ROWS * COLS; i++)
        ones[i] = 1;
    struct interp *it = start(g, PICTURES, ones);
    interp_settings(it)->drop_path = 0.4;
    run(it, g);
    y[0] = interp_value(it, path->out[0]);
    y[1] = interp_value(it, out->out[0]);
    for (int i = 0; i < PICTURES * ROWS * COLS; i++) {
        assert_true(fabs(y[0][i] - 1.25) < 1e-12 || fabs(y[0][i]) == 0);
        assert_true(fabs(y[1][i] - 4 / 3.0) < 1e-12 || fabs(y[1][i]) == 0);
        assert_true(fabs(y[0][i] - y[0][i / (ROWS * COLS) * (ROWS * COLS)]) == 0);
        for (int j = 0; j < 2; j++)
            sum[j] += y[j][i] / (PICTURES * ROWS * COLS);
    }
    assert_true(fabs(sum[0] - 1) < 0.1 && fabs(sum[1] - 1) < 0.01);
    /* the same pictures of the batch, whatever the call they come in */
    interp_settings(it)->first_image = 100;
    interp_settings(it)->images = 2;
    double before[4 * ROWS * COLS];
    size_t picture = ROWS * COLS, size = 2 * picture * sizeof(double);
    memcpy(before, y[0] + 100 * picture, size);
    memcpy(before + 2 * picture, y[1] + 100 * picture, size);
    run(it, g);
    assert_near(y[0], before, 2 * picture);
    assert_near(y[1], before + 2 * picture, 2 * picture);
}

/* -- routing -- */

struct routing {
    struct graph *g;
    struct interp *it;
    struct moe *moe;
    struct value *z, *gates, *y;
};

/* Logits -> route; the logits themselves go to the experts, which leave them as they are, and
 * back. */
static struct experts *all_experts(struct moe *m)
{
    struct experts *x = arena_alloc(arena, sizeof *x);
    *x = (struct experts){m, 0, m->experts};
    return x;
}

static struct routing route(struct moe settings, int64_t images, const double *logits)
{
    struct routing r = {.g = new_graph(settings.tokens, settings.experts),
                        .moe = arena_alloc(arena, sizeof *r.moe)};
    *r.moe = settings;
    r.moe->span = r.moe->share = 1;
    r.moe->rows = settings.tokens * settings.top_k;
    *ARENA_PUSH(arena, r.g->moes, r.g->nmoes, r.g->cap_moes) = r.moe;
    struct node *n = add_node(r.g, &op_route, r.moe, r.g->input, NULL, NULL);
    r.z = node_output(r.g, n, settings.tokens, settings.experts, NULL);
    r.gates = node_output(r.g, n, settings.tokens, settings.top_k, NULL);
    struct value *decisions = node_output(r.g, n, settings.tokens, settings.top_k, NULL);
    decisions->raw = true;
    n = add_node(r.g, &op_dispatch, r.moe, r.g->input, decisions, NULL);
    struct value *x =
        node_output(r.g, n, settings.tokens * settings.top_k, settings.experts, all_experts(r.moe));
    n = add_node(r.g, &op_combine, r.moe, x, r.gates, decisions);
    r.y = node_output(r.g, n, settings.tokens, settings.experts, NULL);
    r.it = start(r.g, images, logits);
    run(r.it, r.g);
    return r;
}

static void assert_slots(const struct routing *r, const int32_t *want, size_t n)
{
    assert_ints(interp_slot(r->it, r->moe), want, n);
}

static void test_choice(void **state)
{
    (void)state;
    struct routing r = route((struct moe){.experts = 3, .top_k = 2, .tokens = 2, .group = 1}, 1,
                             (double[]){1, 1, 1, 0, log(5), log(2)});
    assert_ints(interp_choice(r.it, r.moe), (int32_t[]){0, 1, 1, 2}, 4);
    assert_near(interp_value(r.it, r.gates), (double[]){1 / 3.0, 1 / 3.0, 0.625, 0.25}, 4);
    assert_near(interp_value(r.it, r.y),
                (double[]){2 / 3.0, 2 / 3.0, 2 / 3.0, 0, 0.875 * log(5), 0.875 * log(2)}, 6);
    assert_slots(&r, (int32_t[]){0, 1, 2, 3}, 4);
    assert_ints(interp_first(r.it, r.moe), (int32_t[]){0, 1, 3, 4}, 4);
}

static void test_renormalise(void **state)
{
    (void)state;
    struct routing r =
        route((struct moe){.experts = 3, .top_k = 2, .tokens = 1, .group = 1, .renormalise = true},
              1, (double[]){0, log(5), log(2)});
    assert_near(interp_value(r.it, r.gates), (double[]){5 / 7.0, 2 / 7.0}, 2);
}

/* Four tokens want expert 0, later ones more: C = 2. */
static void test_capacity_order(void **state)
{
    static const double logits[] = {1, 0, 2, 0, 3, 0, 3, 0};
    (void)state;
    struct moe m = {.experts = 2, .top_k = 1, .tokens = 4, .group = 1, .capacity = 1};
    struct routing r = route(m, 1, logits);
    assert_slots(&r, (int32_t[]){0, 1, -1, -1}, 4);
    assert_near(interp_value(r.it, r.y) + 4, (double[]){0, 0, 0, 0}, 4);
    m.batch_priority = true;
    r = route(m, 1, logits);
    assert_slots(&r, (int32_t[]){-1, -1, 0, 1}, 4);
    m.capacity = 0.5; /* C = 1: of equals the first token */
    r = route(m, 1, logits);
    assert_slots(&r, (int32_t[]){-1, -1, 0, -1}, 4);
    m.capacity = 0;
    r = route(m, 1, logits);
    assert_slots(&r, (int32_t[]){0, 1, 2, 3}, 4);
}

/* All first choices come before any second one, and what is dropped is not made up for. */
static void test_ranks(void **state)
{
    (void)state;
    struct routing r =
        route((struct moe){.experts = 2, .top_k = 2, .tokens = 3, .group = 1, .capacity = 0.5}, 1,
              (double[]){2, 0, 0, log(3), 3, 0});
    assert_ints(interp_choice(r.it, r.moe), (int32_t[]){0, 1, 1, 0, 0, 1}, 6);
    assert_slots(&r, (int32_t[]){0, 2, 3, -1, 1, -1}, 6);
    assert_ints(interp_first(r.it, r.moe), (int32_t[]){0, 2, 4}, 3);
    assert_near(interp_value(r.it, r.y) + 2, (double[]){0, 0.75 * log(3)}, 2);
}

/* Groups of two pictures have places of their own, the last with one picture fewer. */
static void test_groups(void **state)
{
    static const double logits[] = {1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0};
    (void)state;
    struct routing r = route(
        (struct moe){.experts = 2, .top_k = 1, .tokens = 2, .group = 2, .capacity = 1}, 3, logits);
    assert_slots(&r, (int32_t[]){0, 1, -1, -1, 2, -1}, 6);
}

static void test_evaluation(void **state)
{
    static const double logits[] = {1, 0, 1, 0, 1, 0, 1, 0};
    (void)state;
    struct moe m = {.experts = 2,
                    .top_k = 1,
                    .tokens = 4,
                    .group = 1,
                    .capacity = 0.5,
                    .noise = 1,
                    .importance = 1};
    struct routing r = route(m, 1, logits);
    assert_true(interp_balance_loss(r.it) > 0);
    r.g->training = false;
    run(r.it, r.g);
    assert_slots(&r, (int32_t[]){0, 1, 2, 3}, 4);
    assert_near(interp_value(r.it, r.z), logits, 8);
    assert_true(fabs(interp_balance_loss(r.it)) == 0);
    r.moe->eval_capacity = 1;
    run(r.it, r.g);
    assert_slots(&r, (int32_t[]){0, 1, -1, -1}, 4);
}

static void test_hold(void **state)
{
    (void)state;
    struct routing r =
        route((struct moe){.experts = 2, .top_k = 1, .tokens = 2, .group = 1, .capacity = 1}, 1,
              (double[]){1, 0, 2, 0});
    memcpy(interp_value(r.it, r.g->input), (double[]){0, log(3), 0, log(3)}, 4 * sizeof(double));
    interp_settings(r.it)->hold_routing = true;
    run(r.it, r.g);
    assert_ints(interp_choice(r.it, r.moe), (int32_t[]){0, 0}, 2);
    assert_slots(&r, (int32_t[]){0, -1}, 2);
    assert_near(interp_value(r.it, r.gates), (double[]){0.25, 0.25}, 2);
    interp_settings(r.it)->hold_routing = false;
    run(r.it, r.g);
    assert_ints(interp_choice(r.it, r.moe), (int32_t[]){1, 1}, 2);
}

/* The first words of Philox4x32-10 with key and counter 0 are published with it: 6627e8d5
 * e169c58d. */
static void test_noise(void **state)
{
    static const double zeros[8 * 2 * 3];
    (void)state;
    struct routing r = route(
        (struct moe){.experts = 3, .top_k = 1, .tokens = 2, .group = 1, .noise = 0.5}, 8, zeros);
    double u0 = 0x6627e8p-24, u1 = 0xe169c5p-24, *z = interp_value(r.it, r.z), sixth[6];
    assert_near(z, &(double){0.5 * sqrt(-2 * log(1 - u0)) * cos(2 * M_PI * u1)}, 1);
    memcpy(sixth, z + 6 * 6, sizeof sixth);
    interp_settings(r.it)->first_image = 6;
    interp_settings(r.it)->images = 2;
    run(r.it, r.g);
    assert_near(z, sixth, 6);
    interp_settings(r.it)->step++;
    run(r.it, r.g);
    assert_true(fabs(z[0] - sixth[0]) > 1e-6);
}

/* Importance 1.25 and 0.75: var / mean^2 = 1/16. Load: the thresholds are put so that experts pass
 * with 1/2 and 1 - Phi(1). */
static void test_balance(void **state)
{
    (void)state;
    struct routing r =
        route((struct moe){.experts = 2, .top_k = 1, .tokens = 2, .group = 1, .importance = 2}, 1,
              (double[]){0, 0, log(3), 0});
    assert_near(&(double){interp_balance_loss(r.it)}, &(double){0.125}, 1);
    r = route(
        (struct moe){.experts = 2, .top_k = 1, .tokens = 1, .group = 1, .noise = 2, .load = 3}, 2,
        (double[]){5, 3, 5, 3});
    interp_choice(r.it, r.moe)[0] = interp_choice(r.it, r.moe)[1] = 0;
    memcpy(interp_value(r.it, r.z), (double[]){5, 3, 5, 3}, 4 * sizeof(double));
    double tail = 0.1586552539314571, want = 2 * 3 * pow((0.5 - tail) / (0.5 + tail), 2);
    assert_near(&(double){interp_balance_loss(r.it)}, &want, 1);
}

static void test_capacity_rule(void **state)
{
    struct moe m = {.experts = 4, .top_k = 2, .capacity = 1.05, .eval_capacity = 0};
    (void)state;
    assert_int_equal(moe_capacity(&m, true, 10), 6);
    assert_int_equal(moe_capacity(&m, false, 10), 0);
    m.capacity = 1e-9;
    assert_int_equal(moe_capacity(&m, true, 10), 1);
}

#define TEST(name) {#name, test_##name, new_arena, free_arena, NULL}

static const struct CMUnitTest plain_tests[] = {
    TEST(saved_values), TEST(two_inputs),    TEST(cross_entropy),  TEST(drops),
    TEST(choice),       TEST(renormalise),   TEST(capacity_order), TEST(ranks),
    TEST(groups),       TEST(evaluation),    TEST(hold),           TEST(noise),
    TEST(balance),      TEST(capacity_rule),
};

enum {
    NODES = sizeof node_cases / sizeof *node_cases,
    PLAIN = sizeof plain_tests / sizeof *plain_tests
};

int main(void)
{
    struct CMUnitTest tests[NODES + PLAIN];
    for (int i = 0; i < NODES; i++)
        tests[i] = (struct CMUnitTest){node_cases[i].name, test_node, new_arena, free_arena,
                                       &node_cases[i]};
    memcpy(tests + NODES, plain_tests, sizeof plain_tests);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("interpret", tests, NULL, NULL);
    return 0;
}
