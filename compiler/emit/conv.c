/* Convolutions: patches to rows and back; the product itself is a gemm. */
#include "config.h"

#include <stddef.h>

#include "compiler/emit/emit.h"

struct window {
    int64_t H, W, C, k, stride, pad, groups;
};

static V inside(struct emit *e, V v, int64_t size)
{
    return LLVMBuildICmp(e->b, LLVMIntULT, v, ki(e, size), "");
}

struct patch {
    V to, from, valid;
};

static void patch_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct patch *p = data;
    V on = p->valid;
    (void)carry;
    if (mask)
        on = LLVMBuildAnd(e->b, on, mask, "");
    vstore(e, vload(e, at(e, p->from, i), on), at(e, p->to, i), mask);
}

/* One tap of one output position: the channels of each group go to their own block of columns. */
static void copy_tap(struct emit *e, const struct window *w, V to, V x, V y, V col, V tap)
{
    V ok = LLVMBuildAnd(e->b, inside(e, y, w->H), inside(e, col, w->W), "");
    V from = at(e, x, imulk(e, iadd(e, imulk(e, y, w->W), col), w->C));
    int64_t I = w->C / w->groups, K = I * w->k * w->k;
    struct patch p = {.valid = splat(e, ok)};
    struct loop g;
    loop_begin(e, &g, ki(e, 0), ki(e, w->groups), 1, 0, NULL);
    p.to = at(e, to, iadd(e, imulk(e, g.i, K), imulk(e, tap, I)));
    p.from = at(e, from, imulk(e, g.i, I));
    each_vector(e, ki(e, I), patch_body, &p, NULL, 0);
    loop_end(e, &g, NULL);
}

/* A line of taps: without groups its channels lie side by side in the picture as in the patch, so
 * inside the map it is one copy. */
static void copy_line(struct emit *e, const struct window *w, V to, V x, V y, V x0, V ky)
{
    struct loop kx;
    struct branch br;
    if (w->groups == 1) {
        V end = iaddk(e, x0, w->k - 1),
          whole = LLVMBuildAnd(e->b, inside(e, x0, w->W), inside(e, end, w->W), "");
        V ok = LLVMBuildAnd(e->b, whole, inside(e, y, w->H), "");
        struct patch p = {.to = at(e, to, imulk(e, ky, w->k * w->C)),
                          .valid = splat(e, ok),
                          .from = at(e, x, imulk(e, iadd(e, imulk(e, y, w->W), x0), w->C))};
        if_begin(e, &br, whole);
        each_vector(e, ki(e, w->k * w->C), patch_body, &p, NULL, 0);
        if_else(e, &br);
    }
    loop_begin(e, &kx, ki(e, 0), ki(e, w->k), 1, 0, NULL);
    copy_tap(e, w, to, x, y, iadd(e, x0, kx.i), iadd(e, imulk(e, ky, w->k), kx.i));
    loop_end(e, &kx, NULL);
    if (w->groups == 1)
        if_end(e, &br);
}

void emit_im2col(struct emit *e, const struct kernel_args *k)
{
    const struct im2col_sizes *s = &k->call->size.im2col;
    struct window w = {s->H, s->W, s->C, s->k, s->stride, s->pad, s->groups};
    int64_t OW = s->OW, rows = s->rows, K = w.C * w.k * w.k;
    struct loop r, ky;
    loop_begin(e, &r, ki(e, 0), k->m, 1, 0, NULL);
    V row = iadd(e, k->row, r.i), image = idiv(e, row, ki(e, rows)),
      position = irem(e, row, ki(e, rows));
    V y0 = iaddk(e, imulk(e, idiv(e, position, ki(e, OW)), w.stride), -w.pad);
    V x0 = iaddk(e, imulk(e, irem(e, position, ki(e, OW)), w.stride), -w.pad);
    V x = at(e, k->p.im2col.x, imulk(e, image, w.H * w.W * w.C)),
      to = at(e, k->p.im2col.y, imulk(e, r.i, K));
    loop_begin(e, &ky, ki(e, 0), ki(e, w.k), 1, 0, NULL);
    copy_line(e, &w, to, x, iadd(e, y0, ky.i), x0, ky.i);
    loop_end(e, &ky, NULL);
    loop_end(e, &r, NULL);
}

struct add_tap {
    V to, from;
};

static void add_tap_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct add_tap *p = data;
    (void)carry;
    V to = at(e, p->to, i);
    vstore(e, vadd(e, vload(e, to, mask), vload(e, at(e, p->from, i), mask)), to, mask);
}

/* Line `part` of dx gathers from every patch that covers it: for output line oy, tap ky = y + pad -
 * oy * stride. */
void emit_col2im(struct emit *e, const struct kernel_args *k)
{
    const struct col2im_sizes *s = &k->call->size.col2im;
    struct window w = {s->H, s->W, s->C, s->k, s->stride, s->pad, s->groups};
    int64_t OH = s->OH, OW = s->OW, I = w.C / w.groups, K = I * w.k * w.k;
    V line = at(e, k->p.col2im.dx, imulk(e, k->row, w.W * w.C));
    clear_floats(e, line, ki(e, w.W * w.C));
    struct loop oy, ox, kx, g;
    struct branch in_y, in_x;
    loop_begin(e, &oy, ki(e, 0), ki(e, OH), 1, 0, NULL);
    V ky = isub(e, iaddk(e, k->row, w.pad), imulk(e, oy.i, w.stride));
    if_begin(e, &in_y, inside(e, ky, w.k));
    loop_begin(e, &ox, ki(e, 0), ki(e, OW), 1, 0, NULL);
    loop_begin(e, &kx, ki(e, 0), ki(e, w.k), 1, 0, NULL);
    V x = iadd(e, iaddk(e, imulk(e, ox.i, w.stride), -w.pad), kx.i);
    if_begin(e, &in_x, inside(e, x, w.W));
    loop_begin(e, &g, ki(e, 0), ki(e, w.groups), 1, 0, NULL);
    V position = iadd(e, imulk(e, oy.i, OW), ox.i), tap = iadd(e, imulk(e, ky, w.k), kx.i);
    V column = iadd(e, imulk(e, g.i, K), imulk(e, tap, I));
    struct add_tap p = {at(e, line, iadd(e, imulk(e, x, w.C), imulk(e, g.i, I))),
                        at(e, k->p.col2im.dcol, iadd(e, imulk(e, position, K * w.groups), column))};
    each_vector(e, ki(e, I), add_tap_body, &p, NULL, 0);
    loop_end(e, &g, NULL);
    if_end(e, &in_x);
    loop_end(e, &kx, NULL);
    loop_end(e, &ox, NULL);
    if_end(e, &in_y);
    loop_end(e, &oy, NULL);
}
