/* Small networks of each kind against what PyTorch computed for them, recorded by record_moe.py
 * (which says what a file holds): logits, losses, loads, the gradient of every tensor, ten AdamW
 * steps end to end and on given gradients.
 *
 * Weights and pictures are made here from integer hashes, with the bits that the script has. Wrong
 * networks must be told from the right ones: those in the record, and those built here with a
 * setting changed. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/reference/compiled.h"
#include "tests/reference/hashes.h"
#include "tests/reference/record.h"

enum { IMAGES = 12, EVAL_IMAGES = 11, CLASSES = 5, MICRO = 8, STEPS = 10, SAMPLE = 7 };

static const double tolerance_logits = 1e-5;  /* of the largest */
static const double tolerance_loss = 1e-4;    /* of each step's, and 1e-6 */
static const double tolerance_norm = 1e-4;    /* of a gradient: of its own norm, */
static const double tolerance_largest = 1e-6; /* and of the largest norm of the network */
static const double tolerance_adam = 1e-5;    /* of the largest weight of the tensor */

static const double rate = 0x1p-8, decay = 0.125, beta1 = 0.875, beta2 = 0.96875,
                    eps = 1e-5; /* AdamW */

static const char *const networks[] = {
    "vit",
    "convnext",
    "vit_top1",
    "convnext_top2",
    "vit_renormalised",
    "vit_priority",
    "convnext_sequence",
    "vit_noise",
    "convnext_noise",
    "convnext_cosine",
    "vit_l2",
    "vit_bias",
    "convnext_expert_choice",
    "vit_expert_choice",
    "vit_soft",
    "convnext_soft",
    "vit_per_image",
    "convnext_per_image",
    "convnext_shared",
    "vit_kinds",
    "vit_gated",
    "vit_dropout",
    "convnext_own",
    "convnext_settings",
};
enum { NETWORKS = sizeof networks / sizeof *networks };

/* A network beside its record. */
struct trial {
    const char *name;
    struct compiled c;
    struct record record;
    int salt;
    double logits, loss, gradient, adam; /* largest errors, as shares of what is tolerated */
};

/* -- weights and pictures -- */

static void start(struct trial *t)
{
    for (int64_t i = 0; i < t->c.program->nparams; i++) {
        const struct vrt_param *p = &t->c.program->params[i];
        hash_weights(t->salt, p, compiled_region(&t->c, VRT_PARAMS, p));
    }
    for (int r = VRT_GRADS; r <= VRT_MOMENT2; r++)
        compiled_clear(&t->c, (enum vrt_region)r);
    compiled_clear(&t->c, VRT_BALANCE);
    t->c.program->pack_train(&t->c.ctx);
}

/* Pictures first .. first + n - 1 into the call. */
static void give(struct trial *t, int first, int n)
{
    const struct vrt_program *p = t->c.program;
    int64_t size = p->height * p->width * p->channels;
    float *to = t->c.ctx.region[VRT_INPUT], *target = t->c.ctx.region[VRT_TARGET];
    char text[64];
    snprintf(text, sizeof text, "%d/pictures", t->salt);
    uint32_t pixels = hash_text(text);
    snprintf(text, sizeof text, "%d/labels", t->salt);
    for (int64_t i = 0; i < n * size; i++)
        to[i] = 0x1p-16f * (float)hash16(pixels, first * size + i);
    for (int64_t i = 0; i < n * p->classes; i++) {
        int label = (hash16(hash_text(text), first + i / p->classes) + 32768) % (int)p->classes;
        target[i] = i % p->classes == label ? 0.92f : 0.02f;
    }
    t->c.ctx.images = n;
    t->c.ctx.first_image = first;
}

/* -- the record -- */

static float *recorded(struct trial *t, const char *prefix, const char *name, int64_t n)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return record_read(&t->record, full, n);
}

static double recorded_number(struct trial *t, const char *name)
{
    float *x = recorded(t, "", name, 1), value = x ? *x : 0;
    free(x);
    return (double)value;
}

static struct trial open_trial(const char *name, const struct lang_define *change, double norm_eps)
{
    struct trial t = {.name = name};
    struct lang_define sets[2] = {{"train.micro", "8 images"}};
    char path[4096];
    if (change)
        sets[1] = *change;
    snprintf(path, sizeof path, "%s/tests/reference/networks/%s.vmoe", getenv("top_srcdir"), name);
    t.c = compiled_open(path, sets, change ? 2 : 1, norm_eps);
    snprintf(path, sizeof path, "networks/%s.safetensors", name);
    record_open(&t.record, path);
    t.salt = (int)recorded_number(&t, "salt");
    struct vrt_ctx *c = &t.c.ctx;
    c->drop_path = recorded_number(&t, "drop_path");
    c->seed = 0x9E3779B97F4A7C15u;
    c->loss_scale = 1.0 / IMAGES;
    c->balance_scale = (double)t.c.program->group / IMAGES;
    c->lr = rate, c->weight_decay = decay, c->beta1 = beta1, c->beta2 = beta2, c->eps = eps,
    c->grad_scale = 1;
    start(&t);
    return t;
}

static void close_trial(struct trial *t)
{
    record_close(&t->record);
    compiled_close(&t->c);
}

/* -- comparisons -- */

static void same_loads(struct trial *t, const char *prefix, int step)
{
    for (int64_t i = 0; i < t->c.program->nmoes; i++) {
        const struct vrt_moe *m = &t->c.program->moes[i];
        const char *counts = (char *)t->c.ctx.region[VRT_BALANCE] + m->balance_offset;
        const int32_t *got = (const int32_t *)(const void *)counts;
        int n = 2 * m->experts + 1;
        char name[32];
        snprintf(name, sizeof name, "%s.load.%d", prefix, (int)i);
        float *want = recorded(t, "", name, n * (step < 0 ? 1 : STEPS));
        for (int j = 0; want && j < n; j++) {
            float w = want[(step < 0 ? 0 : step * n) + j];
            record_check(&t->record, got[j] == (int32_t)w, "%s of step %d: number %d is %d, not %g",
                         name, step, j, (int)got[j], (double)w);
        }
        free(want);
    }
}

static double logits_error(struct trial *t, const char *name, const float *got, int images)
{
    int64_t n = images * t->c.program->classes;
    float *want = recorded(t, "", name, n);
    double worst = 0, largest = 0;
    for (int64_t i = 0; want && i < n; i++) {
        worst = got[i] == got[i] ? fmax(worst, fabs((double)got[i] - (double)want[i])) : INFINITY;
        largest = fmax(largest, fabs((double)want[i]));
    }
    free(want);
    return largest > 0 ? worst / largest : INFINITY;
}

static void same_logits(struct trial *t, const char *name, const float *got, int images)
{
    double error = logits_error(t, name, got, images);
    t->logits = fmax(t->logits, error / tolerance_logits);
    record_check(&t->record, error <= tolerance_logits, "%s: off by %.1e of the largest", name,
                 error);
}

struct losses {
    double entropy, balance;
};

/* All pictures in calls of 8 and what is left; logits must have room for them. */
static struct losses run_calls(struct trial *t, void (*run)(struct vrt_ctx *), int images,
                               float *logits)
{
    struct vrt_ctx *c = &t->c.ctx;
    struct losses sum = {0, 0};
    int64_t classes = t->c.program->classes;
    for (int first = 0; first < images; first += MICRO) {
        give(t, first, images - first < MICRO ? images - first : MICRO);
        run(c);
        memcpy(logits + first * classes, c->region[VRT_OUTPUT],
               (size_t)(c->images * classes) * sizeof *logits);
        sum.entropy += c->loss * c->loss_scale;
        sum.balance += c->balance_loss * c->balance_scale;
    }
    return sum;
}

static void same_evaluation(struct trial *t)
{
    float logits[IMAGES * CLASSES];
    run_calls(t, t->c.program->eval, EVAL_IMAGES, logits);
    same_logits(t, "eval.logits", logits, EVAL_IMAGES);
    same_loads(t, "eval", -1);
    for (size_t i = 0; i < vrt_tensors_count(t->record.tensors); i++) {
        const char *name = vrt_tensors_at(t->record.tensors, i)->name;
        if (!strncmp(name, "wrong.", 6))
            record_check(&t->record, logits_error(t, name, logits, EVAL_IMAGES) > tolerance_logits,
                         "%s is not told apart", name);
    }
    compiled_clear(&t->c, VRT_BALANCE);
}

static double norm_of(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static bool learned(const struct vrt_param *p)
{
    return !strstr(p->name, ".balance_bias");
}

/* The record has a gradient for each learned tensor, and no more. */
static void same_names(struct trial *t)
{
    int64_t more = record_count(&t->record, "grad.");
    for (int64_t i = 0; i < t->c.program->nparams; i++)
        more -= learned(&t->c.program->params[i]);
    record_check(&t->record, more == 0, "the record has %" PRId64 " more tensors", more);
}

static void same_shape(struct trial *t, const struct vrt_param *p)
{
    char name[256];
    snprintf(name, sizeof name, "grad.%s", p->name);
    const struct vrt_tensor *x = vrt_tensors_find(t->record.tensors, name);
    bool same = x && x->rank == (size_t)p->rank;
    for (int j = 0; same && j < p->rank; j++)
        same = x->shape[j] == (uint64_t)p->shape[j];
    record_check(&t->record, same, "%s has another shape", p->name);
}

/* `largest`: norm of any gradient of the network. */
static void same_gradient(struct trial *t, const struct vrt_param *p, double largest)
{
    const float *got = compiled_region(&t->c, VRT_GRADS, p);
    float *want = recorded(t, "grad.", p->name, p->count);
    if (!want)
        return;
    double norm = norm_of(want, p->count),
           tolerated = tolerance_norm * norm + tolerance_largest * largest;
    for (int64_t i = 0; i < p->count; i++)
        want[i] -= got[i];
    double error = norm_of(want, p->count);
    t->gradient = fmax(t->gradient, error / tolerated);
    record_check(&t->record, error <= tolerated, "%s: gradient off by %.1e of its norm, %.1e",
                 p->name, error / norm, norm);
    free(want);
}

static void same_gradients(struct trial *t)
{
    const struct vrt_program *program = t->c.program;
    double largest = 0;
    for (int64_t i = 0; i < program->nparams; i++) {
        const struct vrt_param *p = &program->params[i];
        largest = fmax(largest, norm_of(compiled_region(&t->c, VRT_GRADS, p), p->count));
    }
    same_names(t);
    for (int64_t i = 0; i < program->nparams; i++)
        if (learned(&program->params[i])) {
            same_shape(t, &program->params[i]);
            same_gradient(t, &program->params[i], largest);
        }
}

static void update(struct trial *t, int step)
{
    t->c.ctx.bias1 = 1 - pow(beta1, step + 1);
    t->c.ctx.bias2 = 1 - pow(beta2, step + 1);
    t->c.program->update(&t->c.ctx);
    t->c.program->pack_train(&t->c.ctx);
    compiled_clear(&t->c, VRT_BALANCE);
}

static void same_number(struct trial *t, const char *what, int step, double got, const float *want)
{
    if (!want)
        return;
    double w = (double)want[step], tolerated = tolerance_loss * fabs(w) + 1e-6;
    t->loss = fmax(t->loss, fabs(got - w) / tolerated);
    record_check(&t->record, fabs(got - w) <= tolerated, "%s of step %d is %.9g, should be %.9g",
                 what, step, got, w);
}

static void same_steps(struct trial *t, int steps)
{
    float logits[IMAGES * CLASSES];
    float *entropy = recorded(t, "", "steps.loss", STEPS),
          *balance = recorded(t, "", "steps.balance", STEPS);
    for (int step = 0; step < steps; step++) {
        t->c.ctx.step = (uint64_t)step;
        struct losses got = run_calls(t, t->c.program->train, IMAGES, logits);
        if (step == 0) {
            same_logits(t, "train.logits", logits, IMAGES);
            same_gradients(t);
        }
        same_number(t, "loss", step, got.entropy, entropy);
        same_number(t, "balance loss", step, got.balance, balance);
        same_loads(t, "steps", step);
        update(t, step);
    }
    free(entropy);
    free(balance);
}

/* What balancing without a loss did in ten steps: additions of a power of two, so the bits are the
 * same. */
static void same_balance_biases(struct trial *t)
{
    for (int64_t i = 0; i < t->c.program->nparams; i++) {
        const struct vrt_param *p = &t->c.program->params[i];
        const float *got = compiled_region(&t->c, VRT_PARAMS, p);
        float *want = learned(p) ? NULL : recorded(t, "end.", p->name, p->count);
        record_check(&t->record, !want || !memcmp(want, got, (size_t)p->count * sizeof *got),
                     "%s ends elsewhere", p->name);
        free(want);
    }
}

static void follow_hashes(struct trial *t)
{
    for (int step = 0; step < STEPS; step++) {
        for (int64_t i = 0; i < t->c.program->nparams; i++) {
            const struct vrt_param *p = &t->c.program->params[i];
            char text[256];
            snprintf(text, sizeof text, "%d/%d/%s", t->salt, step, p->name);
            hash_fill(text, 0, 0x1p-5f, compiled_region(&t->c, VRT_GRADS, p), p->count);
        }
        update(t, step);
    }
}

/* Weights after ten updates with hashes as gradients. */
static void same_updates(struct trial *t)
{
    start(t);
    follow_hashes(t);
    for (int64_t i = 0; i < t->c.program->nparams; i++) {
        const struct vrt_param *p = &t->c.program->params[i];
        const float *got = compiled_region(&t->c, VRT_PARAMS, p);
        int64_t n = (p->count + SAMPLE - 1) / SAMPLE;
        float *want = learned(p) ? recorded(t, "adam.", p->name, n) : NULL;
        double worst = 0, largest = 0;
        for (int64_t j = 0; want && j < n; j++) {
            worst = fmax(worst, fabs((double)got[j * SAMPLE] - (double)want[j]));
            largest = fmax(largest, fabs((double)want[j]));
        }
        t->adam = fmax(t->adam, want ? worst / largest / tolerance_adam : 0);
        record_check(&t->record, worst <= tolerance_adam * largest,
                     "%s: ten updates lead %.1e astray", p->name, worst / largest);
        free(want);
    }
}

static void test_network(void **state)
{
    struct trial t = open_trial(*state, NULL, 0);
    same_evaluation(&t);
    same_steps(&t, STEPS);
    same_balance_biases(&t);
    same_updates(&t);
    close_trial(&t);
    printf("# of what is tolerated: logits %.3f, losses %.3f, gradients %.3f, updates %.3f\n",
           t.logits, t.loss, t.gradient, t.adam);
    if (t.record.wrong)
        fail_msg("%s: %d comparisons fail; first: %s", t.name, t.record.wrong, t.record.first);
}

/* -- wrong networks -- */

static const struct wrong {
    const char *title, *name;
    struct lang_define change;
    double eps;
    bool training; /* seen in the first step of training, else in evaluation */
} wrongs[] = {
    {"eps of the norms, tokens", "vit", {0}, 1e-5, false},
    {"eps of the norms, maps", "convnext", {0}, 1e-5, false},
    {"a block less, tokens", "vit", {"model.blocks.depth", "1"}, 0, false},
    {"a block less, maps", "convnext", {"model.s1.depth", "1"}, 0, false},
    {"top_k", "vit_top1", {"model.moe.top_k", "2"}, 0, false},
    {"renormalised", "convnext_top2", {"model.moe.renormalise", "true"}, 0, false},
    {"not renormalised", "vit_renormalised", {"model.moe.renormalise", "false"}, 0, false},
    {"a loss 1 % heavier, tokens", "vit_top1", {"model.moe.balance.importance", "1.01"}, 0, true},
    {"a loss 1 % heavier, maps", "convnext_top2", {"model.moe.balance.switch", "1.01"}, 0, true},
    {"noise 4 % wider", "vit_noise", {"model.moe.noise", "0.26"}, 0, true},
    {"larger groups", "vit_priority", {"model.moe.group", "8 images"}, 0, true},
    {"another order", "convnext_sequence", {"model.moe.order", "batch_priority"}, 0, true},
};
enum { WRONGS = sizeof wrongs / sizeof *wrongs };

static void test_wrong(void **state)
{
    const struct wrong *w = *state;
    struct trial t = open_trial(w->name, w->change.name ? &w->change : NULL, w->eps);
    if (w->training)
        same_steps(&t, 1);
    else
        same_evaluation(&t);
    close_trial(&t);
    printf("# %s: %s\n", w->title, t.record.first);
    if (!t.record.wrong)
        fail_msg("%s: not told from %s", w->title, w->name);
}

int main(void)
{
    struct CMUnitTest tests[NETWORKS + WRONGS];
    int n = 0;
    for (int i = 0; i < NETWORKS; i++)
        tests[n++] = record_test(networks[i], test_network, networks[i]);
    for (int i = 0; i < WRONGS; i++)
        tests[n++] = record_test(wrongs[i].title, test_wrong, &wrongs[i]);
    return record_main("vectors", tests, NETWORKS + WRONGS);
}
