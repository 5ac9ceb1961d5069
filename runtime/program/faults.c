/* What a training bears by itself: see faults.h. */
#include "runtime/program/faults.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/base/show.h"
#include "runtime/data/dataset.h"
#include "runtime/data/loader.h"
#include "runtime/io/put.h"
#include "runtime/program/message.h"
#include "runtime/program/options.h"
#include "runtime/program/states.h"
#include "runtime/program/training.h"

static bool write_warning(struct vrt_training *t, const char *text, struct vrt_error *e)
{
    json_t *j = json_pack("{s:o, s:I, s:I}", "warning", vrt_json_text(text), "step",
                          (json_int_t)t->at.step, "epoch", (json_int_t)t->at.epoch + 1);
    char *line = vrt_json_write(j, JSON_COMPACT, "a warning", e);
    struct vrt_buffer b = {0};
    bool ok = line != NULL && vrt_put(&b, e, "%s\n", line) &&
              vrt_metrics_lines(&t->run.metrics, (const char *)b.data, b.size, e);
    vrt_buffer_free(&b);
    free(line);
    return ok;
}

bool vrt_training_warn(struct vrt_training *t, struct vrt_error *e, const char *format, ...)
{
    char raw[2048], text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(raw, sizeof raw, format, arguments);
    va_end(arguments);
    vrt_show_text(text, sizeof text, raw);
    vrt_progress_clear(&t->bar);
    vrt_message("warning", text);
    return write_warning(t, text, e);
}

/* -- steps without a finite result -- */

static const char *kind(double value)
{
    return isnan(value) ? "not a number" : "infinite";
}

/* "a.jpg, b.jpg, ... (16 of 64)": the pictures of a call, or of the whole step. */
static const char *name_pictures(const struct vrt_training *t, int64_t call, char *text,
                                 size_t size)
{
    int64_t first = (t->at.batch * t->calls + (call < 0 ? 0 : call)) * t->images,
            n = t->images * (call < 0 ? t->calls : 1);
    size_t used = 0;
    for (int64_t i = 0; i < n && i < VRT_PICTURES_NAMED && used < size; i++) {
        char name[80];
        vrt_dataset_item_name(t->train, vrt_loader_picture(t->loader, first + i), name,
                              sizeof name);
        used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "", name);
    }
    if (n > VRT_PICTURES_NAMED && used < size)
        snprintf(text + used, size - used, ", ... (%d of %lld)", VRT_PICTURES_NAMED, (long long)n);
    return text;
}

static bool stop_here(const struct vrt_training *t, const char *what, double value,
                      const char *pictures, struct vrt_error *e)
{
    bool saved = t->run.sequence > 0;
    return vrt_fail(e, VRT_BAD_INPUT,
                    "epoch %lld, step %lld: %s is %s (lr %g), as it was in the %d steps before. "
                    "The training has "
                    "stopped before it could spoil the weights; %s%s. Try a lower --lr, a longer "
                    "warm-up, or %s. The pictures were %s",
                    (long long)t->at.epoch + 1, (long long)t->at.step + 1, what, kind(value),
                    t->m.ctx.lr, VRT_SKIPS - 1,
                    saved ? "the last state and weights are in " : "nothing was saved yet",
                    saved ? t->run.folder : "",
                    t->s.clip > 0 ? "a lower train.clip" : "--set train.clip=1", pictures);
}

/* A return takes back what was learnt, not what has happened: the files of the best weights stay,
 * and so do the counts. */
static void carry_over(struct vrt_position *at, const struct vrt_position *was)
{
    at->best_top1 = was->best_top1;
    at->best_epoch = was->best_epoch;
    memcpy(at->kept, was->kept, sizeof at->kept);
    at->nkept = was->nkept;
    at->skipped = was->skipped;
    at->went_back = was->went_back + 1;
    at->lr_factor = was->lr_factor / 2;
}

/* To a state whose weights have not seen the first of these steps: one that was saved since has the
 * very weights that fail. */
static bool go_back(struct vrt_training *t, const char *what, double value, const char *pictures,
                    struct vrt_error *e)
{
    const struct vrt_position was = t->at;
    int64_t step = was.step;
    bool found = false;
    if (was.went_back < VRT_RETURNS &&
        !vrt_run_go_back(&t->run, step + 1 - VRT_SKIPS, &t->m, &t->at, &found, e))
        return false;
    if (!found)
        return stop_here(t, what, value, pictures, e);
    carry_over(&t->at, &was);
    t->m.program->pack_train(&t->m.ctx);
    return vrt_training_warn(
        t, e,
        "step %lld: %s is %s, the last of %d steps in a row without a finite result; back "
        "to the state of step %lld, "
        "and on with %g of the learning rate; the pictures were %s",
        (long long)step + 1, what, kind(value), VRT_SKIPS, (long long)t->at.step, t->at.lr_factor,
        pictures);
}

bool vrt_training_skip(struct vrt_training *t, const char *what, double value, int64_t call,
                       bool *back, struct vrt_error *e)
{
    char pictures[1100] = "";
    name_pictures(t, call, pictures, sizeof pictures);
    memset(t->m.ctx.region[VRT_GRADS], 0, (size_t)t->m.bytes[VRT_GRADS]);
    if (t->m.bytes[VRT_BALANCE] > 0)
        memset(t->m.ctx.region[VRT_BALANCE], 0, (size_t)t->m.bytes[VRT_BALANCE]);
    *back = t->at.in_row + 1 >= VRT_SKIPS;
    if (*back)
        return go_back(t, what, value, pictures, e);
    t->at.step++;
    t->at.batch++;
    t->at.skipped++;
    t->at.epoch_skipped++;
    t->at.in_row++;
    return vrt_training_warn(
        t, e, "step %lld: %s is %s (lr %g); the step is skipped; its pictures are %s",
        (long long)t->at.step, what, kind(value), t->m.ctx.lr, pictures);
}

/* -- pictures that cannot be read -- */

bool vrt_training_unread(struct vrt_training *t, struct vrt_error *e)
{
    int64_t n, pictures = vrt_dataset_count(t->train), limit = (int64_t)t->s.limit;
    const struct vrt_unread *rows = vrt_loader_unread(t->loader, &n);
    if (n == 0)
        return true;
    pictures = limit > 0 && limit < pictures ? limit : pictures;
    int64_t borne = (int64_t)ceil(t->s.bad * (double)pictures);
    vrt_progress_clear(&t->bar);
    const char *then = borne > 0 ? "another picture stands in for it" : "no such picture is borne";
    if (!vrt_unread_tell(&t->unread, t->train, rows, n, then, e))
        return false;
    t->step_unread += n;
    int64_t all = t->at.epoch_unread + t->step_unread;
    if (all <= borne)
        return true;
    return vrt_fail(e, VRT_BAD_INPUT,
                    "%.*s; %lld of this epoch's pictures cannot be read, and data.bad bears %lld "
                    "(%g %% of %lld):"
                    " replace or remove those that bad_pictures.txt lists, or give --bad-pictures "
                    "a larger share",
                    VRT_UNREAD_TEXT, rows[0].reason, (long long)all, (long long)borne,
                    100.0 * t->s.bad, (long long)pictures);
}

bool vrt_training_keep(struct vrt_training *t, struct vrt_error *e)
{
    struct vrt_error ignored;
    char text[sizeof e->text], command[VRT_COMMAND];
    if (t->at.step == 0 || t->o->dry_run || !vrt_training_save_state(t, &ignored))
        return false;
    snprintf(text, sizeof text, "%.1000s", e->text);
    return vrt_fail(e, e->code,
                    "%s. What was learnt until step %lld is saved; then go on with\n"
                    "  %s",
                    text, (long long)t->at.step, vrt_training_command(t, command));
}

/* -- the end of an epoch -- */

/* An expert without a hundredth of an even share learns next to nothing. It is told once, and again
 * after it has revived. */
static bool review_layer(struct vrt_training *t, const struct vrt_moe *moe, char *dead,
                         struct vrt_error *e)
{
    const double *chosen = t->m.balance + moe->balance_offset / 4;
    char list[200] = "";
    double all = 0.0;
    for (int32_t j = 0; j < moe->experts; j++)
        all += chosen[j];
    for (int32_t j = 0; all > 0 && j < moe->experts; j++) {
        bool now = chosen[j] * 100.0 * moe->experts < all;
        size_t used = strlen(list);
        if (now && dead[j] == '.')
            snprintf(list + used, sizeof list - used, "%s%d", used > 0 ? ", " : "", j);
        dead[j] = now ? 'x' : '.';
    }
    if (list[0] == '\0')
        return true;
    return vrt_training_warn(
        t, e,
        "%s: of its %d experts these had less than a hundredth of an even share of epoch "
        "%lld's choices: %s; a "
        "larger weight of the balance loss or a lower learning rate may help",
        moe->name, moe->experts, (long long)t->at.epoch + 1, list);
}

bool vrt_training_review(struct vrt_training *t, struct vrt_error *e)
{
    const struct vrt_program *p = t->m.program;
    char *dead = t->run.dead;
    bool ok = true;
    if (t->at.epoch_unread > 0)
        ok = vrt_training_warn(
            t, e,
            "%lld pictures of epoch %lld could not be read, and others stood in for them: "
            "see bad_pictures.txt",
            (long long)t->at.epoch_unread, (long long)t->at.epoch + 1);
    for (int64_t i = 0; ok && i < p->nmoes; dead += p->moes[i++].experts)
        ok = review_layer(t, &p->moes[i], dead, e);
    return ok;
}
