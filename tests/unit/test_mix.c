/* Mixup and cutmix: shares as Beta distributions have them, boxes of the area that the target says,
 * pairs within their groups. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/data/mix.h"

enum { DRAWS = 100000, SIZE = 32 };

static struct vrt_mix draw(const struct vrt_mix_options *o, int i)
{
    struct vrt_random r;
    vrt_random_start(&r, 7, VRT_RANDOM_MIX, 0, (uint32_t)i);
    return vrt_mix_draw(o, SIZE, SIZE, &r);
}

/* Beta(a, a): mean 1/2, variance 1 / (4 (2a + 1)), fourth central moment 3 / (16 (2a + 1) (2a +
 * 3)). */
static void shares(void **state)
{
    static const double alphas[] = {0.2, 0.8, 1, 3};
    (void)state;
    for (int k = 0; k < 4; k++) {
        const struct vrt_mix_options o = {.mixup = alphas[k], .probability = 1, .cut = 1};
        double a = alphas[k], sum = 0, squares = 0, variance = 1 / (4 * (2 * a + 1));
        double fourth = 3 / (16 * (2 * a + 1) * (2 * a + 3));
        for (int i = 0; i < DRAWS; i++) {
            struct vrt_mix m = draw(&o, i);
            assert_true(m.on && !m.cut && m.keep >= 0 && m.keep <= 1);
            sum += m.keep;
            squares += (m.keep - 0.5) * (m.keep - 0.5);
        }
        assert_true(fabs(sum / DRAWS - 0.5) < 5 * sqrt(variance / DRAWS));
        assert_true(fabs(squares / DRAWS - variance) <
                    5 * sqrt((fourth - variance * variance) / DRAWS));
    }
}

static void probabilities(void **state)
{
    const struct vrt_mix_options o = {.mixup = 0.8, .cutmix = 1, .probability = 0.7, .cut = 0.4},
                                 none = {.probability = 1};
    int on = 0, cut = 0;
    (void)state;
    for (int i = 0; i < DRAWS; i++) {
        struct vrt_mix m = draw(&o, i);
        on += m.on;
        cut += m.cut;
        assert_true(m.on || !m.cut);
    }
    assert_true(abs(on - (int)(0.7 * DRAWS)) < 5 * sqrt(0.21 * DRAWS));
    assert_true(abs(cut - (int)(0.28 * DRAWS)) < 5 * sqrt(0.2016 * DRAWS));
    assert_false(draw(&none, 0).on);
}

/* The box is in the picture, its area is what the target loses; uncut by the edges it has the drawn
 * share. */
static void boxes(void **state)
{
    const struct vrt_mix_options o = {.cutmix = 1, .probability = 1};
    double kept = 0;
    (void)state;
    for (int i = 0; i < DRAWS; i++) {
        struct vrt_mix m = draw(&o, i);
        assert_true(m.on && m.cut);
        assert_true(m.top >= 0 && m.left >= 0 && m.bottom <= SIZE && m.right <= SIZE &&
                    m.top <= m.bottom && m.left <= m.right);
        assert_true(fabs(m.keep - (1 - (m.bottom - m.top) * (m.right - m.left) /
                                           (double)(SIZE * SIZE))) < 1e-6);
        kept += m.keep;
    }
    /* With side s of a unit picture, uniform, s^2 uniform, the expected length inside is s - s^2/4:
     * the mean of its square over s^2 in (0, 1), 1/2 - 2/10 + 1/48, is lost. Rounding down to even
     * pixels adds a little. */
    assert_true(fabs(kept / DRAWS - (1 - 77.0 / 240)) < 0.04);
}

/* Every pixel comes from one of the two, in the shares that were drawn; pairs never leave their
 * group. */
static void pictures(void **state)
{
    enum { N = 12, GROUP = 6, H = 4, W = 5, C = 3 };
    static float x[N][H][W][C];
    const struct vrt_mix blend = {.on = true, .keep = 0.75f},
                         cut = {
                             .on = true, .cut = true, .top = 1, .bottom = 3, .left = 2, .right = 5};
    const struct vrt_mix *const ways[] = {&blend, &cut};
    (void)state;
    for (int k = 0; k < 2; k++) {
        for (int64_t i = 0; i < (int64_t)(sizeof x / sizeof(float)); i++)
            (&x[0][0][0][0])[i] = (float)(i / (H * W * C));
        vrt_mix_apply(ways[k], &x[0][0][0][0], N, GROUP, H, W, C);
        for (int n = 0; n < N; n++) {
            int64_t partner = vrt_mix_partner(n, GROUP);
            assert_true(partner / GROUP == n / GROUP && vrt_mix_partner(partner, GROUP) == n);
            for (int i = 0; i < H * W * C; i++) {
                int row = i / (W * C), column = i / C % W;
                bool inside = row >= 1 && row < 3 && column >= 2;
                float expected = k == 0   ? 0.75f * (float)n + 0.25f * (float)partner
                                 : inside ? (float)partner
                                          : (float)n;
                assert_true(fabsf(x[n][row][column][i % C] - expected) < 1e-6f * N);
            }
        }
    }
}

/* In a group of an odd number the middle one stays alone. */
static void odd_groups(void **state)
{
    float x[] = {1, 2, 3};
    const struct vrt_mix m = {.on = true, .keep = 0.5f};
    (void)state;
    vrt_mix_apply(&m, x, 3, 3, 1, 1, 1);
    assert_true(x[0] == 2 && x[1] == 2 && x[2] == 2);
    x[1] = 7;
    vrt_mix_apply(&m, x, 3, 3, 1, 1, 1);
    assert_true(x[0] == 2 && x[1] == 7 && x[2] == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares),   cmocka_unit_test(probabilities), cmocka_unit_test(boxes),
        cmocka_unit_test(pictures), cmocka_unit_test(odd_groups),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("mix", tests, NULL, NULL);
    return 0;
}
