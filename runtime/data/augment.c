/* Crops, flips, policies and normalisation. Input: an 8-bit picture and, in training, a stream of
 * random numbers; output: floats.
 *
 * Random numbers are drawn in a fixed order (crop, shift, flip, policy, erasing), so a picture
 * depends on its own stream alone. */
#include "runtime/data/augment.h"

#include <math.h>
#include <string.h>

#include "runtime/data/erase.h"

#define TRIES 10

/* A NaN fails every comparison, so the tests are written as what must hold. */
static const char *wrong_range(const struct vrt_transform *t)
{
    if (t->channels != 1 && t->channels != 3)
        return "the input must have 1 or 3 channels";
    if (t->height < 1 || t->width < 1 || t->height > VRT_IMAGE_MAX_SIDE ||
        t->width > VRT_IMAGE_MAX_SIDE)
        return "the input's sides must be 1 to 65500 pixels";
    for (int c = 0; c < t->channels; c++)
        if (!(fabs(t->mean[c]) < 1e6 && t->std[c] > 1e-6 && t->std[c] < 1e6))
            return "each mean must be finite and each std positive";
    if (t->resample != VRT_BILINEAR && t->resample != VRT_BICUBIC)
        return "the resampling filter must be bilinear or bicubic";
    if (!(t->crop_pct >= 0.01 && t->crop_pct <= 1))
        return "crop_pct must be at least 0.01 and at most 1";
    if (t->random_resized_crop &&
        !(t->min_scale > 0 && t->min_scale <= t->max_scale && t->max_scale <= 1))
        return "the scale of random_resized_crop must lie within 0 and 1";
    if (t->random_resized_crop &&
        !(t->min_ratio > 1e-3 && t->min_ratio <= t->max_ratio && t->max_ratio < 1e3))
        return "the ratio of random_resized_crop must lie within 0.001 and 1000";
    if (t->padded_crop < 0 || t->padded_crop > t->width || t->padded_crop > t->height)
        return "padded_crop must be 0 to the input's size";
    if (t->reflect && (t->padded_crop >= t->width || t->padded_crop >= t->height))
        return "a padded_crop that reflects must be less than the input's size";
    if (!(t->flip >= 0 && t->flip <= 1))
        return "the probability of flip must lie within 0 and 1";
    if (!(t->policy.layers >= 0 && t->policy.magnitude >= 0 && t->policy.magnitude <= 10 &&
          t->policy.magnitude_std >= 0))
        return "the magnitude of randaugment must lie within 0 and 10";
    if (!(t->policy.jitter >= 0 && t->policy.jitter <= 1))
        return "color_jitter must lie within 0 and 1";
    if (!(t->erase >= 0 && t->erase <= 1))
        return "the probability of random_erase must lie within 0 and 1";
    return NULL;
}

bool vrt_pipeline_make(struct vrt_pipeline *p, const struct vrt_transform *t, struct vrt_error *e)
{
    const char *wrong = wrong_range(t);

    if (wrong != NULL)
        return vrt_fail(e, VRT_BAD_INPUT, "%s", wrong);
    p->transform = *t;
    for (int c = 0; c < t->channels; c++)
        for (int v = 0; v < 256; v++)
            p->normal[c][v] = ((float)v / 255.0f - (float)t->mean[c]) / (float)t->std[c];
    return true;
}

void vrt_scratch_free(struct vrt_scratch *s)
{
    vrt_image_free(&s->image);
    vrt_image_free(&s->resized);
    vrt_image_free(&s->changed);
    vrt_resampler_free(&s->resampler);
    vrt_policy_scratch_free(&s->policy);
}

static double between(struct vrt_random *random, double low, double high)
{
    return low + (high - low) * vrt_random_uniform(random);
}

/* Half to even. */
static int round_even(double x)
{
    return (int)nearbyint(x);
}

static int at_least_1(int n, int limit)
{
    return n < 1 ? 1 : n > limit ? limit : n;
}

static struct vrt_rect centre_rect(const struct vrt_transform *t, int width, int height)
{
    double ratio = (double)width / height;
    struct vrt_rect r = {0, 0, width, height};

    if (ratio < t->min_ratio)
        r.height = at_least_1(round_even(width / t->min_ratio), height);
    else if (ratio > t->max_ratio)
        r.width = at_least_1(round_even(height * t->max_ratio), width);
    r.left = (width - r.width) / 2;
    r.top = (height - r.height) / 2;
    return r;
}

struct vrt_rect vrt_random_rect(const struct vrt_transform *t, int width, int height,
                                struct vrt_random *random)
{
    double area = (double)width * height;
    double low = log(t->min_ratio), high = log(t->max_ratio);

    for (int i = 0; i < TRIES; i++) {
        double target = between(random, t->min_scale, t->max_scale) * area;
        double ratio = exp(between(random, low, high));
        double w = nearbyint(sqrt(target * ratio)), h = nearbyint(sqrt(target / ratio));
        if (w >= 1 && h >= 1 && w <= width && h <= height) {
            struct vrt_rect r = {.width = (int)w, .height = (int)h};
            r.top = (int)vrt_random_below(random, (uint64_t)(height - r.height + 1));
            r.left = (int)vrt_random_below(random, (uint64_t)(width - r.width + 1));
            return r;
        }
    }
    return centre_rect(t, width, height);
}

/* The size that covers w x h with the picture's proportions. */
static void cover(struct vrt_view v, double *w, double *h)
{
    double ratio = fmin(v.height / *h, v.width / *w);

    if (*w != *h) {
        *w = nearbyint(v.width / ratio);
        *h = nearbyint(v.height / ratio);
    } else if (v.width <= v.height) {
        *h = trunc(*w * v.height / v.width);
    } else {
        *w = trunc(*h * v.width / v.height);
    }
}

bool vrt_resize_centre(struct vrt_resize *how, struct vrt_view v, const struct vrt_transform *t,
                       double crop_pct, struct vrt_error *e)
{
    double w = floor(t->width / crop_pct), h = floor(t->height / crop_pct);

    if (!t->squash)
        cover(v, &w, &h);
    if (w > INT32_MAX || h > INT32_MAX)
        return vrt_fail(
            e, VRT_BAD_INPUT,
            "the picture is %d x %d pixels: too narrow to be cropped to %d x %d; replace or "
            "remove it",
            v.width, v.height, t->width, t->height);
    *how = vrt_resize_whole(v, (int)w, (int)h, (enum vrt_filter)t->resample);
    how->keep_left = round_even((w - t->width) / 2);
    how->keep_top = round_even((h - t->height) / 2);
    how->keep_width = t->width;
    how->keep_height = t->height;
    return true;
}

/* Where the picture lies: `dx`, `dy` to the right and down of the input's corner, around it black
 * or its reflection; then mirrored. */
struct place {
    int dx, dy;
    bool reflect, flip;
};

/* A place on an axis of n pixels, -1: beyond them. The edge itself is not doubled. */
static int inside(int from, int n, bool reflect)
{
    if (from >= 0 && from < n)
        return from;
    return !reflect ? -1 : from < 0 ? -from : 2 * (n - 1) - from;
}

/* The pixel at x of the row `row` of v, or of black. */
static const uint8_t *pixel(const uint8_t *row, struct vrt_view v, struct place at, int width,
                            int x)
{
    static const uint8_t black[3];
    int from = inside((at.flip ? width - 1 - x : x) - at.dx, v.width, at.reflect);

    return row != NULL && from >= 0 ? row + from * v.channels : black;
}

static const uint8_t *row_at(struct vrt_view v, struct place at, int y)
{
    int from = inside(y - at.dy, v.height, at.reflect);

    return from >= 0 ? v.data + (size_t)from * v.stride : NULL;
}

/* Bytes to floats. */
static void normalise(const struct vrt_pipeline *p, struct vrt_view v, struct place at,
                      float *input)
{
    const struct vrt_transform *t = &p->transform;
    const int channels = t->channels;

    for (int y = 0; y < t->height; y++) {
        const uint8_t *row = row_at(v, at, y);
        for (int x = 0; x < t->width; x++, input += channels) {
            const uint8_t *from = pixel(row, v, at, t->width, x);
            for (int c = 0; c < channels; c++)
                input[c] = p->normal[c][from[c]];
        }
    }
}

/* The pixels themselves in their place, changed by the policy. */
static bool change(const struct vrt_pipeline *p, struct vrt_view v, struct place at,
                   struct vrt_scratch *s, struct vrt_random *random, struct vrt_error *e)
{
    const struct vrt_transform *t = &p->transform;

    if (!vrt_image_resize(&s->changed, t->width, t->height, t->channels, e))
        return false;
    uint8_t *to = s->changed.pixels.data;
    for (int y = 0; y < t->height; y++) {
        const uint8_t *row = row_at(v, at, y);
        for (int x = 0; x < t->width; x++, to += t->channels)
            memcpy(to, pixel(row, v, at, t->width, x), (size_t)t->channels);
    }
    return vrt_policy_apply(&t->policy, &s->changed, &s->policy, random, e);
}

static bool acts(const struct vrt_policy *p)
{
    return p->layers > 0 || p->three_augment || p->jitter > 0;
}

/* The window of an axis, `size` long, that is cut out of `length` pixels and `pad` beyond each
 * edge: what of the picture is kept begins at the result and lies *shift to the right in it. */
static int draw_window(int length, int size, int pad, struct vrt_random *random, int *shift)
{
    int from =
        (int)vrt_random_below(random, (uint64_t)(length - size) + 2 * (uint64_t)pad + 1) - pad;
    int keep = from < 0 ? 0 : from > length - size ? length - size : from;

    *shift = keep - from;
    return keep;
}

/* Crop and resize to the network's size. A random crop is cut out first: pixels beyond its edge
 * have no influence. */
static bool fit(const struct vrt_pipeline *p, struct vrt_view *v, struct vrt_scratch *s,
                struct vrt_random *random, struct place *at, struct vrt_error *e)
{
    const struct vrt_transform *t = &p->transform;
    struct vrt_resize how;

    if (random != NULL && t->random_resized_crop) {
        struct vrt_rect r = vrt_random_rect(t, v->width, v->height, random);
        *v = vrt_view_crop(*v, r.left, r.top, r.width, r.height);
        how = vrt_resize_whole(*v, t->width, t->height, (enum vrt_filter)t->resample);
    } else if (!vrt_resize_centre(&how, *v, t, random != NULL ? 1.0 : t->crop_pct, e)) {
        return false;
    }
    if (random != NULL && t->padded_crop > 0) {
        how.keep_top = draw_window(how.height, t->height, t->padded_crop, random, &at->dy);
        how.keep_left = draw_window(how.width, t->width, t->padded_crop, random, &at->dx);
    }
    if (how.width == v->width && how.height == v->height) {
        *v = vrt_view_crop(*v, how.keep_left, how.keep_top, t->width, t->height);
        return true;
    }
    if (!vrt_resample(&s->resampler, *v, &how, &s->resized, e))
        return false;
    *v = vrt_view_of(&s->resized);
    return true;
}

/* One number is drawn either way, so that what is drawn after it does not depend on the way. */
static bool flips(const struct vrt_transform *t, struct vrt_random *random)
{
    double u = vrt_random_uniform(random);

    if (t->alternating) {
        struct vrt_random own;
        vrt_random_start(&own, random->seed, VRT_RANDOM_FLIP, 0, random->b);
        double turn =
            vrt_random_uniform(&own) + t->flip * ((random->a & 0xffffff) + (random->a >> 24));
        u = turn - floor(turn);
    }
    return u < t->flip;
}

bool vrt_pipeline_apply(const struct vrt_pipeline *p, const struct vrt_image *image,
                        struct vrt_scratch *s, struct vrt_random *random, float *input,
                        struct vrt_error *e)
{
    const struct vrt_transform *t = &p->transform;
    struct vrt_view v = vrt_view_of(image);
    struct place at = {.reflect = t->reflect};

    if (image->channels != t->channels)
        return vrt_fail(e, VRT_INTERNAL, "a picture of %d channels where %d are needed",
                        image->channels, t->channels);
    if (!fit(p, &v, s, random, &at, e))
        return false;
    if (random != NULL && t->flip > 0)
        at.flip = flips(t, random);
    if (random != NULL && acts(&t->policy)) {
        if (!change(p, v, at, s, random, e))
            return false;
        v = vrt_view_of(&s->changed);
        at = (struct place){0};
    }
    normalise(p, v, at, input);
    if (random != NULL && t->erase > 0)
        vrt_erase(input, t->height, t->width, t->channels, t->erase, random);
    return true;
}

bool vrt_transform_eval(const struct vrt_transform *t, const struct vrt_image *image, float *input,
                        struct vrt_error *e)
{
    struct vrt_scratch s = {0};
    struct vrt_pipeline p;
    bool ok = vrt_pipeline_make(&p, t, e) && vrt_pipeline_apply(&p, image, &s, NULL, input, e);

    vrt_scratch_free(&s);
    return ok;
}
