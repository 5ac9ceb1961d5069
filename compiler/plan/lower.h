/* What the rooms of plan/ share while a plan is being made. */
#ifndef COMPILER_PLAN_LOWER_H
#define COMPILER_PLAN_LOWER_H

#include "compiler/graph/graph.h"
#include "compiler/plan/plan.h"

struct lowering {
    struct plan *plan;
    const struct graph *g;
    struct function *f;
    bool fuse;
    struct launch *open;      /* row-wise nodes join it while they can */
    struct launch **deferred; /* reductions that wait until it is closed */
    size_t ndeferred, cap_deferred;
    struct buffer **of_value; /* by value id */
    struct buffer **buffers;
    size_t nbuffers, cap_buffers;
};

/* lower.c: nodes of one graph to launches. */
void lower_graph(struct lowering *lo);

/* fuse.c: elementwise calls after a product to steps of it. */
void fuse_epilogues(struct lowering *lo);

/* weights.c: places of the params; packing. */
double param_decay(const struct param *p);      /* 0: none; -1: the recipe's */
struct param **params_in_order(struct plan *p); /* as they lie in memory */
void place_params(struct plan *p);
void plan_packing(struct plan *p);

/* update.c: the norm, the optimiser. */
void plan_update(struct plan *p);

/* memory.c: which buffers live in scratch, tiles, offsets. Returns the bytes of the arena. */
int64_t place_buffers(struct lowering *lo);

/* tile.c: blocking, in one place with its reasons. */
int64_t tile_rows(int64_t bytes_per_row);
#define TILE_SHARES 4 /* see tile_count() */
#define TILE_LEAST  24
int64_t tile_count(int64_t rows, int64_t tile);
int64_t tile_expert_rows(void);
#define TILE_DW_CHUNK 192
struct dw_tile {
    int64_t block, wide;
};
struct dw_tile tile_dw(int vector, int64_t n, int64_t k);
int64_t dw_scratch(int vector, struct dw_tile t, int64_t k, bool patches);
int64_t tile_attention(int64_t tokens);
int64_t attention_scratch(int vector, int64_t tokens, int64_t head, bool backward);
struct dwconv_tile {
    int64_t images, parts, band, group;
}; /* pictures a task, and parts of them: lines, vectors of channels */
struct dwconv_tile tile_dwconv(int vector, int64_t channels, int64_t out_h, int64_t out_w,
                               int64_t taps);
int64_t dwconv_dw_scratch(int vector, int64_t positions);
struct dwconv_tile tile_dwconv_dw(int vector, int64_t channels, int64_t positions, int64_t taps);

#endif
