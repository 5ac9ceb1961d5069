/* From a decoded picture to the network's input: crop, resize, flip, change the pixels, normalise,
 * erase. */
#ifndef RUNTIME_DATA_AUGMENT_H
#define RUNTIME_DATA_AUGMENT_H

#include "runtime/base/random.h"
#include "runtime/data/loader.h"
#include "runtime/data/resample.h"

/* A transform made ready. normal[c][v] is what byte v of channel c becomes: ((v/255) - mean) / std,
 * each step in float. */
struct vrt_pipeline {
    struct vrt_transform transform;
    float normal[3][256];
};

/* Memory of one thread; a zeroed struct is empty. */
struct vrt_scratch {
    struct vrt_image image; /* the decoded picture, for the caller */
    struct vrt_image resized, changed;
    struct vrt_resampler resampler;
    struct vrt_policy_scratch policy;
};

/* Check a transform's ranges (errors say which) and build the table. */
bool vrt_pipeline_make(struct vrt_pipeline *p, const struct vrt_transform *t, struct vrt_error *e);

/* input (H,W,C) from `image`, which has the transform's channels. random: NULL for evaluation, else
 * a stream under the name (epoch + (copy << 24), picture).
 *
 * Alternating flips (Jordan 2024, arXiv 2404.02684, where the probability is a half): a picture
 * draws u once, for all epochs, and is flipped at the epochs t where the fraction of u + t * flip
 * is below flip. So each is flipped in as even a share of its epochs as can be: at a half in every
 * other one, and two epochs show every picture both ways. Copies within an epoch take turns too. */
bool vrt_pipeline_apply(const struct vrt_pipeline *p, const struct vrt_image *image,
                        struct vrt_scratch *s, struct vrt_random *random, float *input,
                        struct vrt_error *e);
void vrt_scratch_free(struct vrt_scratch *s);

/* The crop of a random resized crop in a picture of width x height, as timm draws it: ten tries of
 * area and log aspect ratio, then the centre with the nearest allowed ratio. */
struct vrt_rect {
    int left, top, width, height;
};

struct vrt_rect vrt_random_rect(const struct vrt_transform *t, int width, int height,
                                struct vrt_random *random);

/* How a picture is brought to the network's size: resized to just cover floor(width/crop_pct) x
 * floor(height/crop_pct), or squashed to exactly that, of which the centre is kept. A size that is
 * square sets the short side and the other one is truncated, as torchvision does it; any other size
 * rounds both, as timm does it (but timm then resizes bilinearly whatever is asked for). Offsets
 * round half to even. Refuses a picture so narrow that its long side would overflow. */
bool vrt_resize_centre(struct vrt_resize *how, struct vrt_view v, const struct vrt_transform *t,
                       double crop_pct, struct vrt_error *e);

#endif
