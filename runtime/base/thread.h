/* The compute threads, and the functions of abi.def that generated code calls on them. */
#ifndef RUNTIME_BASE_THREAD_H
#define RUNTIME_BASE_THREAD_H

#include <stdint.h>

#include "runtime/base/status.h"

struct vrt_ctx;

enum { VRT_MAX_THREADS = 1024 };
enum { VRT_HUGE_PAGE = 2 << 20 }; /* bytes: blocks of at least so many are put on large pages */

/* Prototypes from the rows of abi.def, so that the two cannot drift apart. */
#define ABI(result, name, parameters) result name parameters;
#define ptr                           void *
#define i32                           int32_t
#define i64                           int64_t
#define f32                           float
#include "runtime/abi.def"
#undef ABI
#undef ptr
#undef i32
#undef i64
#undef f32

/* What vrt_parallel's `task` points to. */
struct vrt_task_signature {
    void (*run)(void *ctx, int64_t i, void *scratch);
};

/* Set ctx->runtime: `threads` compute threads (>= 1), each with its own zeroed block of
 * scratch_bytes (>= 0) at a multiple of 64. The team is started here, so that a step allocates
 * nothing; OpenBLAS, if it is open, is held to one thread. */
bool vrt_threads_start(struct vrt_ctx *ctx, int threads, int64_t scratch_bytes,
                       struct vrt_error *e);
void vrt_threads_stop(
    struct vrt_ctx *ctx); /* frees the scratch; nothing to do when never started */

int vrt_threads_count(const struct vrt_ctx *ctx);

/* run(data, i, thread) for i in 0 .. count-1 on the compute threads, in any order; returns when all
 * are done. `thread`, below vrt_threads_count(), is a number of the thread that runs it. */
void vrt_threads_share(const struct vrt_ctx *ctx, int64_t count,
                       void (*run)(void *data, int64_t i, int thread), void *data);

#endif
