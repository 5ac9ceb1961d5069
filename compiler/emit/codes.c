/* What routers compare tokens by: learned codes (cosine, distance) and one learned gain. Each row
 * meets the codes one by one, which suits a code for each expert; with one for each slot (soft) a
 * packed product would be faster. */
#include "config.h"

#include <stddef.h>

#include "compiler/emit/emit.h"

struct pair {
    V a, b;
};

static void square_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct pair *p = data;
    V d = vsub(e, vload(e, at(e, p->a, i), mask), vload(e, at(e, p->b, i), mask));
    carry[0] = vfma(e, d, d, carry[0]);
}

/* sum of (a - b)^2 */
static V distance(struct emit *e, V a, V b, int64_t n)
{
    struct pair p = {a, b};
    V sum = vkf(e, 0);
    each_vector(e, ki(e, n), square_body, &p, &sum, 1);
    return hsum(e, sum);
}

/* 1 / max(|x|, 1e-12) */
static V inverse_length(struct emit *e, V x, int64_t n)
{
    return vdiv(e, kf(e, 1), vmax(e, vsqrt(e, dot(e, x, x, n)), kf(e, 1e-12)));
}

/* to[o] = 1 / |w_o| */
static void inverse_lengths(struct emit *e, V w, V to, int64_t O, int64_t C)
{
    struct loop o;
    loop_begin(e, &o, ki(e, 0), ki(e, O), 1, 0, NULL);
    store(e, inverse_length(e, at(e, w, imulk(e, o.i, C)), C), at(e, to, o.i));
    loop_end(e, &o, NULL);
}

void emit_codes(struct emit *e, const struct kernel_args *k)
{
    int64_t C = k->call->size.codes.C, O = k->call->size.codes.O;
    bool cosine = k->call->size.codes.kind == CODES_COSINE;
    struct loop l, o;
    if (cosine)
        inverse_lengths(e, k->p.codes.w, k->p.codes.scratch, O, C);
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    V x = at(e, k->p.codes.x, imulk(e, l.i, C)), inverse = cosine ? inverse_length(e, x, C) : NULL;
    loop_begin(e, &o, ki(e, 0), ki(e, O), 1, 0, NULL);
    V y = (cosine ? dot : distance)(e, x, at(e, k->p.codes.w, imulk(e, o.i, C)), C);
    y = cosine ? vmul(e, y, vmul(e, inverse, load(e, e->f32, at(e, k->p.codes.scratch, o.i))))
               : vneg(e, y);
    store(e, y, at(e, k->p.codes.y, iadd(e, imulk(e, l.i, O), o.i)));
    loop_end(e, &o, NULL);
    loop_end(e, &l, NULL);
}

/* dx += across w + own_x x; dw += across x + own_w w */
struct slopes {
    V dx, dw, x, w, across, own_x, own_w;
};

static void slopes_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct slopes *s = data;
    V x = vload(e, at(e, s->x, i), mask), w = vload(e, at(e, s->w, i), mask), dx = at(e, s->dx, i),
      dw = at(e, s->dw, i);
    (void)carry;
    vstore(e, vfma(e, s->own_x, x, vfma(e, s->across, w, vload(e, dx, mask))), dx, mask);
    vstore(e, vfma(e, s->own_w, w, vfma(e, s->across, x, vload(e, dw, mask))), dw, mask);
}

/* The factors of one code: of the cosine, dy / (|x| |w|) and -dy cos / |x|^2, / |w|^2; of the
 * distance, 2 dy and -2 dy. */
static void factors(struct emit *e, struct slopes *s, V dy, V y, V inverse_x, V inverse_w)
{
    V across = vmul(e, dy, kf(e, 2)), own_x = vneg(e, across), own_w = own_x;
    if (y) {
        V both = vneg(e, vmul(e, dy, y));
        across = vmul(e, dy, vmul(e, inverse_x, inverse_w));
        own_x = vmul(e, both, vmul(e, inverse_x, inverse_x));
        own_w = vmul(e, both, vmul(e, inverse_w, inverse_w));
    }
    s->across = splat(e, across);
    s->own_x = splat(e, own_x);
    s->own_w = splat(e, own_w);
}

void emit_codes_dx(struct emit *e, const struct kernel_args *k)
{
    int64_t C = k->call->size.codes_dx.C, O = k->call->size.codes_dx.O;
    bool cosine = k->call->size.codes_dx.kind == CODES_COSINE;
    struct loop l, o;
    clear_floats(e, k->p.codes_dx.pw, ki(e, O * C));
    if (cosine)
        inverse_lengths(e, k->p.codes_dx.w, k->p.codes_dx.scratch, O, C);
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    struct slopes s = {.dx = at(e, k->p.codes_dx.dx, imulk(e, l.i, C)),
                       .x = at(e, k->p.codes_dx.x, imulk(e, l.i, C))};
    V inverse = cosine ? inverse_length(e, s.x, C) : NULL;
    clear_floats(e, s.dx, ki(e, C));
    loop_begin(e, &o, ki(e, 0), ki(e, O), 1, 0, NULL);
    V place = iadd(e, imulk(e, l.i, O), o.i), code = imulk(e, o.i, C);
    s.w = at(e, k->p.codes_dx.w, code);
    s.dw = at(e, k->p.codes_dx.pw, code);
    factors(e, &s, load(e, e->f32, at(e, k->p.codes_dx.dy, place)),
            cosine ? load(e, e->f32, at(e, k->p.codes_dx.y, place)) : NULL, inverse,
            cosine ? load(e, e->f32, at(e, k->p.codes_dx.scratch, o.i)) : NULL);
    each_vector(e, ki(e, C), slopes_body, &s, NULL, 0);
    loop_end(e, &o, NULL);
    loop_end(e, &l, NULL);
}

/* -- gain: f = w, or exp(min(w, largest)) -- */

struct gain {
    V x, dy, to, factor;
};

static V factor_of(struct emit *e, const struct kernel_args *k, bool exponential, V w, V *slope)
{
    if (!exponential) {
        *slope = kf(e, 1);
        return w;
    }
    V most = kf(e, k->call->real[0]), above = vgt(e, w, most),
      f = math_exp(e, choose(e, above, most, w));
    *slope = choose(e, above, kf(e, 0), f);
    return f;
}

static void gain_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct gain *g = data;
    (void)carry;
    vstore(e, vmul(e, vload(e, at(e, g->x, i), mask), g->factor), at(e, g->to, i), mask);
}

void emit_gain(struct emit *e, const struct kernel_args *k)
{
    V slope,
        f = factor_of(e, k, k->call->size.gain.exponential, load(e, e->f32, k->p.gain.w), &slope);
    struct gain g = {.x = k->p.gain.x, .to = k->p.gain.y, .factor = splat(e, f)};
    each_vector(e, imulk(e, k->m, k->call->size.gain.C), gain_body, &g, NULL, 0);
}

static void gain_dx_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct gain *g = data;
    V dy = vload(e, at(e, g->dy, i), mask);
    carry[0] = vfma(e, dy, vload(e, at(e, g->x, i), mask), carry[0]);
    vstore(e, vmul(e, dy, g->factor), at(e, g->to, i), mask);
}

void emit_gain_dx(struct emit *e, const struct kernel_args *k)
{
    V slope,
        f = factor_of(e, k, k->call->size.gain_dx.exponential, load(e, e->f32, k->p.gain_dx.w),
                      &slope),
        sum = vkf(e, 0);
    struct gain g = {
        .x = k->p.gain_dx.x, .dy = k->p.gain_dx.dy, .to = k->p.gain_dx.dx, .factor = splat(e, f)};
    each_vector(e, imulk(e, k->m, k->call->size.gain_dx.C), gain_dx_body, &g, &sum, 1);
    store(e, vmul(e, hsum(e, sum), slope), k->p.gain_dx.pw);
}
