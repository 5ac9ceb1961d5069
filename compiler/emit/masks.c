/* Random masks: which pictures a drop path keeps, which numbers a dropout keeps. */
#include "config.h"

#include <stddef.h>

#include "compiler/emit/emit.h"
#include "runtime/vrt.h"

/* -- random masks -- */

void random_keys(struct emit *e, V ctx, V *key0, V *key1, V *step)
{
    V seed = ctx_int(e, ctx, offsetof(struct vrt_ctx, seed));
    *key0 = LLVMBuildTrunc(e->b, seed, e->i32, "");
    *key1 = LLVMBuildTrunc(e->b, LLVMBuildLShr(e->b, seed, ki(e, 32), ""), e->i32, "");
    *step = LLVMBuildTrunc(e->b, ctx_int(e, ctx, offsetof(struct vrt_ctx, step)), e->i32, "");
}

/* The token that a row belongs to, counted over this call; for routed rows (K > 0) also which
 * choice of it. */
static V token_of(struct emit *e, V decisions, int64_t K, int64_t pair_at, V row, V *choice)
{
    *choice = ki(e, 0);
    if (!K)
        return row;
    V pair =
        LLVMBuildZExt(e->b, load(e, e->i32, at(e, bytesk(e, decisions, pair_at), row)), e->i64, "");
    *choice = irem(e, pair, ki(e, K));
    return idiv(e, pair, ki(e, K));
}

void emit_drop_factors(struct emit *e, const struct kernel_args *k)
{
    const struct drop_factors_sizes *s = &k->call->size.drop_factors;
    V key0, key1, step, choice, out[4];
    struct loop l;
    random_keys(e, k->ctx, &key0, &key1, &step);
    V p =
        vmul(e, ctx_float(e, k->ctx, offsetof(struct vrt_ctx, drop_path)), kf(e, k->call->real[0]));
    V kept = vdiv(e, kf(e, 1), vsub(e, kf(e, 1), p));
    V first = ctx_int(e, k->ctx, offsetof(struct vrt_ctx, first_image));
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    V row = iadd(e, k->row, l.i),
      token = token_of(e, k->p.drop_factors.decisions, s->K, s->pair_at, row, &choice);
    V image = iadd(e, first, idiv(e, token, ki(e, s->rows)));
    math_philox(e,
                (V[]){LLVMBuildTrunc(e->b, image, e->i32, ""), ki32(e, 0), ki32(e, s->key), step},
                key0, key1, out);
    V drop = vgt(e, p, math_uniform(e, out[0]));
    store(e, choose(e, drop, kf(e, 0), kept), at(e, k->p.drop_factors.f, l.i));
    loop_end(e, &l, NULL);
}

struct mask_state {
    V x, y, counter0, first, key0, key1, step, words;
    int64_t C, key;
    double rate;
};

/* Element col uses word col % 4 of counter (row, col / 4): a vector of counters covers 4 W columns,
 * put in order through the stack. One number at a time would do; this keeps one Philox for each 4
 * numbers. */
static void dropout_block(struct emit *e, V block, const struct mask_state *s)
{
    V counter = LLVMBuildTrunc(
        e->b, iadd(e, splat(e, iadd(e, s->first, imulk(e, block, e->W))), lanes(e, e->i64, 0, 1)),
        e->vi, "");
    V out[4];
    math_philox(e,
                (V[]){splat(e, s->counter0), counter, ilike(e, counter, (uint64_t)s->key),
                      splat(e, s->step)},
                splat(e, s->key0), splat(e, s->key1), out);
    for (int w = 0; w < 4; w++)
        store(e, math_uniform(e, out[w]), atk(e, s->words, (int64_t)w * e->W));
    V rate = kf(e, s->rate), kept = kf(e, 1.0 / (1.0 - s->rate));
    V from = imulk(e, block, 4 * (int64_t)e->W),
      to = imin(e, iaddk(e, from, 4 * (int64_t)e->W), ki(e, s->C));
    struct loop l;
    loop_begin(e, &l, from, to, 1, 0, NULL);
    V c = isub(e, l.i, from);
    V u =
        load(e, e->f32,
             at(e, s->words, iadd(e, imulk(e, irem(e, c, ki(e, 4)), e->W), idiv(e, c, ki(e, 4)))));
    V x = load(e, e->f32, at(e, s->x, l.i));
    store(e, vmul(e, x, choose(e, vgt(e, rate, u), kf(e, 0), kept)), at(e, s->y, l.i));
    loop_end(e, &l, NULL);
}

void emit_dropout(struct emit *e, const struct kernel_args *k)
{
    const struct dropout_sizes *size = &k->call->size.dropout;
    struct mask_state s = {.C = size->C, .key = size->key, .rate = k->call->real[0]};
    struct loop l, b;
    V choice;
    s.words = slot(e, e->f32, 4 * e->W);
    random_keys(e, k->ctx, &s.key0, &s.key1, &s.step);
    V base = imulk(e, ctx_int(e, k->ctx, offsetof(struct vrt_ctx, first_image)), size->rows);
    loop_begin(e, &l, ki(e, 0), k->m, 1, 0, NULL);
    V row = iadd(e, k->row, l.i),
      token = token_of(e, k->p.dropout.decisions, size->K, size->pair_at, row, &choice);
    s.first = imulk(e, choice, (s.C + 3) / 4); /* choices take counters of their own */
    s.counter0 = LLVMBuildTrunc(e->b, iadd(e, base, token), e->i32, "");
    s.x = at(e, k->p.dropout.x, imulk(e, l.i, s.C));
    s.y = at(e, k->p.dropout.y, imulk(e, l.i, s.C));
    loop_begin(e, &b, ki(e, 0), ki(e, (s.C + 4 * e->W - 1) / (4 * e->W)), 1, 0, NULL);
    dropout_block(e, b.i, &s);
    loop_end(e, &b, NULL);
    loop_end(e, &l, NULL);
}
