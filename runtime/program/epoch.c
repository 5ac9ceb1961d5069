/* Steps, and what ends an epoch: see training.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/claim.h"
#include "runtime/base/thread.h"
#include "runtime/data/dataset.h"
#include "runtime/data/loader.h"
#include "runtime/program/analysis.h"
#include "runtime/program/faults.h"
#include "runtime/program/keep.h"
#include "runtime/program/message.h"
#include "runtime/program/options.h"
#include "runtime/program/signals.h"
#include "runtime/program/states.h"
#include "runtime/program/training.h"

static const double save_seconds = 120.0,
                    save_share = 0.05; /* how often, and of the time at most */

/* What could not be written is no reason to lose the run: say how it goes on. Of a dry run nothing
 * is left to go on with. */
static bool written(const struct vrt_training *t, bool ok, struct vrt_error *e)
{
    char text[sizeof e->text], command[VRT_COMMAND];
    if (ok || t->o->dry_run)
        return ok;
    snprintf(text, sizeof text, "%.600s", e->text);
    return vrt_fail(e, e->code, "%s; then go on with\n  %s", text,
                    vrt_training_command(t, command));
}

bool vrt_training_save_state(struct vrt_training *t, struct vrt_error *e)
{
    double began = vrt_seconds();
    if (!vrt_claim_holds(t->run.claim, e))
        return false;
    vrt_save_signal = 0;
    bool ok = written(t, vrt_run_save(&t->run, &t->m, &t->at, e), e);
    t->saved_at = vrt_seconds();
    t->save_took = t->saved_at - began;
    return ok;
}

static bool time_to_save(const struct vrt_training *t)
{
    if (vrt_save_signal != 0)
        return true;
    if (t->at.in_row > 0 ||
        t->at.batch ==
            t->steps) /* these weights may be the ones that fail; the epoch's end saves */
        return false;
    if (t->o->save_every > 0)
        return t->at.step % t->o->save_every == 0;
    return vrt_seconds() - t->saved_at > fmax(save_seconds, t->save_took / save_share);
}

/* One way for the whole batch. */
static struct vrt_mix draw_mix(const struct vrt_training *t)
{
    const struct vrt_mix_options o = vrt_settings_mix(&t->s);
    struct vrt_random random;
    vrt_random_start(&random, (uint64_t)t->s.seed, VRT_RANDOM_MIX, (uint32_t)t->at.epoch,
                     (uint32_t)t->at.batch);
    return vrt_mix_draw(&o, (int)t->m.program->height, (int)t->m.program->width, &random);
}

/* All calls of one step: gradients of the whole batch. *bad is the first call whose loss is not
 * finite, else -1. */
static bool accumulate(struct vrt_training *t, double *loss, double *balance, int64_t *bad,
                       struct vrt_error *e)
{
    const struct vrt_program *p = t->m.program;
    struct vrt_ctx *c = &t->m.ctx;
    *loss = *balance = 0.0;
    *bad = -1;
    t->step_unread = 0;
    c->step = (uint64_t)t->at.step;
    struct vrt_mix mix = draw_mix(t);
    for (int64_t i = 0; i < t->calls; i++) {
        int64_t n;
        if (!vrt_loader_next(t->loader, vrt_model_floats(&t->m, VRT_INPUT), t->labels, &n, e))
            return false;
        if (n != t->images)
            return vrt_fail(e, VRT_INTERNAL, "the epoch ended after %lld pictures of a batch",
                            (long long)(i * t->images + n));
        if (!vrt_training_unread(t, e))
            return false;
        vrt_mix_apply(&mix, vrt_model_floats(&t->m, VRT_INPUT), n, t->group, (int)p->height,
                      (int)p->width, (int)p->channels);
        vrt_model_targets(&t->m, t->labels, n, t->s.label_smoothing, &mix, t->group);
        c->first_image = i * t->images;
        c->loss = c->balance_loss = 0.0;
        t->m.program->train(c);
        *loss += c->loss;
        *balance += c->balance_loss;
        if (*bad < 0 && !isfinite(c->loss + c->balance_loss))
            *bad = i;
    }
    *loss *= c->loss_scale;
    *balance *= c->balance_scale;
    return true;
}

/* The optimiser's part of a step. */
static void update(struct vrt_training *t, double norm)
{
    struct vrt_ctx *c = &t->m.ctx;
    vrt_schedule_update(&t->s, t->at.step, norm, c);
    t->m.program->update(c);
    t->m.program->pack_train(c);
    vrt_model_drain(&t->m);
}

static void show_bar(struct vrt_training *t, double loss, double speed)
{
    char rest[80], left[32];
    int64_t steps = t->schedule.total - t->at.step;
    double seconds = (double)(steps * t->images * t->calls) / (speed + 1e-9);
    snprintf(rest, sizeof rest, "run %s  loss %.4f", vrt_duration(left, seconds), loss);
    vrt_progress_show(&t->bar, t->at.batch, speed, rest);
}

/* What a step with a finite result adds to the training. */
static bool count_step(struct vrt_training *t, double loss, double balance, double norm,
                       double seconds, struct vrt_error *e)
{
    double speed = (double)(t->images * t->calls) / (seconds + 1e-9);
    t->at.step++;
    t->at.batch++;
    t->at.in_row = 0;
    t->at.epoch_loss += loss;
    t->at.epoch_balance += balance;
    t->at.epoch_seconds += seconds;
    struct vrt_step_record record = {
        .step = t->at.step,
        .epoch = t->at.epoch + 1,
        .loss = loss,
        .balance_loss = balance,
        .lr = t->m.ctx.lr,
        .grad_norm = norm,
        .images_per_s = speed,
    };
    show_bar(t, loss, speed);
    return written(t, vrt_metrics_step(&t->run.metrics, &record, e), e);
}

/* The copies of a picture stand in one batch, or nearly, and never in one group. */
static int64_t copies_apart(const struct vrt_training *t)
{
    int64_t apart = t->images * t->calls / (int64_t)t->s.repeat;
    return apart > t->group ? apart / t->group * t->group : t->group;
}

static bool train_step(struct vrt_training *t, bool *back, struct vrt_error *e)
{
    struct vrt_ctx *c = &t->m.ctx;
    double began = vrt_seconds(), loss, balance;
    int64_t bad;
    if (!vrt_claim_holds(t->run.claim, e))
        return false;
    c->lr = t->at.lr_factor * vrt_schedule_lr(&t->schedule, t->at.step);
    if (!accumulate(t, &loss, &balance, &bad, e))
        return vrt_training_keep(t, e);
    t->at.epoch_unread += t->step_unread;
    if (!isfinite(loss + balance))
        return vrt_training_skip(t, "the loss", loss + balance, bad, back, e);
    t->m.program->norm(c);
    double norm = sqrt(c->grad_norm2);
    if (!isfinite(norm))
        return vrt_training_skip(t, "the norm of the gradients", norm, -1, back, e);
    update(t, norm);
    return count_step(t, loss, balance, norm, vrt_seconds() - began, e);
}

/* The steps of an epoch that are still to do, until the training goes back to another place. */
static bool run_steps(struct vrt_training *t, bool *back, struct vrt_error *e)
{
    char title[64];
    bool plain = t->s.overfit > 0;
    struct vrt_loader_options lo = {
        .dataset = t->train,
        .transform = vrt_settings_transform(&t->s, t->m.program, !plain),
        .train = true,
        .plain = plain,
        .batch = t->images,
        .epoch = t->at.epoch,
        .first_batch = t->at.batch * t->calls,
        .seed = (uint64_t)t->s.seed,
        .threads = vrt_threads_count(&t->m.ctx),
        .limit = (int64_t)t->s.limit,
        .copies = (int64_t)t->s.repeat,
        .apart = copies_apart(t),
    };
    *back = false;
    if (t->at.batch == t->steps)
        return true;
    if (!vrt_loader_open(&t->loader, &lo, e))
        return false;
    snprintf(title, sizeof title, "epoch %lld/%lld", (long long)t->at.epoch + 1,
             (long long)t->s.epochs);
    vrt_progress_start(&t->bar, title, t->at.batch, t->steps);
    bool ok = true;
    while (ok && !*back && t->at.batch < t->end && vrt_stop_signal == 0) {
        ok = train_step(t, back, e);
        if (ok && !*back && time_to_save(t))
            ok = vrt_training_save_state(t, e);
    }
    vrt_progress_clear(&t->bar);
    vrt_loader_close(t->loader);
    t->loader = NULL;
    return ok;
}

bool vrt_training_steps(struct vrt_training *t, struct vrt_error *e)
{
    bool back, ok;
    do
        ok = run_steps(t, &back, e);
    while (ok && back);
    return ok;
}

/* On the validation split, with the averaged weights where there are any: they stand in for PARAMS
 * during the calls. */
bool vrt_training_evaluate(struct vrt_training *t, struct vrt_analysis *a, struct vrt_score *score,
                           struct vrt_error *e)
{
    struct vrt_ctx *c = &t->m.ctx;
    void *params = c->region[VRT_PARAMS];
    struct vrt_evaluation v = {
        .dataset = t->val,
        .transform = vrt_settings_transform(&t->s, t->m.program, false),
        .limit = (int64_t)t->s.limit,
        .stop = &vrt_stop_signal,
        .unread = &t->unread,
        .verdicts = a != NULL ? a->verdicts : NULL,
        .experts = a != NULL ? &a->experts : NULL,
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
static void print_loads(const struct vrt_training *t)
{
    const struct vrt_program *p = t->m.program;
    for (int64_t i = 0; i < p->nmoes; i++) {
        const struct vrt_moe *moe = &p->moes[i];
        const double *chosen = t->m.balance + moe->balance_offset / 4,
                     *dropped = chosen + moe->experts;
        double all = 0.0, lost = 0.0;
        for (int32_t j = 0; j < moe->experts; j++) {
            all += chosen[j];
            lost += dropped[j];
        }
        vrt_print(stdout, "  %-14s load", moe->name);
        for (int32_t j = 0; j < moe->experts; j++)
            vrt_print(stdout, " %.1f", all > 0 ? 100.0 * chosen[j] / all : 0.0);
        vrt_print(stdout, " %%  dropped %.2f %%\n", all > 0 ? 100.0 * lost / all : 0.0);
    }
}

static bool print_epoch(const struct vrt_training *t, const struct vrt_epoch_record *r, bool best,
                        struct vrt_error *e)
{
    char took[32], unread[60] = "";
    if (r->val.unread > 0)
        snprintf(unread, sizeof unread, "  %lld unreadable", (long long)r->val.unread);
    double n = r->val.images > 0 ? (double)r->val.images : 1.0;
    if (t->o->json) {
        struct vrt_buffer b = {0};
        bool ok = vrt_metrics_epoch_text(&b, r, e);
        if (ok)
            fwrite(b.data, 1, b.size, stdout);
        vrt_buffer_free(&b);
        if (!ok)
            return false;
    } else {
        vrt_print(
            stdout,
            "epoch %lld/%lld  loss %.4f  val top-1 %lld/%lld %.2f %%  top-5 %.2f %%  val loss "
            "%.4f  lr %.3g  "
            "%.0f img/s  %s%s%s\n",
            (long long)r->epoch, (long long)t->s.epochs, r->train_loss, (long long)r->val.top1,
            (long long)r->val.images, 100.0 * (double)r->val.top1 / n,
            100.0 * (double)r->val.top5 / n, r->val.loss / n, r->lr, r->images_per_s,
            vrt_duration(took, r->seconds), unread, best ? "  best" : "");
        print_loads(t);
    }
    fflush(stdout);
    return true;
}

bool vrt_training_save_weights(const struct vrt_training *t, const char *name, struct vrt_error *e)
{
    char path[PATH_MAX];
    enum vrt_region region = t->m.ctx.region[VRT_EMA] != NULL ? VRT_EMA : VRT_PARAMS;
    return written(
        t, vrt_model_save(&t->m, region, vrt_run_path(&t->run, name, path), t->classes, e), e);
}

static bool write_analysis(const struct vrt_training *t, const struct vrt_analysis *a,
                           const struct vrt_epoch_record *r, struct vrt_error *e)
{
    char path[PATH_MAX];
    return written(
        t, vrt_analysis_write(a, vrt_run_path(&t->run, "analysis.json", path), r, t->classes, e),
        e);
}

/* The state comes last: until it is saved, a resumed run does all of this again, with the same
 * result. */
static bool record_epoch(struct vrt_training *t, const struct vrt_analysis *a,
                         struct vrt_epoch_record r, struct vrt_error *e)
{
    double steps = (double)(t->steps - t->at.epoch_skipped);
    r.lr = t->at.lr_factor * vrt_schedule_lr(&t->schedule, t->at.step - 1);
    r.train_loss = steps > 0 ? t->at.epoch_loss / steps : NAN;
    r.balance_loss = steps > 0 ? t->at.epoch_balance / steps : NAN;
    r.images_per_s = steps * (double)(t->images * t->calls) / (r.seconds + 1e-9);
    bool best;
    if (!vrt_claim_holds(t->run.claim, e) ||
        !written(t, vrt_metrics_epoch(&t->run.metrics, &r, e), e) || !write_analysis(t, a, &r, e) ||
        !vrt_keep_best(t, r.epoch, r.val.top1, &best, e) ||
        !vrt_training_save_weights(t, "last.safetensors", e) ||
        !written(t, vrt_training_review(t, e), e))
        return false;
    if (!print_epoch(t, &r, best, e))
        return false;
    vrt_model_reset_balance(&t->m);
    t->at.epoch++;
    t->at.batch = 0;
    t->at.epoch_loss = t->at.epoch_balance = t->at.epoch_seconds = 0.0;
    t->at.epoch_skipped = t->at.epoch_unread = 0;
    if (t->at.in_row > 0 && t->run.sequence > 0 && !vrt_training_over(t))
        return true; /* the older states are needed yet: from them this end comes again */
    return vrt_training_save_state(t, e);
}

bool vrt_training_end_epoch(struct vrt_training *t, struct vrt_error *e)
{
    struct vrt_epoch_record r = {
        .step = t->at.step,
        .epoch = t->at.epoch + 1,
        .seconds = t->at.epoch_seconds,
        .moes = t->m.program->moes,
        .nmoes = t->m.program->nmoes,
        .balance = t->m.balance,
    };
    struct vrt_analysis a;
    bool ok = vrt_analysis_open(&a, t->m.program, vrt_dataset_count(t->val), e) &&
              (vrt_training_evaluate(t, &a, &r.val, e) || vrt_training_keep(t, e));
    if (ok && vrt_stop_signal == 0)
        ok = record_epoch(t, &a, r, e);
    vrt_analysis_close(&a);
    return ok;
}
