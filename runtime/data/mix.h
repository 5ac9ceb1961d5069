/* Mixup (Zhang and others 2018) and cutmix (Yun and others 2019): pictures of a batch and their
 * targets become shares of two.
 *
 * As timm has it in its batch mode: one way, share and box for the whole batch. Partners stay
 * within a group of pictures, the first with the last and so on, so that nothing depends on how a
 * batch is cut into calls. */
#ifndef RUNTIME_DATA_MIX_H
#define RUNTIME_DATA_MIX_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/random.h"

struct vrt_mix_options {
    double mixup, cutmix; /* alpha of Beta(alpha, alpha); 0: off */
    double probability;   /* that a batch is mixed */
    double cut;           /* that it is cut, where both are on */
};

/* How a batch is mixed; all zero: not at all. */
struct vrt_mix {
    bool on, cut;
    float keep; /* share of a picture's own target, and of its pixels unless it is cut */
    int top, left, bottom, right; /* cut: what comes from the partner */
};

static inline bool vrt_mixes(const struct vrt_mix_options *o)
{
    return (o->mixup > 0 || o->cutmix > 0) && o->probability > 0;
}

struct vrt_mix vrt_mix_draw(const struct vrt_mix_options *o, int height, int width,
                            struct vrt_random *random);

/* The place of the partner of picture i; itself in the middle of an odd group. */
static inline int64_t vrt_mix_partner(int64_t i, int64_t group)
{
    return i / group * group + group - 1 - i % group;
}

/* input: n pictures (H,W,C), n a multiple of `group`, in place. */
void vrt_mix_apply(const struct vrt_mix *m, float *input, int64_t n, int64_t group, int height,
                   int width, int channels);

#endif
