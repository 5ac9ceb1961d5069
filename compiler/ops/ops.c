/* The table of operations, from ops.def. */
#include "config.h"

#include "compiler/ops/op.h"

#include <assert.h>
#include <string.h>

const struct layer *const layer_table[LAYER_COUNT] = {
#define LAYER(name) [LAYER_##name] = &layer_##name,
#define OP(name)
#include "compiler/ops/ops.def"
#undef LAYER
#undef OP
};

const struct op *const op_table[] = {
#define LAYER(name)
#define OP(name) &op_##name,
#include "compiler/ops/ops.def"
#undef LAYER
#undef OP
};

const size_t op_count = sizeof op_table / sizeof *op_table;

const struct op *op_joining(enum spec_layer_kind kind)
{
    for (size_t i = 0; i < op_count; i++)
        if (op_table[i]->join == kind && op_table[i]->joined)
            return op_table[i];
    assert(!"a way of joining that no operation has");
    return NULL;
}

const struct op *op_loss(const char *word)
{
    for (size_t i = 0; i < op_count; i++)
        if (op_table[i]->loss && strcmp(op_table[i]->loss, word) == 0)
            return op_table[i];
    assert(!"a loss that no operation computes");
    return NULL;
}
