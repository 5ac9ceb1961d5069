/* Are numbers finite? A whole array at the speed of memory. */
#ifndef RUNTIME_BASE_FINITE_H
#define RUNTIME_BASE_FINITE_H

#include <stdint.h>

/* The place of the first NaN or infinity among n floats; -1: there is none. */
int64_t vrt_not_finite(const float *x, int64_t n);

#endif
