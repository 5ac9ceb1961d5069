/* Decoding ahead. Input: a data set and how to change its pictures; output: batches, in order.
 *
 * Threads take pictures one by one in the order of the epoch and put them into a ring of batches;
 * the caller copies out the oldest. A picture's floats depend on (seed, epoch, its number in the
 * data set), so neither the number of threads nor the size of a batch changes them; nor do they
 * change what stands in for a picture that cannot be read. */
#include "runtime/data/loader.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/data/augment.h"
#include "runtime/data/dataset.h"

#define SLOTS       3   /* batches being filled or waiting */
#define MAX_THREADS 256 /* more are not started */
#define MAX_COPIES  16  /* one word of the random numbers' counter holds both */
#define MAX_EPOCH   0xFFFFFF

struct unread { /* pictures that could not be read, in any order until they are delivered */
    struct vrt_unread *rows;
    int64_t count, room;
};

struct slot {
    float *input;
    int32_t *labels;
    int64_t done; /* pictures, good or bad */
    struct unread unread;
    bool failed; /* nothing can be delivered, for this reason: */
    struct vrt_error error;
};

struct place {
    int64_t picture, copy;
};

struct worker {
    struct vrt_loader *loader;
    pthread_t thread;
    struct vrt_scratch scratch;
};

struct vrt_loader {
    struct vrt_loader_options options;
    struct vrt_pipeline pipeline;
    uint32_t *order; /* the epoch's pictures, among those within the limit; NULL: 0, 1, 2, ... */
    int64_t count, pixels; /* pictures of the epoch, floats of one */
    struct slot slots[SLOTS];
    struct worker *workers;
    int started;
    double waited;
    struct unread given;  /* of the batch delivered last */
    int64_t row;          /* pictures in a row, up to there, that could not be read (evaluation) */
    pthread_mutex_t lock; /* guards what follows, and the slots' counts and errors */
    pthread_cond_t room, ready; /* for workers: a slot came free; for the caller: a batch is done */
    int64_t next;               /* the next picture to take */
    int64_t batch;              /* the next batch to deliver */
    bool stop;
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Fisher-Yates under (seed, epoch). */
static void shuffle(uint32_t *order, int64_t count, uint64_t seed, int64_t epoch)
{
    struct vrt_random random;

    vrt_random_start(&random, seed, VRT_RANDOM_SHUFFLE, (uint32_t)epoch, 0);
    for (int64_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t j = (int64_t)vrt_random_below(&random, (uint64_t)i + 1);
        uint32_t swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}

/* What stands at place p of the epoch: with copies, blocks of `apart` pictures stand that many
 * times. */
static struct place place_of(const struct vrt_loader *l, int64_t p)
{
    const struct vrt_loader_options *o = &l->options;
    int64_t copy = 0;

    if (o->copies > 1) {
        int64_t block = o->copies * o->apart;
        copy = p % block / o->apart;
        p = p / block * o->apart + p % o->apart;
    }
    return (struct place){
        vrt_dataset_spread(o->dataset, o->limit, l->order != NULL ? (int64_t)l->order[p] : p),
        copy};
}

int64_t vrt_loader_picture(const struct vrt_loader *l, int64_t place)
{
    return place_of(l, place).picture;
}

/* Read, change and store the picture at place p of the epoch. */
static bool prepare(struct worker *w, int64_t p, float *input, int32_t *label, struct vrt_error *e)
{
    const struct vrt_loader *l = w->loader;
    const struct vrt_loader_options *o = &l->options;
    struct place at = place_of(l, p);
    struct vrt_random random;

    *label = (int32_t)vrt_dataset_label(o->dataset, at.picture);
    if (!vrt_dataset_read(o->dataset, at.picture, o->transform.channels, &w->scratch.image, e))
        return false;
    vrt_random_start(&random, o->seed, VRT_RANDOM_AUGMENT,
                     (uint32_t)o->epoch + ((uint32_t)at.copy << 24), (uint32_t)at.picture);
    return vrt_pipeline_apply(&l->pipeline, &w->scratch.image, &w->scratch,
                              o->train && !o->plain ? &random : NULL, input, e);
}

/* In place of a picture that cannot be read: which one depends on the epoch's order alone, so not
 * on memory. */
static bool stand_in(struct worker *w, int64_t p, float *input, int32_t *label, struct vrt_error *e)
{
    const struct vrt_loader *l = w->loader;
    /* copies may be neighbours */
    int64_t tries = VRT_UNREAD_ROW * (l->options.copies > 1 ? l->options.copies : 1);

    if (e->code == VRT_NO_MEMORY)
        return false;
    if (!l->options.train) {
        memset(input, 0, (size_t)l->pixels * sizeof *input);
        return true;
    }
    for (int64_t k = 1; k < tries && k < l->count && e->code != VRT_NO_MEMORY; k++)
        if (prepare(w, (p + k) % l->count, input, label, e))
            return true;
    return false;
}

/* Called with the lock held. */
static void note_unread(struct vrt_loader *l, struct slot *s, int64_t p,
                        const struct vrt_error *error)
{
    struct unread *u = &s->unread;

    if (error->code == VRT_NO_MEMORY)
        return;
    if (u->count == u->room) {
        struct vrt_unread *more =
            realloc(u->rows, (size_t)(u->room + VRT_UNREAD_ROW) * sizeof *more);
        if (more == NULL) {
            s->failed =
                !vrt_fail(&s->error, VRT_NO_MEMORY, "no memory to note that %.400s", error->text);
            return;
        }
        u->rows = more;
        u->room += VRT_UNREAD_ROW;
    }
    u->rows[u->count] =
        (struct vrt_unread){.place = p % l->options.batch, .picture = vrt_loader_picture(l, p)};
    snprintf(u->rows[u->count++].reason, VRT_UNREAD_TEXT, "%.*s", VRT_UNREAD_TEXT - 1, error->text);
}

/* Nothing could be put into the slot: why not, of the first and the last picture tried. Called with
 * the lock held. */
static void fail_slot(struct slot *s, const struct vrt_error *first, const struct vrt_error *last)
{
    if (s->failed)
        return;
    s->failed = true;
    if (last->code == VRT_NO_MEMORY)
        s->error = *last;
    else
        vrt_fail(&s->error, VRT_BAD_INPUT,
                 "%.900s; nor can any of those after it: are the data still there?", first->text);
}

/* Pictures in batch b. */
static int64_t batch_size(const struct vrt_loader *l, int64_t b)
{
    int64_t left = l->count - b * l->options.batch;

    return left < 0 ? 0 : left < l->options.batch ? left : l->options.batch;
}

/* The next picture to do, -1 when there are no more. Called with the lock held. */
static int64_t take(struct vrt_loader *l)
{
    while (!l->stop && l->next < l->count && l->next / l->options.batch >= l->batch + SLOTS)
        pthread_cond_wait(&l->room, &l->lock);
    return l->stop || l->next >= l->count ? -1 : l->next++;
}

static void *work(void *argument)
{
    struct worker *w = argument;
    struct vrt_loader *l = w->loader;
    struct vrt_error error, last;
    int64_t p;

    pthread_mutex_lock(&l->lock);
    while ((p = take(l)) >= 0) {
        int64_t batch = p / l->options.batch, place = p % l->options.batch;
        struct slot *s = &l->slots[batch % SLOTS];
        float *input = s->input + place * l->pixels;
        bool read, ok;
        pthread_mutex_unlock(&l->lock);
        read = prepare(w, p, input, s->labels + place, &error);
        if (!read)
            last = error;
        ok = read || stand_in(w, p, input, s->labels + place, &last);
        pthread_mutex_lock(&l->lock);
        if (!read)
            note_unread(l, s, p, &error);
        if (!ok)
            fail_slot(s, &error, &last);
        if (++s->done == batch_size(l, batch))
            pthread_cond_signal(&l->ready);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* Signals are for the main thread. */
static bool start_workers(struct vrt_loader *l, struct vrt_error *e)
{
    sigset_t all, before;
    int failed = 0;

    l->workers = calloc((size_t)l->options.threads, sizeof *l->workers);
    if (l->workers == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for %d loader threads", l->options.threads);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    for (int i = 0; i < l->options.threads && failed == 0; i++) {
        l->workers[i].loader = l;
        failed = pthread_create(&l->workers[i].thread, NULL, work, &l->workers[i]);
        l->started += failed == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0)
        return vrt_fail(e, VRT_BAD_INPUT, "cannot start loader thread %d: %s; use fewer --threads",
                        l->started + 1, strerror(failed));
    return true;
}

static bool make_slots(struct vrt_loader *l, struct vrt_error *e)
{
    const struct vrt_transform *t = &l->options.transform;
    size_t floats;

    l->pixels = (int64_t)t->channels * t->height * t->width;
    if (__builtin_mul_overflow((size_t)l->pixels, (size_t)l->options.batch, &floats) ||
        floats > SIZE_MAX / 8)
        return vrt_fail(e, VRT_BAD_INPUT, "a batch of %lld pictures does not fit into memory",
                        (long long)l->options.batch);
    for (int i = 0; i < SLOTS; i++) {
        struct slot *s = &l->slots[i];
        s->input = malloc(floats * sizeof *s->input);
        s->labels = malloc((size_t)l->options.batch * sizeof *s->labels);
        if (s->input == NULL || s->labels == NULL)
            return vrt_fail(e, VRT_NO_MEMORY,
                            "no memory for %d batches of %lld pictures; use a smaller micro", SLOTS,
                            (long long)l->options.batch);
    }
    return true;
}

static bool make_order(struct vrt_loader *l, struct vrt_error *e)
{
    const struct vrt_loader_options *o = &l->options;

    l->count = vrt_dataset_count(o->dataset);
    if (o->limit > 0 && o->limit < l->count)
        l->count = o->limit;
    if (!o->train)
        return true;
    if (l->count < o->batch)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "%lld pictures are fewer than one batch of %lld; use a smaller batch",
                        (long long)l->count, (long long)o->batch);
    l->order = malloc((size_t)l->count * sizeof *l->order);
    if (l->order == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for the order of %lld pictures",
                        (long long)l->count);
    shuffle(l->order, l->count, o->seed, o->epoch);
    l->count -= l->count % o->batch;
    return true;
}

static bool check_options(const struct vrt_loader_options *o, struct vrt_error *e)
{
    if (o->batch < 1 || o->batch > VRT_IMAGE_MAX_PIXELS)
        return vrt_fail(e, VRT_BAD_INPUT, "a batch of %lld pictures is not possible",
                        (long long)o->batch);
    if (o->threads < 1)
        return vrt_fail(e, VRT_INTERNAL, "%d loader threads are not possible", o->threads);
    if (o->copies < 0 || o->copies > MAX_COPIES || (o->copies > 1 && o->apart < 1))
        return vrt_fail(e, VRT_INTERNAL, "%lld copies of a picture, %lld apart, are not possible",
                        (long long)o->copies, (long long)o->apart);
    if (o->epoch < 0 || o->epoch > MAX_EPOCH || o->first_batch < 0 || o->limit < 0)
        return vrt_fail(e, VRT_INTERNAL, "the loader cannot start at epoch %lld, batch %lld",
                        (long long)o->epoch, (long long)o->first_batch);
    return true;
}

bool vrt_loader_open(struct vrt_loader **out, const struct vrt_loader_options *o,
                     struct vrt_error *e)
{
    struct vrt_loader *l = calloc(1, sizeof *l);

    *out = NULL;
    if (l == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for the loader");
    l->options = *o;
    if (o->threads > MAX_THREADS)
        l->options.threads = MAX_THREADS;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->room, NULL);
    pthread_cond_init(&l->ready, NULL);
    if (!check_options(o, e) || !vrt_pipeline_make(&l->pipeline, &o->transform, e) ||
        !make_order(l, e) || !make_slots(l, e)) {
        vrt_loader_close(l);
        return false;
    }
    l->batch = o->first_batch < l->count ? o->first_batch
                                         : l->count; /* beyond the end: nothing to deliver */
    l->next = l->batch < l->count / o->batch + 1 ? l->batch * o->batch : l->count;
    if (!start_workers(l, e)) {
        vrt_loader_close(l);
        return false;
    }
    *out = l;
    return true;
}

void vrt_loader_close(struct vrt_loader *l)
{
    if (l == NULL)
        return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->room);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->started; i++)
        pthread_join(l->workers[i].thread, NULL);
    for (int i = 0; l->workers != NULL && i < l->options.threads; i++)
        vrt_scratch_free(&l->workers[i].scratch);
    for (int i = 0; i < SLOTS; i++) {
        free(l->slots[i].input);
        free(l->slots[i].labels);
        free(l->slots[i].unread.rows);
    }
    pthread_cond_destroy(&l->room);
    pthread_cond_destroy(&l->ready);
    pthread_mutex_destroy(&l->lock);
    free(l->given.rows);
    free(l->workers);
    free(l->order);
    free(l);
}

/* The slot of the batch to deliver, complete. */
static struct slot *wait_for_batch(struct vrt_loader *l)
{
    struct slot *s = &l->slots[l->batch % SLOTS];
    double start = now();

    pthread_mutex_lock(&l->lock);
    while (s->done < batch_size(l, l->batch))
        pthread_cond_wait(&l->ready, &l->lock);
    pthread_mutex_unlock(&l->lock);
    l->waited += now() - start;
    return s;
}

static int by_place(const void *a, const void *b)
{
    const struct vrt_unread *left = a, *right = b;

    return left->place < right->place ? -1 : left->place > right->place;
}

/* Take over what the slot says of pictures that could not be read. At evaluation a row of them goes
 * on from batch to batch. */
static bool take_unread(struct vrt_loader *l, struct slot *s, int64_t n, struct vrt_error *e)
{
    struct unread empty = l->given;
    int64_t before = -1;

    l->given = s->unread;
    s->unread = empty;
    s->unread.count = 0;
    if (l->given.count > 0)
        qsort(l->given.rows, (size_t)l->given.count, sizeof *l->given.rows, by_place);
    if (l->given.count > 0 && !vrt_dataset_there(l->options.dataset, e))
        return false;
    for (int64_t i = 0; i < l->given.count && !l->options.train; i++) {
        const struct vrt_unread *u = &l->given.rows[i];
        l->row = u->place == before + 1 ? l->row + 1 : 1;
        before = u->place;
        if (l->row >= VRT_UNREAD_ROW) {
            vrt_fail(e, VRT_BAD_INPUT,
                     "%.900s; nor could the %d pictures before it: are the data still there?",
                     u->reason, VRT_UNREAD_ROW - 1);
            return false;
        }
    }
    if (before != n - 1)
        l->row = 0;
    return true;
}

bool vrt_loader_next(struct vrt_loader *l, float *input, int32_t *labels, int64_t *n,
                     struct vrt_error *e)
{
    int64_t count = batch_size(l, l->batch);
    struct slot *s;

    *n = 0;
    l->given.count = 0;
    if (count == 0)
        return true;
    s = wait_for_batch(l);
    if (!take_unread(l, s, count, e))
        return false;
    if (s->failed) {
        *e = s->error;
        return false;
    }
    *n = count;
    memcpy(input, s->input, (size_t)(count * l->pixels) * sizeof *input);
    memcpy(labels, s->labels, (size_t)count * sizeof *labels);
    pthread_mutex_lock(&l->lock);
    s->done = 0;
    l->batch++;
    pthread_cond_broadcast(&l->room);
    pthread_mutex_unlock(&l->lock);
    return true;
}

const struct vrt_unread *vrt_loader_unread(const struct vrt_loader *l, int64_t *n)
{
    *n = l->given.count;
    return l->given.rows;
}

double vrt_loader_waited(const struct vrt_loader *l)
{
    return l->waited;
}
