/* Affine maps. Input: a picture and where its new pixels come from; output: the picture, of the same size. */
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

static int clamp(int i, int limit)
{
    return i < 0 ? 0 : i < limit ? i : limit - 1;
}

/* Parts a place from -1/2 on into a whole number and what is above it. */
static int whole(double *x)
{
    int i = *x < 0 ? -1 : (int)*x;

    *x -= i;
    return i;
}

static double line(double a, double b, double d)
{
    return a + (b - a) * d;
}

static inline void bilinear(uint8_t *to, const struct vrt_view *v, double dx, double dy, const int channels)
{
    int x = whole(&dx), y = whole(&dy);
    const uint8_t *above = v->data + (size_t)clamp(y, v->height) * v->stride;
    const uint8_t *below = v->data + (size_t)clamp(y + 1, v->height) * v->stride;
    int left = clamp(x, v->width) * channels, right = clamp(x + 1, v->width) * channels;

    for (int c = 0; c < channels; c++)
        to[c] = (uint8_t)line(line(above[left + c], above[right + c], dx), line(below[left + c], below[right + c], dx), dy);
}

static double cubic(double a, double b, double c, double d, double x)
{
    double p2 = -a + c, p3 = 2 * (a - b) + c - d, p4 = -a + b - c + d;

    return b + x * (p2 + x * (p3 + x * p4));
}

static uint8_t cut(double v)
{
    return (uint8_t)(v <= 0 ? 0 : v >= 255 ? 255 : v);
}

/* A direction in which a place is whole gives its pixel to the bit, so that shears and shifts need one row or column. */
static inline void bicubic(uint8_t *to, const struct vrt_view *v, double dx, double dy, const int channels)
{
    int x = whole(&dx), y = whole(&dy), at[4];
    int first = dy == 0 ? 1 : 0, last = dy == 0 ? 1 : 3;
    double down[4][3];

    for (int i = 0; i < 4; i++)
        at[i] = clamp(x - 1 + i, v->width) * channels;
    for (int i = first; i <= last; i++) {
        const uint8_t *row = v->data + (size_t)clamp(y - 1 + i, v->height) * v->stride;
        for (int c = 0; c < channels; c++)
            down[i][c] = dx == 0 ? row[at[1] + c] : cubic(row[at[0] + c], row[at[1] + c], row[at[2] + c], row[at[3] + c], dx);
    }
    for (int c = 0; c < channels; c++)
        to[c] = cut(dy == 0 ? down[1][c] : cubic(down[0][c], down[1][c], down[2][c], down[3][c], dy));
}

/* One row; `filter` and `channels` are constants where this is called. */
static inline void warp_row(uint8_t *to, const struct vrt_view *v, int y, const double *m, const uint8_t *fill,
                            const enum vrt_filter filter, const int channels)
{
    double below = y + 0.5;

    for (int x = 0; x < v->width; x++, to += channels) {
        double from_x = m[0] * (x + 0.5) + m[1] * below + m[2], from_y = m[3] * (x + 0.5) + m[4] * below + m[5];
        if (!(from_x >= 0 && from_x < v->width && from_y >= 0 && from_y < v->height))
            memcpy(to, fill, (size_t)channels);
        else if (filter == VRT_BILINEAR)
            bilinear(to, v, from_x - 0.5, from_y - 0.5, channels);
        else
            bicubic(to, v, from_x - 0.5, from_y - 0.5, channels);
    }
}

bool vrt_warp(struct vrt_image *image, struct vrt_affine from, enum vrt_filter filter, const uint8_t fill[3],
              struct vrt_buffer *spare, struct vrt_error *e)
{
    struct vrt_view v = vrt_view_of(image);
    struct vrt_buffer made;

    if (!vrt_buffer_reserve(spare, image->pixels.size, e))
        return false;
    for (int y = 0; y < v.height; y++) {
        uint8_t *to = spare->data + (size_t)y * v.stride;
        if (v.channels == 3 && filter == VRT_BILINEAR)
            warp_row(to, &v, y, from.m, fill, VRT_BILINEAR, 3);
        else if (v.channels == 3)
            warp_row(to, &v, y, from.m, fill, VRT_BICUBIC, 3);
        else if (filter == VRT_BILINEAR)
            warp_row(to, &v, y, from.m, fill, VRT_BILINEAR, 1);
        else
            warp_row(to, &v, y, from.m, fill, VRT_BICUBIC, 1);
    }
    made = *spare;
    made.size = image->pixels.size;
    *spare = image->pixels;
    image->pixels = made;
    return true;
}
