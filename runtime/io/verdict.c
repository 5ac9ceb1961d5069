/* From verdicts to tables: see verdict.h. */
#include "runtime/io/verdict.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/buffer.h"
#include "runtime/base/file.h"
#include "runtime/io/metrics.h"

enum { BINS = 15 };

/* -- one picture -- */

static int64_t best_of(const float *z, int64_t classes)
{
    int64_t best = 0;
    for (int64_t c = 1; c < classes && !isnan(z[best]); c++)
        if (!(z[c] <= z[best]))
            best = c;
    return best;
}

void vrt_verdicts(struct vrt_verdict *v, const float *logits, const int32_t *labels, int64_t n, int64_t classes)
{
    for (int64_t i = 0; i < n; i++) {
        const float *z = logits + i * classes;
        int64_t best = best_of(z, classes), rank = vrt_rank(z, labels[i], classes);
        double sum = 0;
        for (int64_t c = 0; c < classes; c++)
            sum += exp((double)z[c] - (double)z[best]);
        double confidence = 1 / sum;
        v[i] = (struct vrt_verdict){ labels[i], (int32_t)best, (int32_t)rank, isfinite(confidence) ? (float)confidence : 0.0f };
    }
}

/* -- numbers -- */

void vrt_interval(int64_t hits, int64_t n, double *low, double *high)
{
    const double z = 1.959963984540054;         /* 97.5 % of a normal distribution */
    double p = (double)hits / (double)n, k = z * z / (double)n;
    double middle = (p + k / 2) / (1 + k), half = z / (1 + k) * sqrt(p * (1 - p) / (double)n + k / (4 * (double)n));
    *low = hits == 0 ? 0 : fmax(0, middle - half);
    *high = hits == n ? 1 : fmin(1, middle + half);
}

double vrt_calibration_error(const struct vrt_verdict *v, int64_t n)
{
    double sum[BINS] = { 0 }, hits[BINS] = { 0 }, error = 0;
    for (int64_t i = 0; i < n; i++) {
        int bin = (int)ceil((double)v[i].confidence * BINS) - 1;        /* bins are ((b) / 15, (b + 1) / 15] */
        bin = bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin;
        sum[bin] += (double)v[i].confidence;
        hits[bin] += v[i].predicted == v[i].label;
    }
    for (int b = 0; b < BINS; b++)
        error += fabs(hits[b] - sum[b]);
    return n > 0 ? error / (double)n : 0;
}

/* -- tables -- */

/* A field of a line; in quotes if it holds what separates. */
static bool put_name(struct vrt_buffer *b, const char *name, struct vrt_error *e)
{
    if (name[strcspn(name, ",\"\r\n")] == '\0')
        return vrt_buffer_append(b, name, strlen(name), e);
    bool ok = vrt_buffer_append(b, "\"", 1, e);
    for (; ok && *name != '\0'; name++)
        ok = vrt_buffer_append(b, *name == '"' ? "\"\"" : name, *name == '"' ? 2 : 1, e);
    return ok && vrt_buffer_append(b, "\"", 1, e);
}

static bool put_text(struct vrt_buffer *b, const char *text, struct vrt_error *e)
{
    return vrt_buffer_append(b, text, strlen(text), e);
}

static bool write_table(const char *path, struct vrt_buffer *b, bool ok, struct vrt_error *e)
{
    ok = ok && vrt_file_write(path, b->data, b->size, e);
    vrt_buffer_free(b);
    return ok;
}

bool vrt_write_classes(const char *path, const struct vrt_verdict *v, int64_t n, int64_t classes, vrt_class_namer *name, const void *data,
                       struct vrt_error *e)
{
    struct count { int64_t images, top1, top5, predicted; } *counts = calloc((size_t)classes + 1, sizeof *counts);
    struct vrt_buffer b = { 0 };
    if (counts == NULL)
        return vrt_fail(e, VRT_BAD_INPUT, "no memory for %lld classes", (long long)classes);
    for (int64_t i = 0; i < n; i++) {
        counts[v[i].label].images++;
        counts[v[i].label].top1 += v[i].rank < 1;
        counts[v[i].label].top5 += v[i].rank < 5;
        counts[v[i].predicted].predicted++;
    }
    bool ok = put_text(&b, "class,images,top1,top5,predicted\n", e);
    for (int64_t c = 0; ok && c < classes; c++) {
        char line[120];
        snprintf(line, sizeof line, ",%lld,%lld,%lld,%lld\n", (long long)counts[c].images, (long long)counts[c].top1,
                 (long long)counts[c].top5, (long long)counts[c].predicted);
        ok = put_name(&b, name(data, c), e) && put_text(&b, line, e);
    }
    free(counts);
    return write_table(path, &b, ok, e);
}

struct pair { int32_t label, predicted; int64_t images; };

static int by_classes(const void *left, const void *right)
{
    const struct pair *a = left, *b = right;
    return a->label != b->label ? (a->label < b->label ? -1 : 1) : a->predicted < b->predicted ? -1 : a->predicted > b->predicted;
}

static int by_images(const void *left, const void *right)
{
    const struct pair *a = left, *b = right;
    return a->images != b->images ? (a->images > b->images ? -1 : 1) : by_classes(left, right);
}

bool vrt_write_confusion(const char *path, const struct vrt_verdict *v, int64_t n, vrt_class_namer *name, const void *data,
                         struct vrt_error *e)
{
    struct pair *pairs = calloc((size_t)n + 1, sizeof *pairs);
    struct vrt_buffer b = { 0 };
    int64_t count = 0;
    if (pairs == NULL)
        return vrt_fail(e, VRT_BAD_INPUT, "no memory for %lld pictures", (long long)n);
    for (int64_t i = 0; i < n; i++)
        pairs[i] = (struct pair){ v[i].label, v[i].predicted, 1 };
    qsort(pairs, (size_t)n, sizeof *pairs, by_classes);
    for (int64_t i = 0; i < n; i++)
        if (count > 0 && by_classes(&pairs[count - 1], &pairs[i]) == 0)
            pairs[count - 1].images++;
        else
            pairs[count++] = pairs[i];
    qsort(pairs, (size_t)count, sizeof *pairs, by_images);
    bool ok = put_text(&b, "class,predicted,images\n", e);
    for (int64_t i = 0; ok && i < count; i++) {
        char line[40];
        snprintf(line, sizeof line, ",%lld\n", (long long)pairs[i].images);
        ok = put_name(&b, name(data, pairs[i].label), e) && put_text(&b, ",", e) && put_name(&b, name(data, pairs[i].predicted), e) &&
             put_text(&b, line, e);
    }
    free(pairs);
    return write_table(path, &b, ok, e);
}
