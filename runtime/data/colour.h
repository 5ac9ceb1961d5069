/* Changes of colour, in place, with Pillow's pixels: ImageOps, ImageEnhance and convert("L") of 9.4
 * to 13.
 *
 * Pictures have 1 (gray) or 3 (RGB) channels. What RGB pictures do by way of gray (luma, see
 * image.h) gray ones do directly; grayscale and saturation leave them alone.
 * tests/unit/test_policy.c compares with Pillow, by bytes. */
#ifndef RUNTIME_DATA_COLOUR_H
#define RUNTIME_DATA_COLOUR_H

#include "runtime/data/image.h"

/* Value by value. */
void vrt_colour_autocontrast(
    struct vrt_image *image); /* each channel's range is stretched to 0 .. 255 */
void vrt_colour_equalize(struct vrt_image *image); /* each channel's histogram is made flat */
void vrt_colour_invert(struct vrt_image *image);
void vrt_colour_posterize(struct vrt_image *image, int bits); /* keeps the upper 0 .. 8 bits */
void vrt_colour_solarize(struct vrt_image *image,
                         int threshold); /* inverts from threshold (0 .. 256) on */
void vrt_colour_solarize_add(struct vrt_image *image, int add,
                             int threshold);        /* adds below threshold, up to 255 */
void vrt_colour_grayscale(struct vrt_image *image); /* gray in 3 equal channels */

/* Blends base + factor (picture - base), clipped and cut to 8 bits. The base is black; the mean
 * gray; the gray picture; the smoothed picture (its edges, and pictures under 3 pixels a side,
 * stay). Factor 1 changes nothing. */
void vrt_colour_brightness(struct vrt_image *image, double factor);
void vrt_colour_contrast(struct vrt_image *image, double factor);
void vrt_colour_saturation(struct vrt_image *image, double factor);
bool vrt_colour_sharpness(struct vrt_image *image, double factor, struct vrt_buffer *rows,
                          struct vrt_error *e);

#endif
