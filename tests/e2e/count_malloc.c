/* A library to preload: counts calls of malloc and its kin, on the main thread and in all, and
 * writes both numbers into the file that COUNT_MALLOC names when the program ends.
 *
 * Built with the address sanitizer it may not take malloc's place; the sanitizer then tells it of
 * every allocation. */
#include "config.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_long of_main, of_all;

static void count(void)
{
    atomic_fetch_add(&of_all, 1);
    if (syscall(SYS_gettid) == getpid())
        atomic_fetch_add(&of_main, 1);
}

static __attribute__((destructor)) void report(void)
{
    long main_calls = of_main, all_calls = of_all; /* before fopen's own */
    const char *path = getenv("COUNT_MALLOC");
    FILE *f = path != NULL ? fopen(path, "w") : NULL;
    if (f == NULL)
        return;
    fprintf(f, "%ld %ld\n", main_calls, all_calls);
    fclose(f);
}

#ifdef VMOE_SANITIZE

void __sanitizer_malloc_hook(const volatile void *block, size_t size);

void __sanitizer_malloc_hook(const volatile void *block, size_t size)
{
    (void)block;
    (void)size;
    count();
}

#else

/* glibc's own, under their second names: these need no symbol lookup, which would itself
 * allocate. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t align, size_t size);

void *malloc(size_t size)
{
    count();
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    count();
    return __libc_calloc(n, size);
}

void *realloc(void *block, size_t size)
{
    count();
    return __libc_realloc(block, size);
}

void *aligned_alloc(size_t align, size_t size)
{
    count();
    return __libc_memalign(align, size);
}

void *memalign(size_t align, size_t size);

void *memalign(size_t align, size_t size)
{
    count();
    return __libc_memalign(align, size);
}

int posix_memalign(void **block, size_t align, size_t size)
{
    count();
    *block = __libc_memalign(align, size);
    return *block == NULL;
}

#endif
