/* What the interpreting functions of operations are written with: the state of an interpreter, and
 * matrices over it. */
#ifndef COMPILER_GRAPH_INTERPRET_NODE_H
#define COMPILER_GRAPH_INTERPRET_NODE_H

#include "compiler/graph/graph.h"
#include "compiler/graph/interpret.h"

struct interp_routing {
    int32_t *choice, *slot, *pair, *first; /* as in struct moe */
    int32_t *expert;                       /* of each routed row */
    /* scratch: tokens of a group by priority; choices taken by each expert */
    int32_t *order, *load;
    double *p;                   /* scratch: (E) probabilities of a token */
    double *importance, *demand; /* scratch: (E) of a group, then the loss's gradient to them */
};

struct interp {
    const struct graph *g;
    struct interp_settings settings;
    double **values, **params, **grads; /* by id */
    struct interp_routing *routing;     /* by id of the moe */
};

/* A value at work: the rows of all images, or the routed rows of its experts. */
struct matrix {
    double *at;
    int64_t rows, cols;
    const struct interp_routing *routing; /* NULL: not routed */
    const struct moe *moe;
    int64_t first; /* routed row that row 0 is */
    int expert;    /* the first whose weights the node has */
};

struct matrix interp_matrix(const struct interp *it, const struct value *v);
struct matrix interp_in(const struct interp *it, const struct node *n, int i);
struct matrix interp_out(const struct interp *it, const struct node *n, int i);

static inline double *matrix_row(struct matrix m, int64_t r)
{
    return m.at + r * m.cols;
}

/* The weights (or gradients) that row r of x meets: of its expert where x is routed. NULL where
 * there is no param. */
double *interp_slice(double *const *table, const struct param *p, struct matrix x, int64_t r);

double interp_normal_cdf(double x); /* Phi */
double interp_normal_pdf(double x); /* phi */
void interp_softmax(double *p, const double *x, int64_t n);

/* The four uniform numbers in [0, 1) of counter (c0, c1, key, step). */
void interp_uniform(const struct interp *it, uint32_t c0, uint32_t c1, uint32_t key, double u[4]);

void interp_zero(struct matrix m);
double interp_dot(const double *a, const double *b, int64_t n);

#endif
