/* Activations: value and slope of each, and the kernels that are nothing else. m rows of C numbers
 * are one run of m * C. */
#include "config.h"

#include <assert.h>

#include "compiler/emit/emit.h"

static V relu(struct emit *e, V x)
{
    return choose(e, vgt(e, like(e, x, 0), x), like(e, x, 0), x);
}

static V relu_slope(struct emit *e, V dy, V x)
{
    return choose(e, vgt(e, x, like(e, x, 0)), dy, like(e, x, 0));
}

static V silu(struct emit *e, V x)
{
    return vmul(e, x, math_sigmoid(e, x));
}

static V silu_slope(struct emit *e, V dy, V x)
{
    V s = math_sigmoid(e, x), one = like(e, x, 1);
    return vmul(e, vmul(e, dy, s), vfma(e, x, vsub(e, one, s), one));
}

static V gelu_slope(struct emit *e, V dy, V x)
{
    return vmul(e, dy, math_gelu_slope(e, x));
}

static const struct {
    V (*value)(struct emit *e, V x);
    V (*slope)(struct emit *e, V dy, V x);
} activations[ACTIVATION_COUNT] = {
    [ACT_gelu] = {math_gelu, gelu_slope},
    [ACT_relu] = {relu, relu_slope},
    [ACT_silu] = {silu, silu_slope},
};

V act_value(struct emit *e, V x, enum activation act)
{
    assert(act < ACTIVATION_COUNT);
    return activations[act].value(e, x);
}

V act_slope(struct emit *e, V dy, V x, enum activation act)
{
    assert(act < ACTIVATION_COUNT);
    return activations[act].slope(e, dy, x);
}

struct run {
    V y, x, dy;
    enum activation act;
};

static void value_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct run *r = data;
    (void)carry;
    vstore(e, act_value(e, vload(e, at(e, r->x, i), mask), r->act), at(e, r->y, i), mask);
}

static void slope_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct run *r = data;
    (void)carry;
    V dy = vload(e, at(e, r->dy, i), mask), x = vload(e, at(e, r->x, i), mask);
    vstore(e, act_slope(e, dy, x, r->act), at(e, r->y, i), mask);
}

void emit_act(struct emit *e, const struct kernel_args *k)
{
    const struct act_sizes *s = &k->call->size.act;
    struct run r = {.y = k->p.act.y, .x = k->p.act.x, .act = (enum activation)s->kind};
    each_vector(e, imulk(e, k->m, s->C), value_body, &r, NULL, 0);
}

void emit_act_dx(struct emit *e, const struct kernel_args *k)
{
    const struct act_dx_sizes *s = &k->call->size.act_dx;
    struct run r = {.y = k->p.act_dx.dx,
                    .x = k->p.act_dx.x,
                    .dy = k->p.act_dx.dy,
                    .act = (enum activation)s->kind};
    each_vector(e, imulk(e, k->m, s->C), slope_body, &r, NULL, 0);
}
