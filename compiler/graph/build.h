/* What the shape rules of build_*.c share: the state of a build, and tensors as the language sees
 * them. */
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

/* Each rule makes the nodes of one primitive layer; false after a report. Named after the rows of
 * ops.def. */
typedef bool layer_rule(struct builder *b, const struct spec_layer *l, struct tensor x,
                        struct tensor *y);
#define OP(name, per_token, signature, doc) layer_rule layer_##name;
#include "compiler/graph/ops.def"
#undef OP

/* Any layer; compound ones call it for their parts. */
bool build_layer(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y);
bool build_moe(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y);
struct tensor build_binary(struct builder *b, enum node_op op, const struct spec_layer *l,
                           struct tensor x, struct tensor y);
void share_groups(struct graph *g); /* once all moes are known: their common group */

/* Arguments by their place in the signature. */
bool arg_given(const struct spec_layer *l, int i);
int64_t arg_int(const struct spec_layer *l, int i);
double arg_float(const struct spec_layer *l, int i);
int arg_size(const struct spec_layer *l, int i); /* cut to the range of int */

struct node *layer_node(struct builder *b, enum node_op op, const struct spec_layer *l,
                        struct tensor x);
struct param *layer_param(struct builder *b, const struct spec_layer *l, const char *part, int rank,
                          const int64_t *shape, enum param_init init, double value);
struct tensor tensor_tokens(struct value *v);
struct tensor tensor_like(struct tensor x, struct value *v);
const char *tensor_text(struct builder *b, struct tensor x); /* "map 56 x 56 x 96", for messages */
bool need_kind(struct builder *b, const struct spec_layer *l, struct tensor x,
               enum tensor_kind kind);
const char *join_names(struct arena *a, const char *prefix, const char *label);

#endif
