/* Affine maps with Pillow's pixels: Image.transform(AFFINE) and Image.rotate, bilinear and bicubic.
 *
 * Nothing is antialiased, the cubic has a = -1, results are cut to 8 bits, and a pixel whose centre
 * comes from beyond the picture's edge is filled; arithmetic is in double. (Resizing is another
 * thing: see resample.h.) */
#ifndef RUNTIME_DATA_WARP_H
#define RUNTIME_DATA_WARP_H

#include "runtime/data/image.h"
#include "runtime/data/resample.h"

/* Where a pixel comes from: (m0 x + m1 y + m2, m3 x + m4 y + m5) with (x, y) its centre. */
struct vrt_affine {
    double m[6];
};

struct vrt_affine vrt_affine_rotate(double degrees, int width,
                                    int height); /* about the centre, anticlockwise */
struct vrt_affine vrt_affine_shear_x(double factor);
struct vrt_affine vrt_affine_shear_y(double factor);
struct vrt_affine vrt_affine_translate(double x, double y);

/* In place; `spare` is scratch memory. */
bool vrt_warp(struct vrt_image *image, struct vrt_affine from, enum vrt_filter filter,
              const uint8_t fill[3], struct vrt_buffer *spare, struct vrt_error *e);

#endif
