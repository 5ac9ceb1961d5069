/* What else a recipe says, against PyTorch and timm as record_optimisers.py recorded them: learning
 * rates of schedules, factors of layer-wise decay, targets and losses with their gradients; and how
 * weights begin. */
#include "config.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/data/mix.h"
#include "runtime/io/safetensors.h"
#include "runtime/program/model.h"
#include "runtime/program/schedule.h"
#include "runtime/program/settings.h"
#include "tests/reference/compiled.h"

static void path_of(const char *name, char path[4096])
{
    snprintf(path, 4096, "%s/tests/reference/optimisers/%s", getenv("top_srcdir"), name);
}

static FILE *open_record(const char *name)
{
    char path[4096];
    path_of(name, path);
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("%s cannot be read", path);
    return f;
}

static bool near(double got, double want, double tolerance)
{
    return fabs(got - want) <= tolerance * fabs(want);
}

/* -- schedules -- */

enum { STEPS = 30, MORE = STEPS + 2, EPOCH = 5 };

struct row {
    char name[64], kind[16];
    double lr, warmup, final, every, factor, rate[MORE];
    int n;
};

static bool read_row(FILE *f, struct row *r)
{
    if (fscanf(f, "%63s %15s %lf %lf %lf %lf %lf", r->name, r->kind, &r->lr, &r->warmup, &r->final,
               &r->every, &r->factor) != 7)
        return false;
    for (r->n = 0; r->n < MORE && fscanf(f, "%lf", &r->rate[r->n]) == 1;)
        r->n++;
    return r->n >= STEPS && r->n < MORE;
}

/* What the definition says of a step, where ours is `got`; NaN where there is nothing to
 * compare. */
typedef double expected(const struct row *r, int step);

/* PyTorch: SequentialLR of LinearLR from lr / warmup, then CosineAnnealingLR or ConstantLR; StepLR.
 * The same in each step. */
static double torch_rate(const struct row *r, int step)
{
    return r->rate[step];
}

/* timm: CosineLRScheduler with warmup_prefix, StepLRScheduler without, both by updates. Its warm-up
 * is a step behind ours, whose first step is not for nothing. */
static double timm_rate(const struct row *r, int step)
{
    return step + 1 < (int)r->warmup ? r->rate[step + 1]
           : step < (int)r->warmup   ? r->lr
                                     : r->rate[step];
}

/* ConvNeXt: cosine_scheduler() of its utils.py. Its warm-up begins at 0 and is as long as ours, so
 * it is steeper. */
static double convnext_rate(const struct row *r, int step)
{
    if (step >= (int)r->warmup)
        return r->rate[step];
    assert_true(fabs(r->rate[step] - r->lr * step / (r->warmup - 1)) < 1e-15);
    return step + 1 == (int)r->warmup ? r->rate[step] : NAN;
}

/* Times in steps, or in epochs of five steps. */
static struct vrt_schedule schedule_of(const struct row *r, bool epochs)
{
    const double unit = epochs ? EPOCH : 1;
    const int32_t in = epochs ? VRT_UNIT_EPOCHS : VRT_UNIT_STEPS;
    struct vrt_settings s = {
        .schedule = r->kind,
        .lr = r->lr,
        .final = r->final,
        .factor = r->factor,
        .epochs = STEPS / unit,
        .warmup = r->warmup / unit,
        .every = r->every / unit,
        .warmup_unit = in,
        .every_unit = in,
    };
    return vrt_schedule_make(&s, epochs ? EPOCH : 1);
}

static int compare_row(const struct row *r, expected *want)
{
    int compared = 0;
    for (int epochs = 0; epochs < 2; epochs++) {
        struct vrt_schedule s = schedule_of(r, epochs);
        for (int step = 0; step < r->n; step++) {
            double got = vrt_schedule_lr(&s, step), w = want(r, step);
            if (isnan(w))
                continue;
            compared++;
            if (!near(got, w, 1e-12))
                fail_msg("%s: step %d is %.17g, should be %.17g", r->name, step, got, w);
        }
    }
    return compared;
}

static const struct definition {
    const char *title, *prefix;
    expected *want;
    int rows;
} definitions[] = {
    {"learning rates of PyTorch", "torch.", torch_rate, 7},
    {"learning rates of timm", "timm.", timm_rate, 3},
    {"learning rates of ConvNeXt", "convnext.", convnext_rate, 2},
};
enum { DEFINITIONS = sizeof definitions / sizeof *definitions };

static void test_schedules(void **state)
{
    const struct definition *d = *state;
    FILE *f = open_record("schedules.txt");
    struct row r;
    int rows = 0;
    while (read_row(f, &r))
        if (!strncmp(r.name, d->prefix, strlen(d->prefix))) {
            assert_true(compare_row(&r, d->want) > 2 * (STEPS - 5));
            rows++;
        }
    fclose(f);
    assert_int_equal(rows, d->rows);
}

/* -- layer-wise decay -- */

static struct compiled open_network(const char *name, const struct lang_define *sets, size_t nsets)
{
    char path[4096];
    path_of(name, path);
    return compiled_open(path, sets, nsets, 0);
}

static const struct vrt_param *find_param(const struct vrt_program *p, const char *name)
{
    for (int64_t i = 0; i < p->nparams; i++)
        if (!strcmp(p->params[i].name, name))
            return &p->params[i];
    fail_msg("%s: there is no %s", p->name, name);
    return NULL;
}

/* A group's factor counts on top. timm's ViT has the last norm on the level of the last block; ours
 * is part of the head, as that of ConvNeXt is in both. */
static double expected_factor(const char *network, const char *name, double recorded)
{
    if (!strcmp(network, "deep_vit") && !strncmp(name, "norm.", 5)) {
        assert_true(near(recorded, 0.75, 1e-12));
        return 1;
    }
    return strncmp(name, "head.", 5) ? recorded : 0.5 * recorded;
}

static void test_layer_decay(void **state)
{
    const char *network = *state;
    const struct lang_define sets[] = {
        {"train.layer_decay", "0.75"},
        {"train.groups", "[group(match: \"head.*\", lr_factor: 0.5)]"},
    };
    char file[64], of[64], name[256];
    snprintf(file, sizeof file, "%s.vmoe", network);
    struct compiled c = open_network(file, sets, 2);
    FILE *f = open_record("layer_decay.txt");
    double factor;
    int64_t n = 0;
    while (fscanf(f, "%63s %255s %lf", of, name, &factor) == 3)
        if (!strcmp(of, network)) {
            double got = find_param(c.program, name)->lr_factor,
                   want = expected_factor(network, name, factor);
            if (!near(got, want, 1e-12))
                fail_msg("%s: %s has %.9g, should have %.9g", network, name, got, want);
            n++;
        }
    fclose(f);
    assert_int_equal(n, c.program->nparams);
    compiled_close(&c);
}

/* -- losses -- */

enum { IMAGES = 8, CLASSES = 37, NUMBERS = IMAGES * CLASSES };

static const double tolerance_loss = 1e-6; /* of the loss; of the largest slope of a logit */

struct losses {
    float logits[NUMBERS], labels[IMAGES], target[NUMBERS], value, slope[NUMBERS];
};

static void read_numbers(struct vrt_tensors *record, const char *name, float *to, int n)
{
    const struct vrt_tensor *x = vrt_tensors_find(record, name);
    struct vrt_error e;
    if (!x || x->end - x->begin != 4 * (uint64_t)n)
        fail_msg("%s is not in the record with %d numbers", name, n);
    if (!vrt_tensors_read(record, x, 0, (uint64_t)n, to, &e))
        fail_msg("%s", e.text);
}

static void read_losses(const char *loss, const char *targets, struct losses *l)
{
    struct vrt_tensors *record;
    struct vrt_error e;
    char path[4096], name[64];
    path_of("losses.safetensors", path);
    if (!vrt_tensors_open(&record, path, &e))
        fail_msg("%s", e.text);
    read_numbers(record, "logits", l->logits, NUMBERS);
    read_numbers(record, "labels", l->labels, IMAGES);
    snprintf(name, sizeof name, "target.%s", targets);
    read_numbers(record, name, l->target, NUMBERS);
    snprintf(name, sizeof name, "%s.%s", loss, targets);
    read_numbers(record, name, &l->value, 1);
    snprintf(name, sizeof name, "%s.%s.gradient", loss, targets);
    read_numbers(record, name, l->slope, NUMBERS);
    vrt_tensors_close(record);
}

/* Of each picture by itself: its logits are the biases, so their gradient is that of the logits. */
static double run_pictures(struct compiled *c, const struct losses *l, float *slope)
{
    const struct vrt_param *bias = find_param(c->program, "head.fc.bias");
    double sum = 0;
    c->ctx.images = 1;
    c->ctx.loss_scale = 1.0 / IMAGES;
    for (int i = 0; i < IMAGES; i++) {
        memcpy(compiled_region(c, VRT_PARAMS, bias), l->logits + i * CLASSES,
               CLASSES * sizeof *slope);
        memcpy(c->ctx.region[VRT_TARGET], l->target + i * CLASSES, CLASSES * sizeof *slope);
        compiled_clear(c, VRT_GRADS);
        c->program->pack_train(&c->ctx);
        c->program->train(&c->ctx);
        assert_memory_equal(c->ctx.region[VRT_OUTPUT], l->logits + i * CLASSES,
                            CLASSES * sizeof *slope);
        memcpy(slope + i * CLASSES, compiled_region(c, VRT_GRADS, bias), CLASSES * sizeof *slope);
        sum += c->ctx.loss;
    }
    return sum * c->ctx.loss_scale;
}

static double slope_error(const float *got, const float *want)
{
    double worst = 0, largest = 0;
    for (int i = 0; i < NUMBERS; i++) {
        double error = fabs((double)got[i] - (double)want[i]);
        worst = isnan(error) ? INFINITY : fmax(worst, error);
        largest = fmax(largest, fabs((double)want[i]));
    }
    return worst / largest;
}

/* Also told from each other: a loss from the other one, and targets from those that are not
 * smoothed. */
static void test_loss(void **state)
{
    const char *loss = *state, *other = loss[0] == 'c' ? "binary_cross_entropy" : "cross_entropy";
    static const char *const targets[] = {"hard", "smooth", "mixed"};
    struct compiled c = open_network("biases.vmoe", &(struct lang_define){"train.loss", loss}, 1);
    for (int i = 0; i < 3; i++) {
        struct losses l, wrong;
        float slope[NUMBERS];
        read_losses(loss, targets[i], &l);
        double value = run_pictures(&c, &l, slope), error = slope_error(slope, l.slope);
        printf("# %s targets: loss off by %.1e, slopes by %.1e\n", targets[i],
               fabs(value / (double)l.value - 1), error);
        if (!near(value, (double)l.value, tolerance_loss) || error > tolerance_loss)
            fail_msg("%s of %s targets is %.9g, should be %.9g; slopes off by %.1e", loss,
                     targets[i], value, (double)l.value, error);
        read_losses(other, targets[i], &wrong);
        assert_false(near(value, (double)wrong.value, tolerance_loss) ||
                     slope_error(slope, wrong.slope) <= tolerance_loss);
        read_losses(loss, targets[i ? 0 : 1], &wrong);
        assert_false(near(value, (double)wrong.value, tolerance_loss) ||
                     slope_error(slope, wrong.slope) <= tolerance_loss);
    }
    compiled_close(&c);
}

/* The runtime's targets from labels, as timm's mixup_target() has them: a picture's partner is its
 * mirror in the batch. */
static void test_targets(void **state)
{
    static const struct {
        const char *name;
        double smoothing;
        struct vrt_mix mix;
    } ways[] = {
        {"hard", 0, {0}},
        {"smooth", 0.1, {0}},
        {"mixed", 0.1, {.on = true, .keep = 0.3f}},
    };
    struct losses l;
    int32_t labels[IMAGES];
    struct compiled c = open_network("biases.vmoe", NULL, 0);
    struct vrt_model m = {.program = c.program, .ctx = c.ctx};
    const float *got = c.ctx.region[VRT_TARGET];
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        read_losses("cross_entropy", ways[i].name, &l);
        for (int j = 0; j < IMAGES; j++)
            labels[j] = (int32_t)l.labels[j];
        vrt_model_targets(&m, labels, IMAGES, ways[i].smoothing, &ways[i].mix, IMAGES);
        for (int j = 0; j < NUMBERS; j++)
            if (!(fabs((double)got[j] - (double)l.target[j]) < 1e-7))
                fail_msg("%s: target %d is %.9g, should be %.9g", ways[i].name, j, (double)got[j],
                         (double)l.target[j]);
    }
    compiled_close(&c);
    (void)state;
}

/* With `gain: 1.0` (LeCun and others 1998) the deviation is 1 / root of the inputs of an output, in
 * a layer and in each expert; without, 0.02. */
static void test_deviations(void **state)
{
    char path[4096];
    int gained = 0, plain = 0;
    (void)state;
    snprintf(path, sizeof path, "%s/examples/cifar10_convnext_moe.vmoe", getenv("top_srcdir"));
    struct compiled c = compiled_open(path, NULL, 0, 0);
    for (int64_t i = 0; i < c.program->nparams; i++) {
        const struct vrt_param *p = &c.program->params[i];
        if (p->init != VRT_INIT_TRUNC_NORMAL)
            continue;
        bool usual = strstr(p->name, "router") || strstr(p->name, "head"), map = p->rank == 4;
        double inputs =
            map ? (double)(p->shape[1] * p->shape[2] * p->shape[3]) : (double)p->shape[p->rank - 1];
        if (!near(p->init_value, usual ? 0.02 : 1 / sqrt(inputs), 1e-12))
            fail_msg("%s: deviation %g, with %g inputs", p->name, p->init_value, inputs);
        *(usual ? &plain : &gained) += 1;
    }
    assert_int_equal(
        gained,
        4 + 6 * 3); /* stem, two entries; of six blocks each the convolution and two layers */
    assert_int_equal(plain, 3); /* two routers, the head */
    compiled_close(&c);
}

int main(void)
{
    struct CMUnitTest tests[DEFINITIONS + 6];
    int n = 0;
    if (!getenv("top_srcdir")) {
        puts("Bail out! top_srcdir must be set");
        return 99;
    }
    for (; n < DEFINITIONS; n++)
        tests[n] = (struct CMUnitTest){definitions[n].title, test_schedules, NULL, NULL,
                                       (void *)(uintptr_t)&definitions[n]};
    tests[n++] = (struct CMUnitTest){"layer-wise decay, maps", test_layer_decay, NULL, NULL,
                                     (char[]){"deep_convnext"}};
    tests[n++] = (struct CMUnitTest){"layer-wise decay, tokens", test_layer_decay, NULL, NULL,
                                     (char[]){"deep_vit"}};
    tests[n++] =
        (struct CMUnitTest){"cross-entropy", test_loss, NULL, NULL, (char[]){"cross_entropy"}};
    tests[n++] = (struct CMUnitTest){"binary cross-entropy", test_loss, NULL, NULL,
                                     (char[]){"binary_cross_entropy"}};
    tests[n++] = (struct CMUnitTest){"targets", test_targets, NULL, NULL, NULL};
    tests[n++] = (struct CMUnitTest){"deviations", test_deviations, NULL, NULL, NULL};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return _cmocka_run_group_tests("recipe", tests, (size_t)n, NULL, NULL);
}
