/* See finite.h. By integers, in blocks of a constant length, so that compilers use vectors: a sum
 * of floats may not be reordered, an `or` of bits may. */
#include "runtime/base/finite.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { BLOCK = 1024 };

/* A float is finite unless all bits of its exponent are set: then one more bit there runs over. */
static bool block_finite(const float x[BLOCK])
{
    uint32_t bits, over = 0;
    for (int i = 0; i < BLOCK; i++) {
        memcpy(&bits, &x[i], sizeof bits);
        over |= (bits & 0x7f800000u) + 0x00800000u;
    }
    return over >> 31 == 0;
}

int64_t vrt_not_finite(const float *x, int64_t n)
{
    int64_t i = 0;
    while (i + BLOCK <= n && block_finite(x + i))
        i += BLOCK;
    while (i < n && isfinite(x[i]))
        i++;
    return i < n ? i : -1;
}
