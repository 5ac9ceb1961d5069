/* What rules about shapes are written with: answers of struct op's `wrong`, NULL meaning nothing.
 * The verifier has counted inputs and outputs before it asks. */
#ifndef COMPILER_OPS_SHAPES_H
#define COMPILER_OPS_SHAPES_H

#include "compiler/graph/graph.h"

bool shape_is(const struct value *v, int64_t rows, int64_t cols);
bool shape_alike(const struct value *a, const struct value *b);     /* of the same experts, too */
bool shape_same_rows(const struct value *a, const struct value *b); /* row by row */

/* Inputs and output 0 are all alike. */
const char *wrong_unless_alike(const struct node *n);

/* The param has this shape, behind the axis of the experts of v where v is routed. */
bool param_is(const struct param *p, const struct value *v, int rank, const int64_t *shape);

/* One factor for each column of v. */
const char *wrong_unless_by_column(const struct param *p, const struct value *v);

/* w (O,I) between x (R,I) and y (R,O), with a bias (O) or none. */
const char *wrong_unless_product(const struct node *n, const struct value *x,
                                 const struct value *y);

#endif
