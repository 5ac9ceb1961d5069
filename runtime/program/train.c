/* The command `train`: epochs of optimiser steps, an evaluation after each, and the files of the run folder.
 *
 * A step is `calls` calls of the network on `images` pictures each, whose gradients add up. Everything random in it
 * depends on the seed, the step and the place of a picture alone, so a training that was killed and resumed ends in the
 * same bits. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "runtime/base/file.h"
#include "runtime/base/thread.h"
#include "runtime/data/dataset.h"
#include "runtime/data/loader.h"
#include "runtime/io/adapt.h"
#include "runtime/io/progress.h"
#include "runtime/program/command.h"
#include "runtime/program/evaluate.h"
#include "runtime/program/model.h"
#include "runtime/program/options.h"
#include "runtime/program/run.h"
#include "runtime/program/schedule.h"
#include "runtime/program/settings.h"
#include "runtime/program/splits.h"

struct train {
    const struct vrt_options *o;
    struct vrt_settings s;
    struct vrt_model m;
    struct vrt_run run;
    struct vrt_position at;
    struct vrt_schedule schedule;
    struct vrt_dataset *train, *val;
    struct vrt_loader *loader;
    struct vrt_progress bar;
    char *classes;                      /* names, as a JSON list */
    int32_t *labels;
    int64_t images, calls, steps;       /* per call; calls per step; steps per epoch */
    int64_t end;                        /* steps of an epoch that are done: all, but in a dry run */
    double saved_at, save_took;         /* seconds */
};

static const double save_seconds = 120.0, save_share = 0.05;    /* how often, and of the time at most */
static volatile sig_atomic_t stop;      /* the signal that asks for an end */
static volatile sig_atomic_t save_now;  /* SIGUSR1 has come */

static void on_signal(int number)
{
    stop = number;
}

static void on_save(int number)
{
    (void)number;
    save_now = 1;
}

/* The first signal ends the training after the step, the second one at once; SIGUSR1 saves the state and goes on. A reader that goes
 * away (`| head`) does not end it. */
static void catch_signals(void)
{
    struct sigaction a = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART };
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    a = (struct sigaction){ .sa_handler = on_save, .sa_flags = SA_RESTART };
    sigemptyset(&a.sa_mask);
    sigaction(SIGUSR1, &a, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* Pictures per call: micro, or the whole batch where that is smaller. */
static bool plan_batch(struct train *t, struct vrt_error *e)
{
    int64_t micro = t->o->program->micro, batch = (int64_t)t->s.batch, group = t->m.group;
    if (batch < micro && batch % group == 0)
        micro = batch;
    if (batch % micro != 0 || micro % group != 0) {
        int64_t unit = batch < micro ? group : micro, low = batch / unit * unit;
        return vrt_fail(e, VRT_USAGE, "--batch %lld cannot be cut into calls of %lld images (the program's %s); take "
                        "%lld or %lld", (long long)batch, (long long)unit, unit == group ? "routing group" : "train.micro",
                        (long long)(low > 0 ? low : unit), (long long)(low + unit));
    }
    t->images = micro;
    t->calls = batch / micro;
    return true;
}

static bool plan_steps(struct train *t, struct vrt_error *e)
{
    int64_t pictures = vrt_dataset_count(t->train), batch = t->images * t->calls, limit = (int64_t)t->s.limit;
    if (limit > 0 && limit < pictures)
        pictures = limit;
    t->steps = pictures / batch;
    if (t->steps == 0)
        return vrt_fail(e, VRT_BAD_INPUT, "%s: %lld pictures to train on are fewer than one batch of %lld; set --batch to "
                        "at most %lld", vrt_dataset_describe(t->train), (long long)pictures, (long long)batch,
                        (long long)pictures);
    t->end = t->steps;
    t->schedule = vrt_schedule_make(&t->s, t->steps);
    if (t->schedule.warmup > t->schedule.total)
        fprintf(stderr, "note: the warm-up (%lld steps) is longer than the training (%lld steps)\n",
                (long long)t->schedule.warmup, (long long)t->schedule.total);
    return true;
}

static bool open_data(struct train *t, struct vrt_error *e)
{
    const struct vrt_settings *s = &t->s;
    if (!vrt_open_splits(s, &t->train, &t->val, e) || !vrt_check_classes(&t->m, t->train, e))
        return false;
    t->classes = vrt_classes_text(t->train);
    t->labels = calloc((size_t)t->images, sizeof *t->labels);
    return (t->classes != NULL && t->labels != NULL) || vrt_fail(e, VRT_BAD_INPUT, "no memory for the labels");
}

/* Weights at the beginning: from a file, else random. A state, if there is one, replaces them. */
static bool first_weights(struct train *t, struct vrt_error *e)
{
    struct vrt_adapt how;
    const char *path = vrt_run_weights(&t->run, t->o, &how);
    char *classes = NULL;
    if (!t->run.fresh)
        return true;
    how.seed = (uint64_t)t->s.seed;
    if (path == NULL && (how.upcycle || how.keep != NULL))
        return vrt_need_weights(t->o, e);
    if (path == NULL) {
        vrt_model_init(&t->m, (uint64_t)t->s.seed);
        return true;
    }
    bool ok = vrt_model_load(&t->m, path, &how, &classes, e);
    free(classes);
    return ok;
}

/* What stays the same in all calls. */
static void set_constants(struct train *t)
{
    struct vrt_ctx *c = &t->m.ctx;
    double batch = (double)(t->images * t->calls);
    c->images = t->images;
    c->seed = (uint64_t)t->s.seed;
    c->loss_scale = 1.0 / batch;
    c->balance_scale = (double)t->m.group / batch;
    c->drop_path = t->s.drop_path;
    c->weight_decay = t->s.weight_decay;
    c->beta1 = t->s.beta1;
    c->beta2 = t->s.beta2;
    c->eps = t->s.eps;
}

static bool open_train(struct train *t, struct vrt_error *e)
{
    const struct vrt_options *o = t->o;
    if (!vrt_run_open(&t->run, o, e) || !vrt_settings_read(&t->s, o, e) || !vrt_need_data(&t->s, o, e))
        return false;
    enum vrt_use use = t->s.ema > 0 ? VRT_FOR_TRAIN_EMA : VRT_FOR_TRAIN;
    if (!vrt_model_open(&t->m, o->program, use, vrt_threads_wanted(o), e) || !plan_batch(t, e) || !open_data(t, e) ||
        !plan_steps(t, e) || !first_weights(t, e) ||
        !vrt_run_begin(&t->run, o, t->train, t->images, &t->m, &t->at, e))
        return false;
    set_constants(t);
    t->m.program->pack_train(&t->m.ctx);
    t->saved_at = vrt_seconds();
    return true;
}

static void close_train(struct train *t)
{
    vrt_loader_close(t->loader);
    vrt_dataset_close(t->val);
    vrt_dataset_close(t->train);
    vrt_run_close(&t->run);
    vrt_model_close(&t->m);
    free(t->classes);
    free(t->labels);
}

/* What could not be written is no reason to lose the run: say how it goes on. */
static bool written(const struct train *t, bool ok, struct vrt_error *e)
{
    char text[sizeof e->text];
    if (ok)
        return true;
    snprintf(text, sizeof text, "%.600s", e->text);
    return vrt_fail(e, e->code, "%s; then go on with\n  %.60s train --resume --out %.300s", text, t->o->argv[0], t->run.folder);
}

static bool save_state(struct train *t, struct vrt_error *e)
{
    double began = vrt_seconds();
    save_now = 0;
    bool ok = written(t, vrt_run_save(&t->run, &t->m, &t->at, e), e);
    t->saved_at = vrt_seconds();
    t->save_took = t->saved_at - began;
    return ok;
}

static bool time_to_save(const struct train *t)
{
    if (save_now != 0)
        return true;
    if (t->o->save_every > 0)
        return t->at.step % t->o->save_every == 0;
    return vrt_seconds() - t->saved_at > fmax(save_seconds, t->save_took / save_share);
}

/* All calls of one step: gradients of the whole batch. */
static bool accumulate(struct train *t, double *loss, double *balance, struct vrt_error *e)
{
    struct vrt_ctx *c = &t->m.ctx;
    *loss = *balance = 0.0;
    c->step = (uint64_t)t->at.step;
    for (int64_t i = 0; i < t->calls; i++) {
        int64_t n;
        if (!vrt_loader_next(t->loader, vrt_model_floats(&t->m, VRT_INPUT), t->labels, &n, e))
            return false;
        if (n != t->images)
            return vrt_fail(e, VRT_INTERNAL, "the epoch ended after %lld pictures of a batch", (long long)(i * t->images + n));
        vrt_model_targets(&t->m, t->labels, n, t->s.label_smoothing);
        c->first_image = i * t->images;
        c->loss = c->balance_loss = 0.0;
        t->m.program->train(c);
        *loss += c->loss;
        *balance += c->balance_loss;
    }
    *loss *= c->loss_scale;
    *balance *= c->balance_scale;
    return true;
}

static bool not_finite(const struct train *t, const char *what, double value, struct vrt_error *e)
{
    return vrt_fail(e, VRT_BAD_INPUT, "epoch %lld, step %lld: %s is %s (lr %g). The training has stopped before it could "
                    "spoil the weights; %s%s%s. Try a lower --lr, a longer warm-up, or --set train.clip=1",
                    (long long)t->at.epoch + 1, (long long)t->at.step + 1, what, isnan(value) ? "not a number" : "infinite",
                    t->m.ctx.lr, t->run.sequence > 0 ? "the last state and weights in " : "nothing was saved yet",
                    t->run.sequence > 0 ? t->run.folder : "", t->run.sequence > 0 ? " are good" : "");
}

/* The optimiser's part of a step. */
static void update(struct train *t, double norm)
{
    struct vrt_ctx *c = &t->m.ctx;
    double count = (double)(t->at.step + 1);
    c->grad_scale = t->s.clip > 0 && norm > t->s.clip ? t->s.clip / norm : 1.0;
    c->bias1 = 1.0 - pow(t->s.beta1, count);
    c->bias2 = 1.0 - pow(t->s.beta2, count);
    c->ema_decay = t->s.ema > 0 ? vrt_schedule_ema(t->s.ema, t->at.step) : 0.0;
    t->m.program->update(c);
    t->m.program->pack_train(c);
    vrt_model_drain(&t->m);
}

static void show_bar(struct train *t, double loss, double speed)
{
    char rest[80], left[32];
    int64_t steps = t->schedule.total - t->at.step;
    double seconds = (double)(steps * t->images * t->calls) / (speed + 1e-9);
    snprintf(rest, sizeof rest, "run %s  loss %.4f", vrt_duration(left, seconds), loss);
    vrt_progress_show(&t->bar, t->at.batch, speed, rest);
}

static bool train_step(struct train *t, struct vrt_error *e)
{
    struct vrt_ctx *c = &t->m.ctx;
    double began = vrt_seconds(), loss, balance;
    c->lr = vrt_schedule_lr(&t->schedule, t->at.step);
    if (!accumulate(t, &loss, &balance, e))
        return false;
    if (!isfinite(loss + balance))
        return not_finite(t, "the loss", loss + balance, e);
    t->m.program->norm(c);
    double norm = sqrt(c->grad_norm2);
    if (!isfinite(norm))
        return not_finite(t, "the norm of the gradients", norm, e);
    update(t, norm);
    double seconds = vrt_seconds() - began, speed = (double)(t->images * t->calls) / (seconds + 1e-9);
    t->at.step++;
    t->at.batch++;
    t->at.epoch_loss += loss;
    t->at.epoch_balance += balance;
    t->at.epoch_seconds += seconds;
    struct vrt_step_record record = {
        .step = t->at.step, .epoch = t->at.epoch + 1, .loss = loss, .balance_loss = balance, .lr = c->lr, .grad_norm = norm,
        .images_per_s = speed,
    };
    show_bar(t, loss, speed);
    return written(t, vrt_metrics_step(&t->run.metrics, &record, e), e);
}

/* The steps of an epoch that are still to do. */
static bool train_steps(struct train *t, struct vrt_error *e)
{
    char title[64];
    struct vrt_loader_options lo = {
        .dataset = t->train, .transform = vrt_settings_transform(&t->s, t->m.program, true), .train = true,
        .batch = t->images, .epoch = t->at.epoch, .first_batch = t->at.batch * t->calls, .seed = (uint64_t)t->s.seed,
        .threads = vrt_threads_count(&t->m.ctx), .limit = (int64_t)t->s.limit,
    };
    if (t->at.batch == t->steps)
        return true;
    if (!vrt_loader_open(&t->loader, &lo, e))
        return false;
    snprintf(title, sizeof title, "epoch %lld/%lld", (long long)t->at.epoch + 1, (long long)t->s.epochs);
    vrt_progress_start(&t->bar, title, t->at.batch, t->steps);
    bool ok = true;
    while (ok && t->at.batch < t->end && stop == 0) {
        ok = train_step(t, e);
        if (ok && t->at.batch < t->steps && time_to_save(t))
            ok = save_state(t, e);
    }
    vrt_progress_clear(&t->bar);
    vrt_loader_close(t->loader);
    t->loader = NULL;
    return ok;
}

/* On the validation split, with the averaged weights where there are any: they stand in for PARAMS during the calls. */
static bool evaluate(struct train *t, struct vrt_score *score, struct vrt_error *e)
{
    struct vrt_ctx *c = &t->m.ctx;
    void *params = c->region[VRT_PARAMS];
    struct vrt_evaluation v = {
        .dataset = t->val, .transform = vrt_settings_transform(&t->s, t->m.program, false), .limit = (int64_t)t->s.limit,
        .stop = &stop,
    };
    if (c->region[VRT_EMA] != NULL) {
        c->region[VRT_PARAMS] = c->region[VRT_EMA];
        t->m.program->pack_eval(c);
    }
    bool ok = vrt_evaluate(&t->m, &v, score, e);
    c->region[VRT_PARAMS] = params;
    c->images = t->images;
    if (c->region[VRT_EMA] != NULL)
        t->m.program->pack_train(c);
    if (t->m.bytes[VRT_BALANCE] > 0)
        memset(c->region[VRT_BALANCE], 0, (size_t)t->m.bytes[VRT_BALANCE]);
    return ok;
}

/* How the choices of the epoch's training spread over the experts. */
static void print_loads(const struct train *t)
{
    const struct vrt_program *p = t->m.program;
    for (int64_t i = 0; i < p->nmoes; i++) {
        const struct vrt_moe *moe = &p->moes[i];
        const double *chosen = t->m.balance + moe->balance_offset / 4, *dropped = chosen + moe->experts;
        double all = 0.0, lost = 0.0;
        for (int32_t j = 0; j < moe->experts; j++) {
            all += chosen[j];
            lost += dropped[j];
        }
        printf("  %-14s load", moe->name);
        for (int32_t j = 0; j < moe->experts; j++)
            printf(" %.1f", all > 0 ? 100.0 * chosen[j] / all : 0.0);
        printf(" %%  dropped %.2f %%\n", all > 0 ? 100.0 * lost / all : 0.0);
    }
}

static void print_epoch(const struct train *t, const struct vrt_epoch_record *r, bool best)
{
    char text[1024], took[32];
    double n = r->val.images > 0 ? (double)r->val.images : 1.0;
    if (t->o->json) {
        vrt_metrics_epoch_text(text, sizeof text, r);
        printf("%s\n", text);
    } else {
        printf("epoch %lld/%lld  loss %.4f  val top-1 %lld/%lld %.2f %%  top-5 %.2f %%  val loss %.4f  lr %.3g  "
               "%.0f img/s  %s%s\n", (long long)r->epoch, (long long)t->s.epochs, r->train_loss, (long long)r->val.top1,
               (long long)r->val.images, 100.0 * (double)r->val.top1 / n, 100.0 * (double)r->val.top5 / n,
               r->val.loss / n, r->lr, r->images_per_s, vrt_duration(took, r->seconds), best ? "  best" : "");
        print_loads(t);
    }
    fflush(stdout);
}

static bool save_weights(const struct train *t, const char *name, struct vrt_error *e)
{
    char path[PATH_MAX];
    enum vrt_region region = t->m.ctx.region[VRT_EMA] != NULL ? VRT_EMA : VRT_PARAMS;
    return written(t, vrt_model_save(&t->m, region, vrt_run_path(&t->run, name, path), t->classes, e), e);
}

/* The end of an epoch. The state comes last: until it is saved, a resumed run does all of this again, with the same
 * result. */
static bool end_epoch(struct train *t, struct vrt_error *e)
{
    struct vrt_epoch_record r = { .step = t->at.step, .epoch = t->at.epoch + 1, .seconds = t->at.epoch_seconds };
    double steps = (double)t->steps;
    if (!evaluate(t, &r.val, e))
        return false;
    if (stop != 0)
        return true;
    r.lr = vrt_schedule_lr(&t->schedule, t->at.step - 1);
    r.train_loss = t->at.epoch_loss / steps;
    r.balance_loss = t->at.epoch_balance / steps;
    r.images_per_s = steps * (double)(t->images * t->calls) / (r.seconds + 1e-9);
    bool best = r.val.top1 > t->at.best_top1;
    if (!written(t, vrt_metrics_epoch(&t->run.metrics, &r, e), e) || (best && !save_weights(t, "best.safetensors", e)) ||
        !save_weights(t, "last.safetensors", e))
        return false;
    if (best) {
        t->at.best_top1 = r.val.top1;
        t->at.best_epoch = r.epoch;
    }
    print_epoch(t, &r, best);
    vrt_model_reset_balance(&t->m);
    t->at.epoch++;
    t->at.batch = 0;
    t->at.epoch_loss = t->at.epoch_balance = t->at.epoch_seconds = 0.0;
    return save_state(t, e);
}

static void print_start(const struct train *t)
{
    const struct vrt_program *p = t->m.program;
    if (t->o->json)
        return;
    printf("%s: train on %s\n  evaluate on %s\n  batch %lld = %lld x %lld, %lld steps per epoch, %lld epochs, seed %lld, %d threads, "
           "into %s\n", p->name, vrt_dataset_describe(t->train), vrt_dataset_describe(t->val), (long long)(t->images * t->calls),
           (long long)t->calls, (long long)t->images, (long long)t->steps, (long long)t->s.epochs, (long long)t->s.seed,
           vrt_threads_count(&t->m.ctx), t->run.folder);
    if (!t->run.fresh)
        printf("  going on after step %lld of %lld\n", (long long)t->at.step, (long long)t->schedule.total);
    fflush(stdout);
}

static int stopped(struct train *t, struct vrt_error *e)
{
    if (!save_state(t, e))
        return e->code;
    fprintf(stderr, "stopped after step %lld of %lld; the state is saved, go on with\n  %s train --resume --out %s\n",
            (long long)t->at.step, (long long)t->schedule.total, t->o->argv[0], t->run.folder);
    return 128 + (int)stop;
}

/* -- a dry run: in a folder that goes away -- */

struct dry { double step, evaluate, save; };            /* seconds: of a step, of evaluating a picture, of saving */

/* The first step warms up; the others are measured. */
static bool try_all(struct train *t, struct dry *d, struct vrt_error *e)
{
    struct vrt_score score;
    t->end = 1;
    if (!train_steps(t, e))
        return false;
    t->at.epoch_seconds = t->steps > 1 ? 0.0 : t->at.epoch_seconds;
    t->end = t->steps < 4 ? t->steps : 4;
    if (!train_steps(t, e))
        return false;
    d->step = t->at.epoch_seconds / (double)(t->end > 1 ? t->end - 1 : 1);
    double began = vrt_seconds(), limit = t->s.limit;
    t->s.limit = 2.0 * (double)t->m.program->micro;
    if (!evaluate(t, &score, e))
        return false;
    t->s.limit = limit;
    d->evaluate = (vrt_seconds() - began) / (double)(score.images > 0 ? score.images : 1);
    began = vrt_seconds();
    bool ok = save_weights(t, "last.safetensors", e) && save_state(t, e);
    d->save = vrt_seconds() - began;
    return ok;
}

static void tell_dry(const struct train *t, const struct dry *d)
{
    struct rusage use;
    char epoch[32], all[32];
    double pictures = (double)vrt_dataset_count(t->val), batch = (double)(t->images * t->calls);
    pictures = t->s.limit > 0 && t->s.limit < pictures ? t->s.limit : pictures;
    double seconds = d->step * (double)t->steps + d->evaluate * pictures + d->save;
    getrusage(RUSAGE_SELF, &use);
    if (t->o->json)
        printf("{\"step_seconds\":%.6f,\"images_per_s\":%.3f,\"epoch_seconds\":%.3f,\"train_seconds\":%.1f,\"save_seconds\":%.3f,"
               "\"memory_bytes\":%lld}\n", d->step, batch / (d->step + 1e-9), seconds, seconds * t->s.epochs, d->save,
               (long long)use.ru_maxrss * 1024);
    else
        printf("dry run: a step takes %.3f s (%.0f img/s), an epoch with its evaluation %s, %lld epochs %s; memory %.0f MiB; "
               "nothing was kept\n", d->step, batch / (d->step + 1e-9), vrt_duration(epoch, seconds), (long long)t->s.epochs,
               vrt_duration(all, seconds * t->s.epochs), (double)use.ru_maxrss / 1024);
}

static int dry_run(const struct vrt_options *given, struct vrt_error *e)
{
    struct vrt_options o = *given;
    struct train t = { .o = &o, .run = { .lock = -1, .metrics = { .jsonl = -1, .csv = -1 } } };
    struct dry d = { 0, 0, 0 };
    char folder[PATH_MAX];
    const char *where = getenv("TMPDIR");
    if (given->resume) {
        vrt_fail(e, VRT_USAGE, "--dry-run starts afresh; leave out --resume");
        return (int)e->code;
    }
    snprintf(folder, sizeof folder, "%.2000s/vmoe-dry-XXXXXX", where != NULL && where[0] == '/' ? where : "/tmp");
    if (mkdtemp(folder) == NULL) {
        vrt_fail(e, VRT_BAD_INPUT, "cannot make a folder like %s: %s; set TMPDIR to one with room", folder, strerror(errno));
        return (int)e->code;
    }
    o.out = folder;
    bool ok = open_train(&t, e);
    if (ok) {
        catch_signals();
        print_start(&t);
    }
    ok = ok && try_all(&t, &d, e);
    if (ok && stop == 0)
        tell_dry(&t, &d);
    close_train(&t);
    vrt_folder_remove(folder);
    return !ok ? (int)e->code : stop != 0 ? 128 + (int)stop : VRT_OK;
}

int vrt_command_train(const struct vrt_options *o, struct vrt_error *e)
{
    if (o->dry_run)
        return dry_run(o, e);
    struct train t = { .o = o, .run = { .lock = -1, .metrics = { .jsonl = -1, .csv = -1 } } };
    bool ok = open_train(&t, e);
    int status = VRT_OK;
    if (ok) {
        catch_signals();
        print_start(&t);
    }
    while (ok && stop == 0 && t.at.epoch < (int64_t)t.s.epochs)
        ok = train_steps(&t, e) && (stop != 0 || end_epoch(&t, e));
    if (ok && t.at.epoch < (int64_t)t.s.epochs)
        status = stopped(&t, e);
    else if (ok && !o->json)
        printf("done: best top-1 %lld after epoch %lld; weights in %s/best.safetensors\n", (long long)t.at.best_top1,
               (long long)t.at.best_epoch, t.run.folder);
    close_train(&t);
    return ok ? status : (int)e->code;
}
