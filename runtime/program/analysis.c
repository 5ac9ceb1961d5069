/* An evaluation as JSON: see analysis.h. */
#include "runtime/program/analysis.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/io/put.h"

static const int64_t most_confused = 100;

bool vrt_analysis_open(struct vrt_analysis *a, const struct vrt_program *p, int64_t pictures,
                       struct vrt_error *e)
{
    *a = (struct vrt_analysis){.program = p};
    a->verdicts = calloc((size_t)pictures + 1, sizeof *a->verdicts);
    if (a->verdicts == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for the results");
    return vrt_experts_open(&a->experts, p, false, e);
}

void vrt_analysis_close(struct vrt_analysis *a)
{
    free(a->verdicts);
    vrt_experts_close(&a->experts);
    *a = (struct vrt_analysis){0};
}

static bool put_score(struct vrt_buffer *b, const struct vrt_epoch_record *r, struct vrt_error *e)
{
    const struct vrt_score *s = &r->val;
    return vrt_put(b, e,
                   "{\"epoch\":%lld,\"step\":%lld,\"images\":%lld,\"top1\":%lld,\"top5\":%lld,"
                   "\"loss\":",
                   (long long)r->epoch, (long long)r->step, (long long)s->images,
                   (long long)s->top1, (long long)s->top5) &&
           vrt_put_number(b, s->images > 0 ? s->loss / (double)s->images : 0.0, e);
}

static bool put_calibration(struct vrt_buffer *b, const struct vrt_verdict *v, int64_t n,
                            struct vrt_error *e)
{
    struct vrt_bin bins[VRT_BINS];
    vrt_calibrate(bins, v, n);
    bool ok =
        vrt_put(b, e, ",\n\"calibration\":{\"error\":%.9g,\"bins\":[", vrt_calibration_error(v, n));
    for (int i = 0; ok && i < VRT_BINS; i++)
        ok =
            vrt_put(b, e, "%s{\"images\":%lld,\"confidence\":%.9g,\"hits\":%lld}", i > 0 ? "," : "",
                    (long long)bins[i].images, bins[i].confidence, (long long)bins[i].hits);
    return ok && vrt_put(b, e, "]}");
}

/* An output without a name, since the data has fewer classes, is called by its number. */
static bool put_name(struct vrt_buffer *b, const json_t *names, int64_t c, struct vrt_error *e)
{
    const char *name = json_string_value(json_array_get(names, (size_t)c));
    return name != NULL ? vrt_put_string(b, name, e) : vrt_put(b, e, "\"%lld\"", (long long)c);
}

static bool put_classes(struct vrt_buffer *b, const struct vrt_analysis *a, int64_t n,
                        const char *classes, struct vrt_error *e)
{
    int64_t outputs = a->program->classes;
    struct vrt_class_count *counts = calloc((size_t)outputs + 1, sizeof *counts);
    if (counts == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for %lld classes", (long long)outputs);
    json_t *names = vrt_json_read(classes, strlen(classes), 0, "the names of the classes", e);
    vrt_count_classes(counts, a->verdicts, n);
    bool ok = names != NULL && vrt_put(b, e, ",\n\"classes\":[");
    for (int64_t c = 0; ok && c < outputs; c++)
        ok = vrt_put(b, e, c > 0 ? ",\n{\"name\":" : "\n{\"name\":") && put_name(b, names, c, e) &&
             vrt_put(b, e, ",\"images\":%lld,\"top1\":%lld,\"top5\":%lld}",
                     (long long)counts[c].images, (long long)counts[c].top1,
                     (long long)counts[c].top5);
    json_decref(names);
    free(counts);
    return ok && vrt_put(b, e, "]");
}

static bool put_confused(struct vrt_buffer *b, const struct vrt_verdict *v, int64_t n,
                         struct vrt_error *e)
{
    struct vrt_confusion *pairs = calloc((size_t)n + 1, sizeof *pairs);
    if (pairs == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for %lld pictures", (long long)n);
    int64_t count = vrt_confusions(pairs, v, n), told = 0;
    bool ok = vrt_put(b, e, ",\n\"confused\":[");
    for (int64_t i = 0; ok && i < count && told < most_confused; i++)
        if (pairs[i].predicted >= 0 && pairs[i].label != pairs[i].predicted)
            ok = vrt_put(b, e, "%s{\"true\":%d,\"predicted\":%d,\"count\":%lld}",
                         told++ > 0 ? "," : "", pairs[i].label, pairs[i].predicted,
                         (long long)pairs[i].images);
    free(pairs);
    return ok && vrt_put(b, e, "]");
}

static bool put_layer(struct vrt_buffer *b, const struct vrt_experts *x, const struct vrt_moe *moe,
                      struct vrt_error *e)
{
    bool ok = vrt_put(b, e, "\n{") && vrt_put_layer(b, moe, x->balance, e) &&
              vrt_put(b, e, ",\"classes\":[");
    for (int64_t c = 0; ok && c < x->classes; c++) {
        const double *chosen = x->chosen + c * x->width + moe->choices_offset;
        for (int32_t i = 0; ok && i < moe->experts; i++)
            ok = vrt_put(b, e, "%s%.0f", i > 0 ? "," : c > 0 ? ",[" : "[", chosen[i]);
        ok = ok && vrt_put(b, e, "]");
    }
    return ok && vrt_put(b, e, "]}");
}

bool vrt_analysis_write(const struct vrt_analysis *a, const char *path,
                        const struct vrt_epoch_record *r, const char *classes, struct vrt_error *e)
{
    struct vrt_buffer b = {0};
    int64_t n = r->val.images;
    bool ok = put_score(&b, r, e) && put_calibration(&b, a->verdicts, n, e) &&
              put_classes(&b, a, n, classes, e) && put_confused(&b, a->verdicts, n, e) &&
              vrt_put(&b, e, ",\n\"moe\":[");
    for (int64_t i = 0; ok && i < a->experts.nmoes; i++)
        ok = vrt_put(&b, e, i > 0 ? "," : "") && put_layer(&b, &a->experts, &a->experts.moes[i], e);
    ok = ok && vrt_put(&b, e, "]}\n") && vrt_file_write(path, b.data, b.size, e);
    vrt_buffer_free(&b);
    return ok;
}
