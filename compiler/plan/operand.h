/* Where the operands of kernels lie: spaces, buffers in them, addresses. */
#ifndef COMPILER_PLAN_OPERAND_H
#define COMPILER_PLAN_OPERAND_H

#include <stdbool.h>
#include <stdint.h>

struct launch;
struct value;

/* Where an operand lies. The first ones are the regions of runtime/vrt.h, in the same order. */
enum space {
    SPACE_PARAMS,
    SPACE_PACKED,
    SPACE_GRADS,
    SPACE_MOMENT1,
    SPACE_MOMENT2,
    SPACE_EMA,
    SPACE_ARENA,
    SPACE_INPUT,
    SPACE_TARGET,
    SPACE_OUTPUT,
    SPACE_FEATURES,
    SPACE_BALANCE,
    SPACE_CHOICES,
    SPACE_SCRATCH,
    SPACE_CONST,
    SPACE_NONE
};

struct buffer {
    int id;
    const struct value *value; /* that it holds; NULL: of a launch's own */
    const char *name;
    int64_t bytes;                /* for the largest B, or of a tile in scratch */
    const struct launch *sums_of; /* it has tile_bytes for each tile of this launch, or NULL; */
    int64_t tile_bytes;           /* bytes then follows once the tiles are known */
    int64_t row_bytes;            /* of one row: what a tile of scratch is made of */
    enum space space;             /* ARENA or SCRATCH, or where the value is given */
    int64_t offset;
    int first, last; /* launches that use it (ARENA), calls (SCRATCH) */
    bool keep;       /* read from outside: never in scratch */
};

/* Address = start of space + offset of buffer + offset + i0*s0 + i1*s1 + i2*s2, in bytes; the
 * domain says what i0..i2 are. In scratch s0 does not count: a tile starts at row 0. */
struct operand {
    enum space space;
    struct buffer *buffer; /* or NULL: offset counts from the start of the space */
    int64_t offset, s0, s1, s2;
};

#endif
