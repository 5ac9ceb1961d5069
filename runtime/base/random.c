/* Streams of random numbers over Philox4x32-10. Input: key and counter; output: the same numbers on
 * every machine (normal: up to the last bits of the C library's log and cos).
 *
 * Key: the two halves of the seed. Counter words: block, a, b, purpose. */
#include "runtime/base/random.h"

#include <math.h>
#include <Random123/philox.h>

void vrt_random_start(struct vrt_random *r, uint64_t seed, enum vrt_purpose purpose, uint32_t a,
                      uint32_t b)
{
    *r = (struct vrt_random){.seed = seed, .a = a, .b = b, .purpose = purpose, .used = 4};
}

static void fill(struct vrt_random *r)
{
    philox4x32_ctr_t counter = {{r->block++, r->a, r->b, r->purpose}};
    philox4x32_key_t key = {{(uint32_t)r->seed, (uint32_t)(r->seed >> 32)}};
    philox4x32_ctr_t words = philox4x32(counter, key);

    for (int i = 0; i < 4; i++)
        r->words[i] = words.v[i];
    r->used = 0;
}

uint32_t vrt_random_u32(struct vrt_random *r)
{
    if (r->used == 4)
        fill(r);
    return r->words[r->used++];
}

double vrt_random_uniform(struct vrt_random *r)
{
    return vrt_random_u32(r) * 0x1p-32;
}

double vrt_random_normal(struct vrt_random *r)
{
    double radius = (vrt_random_u32(r) + 1.0) * 0x1p-32; /* (0, 1]: the logarithm is finite */
    double angle = vrt_random_uniform(r);

    return sqrt(-2.0 * log(radius)) * cos(6.283185307179586477 * angle);
}

uint64_t vrt_random_below(struct vrt_random *r, uint64_t n)
{
    uint64_t rest = -n % n; /* 2^64 mod n: so many draws at the low end would be one too many */
    uint64_t draw;

    do {
        draw = vrt_random_u32(r);
        draw = draw << 32 | vrt_random_u32(r);
    } while (draw < rest);
    return draw % n;
}
