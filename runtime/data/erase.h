/* Random erasing as timm does it (mode `pixel`, one rectangle): a part of the network's input
 * becomes noise. */
#ifndef RUNTIME_DATA_ERASE_H
#define RUNTIME_DATA_ERASE_H

#include "runtime/base/random.h"

/* input (H,W,C), normalised. With the given probability a rectangle of 0.02 to 1/3 of the area,
 * height to width 0.3 to 1/0.3 (uniform in the logarithm), becomes N(0, 1), value by value. A
 * picture in which ten draws find no room stays. */
void vrt_erase(float *input, int height, int width, int channels, double probability,
               struct vrt_random *random);

#endif
