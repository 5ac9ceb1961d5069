/* What the shape rules of operations share: the state of a build, and tensors as the language sees
 * them (tensor.c). */
#ifndef COMPILER_GRAPH_BUILD_H
#define COMPILER_GRAPH_BUILD_H

#include "compiler/graph/graph.h"
#include "lang/spec.h"

enum tensor_kind { TENSOR_MAP, TENSOR_TOKENS, TENSOR_VECTOR };

/* A value with the shape that the language gives it; tokens and map are two views of one matrix. */
struct tensor {
    struct value *v;
    enum tensor_kind kind;
    int h, w; /* of a map; of tokens: of the map they come from, or 0 */
};

struct builder {
    struct graph *g;
    struct diag *diag;
    struct experts *experts; /* being built, or NULL */
    const char *prefix;      /* of tensor names */
    const char *title;       /* of node names */
};

/* Any layer (build.c); compound ones call it for their parts. */
bool build_layer(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y);
/* Two values joined by an operation that has op->join; false after a report at `at`. */
bool build_join(struct builder *b, const struct op *op, const struct spec_layer *l, struct loc at,
                struct tensor *x, struct tensor y);
/* A LAYER_MOE (ops/experts.c). */
bool build_moe(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y);
void share_groups(struct graph *g); /* once all moes are known: their common group */

/* Arguments by their place in the signature. */
bool arg_given(const struct spec_layer *l, int i);
int64_t arg_int(const struct spec_layer *l, int i);
double arg_float(const struct spec_layer *l, int i);
int arg_size(const struct spec_layer *l, int i); /* cut to the range of int */

/* A node of the layer at hand, which reads x; one that keeps the shape of x, with its output. */
struct node *layer_node(struct builder *b, const struct op *op, const struct spec_layer *l,
                        struct tensor x);
struct node *layer_unary(struct builder *b, const struct op *op, const struct spec_layer *l,
                         struct tensor x, struct tensor *y);
struct param *layer_param(struct builder *b, const struct spec_layer *l, const char *part, int rank,
                          const int64_t *shape, enum param_init init, double value);
struct tensor tensor_tokens(struct value *v);
struct tensor tensor_like(struct tensor x, struct value *v);
const char *tensor_text(struct builder *b, struct tensor x); /* "map 56 x 56 x 96", for messages */
bool need_kind(struct builder *b, const struct spec_layer *l, struct tensor x,
               enum tensor_kind kind);
/* Numbers that would be too large, or not positive, are reported. */
bool layer_positive(struct builder *b, const struct spec_layer *l, const char *what, int64_t v);
bool layer_too_large(struct builder *b, const struct spec_layer *l, const char *what, double size);
/* The deviation of the first weights, by one of the arguments `init` and `gain`, which stand side
 * by side from place `init` on; inputs: of one output. */
bool layer_weight_std(struct builder *b, const struct spec_layer *l, int init, int64_t inputs,
                      double *std);
const char *join_names(struct arena *a, const char *prefix, const char *label);

#endif
