/* The kernels of kernels.def as types: for each a struct of its sizes and one of its operands,
 * whose members have the names of the row; and a table of what a plan may ask of any kernel. */
#ifndef COMPILER_PLAN_KERNELS_H
#define COMPILER_PLAN_KERNELS_H

#include <stdint.h>

#include "compiler/plan/operand.h"

enum kernel {
#define KERNEL(name, operands, sizes, doc) KERNEL_##name,
#include "compiler/plan/kernels.def"
#undef KERNEL
    KERNEL_COUNT
};

#define CALL_OPERANDS 8
#define CALL_SIZES    13

/* struct gemm_sizes, struct gemm_operands, ... */
#define OUT(name)       struct operand name;
#define IN(name)        struct operand name;
#define INOUT(name)     struct operand name;
#define IN_RAW(name)    struct operand name;
#define INOUT_RAW(name) struct operand name;
#define SIZE(name)      int64_t name;
#define NO_SIZES        int64_t none[1]; /* a struct has a member */
#define KERNEL(name, operands, sizes, doc) \
    struct name##_operands {               \
        operands                           \
    };                                     \
    struct name##_sizes {                  \
        sizes                              \
    };
#include "compiler/plan/kernels.def"
#undef KERNEL
#undef OUT
#undef IN
#undef INOUT
#undef IN_RAW
#undef INOUT_RAW
#undef SIZE
#undef NO_SIZES

/* Those of any kernel: by name, or one after the other. */
union call_operands {
    struct operand at[CALL_OPERANDS];
#define KERNEL(name, operands, sizes, doc) struct name##_operands name;
#include "compiler/plan/kernels.def"
#undef KERNEL
};

union call_sizes {
    int64_t at[CALL_SIZES];
#define KERNEL(name, operands, sizes, doc) struct name##_sizes name;
#include "compiler/plan/kernels.def"
#undef KERNEL
};

/* What an operand is made of, and how many bytes that takes: asked for here alone. RAW blocks have
 * sizes of their own (struct decisions). */
enum element { ELEMENT_F32, ELEMENT_RAW };
int64_t element_bytes(enum element e);
int64_t float_bytes(int64_t count); /* of so many f32 */

enum access { ACCESS_READ = 1, ACCESS_WRITE = 2, ACCESS_BOTH = 3 };

struct operand_row {
    const char *name;
    enum access access;
    enum element element;
};

struct kernel_row {
    const char *name;
    struct operand_row operand[CALL_OPERANDS];
    int noperands, nsizes;
};
extern const struct kernel_row kernel_table[KERNEL_COUNT];

#endif
