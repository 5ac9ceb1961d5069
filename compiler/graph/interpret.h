/* The plain interpreter of a graph, in double precision: obvious loops, one function per node,
 * nothing fused or reused. It is the definition of every node, and what the tests compare gradients
 * and generated code with.
 *
 *     struct interp *it = interp_new(arena, graph, &settings);
 *     fill interp_param() of each param, interp_value() of graph->input and graph->target
 *     interp_run(it, 0, graph->nforward);                  then interp_value(), interp_loss()
 *     interp_run(it, graph->nforward, graph->nnodes);      then interp_grad()
 *
 * Everything belongs to the arena. Shapes are those of the graph, which must pass graph_verify():
 * nothing is checked here. */
#ifndef COMPILER_GRAPH_INTERPRET_H
#define COMPILER_GRAPH_INTERPRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct graph;
struct moe;
struct param;
struct value;
struct interp;

/* What a program receives as struct vrt_ctx. All may be changed between runs; images only downwards
 * from its first value. */
struct interp_settings {
    uint64_t seed, step;         /* of the random numbers */
    int64_t images, first_image; /* B, and the place of the first in the whole batch: a multiple of
                                    every moe's group */
    double drop_path;            /* rate of the last block */
    double loss_scale;           /* 1 / images of the whole batch */
    double balance_scale;        /* 1 / routing groups of the whole batch */
    bool hold_routing; /* keep choice and slot of the run before; gate weights are computed anew */
};

struct interp *interp_new(struct arena *a, const struct graph *g, const struct interp_settings *s);
struct interp_settings *interp_settings(struct interp *it);

double *interp_param(
    /* p->count, laid out as the file's shape; zero at first */
    struct interp *it, const struct param *p);
double *interp_grad(struct interp *it,
                    const struct param *p); /* the same; zero at first, backward nodes add */
double *interp_value(
    /* (images * rows, cols); routed: the rows in use first */
    struct interp *it, const struct value *v);

/* Decisions of the last run, as struct moe describes them; N = images * tokens. */
int32_t *interp_choice(struct interp *it, const struct moe *m); /* (N,K) expert */
int32_t *interp_slot(struct interp *it,
                     const struct moe *m); /* (N*span,K) routed row, or -1: dropped */
int32_t *interp_first(struct interp *it,
                      const struct moe *m); /* (E+1) first routed row of each expert */

/* Statistics of the last run, over all its images. */
double interp_entropy(
    /* where tokens choose: sum over the items of that of softmax(clean) */
    struct interp *it, const struct moe *m);
void interp_counts(struct interp *it, const struct moe *m,
                   double *counts); /* (images,E) choices that were kept; soft: 0 */

void interp_run(struct interp *it, size_t first,
                size_t end); /* nodes first .. end-1 of the graph */

/* The function whose gradient the backward nodes compute: the sum over the images of the
 * cross-entropy * loss_scale + the balance losses * balance_scale. Needs a run of the forward nodes
 * of a training graph. */
double interp_loss(struct interp *it);
double interp_balance_loss(
    struct interp *it); /* weighted, summed over layers and groups, not scaled */

#endif
