/* Classifying a split, and the command `eval`: see evaluate.h. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/thread.h"
#include "runtime/data/dataset.h"
#include "runtime/io/progress.h"
#include "runtime/io/verdict.h"
#include "runtime/program/command.h"
#include "runtime/program/evaluate.h"
#include "runtime/program/model.h"
#include "runtime/program/options.h"
#include "runtime/program/settings.h"
#include "runtime/program/splits.h"

/* One call of the network on n pictures whose labels stand in `labels`. */
static void score_batch(struct vrt_model *m, const struct vrt_evaluation *v, int32_t *labels, int64_t n, int64_t first,
                        struct vrt_score *score)
{
    m->ctx.images = n;
    m->ctx.first_image = first;
    m->program->eval(&m->ctx);
    for (int64_t i = 0; v->map != NULL && i < n; i++)
        labels[i] = v->map[labels[i]];
    if (v->verdicts != NULL)
        vrt_verdicts(v->verdicts + score->images, vrt_model_floats(m, VRT_OUTPUT), labels, n, m->program->classes);
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

/* Match the data's classes to the names that the weights were trained with. */
static bool map_by_name(const struct vrt_dataset *d, const json_t *names, int64_t outputs, int32_t *map,
                        struct vrt_error *e)
{
    json_t *index = json_object();
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
        if (json_is_string(name) && (int64_t)i < outputs)
            json_object_set_new(index, json_string_value(name), json_integer((json_int_t)i));
    bool ok = true;
    for (int64_t c = 0; ok && c < vrt_dataset_classes(d); c++) {
        json_t *own = vrt_json_text(vrt_dataset_class_name(d, c));
        const json_t *at = json_object_get(index, json_string_value(own));
        if (at == NULL)
            ok = vrt_fail(e, VRT_BAD_INPUT, "the weights do not know the class `%.200s` of the data; evaluate on data with "
                          "the classes they were trained with", json_string_value(own));
        map[c] = at != NULL ? (int32_t)json_integer_value(at) : 0;
        json_decref(own);
    }
    json_decref(index);
    return ok;
}

/* Are the classes mere numbers, in order, that the weights have as names? */
static bool knows_numbers(const json_t *names)
{
    const char *first = json_string_value(json_array_get(names, 0));
    return first != NULL && strcmp(first, "0") == 0;
}

/* Labels that are numbers are places among the sorted classes; a number beyond the weights' classes is none of them. Weights without
 * names (of another tool) have the sorted classes, too, and as many as the data. */
static bool map_classes(const struct vrt_model *m, const struct vrt_dataset *d, const char *classes, int32_t *map,
                        struct vrt_error *e)
{
    json_t *names = classes != NULL ? json_loads(classes, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
    bool ok = true;
    for (int64_t c = 0; c < vrt_dataset_classes(d); c++)
        map[c] = (int32_t)c;
    if (json_is_array(names) && vrt_dataset_numbers(d) && !knows_numbers(names)) {
        if (vrt_dataset_classes(d) > (int64_t)json_array_size(names))
            ok = vrt_fail(e, VRT_BAD_INPUT, "%s, but the weights were trained with %zu", vrt_dataset_describe(d), json_array_size(names));
    } else if (json_is_array(names))
        ok = map_by_name(d, names, m->program->classes, map, e);
    else if (vrt_dataset_classes(d) != m->program->classes)
        ok = vrt_fail(e, VRT_BAD_INPUT, "%s, but the program tells %lld apart and the weights hold no names to match them by",
                      vrt_dataset_describe(d), (long long)m->program->classes);
    json_decref(names);
    return ok;
}

static void print_score(const struct vrt_score *s, const struct vrt_verdict *v, const char *what, bool as_json)
{
    double n = s->images > 0 ? (double)s->images : 1.0, loss = s->loss / n, low, high, ece = vrt_calibration_error(v, s->images);
    vrt_interval(s->top1, s->images > 0 ? s->images : 1, &low, &high);
    char number[32] = "null";               /* JSON has no NaN */
    if (isfinite(loss))
        snprintf(number, sizeof number, "%.17g", loss);
    if (as_json)
        printf("{\"images\":%lld,\"top1\":%lld,\"top5\":%lld,\"loss\":%s,\"top1_low\":%.6f,\"top1_high\":%.6f,"
               "\"calibration_error\":%.6f}\n", (long long)s->images, (long long)s->top1, (long long)s->top5, number, low, high, ece);
    else
        printf("%s: top-1 %lld of %lld (%.2f %%, 95 %% interval %.2f .. %.2f), top-5 %lld (%.2f %%), loss %.4f, calibration error %.4f\n",
               what, (long long)s->top1, (long long)s->images, 100.0 * (double)s->top1 / n, 100.0 * low, 100.0 * high,
               (long long)s->top5, 100.0 * (double)s->top5 / n, loss, ece);
}

/* The names of the network's outputs: from the weights, else from the data, else numbers. */
struct output_names { json_t *own; const struct vrt_dataset *data; const int32_t *map; char number[24]; };

static const char *output_name(const void *data, int64_t c)
{
    struct output_names *names = (struct output_names *)(uintptr_t)data;
    const char *own = json_string_value(json_array_get(names->own, (size_t)c));
    if (own != NULL)
        return own;
    for (int64_t d = 0; d < vrt_dataset_classes(names->data); d++)
        if (names->map[d] == c)
            return vrt_dataset_class_name(names->data, d);
    snprintf(names->number, sizeof names->number, "%lld", (long long)c);
    return names->number;
}

static bool write_tables(const struct vrt_options *o, const struct vrt_evaluation *v, const struct vrt_score *s, const char *classes,
                         struct vrt_error *e)
{
    struct output_names names = { .own = classes != NULL ? json_loads(classes, 0, NULL) : NULL, .data = v->dataset, .map = v->map };
    bool ok = o->per_class == NULL || vrt_write_classes(o->per_class, v->verdicts, s->images, o->program->classes, output_name, &names, e);
    ok = ok && (o->confusion == NULL || vrt_write_confusion(o->confusion, v->verdicts, s->images, output_name, &names, e));
    json_decref(names.own);
    return ok;
}

static bool eval_dataset(struct vrt_model *m, const struct vrt_options *o, const struct vrt_settings *s,
                         const struct vrt_dataset *d, const char *classes, struct vrt_error *e)
{
    int32_t *map = calloc((size_t)vrt_dataset_classes(d) + 1, sizeof *map);
    struct vrt_evaluation v = {
        .dataset = d, .transform = vrt_settings_transform(s, m->program, false), .limit = (int64_t)s->limit, .map = map,
    };
    struct vrt_score score;
    v.verdicts = calloc((size_t)vrt_dataset_count(d) + 1, sizeof *v.verdicts);
    bool ok = (map != NULL && v.verdicts != NULL) || vrt_fail(e, VRT_BAD_INPUT, "no memory for the results");
    ok = ok && map_classes(m, d, classes, map, e) && vrt_check_classes(m, d, e);
    if (ok) {
        m->program->pack_eval(&m->ctx);
        ok = vrt_evaluate(m, &v, &score, e);
    }
    ok = ok && write_tables(o, &v, &score, classes, e);
    if (ok)
        print_score(&score, v.verdicts, vrt_dataset_describe(d), o->json);
    free(v.verdicts);
    free(map);
    return ok;
}

int vrt_command_eval(const struct vrt_options *o, struct vrt_error *e)
{
    struct vrt_settings s;
    struct vrt_model m = { 0 };
    struct vrt_dataset *d = NULL;
    char *classes = NULL;
    if (!vrt_settings_read(&s, o, e) || !vrt_need_data(&s, o, e) || !vrt_need_weights(o, e))
        return e->code;
    bool ok = vrt_model_open(&m, o->program, VRT_FOR_EVAL, vrt_threads_wanted(o), e) &&
              vrt_load_weights(&m, o, &s, &classes, e) &&
              vrt_open_split(&s, o->split, &d, e) &&
              eval_dataset(&m, o, &s, d, classes, e);
    vrt_dataset_close(d);
    vrt_model_close(&m);
    free(classes);
    return ok ? VRT_OK : (int)e->code;
}
