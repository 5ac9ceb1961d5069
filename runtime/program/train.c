/* The command `train`: epochs of steps until all are done or a signal comes. */
#include <stdio.h>

#include "runtime/base/thread.h"
#include "runtime/data/dataset.h"
#include "runtime/program/command.h"
#include "runtime/program/keep.h"
#include "runtime/program/message.h"
#include "runtime/program/options.h"
#include "runtime/program/signals.h"
#include "runtime/program/training.h"

/* Choosing the best epoch by the test set is learning from it. */
static void tell_stand_in(const struct vrt_training *t)
{
    char text[1400];
    snprintf(text, sizeof text,
             "%.900s has no validation set, so its `%.200s` stands in: the best epoch is chosen by "
             "it, and its result is better than that of new pictures; --holdout 0.1 takes a part "
             "of the training split instead",
             t->s.data_root, t->run.stand_in);
    vrt_message("note", text);
}

void vrt_training_tell(const struct vrt_training *t)
{
    const struct vrt_program *p = t->m.program;
    if (t->run.stand_in != NULL)
        tell_stand_in(t);
    if (t->o->json)
        return;
    vrt_print(
        stdout,
        "%s: train on %s\n  evaluate on %s\n  batch %lld = %lld x %lld, %lld steps per epoch, "
        "%lld epochs, seed %lld, %d threads, "
        "into %s\n",
        p->name, vrt_dataset_describe(t->train), vrt_dataset_describe(t->val),
        (long long)(t->images * t->calls), (long long)t->calls, (long long)t->images,
        (long long)t->steps, (long long)t->s.epochs, (long long)t->s.seed,
        vrt_threads_count(&t->m.ctx), t->run.folder);
    if (t->s.overfit > 0)
        vrt_print(stdout,
                  "  overfit: %lld pictures, no augmentation, drop path or smoothing, evaluated on "
                  "themselves; the loss should\n"
                  "  fall towards 0 and all become hits. If they do not, look for a mistake in the "
                  "network, the labels (check-data)\n"
                  "  or the learning rate\n",
                  (long long)t->s.overfit);
    if (!t->run.fresh)
        vrt_print(stdout, "  going on after step %lld of %lld\n", (long long)t->at.step,
                  (long long)t->schedule.total);
    fflush(stdout);
}

static int stopped(struct vrt_training *t, struct vrt_error *e)
{
    if (!vrt_training_save_state(t, e))
        return e->code;
    char command[VRT_COMMAND];
    vrt_messagef(NULL, "stopped after step %lld of %lld; the state is saved, go on with\n  %s",
                 (long long)t->at.step, (long long)t->schedule.total,
                 vrt_training_command(t, command));
    return 128 + (int)vrt_stop_signal;
}

static void tell_end(const struct vrt_training *t)
{
    if (t->at.skipped > 0 || t->at.went_back > 0)
        vrt_print(stdout,
                  "steps skipped: %lld, returns to an earlier state: %lld; the warnings in "
                  "metrics.jsonl tell more\n",
                  (long long)t->at.skipped, (long long)t->at.went_back);
    if (t->at.epoch < (int64_t)t->s.epochs)
        vrt_print(stdout, "no better top-1 for %lld epochs (train.patience): ",
                  (long long)(t->at.epoch - t->at.best_epoch));
    vrt_print(stdout, "done: best top-1 %lld after epoch %lld; weights in %s/best.safetensors\n",
              (long long)t->at.best_top1, (long long)t->at.best_epoch, t->run.folder);
}

/* The page is made again after the next epoch; of a training that is done it is a result like the
 * others. */
static bool report(const struct vrt_training *t, bool ended, bool done, struct vrt_error *e)
{
    struct vrt_error why;
    if (vrt_training_report(t, ended, &why))
        return true;
    if (done)
        *e = why;
    else
        vrt_message("note", why.text);
    return !done;
}

int vrt_command_train(const struct vrt_options *o, struct vrt_error *e)
{
    if (o->dry_run)
        return vrt_dry_run(o, e);
    if (!o->json)
        vrt_message_may_be_lost();
    struct vrt_training t;
    vrt_signals_open(NULL);
    bool ok = vrt_training_open(&t, o, e);
    int status = VRT_OK;
    if (ok)
        vrt_training_tell(&t);
    bool began = ok;
    while (ok && vrt_stop_signal == 0 && !vrt_training_over(&t)) {
        ok = vrt_training_steps(&t, e) && (vrt_stop_signal != 0 || vrt_training_end_epoch(&t, e));
        if (ok && vrt_stop_signal == 0 && !vrt_training_over(&t))
            report(&t, false, false, e);
    }
    if (ok && !vrt_training_over(&t))
        status = stopped(&t, e);
    else if (ok && !o->json)
        tell_end(&t);
    if (began && !report(&t, true, ok && status == VRT_OK, e))
        ok = false;
    vrt_training_close(&t);
    return ok ? status : (int)e->code;
}
