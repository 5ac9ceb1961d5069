/* Random numbers: the published test vectors of Philox4x32-10, streams, ranges. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/base/random.h"

static void words_are(struct vrt_random *r, const uint32_t expected[4])
{
    for (int i = 0; i < 4; i++)
        assert_int_equal(vrt_random_u32(r), expected[i]);
}

/* Known answers of Random123: counter and key all zeros, and all ones. */
static void known_answers(void **state)
{
    static const uint32_t zeros[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    static const uint32_t ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    struct vrt_random r;

    (void)state;
    vrt_random_start(&r, 0, (enum vrt_purpose)0, 0, 0);
    words_are(&r, zeros);
    vrt_random_start(&r, UINT64_MAX, (enum vrt_purpose)UINT32_MAX, UINT32_MAX, UINT32_MAX);
    r.block = UINT32_MAX;
    words_are(&r, ones);
}

static uint32_t first_word(uint64_t seed, enum vrt_purpose purpose, uint32_t a, uint32_t b)
{
    struct vrt_random r;

    vrt_random_start(&r, seed, purpose, a, b);
    return vrt_random_u32(&r);
}

/* Every part of the name of a stream matters, the high half of the seed too. */
static void streams_differ(void **state)
{
    uint32_t base = first_word(1, VRT_RANDOM_AUGMENT, 2, 3);

    (void)state;
    assert_int_equal(base, first_word(1, VRT_RANDOM_AUGMENT, 2, 3));
    assert_int_not_equal(base, first_word(2, VRT_RANDOM_AUGMENT, 2, 3));
    assert_int_not_equal(base, first_word(1 | 1ull << 32, VRT_RANDOM_AUGMENT, 2, 3));
    assert_int_not_equal(base, first_word(1, VRT_RANDOM_SHUFFLE, 2, 3));
    assert_int_not_equal(base, first_word(1, VRT_RANDOM_AUGMENT, 3, 3));
    assert_int_not_equal(base, first_word(1, VRT_RANDOM_AUGMENT, 2, 2));
}

static void below_is_uniform(void **state)
{
    int64_t counts[7] = {0};
    struct vrt_random r;

    (void)state;
    vrt_random_start(&r, 9, VRT_RANDOM_SHUFFLE, 0, 0);
    assert_int_equal(vrt_random_below(&r, 1), 0);
    for (int i = 0; i < 70000; i++) {
        uint64_t v = vrt_random_below(&r, 7);
        assert_true(v < 7);
        counts[v]++;
    }
    for (int i = 0; i < 7; i++)
        assert_true(counts[i] > 9600 && counts[i] < 10400);
    for (int i = 0; i < 100; i++)
        assert_true(vrt_random_below(&r, (1ull << 63) + 1) <= 1ull << 63);
}

static void moments(void **state)
{
    double sum = 0, squares = 0, mean = 0;
    struct vrt_random r;
    const int n = 100000;

    (void)state;
    vrt_random_start(&r, 5, VRT_RANDOM_INIT, 0, 0);
    for (int i = 0; i < n; i++) {
        double z = vrt_random_normal(&r), u = vrt_random_uniform(&r);
        assert_true(isfinite(z) && u >= 0 && u < 1);
        sum += z;
        squares += z * z;
        mean += u;
    }
    assert_true(fabs(sum / n) < 0.015);
    assert_true(fabs(squares / n - 1) < 0.02);
    assert_true(fabs(mean / n - 0.5) < 0.005);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(streams_differ),
        cmocka_unit_test(below_is_uniform),
        cmocka_unit_test(moments),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("random", tests, NULL, NULL);
    return 0;
}
