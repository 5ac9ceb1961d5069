/* The plan: what a program does, in order. A function is a list of launches; a launch runs its
 * calls for every tile of a domain, on threads; a call is a kernel with its sizes and operands.
 * Everything is fixed here but B.
 *
 * Tiles depend on shapes, never on threads, and no two tiles of a launch write the same place, so
 * bits do not depend on threads. A value that lives inside one launch only takes a place in the
 * thread's scratch, all others in the arena. */
#ifndef COMPILER_PLAN_PLAN_H
#define COMPILER_PLAN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "compiler/plan/kernels.h"

struct arena;
struct graph;
struct experts;
struct moe;
struct param;
struct value;

enum activation {
#define ACTIVATION(name) ACT_##name,
#include "compiler/plan/activations.def"
#undef ACTIVATION
    ACTIVATION_COUNT
};
enum codes { CODES_COSINE, CODES_DISTANCE };
enum optimiser { OPTIMISER_ADAMW, OPTIMISER_LAMB, OPTIMISER_SGD };
enum gemm_start { START_ZERO, START_BIAS, START_C };

/* Steps that may follow a product, in order: v = step(v, argument), where v begins as a sum. With
 * steps, c is where sums may rest until they are complete. */
enum then {
#define STEP(name, argument, beside, doc) THEN_##name,
#include "compiler/plan/steps.def"
#undef STEP
    THEN_COUNT
};
bool then_takes(enum then t);  /* an argument */
bool then_beside(enum then t); /* v stays; something else is stored */

struct step {
    enum then then;
    enum activation act; /* of the ACT steps */
    bool stored;         /* v, or what is beside it, goes to y */
    struct operand argument, y;
};
#define THEN_STEPS    5
#define THEN_OPERANDS 6 /* arguments and places of the steps of a product, in all */

struct call {
    enum kernel kernel;
    union call_operands operand; /* and sizes, of the kernel's row */
    union call_sizes size;
    struct step step[THEN_STEPS]; /* of a gemm */
    int nsteps;
    double real[2];        /* eps, rates: part of the kernel's identity */
    const struct moe *moe; /* for the routing kernels */
    const char *name;      /* of the node */
};

/* All operands of a call, those of its steps behind the kernel's own: `n` of them, which is
 * returned; with what is done to each. */
#define CALL_ALL (CALL_OPERANDS + 2 * THEN_STEPS)
struct use {
    struct operand *operand;
    enum access access;
};
int call_uses(struct call *c, struct use use[CALL_ALL]);

enum domain {
    DOMAIN_ROWS,    /* B*rows rows in tile_count() equal tiles of at most `tile`. i0 first row, i2
                       tile; m rows, row = i0 */
    DOMAIN_IMAGES,  /* tiles of `tile` pictures, in `parts`. i0 first picture, i2 part; m pictures,
                       row = part */
    DOMAIN_PARTS,   /* `parts` parts of everything. i2 part; m = B*rows, row = part */
    DOMAIN_TILES,   /* the same, but m counts the tiles that ROWS makes of them */
    DOMAIN_GROUPS,  /* each routing group. i0 first picture, i2 group; m pictures, row = i0 */
    DOMAIN_EXPERTS, /* tiles of the routed rows. i0 first routed row, i1 expert, i2 tile; m rows,
                       row = i0 */
    DOMAIN_EXPERT_PARTS, /* each expert in `parts`. i0 first routed row, i1 expert, i2 part; m rows,
                            row = part */
    DOMAIN_EXPERT_TILES  /* the same, but i0 first tile, m tiles of the expert */
};

struct launch {
    enum domain domain;
    int64_t rows; /* of a picture (ROWS), or the factor of m (PARTS) */
    int64_t tile; /* rows or pictures of a tile; PARTS: m counts slices of so many if not 0 */
    const struct launch *tiles_of; /* TILES, EXPERT_TILES: whose tiles m counts */
    int64_t parts;
    const struct moe *moe;         /* GROUPS */
    const struct experts *experts; /* EXPERTS, EXPERT_PARTS, EXPERT_TILES */
    struct buffer *decisions;      /* of their moe */
    struct call *calls;
    size_t ncalls, cap;
    int64_t scratch_bytes;
    const char *name;
};

struct function {
    const char *name;
    struct launch **launches;
    size_t n, cap;
};

/* Fields of the block of routing decisions (see struct moe), in bytes. */
struct decisions {
    int64_t choice, slot, pair, first, tile, tile_first, stats, bytes;
    int64_t rows_per_tile, max_tiles;
};
struct decisions plan_decisions(const struct moe *m, int64_t micro);
int64_t decisions_stats(const struct moe *m); /* bytes of the stats of one group */

/* The scratch of a routing kernel, in bytes: two lists of keys and indices that a radix sort goes
 * between, its counts; the choices of each expert, and its scores. */
struct route_scratch {
    int64_t keys, index, next_keys, next_index, buckets, counts, scores, bytes;
};
struct route_scratch plan_route_scratch(const struct moe *m);

/* Where a param lies. */
struct placed_param {
    int64_t offset;           /* in PARAMS, GRADS, moments, EMA */
    int64_t packed, packed_t; /* in PACKED: for forward, for dx; -1: not packed */
    int64_t panel_bytes, packed_slice, packed_t_slice; /* bytes of one panel, of one expert */
};

struct plan {
    struct arena *arena;
    const struct graph *eval, *train;
    int vector; /* floats in a vector of the target: 8 or 16 */
    bool red_zones;
    struct placed_param *params; /* by id */
    enum optimiser optimiser;
    int64_t params_bytes, packed_eval_bytes, packed_train_bytes, balance_bytes;
    int64_t arena_eval_bytes, arena_train_bytes, scratch_bytes;
    int64_t choices;      /* floats in a row of CHOICES: the experts of all layers */
    const float **consts; /* tables */
    size_t *const_counts, nconsts, cap_consts, cap_counts;
    struct function pack_eval, pack_train, eval_step, train_step, norm, update;
    size_t train_forward; /* launches of train_step that make up the forward pass */
    struct buffer **eval_buffers, **train_buffers; /* in the arenas */
    size_t neval_buffers, ntrain_buffers;
};

#define PLAN_RED_ZONE 64

struct plan_options {
    int vector;
    bool fuse;      /* false (-O0): every node a launch of its own, every value in the arena */
    bool red_zones; /* for the address sanitizer: no place is used twice, and PLAN_RED_ZONE bytes
                       follow each */
};

struct plan *plan_make(struct arena *a, const struct graph *eval, const struct graph *train,
                       const struct plan_options *o);
bool plan_verify(const struct plan *p, FILE *out);
void plan_print(const struct plan *p, FILE *out);
void plan_draw(const struct plan *p, int64_t memory,
               FILE *out); /* as SVG; memory: of training, in all */

/* All memory that a running program holds, in bytes, for `info` and memory.limit. */
int64_t plan_memory_eval(const struct plan *p);
int64_t plan_memory_train(const struct plan *p, bool ema);
int plan_moments(const struct plan *p); /* that the optimiser keeps of each weight */

/* Panels of packed matrices: `vector` or 2 * `vector` columns wide. */
int64_t plan_panel(int vector, int64_t n);
int64_t plan_packed_bytes(int vector, int64_t n, int64_t k);

#endif
