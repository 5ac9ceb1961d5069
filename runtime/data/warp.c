/* Affine maps. Input: a picture and where its new pixels come from; output: the picture, of the
 * same size. */
#include "runtime/data/warp.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* To 15 decimals, by way of the text: rounded once. */
static double rounded(double x)
{
    char text[32];

    snprintf(text, sizeof text, "%.15f", x);
    return strtod(text, NULL);
}

/* The angle goes by way of 0 .. 360, which moves last bits of negative ones. */
struct vrt_affine vrt_affine_rotate(double degrees, int width, int height)
{
    double turn = fmod(degrees, 360.0), angle, c, s;
    double x = width / 2.0, y = height / 2.0;

    if (turn < 0)
        turn += 360.0;
    angle = -(turn * (3.141592653589793 / 180.0));
    c = rounded(cos(angle));
    s = rounded(sin(angle));
    return (struct vrt_affine){{c, s, c * -x + s * -y + x, -s, c, -s * -x + c * -y + y}};
}

struct vrt_affine vrt_affine_shear_x(double factor)
{
    return (struct vrt_affine){{1, factor, 0, 0, 1, 0}};
}

struct vrt_affine vrt_affine_shear_y(double factor)
{
    return (struct vrt_affine){{1, 0, 0, factor, 1, 0}};
}

struct vrt_affine vrt_affine_translate(double x, double y)
{
    return (struct vrt_affine){{1, 0, x, 0, 1, y}};
}

/* The picture with copies of its edges around it, two pixels each way, so that no neighbour needs a
 * test. */
struct padded {
    uint8_t *data; /* of the first pixel proper */
    size_t stride;
    int width, height;
};

static bool pad(struct padded *p, const struct vrt_image *image, struct vrt_buffer *spare,
                struct vrt_error *e)
{
    size_t step = (size_t)image->channels, width = (size_t)image->width * step,
           stride = width + 4 * step;

    if (!vrt_buffer_reserve(spare, ((size_t)image->height + 4) * stride, e))
        return false;
    for (int y = -2; y < image->height + 2; y++) {
        int from = y < 0 ? 0 : y < image->height ? y : image->height - 1;
        const uint8_t *row = image->pixels.data + (size_t)from * width;
        uint8_t *to = spare->data + (size_t)(y + 2) * stride;
        memcpy(to, row, step);
        memcpy(to + step, row, step);
        memcpy(to + 2 * step, row, width);
        memcpy(to + 2 * step + width, row + width - step, step);
        memcpy(to + 3 * step + width, row + width - step, step);
    }
    *p = (struct padded){spare->data + 2 * (stride + step), stride, image->width, image->height};
    return true;
}

/* Parts a place from -1/2 on into a whole number and what is above it. */
static int whole(double *x)
{
    int i = *x < 0 ? -1 : (int)*x;

    *x -= i;
    return i;
}

static const uint8_t *pixel_at(const struct padded *p, int x, int y, int channels)
{
    return p->data + y * (ptrdiff_t)p->stride + x * channels;
}

static double line(double a, double b, double d)
{
    return a + (b - a) * d;
}

static inline void bilinear(uint8_t *to, const struct padded *p, double x, double y,
                            const int channels)
{
    int left = whole(&x), above = whole(&y);
    const uint8_t *a = pixel_at(p, left, above, channels), *b = a + p->stride;

    for (int c = 0; c < channels; c++)
        to[c] = (uint8_t)line(line(a[c], a[channels + c], x), line(b[c], b[channels + c], x), y);
}

static double cubic(double a, double b, double c, double d, double x)
{
    double p2 = -a + c, p3 = 2 * (a - b) + c - d, p4 = -a + b - c + d;

    return b + x * (p2 + x * (p3 + x * p4));
}

static uint8_t cut(double v)
{
    v = v < 0 ? 0 : v;
    v = v > 255 ? 255 : v;
    return (uint8_t)(int)v;
}

/* Four neighbours in a row, the second one at `p`. */
static inline void cubic_row(double *to, const uint8_t *p, double x, const int channels)
{
    for (int c = 0; c < channels; c++)
        to[c] = cubic(p[c - channels], p[c], p[c + channels], p[c + 2 * channels], x);
}

/* A direction in which a place is whole gives its pixel to the bit, so that shears and shifts need
 * one row or column. */
static inline void bicubic(uint8_t *to, const struct padded *p, double x, double y,
                           const int channels)
{
    int left = whole(&x), above = whole(&y);
    const uint8_t *here = pixel_at(p, left, above, channels);
    double rows[4][3];

    if (y == 0) {
        cubic_row(rows[0], here, x, channels);
        for (int c = 0; c < channels; c++)
            to[c] = cut(rows[0][c]);
        return;
    }
    if (x == 0)
        for (int i = 0; i < 4; i++)
            for (int c = 0; c < channels; c++)
                rows[i][c] = here[(i - 1) * (ptrdiff_t)p->stride + c];
    else
        for (int i = 0; i < 4; i++)
            cubic_row(rows[i], here + (i - 1) * (ptrdiff_t)p->stride, x, channels);
    for (int c = 0; c < channels; c++)
        to[c] = cut(cubic(rows[0][c], rows[1][c], rows[2][c], rows[3][c], y));
}

/* One row; `filter` and `channels` are constants where this is called. */
static inline void warp_row(uint8_t *to, const struct padded *p, int y, const double *m,
                            const uint8_t *fill, const enum vrt_filter filter, const int channels)
{
    double below = y + 0.5;

    for (int x = 0; x < p->width; x++, to += channels) {
        double from_x = m[0] * (x + 0.5) + m[1] * below + m[2],
               from_y = m[3] * (x + 0.5) + m[4] * below + m[5];
        if (!(from_x >= 0 && from_x < p->width && from_y >= 0 && from_y < p->height))
            memcpy(to, fill, (size_t)channels);
        else if (filter == VRT_BILINEAR)
            bilinear(to, p, from_x - 0.5, from_y - 0.5, channels);
        else
            bicubic(to, p, from_x - 0.5, from_y - 0.5, channels);
    }
}

bool vrt_warp(struct vrt_image *image, struct vrt_affine from, enum vrt_filter filter,
              const uint8_t fill[3], struct vrt_buffer *spare, struct vrt_error *e)
{
    size_t stride = (size_t)image->width * (size_t)image->channels;
    struct padded p;

    if (!pad(&p, image, spare, e))
        return false;
    for (int y = 0; y < image->height; y++) {
        uint8_t *to = image->pixels.data + (size_t)y * stride;
        if (image->channels == 3 && filter == VRT_BILINEAR)
            warp_row(to, &p, y, from.m, fill, VRT_BILINEAR, 3);
        else if (image->channels == 3)
            warp_row(to, &p, y, from.m, fill, VRT_BICUBIC, 3);
        else if (filter == VRT_BILINEAR)
            warp_row(to, &p, y, from.m, fill, VRT_BILINEAR, 1);
        else
            warp_row(to, &p, y, from.m, fill, VRT_BICUBIC, 1);
    }
    return true;
}
