/* Elementary functions as polynomials, the same operations for a number and for a vector of them,
 * and Philox.
 *
 * exp: Cody-Waite reduction by ln 2, Taylor series to the 7th power (below 1e-8 for |r| <= ln 2 /
 * 2), exponent by integer add: within the limits no result leaves the normal numbers. log: mantissa
 * in [sqrt 1/2, sqrt 2), series of atanh in s = (m-1)/(m+1) to s^9. Phi: Abramowitz and
 * Stegun 7.1.26, with its exp(-x^2/2) shared with the density. GELU and its slope: 1/2 + x Q(x^2)
 * with Q fitted to the least largest error (least squares on Chebyshev nodes, reweighted by the
 * errors), in u = 2 x^2 / limit^2 - 1 so that the coefficients stay small; neither divides. */
#include "config.h"

#include "compiler/emit/emit.h"

static V as_int(struct emit *e, V x)
{
    return LLVMBuildBitCast(
        e->b, x, LLVMGetTypeKind(LLVMTypeOf(x)) == LLVMVectorTypeKind ? e->vi : e->i32, "");
}

static V as_float(struct emit *e, V x)
{
    return LLVMBuildBitCast(
        e->b, x, LLVMGetTypeKind(LLVMTypeOf(x)) == LLVMVectorTypeKind ? e->vf : e->f32, "");
}

static LLVMTypeRef float_type(struct emit *e, V ints)
{
    return LLVMGetTypeKind(LLVMTypeOf(ints)) == LLVMVectorTypeKind ? e->vf : e->f32;
}

/* c[0] + c[1] x + .., at most 16 terms, by Estrin's scheme: pairs, then pairs of pairs, that do not
 * wait for each other, for a chain of n multiply-adds is longer than what a processor has under
 * way. */
static V polynomial(struct emit *e, V x, const double *c, int n)
{
    V term[16];
    for (int i = 0; i < n; i++)
        term[i] = like(e, x, c[i]);
    for (; n > 1; n = (n + 1) / 2) {
        for (int i = 0; i < n; i += 2)
            term[i / 2] = i + 1 < n ? vfma(e, term[i + 1], x, term[i]) : term[i];
        if (n > 2)
            x = vmul(e, x, x);
    }
    return term[0];
}

V math_exp(struct emit *e, V x)
{
    static const double taylor[] = {1,        1,         1.0 / 2,   1.0 / 6,
                                    1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040};
    V low = like(e, x, -87.3), high = like(e, x, 88.7), round = like(e, x, 0x1.8p23);
    V clamped = choose(e, vgt(e, x, high), high, x);
    clamped = choose(e, vgt(e, low, clamped), low, clamped);
    /* The sum has no bits below 1: its lowest ones are the whole number nearest to x / ln 2. */
    V k = vfma(e, clamped, like(e, x, 1.44269504088896341), round), n = vsub(e, k, round);
    V r = vfma(e, n, like(e, x, -0.693359375), clamped);
    r = vfma(e, n, like(e, x, 2.12194440054690583e-4), r);
    V y = as_int(e, polynomial(e, r, taylor, 8)), power = as_int(e, k);
    y = as_float(e, iadd(e, y, LLVMBuildShl(e->b, power, ilike(e, power, 23), "")));
    y = choose(e, vgt(e, low, x), like(e, x, 0), y);
    return choose(e, LLVMBuildFCmp(e->b, LLVMRealUNO, x, x, ""), x, y);
}

V math_log(struct emit *e, V x)
{
    static const double odd[] = {2.0, 2.0 / 3, 2.0 / 5, 2.0 / 7, 2.0 / 9};
    V bits = as_int(e, x);
    /* Subtracting the bits of sqrt(1/2) before the shift makes mantissas above sqrt 2 count for the
     * next exponent. */
    V shifted = isub(e, bits, ilike(e, bits, 0x3f3504f3));
    V k = LLVMBuildAShr(e->b, shifted, ilike(e, bits, 23), "");
    V m = as_float(e, isub(e, bits, LLVMBuildShl(e->b, k, ilike(e, bits, 23), "")));
    V one = like(e, x, 1);
    V s = vdiv(e, vsub(e, m, one), vadd(e, m, one));
    V log_m = vmul(e, s, polynomial(e, vmul(e, s, s), odd, 5));
    V n = LLVMBuildSIToFP(e->b, k, float_type(e, bits), "");
    V y = vfma(e, n, like(e, x, -2.12194440054690583e-4), log_m);
    return vfma(e, n, like(e, x, 0.693359375), y);
}

V math_phi(struct emit *e, V x, V *density)
{
    static const double c[] = {0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429};
    V a = intrinsic1(e, "llvm.fabs", x);
    V z = vmul(e, a, like(e, x, 0.70710678118654752));
    V t = vdiv(e, like(e, x, 1), vfma(e, z, like(e, x, 0.3275911), like(e, x, 1)));
    V g = math_exp(e, vneg(e, vmul(e, z, z)));
    V tail = vmul(e, vmul(e, vmul(e, t, polynomial(e, t, c, 5)), g), like(e, x, 0.5));
    if (density)
        *density = vmul(e, g, like(e, x, 0.39894228040143268));
    return choose(e, vgt(e, x, like(e, x, 0)), vsub(e, like(e, x, 1), tail), tail);
}

/* 1/2 + x Q(x^2) up to a limit; beyond it 0 below and 1 above. NaN stays NaN. */
static V step_like(struct emit *e, V x, double limit, const double *c, int n)
{
    V z = vmul(e, x, x), u = vfma(e, z, like(e, x, 2 / (limit * limit)), like(e, x, -1));
    V y = vfma(e, x, polynomial(e, u, c, n), like(e, x, 0.5));
    V beyond = choose(e, vgt(e, x, like(e, x, 0)), like(e, x, 1), like(e, x, 0));
    return choose(e, vgt(e, z, like(e, x, limit * limit)), beyond, y);
}

V math_gelu(struct emit *e, V x)
{
    static const double c[] = {
        0.13465935,    -0.067126593,  0.0496451939,  -0.039771219,    0.0320452619,
        -0.0249654234, 0.0184254323,  -0.0130905112, 0.00883971706,   -0.00482707669,
        0.00211210575, -0.0016196762, 0.00136216659, -0.000450653373,
    };
    return vmul(e, x, step_like(e, x, 5.25, c, 14));
}

V math_gelu_slope(struct emit *e, V x)
{
    static const double c[] = {
        0.128759168,   -0.06574014,    0.0536708728, -0.053725825,   0.0601872274, -0.0688571515,
        0.0753351917,  -0.0729194883,  0.0606563971, -0.0530861033,  0.0495664941, -0.0278236552,
        0.00410067194, -0.00642488523, 0.0121202586, -0.00490987225,
    };
    return step_like(e, x, 5.5, c, 16);
}

V math_sigmoid(struct emit *e, V x)
{
    V one = like(e, x, 1);
    return vdiv(e, one, vadd(e, one, math_exp(e, vneg(e, x))));
}

/* cos(2 pi u) = sin(2 pi (1/4 - |v|)) with v = u - round(u); the sine's series to z^13 on [-pi/2,
 * pi/2]. */
V math_cos2pi(struct emit *e, V u)
{
    static const double odd[] = {
        1, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800, 1.0 / 6227020800.0};
    V v = vsub(e, u, intrinsic1(e, "llvm.rint", u));
    V z = vmul(e, vsub(e, like(e, u, 0.25), intrinsic1(e, "llvm.fabs", v)),
               like(e, u, 6.283185307179586));
    return vmul(e, z, polynomial(e, vmul(e, z, z), odd, 7));
}

/* Philox4x32-10 (Salmon et al. 2011): multipliers and Weyl constants of the paper. */
void math_philox(struct emit *e, V counter[4], V key0, V key1, V out[4])
{
    V c[4] = {counter[0], counter[1], counter[2], counter[3]};
    bool vector = LLVMGetTypeKind(LLVMTypeOf(c[0])) == LLVMVectorTypeKind;
    LLVMTypeRef wide = vector ? e->vl : e->i64, word = vector ? e->vi : e->i32;
    for (int round = 0; round < 10; round++) {
        V hi[2], lo[2];
        for (int i = 0; i < 2; i++) {
            V a = LLVMBuildZExt(e->b, c[2 * i], wide, "");
            V p = imul(e, a, ilike(e, a, i ? 0xCD9E8D57u : 0xD2511F53u));
            hi[i] = LLVMBuildTrunc(e->b, LLVMBuildLShr(e->b, p, ilike(e, p, 32), ""), word, "");
            lo[i] = LLVMBuildTrunc(e->b, p, word, "");
        }
        V c1 = c[1], c3 = c[3];
        c[0] = LLVMBuildXor(e->b, LLVMBuildXor(e->b, hi[1], c1, ""), key0, "");
        c[1] = lo[1];
        c[2] = LLVMBuildXor(e->b, LLVMBuildXor(e->b, hi[0], c3, ""), key1, "");
        c[3] = lo[0];
        key0 = iadd(e, key0, ilike(e, key0, 0x9E3779B9u));
        key1 = iadd(e, key1, ilike(e, key1, 0xBB67AE85u));
    }
    for (int i = 0; i < 4; i++)
        out[i] = c[i];
}

V math_uniform(struct emit *e, V word)
{
    /* 24 bits, so that the nearest float never rounds up to 1. */
    V top = LLVMBuildLShr(e->b, word, ilike(e, word, 8), "");
    return vmul(e, LLVMBuildUIToFP(e->b, top, float_type(e, word), ""),
                like(e, LLVMGetUndef(float_type(e, word)), 0x1p-24));
}

V math_normal(struct emit *e, V word0, V word1)
{
    V u = math_uniform(e, word0);
    V r = vsqrt(e, vmul(e, math_log(e, vsub(e, like(e, u, 1), u)), like(e, u, -2)));
    return vmul(e, r, math_cos2pi(e, math_uniform(e, word1)));
}
