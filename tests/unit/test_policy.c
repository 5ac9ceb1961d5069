/* Policies of changes: each operation against timm and Pillow, by bytes (tests/reference/policy.py
 * records hashes); what is drawn at random against what it must be, within five standard deviations
 * at fixed seeds. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/data/blur.h"
#include "runtime/data/colour.h"
#include "runtime/data/erase.h"
#include "runtime/data/policy.h"

#define SIGMAS 5

static struct vrt_policy_scratch scratch;
static struct vrt_error error;

static int teardown(void **state)
{
    (void)state;
    vrt_policy_scratch_free(&scratch);
    return 0;
}

/* -- pixels: the pictures are those of policy.py -- */

static uint8_t value(int64_t x, int64_t y, int64_t c)
{
    int64_t fold = (x * x * (3 + c) + y * y * (5 - c) + 7 * x * y) / 16 % 512;
    int64_t noise = ((x * 73856093) ^ (y * 19349663) ^ (c * 83492791)) >> 5 & 15;

    return (uint8_t)(20 + (fold < 256 ? fold : 511 - fold) * 200 / 255 + noise);
}

static void draw(struct vrt_image *image, int width, int height, int channels)
{
    uint8_t *p;

    assert_true(vrt_image_resize(image, width, height, channels, &error));
    p = image->pixels.data;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++)
                *p++ = value(x, y, c);
}

static uint64_t hash(const struct vrt_image *image)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < image->pixels.size; i++)
        h = (h ^ image->pixels.data[i]) * 0x100000001b3u;
    return h;
}

static void jitter(struct vrt_image *image, const char *order, double factor)
{
    for (; *order != 0; order++) {
        if (*order == 'b')
            vrt_colour_brightness(image, factor);
        else if (*order == 'c')
            vrt_colour_contrast(image, 2 - factor);
        else
            vrt_colour_saturation(image, factor * factor);
    }
}

/* What the columns of a row ask for. */
static void change(struct vrt_image *image, const char *name, bool increasing, double level,
                   int sign, const char *filter)
{
    struct vrt_policy p = {.increasing = increasing, .fill = {124, 116, 104}};

    p.filter = strcmp(filter, "bilinear") == 0 ? VRT_BILINEAR : VRT_BICUBIC;
    if (strcmp(name, "none") == 0)
        return;
    if (strcmp(name, "grayscale") == 0)
        vrt_colour_grayscale(image);
    else if (strcmp(name, "blur") == 0)
        assert_true(vrt_blur(image, level, &scratch.spare, &scratch.rows, &error));
    else if (strlen(name) == 3)
        jitter(image, name, level);
    else if (!vrt_policy_op(&p, name, level, sign, image, &scratch, &error))
        fail_msg("%s: %s", name, error.text);
}

static FILE *open_table(void)
{
    const char *top = getenv("top_srcdir");
    char path[4096];
    FILE *f;

    snprintf(path, sizeof path, "%s/tests/reference/policy.txt", top != NULL ? top : ".");
    f = fopen(path, "r");
    if (f == NULL)
        fail_msg("cannot read %s", path);
    return f;
}

static void pixels_are_pillows(void **state)
{
    char line[256], picture[16], name[32], filter[16];
    struct vrt_image image = {0};
    FILE *f = open_table();
    int rows = 0;

    (void)state;
    while (fgets(line, sizeof line, f) != NULL) {
        unsigned long long expected;
        int increasing, sign;
        double level;
        if (sscanf(line, "pixels %15s %31s %d %lf %d %15s %llx", picture, name, &increasing, &level,
                   &sign, filter, &expected) != 7)
            continue;
        if (strcmp(picture, "square") == 0)
            draw(&image, 64, 64, 3);
        else
            draw(&image, 48, 37, strcmp(picture, "gray") == 0 ? 1 : 3);
        change(&image, name, increasing != 0, level, sign, filter);
        if (hash(&image) != expected)
            fail_msg("other pixels: %s", line);
        rows++;
    }
    assert_int_equal(rows, 660);
    fclose(f);
    vrt_image_free(&image);
}

/* Sizes at which rows have no middle, and odd numbers of values in a run. Each operation stays
 * within the picture (the sanitizers watch), and a flat picture that comes from within itself stays
 * flat. */
static void any_size(void **state)
{
    static const int sizes[] = {1, 2, 3, 5, 17};
    struct vrt_policy p = {.increasing = true, .fill = {9, 9, 9}};
    struct vrt_image image = {0};

    (void)state;
    for (int n = 0; n < 5 * 5 * 2 * VRT_POLICY_OPS; n++) {
        int op = n / 50;
        p.filter = n % 4 < 2 ? VRT_BILINEAR : VRT_BICUBIC;
        draw(&image, sizes[n % 5], sizes[n / 5 % 5], n / 25 % 2 == 0 ? 1 : 3);
        assert_true(vrt_policy_op(&p, vrt_policy_name(op), 7, 1, &image, &scratch, &error));
        assert_true(vrt_blur(&image, 1.5, &scratch.spare, &scratch.rows, &error));
        memset(image.pixels.data, 9, image.pixels.size);
        assert_true(vrt_policy_op(&p, "Rotate", 7, 1, &image, &scratch, &error));
        assert_true(vrt_policy_op(&p, "Sharpness", 7, 1, &image, &scratch, &error));
        assert_true(vrt_blur(&image, 1.5, &scratch.spare, &scratch.rows, &error));
        for (size_t i = 0; i < image.pixels.size; i++)
            assert_int_equal(image.pixels.data[i], 9);
    }
    vrt_image_free(&image);
}

static void unknown_name(void **state)
{
    struct vrt_policy p = {0};
    struct vrt_image image = {0};

    (void)state;
    draw(&image, 4, 4, 3);
    assert_false(vrt_policy_op(&p, "Cutout", 5, 1, &image, &scratch, &error));
    assert_non_null(strstr(error.text, "Cutout"));
    vrt_image_free(&image);
}

/* -- chance -- */

/* A sum of n values of mean `mean` and deviation `deviation`. */
static void sum_is(const char *what, double sum, double n, double mean, double deviation)
{
    double off = fabs(sum / n - mean), limit = SIGMAS * deviation / sqrt(n);

    if (!(off <= limit))
        fail_msg("%s: a mean of %g, not %g +- %g", what, sum / n, mean, limit);
}

static void count_is(const char *what, double count, double n, double probability)
{
    sum_is(what, count, n, probability, sqrt(probability * (1 - probability)));
}

/* The levels' moments are those of the normal distribution with its tail above 10, two deviations
 * up, moved to 10. */
static void layers_are_drawn(void **state)
{
    const struct vrt_policy p = {
        .layers = 2, .magnitude = 9, .magnitude_std = 0.5, .probability = 0.3};
    const int n = 150000;
    const double mean = 9 + 0.5 * -0.0084907, deviation = 0.5 * 0.9798961;
    double ops[VRT_POLICY_OPS] = {0}, applied = 0, up = 0, levels = 0, squares = 0, at_10 = 0,
           both = 0;
    struct vrt_random random;

    (void)state;
    vrt_random_start(&random, 3, VRT_RANDOM_AUGMENT, 0, 0);
    for (int i = 0; i < n; i++) {
        struct vrt_layer l = vrt_policy_draw_layer(&p, &random);
        assert_true(l.level >= 0 && l.level <= 10 && (l.sign == 1 || l.sign == -1));
        ops[l.op]++;
        applied += l.applied;
        up += l.sign == 1;
        both += l.applied && l.sign == 1;
        levels += l.level;
        squares += (l.level - mean) * (l.level - mean);
        at_10 += l.level == 10;
    }
    for (int i = 0; i < VRT_POLICY_OPS; i++)
        count_is(vrt_policy_name(i), ops[i], n, 1.0 / VRT_POLICY_OPS);
    count_is("applied", applied, n, 0.3);
    count_is("positive", up, n, 0.5);
    count_is("applied and positive", both, n, 0.15);
    count_is("clipped at 10", at_10, n, 0.0227501);
    sum_is("level", levels, n, mean, deviation);
    sum_is("its variance", squares, n, deviation * deviation, sqrt(2.0) * deviation * deviation);
}

static void levels_are_clipped_at_0(void **state)
{
    const struct vrt_policy p = {.magnitude = 0.5, .magnitude_std = 1}, fixed = {.magnitude = 7};
    const int n = 20000;
    double at_0 = 0;
    struct vrt_random random;

    (void)state;
    vrt_random_start(&random, 4, VRT_RANDOM_AUGMENT, 0, 0);
    for (int i = 0; i < n; i++) {
        double level = vrt_policy_draw_layer(&p, &random).level;
        assert_true(level >= 0);
        at_0 += level == 0;
        assert_true(vrt_policy_draw_layer(&fixed, &random).level == 7);
    }
    count_is("clipped at 0", at_0, n, 0.3085375);
}

static void one_of_three(void **state)
{
    const int n = 30000;
    double kinds[3] = {0}, sum = 0, low = 2, high = 0;
    struct vrt_random random;

    (void)state;
    vrt_random_start(&random, 5, VRT_RANDOM_AUGMENT, 0, 0);
    for (int i = 0; i < n; i++) {
        struct vrt_three_choice c = vrt_policy_draw_three(&random);
        kinds[c.kind]++;
        sum += c.radius;
        low = fmin(low, c.radius);
        high = fmax(high, c.radius);
    }
    for (int i = 0; i < 3; i++)
        count_is("one of three", kinds[i], n, 1.0 / 3);
    sum_is("radius", sum, n, 1.05, 1.9 / sqrt(12));
    assert_true(low >= 0.1 && low < 0.102 && high < 2.0 && high > 1.998);
}

static void jitters_are_drawn(void **state)
{
    const int n = 30000;
    double orders[27] = {0}, sums[3] = {0}, low[3] = {9, 9, 9}, high[3] = {0};
    struct vrt_policy p = {.jitter = 0.3}, strong = {.jitter = 1.5};
    struct vrt_random random;

    (void)state;
    vrt_random_start(&random, 6, VRT_RANDOM_AUGMENT, 0, 0);
    for (int i = 0; i < n; i++) {
        struct vrt_jitter_choice c = vrt_policy_draw_jitter(&p, &random);
        assert_int_equal(1 << c.order[0] | 1 << c.order[1] | 1 << c.order[2], 7);
        orders[c.order[0] * 9 + c.order[1] * 3 + c.order[2]]++;
        for (int k = 0; k < 3; k++) {
            sums[k] += c.factors[k];
            low[k] = fmin(low[k], c.factors[k]);
            high[k] = fmax(high[k], c.factors[k]);
        }
        assert_true(vrt_policy_draw_jitter(&strong, &random).factors[i % 3] >= 0);
    }
    for (int i = 0; i < 27; i++)
        if (orders[i] > 0)
            count_is("order", orders[i], n, 1.0 / 6);
    for (int k = 0; k < 3; k++) {
        sum_is("factor", sums[k], n, 1, 0.6 / sqrt(12));
        assert_true(low[k] >= 0.7 && low[k] < 0.701 && high[k] < 1.3 && high[k] > 1.299);
    }
}

/* A policy does what its draws say, in their order, and takes no memory after the first
 * pictures. */
static void follow_draws(const struct vrt_policy *p, struct vrt_image *image,
                         struct vrt_random *random)
{
    static void (*const changes[3])(struct vrt_image *, double) = {
        vrt_colour_brightness, vrt_colour_contrast, vrt_colour_saturation};

    for (int i = 0; i < p->layers; i++) {
        struct vrt_layer l = vrt_policy_draw_layer(p, random);
        if (l.applied)
            assert_true(
                vrt_policy_op(p, vrt_policy_name(l.op), l.level, l.sign, image, &scratch, &error));
    }
    if (p->three_augment) {
        struct vrt_three_choice c = vrt_policy_draw_three(random);
        if (c.kind == VRT_THREE_GRAYSCALE)
            vrt_colour_grayscale(image);
        else if (c.kind == VRT_THREE_SOLARIZE)
            vrt_colour_solarize(image, 128);
        else
            assert_true(vrt_blur(image, c.radius, &scratch.spare, &scratch.rows, &error));
    }
    if (p->jitter > 0) {
        struct vrt_jitter_choice c = vrt_policy_draw_jitter(p, random);
        for (int i = 0; i < 3; i++)
            changes[c.order[i]](image, c.factors[c.order[i]]);
    }
}

static void policies_follow_draws(void **state)
{
    static const struct vrt_policy policies[] = {
        {.layers = 2,
         .magnitude = 9,
         .magnitude_std = 0.5,
         .increasing = true,
         .probability = 0.5,
         .filter = VRT_BICUBIC},
        {.layers = 3, .magnitude = 5, .probability = 1, .fill = {1, 2, 3}},
        {.three_augment = true, .jitter = 0.3},
        {.layers = 1, .magnitude = 7, .probability = 1, .three_augment = true, .jitter = 0.4},
    };
    struct vrt_image image = {0}, followed = {0};
    struct vrt_policy_scratch s = {0};
    struct vrt_random a, b;
    size_t rooms = 0;

    (void)state;
    for (uint32_t i = 0; i < 800; i++) {
        const struct vrt_policy *p = &policies[i % 4];
        draw(&image, 33, 21, i / 4 % 4 == 0 ? 1 : 3);
        draw(&followed, 33, 21, image.channels);
        vrt_random_start(&a, 7, VRT_RANDOM_AUGMENT, i, 0);
        b = a;
        assert_true(vrt_policy_apply(p, &image, &s, &a, &error));
        follow_draws(p, &followed, &b);
        assert_int_equal(image.pixels.size, followed.pixels.size);
        assert_memory_equal(image.pixels.data, followed.pixels.data, image.pixels.size);
        assert_int_equal(vrt_random_u32(&a), vrt_random_u32(&b));
        if (i >= 400)
            assert_int_equal(image.pixels.room + s.spare.room + s.rows.room, rooms);
        rooms = image.pixels.room + s.spare.room + s.rows.room;
    }
    vrt_policy_scratch_free(&s);
    vrt_image_free(&image);
    vrt_image_free(&followed);
}

/* -- erasing -- */

enum { HEIGHT = 40, WIDTH = 56, CHANNELS = 3, VALUES = HEIGHT * WIDTH * CHANNELS };
#define UNTOUCHED 1000.0f

struct erased {
    int left, top, right, bottom, pixels;
};

/* The bounds of what is no longer UNTOUCHED. A pixel is erased in all channels or in none. */
static struct erased bounds(const float *input)
{
    struct erased r = {WIDTH, HEIGHT, 0, 0, 0};

    for (int y = 0; y < HEIGHT; y++) {
        for (int x = 0; x < WIDTH; x++, input += CHANNELS) {
            int changed = 0;
            for (int c = 0; c < CHANNELS; c++)
                changed += input[c] != UNTOUCHED;
            if (changed == 0)
                continue;
            assert_int_equal(changed, CHANNELS);
            r.left = x < r.left ? x : r.left;
            r.top = y < r.top ? y : r.top;
            r.right = x + 1 > r.right ? x + 1 : r.right;
            r.bottom = y + 1 > r.bottom ? y + 1 : r.bottom;
            r.pixels++;
        }
    }
    return r;
}

/* Area, logarithm of height to width, centre: their means beside those of timm's rectangles. */
static void rectangles_are(const double sums[4], int n)
{
    static const char *const names[4] = {"area", "ratio", "centre from the top",
                                         "centre from the left"};
    double mean[4], deviation[4], theirs;
    char line[256];
    FILE *f = open_table();
    bool found = false;

    while (!found && fgets(line, sizeof line, f) != NULL)
        found = sscanf(line, "erase 40 56 %lf %lf %lf %lf %lf %lf %lf %lf %lf", &theirs, &mean[0],
                       &deviation[0], &mean[1], &deviation[1], &mean[2], &deviation[2], &mean[3],
                       &deviation[3]) == 9;
    fclose(f);
    assert_true(found);
    for (int i = 0; i < 4; i++)
        sum_is(names[i], sums[i], n, mean[i], deviation[i] * sqrt(1 + n / theirs));
}

static void erasing(void **state)
{
    static float input[VALUES];
    const int n = 20000;
    double sums[4] = {0}, values = 0, sum = 0, squares = 0, fourths = 0, products = 0;
    int times = 0;

    (void)state;
    for (uint32_t i = 0; i < (uint32_t)n; i++) {
        struct vrt_random random;
        for (int j = 0; j < VALUES; j++)
            input[j] = UNTOUCHED;
        vrt_random_start(&random, 8, VRT_RANDOM_AUGMENT, i, 0);
        vrt_erase(input, HEIGHT, WIDTH, CHANNELS, 0.25, &random);
        struct erased r = bounds(input);
        if (r.pixels == 0)
            continue;
        int h = r.bottom - r.top, w = r.right - r.left;
        assert_int_equal(r.pixels, h * w);
        assert_true(h < HEIGHT && w < WIDTH);
        sums[0] += h * w / (double)(HEIGHT * WIDTH);
        sums[1] += log((double)h / w);
        sums[2] += (r.top + r.bottom) / 2.0 / HEIGHT;
        sums[3] += (r.left + r.right) / 2.0 / WIDTH;
        times++;
        for (int j = 0; j + 1 < w * CHANNELS; j += 2) {
            double a = input[(r.top * WIDTH + r.left) * CHANNELS + j],
                   b = input[(r.top * WIDTH + r.left) * CHANNELS + j + 1];
            values += 2;
            sum += a + b;
            squares += a * a + b * b;
            fourths += a * a * a * a + b * b * b * b;
            products += a * b;
        }
    }
    count_is("erased", times, n, 0.25);
    rectangles_are(sums, times);
    sum_is("noise", sum, values, 0, 1);
    sum_is("its square", squares, values, 1, sqrt(2));
    sum_is("its fourth power", fourths, values, 3, sqrt(96));
    sum_is("neighbours' product", products, values / 2, 0, 1);
}

static void erasing_needs_room(void **state)
{
    float input[2] = {UNTOUCHED, UNTOUCHED};
    struct vrt_random random;

    (void)state;
    vrt_random_start(&random, 9, VRT_RANDOM_AUGMENT, 0, 0);
    for (int i = 0; i < 100; i++)
        vrt_erase(input, 1, 1, 1, 1.0, &random);
    vrt_erase(input, 1, 2, 1, 0, &random);
    assert_true(input[0] == UNTOUCHED && input[1] == UNTOUCHED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_are_pillows),
        cmocka_unit_test(any_size),
        cmocka_unit_test(unknown_name),
        cmocka_unit_test(layers_are_drawn),
        cmocka_unit_test(levels_are_clipped_at_0),
        cmocka_unit_test(one_of_three),
        cmocka_unit_test(jitters_are_drawn),
        cmocka_unit_test(policies_follow_draws),
        cmocka_unit_test(erasing),
        cmocka_unit_test(erasing_needs_room),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("policy", tests, NULL, teardown);
    return 0;
}
