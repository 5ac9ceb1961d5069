/* What the judge of derivatives says of functions whose derivative is known: smooth ones, sharp
 * ones, with kinks, with noise, flat, not finite. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/program/derivative.h"

static const double noise = 3e-8; /* of values in single precision near 1 */

struct function {
    double (*f)(double x);
    double claim_noise;
};

/* Numbers of deviation 1 that look random, the same for the same x. */
static double noise_at(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    double sum = 0;
    for (int i = 0; i < 12; i++) {
        bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9u + 0x9e3779b97f4a7c15u;
        sum += (double)(bits >> 11) * 0x1p-53;
    }
    return sum - 6;
}

static double value(void *data, double step)
{
    const struct function *f = data;
    return f->f(step) + noise * noise_at(step);
}

static double claim_noise(void *data)
{
    return ((const struct function *)data)->claim_noise;
}

static enum vrt_verdict judge_noisy(double f(double), double claimed, double of_claim)
{
    struct function function = {f, of_claim};
    struct vrt_line line = {.value = value,
                            .data = &function,
                            .centre = value(&function, 0),
                            .length = 1,
                            .noise = noise,
                            .claim_noise = claim_noise};
    return vrt_derivative_judge(&line, claimed).verdict;
}

static enum vrt_verdict judge(double f(double), double claimed)
{
    return judge_noisy(f, claimed, 0);
}

/* The derivative is right, 2 % more or less and other numbers are wrong. */
static void knows(double f(double), double derivative)
{
    assert_int_equal(judge(f, derivative), VRT_RIGHT);
    assert_int_equal(judge(f, 1.02 * derivative), VRT_WRONG);
    assert_int_equal(judge(f, 0.98 * derivative), VRT_WRONG);
    assert_int_equal(judge(f, -derivative), VRT_WRONG);
    assert_int_equal(judge(f, 0), VRT_WRONG);
    assert_int_equal(judge(f, 1e6 * derivative), VRT_WRONG);
}

static double smooth(double x)
{
    return exp(0.1 * sin(x)) + 0.3 * x * x;
}

static double steep(double x)
{
    return exp(30 * x) / 100;
}

static double step(double x)
{
    return tanh(1000 * x + 0.5) / 2;
}

static double waves(double x)
{
    return sin(300 * x + 1) / 100;
}

static void test_smooth(void **state)
{
    (void)state;
    knows(smooth, 0.1);
    knows(steep, 0.3);
    knows(step, 500 / (cosh(0.5) * cosh(0.5)));
    knows(waves, 3 * cos(1));
}

static double kink_near(double x)
{
    return 0.2 * x + 0.5 * fmax(x - 0.01, 0);
}

static double end_near(double x)
{
    return exp(fmin(x + 0.3, 0.31));
}

/* Beyond the radius at which they begin kinks do no harm. */
static void test_kink_near(void **state)
{
    (void)state;
    knows(kink_near, 0.2);
    knows(end_near, exp(0.3));
}

static double kink_here(double x)
{
    return 0.5 * x + fmax(x, 0);
}

static double kink_close(double x)
{
    return 0.5 * x + fmax(x - 1e-7, 0);
}

static double many_kinks(double x)
{
    double sum = 0;
    for (int i = 2; i < 400; i++)
        sum += fmax(x - 1.0 / (i * i), 0);
    return 0.1 * x + sum / 400;
}

/* At a kink no number between the slopes of both sides is wrong, nor surely right. */
static void test_kink_here(void **state)
{
    (void)state;
    for (double claimed = 0.5; claimed <= 1.5; claimed += 0.125) {
        assert_int_not_equal(judge(kink_here, claimed), VRT_WRONG);
        assert_int_not_equal(judge(kink_close, claimed), VRT_WRONG);
    }
    assert_int_equal(judge(kink_here, 0.5), VRT_UNCLEAR_SHAPE);
    assert_int_equal(judge(kink_here, -1), VRT_WRONG);
    assert_int_equal(judge(kink_here, 3), VRT_WRONG);
    assert_int_not_equal(judge(many_kinks, 0.1), VRT_WRONG);
}

static double faint(double x)
{
    return 1 + 1e-6 * x;
}

static double constant(double x)
{
    (void)x;
    return 1;
}

static double end_passed(double x)
{
    return exp(fmin(x + 0.3, 0.2));
}

/* Little is known of what hardly changes, but not nothing. */
static void test_noise(void **state)
{
    (void)state;
    assert_int_equal(judge(faint, 1e-6), VRT_UNCLEAR_NOISE);
    assert_int_equal(judge(faint, 0), VRT_UNCLEAR_NOISE);
    assert_int_equal(judge(faint, 1e-3), VRT_WRONG);
    assert_int_equal(judge(constant, 1e-8), VRT_UNCLEAR_NOISE);
    assert_int_equal(judge(constant, 1e-3), VRT_WRONG);
    assert_int_not_equal(judge(end_passed, 0), VRT_WRONG);
    assert_int_equal(judge(end_passed, 0.5), VRT_WRONG);
}

/* A claim that is itself noisy is wrong only beyond its noise. */
static void test_noisy_claim(void **state)
{
    (void)state;
    assert_int_equal(judge_noisy(smooth, 0.11, 0.005), VRT_UNCLEAR_NOISE);
    assert_int_equal(judge_noisy(smooth, 0.11, 0.0005), VRT_WRONG);
}

static double silent(void *data, double step)
{
    (void)data;
    (void)step;
    return 1;
}

/* What does not change at all, not even by noise, surely has no derivative. */
static void test_flat(void **state)
{
    struct function none = {NULL, 0};
    struct vrt_line line = {.value = silent,
                            .data = &none,
                            .centre = 1,
                            .length = 1,
                            .noise = noise,
                            .claim_noise = claim_noise};
    (void)state;
    assert_int_equal(vrt_derivative_judge(&line, 0).verdict, VRT_RIGHT);
    assert_int_equal(vrt_derivative_judge(&line, 1e-3).verdict, VRT_WRONG);
}

static double overflows(double x)
{
    return x > 0 ? INFINITY : x;
}

static double nowhere(double x)
{
    return x * NAN;
}

static double far_away(double x)
{
    return fabs(x) > 0.25 ? NAN : smooth(x);
}

static void test_not_finite(void **state)
{
    (void)state;
    assert_int_equal(judge(overflows, 1), VRT_UNCLEAR_VALUE);
    assert_int_equal(judge(nowhere, 1), VRT_UNCLEAR_VALUE);
    assert_int_equal(judge(smooth, NAN), VRT_WRONG);
    knows(far_away, 0.1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smooth),      cmocka_unit_test(test_kink_near),
        cmocka_unit_test(test_kink_here),   cmocka_unit_test(test_noise),
        cmocka_unit_test(test_noisy_claim), cmocka_unit_test(test_flat),
        cmocka_unit_test(test_not_finite),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("derivative", tests, NULL, NULL);
    return 0;
}
