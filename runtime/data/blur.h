/* Gaussian blur with Pillow's pixels: ImageFilter.GaussianBlur(radius), three extended box blurs in
 * each direction (Gwosdek, Grewenig, Bruhn, Weickert: Theoretical Foundations of Gaussian
 * Convolution by Extended Box Filtering, 2011). */
#ifndef RUNTIME_DATA_BLUR_H
#define RUNTIME_DATA_BLUR_H

#include "runtime/data/image.h"

/* In place. radius: the Gaussian's standard deviation in pixels, 0 (nothing is done) to 1000; edges
 * are copied outwards. spare and rows are scratch memory. Cost: grows with the radius, made for a
 * few pixels. */
bool vrt_blur(struct vrt_image *image, double radius, struct vrt_buffer *spare,
              struct vrt_buffer *rows, struct vrt_error *e);

#endif
