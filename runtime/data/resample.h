/* Resizing with Pillow's pixels: separable, antialiased (the kernel widens when shrinking), 8-bit
 * in, between and out.
 *
 * Filters (both of support s, stretched by max(1, in/out)): bilinear, the triangle, s = 1; bicubic,
 * Keys with a = -0.5, s = 2. Weights are normalised in double, then rounded to 22 binary places;
 * the horizontal pass comes first, and its results are rounded to 8 bits. tests/reference compares
 * with Pillow 9.4 to 12.2, by bytes. (Pillow 13 runs the vertical pass first where that is cheaper,
 * on tall pictures, which moves the last bits; published accuracies rest on the older order.) */
#ifndef RUNTIME_DATA_RESAMPLE_H
#define RUNTIME_DATA_RESAMPLE_H

#include "runtime/data/image.h"

enum vrt_filter { VRT_BILINEAR, VRT_BICUBIC };

/* Some pixels of a picture, not owned. */
struct vrt_view {
    const uint8_t *data;
    size_t stride; /* bytes from row to row */
    int width, height, channels;
};

struct vrt_view vrt_view_of(const struct vrt_image *image);
struct vrt_view vrt_view_crop(struct vrt_view v, int left, int top, int width,
                              int height); /* must lie inside */

/* The part `box` (left, top, right, bottom; sub-pixel, inside the picture) is stretched to width x
 * height, of which the `keep_*` window is made: a centre crop after resizing costs only what is
 * kept. */
struct vrt_resize {
    float box[4];
    int width, height;
    int keep_left, keep_top, keep_width, keep_height;
    enum vrt_filter filter;
};

struct vrt_resize vrt_resize_whole(struct vrt_view v, int width, int height,
                                   enum vrt_filter filter);

/* Scratch memory of a resize; a zeroed struct is empty. */
struct vrt_resampler {
    struct vrt_buffer horizontal, vertical; /* weights and windows */
    struct vrt_buffer between, sums;
};

bool vrt_resample(struct vrt_resampler *r, struct vrt_view in, const struct vrt_resize *how,
                  struct vrt_image *out, struct vrt_error *e);
void vrt_resampler_free(struct vrt_resampler *r);

#endif
