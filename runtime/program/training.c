/* A training is opened and closed: see training.h. Input: the command line; output: data, network,
 * run folder and schedule, ready for the next step. */
#include "runtime/program/training.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/show.h"
#include "runtime/base/thread.h"
#include "runtime/data/dataset.h"
#include "runtime/data/doubt.h"
#include "runtime/data/loader.h"
#include "runtime/io/adapt.h"
#include "runtime/program/command.h"
#include "runtime/program/faults.h"
#include "runtime/program/identity.h"
#include "runtime/program/message.h"
#include "runtime/program/options.h"
#include "runtime/program/outputs.h"
#include "runtime/program/signals.h"
#include "runtime/program/splits.h"

/* -- batches -- */

/* A batch is cut into calls of `micro` pictures; one that is smaller is a call by itself. Calls
 * hold whole groups. The nearest batch that can be cut, `down` or up; 0: there is none. */
static int64_t batch_near(const struct vrt_training *t, int64_t batch, bool down)
{
    int64_t micro = t->o->program->micro, unit = batch < micro ? t->group : micro;
    return (down ? batch : batch + unit - 1) / unit * unit;
}

static const char *group_text(const struct vrt_training *t)
{
    return t->group == t->m.group ? "routes together" : "mixes in pairs";
}

/* Not one group. In the data themselves: nothing but another program helps, or none of the mixing
 * that asks for pairs. */
static bool too_few(const struct vrt_training *t, struct vrt_error *e)
{
    long long there = vrt_dataset_count(t->train), group = t->group, few = (long long)t->s.limit;
    if (there >= group && t->s.overfit > 0)
        return vrt_fail(e, VRT_USAGE,
                        "--overfit %lld is less than the %lld pictures that the program %s; take "
                        "--overfit %lld",
                        few, group, group_text(t), group);
    if (there >= group)
        return vrt_fail(e, VRT_USAGE,
                        "--limit %lld is less than the %lld pictures that the program %s; take "
                        "--limit %lld --batch %lld",
                        few, group, group_text(t), group, group);
    char other[80] = "rebuild it with a smaller `group`";
    if (group > t->m.group)
        snprintf(other, sizeof other, "--set augment.mix_probability=0 --batch %lld", there);
    return vrt_fail(e, VRT_BAD_INPUT,
                    "%s: %lld pictures to train on are fewer than the %lld that the program %s; "
                    "take more pictures, or %s",
                    vrt_dataset_describe(t->train), there, group, group_text(t), other);
}

/* What can be taken in its place is told: `most` at most, for which there are pictures. */
static bool bad_batch(const struct vrt_training *t, int64_t batch, int64_t pictures, int64_t most,
                      struct vrt_error *e)
{
    int64_t micro = t->o->program->micro, low = batch_near(t, batch, true),
            high = batch_near(t, batch, false);
    char other[40] = "";
    if (low == high)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "%s: %lld pictures to train on are fewer than one batch of %lld; take "
                        "--batch %lld",
                        vrt_dataset_describe(t->train), (long long)pictures, (long long)batch,
                        (long long)most);
    if (low > 0 && high <= most)
        snprintf(other, sizeof other, " or %lld", (long long)high);
    return vrt_fail(e, VRT_USAGE,
                    "--batch %lld cannot be cut into calls of %lld images (the program's %s); take "
                    "%lld%s",
                    (long long)batch, (long long)(batch < micro ? t->group : micro),
                    batch >= micro           ? "train.micro"
                    : t->group == t->m.group ? "routing group"
                                             : "pairs to mix",
                    (long long)(low == 0      ? high
                                : low <= most ? low
                                              : most),
                    other);
}

/* Pictures per call, calls per step, steps per epoch. */
static bool plan_steps(struct vrt_training *t, struct vrt_error *e)
{
    const struct vrt_mix_options mix = vrt_settings_mix(&t->s);
    int64_t micro = t->o->program->micro, batch = (int64_t)t->s.batch, few = (int64_t)t->s.overfit,
            pictures = vrt_dataset_count(t->train), limit = (int64_t)t->s.limit;
    t->group = vrt_mixes(&mix) && t->m.group == 1 ? 2 : t->m.group;
    if (micro % t->group != 0)
        return vrt_fail(e, VRT_USAGE,
                        "mixup and cutmix mix pairs of pictures, but a call of this program holds "
                        "%lld: rebuild it "
                        "with an even train.micro",
                        (long long)micro);
    if (limit > 0 && limit < pictures)
        pictures = limit;
    int64_t most = batch_near(t, pictures, true);
    if (most == 0)
        return too_few(t, e);
    if (few > 0 && few < batch) /* all of them in a step, or as many as calls can take */
        batch = batch_near(t, few, true);
    if (batch > most || batch_near(t, batch, true) != batch)
        return bad_batch(t, batch, pictures, most, e);
    t->images = batch < micro ? batch : micro;
    t->calls = batch / t->images;
    t->steps = t->end = pictures / batch;
    return true;
}

static void plan_schedule(struct vrt_training *t)
{
    t->schedule = vrt_schedule_make(&t->s, t->steps);
    if (t->schedule.warmup > t->schedule.total)
        vrt_messagef("note", "the warm-up (%lld steps) is longer than the training (%lld steps)",
                     (long long)t->schedule.warmup, (long long)t->schedule.total);
}

/* -- the parts, in the order in which they need each other -- */

static bool open_data(struct vrt_training *t, struct vrt_error *e)
{
    const struct vrt_settings *s = &t->s;
    bool ok = s->overfit > 0 ? vrt_open_train(s, &t->train, e)
                             : vrt_open_splits(s, &t->train, &t->val, e);
    if (s->overfit > 0)
        t->val = t->train;
    if (!ok || !vrt_check_classes(&t->m, t->train, e))
        return false;
    t->run.stand_in = vrt_dataset_stand_in(t->val);
    t->classes = vrt_classes_text(t->train, e);
    if (t->classes == NULL)
        return false;
    t->labels = calloc((size_t)t->o->program->micro, sizeof *t->labels);
    return t->labels != NULL || vrt_fail(e, VRT_NO_MEMORY, "no memory for the labels");
}

/* All of one class: told each time, and kept in the metrics once. */
static bool doubt_classes(struct vrt_training *t, struct vrt_error *e)
{
    char text[VRT_DOUBT_TEXT];
    if (!vrt_doubt_classes(t->train, t->s.data_train, text))
        return true;
    if (t->run.fresh)
        return vrt_training_warn(t, e, "%s", text);
    vrt_message("warning", text);
    return true;
}

/* Weights at the beginning: from a file, else random. A state, if there is one, replaces them. */
static bool first_weights(struct vrt_training *t, struct vrt_error *e)
{
    struct vrt_adapt how;
    const char *path = vrt_run_weights(&t->run, t->o, &how);
    const char *class_map = vrt_run_class_map(&t->run, t->o);
    if (!t->run.fresh)
        return true;
    how.seed = (uint64_t)t->s.seed;
    if (path == NULL && (how.upcycle || how.keep != NULL || class_map != NULL))
        return vrt_need_weights(t->o, e);
    if (path == NULL) {
        vrt_model_init(&t->m, (uint64_t)t->s.seed);
        return true;
    }
    return vrt_model_begin(&t->m, path, &how, t->train, class_map, e);
}

/* What stays the same in all calls. */
static void set_constants(struct vrt_training *t)
{
    struct vrt_ctx *c = &t->m.ctx;
    double batch = (double)(t->images * t->calls);
    c->images = t->images;
    c->seed = (uint64_t)t->s.seed;
    c->loss_scale = 1.0 / batch;
    c->balance_scale = (double)t->m.group / batch;
    c->drop_path = t->s.drop_path;
    vrt_schedule_constants(&t->s, c);
}

/* Neither the data nor the weights to begin with are written over; once more for the folder of the
 * data, which a run that goes on may have told. */
static bool check_outputs(const struct vrt_training *t, struct vrt_error *e)
{
    struct vrt_adapt how;
    const struct vrt_dataset *const data[] = {t->train, t->val};
    const char *weights = t->run.fresh ? vrt_run_weights(&t->run, t->o, &how) : t->o->weights;
    return vrt_outputs_folder(t->o, t->run.folder, e) &&
           vrt_outputs_run(t->run.folder, vrt_run_writes, weights, data, 2, e);
}

static bool open_all(struct vrt_training *t, const struct vrt_options *o, struct vrt_error *e)
{
    if (!vrt_run_open(&t->run, o, e) || !vrt_settings_read(&t->s, o, e) ||
        !vrt_need_data(&t->s, o, e))
        return false;
    enum vrt_use use = t->s.ema > 0 ? VRT_FOR_TRAIN_EMA : VRT_FOR_TRAIN;
    if (!vrt_model_open(&t->m, o->program, use, vrt_threads_wanted(o), e) || !open_data(t, e) ||
        !check_outputs(t, e) || !plan_steps(t, e) || !first_weights(t, e))
        return false;
    vrt_signals_catch(); /* from here on files are written */
    if (!vrt_run_begin(&t->run, o, &(struct vrt_run_data){t->train, t->val}, t->images, &t->m,
                       &t->at, e) ||
        !vrt_unread_open(&t->unread, vrt_run_path(&t->run, "bad_pictures.txt", t->unread_path),
                         e) ||
        !doubt_classes(t, e))
        return false;
    plan_schedule(t);
    set_constants(t);
    t->m.program->pack_train(&t->m.ctx);
    t->saved_at = vrt_seconds();
    return true;
}

const char *vrt_training_command(const struct vrt_training *t, char text[VRT_COMMAND])
{
    char program[4 * PATH_MAX], folder[4 * PATH_MAX];
    snprintf(text, VRT_COMMAND, "%s train --resume --out %s",
             vrt_quote(program, sizeof program, t->o->argv[0]),
             vrt_quote(folder, sizeof folder, t->run.folder));
    return text;
}

bool vrt_training_open(struct vrt_training *t, const struct vrt_options *o, struct vrt_error *e)
{
    *t = (struct vrt_training){.o = o, .run = {.metrics = {.jsonl = -1, .csv = -1}}};
    if (open_all(t, o, e))
        return true;
    vrt_run_undo(&t->run);
    return false;
}

void vrt_training_close(struct vrt_training *t)
{
    vrt_loader_close(t->loader);
    if (t->val != t->train)
        vrt_dataset_close(t->val);
    vrt_dataset_close(t->train);
    vrt_unread_close(&t->unread);
    vrt_run_close(&t->run);
    vrt_model_close(&t->m);
    free(t->classes);
    free(t->labels);
}
