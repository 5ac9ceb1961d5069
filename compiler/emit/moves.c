/* Rows in and out of the experts: gathered, scaled and summed by the decisions of the routing. */
#include "config.h"

#include "compiler/emit/routing.h"

struct move {
    V to, from, factor;
};

static void move_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct move *m = data;
    V x = vload(e, at(e, m->from, i), mask);
    (void)carry;
    vstore(e, m->factor ? vmul(e, x, m->factor) : x, at(e, m->to, i), mask);
}

static void add_body(struct emit *e, V i, V mask, V *carry, void *data)
{
    const struct move *m = data;
    V x = vload(e, at(e, m->from, i), mask), to = at(e, m->to, i), y = vload(e, to, mask);
    (void)carry;
    vstore(e, m->factor ? vfma(e, x, m->factor, y) : vadd(e, x, y), to, mask);
}

static V pair_of(struct emit *e, const struct kernel_args *k, V decisions, int64_t pair_at, V i)
{
    return load_index(e, bytesk(e, decisions, pair_at), iadd(e, k->row, i));
}

void emit_dispatch(struct emit *e, const struct kernel_args *k)
{
    const struct dispatch_sizes *s = &k->call->size.dispatch;
    struct loop l;
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    V token = idiv(e, pair_of(e, k, k->p.dispatch.decisions, s->pair_at, l.i), ki(e, s->K));
    struct move m = {at(e, k->p.dispatch.y, imulk(e, l.i, s->C)),
                     at(e, k->p.dispatch.x, imulk(e, token, s->C)), NULL};
    each_vector(e, ki(e, s->C), move_body, &m, NULL, 0);
    loop_end(e, &l, NULL);
}

void emit_combine_dx(struct emit *e, const struct kernel_args *k)
{
    const struct combine_dx_sizes *s = &k->call->size.combine_dx;
    struct loop l;
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    V pair = pair_of(e, k, k->p.combine_dx.decisions, s->pair_at, l.i),
      token = idiv(e, pair, ki(e, s->K));
    struct move m = {at(e, k->p.combine_dx.dx, imulk(e, l.i, s->C)),
                     at(e, k->p.combine_dx.dy, imulk(e, token, s->C)),
                     splat(e, load(e, e->f32, at(e, k->p.combine_dx.gates, pair)))};
    each_vector(e, ki(e, s->C), move_body, &m, NULL, 0);
    loop_end(e, &l, NULL);
}

/* The routed rows that a kernel gathers from: all of them, or those of some experts. */
struct range {
    V from, to;
};

static struct range range_of(struct emit *e, V decisions, int64_t from_at, int64_t to_at)
{
    struct range r = {ki(e, 0), NULL};
    if (to_at) {
        r.from = load_index(e, bytesk(e, decisions, from_at), ki(e, 0));
        r.to = load_index(e, bytesk(e, decisions, to_at), ki(e, 0));
    }
    return r;
}

static V is_in(struct emit *e, struct range r, V row)
{
    V enough = LLVMBuildNot(e->b, ilt(e, row, r.from), "");
    return r.to ? LLVMBuildAnd(e->b, enough, ilt(e, row, r.to), "") : enough;
}

/* The row of choice j of token i of this tile, and its index among the pairs of the tile. */
static V slot_of(struct emit *e, const struct kernel_args *k, V decisions, int64_t K,
                 int64_t slot_at, V i, V j, V *local)
{
    *local = iadd(e, imulk(e, i, K), j);
    return load_index(e, bytesk(e, decisions, slot_at), iadd(e, imulk(e, k->row, K), *local));
}

void emit_combine(struct emit *e, const struct kernel_args *k)
{
    const struct combine_sizes *s = &k->call->size.combine;
    struct loop l, j;
    struct branch br;
    struct range mine = range_of(e, k->p.combine.decisions, s->from_at, s->to_at);
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    struct move m = {at(e, k->p.combine.y, imulk(e, l.i, s->C)), NULL, NULL};
    clear_floats(e, m.to, ki(e, s->C));
    loop_begin(e, &j, ki(e, 0), ki(e, s->K), 1, 0, NULL);
    V local, row = slot_of(e, k, k->p.combine.decisions, s->K, s->slot_at, l.i, j.i, &local);
    if_begin(e, &br, is_in(e, mine, row));
    m.from = at(e, k->p.combine.x, imulk(e, row, s->C));
    m.factor = s->gated ? splat(e, load(e, e->f32, at(e, k->p.combine.gates, local))) : NULL;
    each_vector(e, ki(e, s->C), add_body, &m, NULL, 0);
    if_end(e, &br);
    loop_end(e, &j, NULL);
    loop_end(e, &l, NULL);
}

void emit_combine_dgate(struct emit *e, const struct kernel_args *k)
{
    const struct combine_dgate_sizes *s = &k->call->size.combine_dgate;
    struct loop l, j;
    struct branch br;
    struct range mine = range_of(e, k->p.combine_dgate.decisions, s->from_at, s->to_at);
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    V dy = at(e, k->p.combine_dgate.dy, imulk(e, l.i, s->C));
    loop_begin(e, &j, ki(e, 0), ki(e, s->K), 1, 0, NULL);
    V local, row = slot_of(e, k, k->p.combine_dgate.decisions, s->K, s->slot_at, l.i, j.i, &local),
             to = at(e, k->p.combine_dgate.dgates, local);
    store(e, kf(e, 0), to);
    if_begin(e, &br, is_in(e, mine, row));
    store(e, dot(e, dy, at(e, k->p.combine_dgate.x, imulk(e, row, s->C)), s->C), to);
    if_end(e, &br);
    loop_end(e, &j, NULL);
    loop_end(e, &l, NULL);
}
