/* Learned positions for a grid of another size. Input: a row of `cols` numbers for each token of
 * the old grid; output: the same for the new one.
 *
 * The filter is the one that timm's resample_abs_pos_embed uses, PyTorch's bicubic interpolation
 * with antialiasing and align_corners = False: Keys' cubic with a = -1/2, of support 2 x max(1, old
 * / new), its weights normalised to the sum 1 and cut at the borders. Rows and columns are
 * separable. */
#ifndef RUNTIME_IO_POSITIONS_H
#define RUNTIME_IO_POSITIONS_H

#include <stdbool.h>
#include <stdint.h>

struct vrt_grid {
    int64_t height, width;
};

/* from: (old.height, old.width, cols), to: (new.height, new.width, cols); all sizes at least 1.
 * False: no memory. */
bool vrt_positions_resample(const float *from, struct vrt_grid old, float *to, struct vrt_grid new,
                            int64_t cols);

#endif
