/* peak THREADS SECONDS: what these cores can do in fused multiply-adds, GFLOP/s of all threads
 * together: the median of windows of about 2 ms, of all threads at once. The loop is written in
 * assembly so that nothing of it can be folded away: enough accumulators to hide the latency (4
 * cycles, two a cycle), of the widest vectors there are. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined(__x86_64__)

enum { WINDOWS_MAX = 100000, REPEATS = 40000 };

static pthread_barrier_t start;
static double seconds;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#define FMA(n, v, a, b) "vfmadd231ps %%" v #a ", %%" v #b ", %%" v #n "\n\t"
#define ONES                                                                                      \
    "vpcmpeqd %%xmm14, %%xmm14, %%xmm14\n\tvpsrld $25, %%xmm14, %%xmm14\n\tvpslld $23, %%xmm14, " \
    "%%xmm14\n\t" /* 1.0 */

/* 12 accumulators of 8 floats; 14 and 15 hold 1. */
static double run_ymm(void)
{
    int64_t n = REPEATS;
    __asm__ volatile(ONES "vbroadcastss %%xmm14, %%ymm14\n\tvmovaps %%ymm14, %%ymm15\n\t"
                          "1:\n\t" FMA(0, "ymm", 14, 15) FMA(1, "ymm", 14, 15) FMA(2, "ymm", 14, 15)
                              FMA(3, "ymm", 14, 15) FMA(4, "ymm", 14, 15) FMA(5, "ymm", 14, 15)
                                  FMA(6, "ymm", 14, 15) FMA(7, "ymm", 14, 15) FMA(8, "ymm", 14, 15)
                                      FMA(9, "ymm", 14, 15) FMA(10, "ymm", 14, 15)
                                          FMA(11, "ymm", 14, 15) "dec %0\n\tjnz 1b\n\t"
                     : "+r"(n)::"cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                       "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm14", "xmm15");
    return 2.0 * 8 * 12 * REPEATS;
}

#if defined(__AVX512F__)
/* 24 accumulators of 16 floats. */
static double run_zmm(void)
{
    int64_t n = REPEATS;
    __asm__ volatile(
        ONES
        "vbroadcastss %%xmm14, %%zmm30\n\tvmovaps %%zmm30, %%zmm31\n\t"
        "1:\n\t" FMA(0, "zmm", 30, 31) FMA(1, "zmm", 30, 31) FMA(2, "zmm", 30, 31)
            FMA(3, "zmm", 30, 31) FMA(4, "zmm", 30, 31) FMA(5, "zmm", 30, 31) FMA(6, "zmm", 30, 31)
                FMA(7, "zmm", 30, 31) FMA(8, "zmm", 30, 31) FMA(9, "zmm", 30, 31)
                    FMA(10, "zmm", 30, 31) FMA(11, "zmm", 30, 31) FMA(12, "zmm", 30, 31)
                        FMA(13, "zmm", 30, 31) FMA(14, "zmm", 30, 31) FMA(15, "zmm", 30, 31)
                            FMA(16, "zmm", 30, 31) FMA(17, "zmm", 30, 31) FMA(18, "zmm", 30, 31)
                                FMA(19, "zmm", 30, 31) FMA(20, "zmm", 30, 31) FMA(21, "zmm", 30, 31)
                                    FMA(22, "zmm", 30, 31)
                                        FMA(23, "zmm", 30, 31) "dec %0\n\tjnz 1b\n\t"
        : "+r"(n)::"cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
          "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18",
          "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm30", "xmm31");
    return 2.0 * 16 * 24 * REPEATS;
}
#else
#define run_zmm run_ymm
#endif

static int compare_speeds(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void *measure(void *speed)
{
    double (*run)(void) = __builtin_cpu_supports("avx512f") ? run_zmm : run_ymm,
           *all = calloc(WINDOWS_MAX, sizeof *all);
    int n = 0;
    if (all == NULL)
        abort();
    pthread_barrier_wait(&start);
    for (double begin = now(), t = begin; n < WINDOWS_MAX && (n < 3 || t - begin < seconds); n++) {
        double flops = run(), end = now();
        all[n] = flops / (end - t) / 1e9;
        t = end;
    }
    qsort(all, (size_t)n, sizeof *all, compare_speeds);
    *(double *)speed = all[n / 2];
    free(all);
    return NULL;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    seconds = argc > 2 ? atof(argv[2]) : 1.0;
    __builtin_cpu_init();
    if (threads < 1 || threads > 1024 || !__builtin_cpu_supports("fma"))
        return 1;
    pthread_t ids[1024];
    double speeds[1024], sum = 0.0;
    pthread_barrier_init(&start, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, measure, &speeds[i]) != 0)
            return 1;
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        sum += speeds[i];
    }
    printf("%.3f\n", sum);
    return 0;
}

#else

int main(void) /* no loop for this processor yet */
{
    return 1;
}

#endif
