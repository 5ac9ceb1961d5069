/* The model graph: typed layers with static shapes. Built from the resolved spec by graph_build(),
 * extended with gradients by graph_differentiate(), read as const by everything after.
 *
 * Every value is a matrix of f32: `rows` rows for each picture (tokens, positions of a map in
 * row-major order, or 1 for a vector) and `cols` columns (channels). Inside an expert a value is
 * *routed*: its rows are the (token, choice) pairs that the routing of `route` kept, sorted by
 * expert; there are at most moe->rows of them for each picture. Only the number of pictures B is
 * unknown before running. */
#ifndef COMPILER_GRAPH_GRAPH_H
#define COMPILER_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lang/base/source.h"
#include "lang/spec.h"

struct arena;
struct diag;
struct spec;
struct lang_op;
struct op;

/* Which values the backward pass makes again instead of finding them in memory: none; cheap
 * row-wise ones (activations, norms, gathered tokens); or also all those inside a block, from the
 * block's input and what its routing decided. */
enum recompute { RECOMPUTE_NONE, RECOMPUTE_CHEAP, RECOMPUTE_BLOCK };
extern const char *const recompute_words[]; /* as the language writes them */

enum param_init {
    INIT_ZERO,
    INIT_ONE,
    INIT_CONST,
    INIT_TRUNC_NORMAL,
    INIT_UNIFORM
}; /* as enum vrt_init */

enum param_role {
    PARAM_PLAIN,
    PARAM_POSITIONS,
    PARAM_HEAD
}; /* what loading other networks' weights must know */

struct param {
    int id;
    const char *name; /* as in the weights file */
    int rank;
    int64_t shape[4];
    int64_t count;
    int experts; /* E where the first axis is the experts', else 0 */
    enum param_init init;
    double init_value;
    int64_t drawn;       /* elements drawn at the start, which the others repeat; 0: all */
    bool learned;        /* by gradients; else it is not counted among the parameters */
    bool decays;         /* weight decay applies */
    double weight_decay; /* of a group; NaN: the recipe's */
    double lr_factor;
    enum param_role role;
    int grid_height, grid_width; /* POSITIONS: of the map that the tokens come from; 0: unknown */
    struct loc loc;              /* of the layer */
};

struct value {
    int id;
    int64_t rows, cols;      /* of one picture; routed: at most */
    struct experts *experts; /* routed to them, or NULL */
    bool raw;                /* the routing decisions, not f32: see struct moe */
    struct node *from;       /* NULL: the input, the target */
    const char *name;
};

#define NODE_IN  6
#define NODE_OUT 4

struct node {
    int id;
    const struct op *op;
    bool backward;
    bool again; /* a forward node that the backward pass runs a second time */
    int block;  /* of the network that it belongs to; -1: none */
    struct value *in[NODE_IN];
    int nin;
    struct value *out[NODE_OUT];
    int nout;
    struct param *weight, *bias;
    struct moe *moe;         /* routing: its settings */
    struct experts *experts; /* whose rows it works on, gathers or gives back */
    const void *facts;       /* what its operation alone knows of it (ops/facts.h), or NULL */
    size_t facts_size;
    const char *name; /* "s3[9].mlp.fc1" */
    struct loc loc;
};

/* Neighbours among the experts of a layer that are built alike: what one block of layers is for.
 * Their rows stand together. */
struct experts {
    struct moe *moe;
    int first, count;
};

/* One MoE layer: its settings and what its routing node decides.
 *
 * What is routed is an item: a token, a whole picture with its `span` tokens, or a slot that mixes
 * tokens (soft). Routing decisions live in one block of memory whose fields have constant offsets,
 * for N = B x tokens items:
 *     choice (N,K) i32         expert of each choice, by falling weight (and bias); where experts
 *                              choose, choice j is expert j
 *     slot   (N*span,K) i32    row in the routed matrices, or -1: dropped
 *     pair   (B*rows) i32      place of each routed row in slot
 *     first  (E+1) i32         first routed row of each expert
 *     tile   (tiles,4) i32     expert, first row, rows, 0 of each tile of at most `tile` rows, in
 *                              order
 *     tile_first (E+1) i32     first tile of each expert; the last is the number of tiles
 *     stats  (groups,3E+2) f32 of each routing group: sums of clean probabilities; of load
 *                              probabilities; first choices; sum of squared log-sum-exps; where
 *                              tokens choose, sum of the entropies of the clean probabilities */
struct moe {
    int id;
    const char *name;   /* "s3[9].mlp" */
    const char *prefix; /* of its tensors' names */
    enum moe_choice choice;
    int experts;
    int top_k;      /* decisions for each item: K; E where experts choose, 1 where nobody does */
    int64_t tokens; /* items of one picture */
    int64_t span;   /* rows that an item stands for: 1, or the tokens of a picture */
    int64_t rows;   /* routed rows of one picture, at most */
    double active;  /* experts that a token meets, on average */
    int group;      /* pictures */
    double share;   /* of the group in the graph's common one: what a group's losses count */
    int nkinds;     /* of experts, which are built differently */
    bool shared, alike, renormalise, batch_priority;
    double noise, capacity, eval_capacity;
    double importance, load, switch_loss, z_loss; /* weights of the losses */
    double bias_rate;                             /* of balancing without a loss; 0: off */
    struct param *bias; /* (E), added to the probabilities for the choice only; NULL: off */
    struct value *decisions;
    int64_t balance_offset; /* bytes into the BALANCE region */
    int64_t choices_offset; /* floats into a row of the CHOICES region */
    uint32_t key;           /* of the noise */
};

struct graph {
    struct arena *arena;
    const struct spec *spec;
    bool training; /* built for train: noise, drops, train capacity; else for eval */
    int64_t micro; /* largest B */
    struct node **nodes;
    size_t nnodes, cap_nodes;
    struct value **values;
    size_t nvalues, cap_values;
    struct param **params;
    size_t nparams, cap_params;
    struct moe **moes;
    size_t nmoes, cap_moes;
    int group; /* pictures: a multiple of every moe's group */
    struct value *input, *logits, *features, *target;
    enum recompute recompute; /* how it was differentiated */
    size_t nforward;          /* nodes before the first backward one */
    uint32_t next_key;
};

/* Build the graph of the spec's model; NULL if anything was reported. `training` adds the loss;
 * both have the same params. */
struct graph *graph_build(struct arena *a, const struct spec *spec, bool training, struct diag *d);

/* Append the gradient of the loss: backward nodes that add into the gradients of the params. Needs
 * a training graph. Values and their gradients do not depend on the level. */
void graph_differentiate(struct graph *g, enum recompute level);

/* What can be known before running. Counts follow design.md section 8: active = outside experts
 * plus k experts a layer; macs of the forward pass of one picture, with k experts active. */
struct cost {
    int64_t params_total, params_active, macs;
};
struct cost graph_cost(const struct graph *g);
int64_t graph_node_macs(const struct node *n); /* of one picture, forward nodes */
/* Rows of one picture at evaluation; kinds of experts share those of a layer by their number. */
int64_t graph_rows(const struct value *v);

bool graph_verify(const struct graph *g, FILE *out); /* false: our fault; says what is wrong */
void graph_print(const struct graph *g, FILE *out);

/* The layers of the table, for lang_options. */
const struct lang_op *graph_layers(struct arena *a, size_t *n);

/* Construction, used by build and differentiate. */
struct value *graph_value(struct graph *g, int64_t rows, int64_t cols, struct experts *experts);
struct node *graph_node(struct graph *g, const struct op *op, const char *name, struct loc loc);
void node_input(struct node *n, struct value *v);
struct value *node_output(struct graph *g, struct node *n, int64_t rows, int64_t cols,
                          struct experts *experts);
struct param *graph_param(struct graph *g, const char *name, int experts, int rank,
                          const int64_t *shape);

/* Give a node its facts; read them, as the type that they were given in. */
void node_set_facts(struct graph *g, struct node *n, const void *facts, size_t size);
const void *node_facts(const struct node *n, size_t size);
#define NODE_FACTS(n, type) ((const struct type *)node_facts((n), sizeof(struct type)))

/* Routing: capacity of an expert for a group with `tokens` items, ceil(tokens * k * f / E), where
 * experts choose ceil(tokens * f / E); 0 means no limit. */
bool moe_has_losses(const struct moe *m);
int64_t moe_balance_bytes(const struct moe *m); /* in the BALANCE region */
int64_t moe_capacity(const struct moe *m, bool training, int64_t tokens);

#endif
