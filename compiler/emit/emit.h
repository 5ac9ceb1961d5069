/* Plan -> LLVM module -> object. The rooms of emit/ are the only users of LLVM.
 *
 * Kernels are written as explicit vector code in register form through the small layer below:
 * nothing depends on optimisation passes, and the order of every sum is the one written. */
#ifndef COMPILER_EMIT_EMIT_H
#define COMPILER_EMIT_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

#include "compiler/emit/module.h"
#include "compiler/plan/plan.h"

struct arena;
struct diag;

typedef LLVMValueRef V;
#define MAX_LANES 16

/* A kernel that has been emitted. */
struct kernel_entry {
    struct call call;
    const char *symbol;
    LLVMModuleRef module;
};

struct emit {
    struct arena *arena;
    const struct plan *plan;
    LLVMContextRef context;
    LLVMModuleRef
        module; /* where functions go: the program's own, or that of the kernel being emitted */
    LLVMBuilderRef b;
    LLVMTargetMachineRef machine;
    LLVMTypeRef f32, f64, i1, i32, i64, ptr, none;
    LLVMTypeRef vf, vi, vl; /* vectors of f32, i32, i64 */
    LLVMTypeRef task_type, step_type;
    int W;              /* floats in a vector */
    bool sanitize, fma; /* fma: the target has fused multiply-add */
    struct kernel_entry *kernels;
    size_t nkernels, cap_kernels;
    V function;              /* being emitted */
    LLVMBasicBlockRef entry; /* its first block: for stack slots */
};

/* The operands of a kernel as pointers: by name, as in kernels.def, or one after the other. */
#define OUT(name)       V name;
#define IN(name)        V name;
#define INOUT(name)     V name;
#define IN_RAW(name)    V name;
#define INOUT_RAW(name) V name;
union kernel_values {
    V at[CALL_OPERANDS];
#define KERNEL(name, operands, sizes, doc) \
    struct {                               \
        operands                           \
    } name;
#include "compiler/plan/kernels.def"
#undef KERNEL
};
#undef OUT
#undef IN
#undef INOUT
#undef IN_RAW
#undef INOUT_RAW

/* A kernel while it is being emitted. */
struct kernel_args {
    const struct call *call;
    union kernel_values p;
    V argument[THEN_STEPS], y[THEN_STEPS]; /* of the steps: NULL where there is none */
    V m, row, ctx;
};
typedef void kernel_rule(struct emit *e, const struct kernel_args *k);
#define KERNEL(name, operands, sizes, doc) kernel_rule emit_##name;
#include "compiler/plan/kernels.def"
#undef KERNEL

V emit_kernel(
    /* as declared in this module; emitted once for each list of sizes */
    struct emit *e, const struct call *c);
/* operands: as call_uses() lists them. */
void call_kernel(struct emit *e, const struct call *c, const V *operands, V m, V row, V ctx);

/* -- vec.c: constants, arithmetic, memory -- */
V ki(struct emit *e, int64_t v); /* i64 */
V ki32(struct emit *e, int64_t v);
V kf(struct emit *e, double v);  /* f32 */
V vkf(struct emit *e, double v); /* vector of f32 */
V splat(struct emit *e, V scalar);
V lanes(struct emit *e, LLVMTypeRef element, int64_t first,
        int64_t step);                     /* first, first + step, ... */
V like(struct emit *e, V model, double v); /* constant of the type of model */
V ilike(struct emit *e, V model, uint64_t v);

V iadd(struct emit *e, V a, V b);
V isub(struct emit *e, V a, V b);
V imul(struct emit *e, V a, V b);
V idiv(struct emit *e, V a, V b); /* unsigned */
V irem(struct emit *e, V a, V b);
V imin(struct emit *e, V a, V b);
V imax(struct emit *e, V a, V b);
V ilt(struct emit *e, V a, V b); /* signed */
V ieq(struct emit *e, V a, V b);
V iaddk(struct emit *e, V a, int64_t k);
V imulk(struct emit *e, V a, int64_t k);
V choose(struct emit *e, V cond, V a, V b);

V vadd(struct emit *e, V a, V b);
V vsub(struct emit *e, V a, V b);
V vmul(struct emit *e, V a, V b);
V vdiv(struct emit *e, V a, V b);
V vneg(struct emit *e, V a);
V vfma(struct emit *e, V a, V b, V c); /* a * b + c, rounded once where the target can */
V vmax(struct emit *e, V a, V b);      /* a > b ? a : b */
V vsqrt(struct emit *e, V a);
V vgt(struct emit *e, V a, V b); /* ordered */
V intrinsic1(struct emit *e, const char *name, V a);

V at(struct emit *e, V p, V index); /* p + index floats */
V atk(struct emit *e, V p, int64_t index);
V bytes(struct emit *e, V p, V offset);
V bytesk(struct emit *e, V p, int64_t offset);
V load(struct emit *e, LLVMTypeRef t, V p); /* aligned to the element */
void store(struct emit *e, V v, V p);
V vload(struct emit *e, V p, V mask); /* vector of f32; mask NULL: all; lanes off are 0 */
void vstore(struct emit *e, V v, V p, V mask);
void prefetch(struct emit *e, V p, int level); /* its line, to L1 or L2; any address will do */
V vgather(struct emit *e, V base, V index,
          V mask);                     /* f32 at base + index (vector of i64, in floats) */
V mask_below(struct emit *e, V count); /* lane < count (i64) */
V vmasked(struct emit *e, V mask, V v,
          double other); /* v, and `other` in the lanes that are off; mask NULL: v */
void vtranspose(struct emit *e,
                V *x);       /* W vectors: lane i of x[j] and lane j of x[i] change places */
V hsum(struct emit *e, V v); /* halves added until one is left */
V hmax(struct emit *e, V v);
V slot(struct emit *e, LLVMTypeRef t, int64_t count); /* on the stack, 64-byte aligned */

/* -- control: while i < to; carried values are phis; after loop_end() carry[] holds the results
 * -- */
#define LOOP_CARRY 32
struct loop {
    LLVMBasicBlockRef head, body, done;
    V i, step, carry[LOOP_CARRY];
    int n;
};
void loop_begin(struct emit *e, struct loop *l, V from, V to, int64_t step, int n, const V *init);
void loop_end(struct emit *e, struct loop *l, const V *next);
struct branch {
    LLVMBasicBlockRef other, done;
    bool has_else;
};
void if_begin(struct emit *e, struct branch *br, V cond);
void if_else(struct emit *e, struct branch *br);
void if_end(struct emit *e, struct branch *br);
struct cases {
    V choice;
    LLVMBasicBlockRef done;
}; /* one of several pieces of code, by a number */
void cases_begin(struct emit *e, struct cases *c, V value, int n);
void case_begin(struct emit *e, struct cases *c, int value);
void case_end(struct emit *e, struct cases *c);
void cases_end(struct emit *e, struct cases *c);

/* Call body for each vector of `count` numbers: mask is NULL but for the last, incomplete one. The
 * body reads and writes carry[0 .. n-1]; on return carry holds the results. A constant count makes
 * constant bounds. */
typedef void vector_body(struct emit *e, V index, V mask, V *carry, void *data);
void each_vector(struct emit *e, V count, vector_body *body, void *data, V *carry, int n);
void clear_floats(struct emit *e, V p, V count);
V dot(struct emit *e, V a, V b, int64_t n); /* of two rows */
V sum_in_double(struct emit *e, V x, V n);  /* of n numbers, one after the other; f64 */

/* -- math.c: polynomials; scalar or vector -- */
V math_exp(struct emit *e, V x); /* 2 ulp; 0 below -87.3 */
V math_log(struct emit *e, V x); /* x > 0, normal; 2 ulp */
V math_phi(struct emit *e, V x,
           V *density); /* normal CDF, absolute error 1e-7; density: exp(-x^2/2)/sqrt(2 pi) */
V math_gelu(struct emit *e, V x);       /* x Phi(x), absolute error 6e-7 */
V math_gelu_slope(struct emit *e, V x); /* its derivative, the same */
V math_sigmoid(struct emit *e, V x);
V math_cos2pi(struct emit *e, V u); /* cos(2 pi u), 0 <= u < 1 */
void math_philox(struct emit *e, V counter[4], V key0, V key1,
                 V out[4]);                      /* i32 or vectors of i32 */
V math_uniform(struct emit *e, V word);          /* its upper 24 bits * 2^-24: below 1 */
V math_normal(struct emit *e, V word0, V word1); /* Box-Muller, cosine half */

/* -- fields of struct vrt_ctx -- */
V ctx_int(struct emit *e, V ctx, size_t offset);
V ctx_float(struct emit *e, V ctx, size_t offset); /* a double, as f32 */
V ctx_field(struct emit *e, V ctx, size_t offset); /* its address */
V ctx_region(struct emit *e, V ctx, int region);

/* -- softmax.c: rows of n numbers -- */
V row_max(struct emit *e, V x, int64_t n);
void softmax_terms(struct emit *e, V x, int64_t n, V *max,
                   V *sum);                           /* the largest; sum of exp(x - max) */
V probability(struct emit *e, V x, V max, V inverse); /* exp(x - max) / sum; scalar or vector */
V softmax_entropy(struct emit *e, V x, int64_t n);    /* of the probabilities, in nats */

/* -- pack.c: b (K,N) as gemm wants it -- */
void pack_panel(struct emit *e, V to, V x, int64_t ld, int64_t columns, int64_t K,
                int64_t panel); /* one: columns are rows of x */
void pack_columns(struct emit *e, V to, V x, int64_t ld, int64_t N, int64_t K); /* all */
void pack_rows(struct emit *e, V to, V x, int64_t ld, int64_t N, V m,
               int64_t K); /* rows are m rows of x, the others zero */

/* -- activation.c -- */
V act_value(struct emit *e, V x, enum activation act);
V act_slope(struct emit *e, V dy, V x, enum activation act); /* dy times the slope at x */

/* -- epilogue.c: what follows a product -- */
struct epilogue_step {
    enum then then;
    enum activation act;
    V argument, y;
};
struct epilogue {
    struct epilogue_step step[THEN_STEPS];
    int n;
};
struct epilogue_part { /* `rows` rows of sums (.,ld), in matrices (m,N) from (row, column) on, one
                          or two vectors wide */
    /* there: how far the next part is, which is fetched ahead */
    V sums, row, column, rows, there, mask[2];
    int64_t ld, N;
    int vectors;
};
void epilogue_read(const struct kernel_args *k, struct epilogue *p);
void epilogue_block(struct emit *e, const struct epilogue *p, const struct epilogue_part *b);

/* -- shared by kernels -- */
void gemm_call(struct emit *e, struct gemm_sizes size, V c, V a, V b, V m, V ctx);
void random_keys(struct emit *e, V ctx, V *key0, V *key1, V *step); /* i32 */

/* -- step.c, module.c, target.c -- */
void emit_function(struct emit *e, const struct function *f, const char *symbol, size_t nlaunches);
void set_attributes(struct emit *e, V function);
LLVMModuleRef module_new(
    struct emit *e, const char *name); /* for the target, with the runtime's functions declared */

struct module {
    struct emit e;
    struct target target;
};
LLVMTargetMachineRef target_machine(
    const struct target *t); /* another one, e.g. for another thread; NULL: none */

#endif
