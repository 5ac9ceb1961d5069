/* Threads by OpenMP (libgomp), and the one GEMM by OpenBLAS.
 *
 * Tasks are handed out one at a time in any order: the tiles behind them depend on shapes only and no two tasks write
 * the same place, so results do not depend on the number of threads. */
#include "runtime/base/thread.h"

#include <cblas.h>
#include <omp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/vrt.h"

#define ALIGNMENT 64
#define MAX_THREADS 1024

struct vrt_threads {
    int count;
    size_t stride;              /* bytes from one thread's scratch to the next */
    uint8_t *scratch;
};

/* A data pointer cannot be cast to a function's in ISO C; their bytes are the same wherever this runs. */
static struct vrt_task_signature signature(void *task) {
    struct vrt_task_signature s;

    memcpy(&s.run, &task, sizeof task);
    return s;
}

void vrt_parallel(void *ctx, void *task, int64_t count) {
    struct vrt_ctx *c = ctx;
    const struct vrt_threads *t = c->runtime;
    void (*run)(void *, int64_t, void *) = signature(task).run;

    if (t->count == 1 || count <= 1) {
        for (int64_t i = 0; i < count; i++)
            run(ctx, i, t->scratch);
        return;
    }
#pragma omp parallel for schedule(dynamic, 1) num_threads(t->count)
    for (int64_t i = 0; i < count; i++)
        run(ctx, i, t->scratch + t->stride * (size_t)omp_get_thread_num());
}

void vrt_gemm_tn(void *c, int64_t ldc, void *a, int64_t lda, void *b, int64_t ldb, int64_t m, int64_t n, int64_t k) {
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)m, (blasint)n, (blasint)k, 1.0f, a, (blasint)lda, b,
                (blasint)ldb, 1.0f, c, (blasint)ldc);
}

/* Bring up the team and OpenBLAS's buffers now: one small product on each thread. */
static void warm_up(int threads) {
#pragma omp parallel num_threads(threads)
    {
        float x[16] = {0}, y[16] = {0}, z[16] = {0};
        vrt_gemm_tn(z, 4, x, 4, y, 4, 4, 4, 4);
    }
}

bool vrt_threads_start(struct vrt_ctx *ctx, int threads, int64_t scratch_bytes, struct vrt_error *e) {
    struct vrt_threads *t;
    size_t stride, total;

    if (threads < 1 || threads > MAX_THREADS)
        return vrt_fail(e, VRT_USAGE, "--threads must be 1 to %d, not %d", MAX_THREADS, threads);
    if (__builtin_add_overflow((size_t)scratch_bytes, (size_t)(2 * ALIGNMENT - 1), &stride) || scratch_bytes < 0 ||
        __builtin_mul_overflow(stride & ~(size_t)(ALIGNMENT - 1), (size_t)threads, &total))
        return vrt_fail(e, VRT_INTERNAL, "scratch of %lld bytes for %d threads does not fit", (long long)scratch_bytes,
                        threads);
    t = malloc(sizeof *t);
    if (t == NULL)
        return vrt_fail(e, VRT_BAD_INPUT, "no memory for the threads");
    *t = (struct vrt_threads){threads, stride & ~(size_t)(ALIGNMENT - 1), aligned_alloc(ALIGNMENT, total)};
    if (t->scratch == NULL) {
        free(t);
        return vrt_fail(e, VRT_BAD_INPUT, "no memory for %d scratch blocks of %lld bytes; use fewer --threads", threads,
                        (long long)scratch_bytes);
    }
    memset(t->scratch, 0, total);
    omp_set_dynamic(0);
    openblas_set_num_threads(1);
    warm_up(threads);
    ctx->runtime = t;
    return true;
}

void vrt_threads_stop(struct vrt_ctx *ctx) {
    struct vrt_threads *t = ctx->runtime;

    if (t == NULL)
        return;
    free(t->scratch);
    free(t);
    ctx->runtime = NULL;
}

int vrt_threads_count(const struct vrt_ctx *ctx) {
    const struct vrt_threads *t = ctx->runtime;

    return t->count;
}

int vrt_threads_available(void) {
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;

    return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
}
