/* Two pictures become two others: see mix.h. */
#include "runtime/data/mix.h"

#include <math.h>

/* Marsaglia and Tsang 2000; below 1 by a power of a uniform number. */
static double gamma_number(double shape, struct vrt_random *random)
{
    if (shape < 1)
        return gamma_number(shape + 1, random) * pow(1 - vrt_random_uniform(random), 1 / shape);
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = vrt_random_normal(random), v = pow(1 + c * x, 3),
               u = 1 - vrt_random_uniform(random);
        if (v > 0 && log(u) < 0.5 * x * x + d * (1 - v + log(v)))
            return d * v;
    }
}

static double beta_number(double alpha, struct vrt_random *random)
{
    double a = gamma_number(alpha, random), b = gamma_number(alpha, random);
    return a + b > 0 ? a / (a + b) : 0.5; /* with a tiny alpha both may underflow */
}

static int clip(int v, int most)
{
    return v < 0 ? 0 : v > most ? most : v;
}

/* A box with the share 1 - keep of the area, which is then cut at the picture's edges. */
static void draw_box(struct vrt_mix *m, int height, int width, double keep,
                     struct vrt_random *random)
{
    double side = sqrt(1 - keep);
    int h = (int)(height * side), w = (int)(width * side);
    int y = (int)vrt_random_below(random, (uint64_t)height),
        x = (int)vrt_random_below(random, (uint64_t)width);
    m->top = clip(y - h / 2, height);
    m->bottom = clip(y + h / 2, height);
    m->left = clip(x - w / 2, width);
    m->right = clip(x + w / 2, width);
    m->keep = 1 - (float)(m->bottom - m->top) * (float)(m->right - m->left) /
                      ((float)height * (float)width);
}

struct vrt_mix vrt_mix_draw(const struct vrt_mix_options *o, int height, int width,
                            struct vrt_random *random)
{
    struct vrt_mix m = {0};
    if (!vrt_mixes(o) || vrt_random_uniform(random) >= o->probability)
        return m;
    m.on = true;
    m.cut = o->mixup <= 0 || (o->cutmix > 0 && vrt_random_uniform(random) < o->cut);
    double keep = beta_number(m.cut ? o->cutmix : o->mixup, random);
    m.keep = (float)keep;
    if (m.cut)
        draw_box(&m, height, width, keep, random);
    return m;
}

static void blend(float *a, float *b, int64_t n, float keep)
{
    const float rest = 1 - keep;
    for (int64_t i = 0; i < n; i++) {
        float x = a[i], y = b[i];
        a[i] = x * keep + y * rest;
        b[i] = y * keep + x * rest;
    }
}

static void swap_box(const struct vrt_mix *m, float *a, float *b, int width, int channels)
{
    for (int y = m->top; y < m->bottom; y++)
        for (int64_t i = ((int64_t)y * width + m->left) * channels;
             i < ((int64_t)y * width + m->right) * channels; i++) {
            float x = a[i];
            a[i] = b[i];
            b[i] = x;
        }
}

void vrt_mix_apply(const struct vrt_mix *m, float *input, int64_t n, int64_t group, int height,
                   int width, int channels)
{
    const int64_t size = (int64_t)height * width * channels;
    for (int64_t i = 0; m->on && i < n; i++) {
        int64_t j = vrt_mix_partner(i, group);
        if (j <= i)
            continue;
        if (m->cut)
            swap_box(m, input + i * size, input + j * size, width, channels);
        else
            blend(input + i * size, input + j * size, size, m->keep);
    }
}
