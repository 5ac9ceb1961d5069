/* Twenty updates by each optimiser, with schedules, clipping, groups and averaged weights, against
 * those that PyTorch and timm made from the same weights and gradients, recorded by
 * record_optimisers.py (which has the same table of cases).
 *
 * What a program tells its optimiser comes from the settings in the compiled file, as in a
 * training. A case with a setting changed must be told from its record. By intention different: the
 * average's decay begins at 0.1 (schedule.h), timm's at 0, so the record sets it; PyTorch's
 * clipping adds 1e-6 to the norm, timm's LAMB and ours nothing. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/program/options.h"
#include "runtime/program/schedule.h"
#include "runtime/program/settings.h"
#include "tests/reference/compiled.h"
#include "tests/reference/hashes.h"
#include "tests/reference/record.h"

enum { STEPS = 20, ASLEEP = 3, SETS = 6 };

static const double tolerance = 1e-5; /* of the largest weight of the tensor */

#define ADAMW "adamw(lr: 4e-3, weight_decay: 0.05)"
#define LAMB  "lamb(lr: 0.02, weight_decay: 0.05)"
#define SGD(momentum, nesterov) \
    "sgd(lr: 0.1, weight_decay: 1e-3, momentum: " momentum ", nesterov: " nesterov ")"
#define COSINE {"train.schedule", "cosine(warmup: 5 steps, final: 1e-4)"}
#define STAIRS {"train.schedule", "step(every: 7 steps, factor: 0.5)"}

static const struct recipe {
    const char *name;
    struct lang_define sets[SETS];
} cases[] = {
    {"adamw", {{"train.optim", ADAMW}, COSINE}},
    {"adamw_groups",
     {{"train.optim", ADAMW},
      COSINE,
      {"train.groups", "[group(match: \"*.experts.*\", weight_decay: 0.5, lr_factor: 0.25), "
                       "group(match: \"stem.*\", lr_factor: 0)]"}}},
    {"adamw_clip",
     {{"train.optim", ADAMW},
      {"train.schedule", "constant(warmup: 3 steps)"},
      {"train.clip", "global_norm(2)"}}},
    {"adamw_ema", {{"train.optim", ADAMW}, STAIRS, {"train.ema", "0.5"}}},
    {"lamb", {{"train.optim", LAMB}, COSINE}},
    {"lamb_clip", {{"train.optim", LAMB}, COSINE, {"train.clip", "global_norm(2)"}}},
    {"lamb_groups",
     {{"train.optim", LAMB},
      STAIRS,
      {"train.groups", "[group(match: \"*.experts.*\", weight_decay: 0, lr_factor: 0.25)]"}}},
    {"lamb_no_decay", {{"train.optim", "lamb(lr: 0.02, weight_decay: 0)"}, COSINE}},
    {"lamb_ema", {{"train.optim", LAMB}, COSINE, {"train.ema", "0.75"}}},
    {"sgd", {{"train.optim", SGD("0.9", "false")}, COSINE}},
    {"sgd_nesterov",
     {{"train.optim", SGD("0.9", "true")},
      COSINE,
      {"train.clip", "global_norm(2)"},
      {"train.ema", "0.75"}}},
    {"sgd_plain",
     {{"train.optim", SGD("0", "false")},
      STAIRS,
      {"train.groups", "[group(match: \"*.experts.*\", weight_decay: 0.01, lr_factor: 0.5)]"}}},
};
enum { CASES = sizeof cases / sizeof *cases };

/* A case under way beside its record. */
struct trial {
    const struct recipe *recipe;
    struct compiled c;
    struct vrt_settings s;
    struct record record;
    double worst; /* largest error, as a share of what is tolerated */
};

/* -- weights and gradients -- */

static bool of_experts(const struct vrt_param *p)
{
    return strstr(p->name, ".experts.") != NULL;
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && !strcmp(name + n - m, end);
}

/* The part of the last expert, the second. */
static void clear_last_expert(const struct vrt_param *p, float *of)
{
    memset(of + p->count / 2, 0, (size_t)(p->count / 2) * sizeof *of);
}

/* Two layers begin at zero, which is where LAMB does not scale. */
static void set_weights(struct trial *t)
{
    for (int64_t i = 0; i < t->c.program->nparams; i++) {
        const struct vrt_param *p = &t->c.program->params[i];
        float *weights = compiled_region(&t->c, VRT_PARAMS, p);
        hash_weights(0, p, weights);
        if (!strcmp(p->name, "head.fc.weight"))
            memset(weights, 0, (size_t)p->count * sizeof *weights);
        if (ends_with(p->name, "experts.fc2.weight"))
            clear_last_expert(p, weights);
    }
}

/* Every second step has small gradients, and nothing chooses the last expert at first. */
static void set_gradients(struct trial *t, int step)
{
    char text[256];
    for (int64_t i = 0; i < t->c.program->nparams; i++) {
        const struct vrt_param *p = &t->c.program->params[i];
        float *gradients = compiled_region(&t->c, VRT_GRADS, p);
        snprintf(text, sizeof text, "0/%d/%s", step, p->name);
        hash_fill(text, 0, step % 2 == 0 ? 0x1p-5f : 0x1p-8f, gradients, p->count);
        if (of_experts(p) && step < ASLEEP)
            clear_last_expert(p, gradients);
    }
}

/* -- updates -- */

static void read_settings(struct trial *t)
{
    static const struct vrt_command none = {.name = "train", .bit = VRT_TRAIN};
    struct vrt_options o;
    struct vrt_error e;
    if (!vrt_options_parse(&o, t->c.program, &none, 0, NULL, &e) ||
        !vrt_settings_read(&t->s, &o, &e))
        fail_msg("%s: %s", t->recipe->name, e.text);
    vrt_options_free(&o);
}

/* `change` comes after the sets of the recipe, and replaces what they say. */
static struct trial open_trial(const struct recipe *recipe, const struct lang_define *change)
{
    struct trial t = {.recipe = recipe};
    struct lang_define sets[SETS + 2] = {{"train.epochs", "20 epochs"}};
    char path[4096];
    size_t n = 1;
    for (int i = 0; i < SETS && recipe->sets[i].name; i++)
        if (!change || strcmp(change->name, recipe->sets[i].name) != 0)
            sets[n++] = recipe->sets[i];
    if (change)
        sets[n++] = *change;
    snprintf(path, sizeof path, "%s/tests/reference/optimisers/network.vmoe", getenv("top_srcdir"));
    t.c = compiled_open(path, sets, n, 0);
    record_open(&t.record, "optimisers/updates.safetensors");
    read_settings(&t);
    return t;
}

static void close_trial(struct trial *t)
{
    record_close(&t->record);
    compiled_close(&t->c);
}

/* As a training does them (epoch.c), with an epoch for each step. */
static void follow(struct trial *t)
{
    struct vrt_ctx *c = &t->c.ctx;
    struct vrt_schedule schedule = vrt_schedule_make(&t->s, 1);
    set_weights(t);
    if (t->s.ema > 0)
        compiled_average(&t->c);
    vrt_schedule_constants(&t->s, c);
    for (int step = 0; step < STEPS; step++) {
        set_gradients(t, step);
        c->lr = vrt_schedule_lr(&schedule, step);
        t->c.program->norm(c);
        vrt_schedule_update(&t->s, step, sqrt(c->grad_norm2), c);
        t->c.program->update(c);
    }
}

/* -- comparison -- */

static void same_tensor(struct trial *t, const char *kind, enum vrt_region region,
                        const struct vrt_param *p)
{
    const float *got = compiled_region(&t->c, region, p);
    int64_t sample = p->count < 2048 ? 7 : 61, n = (p->count + sample - 1) / sample;
    double worst = 0, largest = 0;
    char name[256];
    snprintf(name, sizeof name, "%s.%s%s", t->recipe->name, kind, p->name);
    float *want = record_read(&t->record, name, n);
    for (int64_t i = 0; want && i < n; i++) {
        double error = fabs((double)got[i * sample] - (double)want[i]);
        worst = isnan(error) ? INFINITY : fmax(worst, error);
        largest = fmax(largest, fabs((double)want[i]));
    }
    t->worst = fmax(t->worst, want ? worst / largest / tolerance : 0);
    record_check(&t->record, worst <= tolerance * largest, "%s: off by %.1e of the largest", name,
                 worst / largest);
    free(want);
}

/* The record has these tensors of the case, and no more. */
static void same_count(struct trial *t)
{
    char prefix[64];
    snprintf(prefix, sizeof prefix, "%s.", t->recipe->name);
    int64_t more = record_count(&t->record, prefix) -
                   t->c.program->nparams * (t->c.ctx.region[VRT_EMA] ? 2 : 1);
    record_check(&t->record, more == 0, "%s: the record has %" PRId64 " more tensors",
                 t->recipe->name, more);
}

static void compare(struct trial *t)
{
    follow(t);
    for (int64_t i = 0; i < t->c.program->nparams; i++) {
        same_tensor(t, "", VRT_PARAMS, &t->c.program->params[i]);
        if (t->c.ctx.region[VRT_EMA])
            same_tensor(t, "ema.", VRT_EMA, &t->c.program->params[i]);
    }
    same_count(t);
}

static void test_case(void **state)
{
    struct trial t = open_trial(*state, NULL);
    compare(&t);
    close_trial(&t);
    printf("# of what is tolerated: %.3f\n", t.worst);
    if (t.record.wrong)
        fail_msg("%s: %d comparisons fail; first: %s", t.recipe->name, t.record.wrong,
                 t.record.first);
}

/* -- wrong settings -- */

static const struct wrong {
    const char *title, *name;
    struct lang_define change;
} wrongs[] = {
    {"AdamW with another eps",
     "adamw",
     {"train.optim", "adamw(lr: 4e-3, weight_decay: 0.05, eps: 1e-6)"}},
    {"AdamW with another beta",
     "adamw",
     {"train.optim", "adamw(lr: 4e-3, weight_decay: 0.05, betas: [0.9, 0.9985])"}},
    {"a longer warm-up", "adamw", {"train.schedule", "cosine(warmup: 6 steps, final: 1e-4)"}},
    {"no groups", "adamw_groups", {"train.groups", "[]"}},
    {"clipping a little later", "adamw_clip", {"train.clip", "global_norm(2.01)"}},
    {"a slower average", "adamw_ema", {"train.ema", "0.51"}},
    {"AdamW, not LAMB", "lamb", {"train.optim", "adamw(lr: 0.02, weight_decay: 0.05, eps: 1e-6)"}},
    {"LAMB with another eps",
     "lamb",
     {"train.optim", "lamb(lr: 0.02, weight_decay: 0.05, eps: 1e-5)"}},
    {"LAMB without clipping", "lamb_clip", {"train.clip", "none"}},
    {"LAMB with a decay", "lamb_no_decay", {"train.optim", "lamb(lr: 0.02, weight_decay: 1e-6)"}},
    {"Nesterov", "sgd", {"train.optim", SGD("0.9", "true")}},
    {"no Nesterov", "sgd_nesterov", {"train.optim", SGD("0.9", "false")}},
    {"momentum", "sgd_plain", {"train.optim", SGD("0.01", "false")}},
};
enum { WRONGS = sizeof wrongs / sizeof *wrongs };

static const struct recipe *find_case(const char *name)
{
    for (int i = 0; i < CASES; i++)
        if (!strcmp(cases[i].name, name))
            return &cases[i];
    fail_msg("there is no case %s", name);
    return NULL;
}

static void test_wrong(void **state)
{
    const struct wrong *w = *state;
    struct trial t = open_trial(find_case(w->name), &w->change);
    compare(&t);
    close_trial(&t);
    printf("# %s\n", t.record.first);
    if (!t.record.wrong)
        fail_msg("%s: not told from %s", w->title, w->name);
}

int main(void)
{
    struct CMUnitTest tests[CASES + WRONGS];
    int n = 0;
    for (int i = 0; i < CASES; i++)
        tests[n++] = record_test(cases[i].name, test_case, &cases[i]);
    for (int i = 0; i < WRONGS; i++)
        tests[n++] = record_test(wrongs[i].title, test_wrong, &wrongs[i]);
    return record_main("optimisers", tests, CASES + WRONGS);
}
