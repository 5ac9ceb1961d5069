/* The end of a step: the gradient's norm, and the update of the weights by the optimiser of the
 * recipe. */
#include "config.h"

#include <string.h>

#include "compiler/plan/launch.h"
#include "lang/base/arena.h"
#include "lang/spec.h"

#define CHUNK 16384 /* numbers that one task of the update takes: 5 x 64 KiB pass through L2 */

static int64_t chunks_in(int64_t n)
{
    return (n + CHUNK - 1) / CHUNK;
}

/* A kernel over `parts` parts, with the rates of `q`. */
static struct call *update_call(struct plan *p, enum kernel kernel, const struct param *q,
                                int64_t parts)
{
    struct launch *l = new_launch(p->arena, &p->update, DOMAIN_PARTS, q->name);
    struct call *c = add_call(p->arena, l, kernel, q->name);
    l->parts = parts;
    c->real[0] = param_decay(q);
    c->real[1] = q->lr_factor;
    return c;
}

/* Byte `from` of a region, and what of it each chunk takes. */
static struct operand chunks_of(enum space space, int64_t from)
{
    return operand_region(space, from, 0, float_bytes(CHUNK));
}

/* All params from one byte to another, which are treated as the first of them. */
static void update_run(struct plan *p, const struct param *first, int64_t from, int64_t to)
{
    int64_t n = (to - from) / float_bytes(1);
    struct operand w = chunks_of(SPACE_PARAMS, from), g = chunks_of(SPACE_GRADS, from),
                   m1 = chunks_of(SPACE_MOMENT1, from), m2 = chunks_of(SPACE_MOMENT2, from),
                   ema = chunks_of(SPACE_EMA, from);
    if (p->optimiser == OPTIMISER_SGD) {
        struct call *c = update_call(p, KERNEL_sgd, first, chunks_in(n));
        bool nesterov = spec_flag(p->train->spec, KEY_train_optim_nesterov);
        c->operand.sgd = (struct sgd_operands){.p = w, .g = g, .m1 = m1, .ema = ema};
        c->size.sgd = (struct sgd_sizes){.n = n, .chunk = CHUNK, .nesterov = nesterov};
    } else {
        struct call *c = update_call(p, KERNEL_adamw, first, chunks_in(n));
        c->operand.adamw = (struct adamw_operands){.p = w, .g = g, .m1 = m1, .m2 = m2, .ema = ema};
        c->size.adamw = (struct adamw_sizes){.n = n, .chunk = CHUNK};
    }
}

static void need_arena(struct plan *p, int64_t floats)
{
    int64_t bytes = (float_bytes(floats) + 63) / 64 * 64;
    if (p->arena_train_bytes < bytes)
        p->arena_train_bytes = bytes;
}

/* LAMB's two passes over one param, whose step is scaled for each expert by itself. */
static void update_lamb(struct plan *p, const struct param *q)
{
    int64_t slices = q->experts ? q->experts : 1, n = q->count / slices,
            parts = slices * chunks_in(n), at = p->params[q->id].offset;
    struct operand w = operand_region(SPACE_PARAMS, at, 0, 0),
                   g = operand_region(SPACE_GRADS, at, 0, 0),
                   sums = operand_region(SPACE_ARENA, 0, 0, 0);
    struct call *c = update_call(p, KERNEL_lamb, q, parts);
    c->size.lamb = (struct lamb_sizes){.n = n, .chunk = CHUNK};
    c->operand.lamb = (struct lamb_operands){.p = w,
                                             .g = g,
                                             .m1 = operand_region(SPACE_MOMENT1, at, 0, 0),
                                             .m2 = operand_region(SPACE_MOMENT2, at, 0, 0),
                                             .sums = sums};
    c = update_call(p, KERNEL_lamb_apply, q, parts);
    c->size.lamb_apply = (struct lamb_apply_sizes){.n = n, .chunk = CHUNK};
    c->operand.lamb_apply = (struct lamb_apply_operands){
        .p = w, .g = g, .sums = sums, .ema = operand_region(SPACE_EMA, at, 0, 0)};
    need_arena(p, 2 * parts);
}

/* Balancing without a loss: before the update proper, which leaves these params alone but averages
 * them. */
static void update_biases(struct plan *p)
{
    for (size_t i = 0; i < p->train->nmoes; i++) {
        const struct moe *m = p->train->moes[i];
        if (!m->bias)
            continue;
        struct launch *l = new_launch(p->arena, &p->update, DOMAIN_PARTS, m->bias->name);
        struct call *c = add_call(p->arena, l, KERNEL_balance_bias, m->bias->name);
        c->operand.balance_bias.w =
            operand_region(SPACE_PARAMS, p->params[m->bias->id].offset, 0, 0);
        c->operand.balance_bias.balance =
            operand_region(SPACE_BALANCE, m->balance_offset + 4 * (2 * m->experts + 1), 0, 0);
        c->size.balance_bias.E = m->experts;
        c->real[0] = m->bias_rate;
    }
}

static bool alike(const struct param *a, const struct param *b)
{
    return param_decay(a) == param_decay(b) && a->lr_factor == b->lr_factor;
}

static void update_params(struct plan *p)
{
    struct param **order = params_in_order(p);
    size_t n = p->train->nparams;
    for (size_t i = 0, j; i < n; i = j) {
        j = i + 1;
        if (p->optimiser == OPTIMISER_LAMB && param_decay(order[i]) != 0) {
            update_lamb(p, order[i]);
            continue;
        }
        while (j < n && alike(order[i], order[j]))
            j++;
        update_run(p, order[i], p->params[order[i]->id].offset,
                   j < n ? p->params[order[j]->id].offset : p->params_bytes);
    }
}

static void plan_norm(struct plan *p)
{
    int64_t count = p->params_bytes / 4, parts = chunks_in(count);
    struct launch *l = new_launch(p->arena, &p->norm, DOMAIN_PARTS, "norm");
    l->parts = parts;
    struct call *c = add_call(p->arena, l, KERNEL_square_sum, "norm");
    c->operand.square_sum.y = operand_region(SPACE_ARENA, 0, 0, 4);
    c->operand.square_sum.x = operand_region(SPACE_GRADS, 0, 0, CHUNK * 4);
    c->size.square_sum.n = count;
    c->size.square_sum.chunk = CHUNK;
    l = new_launch(p->arena, &p->norm, DOMAIN_PARTS, "norm");
    c = add_call(p->arena, l, KERNEL_norm_sum, "norm");
    c->operand.norm_sum.x = operand_region(SPACE_ARENA, 0, 0, 0);
    c->size.norm_sum.n = parts;
    need_arena(p, parts);
}

void plan_update(struct plan *p)
{
    const char *kind = spec_text(p->train->spec, KEY_train_optim_kind);
    p->optimiser = strcmp(kind, "lamb") == 0  ? OPTIMISER_LAMB
                   : strcmp(kind, "sgd") == 0 ? OPTIMISER_SGD
                                              : OPTIMISER_ADAMW;
    update_biases(p);
    update_params(p);
    plan_norm(p);
}
