/* The loop-and-vector layer: constants, arithmetic, memory, loops. Values stay in registers, loops
 * are phis; what is written here is what the machine does. */
#include "config.h"

#include "compiler/emit/emit.h"

#include <string.h>

/* -- constants -- */

V ki(struct emit *e, int64_t v)
{
    return LLVMConstInt(e->i64, (unsigned long long)v, true);
}

V ki32(struct emit *e, int64_t v)
{
    return LLVMConstInt(e->i32, (unsigned long long)v, true);
}

V kf(struct emit *e, double v)
{
    return LLVMConstReal(e->f32, v);
}

static V repeat(V v, int n)
{
    V all[MAX_LANES];
    for (int i = 0; i < n; i++)
        all[i] = v;
    return LLVMConstVector(all, (unsigned)n);
}

V vkf(struct emit *e, double v)
{
    return repeat(kf(e, v), e->W);
}

static bool is_vector(V v)
{
    return LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind;
}

V like(struct emit *e, V model, double v)
{
    return is_vector(model) ? vkf(e, v) : kf(e, v);
}

V ilike(struct emit *e, V model, uint64_t v)
{
    (void)e;
    LLVMTypeRef t = LLVMTypeOf(model);
    if (LLVMGetTypeKind(t) != LLVMVectorTypeKind)
        return LLVMConstInt(t, v, false);
    return repeat(LLVMConstInt(LLVMGetElementType(t), v, false), (int)LLVMGetVectorSize(t));
}

V splat(struct emit *e, V scalar)
{
    LLVMTypeRef t = LLVMVectorType(LLVMTypeOf(scalar), (unsigned)e->W);
    if (LLVMIsConstant(scalar))
        return repeat(scalar, e->W);
    V one = LLVMBuildInsertElement(e->b, LLVMGetPoison(t), scalar, ki32(e, 0), "");
    return LLVMBuildShuffleVector(e->b, one, LLVMGetPoison(t), repeat(ki32(e, 0), e->W), "");
}

V lanes(struct emit *e, LLVMTypeRef element, int64_t first, int64_t step)
{
    V all[MAX_LANES];
    for (int i = 0; i < e->W; i++)
        all[i] = LLVMConstInt(element, (unsigned long long)(first + step * i), true);
    return LLVMConstVector(all, (unsigned)e->W);
}

/* -- integers -- */

V iadd(struct emit *e, V a, V b)
{
    return LLVMBuildAdd(e->b, a, b, "");
}
V isub(struct emit *e, V a, V b)
{
    return LLVMBuildSub(e->b, a, b, "");
}
V imul(struct emit *e, V a, V b)
{
    return LLVMBuildMul(e->b, a, b, "");
}
V idiv(struct emit *e, V a, V b)
{
    return LLVMBuildUDiv(e->b, a, b, "");
}
V irem(struct emit *e, V a, V b)
{
    return LLVMBuildURem(e->b, a, b, "");
}
V ilt(struct emit *e, V a, V b)
{
    return LLVMBuildICmp(e->b, LLVMIntSLT, a, b, "");
}
V ieq(struct emit *e, V a, V b)
{
    return LLVMBuildICmp(e->b, LLVMIntEQ, a, b, "");
}
V choose(struct emit *e, V cond, V a, V b)
{
    return LLVMBuildSelect(e->b, cond, a, b, "");
}
V imin(struct emit *e, V a, V b)
{
    return choose(e, ilt(e, a, b), a, b);
}
V imax(struct emit *e, V a, V b)
{
    return choose(e, ilt(e, a, b), b, a);
}
V iaddk(struct emit *e, V a, int64_t k)
{
    return iadd(e, a, ilike(e, a, (uint64_t)k));
}
V imulk(struct emit *e, V a, int64_t k)
{
    return imul(e, a, ilike(e, a, (uint64_t)k));
}

/* -- floats -- */

V vadd(struct emit *e, V a, V b)
{
    return LLVMBuildFAdd(e->b, a, b, "");
}
V vsub(struct emit *e, V a, V b)
{
    return LLVMBuildFSub(e->b, a, b, "");
}
V vmul(struct emit *e, V a, V b)
{
    return LLVMBuildFMul(e->b, a, b, "");
}
V vdiv(struct emit *e, V a, V b)
{
    return LLVMBuildFDiv(e->b, a, b, "");
}
V vneg(struct emit *e, V a)
{
    return LLVMBuildFNeg(e->b, a, "");
}
V vgt(struct emit *e, V a, V b)
{
    return LLVMBuildFCmp(e->b, LLVMRealOGT, a, b, "");
}
V vmax(struct emit *e, V a, V b)
{
    return choose(e, vgt(e, a, b), a, b);
}

static V call_intrinsic(struct emit *e, const char *name, LLVMTypeRef *over, unsigned nover,
                        V *args, unsigned n)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    V f = LLVMGetIntrinsicDeclaration(e->module, id, over, nover);
    return LLVMBuildCall2(e->b, LLVMGlobalGetValueType(f), f, args, n, "");
}

V intrinsic1(struct emit *e, const char *name, V a)
{
    LLVMTypeRef t = LLVMTypeOf(a);
    return call_intrinsic(e, name, &t, 1, &a, 1);
}

V vsqrt(struct emit *e, V a)
{
    return intrinsic1(e, "llvm.sqrt", a);
}

V vfma(struct emit *e, V a, V b, V c)
{
    LLVMTypeRef t = LLVMTypeOf(c);
    if (!e->fma) /* a call of the C library for each number, where there is no instruction */
        return vadd(e, vmul(e, a, b), c);
    return call_intrinsic(e, "llvm.fma", &t, 1, (V[]){a, b, c}, 3);
}

/* -- memory -- */

V bytes(struct emit *e, V p, V offset)
{
    return LLVMBuildGEP2(e->b, LLVMInt8TypeInContext(e->context), p, &offset, 1, "");
}

V bytesk(struct emit *e, V p, int64_t offset)
{
    return offset ? bytes(e, p, ki(e, offset)) : p;
}

V at(struct emit *e, V p, V index)
{
    return LLVMBuildGEP2(e->b, e->f32, p, &index, 1, "");
}

V atk(struct emit *e, V p, int64_t index)
{
    return index ? at(e, p, ki(e, index)) : p;
}

static unsigned element_align(LLVMTypeRef t)
{
    if (LLVMGetTypeKind(t) == LLVMVectorTypeKind)
        t = LLVMGetElementType(t);
    LLVMTypeKind k = LLVMGetTypeKind(t);
    if (k == LLVMIntegerTypeKind)
        return LLVMGetIntTypeWidth(t) / 8;
    return k == LLVMFloatTypeKind ? 4 : 8;
}

V load(struct emit *e, LLVMTypeRef t, V p)
{
    V v = LLVMBuildLoad2(e->b, t, p, "");
    LLVMSetAlignment(v, element_align(t));
    return v;
}

void store(struct emit *e, V v, V p)
{
    LLVMSetAlignment(LLVMBuildStore(e->b, v, p), element_align(LLVMTypeOf(v)));
}

V vload(struct emit *e, V p, V mask)
{
    if (!mask)
        return load(e, e->vf, p);
    return call_intrinsic(e, "llvm.masked.load", (LLVMTypeRef[]){e->vf, e->ptr}, 2,
                          (V[]){p, ki32(e, 4), mask, vkf(e, 0)}, 4);
}

void vstore(struct emit *e, V v, V p, V mask)
{
    if (!mask)
        store(e, v, p);
    else
        call_intrinsic(e, "llvm.masked.store", (LLVMTypeRef[]){e->vf, e->ptr}, 2,
                       (V[]){v, p, ki32(e, 4), mask}, 4);
}

void prefetch(struct emit *e, V p, int level)
{
    call_intrinsic(e, "llvm.prefetch", &e->ptr, 1,
                   (V[]){p, ki32(e, 0), ki32(e, 4 - level), ki32(e, 1)}, 4);
}

V vgather(struct emit *e, V base, V index, V mask)
{
    V pointers = LLVMBuildGEP2(e->b, e->f32, base, &index, 1, "");
    if (!mask)
        mask = repeat(LLVMConstInt(e->i1, 1, false), e->W);
    return call_intrinsic(e, "llvm.masked.gather", (LLVMTypeRef[]){e->vf, LLVMTypeOf(pointers)}, 2,
                          (V[]){pointers, ki32(e, 4), mask, vkf(e, 0)}, 4);
}

V mask_below(struct emit *e, V count)
{
    if (LLVMIsConstant(count)) {
        V all[MAX_LANES];
        for (int i = 0; i < e->W; i++)
            all[i] = LLVMConstInt(e->i1, i < LLVMConstIntGetSExtValue(count), false);
        return LLVMConstVector(all, (unsigned)e->W);
    }
    /* lanes as wide as those of f32 */
    V some = LLVMBuildTrunc(e->b, imin(e, count, ki(e, e->W)), e->i32, "");
    return ilt(e, lanes(e, e->i32, 0, 1), splat(e, some));
}

V vmasked(struct emit *e, V mask, V v, double other)
{
    return mask ? choose(e, mask, v, vkf(e, other)) : v;
}

static V fold(struct emit *e, V v, V (*op)(struct emit *, V, V))
{
    for (int n = e->W; n > 1; n /= 2) {
        V low[MAX_LANES], high[MAX_LANES];
        for (int i = 0; i < n / 2; i++) {
            low[i] = ki32(e, i);
            high[i] = ki32(e, i + n / 2);
        }
        V a = LLVMBuildShuffleVector(e->b, v, v, LLVMConstVector(low, (unsigned)n / 2), "");
        V b = LLVMBuildShuffleVector(e->b, v, v, LLVMConstVector(high, (unsigned)n / 2), "");
        v = op(e, a, b);
    }
    return LLVMBuildExtractElement(e->b, v, ki32(e, 0), "");
}

/* log2(W) times, lanes with bit d set change places with lanes without it d vectors further. */
void vtranspose(struct emit *e, V *x)
{
    for (int d = 1; d < e->W; d *= 2) {
        V low[MAX_LANES], high[MAX_LANES];
        for (int i = 0; i < e->W; i++) {
            low[i] = ki32(e, i & d ? e->W + i - d : i);
            high[i] = ki32(e, i & d ? e->W + i : i + d);
        }
        V take_low = LLVMConstVector(low, (unsigned)e->W),
          take_high = LLVMConstVector(high, (unsigned)e->W);
        for (int i = 0; i < e->W; i++)
            if (!(i & d)) {
                V a = x[i], b = x[i + d];
                x[i] = LLVMBuildShuffleVector(e->b, a, b, take_low, "");
                x[i + d] = LLVMBuildShuffleVector(e->b, a, b, take_high, "");
            }
    }
}

V hsum(struct emit *e, V v)
{
    return fold(e, v, vadd);
}

V hmax(struct emit *e, V v)
{
    return fold(e, v, vmax);
}

V slot(struct emit *e, LLVMTypeRef t, int64_t count)
{
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
    LLVMPositionBuilder(e->b, e->entry, LLVMGetFirstInstruction(e->entry));
    V p = LLVMBuildArrayAlloca(e->b, t, ki(e, count), "");
    LLVMSetAlignment(p, 64);
    LLVMPositionBuilderAtEnd(e->b, here);
    return p;
}

/* -- control -- */

static LLVMBasicBlockRef block(struct emit *e, const char *name)
{
    return LLVMAppendBasicBlockInContext(e->context, e->function, name);
}

void loop_begin(struct emit *e, struct loop *l, V from, V to, int64_t step, int n, const V *init)
{
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    l->head = block(e, "loop");
    l->body = block(e, "body");
    l->done = block(e, "done");
    l->n = n;
    l->step = LLVMConstInt(LLVMTypeOf(from), (unsigned long long)step, true);
    LLVMBuildBr(e->b, l->head);
    LLVMPositionBuilderAtEnd(e->b, l->head);
    l->i = LLVMBuildPhi(e->b, LLVMTypeOf(from), "i");
    LLVMAddIncoming(l->i, &from, &before, 1);
    for (int k = 0; k < n; k++) {
        l->carry[k] = LLVMBuildPhi(e->b, LLVMTypeOf(init[k]), "");
        V v = init[k];
        LLVMAddIncoming(l->carry[k], &v, &before, 1);
    }
    LLVMBuildCondBr(e->b, ilt(e, l->i, to), l->body, l->done);
    LLVMPositionBuilderAtEnd(e->b, l->body);
}

void loop_end(struct emit *e, struct loop *l, const V *next)
{
    V i = iadd(e, l->i, l->step);
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
    LLVMBuildBr(e->b, l->head);
    LLVMAddIncoming(l->i, &i, &here, 1);
    for (int k = 0; k < l->n; k++) {
        V v = next[k];
        LLVMAddIncoming(l->carry[k], &v, &here, 1);
    }
    LLVMPositionBuilderAtEnd(e->b, l->done);
}

void if_begin(struct emit *e, struct branch *br, V cond)
{
    LLVMBasicBlockRef then = block(e, "then");
    br->other = block(e, "else");
    br->done = block(e, "endif");
    br->has_else = false;
    LLVMBuildCondBr(e->b, cond, then, br->other);
    LLVMPositionBuilderAtEnd(e->b, then);
}

void if_else(struct emit *e, struct branch *br)
{
    LLVMBuildBr(e->b, br->done);
    LLVMPositionBuilderAtEnd(e->b, br->other);
    br->has_else = true;
}

void if_end(struct emit *e, struct branch *br)
{
    LLVMBuildBr(e->b, br->done);
    if (!br->has_else) {
        LLVMPositionBuilderAtEnd(e->b, br->other);
        LLVMBuildBr(e->b, br->done);
    }
    LLVMPositionBuilderAtEnd(e->b, br->done);
}

void cases_begin(struct emit *e, struct cases *c, V value, int n)
{
    c->done = block(e, "chosen");
    c->choice = LLVMBuildSwitch(e->b, value, c->done, (unsigned)n);
}

void case_begin(struct emit *e, struct cases *c, int value)
{
    LLVMBasicBlockRef here = block(e, "case");
    LLVMAddCase(c->choice, ki(e, value), here);
    LLVMPositionBuilderAtEnd(e->b, here);
}

void case_end(struct emit *e, struct cases *c)
{
    LLVMBuildBr(e->b, c->done);
}

void cases_end(struct emit *e, struct cases *c)
{
    LLVMPositionBuilderAtEnd(e->b, c->done);
}

static void copy_values(V *to, const V *from, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = from[i];
}

void each_vector(struct emit *e, V count, vector_body *body, void *data, V *carry, int n)
{
    struct loop l;
    V whole = imulk(e, idiv(e, count, ki(e, e->W)), e->W), next[LOOP_CARRY];
    loop_begin(e, &l, ki(e, 0), whole, e->W, n, carry);
    copy_values(next, l.carry, n);
    body(e, l.i, NULL, next, data);
    loop_end(e, &l, next);
    copy_values(carry, l.carry, n);
    V rest = isub(e, count, whole);
    if (LLVMIsConstant(rest)) {
        if (LLVMConstIntGetSExtValue(rest) > 0)
            body(e, whole, mask_below(e, rest), carry, data);
        return;
    }
    /* The last part as a loop of at most one turn, so that carried values need no other form. */
    loop_begin(e, &l, whole, count, e->W, n, carry);
    copy_values(next, l.carry, n);
    body(e, l.i, mask_below(e, rest), next, data);
    loop_end(e, &l, next);
    copy_values(carry, l.carry, n);
}

static void clear_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    (void)carry;
    vstore(e, vkf(e, 0), at(e, (V)data, i), mask);
}

void clear_floats(struct emit *e, V p, V count)
{
    each_vector(e, count, clear_body, p, NULL, 0);
}

struct pair {
    V a, b;
};

static void dot_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct pair *p = data;
    carry[0] = vfma(e, vload(e, at(e, p->a, i), mask), vload(e, at(e, p->b, i), mask), carry[0]);
}

V dot(struct emit *e, V a, V b, int64_t n)
{
    struct pair p = {a, b};
    V sum = vkf(e, 0);
    each_vector(e, ki(e, n), dot_body, &p, &sum, 1);
    return hsum(e, sum);
}

V sum_in_double(struct emit *e, V x, V n)
{
    struct loop l;
    V sum = LLVMConstReal(e->f64, 0);
    loop_begin(e, &l, ki(e, 0), n, 1, 1, &sum);
    V v = LLVMBuildFPExt(e->b, load(e, e->f32, at(e, x, l.i)), e->f64, "");
    sum = LLVMBuildFAdd(e->b, l.carry[0], v, "");
    loop_end(e, &l, &sum);
    return l.carry[0];
}
