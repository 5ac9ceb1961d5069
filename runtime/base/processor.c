/* What the processor has: see processor.h. CPUID tells what it can, XGETBV which registers the
 * system saves. */
#include "runtime/base/processor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/show.h"

enum state { PLAIN, YMM, ZMM, APX };
enum where { EAX, EBX, ECX, EDX };

static const struct feature {
    const char *text;
    int level;
    unsigned leaf, subleaf;
    enum where where;
    int bit;
    enum state state;
} features[] = {
#define FEATURE(name, text, level, leaf, subleaf, where, bit, state) \
    {text, level, leaf, subleaf, where, bit, state},
#include "runtime/processor.def"
#undef FEATURE
};
enum { NFEATURES = sizeof features / sizeof *features };
_Static_assert(NFEATURES <= 64, "a row is a bit of a set");

#ifdef __x86_64__
#include <cpuid.h>

enum { OSXSAVE = 1 << 27 };

/* XCR0: bits of the registers that the system saves. */
static uint64_t saved_registers(void)
{
    unsigned a = 0, b, c = 0, d = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (uint64_t)d << 32 | a;
}

static bool has(const struct feature *f, uint64_t saved)
{
    static const uint64_t masks[] = {[YMM] = 0x6, [ZMM] = 0xe6, [APX] = 1 << 19};
    unsigned r[4];
    return __get_cpuid_count(f->leaf, f->subleaf, &r[EAX], &r[EBX], &r[ECX], &r[EDX]) &&
           (r[f->where] >> f->bit & 1) && (saved & masks[f->state]) == masks[f->state];
}

uint64_t vrt_processor_set(void)
{
    uint64_t set = 0, saved = saved_registers();
    for (int i = 0; i < NFEATURES; i++)
        set |= (uint64_t)has(&features[i], saved) << i;
    return set;
}
#else
uint64_t vrt_processor_set(void)
{
    return UINT64_MAX;
}
#endif

/* The highest level of which nothing is missing; below 2 there is none. */
static int level_of(uint64_t set)
{
    int level = 4;
    for (int i = 0; i < NFEATURES; i++)
        if (!(set >> i & 1) && features[i].level > 0 && features[i].level <= level)
            level = features[i].level - 1;
    return level;
}

static void list_missing(uint64_t missing, char *text, size_t size)
{
    const char *last = "";
    size_t n = 0;
    for (int i = 0; i < NFEATURES && n < size; i++) {
        if (!(missing >> i & 1) || strcmp(features[i].text, last) == 0)
            continue;
        last = features[i].text;
        n += (size_t)snprintf(text + n, size - n, "%s%s", n > 0 ? ", " : "", last);
    }
}

bool vrt_processor_check(uint64_t needs, uint64_t has, const char *spec, struct vrt_error *e)
{
    char text[600] = "";
    int level = level_of(has);
    if ((needs & ~has) == 0)
        return true;
    list_missing(needs & ~has, text, sizeof text);
    if (level < 2)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "this processor lacks instructions of the program (%s), and vmoec builds "
                        "for none older than x86-64-v2; run it on another machine",
                        text);
    char file[VRT_WORD];
    return vrt_fail(e, VRT_BAD_INPUT,
                    "this processor lacks instructions of the program (%s); build it for this one "
                    "with: vmoec build %s --target x86-64-v%d",
                    text, vrt_quote(file, sizeof file, spec), level);
}
