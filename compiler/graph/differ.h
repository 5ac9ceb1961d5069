/* What gradient rules are written with. A rule gets the gradient of its node's output and adds
 * backward nodes; forward values that these read come by way of grad_again(). */
#ifndef COMPILER_GRAPH_DIFFER_H
#define COMPILER_GRAPH_DIFFER_H

#include "compiler/graph/graph.h"

struct differ;

bool grad_learns(const struct node *n); /* some param of the node needs a gradient */
bool grad_wants(const struct differ *d, const struct value *v); /* and so does v */

/* v as the backward pass reads it: kept in memory, or the same numbers computed a second time. */
struct value *grad_again(struct differ *d, struct value *v);

/* A backward node with the params, facts and name of `of`, without inputs and outputs; an output of
 * it with the shape of v, or any other. */
struct node *grad_node(struct differ *d, const struct op *op, const struct node *of);
struct value *grad_like(struct differ *d, struct node *n, const struct value *v);
struct value *grad_output(struct differ *d, struct node *n, int64_t rows, int64_t cols);

/* Facts of its own for a backward node. */
void grad_set_facts(struct differ *d, struct node *n, const void *facts, size_t size);

/* dv is a part of the gradient of v. */
void grad_add_to(struct differ *d, struct value *v, struct value *dv);

/* A backward node with one gradient in and one out, for the first input of `of`, which reads up to
 * two forward values (or NULL) as well. */
struct node *grad_through(struct differ *d, const struct op *op, struct node *of, struct value *dy,
                          struct value *saved1, struct value *saved2);

/* The rule of what is linear in x and its own gradient: the node itself on dy. */
void grad_itself(struct differ *d, struct node *n, struct value *dy);

#endif
