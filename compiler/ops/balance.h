/* Balance losses of a routing and their gradient, in double precision; groups of pictures that are
 * routed together. The losses and their sources stand in compiler/emit/balance.c. */
#ifndef COMPILER_OPS_BALANCE_H
#define COMPILER_OPS_BALANCE_H

#include "compiler/graph/interpret_node.h"

/* The items first .. first+count-1 of all images of the call. */
struct group {
    int64_t first, count;
};
struct group group_of(const struct interp *it, const struct moe *m, int64_t index);
int64_t group_count(const struct interp *it, const struct moe *m);

/* Weighted losses of the routing node n, summed over the groups of the run before. */
double balance_losses(struct interp *it, const struct node *n);

/* Their gradient to the logits (and to the noisy ones, z) of one group is added to dx. */
void balance_dx(struct interp *it, const struct moe *m, struct matrix clean, struct matrix z,
                struct matrix dx, struct group g);

/* dx += the gradient of a softmax p, given d loss / d p. */
void balance_softmax_dx(double *dx, const double *p, const double *dp, int n);

#endif
