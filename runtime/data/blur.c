/* Gaussian blur. Input: an 8-bit picture; output: the same one, blurred. Results are rounded to 8
 * bits between passes. */
#include "runtime/data/blur.h"

#include <math.h>
#include <string.h>

#define PASSES 3
#define RUN    16 /* values a step: a constant, so that compilers make vectors of the loops */

/* A mean over 2 radius + 1 values of weight `whole` and their two neighbours of weight `part`, in
 * 24 binary places. */
struct box {
    int radius;
    uint32_t whole, part;
};

/* The box whose repetition has the Gaussian's variance; float where Pillow has float. */
static struct box box_of(double radius)
{
    float variance = (float)radius * (float)radius / PASSES;
    float length = (float)sqrt(12.0 * variance + 1.0);
    float l = (float)floor((length - 1.0) / 2.0);
    float a = (2 * l + 1) * (l * (l + 1) - 3 * variance);
    struct box b;

    a /= 6 * (variance - (l + 1) * (l + 1));
    b.radius = (int)(l + a);
    b.whole = (uint32_t)((float)(1 << 24) / ((l + a) * 2 + 1));
    b.part = ((1u << 24) - (uint32_t)(b.radius * 2 + 1) * b.whole) / 2;
    return b;
}

/* `count` values; taps[0 .. 2 radius + 2] point to the first value of each neighbour. */
static inline void box_run(uint8_t *restrict to, const uint8_t *const *taps, size_t at,
                           const struct box *b, const size_t count)
{
    const uint8_t *first = taps[0] + at, *last = taps[2 * b->radius + 2] + at;
    uint32_t sum[RUN] = {0};

    for (int k = 1; k < 2 * b->radius + 2; k++)
        for (size_t i = 0; i < count; i++)
            sum[i] += taps[k][at + i];
    for (size_t i = 0; i < count; i++)
        to[i] =
            (uint8_t)((sum[i] * b->whole + (uint32_t)(first[i] + last[i]) * b->part + (1u << 23)) >>
                      24);
}

static void box_row(uint8_t *to, const uint8_t *const *taps, const struct box *b, size_t count)
{
    size_t i = 0;

    for (; i + RUN <= count; i += RUN)
        box_run(to + i, taps, i, b, RUN);
    box_run(to + i, taps, i, b, count - i);
}

/* All passes over one row, in place: `padded` holds it between copies of its end pixels. */
static void across(uint8_t *row, uint8_t *padded, const uint8_t **taps, const struct box *b,
                   size_t step, size_t stride)
{
    size_t margin = (size_t)(b->radius + 1) * step;

    for (int k = 0; k < 2 * b->radius + 3; k++)
        taps[k] = padded + (size_t)k * step;
    for (int pass = 0; pass < PASSES; pass++) {
        for (size_t i = 0; i < margin; i += step) {
            memcpy(padded + i, row, step);
            memcpy(padded + margin + stride + i, row + stride - step, step);
        }
        memcpy(padded + margin, row, stride);
        box_row(row, taps, b, stride);
    }
}

static void down(uint8_t *to, const uint8_t *from, const uint8_t **taps, const struct box *b,
                 size_t stride, int height)
{
    for (int y = 0; y < height; y++) {
        for (int k = 0; k < 2 * b->radius + 3; k++) {
            int row = y + k - b->radius - 1;
            taps[k] = from + (size_t)(row < 0 ? 0 : row < height ? row : height - 1) * stride;
        }
        box_row(to + (size_t)y * stride, taps, b, stride);
    }
}

bool vrt_blur(struct vrt_image *image, double radius, struct vrt_buffer *spare,
              struct vrt_buffer *rows, struct vrt_error *e)
{
    size_t step = (size_t)image->channels, stride = (size_t)image->width * step;
    struct box b = box_of(radius);
    size_t taps = 2 * (size_t)b.radius + 3;
    const uint8_t **pointers;
    uint8_t *here, *there;

    if (radius == 0)
        return true;
    if (!vrt_buffer_reserve(rows, taps * sizeof(uint8_t *) + stride + taps * step, e) ||
        !vrt_buffer_reserve(spare, image->pixels.size, e))
        return false;
    here = image->pixels.data;
    there = spare->data;
    pointers = (const uint8_t **)rows->data;
    memcpy(there, here, image->pixels.size);
    for (int y = 0; y < image->height; y++)
        across(there + (size_t)y * stride, (uint8_t *)(pointers + taps), pointers, &b, step,
               stride);
    down(here, there, pointers, &b, stride, image->height);
    down(there, here, pointers, &b, stride, image->height);
    down(here, there, pointers, &b, stride, image->height);
    return true;
}
