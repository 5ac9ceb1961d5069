/* Epilogues of products: steps that follow a block of sums while it is in L1 (enum then). Each
 * number goes through the operations that the steps' own kernels would do to it, in their order, so
 * the bits are the same. */
#include "config.h"

#include <assert.h>

#include "compiler/emit/emit.h"

void epilogue_read(const struct kernel_args *k, struct epilogue *p)
{
    p->n = k->call->nsteps;
    for (int i = 0; i < p->n; i++) {
        const struct step *s = &k->call->step[i];
        p->step[i] = (struct epilogue_step){s->then, s->act, k->argument[i], k->y[i]};
    }
}

/* The place of a vector: in matrices as wide as the product, its row and its column. */
struct place {
    V offset, row, column, mask, ahead;
};

static V argument(struct emit *e, const struct epilogue_step *s, const struct place *at_)
{
    prefetch(e, at(e, s->argument, at_->ahead), 2);
    return vload(e, at(e, s->argument, at_->offset), at_->mask);
}

static void keep(struct emit *e, const struct epilogue_step *s, const struct place *p, V v)
{
    V to = at(e, s->y, p->offset);
    prefetch(e, at(e, s->y, p->ahead), 2);
    vstore(e, v, to, p->mask);
}

static V take_step(struct emit *e, const struct epilogue_step *s, const struct place *p, V v)
{
    switch (s->then) {
    case THEN_KEEP:       break;
    case THEN_ACT:        return act_value(e, v, s->act);
    case THEN_ACT_DX:     return act_slope(e, v, argument(e, s, p), s->act);
    case THEN_ACT_BESIDE: keep(e, s, p, act_value(e, argument(e, s, p), s->act)); break;
    case THEN_SCALE:      return vmul(e, v, vload(e, at(e, s->argument, p->column), p->mask));
    case THEN_SCALE_ROWS: return vmul(e, v, splat(e, load(e, e->f32, at(e, s->argument, p->row))));
    case THEN_ADD:        return vadd(e, v, argument(e, s, p));
    case THEN_MUL:        return vmul(e, v, argument(e, s, p));
    case THEN_COUNT:      assert(!"a step");
    }
    return v;
}

void epilogue_block(struct emit *e, const struct epilogue *p, const struct epilogue_part *b)
{
    struct loop r;
    loop_begin(e, &r, ki(e, 0), b->rows, 1, 0, NULL);
    V row = iadd(e, b->row, r.i), first = iadd(e, imulk(e, row, b->N), b->column),
      sums = at(e, b->sums, imulk(e, r.i, b->ld));
    for (int v = 0; v < b->vectors; v++) {
        int64_t lane = (int64_t)v * e->W;
        V offset = iaddk(e, first, lane);
        struct place at_ = {offset, row, iaddk(e, b->column, lane), b->mask[v],
                            iadd(e, offset, b->there)};
        V sum = vload(e, atk(e, sums, lane), at_.mask);
        for (int i = 0; i < p->n; i++) {
            const struct epilogue_step *s = &p->step[i];
            sum = take_step(e, s, &at_, sum);
            if (s->y && !then_beside(s->then))
                keep(e, s, &at_, sum);
        }
    }
    loop_end(e, &r, NULL);
}
