/* The command `bench`: the speed of the network alone, on made-up pictures; with --data, that of
 * loading alone: bench_data.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/base/random.h"
#include "runtime/base/thread.h"
#include "runtime/io/progress.h"
#include "runtime/program/command.h"
#include "runtime/program/message.h"
#include "runtime/program/model.h"
#include "runtime/program/options.h"
#include "runtime/program/settings.h"

enum { TIMES_MIN = 5, TIMES_MAX = 100000, WARM_UP = 2 };

static void fill_inputs(struct vrt_model *m, uint64_t seed)
{
    const struct vrt_program *p = m->program;
    float *input = vrt_model_floats(m, VRT_INPUT);
    int64_t n = m->ctx.images * p->height * p->width * p->channels;
    struct vrt_random r;
    vrt_random_start(&r, seed, VRT_RANDOM_GRADCHECK, 0, 1);
    for (int64_t i = 0; i < n; i++)
        input[i] = (float)vrt_random_normal(&r);
    if (m->bytes[VRT_TARGET] == 0)
        return;
    float *target = vrt_model_floats(m, VRT_TARGET);
    memset(target, 0, (size_t)m->bytes[VRT_TARGET]);
    for (int64_t i = 0; i < m->ctx.images; i++)
        target[i * p->classes + i % p->classes] = 1.0f;
}

/* A whole optimiser step; with a learning rate of 0 the weights stay what they are. */
static void call_train(struct vrt_model *m)
{
    m->program->train(&m->ctx);
    m->program->norm(&m->ctx);
    m->program->update(&m->ctx);
    m->program->pack_train(&m->ctx);
}

static double time_call(struct vrt_model *m, bool train)
{
    double began = vrt_seconds();
    if (train)
        call_train(m);
    else
        m->program->eval(&m->ctx);
    return vrt_seconds() - began;
}

static int compare_times(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median_time(struct vrt_model *m, bool train, double seconds, double *times)
{
    int n = 0;
    for (int i = 0; i < WARM_UP; i++)
        time_call(m, train);
    double end = vrt_seconds() + seconds;
    do
        times[n++] = time_call(m, train);
    while (n < TIMES_MAX && (n < TIMES_MIN || vrt_seconds() < end));
    qsort(times, (size_t)n, sizeof *times, compare_times);
    return n % 2 ? times[n / 2] : (times[n / 2 - 1] + times[n / 2]) / 2.0;
}

/* Of a forward pass: 2 per multiply-add; training costs about three of them (the convention of the
 * field). */
static bool flops_per_image(const struct vrt_program *p, bool train, double *out,
                            struct vrt_error *e)
{
    json_t *info = vrt_json_read(p->info_json, strlen(p->info_json), 0, "the program's table", e);
    *out = (train ? 6.0 : 2.0) * json_number_value(json_object_get(info, "macs"));
    json_decref(info);
    return info != NULL;
}

/* How many tokens each expert gets, and so the speed, depends on the weights: --weights gives those
 * of a training. */
static bool set_weights(struct vrt_model *m, const struct vrt_options *o,
                        const struct vrt_settings *s, struct vrt_error *e)
{
    char *classes = NULL;
    if (o->weights == NULL)
        vrt_model_init(m, (uint64_t)s->seed);
    else if (!vrt_load_weights(m, o, s, &classes, e))
        return false;
    free(classes);
    (o->train ? m->program->pack_train : m->program->pack_eval)(&m->ctx);
    return true;
}

static bool set_up(struct vrt_model *m, const struct vrt_options *o, const struct vrt_settings *s,
                   struct vrt_error *e)
{
    const struct vrt_program *p = o->program;
    int64_t batch = o->batch > 0 ? o->batch : p->micro;
    if (batch > p->micro || (o->train && batch % p->group != 0))
        return vrt_fail(e, VRT_USAGE,
                        "--batch is at most %lld here, the train.micro of %s, and for --train a "
                        "multiple of the routing group, %lld",
                        (long long)p->micro, p->spec_file, (long long)p->group);
    if (!vrt_model_open(m, p, o->train ? VRT_FOR_TRAIN : VRT_FOR_EVAL, vrt_threads_wanted(o), e))
        return false;
    struct vrt_ctx *c = &m->ctx;
    c->images = batch;
    c->seed = (uint64_t)s->seed;
    c->loss_scale = 1.0 / (double)batch;
    c->balance_scale = (double)m->group / (double)batch;
    c->beta1 = 0.9;
    c->beta2 = 0.999;
    c->bias1 = c->bias2 = c->grad_scale = 1.0;
    fill_inputs(m, c->seed);
    return set_weights(m, o, s, e);
}

static void report(const struct vrt_model *m, const struct vrt_options *o, double seconds,
                   double flops)
{
    const char *mode = o->train ? "train" : "eval";
    int threads = vrt_threads_count(&m->ctx);
    double images = (double)m->ctx.images, speed = images / seconds, each = 1e3 * seconds / images;
    double gflops = flops * speed / 1e9;
    if (o->json)
        vrt_print(stdout,
                  "{\"mode\":\"%s\",\"batch\":%lld,\"threads\":%d,\"images_per_s\":%.3f,\"ms_per_"
                  "image\":%.6f,"
                  "\"gflops\":%.3f}\n",
                  mode, (long long)m->ctx.images, threads, speed, each, gflops);
    else
        vrt_print(stdout,
                  "%s: batch %lld, %d threads: %.1f images/s, %.3f ms per image, %.1f GFLOP/s\n",
                  mode, (long long)m->ctx.images, threads, speed, each, gflops);
}

static bool asks_for_data(const struct vrt_options *o)
{
    int64_t root = vrt_options_key(o->program, "data.root");
    return root >= 0 && o->keys[root].given;
}

int vrt_command_bench(const struct vrt_options *o, struct vrt_error *e)
{
    struct vrt_model m = {0};
    struct vrt_settings s;
    if (!vrt_settings_read(&s, o, e))
        return (int)e->code;
    if (asks_for_data(o))
        return vrt_bench_data(o, &s, e);
    double flops, *times = calloc(TIMES_MAX, sizeof *times);
    bool ok = times != NULL || vrt_fail(e, VRT_NO_MEMORY, "no memory for the measurements");
    ok = ok && flops_per_image(o->program, o->train, &flops, e) && set_up(&m, o, &s, e);
    if (ok)
        report(&m, o, median_time(&m, o->train, o->seconds, times), flops);
    vrt_model_close(&m);
    free(times);
    return ok ? VRT_OK : (int)e->code;
}
