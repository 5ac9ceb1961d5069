/* Random erasing. Input: normalised pixels; output: the same, with noise in a rectangle. */
#include "runtime/data/erase.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#define TRIES     10
#define MIN_AREA  0.02
#define MAX_AREA  (1.0 / 3)
#define MIN_RATIO 0.3

struct rect {
    int left, top, width, height;
};

static double between(struct vrt_random *random, double low, double high)
{
    return low + (high - low) * vrt_random_uniform(random);
}

/* A rectangle that is lower and narrower than the picture, as the ten draws allow. */
static bool draw_rect(struct rect *r, int height, int width, struct vrt_random *random)
{
    double area = (double)height * width;

    for (int i = 0; i < TRIES; i++) {
        double target = between(random, MIN_AREA, MAX_AREA) * area;
        double ratio = exp(between(random, log(MIN_RATIO), -log(MIN_RATIO)));
        double h = nearbyint(sqrt(target * ratio)), w = nearbyint(sqrt(target / ratio));
        if (h < height && w < width) {
            r->height = (int)h;
            r->width = (int)w;
            r->top = (int)vrt_random_below(random, (uint64_t)(height - r->height + 1));
            r->left = (int)vrt_random_below(random, (uint64_t)(width - r->width + 1));
            return true;
        }
    }
    return false;
}

/* Box-Muller in float, both halves: a large share of the pixels goes through here. */
static void noise(float *to, size_t count, struct vrt_random *random)
{
    for (size_t i = 0; i < count; i += 2) {
        /* (0, 1]: the logarithm is finite */
        float radius = ((float)(vrt_random_u32(random) >> 8) + 1.0f) * 0x1p-24f;
        float angle = 6.28318531f * 0x1p-24f * (float)(vrt_random_u32(random) >> 8);
        radius = sqrtf(-2.0f * logf(radius));
        to[i] = radius * cosf(angle);
        if (i + 1 < count)
            to[i + 1] = radius * sinf(angle);
    }
}

void vrt_erase(float *input, int height, int width, int channels, double probability,
               struct vrt_random *random)
{
    size_t stride = (size_t)width * (size_t)channels;
    struct rect r;

    if (vrt_random_uniform(random) >= probability || !draw_rect(&r, height, width, random))
        return;
    for (int y = 0; y < r.height; y++)
        noise(input + (size_t)(r.top + y) * stride + (size_t)(r.left * channels),
              (size_t)(r.width * channels), random);
}
