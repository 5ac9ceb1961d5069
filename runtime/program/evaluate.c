/* Classifying a split: see evaluate.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/finite.h"
#include "runtime/base/json.h"
#include "runtime/base/thread.h"
#include "runtime/data/dataset.h"
#include "runtime/io/experts.h"
#include "runtime/io/progress.h"
#include "runtime/io/verdict.h"
#include "runtime/program/classes.h"
#include "runtime/program/evaluate.h"
#include "runtime/program/message.h"
#include "runtime/program/model.h"
#include "runtime/program/settings.h"
#include "runtime/program/unread.h"

enum { NAME_SIZE = 2048 };

/* A picture that could not be read counts as wrong. */
static void score_row(const struct vrt_evaluation *v, const float *logits, const int32_t *label,
                      bool unread, int64_t classes, struct vrt_score *score)
{
    if (!unread) {
        if (v->verdicts != NULL)
            vrt_verdicts(v->verdicts + score->images, logits, label, 1, classes);
        vrt_score_add(score, logits, label, 1, classes);
        return;
    }
    if (v->verdicts != NULL)
        v->verdicts[score->images] =
            (struct vrt_verdict){.label = *label, .predicted = -1, .rank = INT32_MAX};
    score->images++;
    score->unread++;
    score->loss += log(
        (double)(v->classes != NULL && v->classes->scored != NULL ? v->classes->nscored : classes));
}

bool vrt_check_logits(const float *logits, int64_t n, const char *picture, struct vrt_error *e)
{
    int64_t bad = vrt_not_finite(logits, n);
    return bad < 0 ||
           vrt_fail(e, VRT_BAD_INPUT,
                    "%.900s: output %lld of the network is not finite (NaN or infinity): its "
                    "weights are too large, or of a training that failed",
                    picture, (long long)bad);
}

/* Of a picture that cannot be read the logits mean nothing. */
static bool check_batch(struct vrt_model *m, const struct vrt_evaluation *v,
                        const struct vrt_unread *rows, int64_t bad, int64_t n,
                        const struct vrt_score *score, struct vrt_error *e)
{
    int64_t classes = m->program->classes, at = 0;
    char name[NAME_SIZE];
    for (int64_t i = 0; v->strict && i < n; i++) {
        const float *logits = vrt_model_floats(m, VRT_OUTPUT) + i * classes;
        bool unread = at < bad && rows[at].place == i;
        at += unread;
        if (unread || vrt_not_finite(logits, classes) < 0)
            continue;
        vrt_dataset_item_name(v->dataset,
                              vrt_dataset_spread(v->dataset, v->limit, score->images + i), name,
                              sizeof name);
        return vrt_check_logits(logits, classes, name, e);
    }
    return true;
}

/* One call of the network on n pictures whose labels stand in `labels`. */
static bool score_batch(struct vrt_model *m, const struct vrt_evaluation *v,
                        const struct vrt_loader *loader, int32_t *labels, int64_t n,
                        struct vrt_score *score, struct vrt_error *e)
{
    int64_t bad, at = 0, classes = m->program->classes;
    const struct vrt_unread *rows = vrt_loader_unread(loader, &bad);
    const float *logits = vrt_model_floats(m, VRT_OUTPUT);
    m->ctx.images = n;
    m->ctx.first_image = score->images;
    m->program->eval(&m->ctx);
    if (!check_batch(m, v, rows, bad, n, score, e))
        return false;
    for (int64_t i = 0; v->classes != NULL && i < n; i++)
        labels[i] = v->classes->map[labels[i]];
    if (v->classes != NULL)
        vrt_classes_mask(v->classes, vrt_model_floats(m, VRT_OUTPUT), n);
    if (v->experts != NULL)
        vrt_experts_add(v->experts, m->ctx.region[VRT_BALANCE], vrt_model_floats(m, VRT_CHOICES),
                        labels, n);
    for (int64_t i = 0; i < n; i++) {
        bool unread = at < bad && rows[at].place == i;
        score_row(v, logits + i * classes, labels + i, unread, classes, score);
        at += unread;
    }
    return true;
}

static bool tell_unread(const struct vrt_evaluation *v, const struct vrt_loader *loader,
                        struct vrt_progress *bar, struct vrt_error *e)
{
    int64_t n;
    const struct vrt_unread *rows = vrt_loader_unread(loader, &n);
    if (n > 0)
        vrt_progress_clear(bar);
    return n == 0 || vrt_unread_tell(v->unread, v->dataset, rows, n, "it counts as wrong", e);
}

static bool run_loader(struct vrt_model *m, const struct vrt_evaluation *v,
                       struct vrt_loader *loader, int32_t *labels, struct vrt_score *score,
                       struct vrt_error *e)
{
    struct vrt_progress bar;
    int64_t total = vrt_dataset_count(v->dataset), n;
    double began = vrt_seconds();
    vrt_progress_start(&bar, "evaluate", 0, v->limit > 0 && v->limit < total ? v->limit : total);
    bool ok = vrt_loader_next(loader, vrt_model_floats(m, VRT_INPUT), labels, &n, e);
    while (ok && n > 0 && (v->stop == NULL || *v->stop == 0)) {
        ok = tell_unread(v, loader, &bar, e) && score_batch(m, v, loader, labels, n, score, e);
        if (!ok)
            break;
        vrt_progress_show(&bar, score->images,
                          (double)score->images / (vrt_seconds() - began + 1e-9), "");
        ok = vrt_loader_next(loader, vrt_model_floats(m, VRT_INPUT), labels, &n, e);
    }
    vrt_progress_clear(&bar);
    return ok;
}

bool vrt_evaluate(struct vrt_model *m, const struct vrt_evaluation *v, struct vrt_score *score,
                  struct vrt_error *e)
{
    struct vrt_loader *loader;
    struct vrt_loader_options o = {
        .dataset = v->dataset,
        .transform = v->transform,
        .batch = m->program->micro,
        .limit = v->limit,
        .threads = vrt_threads_count(&m->ctx),
    };
    *score = (struct vrt_score){0};
    int32_t *labels = calloc((size_t)m->program->micro, sizeof *labels);
    if (labels == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for the labels");
    bool ok = vrt_loader_open(&loader, &o, e);
    if (ok) {
        ok = run_loader(m, v, loader, labels, score, e);
        vrt_loader_close(loader);
    }
    free(labels);
    return ok;
}

bool vrt_check_classes(const struct vrt_model *m, const struct vrt_dataset *d, struct vrt_error *e)
{
    int64_t have = vrt_dataset_classes(d), outputs = m->program->classes;
    if (have > outputs)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "%s, but the program tells only %lld apart: rebuild it with classes = %lld",
                        vrt_dataset_describe(d), (long long)outputs, (long long)have);
    if (have < outputs)
        vrt_messagef("note",
                     "the data has %lld classes, the program %lld; the other outputs have no "
                     "pictures",
                     (long long)have, (long long)outputs);
    return true;
}

char *vrt_classes_text(const struct vrt_dataset *d, struct vrt_error *e)
{
    json_t *list = json_array();
    for (int64_t c = 0; c < vrt_dataset_classes(d); c++)
        json_array_append_new(list, vrt_json_text(vrt_dataset_class_name(d, c)));
    return vrt_json_write(list, JSON_COMPACT, "the names of the classes", e);
}
