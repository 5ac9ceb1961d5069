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
    const int64_t *s = k->call->size;
    struct loop l;
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    V token = idiv(e, pair_of(e, k, k->p[2], s[2], l.i), ki(e, s[1]));
    struct move m = {at(e, k->p[0], imulk(e, l.i, s[0])), at(e, k->p[1], imulk(e, token, s[0])),
                     NULL};
    each_vector(e, ki(e, s[0]), move_body, &m, NULL, 0);
    loop_end(e, &l, NULL);
}

void emit_combine_dx(struct emit *e, const struct kernel_args *k)
{
    const int64_t *s = k->call->size;
    struct loop l;
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    V pair = pair_of(e, k, k->p[3], s[2], l.i), token = idiv(e, pair, ki(e, s[1]));
    struct move m = {at(e, k->p[0], imulk(e, l.i, s[0])), at(e, k->p[1], imulk(e, token, s[0])),
                     splat(e, load(e, e->f32, at(e, k->p[2], pair)))};
    each_vector(e, ki(e, s[0]), move_body, &m, NULL, 0);
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
    const int64_t *s = k->call->size;
    struct loop l, j;
    struct branch br;
    struct range mine = range_of(e, k->p[3], s[4], s[5]);
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    struct move m = {at(e, k->p[0], imulk(e, l.i, s[0])), NULL, NULL};
    clear_floats(e, m.to, ki(e, s[0]));
    loop_begin(e, &j, ki(e, 0), ki(e, s[1]), 1, 0, NULL);
    V local, row = slot_of(e, k, k->p[3], s[1], s[2], l.i, j.i, &local);
    if_begin(e, &br, is_in(e, mine, row));
    m.from = at(e, k->p[1], imulk(e, row, s[0]));
    m.factor = s[3] ? splat(e, load(e, e->f32, at(e, k->p[2], local))) : NULL;
    each_vector(e, ki(e, s[0]), add_body, &m, NULL, 0);
    if_end(e, &br);
    loop_end(e, &j, NULL);
    loop_end(e, &l, NULL);
}

void emit_combine_dgate(struct emit *e, const struct kernel_args *k)
{
    const int64_t *s = k->call->size;
    struct loop l, j;
    struct branch br;
    struct range mine = range_of(e, k->p[3], s[3], s[4]);
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    V dy = at(e, k->p[1], imulk(e, l.i, s[0]));
    loop_begin(e, &j, ki(e, 0), ki(e, s[1]), 1, 0, NULL);
    V local, row = slot_of(e, k, k->p[3], s[1], s[2], l.i, j.i, &local), to = at(e, k->p[0], local);
    store(e, kf(e, 0), to);
    if_begin(e, &br, is_in(e, mine, row));
    store(e, dot(e, dy, at(e, k->p[2], imulk(e, row, s[0])), s[0]), to);
    if_end(e, &br);
    loop_end(e, &j, NULL);
    loop_end(e, &l, NULL);
}
