/* Classifying a split: see evaluate.h. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/thread.h"
#include "runtime/data/dataset.h"
#include "runtime/io/experts.h"
#include "runtime/io/progress.h"
#include "runtime/io/verdict.h"
#include "runtime/program/classes.h"
#include "runtime/program/evaluate.h"
#include "runtime/program/model.h"
#include "runtime/program/settings.h"

/* One call of the network on n pictures whose labels stand in `labels`. */
static void score_batch(struct vrt_model *m, const struct vrt_evaluation *v, int32_t *labels, int64_t n, int64_t first,
                        struct vrt_score *score)
{
    m->ctx.images = n;
    m->ctx.first_image = first;
    m->program->eval(&m->ctx);
    for (int64_t i = 0; v->classes != NULL && i < n; i++)
        labels[i] = v->classes->map[labels[i]];
    if (v->classes != NULL)
        vrt_classes_mask(v->classes, vrt_model_floats(m, VRT_OUTPUT), n);
    if (v->verdicts != NULL)
        vrt_verdicts(v->verdicts + score->images, vrt_model_floats(m, VRT_OUTPUT), labels, n, m->program->classes);
    if (v->experts != NULL)
        vrt_experts_add(v->experts, vrt_model_floats(m, VRT_BALANCE), vrt_model_floats(m, VRT_CHOICES), labels, n);
    vrt_score_add(score, vrt_model_floats(m, VRT_OUTPUT), labels, n, m->program->classes);
}

static bool run_loader(struct vrt_model *m, const struct vrt_evaluation *v, struct vrt_loader *loader, int32_t *labels,
                       struct vrt_score *score, struct vrt_error *e)
{
    struct vrt_progress bar;
    int64_t total = vrt_dataset_count(v->dataset), n;
    double began = vrt_seconds();
    vrt_progress_start(&bar, "evaluate", 0, v->limit > 0 && v->limit < total ? v->limit : total);
    bool ok = vrt_loader_next(loader, vrt_model_floats(m, VRT_INPUT), labels, &n, e);
    while (ok && n > 0 && (v->stop == NULL || *v->stop == 0)) {
        score_batch(m, v, labels, n, score->images, score);
        vrt_progress_show(&bar, score->images, (double)score->images / (vrt_seconds() - began + 1e-9), "");
        ok = vrt_loader_next(loader, vrt_model_floats(m, VRT_INPUT), labels, &n, e);
    }
    vrt_progress_clear(&bar);
    return ok;
}

bool vrt_evaluate(struct vrt_model *m, const struct vrt_evaluation *v, struct vrt_score *score, struct vrt_error *e)
{
    struct vrt_loader *loader;
    struct vrt_loader_options o = {
        .dataset = v->dataset, .transform = v->transform, .batch = m->program->micro, .limit = v->limit,
        .threads = vrt_threads_count(&m->ctx),
    };
    *score = (struct vrt_score){ 0 };
    int32_t *labels = calloc((size_t)m->program->micro, sizeof *labels);
    if (labels == NULL)
        return vrt_fail(e, VRT_BAD_INPUT, "no memory for the labels");
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
        return vrt_fail(e, VRT_BAD_INPUT, "%s, but the program tells only %lld apart: rebuild it with classes = %lld",
                        vrt_dataset_describe(d), (long long)outputs, (long long)have);
    if (have < outputs)
        fprintf(stderr, "note: the data has %lld classes, the program %lld; the other outputs have no pictures\n",
                (long long)have, (long long)outputs);
    return true;
}

char *vrt_classes_text(const struct vrt_dataset *d)
{
    json_t *list = json_array();
    for (int64_t c = 0; c < vrt_dataset_classes(d); c++)
        json_array_append_new(list, vrt_json_text(vrt_dataset_class_name(d, c)));
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}
