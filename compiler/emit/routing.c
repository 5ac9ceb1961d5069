/* Decisions in memory, as the kernels of routing read and write them: see routing.h. */
#include "config.h"

#include <stddef.h>

#include "compiler/emit/routing.h"
#include "runtime/vrt.h"

struct routing routing_of(struct emit *e, const struct kernel_args *k, V decisions)
{
    const struct moe *m = k->call->moe;
    struct routing r = {.m = m,
                        .at = plan_decisions(m, e->plan->eval->micro),
                        .E = m->experts,
                        .K = m->top_k,
                        .T = m->tokens,
                        .decisions = decisions,
                        .ctx = k->ctx};
    r.tokens = imulk(e, k->m, r.T);
    r.first_token = imulk(e, k->row, r.T);
    r.stats = bytes(e, bytesk(e, decisions, r.at.stats),
                    imulk(e, idiv(e, k->row, ki(e, m->group)), decisions_stats(m)));
    return r;
}

V int_at(struct emit *e, V p, V index)
{
    return LLVMBuildGEP2(e->b, e->i32, p, &index, 1, "");
}

V load_index(struct emit *e, V p, V index)
{
    return LLVMBuildSExt(e->b, load(e, e->i32, int_at(e, p, index)), e->i64, "");
}

void store_index(struct emit *e, V v, V p, V index)
{
    store(e, LLVMBuildTrunc(e->b, v, e->i32, ""), int_at(e, p, index));
}

V routing_field(struct emit *e, const struct routing *r, int64_t offset)
{
    return bytesk(e, r->decisions, offset);
}

V routing_held(struct emit *e, V ctx)
{
    return vgt(e, ctx_float(e, ctx, offsetof(struct vrt_ctx, hold_routing)), kf(e, 0.5));
}

void clear_counts(struct emit *e, V counts, int64_t n)
{
    struct loop l;
    loop_begin(e, &l, ki(e, 0), ki(e, n), 1, 0, NULL);
    store(e, ki32(e, 0), int_at(e, counts, l.i));
    loop_end(e, &l, NULL);
}

void count_up(struct emit *e, V counts, V index, V by)
{
    store_index(e, iadd(e, load_index(e, counts, index), by), counts, index);
}

void add_to(struct emit *e, V p, V v)
{
    store(e, vadd(e, load(e, e->f32, p), v), p);
}
