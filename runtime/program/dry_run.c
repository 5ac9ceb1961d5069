/* `train --dry-run`: a few steps, an evaluation and a save, in a folder that goes away. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "runtime/base/file.h"
#include "runtime/base/thread.h"
#include "runtime/data/dataset.h"
#include "runtime/program/message.h"
#include "runtime/program/options.h"
#include "runtime/program/signals.h"
#include "runtime/program/training.h"

struct dry {
    double step, evaluate, save;
}; /* seconds: of a step, of evaluating a picture, of saving */

/* The first step warms up; the others are measured. */
static bool try_all(struct vrt_training *t, struct dry *d, struct vrt_error *e)
{
    struct vrt_score score;
    t->end = 1;
    if (!vrt_training_steps(t, e))
        return false;
    t->at.epoch_seconds = t->steps > 1 ? 0.0 : t->at.epoch_seconds;
    t->end = t->steps < 4 ? t->steps : 4;
    if (!vrt_training_steps(t, e))
        return false;
    d->step = t->at.epoch_seconds / (double)(t->end > 1 ? t->end - 1 : 1);
    double began = vrt_seconds(), limit = t->s.limit;
    t->s.limit = 2.0 * (double)t->m.program->micro;
    if (!vrt_training_evaluate(t, NULL, &score, e))
        return false;
    t->s.limit = limit;
    d->evaluate = (vrt_seconds() - began) / (double)(score.images > 0 ? score.images : 1);
    began = vrt_seconds();
    bool ok = vrt_training_save_weights(t, "last.safetensors", e) && vrt_training_save_state(t, e);
    d->save = vrt_seconds() - began;
    return ok;
}

static void tell_dry(const struct vrt_training *t, const struct dry *d)
{
    struct rusage use;
    char epoch[32], all[32];
    double pictures = (double)vrt_dataset_count(t->val), batch = (double)(t->images * t->calls);
    pictures = t->s.limit > 0 && t->s.limit < pictures ? t->s.limit : pictures;
    double seconds = d->step * (double)t->steps + d->evaluate * pictures + d->save;
    getrusage(RUSAGE_SELF, &use);
    if (t->o->json)
        vrt_print(stdout,
                  "{\"step_seconds\":%.6f,\"images_per_s\":%.3f,\"epoch_seconds\":%.3f,\"train_"
                  "seconds\":%.1f,\"save_seconds\":%.3f,"
                  "\"memory_bytes\":%lld}\n",
                  d->step, batch / (d->step + 1e-9), seconds, seconds * t->s.epochs, d->save,
                  (long long)use.ru_maxrss * 1024);
    else
        vrt_print(
            stdout,
            "dry run: a step takes %.3f s (%.0f img/s), an epoch with its evaluation %s, %lld "
            "epochs %s; memory %.0f MiB; "
            "nothing was kept\n",
            d->step, batch / (d->step + 1e-9), vrt_duration(epoch, seconds), (long long)t->s.epochs,
            vrt_duration(all, seconds * t->s.epochs), (double)use.ru_maxrss / 1024);
}

int vrt_dry_run(const struct vrt_options *given, struct vrt_error *e)
{
    struct vrt_options o = *given;
    struct vrt_training t;
    struct dry d = {0, 0, 0};
    char folder[PATH_MAX];
    const char *where = getenv("TMPDIR");
    if (given->resume) {
        vrt_fail(e, VRT_USAGE, "--dry-run starts afresh; leave out --resume");
        return (int)e->code;
    }
    snprintf(folder, sizeof folder, "%.2000s/vmoe-dry-XXXXXX",
             where != NULL && where[0] == '/' ? where : "/tmp");
    if (mkdtemp(folder) == NULL) {
        vrt_fail(e, VRT_BAD_INPUT, "cannot make a folder like %s: %s; set TMPDIR to one with room",
                 folder, strerror(errno));
        return (int)e->code;
    }
    vrt_signals_open(folder);
    o.out = folder;
    bool ok = vrt_training_open(&t, &o, e);
    if (ok)
        vrt_training_tell(&t);
    ok = ok && try_all(&t, &d, e);
    if (ok && vrt_stop_signal == 0)
        tell_dry(&t, &d);
    vrt_training_close(&t);
    vrt_folder_remove(folder);
    return !ok ? (int)e->code : vrt_stop_signal != 0 ? 128 + (int)vrt_stop_signal : VRT_OK;
}
