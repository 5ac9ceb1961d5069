/* The resampler. Input: a view and what to make of it; output: an image of keep_width x
 * keep_height. */
#include "runtime/data/resample.h"

#include <math.h>
#include <string.h>

#ifdef __FAST_MATH__
#error "pixels must be Pillow's to the bit: build without -ffast-math and -Ofast"
#endif

#define PLACES 22 /* 32 - 8 bits of a pixel - 2 of headroom */

static double triangle(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double cubic(double x)
{
    const double a = -0.5;

    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * a : 0.0;
}

static const struct {
    double support;
    double (*weight)(double x);
} filters[] = {
    [VRT_BILINEAR] = {1.0, triangle},
    [VRT_BICUBIC] = {2.0, cubic},
};

/* Which inputs make one output: `count` from `first` on, with weights at `weights`. */
struct window {
    int first, count;
    const int32_t *weights;
};

/* One direction: windows for outputs keep .. keep + kept of `size`, over inputs 0 .. in. */
struct axis {
    int in, size, keep, kept;
    float low, high;
    enum vrt_filter filter;
};

struct vrt_view vrt_view_of(const struct vrt_image *image)
{
    return (struct vrt_view){image->pixels.data, (size_t)image->width * (size_t)image->channels,
                             image->width, image->height, image->channels};
}

struct vrt_view vrt_view_crop(struct vrt_view v, int left, int top, int width, int height)
{
    v.data += (size_t)top * v.stride + (size_t)left * (size_t)v.channels;
    v.width = width;
    v.height = height;
    return v;
}

struct vrt_resize vrt_resize_whole(struct vrt_view v, int width, int height, enum vrt_filter filter)
{
    return (struct vrt_resize){.box = {0, 0, (float)v.width, (float)v.height},
                               .width = width,
                               .height = height,
                               .keep_width = width,
                               .keep_height = height,
                               .filter = filter};
}

/* Weights of the inputs around `centre`, normalised, in fixed point; the count of inputs. */
static int weigh(const struct axis *a, double centre, double stretch, int *first, double *exact,
                 int32_t *weights)
{
    double support = filters[a->filter].support * stretch, sum = 0;
    int low = (int)(centre - support + 0.5), high = (int)(centre + support + 0.5);

    low = low < 0 ? 0 : low;
    high = high > a->in ? a->in : high;
    for (int i = 0; i < high - low; i++) {
        exact[i] = filters[a->filter].weight((i + low - centre + 0.5) * (1.0 / stretch));
        sum += exact[i];
    }
    for (int i = 0; i < high - low; i++) {
        double w = sum != 0 ? exact[i] / sum : exact[i];
        weights[i] = (int32_t)(w * (1 << PLACES) + (w < 0 ? -0.5 : 0.5));
    }
    *first = low;
    return high - low;
}

/* Fill b with the windows of an axis; NULL when memory is out. */
static struct window *windows(struct vrt_buffer *b, const struct axis *a, struct vrt_error *e)
{
    double scale = (double)(a->high - a->low) / a->size;
    double stretch = scale < 1.0 ? 1.0 : scale;
    size_t taps = (size_t)ceil(filters[a->filter].support * stretch) * 2 + 1;
    size_t kept = (size_t)a->kept;
    struct window *w;
    double *exact;
    int32_t *weights;

    if (!vrt_buffer_reserve(b, taps * sizeof *exact + kept * (sizeof *w + taps * sizeof *weights),
                            e))
        return NULL;
    exact = (double *)b->data;
    w = (struct window *)(exact + taps);
    weights = (int32_t *)(w + kept);
    for (int i = 0; i < a->kept; i++, weights += taps) {
        w[i].count =
            weigh(a, a->low + (a->keep + i + 0.5) * scale, stretch, &w[i].first, exact, weights);
        w[i].weights = weights;
    }
    return w;
}

static uint8_t to_8_bits(int32_t sum)
{
    sum >>= PLACES;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* One row of outputs. `channels` is a constant where this is called, so that the inner loop
 * unrolls. */
static inline void across(uint8_t *out, const uint8_t *in, const struct window *w, int count,
                          const int channels)
{
    for (int x = 0; x < count; x++, out += channels) {
        const uint8_t *from = in + (size_t)w[x].first * (size_t)channels;
        int32_t sum[3];
        for (int c = 0; c < channels; c++)
            sum[c] = 1 << (PLACES - 1);
        for (int i = 0; i < w[x].count; i++, from += channels)
            for (int c = 0; c < channels; c++)
                sum[c] += from[c] * w[x].weights[i];
        for (int c = 0; c < channels; c++)
            out[c] = to_8_bits(sum[c]);
    }
}

/* One row of outputs from w->count rows, `stride` apart. */
static void down(uint8_t *out, const uint8_t *in, size_t stride, const struct window *w,
                 int32_t *sum, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sum[i] = 1 << (PLACES - 1);
    for (int k = 0; k < w->count; k++) {
        const uint8_t *row = in + (size_t)(w->first + k) * stride;
        int32_t weight = w->weights[k];
        for (size_t i = 0; i < count; i++)
            sum[i] += row[i] * weight;
    }
    for (size_t i = 0; i < count; i++)
        out[i] = to_8_bits(sum[i]);
}

/* An axis that changes nothing is skipped: its weights are 0 and 1. */
static bool is_identity(const struct axis *a)
{
    return a->size == a->in && a->low == 0 && a->high == (float)a->in;
}

static bool pass_across(struct vrt_resampler *r, struct vrt_view *in, const struct axis *a,
                        struct vrt_error *e)
{
    const struct window *w = windows(&r->horizontal, a, e);
    size_t stride = (size_t)a->kept * (size_t)in->channels;

    if (w == NULL || !vrt_buffer_reserve(&r->between, stride * (size_t)in->height, e))
        return false;
    for (int y = 0; y < in->height; y++) {
        const uint8_t *from = in->data + (size_t)y * in->stride;
        uint8_t *to = r->between.data + (size_t)y * stride;
        if (in->channels == 3)
            across(to, from, w, a->kept, 3);
        else
            across(to, from, w, a->kept, 1);
    }
    *in = (struct vrt_view){r->between.data, stride, a->kept, in->height, in->channels};
    return true;
}

static bool pass_down(struct vrt_resampler *r, struct vrt_view in, const struct axis *a,
                      const struct window *w, struct vrt_image *out, struct vrt_error *e)
{
    size_t count = (size_t)in.width * (size_t)in.channels;

    if (w != NULL && !vrt_buffer_reserve(&r->sums, count * sizeof(int32_t), e))
        return false;
    for (int y = 0; y < a->kept; y++) {
        uint8_t *to = out->pixels.data + (size_t)y * count;
        if (w == NULL)
            memcpy(to, in.data + (size_t)y * in.stride, count);
        else
            down(to, in.data, in.stride, &w[y], (int32_t *)r->sums.data, count);
    }
    return true;
}

/* Only the rows that the vertical pass reads go through the horizontal one. */
static struct vrt_view rows_needed(struct vrt_view in, const struct axis *y, struct window *w)
{
    int first = y->keep, end = y->keep + y->kept;

    if (w != NULL) {
        first = w[0].first;
        end = first;
        for (int i = 0; i < y->kept; i++)
            end = w[i].first + w[i].count > end ? w[i].first + w[i].count : end;
        for (int i = 0; i < y->kept; i++)
            w[i].first -= first;
    }
    return vrt_view_crop(in, 0, first, in.width, end - first);
}

bool vrt_resample(struct vrt_resampler *r, struct vrt_view in, const struct vrt_resize *how,
                  struct vrt_image *out, struct vrt_error *e)
{
    struct axis x = {in.width,    how->width,  how->keep_left, how->keep_width,
                     how->box[0], how->box[2], how->filter};
    struct axis y = {in.height,   how->height, how->keep_top, how->keep_height,
                     how->box[1], how->box[3], how->filter};
    struct window *w = NULL;

    if (!vrt_image_resize(out, how->keep_width, how->keep_height, in.channels, e))
        return false;
    if (!is_identity(&y) && (w = windows(&r->vertical, &y, e)) == NULL)
        return false;
    in = rows_needed(in, &y, w);
    if (is_identity(&x))
        in = vrt_view_crop(in, x.keep, 0, x.kept, in.height);
    else if (!pass_across(r, &in, &x, e))
        return false;
    return pass_down(r, in, &y, w, out, e);
}

void vrt_resampler_free(struct vrt_resampler *r)
{
    vrt_buffer_free(&r->horizontal);
    vrt_buffer_free(&r->vertical);
    vrt_buffer_free(&r->between);
    vrt_buffer_free(&r->sums);
}
