/* Generated code against the interpreter: the networks of networks.c are planned, emitted, linked
 * as a shared object and run. Loss, logits, routing and every gradient must agree with the
 * double-precision interpreter; the fused plan must give the bits of the one with a launch for each
 * node; a picture's logits must not depend on its neighbours, nor any bit on threads. */
#include "config.h"

#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "compiler/emit/module.h"
#include "compiler/graph/graph.h"
#include "compiler/graph/interpret.h"
#include "compiler/plan/plan.h"
#include "lang/base/arena.h"
#include "lang/base/diag.h"
#include "runtime/base/blas.h"
#include "runtime/base/thread.h"
#include "runtime/vrt.h"
#include "tests/unit/fixture.h"
#include "tests/unit/networks.h"

enum { IMAGES = 3 };

#ifdef VMOE_SANITIZE
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif

static double tolerance =
    2e-4; /* of the largest element of a tensor: single against double precision */

static int vector; /* 0: this machine's */

struct machine {
    void *library;
    const struct vrt_program *program;
    struct plan *plan;
    struct graph *train, *eval;
    struct vrt_ctx ctx;
    float *target;
};

/* -- building -- */

static void *symbol(void *library, const char *name)
{
    void *p = dlsym(library, name);
    if (!p)
        fail_msg("%s", dlerror());
    return p;
}

static void link_module(struct machine *k, struct module *m)
{
    static int serial;
    const char *library = arena_printf(arena, "%s/%d.so", folder, serial),
               *objects = arena_printf(arena, "%s/%d.a", folder, serial++);
    struct diag *d = diag_new(arena, stderr, DIAG_TEXT, 20);
    assert_int_equal(module_objects(m, objects, d), OBJECTS_WRITTEN);
    const char *command = arena_printf(arena,
                                       "cc -shared -o %s -Wl,--whole-archive %s "
                                       "-Wl,--no-whole-archive",
                                       library, objects);
    assert_int_equal(system(command), 0);
    unlink(objects);
    k->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!k->library)
        fail_msg("%s", dlerror());
    k->program = symbol(k->library, "vrt_program_table");
}

static const struct program_info nothing = {"test", "", "", "{}"};

static void *region(int64_t bytes)
{
    void *p = NULL;
    size_t size = ((size_t)bytes + 127) / 64 * 64;
    assert_int_equal(posix_memalign(&p, 64, size), 0);
    memset(p, 0x7f, size); /* large floats: nothing may rely on zeros it did not write */
    return p;
}

static void *cleared(int64_t bytes)
{
    void *p = region(bytes);
    memset(p, 0, (size_t)bytes);
    return p;
}

static void make_regions(struct machine *k, int threads)
{
    const struct vrt_program *p = k->program;
    const struct graph *g = k->train;
    struct vrt_error e;
    void **r = k->ctx.region;
    int zeroed[] = {VRT_PARAMS, VRT_GRADS, VRT_MOMENT1, VRT_MOMENT2, VRT_EMA};
    for (size_t i = 0; i < sizeof zeroed / sizeof *zeroed; i++)
        r[zeroed[i]] = cleared(p->params_bytes);
    r[VRT_PACKED] = region(p->packed_train_bytes);
    r[VRT_ARENA] = region(p->arena_train_bytes > p->arena_eval_bytes ? p->arena_train_bytes
                                                                     : p->arena_eval_bytes);
    r[VRT_INPUT] = cleared(4 * g->micro * g->input->rows * g->input->cols);
    r[VRT_TARGET] = cleared(4 * g->micro * g->logits->cols);
    r[VRT_OUTPUT] = region(4 * g->micro * g->logits->cols);
    r[VRT_FEATURES] = region(4 * g->micro * g->features->rows * g->features->cols);
    r[VRT_BALANCE] = cleared(p->balance_bytes);
    r[VRT_CHOICES] = region(4 * g->micro * p->choices);
    assert_true(!p->blas || vrt_blas_open(threads, &e));
    assert_true(vrt_threads_start(&k->ctx, threads, p->scratch_bytes, &e));
}

static struct machine build(const struct network *net, enum recompute level, bool fuse, int threads)
{
    struct machine k = {.train = network_train(arena, net, level),
                        .eval = network_eval(arena, net)};
    struct target t;
    assert_non_null(k.train);
    assert_non_null(k.eval);
    assert_true(target_open(arena, vector == 8 ? "x86-64-v3" : "native", SANITIZED || !fuse, &t));
    struct plan_options o = {
        .vector = vector ? vector : t.vector, .fuse = fuse, .red_zones = SANITIZED};
    k.plan = plan_make(arena, k.eval, k.train, &o);
    assert_true(plan_verify(k.plan, stderr));
    struct module *m = module_make(arena, k.plan, &t, &nothing, SANITIZED, stderr);
    assert_non_null(m);
    link_module(&k, m);
    module_free(m);
    target_close(&t);
    make_regions(&k, threads);
    return k;
}

static void discard(struct machine *k)
{
    vrt_threads_stop(&k->ctx);
    for (int i = 0; i < VRT_REGIONS; i++)
        free(k->ctx.region[i]);
    dlclose(k->library);
}

/* -- running -- */

static void to_float(void *to, const double *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        ((float *)to)[i] = (float)from[i];
}

/* Both machines start from the same single-precision numbers. */
static double *rounded(double *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        v[i] = (float)v[i];
    return v;
}

static double input_range = 1;

static struct interp *start(struct machine *k, const struct graph *g, int images)
{
    struct interp_settings s = {.seed = 0x123456789abcdef0u,
                                .step = 7,
                                .images = images,
                                .first_image = 4 * NETWORK_GROUP,
                                .drop_path = 0.5,
                                .loss_scale = 0.4,
                                .balance_scale = 0.7};
    struct interp *it = interp_new(arena, g, &s);
    network_seed(1);
    network_fill(interp_value(it, g->input), images * g->input->rows * g->input->cols);
    for (int64_t i = 0; i < images * g->input->rows * g->input->cols; i++)
        interp_value(it, g->input)[i] *= input_range;
    to_float(k->ctx.region[VRT_INPUT],
             rounded(interp_value(it, g->input), images * g->input->rows * g->input->cols),
             images * g->input->rows * g->input->cols);
    if (g->target) {
        network_target(interp_value(it, g->target), images);
        to_float(k->ctx.region[VRT_TARGET], interp_value(it, g->target), images * g->target->cols);
    }
    network_seed(2);
    for (size_t i = 0; i < g->nparams; i++) {
        double *p = interp_param(it, g->params[i]);
        network_fill(p, g->params[i]->count);
        to_float((char *)k->ctx.region[VRT_PARAMS] + k->program->params[i].offset,
                 rounded(p, g->params[i]->count), g->params[i]->count);
    }
    k->ctx.images = images;
    k->ctx.first_image = s.first_image;
    k->ctx.seed = s.seed;
    k->ctx.step = s.step;
    k->ctx.drop_path = s.drop_path;
    k->ctx.loss_scale = s.loss_scale;
    k->ctx.balance_scale = s.balance_scale;
    k->program->pack_train(&k->ctx);
    return it;
}

static void agree(const char *what, const float *x, const double *y, int64_t n)
{
    double largest = 1e-3, worst = 0;
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(y[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(x[i] - y[i]) <= worst)) {
            worst = fabs(x[i] - y[i]);
            at = i;
        }
    if (!(worst <= tolerance * largest))
        fail_msg("%s: element %lld of %lld is %.9g, should be %.9g (largest %.3g)", what,
                 (long long)at, (long long)n, x[at], y[at], largest);
}

/* The kept choices of each picture, which only the evaluation counts. */
static void choices_agree(struct machine *k, struct interp *it, const struct moe *m,
                          const struct vrt_moe *own)
{
    double expected[64];
    interp_counts(it, m, expected);
    for (int64_t p = 0; p < k->ctx.images; p++)
        for (int e = 0; e < m->experts; e++) {
            const float *row = (const float *)k->ctx.region[VRT_CHOICES] + p * k->program->choices;
            if ((double)row[own->choices_offset + e] != expected[p * m->experts + e])
                fail_msg("choices: expert %d of picture %lld has %g, should be %g", e, (long long)p,
                         row[own->choices_offset + e], expected[p * m->experts + e]);
        }
}

static void routing_agrees(struct machine *k, struct interp *it, const struct graph *g)
{
    for (size_t i = 0; i < g->nmoes; i++) {
        const struct moe *m = g->moes[i];
        const void *counted =
            (char *)k->ctx.region[VRT_BALANCE] + k->program->moes[i].balance_offset;
        const int32_t *balance = counted;
        double expected[64] = {0}, entropy = interp_entropy(it, m),
               measured = (double)((const float *)counted)[3 * m->experts + 1];
        for (int64_t p = 0; p < k->ctx.images * m->tokens * m->top_k; p++) {
            int32_t expert = interp_choice(it, m)[p];
            bool dropped = interp_slot(it, m)[p / m->top_k * m->span * m->top_k + p % m->top_k] < 0;
            bool chosen = m->choice != CHOICE_EXPERT || !dropped;
            expected[expert] += chosen;
            expected[m->experts + expert] += chosen && dropped;
            expected[2 * m->experts + 1 + expert] +=
                chosen && g->training; /* since the last update */
        }
        expected[2 * m->experts] = (double)(k->ctx.images * m->tokens);
        for (int e = 0; e < 3 * m->experts + 1; e++)
            if ((double)balance[e] != expected[e])
                fail_msg("routing: count %d is %d, should be %g", e, balance[e], expected[e]);
        if (!(fabs(measured - entropy) <= 1e-5 * entropy))
            fail_msg("entropy: %.9g, should be %.9g", measured, entropy);
        if (!g->training)
            choices_agree(k, it, m, &k->program->moes[i]);
    }
}

static void train_agrees(struct machine *k)
{
    struct interp *it = start(k, k->train, IMAGES);
    interp_run(it, 0, k->train->nnodes);
    memset(k->ctx.region[VRT_BALANCE], 0, (size_t)k->program->balance_bytes);
    k->program->train(&k->ctx);
    routing_agrees(k, it, k->train);
    agree("logits", k->ctx.region[VRT_OUTPUT], interp_value(it, k->train->logits),
          IMAGES * k->train->logits->cols);
    double loss = k->ctx.loss * k->ctx.loss_scale + k->ctx.balance_loss * k->ctx.balance_scale;
    assert_true(fabs(loss - interp_loss(it)) < 1e-4 * (1 + fabs(interp_loss(it))));
    for (size_t i = 0; i < k->train->nparams; i++) {
        const struct vrt_param *p = &k->program->params[i];
        agree(p->name, (float *)((char *)k->ctx.region[VRT_GRADS] + p->offset),
              interp_grad(it, k->train->params[i]), p->count);
    }
}

static void eval_agrees(struct machine *k)
{
    const struct graph *g = k->eval;
    struct interp *it = start(k, g, IMAGES);
    interp_run(it, 0, g->nnodes);
    memset(k->ctx.region[VRT_BALANCE], 0, (size_t)k->program->balance_bytes);
    k->program->eval(&k->ctx);
    routing_agrees(k, it, g);
    agree("logits", k->ctx.region[VRT_OUTPUT], interp_value(it, g->logits),
          IMAGES * g->logits->cols);
    agree("features", k->ctx.region[VRT_FEATURES], interp_value(it, g->features),
          IMAGES * g->features->rows * g->features->cols);
}

/* Experts that choose among the tokens of several pictures see the neighbours, by their nature. */
static bool sees_neighbours(const struct graph *g)
{
    for (size_t i = 0; i < g->nmoes; i++)
        if (g->moes[i]->choice == CHOICE_EXPERT && g->moes[i]->group > 1)
            return true;
    return false;
}

/* One picture alone, at each place of the batch in turn: the same bits as among others. */
static void alone_is_the_same(struct machine *k)
{
    const struct graph *g = k->eval;
    size_t size = 4 * (size_t)(g->input->rows * g->input->cols), out = 4 * (size_t)g->logits->cols;
    float together[64];
    start(k, g, IMAGES);
    k->program->eval(&k->ctx);
    memcpy(together, k->ctx.region[VRT_OUTPUT], IMAGES * out);
    for (int i = 0; i < IMAGES; i++) {
        memmove(k->ctx.region[VRT_INPUT], (char *)k->ctx.region[VRT_INPUT] + (i ? size : 0),
                (size_t)(IMAGES - i) * size);
        k->ctx.images = 1;
        k->program->eval(&k->ctx);
        assert_memory_equal(k->ctx.region[VRT_OUTPUT], (char *)together + (size_t)i * out, out);
    }
}

static void test_agreement(void **state)
{
    struct machine k = build(*state, RECOMPUTE_CHEAP, true, 2);
    train_agrees(&k);
    eval_agrees(&k);
    if (!sees_neighbours(k.eval))
        alone_is_the_same(&k);
    discard(&k);
}

/* Gradients of one step with so many threads. */
static float *gradients(struct machine *k, int threads)
{
    struct vrt_error e;
    size_t size = (size_t)k->program->params_bytes;
    float *copy = arena_alloc(arena, size);
    vrt_threads_stop(&k->ctx);
    assert_true(vrt_threads_start(&k->ctx, threads, k->program->scratch_bytes, &e));
    memset(k->ctx.region[VRT_GRADS], 0, size);
    start(k, k->train, IMAGES);
    k->program->train(&k->ctx);
    memcpy(copy, k->ctx.region[VRT_GRADS], size);
    return copy;
}

/* No bit depends on threads, nor on what is made again while a picture fits one tile. Sums over
 * tiles depend on the tiles, which differ without fusion: equal but for rounding. */
static void test_bits(void **state)
{
    struct machine k = build(*state, RECOMPUTE_CHEAP, true, 1),
                   none = build(*state, RECOMPUTE_NONE, true, 1);
    struct machine block = build(*state, RECOMPUTE_BLOCK, true, 2),
                   plain = build(*state, RECOMPUTE_CHEAP, false, 2);
    size_t size = (size_t)k.program->params_bytes;
    float *one = gradients(&k, 1), *three = gradients(&k, 3), *apart = gradients(&plain, 2);
    assert_memory_equal(one, three, size);
    assert_memory_equal(one, gradients(&none, 1), size);
    assert_memory_equal(one, gradients(&block, 2), size);
    for (size_t i = 0; i < size / 4; i++)
        assert_true(fabs(one[i] - apart[i]) <= 1e-4 * fmax(1, fabs(apart[i])));
    discard(&k);
    discard(&none);
    discard(&block);
    discard(&plain);
}

/* Balancing without a loss: after an update each bias has moved by one step against the load, the
 * average has followed, and the counter starts anew. */
static void test_bias(void **state)
{
    (void)state;
    struct machine k = build(network_named("bias"), RECOMPUTE_CHEAP, true, 2);
    const struct moe *m = k.train->moes[0];
    start(&k, k.train, IMAGES);
    k.program->train(&k.ctx);
    k.ctx.lr = 0.1, k.ctx.beta1 = 0.9, k.ctx.beta2 = 0.99, k.ctx.eps = 1e-8;
    k.ctx.bias1 = 1 - 0.9, k.ctx.bias2 = 1 - 0.99, k.ctx.grad_scale = 1, k.ctx.ema_decay = 0.75;
    float *bias =
        (float *)((char *)k.ctx.region[VRT_PARAMS] + k.program->params[m->bias->id].offset);
    float *ema = (float *)((char *)k.ctx.region[VRT_EMA] + k.program->params[m->bias->id].offset);
    int32_t *balance =
                (void *)((char *)k.ctx.region[VRT_BALANCE] + k.program->moes[0].balance_offset),
            *since = balance + 2 * m->experts + 1, count[8];
    float before[8], mean = (float)(IMAGES * m->tokens * m->top_k) / (float)m->experts;
    int up = 0, down = 0;
    memcpy(before, bias, (size_t)m->experts * sizeof *bias);
    memcpy(count, since, (size_t)m->experts * sizeof *count);
    k.program->update(&k.ctx);
    for (int e = 0; e < m->experts; e++) {
        double chosen = count[e], step = chosen < mean ? 0.01 : chosen > mean ? -0.01 : 0;
        up += step > 0;
        down += step < 0;
        assert_true(fabs(bias[e] - before[e] - step) < 1e-6);
        assert_true(fabs(ema[e] - 0.25 * bias[e]) < 1e-6);
        assert_true(since[e] == 0 && balance[e] == count[e]);
    }
    assert_true(up > 0 && down > 0);
    /* Counts stay exact where floats would not. */
    int32_t *items = balance + 2 * m->experts, many = (1 << 24) + 1;
    *items = many;
    k.program->train(&k.ctx);
    assert_int_equal(*items, many + IMAGES * m->tokens);
    discard(&k);
}

/* AdamW and the moving average against a double-precision twin; the norm; gradients cleared. */
static void test_update(void **state)
{
    (void)state;
    struct machine k = build(network_named("mlp"), RECOMPUTE_CHEAP, true, 2);
    start(&k, k.train, IMAGES);
    k.program->train(&k.ctx);
    k.ctx.lr = 0.1, k.ctx.weight_decay = 0.3, k.ctx.beta1 = 0.9, k.ctx.beta2 = 0.99,
    k.ctx.eps = 1e-8;
    k.ctx.bias1 = 1 - 0.9, k.ctx.bias2 = 1 - 0.99, k.ctx.grad_scale = 0.5, k.ctx.ema_decay = 0.75;
    size_t n = (size_t)k.program->params_bytes / 4;
    float *p = k.ctx.region[VRT_PARAMS], *g = k.ctx.region[VRT_GRADS], *ema = k.ctx.region[VRT_EMA];
    double *expected = arena_array(arena, n, sizeof *expected),
           *average = arena_array(arena, n, sizeof *average), norm = 0;
    for (size_t i = 0; i < n; i++)
        norm += (double)g[i] * g[i];
    for (size_t i = 0; i < k.train->nparams; i++) {
        const struct vrt_param *q = &k.program->params[i];
        for (int64_t j = q->offset / 4; j < q->offset / 4 + q->count; j++) {
            double d = 0.5 * g[j], m1 = 0.1 * d / (1 - 0.9), m2 = 0.01 * d * d / (1 - 0.99);
            double decay = q->weight_decay == 0 ? 0 : 0.3;
            expected[j] = p[j] * (1 - 0.1 * decay) - 0.1 * m1 / (sqrt(m2) + 1e-8);
            average[j] = 0.25 * expected[j];
        }
    }
    k.program->norm(&k.ctx);
    assert_true(fabs(k.ctx.grad_norm2 - norm) < 1e-5 * norm);
    k.program->update(&k.ctx);
    agree("weights", p, expected, (int64_t)n);
    agree("average", ema, average, (int64_t)n);
    for (size_t i = 0; i < n; i++)
        assert_true(g[i] == 0);
    discard(&k);
}

static void test_short_vectors(void **state)
{
    vector = 8;
    struct machine k = build(*state, RECOMPUTE_CHEAP, true, 2);
    vector = 0;
    train_agrees(&k);
    eval_agrees(&k);
    discard(&k);
}

/* Activations and their slopes, closely, and where their curves end, too. */
static void test_range(void **state)
{
    const double usual = tolerance;
    struct machine k = build(*state, RECOMPUTE_CHEAP, true, 2);
    tolerance = 4e-6;
    for (input_range = 2; input_range < 100; input_range *= 2) {
        memset(k.ctx.region[VRT_GRADS], 0, (size_t)k.program->params_bytes);
        train_agrees(&k);
        eval_agrees(&k);
    }
    input_range = 1;
    tolerance = usual;
    discard(&k);
}

/* To the last digits: of a picture of one colour the mean is GELU of that colour, and the network
 * goes on with a SiLU. */
static void test_gelu(void **state)
{
    (void)state;
    struct machine k = build(network_named("gelu"), RECOMPUTE_CHEAP, true, 2);
    start(&k, k.eval, IMAGES);
    int64_t pixels = k.eval->input->rows, channels = k.eval->input->cols;
    float *in = k.ctx.region[VRT_INPUT], *features = k.ctx.region[VRT_FEATURES];
    for (double x0 = -12; x0 < 12; x0 += 1.0 / 64) {
        for (int64_t i = 0; i < IMAGES * pixels * channels; i++)
            in[i] = (float)(x0 + (double)(i / (pixels * channels) + i % channels) / 512);
        k.program->eval(&k.ctx);
        for (int64_t i = 0; i < IMAGES * channels; i++) {
            double x = in[i / channels * pixels * channels + i % channels],
                   z = x * 0.5 * erfc(-x * sqrt(0.5)), y = z / (1 + exp(-z));
            if (!(fabs(features[i] - y) <= 1e-6 + 5e-7 * fabs(x)))
                fail_msg("silu(gelu(%.9g)) is %.9g, should be %.9g", x, features[i], y);
        }
    }
    discard(&k);
}

/* The same for softmax, whose small probabilities are exp of numbers down to where it ends. */
static void test_exp(void **state)
{
    (void)state;
    struct machine k = build(network_named("softmax"), RECOMPUTE_CHEAP, true, 2);
    start(&k, k.eval, IMAGES);
    int64_t pixels = k.eval->input->rows, channels = k.eval->input->cols;
    float *in = k.ctx.region[VRT_INPUT], *features = k.ctx.region[VRT_FEATURES];
    for (double x0 = -87.2; x0 < 0; x0 += 1.0 / 37) {
        for (int64_t i = 0; i < IMAGES * pixels * channels; i++)
            in[i] =
                i % channels
                    ? (float)(x0 / (double)(i % channels) - (double)(i / (pixels * channels)) / 512)
                    : 0.0f;
        k.program->eval(&k.ctx);
        for (int64_t i = 0; i < IMAGES * channels; i++) {
            const float *x = in + i / channels * pixels * channels;
            double sum = 0;
            for (int64_t j = 0; j < channels; j++)
                sum += exp(x[j]);
            double p = exp(x[i % channels]) / sum, y = p / (1 + exp(-p));
            if (!(fabs(features[i] - y) <= 1e-6 * y))
                fail_msg("silu(softmax) is %.9g, should be %.9g", features[i], y);
        }
    }
    discard(&k);
}

int main(void)
{
    struct CMUnitTest tests[400] = {
        cmocka_unit_test_setup_teardown(test_update, new_arena, free_arena),
        cmocka_unit_test_setup_teardown(test_bias, new_arena, free_arena),
        cmocka_unit_test_setup_teardown(test_gelu, new_arena, free_arena),
        cmocka_unit_test_setup_teardown(test_exp, new_arena, free_arena)};
    size_t n = 4;
    static const char *const ranging[] = {"mlp", "branches", "silu"};
    for (int i = 0; i < 3; i++)
        tests[n++] = (struct CMUnitTest){"range", test_range, new_arena, free_arena,
                                         (void *)network_named(ranging[i])};
    for (int i = 0; i < network_count; i++) {
        static void (*const kinds[])(void **) = {test_agreement, test_bits, test_short_vectors};
        for (int j = 0; j < 3; j++)
            tests[n++] = (struct CMUnitTest){networks[i].name, kinds[j], new_arena, free_arena,
                                             (void *)&networks[i]};
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    _cmocka_run_group_tests("kernels", tests, n, make_folder, remove_folder);
    return 0;
}
