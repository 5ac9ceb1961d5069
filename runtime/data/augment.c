/* Crops, flips and normalisation. Input: an 8-bit picture and, in training, a stream of random numbers; output: floats.
 *
 * Random numbers are drawn in a fixed order (crop, shift, flip), so a picture depends on its own stream alone. */
#include "runtime/data/augment.h"

#include <math.h>

#define TRIES 10

/* A NaN fails every comparison, so the tests are written as what must hold. */
static const char *wrong_range(const struct vrt_transform *t)
{
    if (t->channels != 1 && t->channels != 3)
        return "the input must have 1 or 3 channels";
    if (t->height < 1 || t->width < 1 || t->height > VRT_IMAGE_MAX_SIDE || t->width > VRT_IMAGE_MAX_SIDE)
        return "the input's sides must be 1 to 65500 pixels";
    for (int c = 0; c < t->channels; c++)
        if (!(fabs(t->mean[c]) < 1e6 && t->std[c] > 1e-6 && t->std[c] < 1e6))
            return "each mean must be finite and each std positive";
    if (t->resample != VRT_BILINEAR && t->resample != VRT_BICUBIC)
        return "the resampling filter must be bilinear or bicubic";
    if (!(t->crop_pct > 0.01 && t->crop_pct <= 1))
        return "crop_pct must be above 0.01 and at most 1";
    if (t->random_resized_crop && !(t->min_scale > 0 && t->min_scale <= t->max_scale && t->max_scale <= 1))
        return "the scale of random_resized_crop must lie within 0 and 1";
    if (t->random_resized_crop && !(t->min_ratio > 1e-3 && t->min_ratio <= t->max_ratio && t->max_ratio < 1e3))
        return "the ratio of random_resized_crop must lie within 0.001 and 1000";
    if (t->padded_crop < 0 || t->padded_crop > t->width || t->padded_crop > t->height)
        return "padded_crop must be 0 to the input's size";
    if (!(t->flip >= 0 && t->flip <= 1))
        return "the probability of flip must lie within 0 and 1";
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
    vrt_resampler_free(&s->resampler);
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

struct vrt_rect vrt_random_rect(const struct vrt_transform *t, int width, int height, struct vrt_random *random)
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

bool vrt_resize_centre(struct vrt_resize *how, struct vrt_view v, const struct vrt_transform *t, double crop_pct,
                       struct vrt_error *e)
{
    double w = floor(t->width / crop_pct), h = floor(t->height / crop_pct);

    if (!t->squash)
        cover(v, &w, &h);
    if (w > INT32_MAX || h > INT32_MAX)
        return vrt_fail(e, VRT_BAD_INPUT, "the picture is %d x %d pixels: too narrow to be cropped to %d x %d; replace or "
                        "remove it", v.width, v.height, t->width, t->height);
    *how = vrt_resize_whole(v, (int)w, (int)h, (enum vrt_filter)t->resample);
    how->keep_left = round_even((w - t->width) / 2);
    how->keep_top = round_even((h - t->height) / 2);
    how->keep_width = t->width;
    how->keep_height = t->height;
    return true;
}

/* Bytes to floats; the picture lies `dx`, `dy` to the right and down of the input's corner, black around it. */
static void normalise(const struct vrt_pipeline *p, struct vrt_view v, int dx, int dy, bool flip, float *input)
{
    const struct vrt_transform *t = &p->transform;
    const int channels = t->channels;

    for (int y = 0; y < t->height; y++) {
        const uint8_t *row = y - dy >= 0 && y - dy < v.height ? v.data + (size_t)(y - dy) * v.stride : NULL;
        for (int x = 0; x < t->width; x++, input += channels) {
            int from = (flip ? t->width - 1 - x : x) - dx;
            bool inside = row != NULL && from >= 0 && from < v.width;
            for (int c = 0; c < channels; c++)
                input[c] = p->normal[c][inside ? row[from * channels + c] : 0];
        }
    }
}

/* Crop and resize to the network's size. The crop is cut out first: pixels beyond its edge have no influence. */
static bool fit(const struct vrt_pipeline *p, struct vrt_view *v, struct vrt_scratch *s, struct vrt_random *random,
                struct vrt_error *e)
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
    if (how.width == v->width && how.height == v->height) {
        *v = vrt_view_crop(*v, how.keep_left, how.keep_top, t->width, t->height);
        return true;
    }
    if (!vrt_resample(&s->resampler, *v, &how, &s->resized, e))
        return false;
    *v = vrt_view_of(&s->resized);
    return true;
}

bool vrt_pipeline_apply(const struct vrt_pipeline *p, const struct vrt_image *image, struct vrt_scratch *s,
                        struct vrt_random *random, float *input, struct vrt_error *e)
{
    const int pad = p->transform.padded_crop;
    struct vrt_view v = vrt_view_of(image);
    bool flip = false;
    int dx = 0, dy = 0;

    if (image->channels != p->transform.channels)
        return vrt_fail(e, VRT_INTERNAL, "a picture of %d channels where %d are needed", image->channels,
                        p->transform.channels);
    if (!fit(p, &v, s, random, e))
        return false;
    if (random != NULL && pad > 0) {
        dy = pad - (int)vrt_random_below(random, 2 * (uint64_t)pad + 1);
        dx = pad - (int)vrt_random_below(random, 2 * (uint64_t)pad + 1);
    }
    if (random != NULL && p->transform.flip > 0)
        flip = vrt_random_uniform(random) < p->transform.flip;
    normalise(p, v, dx, dy, flip, input);
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
