/* From verdicts to tables: see verdict.h. */
#include "runtime/io/verdict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/io/metrics.h"
#include "runtime/io/put.h"

/* -- one picture -- */

static int64_t best_of(const float *z, int64_t classes)
{
    int64_t best = 0;
    for (int64_t c = 1; c < classes && !isnan(z[best]); c++)
        if (!(z[c] <= z[best]))
            best = c;
    return best;
}

void vrt_verdicts(struct vrt_verdict *v, const float *logits, const int32_t *labels, int64_t n,
                  int64_t classes)
{
    for (int64_t i = 0; i < n; i++) {
        const float *z = logits + i * classes;
        int64_t best = best_of(z, classes), rank = vrt_rank(z, labels[i], classes);
        double sum = 0;
        for (int64_t c = 0; c < classes; c++)
            sum += exp((double)z[c] - (double)z[best]);
        double confidence = 1 / sum;
        v[i] = (struct vrt_verdict){labels[i], (int32_t)best, (int32_t)rank,
                                    isfinite(confidence) ? (float)confidence : 0.0f};
    }
}

/* -- numbers -- */

void vrt_interval(int64_t hits, int64_t n, double *low, double *high)
{
    const double z = 1.959963984540054; /* 97.5 % of a normal distribution */
    double p = (double)hits / (double)n, k = z * z / (double)n;
    double middle = (p + k / 2) / (1 + k),
           half = z / (1 + k) * sqrt(p * (1 - p) / (double)n + k / (4 * (double)n));
    *low = hits == 0 ? 0 : fmax(0, middle - half);
    *high = hits == n ? 1 : fmin(1, middle + half);
}

void vrt_calibrate(struct vrt_bin bins[VRT_BINS], const struct vrt_verdict *v, int64_t n)
{
    memset(bins, 0, VRT_BINS * sizeof *bins);
    for (int64_t i = 0; i < n; i++) {
        /* bins are ((b) / 15, (b + 1) / 15] */
        int bin = (int)ceil((double)v[i].confidence * VRT_BINS) - 1;
        bin = bin < 0 ? 0 : bin >= VRT_BINS ? VRT_BINS - 1 : bin;
        bins[bin].images++;
        bins[bin].confidence += (double)v[i].confidence;
        bins[bin].hits += v[i].predicted == v[i].label;
    }
}

double vrt_calibration_error(const struct vrt_verdict *v, int64_t n)
{
    struct vrt_bin bins[VRT_BINS];
    double error = 0;
    vrt_calibrate(bins, v, n);
    for (int b = 0; b < VRT_BINS; b++)
        error += fabs((double)bins[b].hits - bins[b].confidence);
    return n > 0 ? error / (double)n : 0;
}

void vrt_count_classes(struct vrt_class_count *counts, const struct vrt_verdict *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        counts[v[i].label].images++;
        counts[v[i].label].top1 += v[i].rank < 1;
        counts[v[i].label].top5 += v[i].rank < 5;
        if (v[i].predicted >= 0)
            counts[v[i].predicted].predicted++;
    }
}

static int by_classes(const void *left, const void *right)
{
    const struct vrt_confusion *a = left, *b = right;
    return a->label != b->label          ? (a->label < b->label ? -1 : 1)
           : a->predicted < b->predicted ? -1
                                         : a->predicted > b->predicted;
}

static int by_images(const void *left, const void *right)
{
    const struct vrt_confusion *a = left, *b = right;
    return a->images != b->images ? (a->images > b->images ? -1 : 1) : by_classes(left, right);
}

int64_t vrt_confusions(struct vrt_confusion *pairs, const struct vrt_verdict *v, int64_t n)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        pairs[i] = (struct vrt_confusion){v[i].label, v[i].predicted, 1};
    qsort(pairs, (size_t)n, sizeof *pairs, by_classes);
    for (int64_t i = 0; i < n; i++)
        if (count > 0 && by_classes(&pairs[count - 1], &pairs[i]) == 0)
            pairs[count - 1].images++;
        else
            pairs[count++] = pairs[i];
    qsort(pairs, (size_t)count, sizeof *pairs, by_images);
    return count;
}

/* -- tables -- */

bool vrt_put_classes(struct vrt_buffer *b, const struct vrt_verdict *v, int64_t n, int64_t classes,
                     vrt_class_namer *name, const void *data, struct vrt_error *e)
{
    struct vrt_class_count *counts = calloc((size_t)classes + 1, sizeof *counts);
    if (counts == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for %lld classes", (long long)classes);
    vrt_count_classes(counts, v, n);
    bool ok = vrt_put(b, e, "class,images,top1,top5,predicted\n");
    for (int64_t c = 0; ok && c < classes; c++)
        ok = vrt_put_field(b, name(data, c), e) &&
             vrt_put(b, e, ",%lld,%lld,%lld,%lld\n", (long long)counts[c].images,
                     (long long)counts[c].top1, (long long)counts[c].top5,
                     (long long)counts[c].predicted);
    free(counts);
    return ok;
}

bool vrt_put_confusion(struct vrt_buffer *b, const struct vrt_verdict *v, int64_t n,
                       vrt_class_namer *name, const void *data, struct vrt_error *e)
{
    struct vrt_confusion *pairs = calloc((size_t)n + 1, sizeof *pairs);
    if (pairs == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for %lld pictures", (long long)n);
    int64_t count = vrt_confusions(pairs, v, n);
    bool ok = vrt_put(b, e, "class,predicted,images\n");
    for (int64_t i = 0; ok && i < count; i++)
        ok = vrt_put_field(b, name(data, pairs[i].label), e) && vrt_put(b, e, ",") &&
             vrt_put_field(
                 b, pairs[i].predicted >= 0 ? name(data, pairs[i].predicted) : "(unreadable)", e) &&
             vrt_put(b, e, ",%lld\n", (long long)pairs[i].images);
    free(pairs);
    return ok;
}
