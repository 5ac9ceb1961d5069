/* The table of kernels: see kernels.h. */
#include "config.h"

#include "compiler/plan/kernels.h"

#define OUT(name)       {#name, ACCESS_WRITE, ELEMENT_F32},
#define IN(name)        {#name, ACCESS_READ, ELEMENT_F32},
#define INOUT(name)     {#name, ACCESS_BOTH, ELEMENT_F32},
#define IN_RAW(name)    {#name, ACCESS_READ, ELEMENT_RAW},
#define INOUT_RAW(name) {#name, ACCESS_BOTH, ELEMENT_RAW},
#define SIZE(name)      +1
#define NO_SIZES
#define KERNEL(kernel, operands, sizes, doc)                                           \
    [KERNEL_##kernel] = {                                                              \
        .name = #kernel,                                                               \
        .operand = {operands},                                                         \
        .noperands = (int)(sizeof(struct kernel##_operands) / sizeof(struct operand)), \
        .nsizes = 0 sizes,                                                             \
    },
const struct kernel_row kernel_table[KERNEL_COUNT] = {
#include "compiler/plan/kernels.def"
};
#undef KERNEL

/* Members of a union that lie one behind the other are those of its array. */
#define KERNEL(kernel, operands, sizes, doc)                                                    \
    _Static_assert(sizeof(struct kernel##_operands) <= sizeof(struct operand[CALL_OPERANDS]) && \
                       sizeof(struct kernel##_sizes) <= sizeof(int64_t[CALL_SIZES]),            \
                   "more operands or sizes than a call has room for");
#include "compiler/plan/kernels.def"
#undef KERNEL

int64_t element_bytes(enum element e)
{
    return e == ELEMENT_F32 ? 4 : 1;
}

int64_t float_bytes(int64_t count)
{
    return count * element_bytes(ELEMENT_F32);
}
