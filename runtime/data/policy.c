/* Policies. Input: a picture and a stream of random numbers; output: the picture, changed. */
#include "runtime/data/policy.h"

#include <math.h>
#include <string.h>

#include "runtime/data/blur.h"
#include "runtime/data/colour.h"
#include "runtime/data/warp.h"

/* What an operation works on. */
struct call {
    const struct vrt_policy *policy;
    struct vrt_image *image;
    struct vrt_policy_scratch *scratch;
    struct vrt_error *error;
};

/* From a level of 0 .. 10 and a sign to what the operation is told. Whole numbers are cut, not
 * rounded. */

static double bits(double level, int sign)
{
    (void)sign;
    return trunc(level / 10 * 4);
}

static double fewer_bits(double level, int sign)
{
    return 4 - bits(level, sign);
}

static double threshold(double level, int sign)
{
    (void)sign;
    return trunc(level / 10 * 256);
}

static double lower_threshold(double level, int sign)
{
    return 256 - threshold(level, sign);
}

static double addition(double level, int sign)
{
    (void)sign;
    return trunc(level / 10 * 110);
}

static double factor(double level, int sign)
{
    (void)sign;
    return level / 10 * 1.8 + 0.1;
}

static double factor_from_1(double level, int sign)
{
    return fmax(0.1, 1.0 + sign * (level / 10 * 0.9));
}

static double degrees(double level, int sign)
{
    return sign * (level / 10 * 30);
}

static double slope(double level, int sign)
{
    return sign * (level / 10 * 0.3);
}

static double share(double level, int sign)
{
    return sign * (level / 10 * 0.45);
}

static bool autocontrast(const struct call *c, double argument)
{
    (void)argument;
    vrt_colour_autocontrast(c->image);
    return true;
}

static bool equalize(const struct call *c, double argument)
{
    (void)argument;
    vrt_colour_equalize(c->image);
    return true;
}

static bool invert(const struct call *c, double argument)
{
    (void)argument;
    vrt_colour_invert(c->image);
    return true;
}

static bool posterize(const struct call *c, double argument)
{
    vrt_colour_posterize(c->image, (int)argument);
    return true;
}

static bool solarize(const struct call *c, double argument)
{
    vrt_colour_solarize(c->image, (int)argument);
    return true;
}

static bool solarize_add(const struct call *c, double argument)
{
    vrt_colour_solarize_add(c->image, (int)argument, 128);
    return true;
}

static bool brightness(const struct call *c, double argument)
{
    vrt_colour_brightness(c->image, argument);
    return true;
}

static bool contrast(const struct call *c, double argument)
{
    vrt_colour_contrast(c->image, argument);
    return true;
}

static bool saturation(const struct call *c, double argument)
{
    vrt_colour_saturation(c->image, argument);
    return true;
}

static bool sharpness(const struct call *c, double argument)
{
    return vrt_colour_sharpness(c->image, argument, &c->scratch->rows, c->error);
}

static bool warp(const struct call *c, struct vrt_affine from)
{
    return vrt_warp(c->image, from, c->policy->filter, c->policy->fill, &c->scratch->spare,
                    c->error);
}

static bool rotate(const struct call *c, double argument)
{
    return warp(c, vrt_affine_rotate(argument, c->image->width, c->image->height));
}

static bool shear_x(const struct call *c, double argument)
{
    return warp(c, vrt_affine_shear_x(argument));
}

static bool shear_y(const struct call *c, double argument)
{
    return warp(c, vrt_affine_shear_y(argument));
}

static bool translate_x(const struct call *c, double argument)
{
    return warp(c, vrt_affine_translate(argument * c->image->width, 0));
}

static bool translate_y(const struct call *c, double argument)
{
    return warp(c, vrt_affine_translate(0, argument * c->image->height));
}

/* argument: by policy->increasing; NULL where there is nothing to tell. */
static const struct op {
    const char *name;
    bool (*apply)(const struct call *, double argument);
    double (*argument[2])(double level, int sign);
} ops[VRT_POLICY_OPS] = {
    {"AutoContrast", autocontrast, {NULL, NULL}},
    {"Equalize", equalize, {NULL, NULL}},
    {"Invert", invert, {NULL, NULL}},
    {"Rotate", rotate, {degrees, degrees}},
    {"Posterize", posterize, {bits, fewer_bits}},
    {"Solarize", solarize, {threshold, lower_threshold}},
    {"SolarizeAdd", solarize_add, {addition, addition}},
    {"Color", saturation, {factor, factor_from_1}},
    {"Contrast", contrast, {factor, factor_from_1}},
    {"Brightness", brightness, {factor, factor_from_1}},
    {"Sharpness", sharpness, {factor, factor_from_1}},
    {"ShearX", shear_x, {slope, slope}},
    {"ShearY", shear_y, {slope, slope}},
    {"TranslateXRel", translate_x, {share, share}},
    {"TranslateYRel", translate_y, {share, share}},
};

static bool apply_op(const struct call *c, const struct op *op, double level, int sign)
{
    double (*argument)(double, int) = op->argument[c->policy->increasing];

    return op->apply(c, argument != NULL ? argument(level, sign) : 0);
}

static bool apply_three(const struct call *c, struct vrt_three_choice choice)
{
    switch (choice.kind) {
    case VRT_THREE_GRAYSCALE: vrt_colour_grayscale(c->image); return true;
    case VRT_THREE_SOLARIZE:  vrt_colour_solarize(c->image, 128); return true;
    case VRT_THREE_BLUR:
        return vrt_blur(c->image, choice.radius, &c->scratch->spare, &c->scratch->rows, c->error);
    }
    return false;
}

static void apply_jitter(const struct call *c, const struct vrt_jitter_choice *choice)
{
    static void (*const change[3])(struct vrt_image *, double) = {
        [VRT_JITTER_BRIGHTNESS] = vrt_colour_brightness,
        [VRT_JITTER_CONTRAST] = vrt_colour_contrast,
        [VRT_JITTER_SATURATION] = vrt_colour_saturation,
    };

    for (int i = 0; i < 3; i++)
        change[choice->order[i]](c->image, choice->factors[choice->order[i]]);
}

struct vrt_layer vrt_policy_draw_layer(const struct vrt_policy *p, struct vrt_random *random)
{
    struct vrt_layer l;

    l.op = (int)vrt_random_below(random, VRT_POLICY_OPS);
    l.applied = vrt_random_uniform(random) < p->probability;
    l.level = fmin(fmax(p->magnitude + p->magnitude_std * vrt_random_normal(random), 0), 10);
    l.sign = vrt_random_uniform(random) < 0.5 ? 1 : -1;
    return l;
}

static double between(struct vrt_random *random, double low, double high)
{
    return low + (high - low) * vrt_random_uniform(random);
}

struct vrt_three_choice vrt_policy_draw_three(struct vrt_random *random)
{
    struct vrt_three_choice choice;

    choice.kind = (enum vrt_three)vrt_random_below(random, 3);
    choice.radius = between(random, 0.1, 2.0);
    return choice;
}

struct vrt_jitter_choice vrt_policy_draw_jitter(const struct vrt_policy *p,
                                                struct vrt_random *random)
{
    struct vrt_jitter_choice choice = {
        .order = {VRT_JITTER_BRIGHTNESS, VRT_JITTER_CONTRAST, VRT_JITTER_SATURATION}};

    for (int i = 2; i > 0; i--) {
        int other = (int)vrt_random_below(random, (uint64_t)i + 1);
        enum vrt_jitter kind = choice.order[i];
        choice.order[i] = choice.order[other];
        choice.order[other] = kind;
    }
    for (int i = 0; i < 3; i++)
        choice.factors[i] = between(random, fmax(0, 1 - p->jitter), 1 + p->jitter);
    return choice;
}

bool vrt_policy_apply(const struct vrt_policy *p, struct vrt_image *image,
                      struct vrt_policy_scratch *s, struct vrt_random *random, struct vrt_error *e)
{
    const struct call c = {p, image, s, e};

    for (int i = 0; i < p->layers; i++) {
        struct vrt_layer l = vrt_policy_draw_layer(p, random);
        if (l.applied && !apply_op(&c, &ops[l.op], l.level, l.sign))
            return false;
    }
    if (p->three_augment && !apply_three(&c, vrt_policy_draw_three(random)))
        return false;
    if (p->jitter > 0) {
        struct vrt_jitter_choice choice = vrt_policy_draw_jitter(p, random);
        apply_jitter(&c, &choice);
    }
    return true;
}

bool vrt_policy_op(const struct vrt_policy *p, const char *name, double level, int sign,
                   struct vrt_image *image, struct vrt_policy_scratch *s, struct vrt_error *e)
{
    const struct call c = {p, image, s, e};

    for (int i = 0; i < VRT_POLICY_OPS; i++)
        if (strcmp(ops[i].name, name) == 0)
            return apply_op(&c, &ops[i], level, sign);
    return vrt_fail(e, VRT_INTERNAL, "no operation is called %s", name);
}

const char *vrt_policy_name(int op)
{
    return ops[op].name;
}

void vrt_policy_scratch_free(struct vrt_policy_scratch *s)
{
    vrt_buffer_free(&s->spare);
    vrt_buffer_free(&s->rows);
}
