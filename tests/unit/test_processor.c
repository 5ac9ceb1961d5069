/* Whether a processor can run a program: made-up sets of instructions, and this processor's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/processor.h"

/* The set of one instruction; all rows of that name must be of one bit. */
static uint64_t one(const char *wanted)
{
    static const char *const names[] = {
#define FEATURE(name, ...) name,
#include "runtime/processor.def"
#undef FEATURE
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], wanted) == 0)
            return (uint64_t)1 << i;
    fail_msg("%s is not in the table", wanted);
    return 0;
}

/* All of x86-64-vN. */
static uint64_t level(int n)
{
    static const int levels[] = {
#define FEATURE(name, text, level, ...) level,
#include "runtime/processor.def"
#undef FEATURE
    };
    uint64_t set = 0;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (levels[i] > 0 && levels[i] <= n)
            set |= (uint64_t)1 << i;
    return set;
}

static void runs(uint64_t needs, uint64_t has)
{
    struct vrt_error e = {.text = ""};
    assert_true(vrt_processor_check(needs, has, "a.vmoe", &e));
    assert_string_equal(e.text, "");
}

static void lacks(uint64_t needs, uint64_t has, const char *what, const char *advice)
{
    struct vrt_error e;
    assert_false(vrt_processor_check(needs, has, "a.vmoe", &e));
    assert_int_equal(e.code, VRT_BAD_INPUT);
    assert_null(strchr(e.text, '\n'));
    if (strstr(e.text, what) == NULL || strstr(e.text, advice) == NULL)
        fail_msg("%s: neither `%s` nor `%s`?", e.text, what, advice);
}

static void decides(void **state)
{
    const uint64_t native = level(4) | one("avx512bf16") | one("gfni");

    (void)state;
    for (int needs = 1; needs <= 4; needs++)
        for (int has = needs; has <= 4; has++)
            runs(level(needs), level(has));
    runs(native, native);
    runs(0, 0);
    lacks(level(4), level(3), "(AVX-512)", "vmoec build a.vmoe --target x86-64-v3");
    lacks(level(3), level(2), "(AVX, AVX2, BMI, BMI2, F16C, FMA, LZCNT, MOVBE)",
          "--target x86-64-v2");
    lacks(level(4), level(2), "AVX2, BMI, ", "--target x86-64-v2");
    lacks(level(2), 0, "SSE4.2", "for none older than x86-64-v2");
    lacks(level(4), level(2) & ~one("popcnt"), "POPCNT, AVX", "for none older than x86-64-v2");
    lacks(native, level(4), "(AVX-512 BF16, GFNI)", "--target x86-64-v4");
    lacks(level(4), level(4) & ~one("avx512vl"), "(AVX-512)", "--target x86-64-v3");
    lacks(native, native & ~one("fma"), "(FMA)", "--target x86-64-v2");
    lacks(UINT64_MAX, 0, "SSE4.2", "none older");
}

static void tells_this_processor(void **state)
{
    (void)state;
#ifdef __x86_64__
    uint64_t set = vrt_processor_set();
#define SAME(name, theirs) assert_true(!(set & one(name)) == !__builtin_cpu_supports(theirs))
    SAME("popcnt", "popcnt");
    SAME("sse3", "sse3");
    SAME("ssse3", "ssse3");
    SAME("sse4.1", "sse4.1");
    SAME("sse4.2", "sse4.2");
    SAME("avx", "avx");
    SAME("avx2", "avx2");
    SAME("bmi", "bmi");
    SAME("bmi2", "bmi2");
    SAME("fma", "fma");
    SAME("avx512f", "avx512f");
    SAME("avx512dq", "avx512dq");
    SAME("avx512cd", "avx512cd");
    SAME("avx512bw", "avx512bw");
    SAME("avx512vl", "avx512vl");
    SAME("avx512ifma", "avx512ifma");
    SAME("avx512vbmi", "avx512vbmi");
    SAME("avx512vbmi2", "avx512vbmi2");
    SAME("avx512vnni", "avx512vnni");
    SAME("avx512bitalg", "avx512bitalg");
    SAME("avx512vpopcntdq", "avx512vpopcntdq");
    SAME("avx512bf16", "avx512bf16");
    SAME("gfni", "gfni");
    SAME("sse4a", "sse4a");
    SAME("xop", "xop");
    SAME("fma4", "fma4");
#else
    assert_true(vrt_processor_set() == UINT64_MAX);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(decides),
                                       cmocka_unit_test(tells_this_processor)};

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("processor", tests, NULL, NULL);
}
