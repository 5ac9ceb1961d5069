/* The matrix products of programs for processors without fused multiply-add: by OpenBLAS, which is
 * opened only where such a program trains. (Its start takes 128 MiB of address space for each
 * thread, and where there is no room it spins for ever.) */
#ifndef RUNTIME_BASE_BLAS_H
#define RUNTIME_BASE_BLAS_H

#include "runtime/base/status.h"

/* Find the library, so that this many threads may call vrt_gemm_tn(): before these are started. All
 * memory that it will take is taken here. */
bool vrt_blas_open(int threads, struct vrt_error *e);

/* For each thread, before its first product; nothing where the library is not open. */
void vrt_blas_calm(void);

#endif
