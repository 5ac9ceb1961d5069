/* What an operation is, and the table of all. Graph, gradient, cost, interpreter, plan and verifier
 * go through it and know no operation by name.
 *
 * A room of this folder, NAME.c, holds operations whole: what the language calls them, which shapes
 * they take, what they compute in double precision, their gradients, which kernels they become. It
 * sees the headers of graph and plan; those see this one alone. Kernels themselves are code of
 * compiler/emit. */
#ifndef COMPILER_OPS_OP_H
#define COMPILER_OPS_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lang/spec.h"

struct builder;
struct differ;
struct interp;
struct lowering;
struct node;
struct tensor;
struct value;

/* -- primitive layers of the language -- */

/* What a row of a layer's result depends on: its own row alone, the rows of its picture, or those
 * of other pictures too. Only the first may stand inside an expert. */
enum mixes { MIXES_NOTHING, MIXES_TOKENS, MIXES_PICTURES };

struct layer {
    const char *name;
    const char *signature; /* in the language's own parameter syntax, see struct lang_op */
    const char *doc;       /* one line */
    enum mixes mixes;
    /* The shape rule: makes the nodes and their params; false after a report. */
    bool (*build)(struct builder *b, const struct spec_layer *l, struct tensor x, struct tensor *y);
};

/* -- operations of the graph -- */

/* May the backward pass make the results again instead of keeping them: as a part of its block,
 * whenever they are read (cheap row-wise results), or never (what was decided stays decided). */
enum op_again { AGAIN_WITH_BLOCK, AGAIN_CHEAP, AGAIN_NEVER };

/* A node's weight as the right factor of products: w (experts, groups * rows, in, taps). `single`:
 * depthwise, one input a group. */
struct factor {
    int64_t rows, taps, in, groups, experts;
    bool single;
};

struct op {
    const char *name;
    const char *definition;
    int inputs, outputs; /* how many */
    /* What is wrong with the node's shapes and params; NULL: nothing. */
    const char *(*wrong)(const struct node *n);
    /* In plain double precision: the oracle of everything else. */
    void (*interpret)(struct interp *it, const struct node *n);
    /* Backward nodes, given d loss / d out[grad_output]; NULL: has no gradient. */
    void (*differentiate)(struct differ *d, struct node *n, struct value *dy);
    int grad_output;
    enum op_again again;
    /* Launches and calls of kernels. */
    void (*lower)(struct lowering *lo, const struct node *n);
    /* Multiply-accumulates of one picture; NULL: none are counted. */
    int64_t (*macs)(const struct node *n);
    /* The weight's shape where a kernel reads it packed; NULL: it does not. `transposed`: as the
     * gradient of the input reads it. */
    struct factor (*factor)(const struct node *n);
    bool transposed;
    bool rows_are_outputs; /* the weight has a row for each output: a classifier's is a head */
    /* The way of composing layers that joins branches so (LAYER_SUM ..), and the width of what it
     * makes of two values, 0: they do not fit. LAYER_OP: none. */
    enum spec_layer_kind join;
    int64_t (*joined)(const struct value *a, const struct value *b);
    const char *loss; /* the word of the language for this loss, or NULL */
    /* A routing node's balance losses, weighted and summed over its groups; NULL: has none. */
    double (*balance_loss)(struct interp *it, const struct node *n);
    void (*print)(const struct node *n, FILE *out); /* the node's facts: " kernel=3" */
};

/* -- the table: ops.def -- */

enum layer_id {
#define LAYER(name) LAYER_##name,
#define OP(name)
#include "compiler/ops/ops.def"
#undef LAYER
#undef OP
    LAYER_COUNT
};

#define LAYER(name) extern const struct layer layer_##name;
#define OP(name)    extern const struct op op_##name;
#include "compiler/ops/ops.def"
#undef LAYER
#undef OP

extern const struct layer *const layer_table[LAYER_COUNT];
extern const struct op *const op_table[];
extern const size_t op_count;

/* The operation that joins branches so; that computes the loss of this word. */
const struct op *op_joining(enum spec_layer_kind kind);
const struct op *op_loss(const char *word);

#endif
