/* Policies of changes, drawn anew for each picture: RandAugment as timm has it, 3-Augment (Touvron
 * and others 2022), colour jitter.
 *
 * What is drawn and what is done are apart: draws take a fixed count of numbers from the stream,
 * and the rest is exact. */
#ifndef RUNTIME_DATA_POLICY_H
#define RUNTIME_DATA_POLICY_H

#include "runtime/base/random.h"
#include "runtime/data/image.h"
#include "runtime/data/resample.h"

/* Done in this order, each if its field is not zero. A zeroed struct does nothing. */
struct vrt_policy {
    int layers; /* RandAugment: operations a picture, timm has 2 */
    double magnitude,
        magnitude_std;  /* 0 .. 10; each layer's level is normal with these, clipped to 0 .. 10 */
    bool increasing;    /* timm's inc1: all operations change more at higher levels */
    double probability; /* that a layer is applied, timm has 0.5 */
    bool three_augment; /* one of grayscale, solarize at 128, blur by a radius of 0.1 .. 2 */
    double jitter;      /* brightness, contrast, saturation by factors of max(0, 1 - jitter) .. 1 +
                           jitter */
    uint8_t fill[3];    /* beyond the edges; timm has the mean of the normalisation */
    enum vrt_filter filter; /* of rotations, shears and translations */
};

/* Memory of one thread; a zeroed struct is empty. */
struct vrt_policy_scratch {
    struct vrt_buffer spare, rows;
};

void vrt_policy_scratch_free(struct vrt_policy_scratch *s);

/* Change a picture of 1 or 3 channels, in place. No memory is taken once the scratch is large
 * enough. */
bool vrt_policy_apply(const struct vrt_policy *p, struct vrt_image *image,
                      struct vrt_policy_scratch *s, struct vrt_random *random, struct vrt_error *e);

/* RandAugment's operations; their names are timm's, without "Increasing". */
#define VRT_POLICY_OPS 15
const char *vrt_policy_name(int op);

/* One operation at a level of 0 .. 10. sign, 1 or -1: its direction, if it has two. */
bool vrt_policy_op(const struct vrt_policy *p, const char *name, double level, int sign,
                   struct vrt_image *image, struct vrt_policy_scratch *s, struct vrt_error *e);

/* The draws behind vrt_policy_apply, in its order: `layers` layers, a choice of three, a jitter. */
struct vrt_layer {
    int op, sign;
    bool applied;
    double level;
};

enum vrt_three { VRT_THREE_GRAYSCALE, VRT_THREE_SOLARIZE, VRT_THREE_BLUR };

struct vrt_three_choice {
    enum vrt_three kind;
    double radius; /* of the blur */
};

enum vrt_jitter { VRT_JITTER_BRIGHTNESS, VRT_JITTER_CONTRAST, VRT_JITTER_SATURATION };

struct vrt_jitter_choice {
    enum vrt_jitter order[3];
    double factors[3]; /* by kind */
};

struct vrt_layer vrt_policy_draw_layer(const struct vrt_policy *p, struct vrt_random *random);
struct vrt_three_choice vrt_policy_draw_three(struct vrt_random *random);
struct vrt_jitter_choice vrt_policy_draw_jitter(const struct vrt_policy *p,
                                                struct vrt_random *random);

#endif
