/* Counter-based random numbers: Philox4x32-10 (Salmon et al., SC11; Random123). A number depends on
 * its key and counter alone, so pictures and masks are the same for any number of threads, and
 * resuming costs nothing. */
#ifndef RUNTIME_BASE_RANDOM_H
#define RUNTIME_BASE_RANDOM_H

#include <stdint.h>

/* What a number is for: one word of the counter. Generated code uses 16 and up. */
enum vrt_purpose {
    VRT_RANDOM_INIT = 1,
    VRT_RANDOM_SHUFFLE = 2,
    VRT_RANDOM_AUGMENT = 3,
    VRT_RANDOM_GRADCHECK = 4,
    VRT_RANDOM_UPCYCLE = 5,
    VRT_RANDOM_MIX = 6,
    VRT_RANDOM_FLIP = 7
};

/* A stream of numbers under one counter: (a, b, purpose) name it, `next` runs along it. */
struct vrt_random {
    uint64_t seed;
    uint32_t a, b, purpose, block;
    uint32_t words[4];
    int used;
};

void vrt_random_start(struct vrt_random *r, uint64_t seed, enum vrt_purpose purpose, uint32_t a,
                      uint32_t b);
uint32_t vrt_random_u32(struct vrt_random *r);
double vrt_random_uniform(struct vrt_random *r);             /* [0, 1), 32 bits */
double vrt_random_normal(struct vrt_random *r);              /* Box-Muller, the cosine half */
uint64_t vrt_random_below(struct vrt_random *r, uint64_t n); /* unbiased, 0 .. n-1 */

#endif
