/* The end of a step: the gradient's norm, and the update of the weights by the optimiser of the
 * recipe. */
#include "config.h"

#include <string.h>

#include "compiler/plan/launch.h"
#include "lang/base/arena.h"
#include "lang/spec.h"

#define CHUNK 16384 /* numbers that one task of the update takes: 5 x 64 KiB pass through L2 */

static const enum space adamw_spaces[] = {SPACE_PARAMS, SPACE_GRADS, SPACE_MOMENT1, SPACE_MOMENT2,
                                          SPACE_EMA};
static const enum space sgd_spaces[] = {SPACE_PARAMS, SPACE_GRADS, SPACE_MOMENT1, SPACE_EMA};

static int64_t chunks_in(int64_t n)
{
    return (n + CHUNK - 1) / CHUNK;
}

/* A kernel over `parts` parts of n numbers, with the rates of `q`. */
static struct call *update_call(struct plan *p, enum kernel kernel, const struct param *q,
                                int64_t n, int64_t parts)
{
    struct launch *l = new_launch(p->arena, &p->update, DOMAIN_PARTS, q->name);
    struct call *c = add_call(p->arena, l, kernel, q->name);
    l->parts = parts;
    call_size(c, n);
    call_size(c, CHUNK);
    c->real[0] = param_decay(q);
    c->real[1] = q->lr_factor;
    return c;
}

/* All params from one byte to another, which are treated as the first of them. */
static void update_run(struct plan *p, const struct param *first, int64_t from, int64_t to)
{
    bool sgd = p->optimiser == OPTIMISER_SGD;
    int64_t n = (to - from) / 4;
    struct call *c = update_call(p, sgd ? KERNEL_sgd : KERNEL_adamw, first, n, chunks_in(n));
    const enum space *spaces = sgd ? sgd_spaces : adamw_spaces;
    for (size_t i = 0; i < (sgd ? sizeof sgd_spaces : sizeof adamw_spaces) / sizeof *spaces; i++)
        call_operand(c, operand_region(spaces[i], from, 0, CHUNK * 4));
    if (sgd)
        call_size(c, spec_flag(p->train->spec, "train.optim.nesterov"));
}

static void need_arena(struct plan *p, int64_t floats)
{
    int64_t bytes = (floats * 4 + 63) / 64 * 64;
    if (p->arena_train_bytes < bytes)
        p->arena_train_bytes = bytes;
}

/* LAMB's two passes over one param, whose step is scaled for each expert by itself. */
static void update_lamb(struct plan *p, const struct param *q)
{
    static const enum space second[] = {SPACE_PARAMS, SPACE_GRADS, SPACE_ARENA, SPACE_EMA};
    int64_t slices = q->experts ? q->experts : 1, n = q->count / slices,
            parts = slices * chunks_in(n);
    int64_t at = p->params[q->id].offset;
    struct call *c = update_call(p, KERNEL_lamb, q, n, parts);
    for (int i = 0; i < 4; i++)
        call_operand(c, operand_region(adamw_spaces[i], at, 0, 0));
    call_operand(c, operand_region(SPACE_ARENA, 0, 0, 0));
    c = update_call(p, KERNEL_lamb_apply, q, n, parts);
    for (int i = 0; i < 4; i++)
        call_operand(c, operand_region(second[i], second[i] == SPACE_ARENA ? 0 : at, 0, 0));
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
        call_operand(c, operand_region(SPACE_PARAMS, p->params[m->bias->id].offset, 0, 0));
        call_operand(
            c, operand_region(SPACE_BALANCE, m->balance_offset + 4 * (2 * m->experts + 1), 0, 0));
        call_size(c, m->experts);
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
    call_operand(c, operand_region(SPACE_ARENA, 0, 0, 4));
    call_operand(c, operand_region(SPACE_GRADS, 0, 0, CHUNK * 4));
    call_size(c, count);
    call_size(c, CHUNK);
    l = new_launch(p->arena, &p->norm, DOMAIN_PARTS, "norm");
    c = add_call(p->arena, l, KERNEL_norm_sum, "norm");
    call_operand(c, operand_region(SPACE_ARENA, 0, 0, 0));
    call_size(c, parts);
    need_arena(p, parts);
}

void plan_update(struct plan *p)
{
    const char *kind = spec_text(p->train->spec, "train.optim.kind");
    p->optimiser = strcmp(kind, "lamb") == 0  ? OPTIMISER_LAMB
                   : strcmp(kind, "sgd") == 0 ? OPTIMISER_SGD
                                              : OPTIMISER_ADAMW;
    update_biases(p);
    update_params(p);
    plan_norm(p);
}
