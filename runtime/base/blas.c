/* OpenBLAS, opened while the program runs: see blas.h. Input: BLAS_FOLDER, where the flavour lies
 * that vmoe was configured with; its rivals share one name. */
#include "runtime/base/blas.h"

#include <cblas.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/base/thread.h"

#define NAME "libopenblas.so.0"

static struct {
    __typeof__(cblas_sgemm) *sgemm;
    __typeof__(openblas_set_num_threads) *set_threads;
    void *(*take)(int); /* the memory of a running product; the library keeps what is given back */
    void (*give)(void *);
} blas;

/* Where there is no room OpenBLAS tries again for ever, so it is tried here first: the library with
 * those that it needs, a buffer of its own and one for each thread. */
static bool has_room(int threads, struct vrt_error *e)
{
    const size_t library = (size_t)80 << 20, buffer = (size_t)128 << 20,
                 bytes = library + buffer * ((size_t)threads + 1);
    void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return vrt_fail(e, VRT_NO_MEMORY,
                        "no memory: OpenBLAS takes %zu MiB of address space for %d threads; use "
                        "fewer --threads or raise the limit (ulimit -v), or build the program for "
                        "a processor with FMA (--target x86-64-v3)",
                        bytes >> 20, threads);
    munmap(room, bytes);
    return true;
}

/* A library that was loaded before it, by LD_PRELOAD, stands in front of it. */
static bool find(void *function, const char *name)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL;
}

static bool load(struct vrt_error *e)
{
    const char *why;
    /* No threads of its own, which would take memory too. */
    setenv("OMP_NUM_THREADS", "1", 1);
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    if (dlopen(BLAS_FOLDER "/" NAME, RTLD_NOW | RTLD_GLOBAL) == NULL &&
        dlopen(NAME, RTLD_NOW | RTLD_GLOBAL) == NULL) {
        why = dlerror();
        return vrt_fail(e, VRT_BAD_INPUT,
                        "this program needs OpenBLAS to train, and it cannot be opened: %.300s; "
                        "install it (Debian: libopenblas0-openmp), or build the program for a "
                        "processor with FMA (--target x86-64-v3)",
                        why != NULL ? why : NAME);
    }
    find(&blas.take, "blas_memory_alloc");
    find(&blas.give, "blas_memory_free");
    return (find(&blas.set_threads, "openblas_set_num_threads") &&
            find(&blas.sgemm, "cblas_sgemm")) ||
           vrt_fail(e, VRT_BAD_INPUT, "%s is not OpenBLAS: it lacks cblas_sgemm", NAME);
}

/* The buffers of so many products at once. */
static bool take_memory(int threads, struct vrt_error *e)
{
    void **buffers = calloc((size_t)threads, sizeof *buffers);
    if (buffers == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for OpenBLAS");
    for (int i = 0; i < threads; i++)
        buffers[i] = blas.take(0);
    for (int i = 0; i < threads; i++)
        blas.give(buffers[i]);
    free(buffers);
    return true;
}

bool vrt_blas_open(int threads, struct vrt_error *e)
{
    if (!has_room(threads, e) || (blas.sgemm == NULL && !load(e)))
        return false;
    return blas.take == NULL || blas.give == NULL || take_memory(threads, e);
}

/* The build with OpenMP asks the calling thread how many threads it may start, so each of ours has
 * to be told 1; that call must not meet a product, nor another such call. */
void vrt_blas_calm(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    if (blas.set_threads == NULL)
        return;
    pthread_mutex_lock(&lock);
    blas.set_threads(1);
    pthread_mutex_unlock(&lock);
}

void vrt_gemm_tn(void *c, int64_t ldc, void *a, int64_t lda, void *b, int64_t ldb, int64_t m,
                 int64_t n, int64_t k)
{
    blas.sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)m, (blasint)n, (blasint)k, 1.0f, a,
               (blasint)lda, b, (blasint)ldb, 1.0f, c, (blasint)ldc);
}
