/* The compute threads.
 *
 * Tasks are handed out one at a time in any order: the tiles behind them depend on shapes only and
 * no two tasks write the same place, so results do not depend on the number of threads.
 *
 * The threads are our own because a step is hundreds of short launches: an OpenMP region ends only
 * when every thread of the team has arrived, so a busy neighbour on one core stalls each of them,
 * whereas here a launch ends when its tasks are done, whoever did them. */
#include "runtime/base/thread.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/base/blas.h"
#include "runtime/vrt.h"

#define ALIGNMENT 64

#define SPINS 2000 /* some 50 microseconds before a thread sleeps */

/* The ticket says which tasks of the present launch are left: its upper half is the number of
 * tasks, its lower half the next one. One addition takes a task and tells in the same breath
 * whether there was one; run and ctx are only read by whoever holds a task of this launch, and
 * change only when all of them are done. */
struct vrt_threads {
    int count;
    size_t stride; /* bytes from one thread's scratch to the next */
    uint8_t *scratch;
    pthread_t *others;
    int started;       /* of the others */
    _Atomic int ready; /* of those, who may call BLAS */
    void (*run)(void *, int64_t, void *);
    void *ctx;
    _Atomic uint64_t ticket;
    _Atomic int64_t done;
    _Atomic uint32_t launch; /* counts launches: what sleepers wait on */
    _Atomic int sleepers;
    atomic_bool stop;
};

struct start {
    struct vrt_threads *t;
    int index;
};

/* A data pointer cannot be cast to a function's in ISO C; their bytes are the same wherever this
 * runs. */
static struct vrt_task_signature signature(void *task)
{
    struct vrt_task_signature s;

    memcpy(&s.run, &task, sizeof task);
    return s;
}

static bool left(uint64_t ticket)
{
    return (ticket & UINT32_MAX) < ticket >> 32;
}

/* Take tasks until there are none. */
static void work(struct vrt_threads *t, void *scratch)
{
    while (left(atomic_load_explicit(&t->ticket, memory_order_acquire))) {
        uint64_t mine = atomic_fetch_add_explicit(&t->ticket, 1, memory_order_acq_rel);
        if (!left(mine))
            return;
        t->run(t->ctx, (int64_t)(mine & UINT32_MAX), scratch);
        atomic_fetch_add_explicit(&t->done, 1, memory_order_release);
    }
}

static void pause_briefly(int spins)
{
    if (spins > SPINS)
        sched_yield();
#if defined __x86_64__ || defined __i386__
    else
        __builtin_ia32_pause();
#endif
}

static void sleep_until_launch(struct vrt_threads *t, uint32_t seen)
{
    atomic_fetch_add(&t->sleepers, 1);
    if (atomic_load(&t->launch) == seen && !atomic_load(&t->stop))
        syscall(SYS_futex, &t->launch, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    atomic_fetch_sub(&t->sleepers, 1);
}

static void wake(struct vrt_threads *t)
{
    atomic_fetch_add(&t->launch, 1);
    if (atomic_load(&t->sleepers) > 0)
        syscall(SYS_futex, &t->launch, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void *thread_main(void *argument)
{
    struct start start = *(struct start *)argument;
    struct vrt_threads *t = start.t;
    uint8_t *scratch = t->scratch + t->stride * (size_t)start.index;
    uint32_t seen = atomic_load(&t->launch);

    free(argument);
    vrt_blas_calm();
    atomic_fetch_add(&t->ready, 1);
    while (!atomic_load(&t->stop)) {
        work(t, scratch);
        for (int i = 0; i < SPINS && atomic_load_explicit(&t->launch, memory_order_acquire) == seen;
             i++)
            pause_briefly(0);
        if (atomic_load(&t->launch) == seen)
            sleep_until_launch(t, seen);
        seen = atomic_load(&t->launch);
    }
    return NULL;
}

static void launch(struct vrt_threads *t, void (*run)(void *, int64_t, void *), void *ctx,
                   int64_t count)
{
    if (t->count == 1 || count <= 1 || count > INT_MAX) {
        for (int64_t i = 0; i < count; i++)
            run(ctx, i, t->scratch);
        return;
    }
    t->run = run;
    t->ctx = ctx;
    atomic_store_explicit(&t->done, 0, memory_order_relaxed);
    atomic_store_explicit(&t->ticket, (uint64_t)count << 32, memory_order_release);
    wake(t);
    work(t, t->scratch);
    for (int spins = 0; atomic_load_explicit(&t->done, memory_order_acquire) < count; spins++)
        pause_briefly(spins);
}

void vrt_parallel(void *ctx, void *task, int64_t count)
{
    struct vrt_ctx *c = ctx;

    launch(c->runtime, signature(task).run, ctx, count);
}

struct share {
    const struct vrt_threads *t;
    void (*run)(void *, int64_t, int);
    void *data;
};

static void run_share(void *ctx, int64_t i, void *scratch)
{
    const struct share *s = ctx;

    s->run(s->data, i, (int)((size_t)((uint8_t *)scratch - s->t->scratch) / s->t->stride));
}

void vrt_threads_share(const struct vrt_ctx *ctx, int64_t count,
                       void (*run)(void *data, int64_t i, int thread), void *data)
{
    struct share s = {ctx->runtime, run, data};

    launch(ctx->runtime, run_share, &s, count);
}

static void stop_threads(struct vrt_threads *t)
{
    atomic_store(&t->stop, true);
    wake(t);
    for (int i = 0; i < t->started; i++)
        pthread_join(t->others[i], NULL);
    free(t->others);
    free(t->scratch);
    free(t);
}

/* The caller is thread 0. Signals stay with it. */
static bool start_threads(struct vrt_threads *t)
{
    sigset_t all, before;
    bool ok = true;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 1; i < t->count && ok; i++) {
        struct start *start = malloc(sizeof *start);
        ok = start != NULL;
        if (!ok)
            break;
        *start = (struct start){t, i};
        ok = pthread_create(&t->others[t->started], NULL, thread_main, start) == 0;
        if (ok)
            t->started++;
        else
            free(start);
    }
    while (atomic_load(&t->ready) < t->started)
        sched_yield();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

static void *new_scratch(size_t total)
{
    size_t alignment = total >= VRT_HUGE_PAGE ? VRT_HUGE_PAGE : ALIGNMENT,
           whole = (total + alignment - 1) / alignment * alignment;
    void *scratch = aligned_alloc(alignment, whole);

    if (scratch == NULL)
        return NULL;
    if (alignment == VRT_HUGE_PAGE)
        madvise(scratch, whole, MADV_HUGEPAGE);
    return memset(scratch, 0, whole);
}

bool vrt_threads_start(struct vrt_ctx *ctx, int threads, int64_t scratch_bytes, struct vrt_error *e)
{
    struct vrt_threads *t;
    size_t stride, total;

    if (threads < 1 || threads > VRT_MAX_THREADS)
        return vrt_fail(e, VRT_USAGE, "--threads must be 1 to %d, not %d", VRT_MAX_THREADS,
                        threads);
    if (__builtin_add_overflow((size_t)scratch_bytes, (size_t)(2 * ALIGNMENT - 1), &stride) ||
        scratch_bytes < 0 ||
        __builtin_mul_overflow(stride & ~(size_t)(ALIGNMENT - 1), (size_t)threads, &total))
        return vrt_fail(e, VRT_INTERNAL, "scratch of %lld bytes for %d threads does not fit",
                        (long long)scratch_bytes, threads);
    t = calloc(1, sizeof *t);
    if (t == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for the threads");
    t->count = threads;
    t->stride = stride & ~(size_t)(ALIGNMENT - 1);
    t->scratch = new_scratch(total);
    t->others = calloc((size_t)threads, sizeof *t->others);
    if (t->scratch == NULL || t->others == NULL) {
        stop_threads(t);
        return vrt_fail(e, VRT_NO_MEMORY,
                        "no memory for %d scratch blocks of %lld bytes; use fewer --threads",
                        threads, (long long)scratch_bytes);
    }
    vrt_blas_calm();
    if (!start_threads(t)) {
        stop_threads(t);
        return vrt_fail(e, VRT_BAD_INPUT, "cannot start %d threads; use fewer --threads", threads);
    }
    ctx->runtime = t;
    return true;
}

void vrt_threads_stop(struct vrt_ctx *ctx)
{
    if (ctx->runtime != NULL)
        stop_threads(ctx->runtime);
    ctx->runtime = NULL;
}

int vrt_threads_count(const struct vrt_ctx *ctx)
{
    const struct vrt_threads *t = ctx->runtime;

    return t->count;
}
