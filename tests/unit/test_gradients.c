/* Every backward node against central differences of the interpreter's loss, in small networks that
 * together hold each node of the graph. The differences are taken with the routing held: the loss
 * is smooth, kinks of relu and max aside.
 *
 * A check that cannot fail proves nothing: for each network every backward node is also spoilt in
 * turn, its result scaled by 1.01, and the comparison must then disagree. */
#include "config.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/graph/graph.h"
#include "compiler/graph/interpret.h"
#include "compiler/ops/op.h"
#include "lang/base/arena.h"
#include "tests/unit/fixture.h"
#include "tests/unit/networks.h"

enum { IMAGES = 3 };

#define TOLERANCE   1e-6 /* relative */
#define NOISE_FLOOR 2e-9 /* rounding errors of the differences */

/* -- a network at work -- */

struct check {
    struct graph *g;
    struct interp *it;
    size_t total;    /* elements of all params */
    double *numeric; /* d loss / d element by differences */
};

static void forward(struct check *k, bool hold)
{
    interp_settings(k->it)->hold_routing = hold;
    interp_run(k->it, 0, k->g->nforward);
}

static double *element(struct check *k, size_t i,
                       double *(*of)(struct interp *, const struct param *))
{
    size_t p = 0;
    while (i >= (size_t)k->g->params[p]->count)
        i -= (size_t)k->g->params[p++]->count;
    return of(k->it, k->g->params[p]) + i;
}

/* d loss / d element by the difference with an error of the fourth order. */
static double difference(struct check *k, size_t i, double step)
{
    static const double offset[] = {-2, -1, 1, 2}, factor[] = {1, -8, 8, -1};
    double *x = element(k, i, interp_param), before = *x, sum = 0;
    for (int j = 0; j < 4; j++) {
        *x = before + offset[j] * step;
        forward(k, true);
        sum += factor[j] * interp_loss(k->it);
    }
    *x = before;
    return sum / (12 * step);
}

static struct graph *build(const struct network *c, enum recompute level)
{
    struct graph *g = network_train(arena, c, level);
    assert_non_null(g);
    return g;
}

static struct check start(const struct network *c, enum recompute level)
{
    struct interp_settings s = {.seed = 0x123456789abcdef0u,
                                .step = 7,
                                .images = IMAGES,
                                .first_image = 4 * NETWORK_GROUP,
                                .drop_path = 0.5,
                                .loss_scale = 0.4,
                                .balance_scale = 0.7};
    struct check k = {.g = build(c, level)};
    k.it = interp_new(arena, k.g, &s);
    network_seed(1);
    network_fill(interp_value(k.it, k.g->input), IMAGES * k.g->input->rows * k.g->input->cols);
    network_target(interp_value(k.it, k.g->target), IMAGES);
    for (size_t i = 0; i < k.g->nparams; i++) {
        network_fill(interp_param(k.it, k.g->params[i]), k.g->params[i]->count);
        k.total += (size_t)k.g->params[i]->count;
    }
    forward(&k, false);
    return k;
}

static bool agrees(double exact, double numeric)
{
    return fabs(exact - numeric) <= TOLERANCE * fmax(fabs(exact), fabs(numeric)) + NOISE_FLOOR;
}

/* All differences, with the best step; where that disagrees with the gradient, perhaps for a kink,
 * with a small one. */
static void measure(struct check *k)
{
    k->numeric = arena_array(arena, k->total, sizeof *k->numeric);
    for (size_t i = 0; i < k->total; i++) {
        k->numeric[i] = difference(k, i, 5e-4);
        if (!agrees(*element(k, i, interp_grad), k->numeric[i]))
            k->numeric[i] = difference(k, i, 1e-5);
    }
    forward(k, true);
}

/* The backward nodes, with the result of node `spoilt` scaled; returns its largest element. */
static double backward(struct check *k, const struct node *spoilt)
{
    double largest = 0;
    for (size_t i = 0; i < k->g->nparams; i++)
        memset(interp_grad(k->it, k->g->params[i]), 0,
               (size_t)k->g->params[i]->count * sizeof(double));
    for (size_t i = k->g->nforward; i < k->g->nnodes; i++) {
        interp_run(k->it, i, i + 1);
        if (k->g->nodes[i] != spoilt)
            continue;
        struct value *v = spoilt->out[0];
        int64_t rows = v->experts ? interp_first(k->it, v->experts->moe)[v->experts->moe->experts]
                                  : IMAGES * v->rows;
        for (int64_t j = 0; j < rows * v->cols; j++) {
            largest = fmax(largest, fabs(interp_value(k->it, v)[j]));
            interp_value(k->it, v)[j] *= 1.01;
        }
    }
    return largest;
}

/* The number of elements whose gradient disagrees with the differences; says where, if asked. */
static size_t disagreements(struct check *k, bool say)
{
    size_t n = 0;
    for (size_t i = 0; i < k->total; i++) {
        double exact = *element(k, i, interp_grad);
        if (agrees(exact, k->numeric[i]))
            continue;
        if (say && n < 5)
            print_message("element %zu: gradient %.12g, difference %.12g\n", i, exact,
                          k->numeric[i]);
        n++;
    }
    return n;
}

static double largest_gradient(struct check *k)
{
    double largest = 0;
    for (size_t i = 0; i < k->total; i++)
        largest = fmax(largest, fabs(*element(k, i, interp_grad)));
    return largest;
}

static bool is_read(const struct graph *g, const struct value *v)
{
    for (size_t i = 0; i < g->nnodes; i++)
        for (int j = 0; j < g->nodes[i]->nin; j++)
            if (g->nodes[i]->in[j] == v)
                return true;
    return false;
}

/* -- tests -- */

static void test_gradient(void **state)
{
    struct check k = start(*state, RECOMPUTE_CHEAP);
    backward(&k, NULL);
    measure(&k);
    assert_true(largest_gradient(&k) > 1e-3);
    assert_int_equal(disagreements(&k, true), 0);
    for (size_t i = k.g->nforward; i < k.g->nnodes; i++) {
        const struct node *n = k.g->nodes[i];
        if (!n->nout || !is_read(k.g, n->out[0]) || backward(&k, n) < 1e-9)
            continue;
        if (!disagreements(&k, false))
            fail_msg("%s of %s may be wrong and nobody notices", n->op->name, n->name);
    }
}

static double *all_gradients(struct check *k)
{
    double *copy = arena_array(arena, k->total, sizeof *copy);
    backward(k, NULL);
    for (size_t i = 0; i < k->total; i++)
        copy[i] = *element(k, i, interp_grad);
    return copy;
}

/* What is made again is the same to the last bit, random masks included. */
static void test_recompute(void **state)
{
    struct check kept = start(*state, RECOMPUTE_NONE);
    double *expected = all_gradients(&kept);
    for (int level = RECOMPUTE_CHEAP; level <= RECOMPUTE_BLOCK; level++) {
        struct check k = start(*state, (enum recompute)level);
        assert_memory_equal(all_gradients(&k), expected, k.total * sizeof *expected);
    }
}

static bool has_op(const struct graph *g, const struct op *op)
{
    for (size_t i = 0; i < g->nnodes; i++)
        if (g->nodes[i]->op == op)
            return true;
    return false;
}

/* The networks above hold every operation there is. */
static void test_all_nodes(void **state)
{
    struct graph **g = arena_array(arena, (size_t)network_count, sizeof *g);
    (void)state;
    for (int i = 0; i < network_count; i++)
        g[i] = build(&networks[i], RECOMPUTE_NONE);
    for (size_t o = 0; o < op_count; o++) {
        bool seen = false;
        for (int i = 0; i < network_count; i++)
            seen |= has_op(g[i], op_table[o]);
        if (!seen)
            fail_msg("no network has a %s", op_table[o]->name);
    }
}

static size_t disagreements_with(const struct network *c, const struct op *wrong,
                                 const struct op *instead)
{
    struct check k = start(c, RECOMPUTE_CHEAP);
    for (size_t i = k.g->nforward; i < k.g->nnodes; i++)
        if (k.g->nodes[i]->op == wrong)
            k.g->nodes[i]->op = instead;
    backward(&k, NULL);
    measure(&k);
    return disagreements(&k, false);
}

static void test_wrong_rule(void **state)
{
    const struct network *mlp_case = network_named("mlp");
    (void)state;
    assert_int_equal(disagreements_with(mlp_case, &op_gelu_dx, &op_gelu_dx), 0);
    assert_int_not_equal(disagreements_with(mlp_case, &op_gelu_dx, &op_silu_dx), 0);
}

/* Balance losses must count once: a settings' scale of zero leaves the cross-entropy alone. */
static void test_loss_scales(void **state)
{
    (void)state;
    struct check k = start(network_named("load_2"), RECOMPUTE_CHEAP);
    double both = interp_loss(k.it), balance = interp_balance_loss(k.it);
    interp_settings(k.it)->balance_scale = 0;
    assert_true(balance > 0);
    assert_true(fabs(both - interp_loss(k.it) - 0.7 * balance) < 1e-12);
}

int main(void)
{
    struct CMUnitTest tests[200] = {
        cmocka_unit_test_setup_teardown(test_all_nodes, new_arena, free_arena),
        cmocka_unit_test_setup_teardown(test_wrong_rule, new_arena, free_arena),
        cmocka_unit_test_setup_teardown(test_loss_scales, new_arena, free_arena),
    };
    size_t n = 3;
    for (int i = 0; i < network_count; i++) {
        if (!networks[i].large)
            tests[n++] = (struct CMUnitTest){networks[i].name, test_gradient, new_arena, free_arena,
                                             (void *)&networks[i]};
        tests[n++] = (struct CMUnitTest){networks[i].name, test_recompute, new_arena, free_arena,
                                         (void *)&networks[i]};
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    _cmocka_run_group_tests("gradients", tests, n, NULL, NULL);
    return 0;
}
