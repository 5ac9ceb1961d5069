/* A library to preload that makes allocations fail.
 *
 * Counted are those that our code makes, itself or through a library that works for it (jansson,
 * libarchive, libjpeg, libpng, zlib, the C library); not those of the loader, LLVM and OpenBLAS. A
 * place is a chain of callers, and the J-th call from it is the same one in each run, whatever the
 * threads do beside it.
 *
 *   MEMORY_LIST=FILE     a line for each place: its name and how many calls there were
 *   MEMORY_PLACE=NAME    the J-th call from this place fails
 *   MEMORY_CALL=J        1, 2, ...; 1 if it is not given
 *   MEMORY_REST=1        and so do all counted calls after it
 *   MEMORY_LLVM=K        instead, the K-th call that LLVM makes fails; 0: none, for the count
 *   MEMORY_TRACE=FILE    who made the call that failed, an address in its file a line
 *
 * The clock stands still, so that what a run prints and writes is the same each time. */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <unwind.h>

enum { PLACES = 1 << 14, DEPTH = 40 };

static struct {
    _Atomic uint64_t name;
    atomic_long calls;
} places[PLACES];

enum kind { OURS, OF_C, OF_LLVM, OF_OTHERS };

static uint64_t wanted;
static long wanted_call = 1, wanted_llvm = -1;
static bool rest, ready;
static const char *list, *trace;
static atomic_bool failing; /* the wanted call has been */
static atomic_long llvm_calls;
static __thread __attribute__((tls_model("initial-exec"))) bool inside;

/* -- who calls -- */

struct chain {
    int n;
    enum kind kind; /* of the first that is not the C library */
    bool known;
    uint64_t name;
    const char *file[DEPTH];
    uintptr_t at[DEPTH];
};

/* A file of the program's memory. The program itself has no name. */
static enum kind kind_of(const char *file)
{
    static const struct {
        const char *part;
        enum kind kind;
    } kinds[] = {
        {"/libc.so", OF_C},       {"/ld-linux", OF_C},      {"fail_memory.so", OF_C},
        {"/libLLVM", OF_LLVM},    {"/libstdc++", OF_LLVM},  {"/libopenblas", OF_OTHERS},
        {"/libblas", OF_OTHERS},  {"/libgomp", OF_OTHERS},  {"/libgfortran", OF_OTHERS},
        {"/libgcc_s", OF_OTHERS}, {"/libclang", OF_OTHERS},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strstr(file, kinds[i].part) != NULL)
            return kinds[i].kind;
    return OURS;
}

static _Unwind_Reason_Code add_caller(struct _Unwind_Context *context, void *argument)
{
    struct chain *c = argument;
    struct dl_find_object object;
    uintptr_t pc = _Unwind_GetIP(context);
    if (pc == 0 || _dl_find_object((void *)(pc - 1), &object) != 0)
        return _URC_END_OF_STACK;
    const char *file = object.dlfo_link_map->l_name;
    enum kind kind = kind_of(file);
    if (kind == OF_C && !c->known)
        return _URC_NO_REASON;
    if (!c->known)
        c->kind = kind;
    c->known = true;
    c->file[c->n] = file;
    c->at[c->n] = pc - 1 - (uintptr_t)object.dlfo_map_start;
    c->name = (c->name ^ c->at[c->n] ^ strlen(file)) * 0x100000001b3;
    return c->kind != OURS || ++c->n == DEPTH ? _URC_END_OF_STACK : _URC_NO_REASON;
}

/* -- which call fails -- */

static void tell_chain(const struct chain *c)
{
    FILE *f = trace != NULL ? fopen(trace, "a") : NULL;
    for (int i = 0; f != NULL && i < c->n; i++)
        fprintf(f, "%s %#lx\n", *c->file[i] ? c->file[i] : "-", (unsigned long)c->at[i]);
    if (f != NULL)
        fclose(f);
}

static long count_call(uint64_t name)
{
    for (size_t i = name % PLACES, tried = 0; tried < PLACES; i = (i + 1) % PLACES, tried++) {
        uint64_t none = 0;
        if (places[i].name == name ||
            atomic_compare_exchange_strong(&places[i].name, &none, name) || none == name)
            return atomic_fetch_add(&places[i].calls, 1) + 1;
    }
    abort();
}

static bool is_wanted(const struct chain *c)
{
    if (c->kind == OF_LLVM)
        return wanted_llvm >= 0 && atomic_fetch_add(&llvm_calls, 1) + 1 == wanted_llvm;
    if (c->kind != OURS)
        return false;
    long call = count_call(c->name);
    if (rest && failing)
        return true;
    bool it_is = c->name == wanted && call == wanted_call;
    failing = failing || it_is;
    return it_is;
}

static bool fails(void)
{
    if (!ready || inside)
        return false;
    inside = true;
    struct chain c = {.name = 0xcbf29ce484222325};
    _Unwind_Backtrace(add_caller, &c);
    bool it_fails = c.known && is_wanted(&c);
    if (it_fails)
        tell_chain(&c);
    inside = false;
    if (it_fails)
        errno = ENOMEM;
    return it_fails;
}

/* What the program starts is not preloaded. */
static __attribute__((constructor)) void begin(void)
{
    const char *place = getenv("MEMORY_PLACE"), *call = getenv("MEMORY_CALL"),
               *llvm = getenv("MEMORY_LLVM");
    wanted = place != NULL ? strtoull(place, NULL, 16) : 0;
    wanted_call = call != NULL ? atol(call) : 1;
    wanted_llvm = llvm != NULL ? atol(llvm) : -1;
    rest = getenv("MEMORY_REST") != NULL;
    list = getenv("MEMORY_LIST");
    trace = getenv("MEMORY_TRACE");
    unsetenv("LD_PRELOAD");
    ready = true;
}

static __attribute__((destructor)) void report(void)
{
    ready = false;
    FILE *f = list != NULL ? fopen(list, "w") : NULL;
    if (f == NULL)
        return;
    for (size_t i = 0; i < PLACES; i++)
        if (places[i].name != 0)
            fprintf(f, "%016llx %ld\n", (unsigned long long)places[i].name, (long)places[i].calls);
    if (wanted_llvm >= 0)
        fprintf(f, "llvm %ld\n", (long)llvm_calls);
    fclose(f);
}

/* -- calls -- */

/* glibc's own, under their second names: these need no symbol lookup, which would itself
 * allocate. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t align, size_t size);

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *block, size_t size)
{
    return fails() ? NULL : __libc_realloc(block, size);
}

void *aligned_alloc(size_t align, size_t size)
{
    return fails() ? NULL : __libc_memalign(align, size);
}

void *memalign(size_t align, size_t size);

void *memalign(size_t align, size_t size)
{
    return fails() ? NULL : __libc_memalign(align, size);
}

int posix_memalign(void **block, size_t align, size_t size)
{
    void *made = fails() ? NULL : __libc_memalign(align, size);
    if (made == NULL)
        return ENOMEM;
    *block = made;
    return 0;
}

/* -- the clock -- */

time_t time(time_t *out)
{
    if (out != NULL)
        *out = 1000000000;
    return 1000000000;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    *t = (struct timespec){.tv_sec = clock == CLOCK_REALTIME ? 1000000000 : 1};
    return 0;
}
