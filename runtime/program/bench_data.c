/* The measurement `bench --data`: how fast pictures come, without a network to feed. In turns with
 * it, a bare loop that only decodes and resizes whole pictures on as many threads: what the loader
 * costs beyond that is its own. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/thread.h"
#include "runtime/data/dataset.h"
#include "runtime/data/image.h"
#include "runtime/data/loader.h"
#include "runtime/data/resample.h"
#include "runtime/io/progress.h"
#include "runtime/program/command.h"
#include "runtime/program/message.h"
#include "runtime/program/options.h"
#include "runtime/program/settings.h"
#include "runtime/program/splits.h"
#include "runtime/vrt.h"

enum { ROUNDS_MIN = 5, ROUNDS_MAX = 1000, THREADS_MAX = 256 };

struct measured {
    double loaded, bare;
}; /* images per second */

/* -- the loader -- */

static bool load_epoch(const struct vrt_loader_options *o, float *input, int32_t *labels,
                       double *speed, struct vrt_error *e)
{
    struct vrt_loader *l;
    double began = vrt_seconds();
    int64_t n = 0, total = 0;
    if (!vrt_loader_open(&l, o, e))
        return false;
    bool ok;
    do {
        ok = vrt_loader_next(l, input, labels, &n, e);
        total += n;
    } while (ok && n > 0);
    vrt_loader_close(l);
    *speed = (double)total / (vrt_seconds() - began);
    return ok;
}

/* -- the bare loop -- */

struct bare {
    const struct vrt_dataset *dataset;
    const struct vrt_transform *transform;
    int64_t limit, count;
    atomic_llong next;
    atomic_bool failed;
    struct vrt_error error; /* of whoever failed first */
};

static bool decode_and_resize(struct bare *b, int64_t i, struct vrt_image *image,
                              struct vrt_image *small, struct vrt_resampler *r, struct vrt_error *e)
{
    const struct vrt_transform *t = b->transform;
    if (!vrt_dataset_read(b->dataset, vrt_dataset_spread(b->dataset, b->limit, i), t->channels,
                          image, e))
        return false;
    struct vrt_view v = vrt_view_of(image);
    struct vrt_resize how = vrt_resize_whole(v, t->width, t->height, (enum vrt_filter)t->resample);
    return vrt_resample(r, v, &how, small, e);
}

static void *bare_work(void *data)
{
    struct bare *b = data;
    struct vrt_image image = {0}, small = {0};
    struct vrt_resampler r = {0};
    struct vrt_error e;
    int64_t i;
    while (!atomic_load(&b->failed) && (i = atomic_fetch_add(&b->next, 1)) < b->count)
        if (!decode_and_resize(b, i, &image, &small, &r, &e) && !atomic_exchange(&b->failed, true))
            b->error = e;
    vrt_image_free(&image);
    vrt_image_free(&small);
    vrt_resampler_free(&r);
    return NULL;
}

static bool bare_epoch(const struct vrt_loader_options *o, int64_t count, double *speed,
                       struct vrt_error *e)
{
    struct bare b = {
        .dataset = o->dataset, .transform = &o->transform, .limit = o->limit, .count = count};
    pthread_t threads[THREADS_MAX];
    double began = vrt_seconds();
    int n = 0;
    while (n < o->threads && pthread_create(&threads[n], NULL, bare_work, &b) == 0)
        n++;
    if (n < o->threads)
        atomic_store(&b.failed, true);
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    if (n < o->threads)
        return vrt_fail(e, VRT_BAD_INPUT, "cannot start thread %d; use fewer --threads", n + 1);
    if (atomic_load(&b.failed)) {
        *e = b.error;
        return false;
    }
    *speed = (double)count / (vrt_seconds() - began);
    return true;
}

/* -- both -- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, compare);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2.0;
}

static bool measure(struct vrt_loader_options *o, double seconds, struct measured *m,
                    struct vrt_error *e)
{
    double loaded[ROUNDS_MAX], bare[ROUNDS_MAX], end = 0;
    int64_t count = vrt_dataset_count(o->dataset);
    const struct vrt_transform *t = &o->transform;
    float *input = malloc((size_t)(o->batch * t->height * t->width * t->channels) * sizeof *input);
    int32_t *labels = malloc((size_t)o->batch * sizeof *labels);
    bool ok = (input != NULL && labels != NULL) ||
              vrt_fail(e, VRT_NO_MEMORY, "no memory for a batch of pictures");
    if (o->limit > 0 && o->limit < count)
        count = o->limit;
    ok = ok && bare_epoch(o, count, &bare[0], e); /* files into memory */
    int n = 0;
    end = vrt_seconds() + seconds;
    while (ok && n < ROUNDS_MAX && (n < ROUNDS_MIN || vrt_seconds() < end)) {
        o->epoch = n;
        ok = load_epoch(o, input, labels, &loaded[n], e) && bare_epoch(o, count, &bare[n], e);
        n++;
    }
    if (ok)
        *m = (struct measured){median(loaded, n), median(bare, n)};
    free(input);
    free(labels);
    return ok;
}

static void report(const struct vrt_options *o, int threads, struct measured m)
{
    if (o->json)
        vrt_print(
            stdout,
            "{\"mode\":\"data\",\"threads\":%d,\"images_per_s\":%.3f,\"bare_images_per_s\":%.3f,"
            "\"ratio\":%.4f}\n",
            threads, m.loaded, m.bare, m.loaded / m.bare);
    else
        vrt_print(
            stdout,
            "data: %d threads: %.1f images/s; decoding and resizing alone %.1f images/s: %.0f "
            "%% of it\n",
            threads, m.loaded, m.bare, 100.0 * m.loaded / m.bare);
}

int vrt_bench_data(const struct vrt_options *o, const struct vrt_settings *s, struct vrt_error *e)
{
    struct vrt_dataset *train = NULL;
    struct measured m;
    bool ok = vrt_open_train(s, &train, e);
    struct vrt_loader_options lo = {
        .dataset = train,
        .transform = vrt_settings_transform(s, o->program, true),
        .train = true,
        .batch = o->program->micro,
        .seed = (uint64_t)s->seed,
        .threads = vrt_threads_wanted(o),
        .limit = (int64_t)s->limit,
    };
    if (lo.threads > THREADS_MAX)
        lo.threads = THREADS_MAX;
    if (ok && vrt_dataset_count(train) < lo.batch)
        lo.batch = vrt_dataset_count(train);
    ok = ok && measure(&lo, o->seconds, &m, e);
    if (ok)
        report(o, lo.threads, m);
    vrt_dataset_close(train);
    return ok ? VRT_OK : (int)e->code;
}
