/* The best weights: see keep.h. */
#include "runtime/program/keep.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/program/training.h"

static const char *file_name(char text[64], int64_t epoch)
{
    snprintf(text, 64, "epoch-%04lld.safetensors", (long long)epoch);
    return text;
}

static bool remove_file(const struct vrt_training *t, int64_t epoch, struct vrt_error *e)
{
    char name[64], path[PATH_MAX];
    vrt_run_path(&t->run, file_name(name, epoch), path);
    return unlink(path) == 0 || errno == ENOENT ||
           vrt_fail(e, VRT_BAD_INPUT, "cannot remove %.900s: %s", path, strerror(errno));
}

/* After a return to an earlier state an epoch comes again, and its file is written over. */
static void forget(struct vrt_position *at, int64_t epoch)
{
    int64_t n = 0;
    for (int64_t i = 0; i < at->nkept; i++)
        if (at->kept[i].epoch != epoch)
            at->kept[n++] = at->kept[i];
    at->nkept = n;
}

/* The list falls by hits; of equal ones the earlier epoch stands first. */
static bool keep_among(struct vrt_training *t, int64_t epoch, int64_t top1, int64_t most,
                       struct vrt_error *e)
{
    struct vrt_kept *kept = t->at.kept;
    char name[64];
    int64_t place = 0;
    forget(&t->at, epoch);
    while (place < t->at.nkept && kept[place].top1 >= top1)
        place++;
    if (place >= most)
        return true;
    if (!vrt_training_save_weights(t, file_name(name, epoch), e))
        return false;
    if (t->at.nkept == most && !remove_file(t, kept[most - 1].epoch, e))
        return false;
    t->at.nkept += t->at.nkept < most;
    memmove(kept + place + 1, kept + place, (size_t)(t->at.nkept - 1 - place) * sizeof *kept);
    kept[place] = (struct vrt_kept){epoch, top1};
    return true;
}

bool vrt_keep_best(struct vrt_training *t, int64_t epoch, int64_t top1, bool *best,
                   struct vrt_error *e)
{
    int64_t most = (int64_t)t->s.keep_best;
    *best = top1 > t->at.best_top1;
    if ((*best && !vrt_training_save_weights(t, "best.safetensors", e)) ||
        (most > 1 && !keep_among(t, epoch, top1, most, e)))
        return false;
    if (*best) {
        t->at.best_top1 = top1;
        t->at.best_epoch = epoch;
    }
    return true;
}

bool vrt_training_over(const struct vrt_training *t)
{
    int64_t patience = (int64_t)t->s.patience;
    return t->at.epoch >= (int64_t)t->s.epochs ||
           (patience > 0 && t->at.epoch - t->at.best_epoch >= patience);
}
