/* Fusion of epilogues: elementwise calls that follow a product in its launch become steps of it,
 * done to a block of sums while that is in L1 (see enum then). A value that only the next step
 * reads is not stored. */
#include "config.h"

#include <assert.h>

#include "compiler/plan/lower.h"
#include "lang/base/arena.h"

struct chain {
    struct call *gemm;
    struct step step[THEN_STEPS];
    int n;
};

/* -- how often each buffer is read or written in the whole function -- */

static int *count_uses(const struct lowering *lo)
{
    int *uses = arena_array(lo->plan->arena, lo->nbuffers + 1, sizeof *uses);
    for (size_t i = 0; i < lo->f->n; i++)
        for (size_t j = 0; j < lo->f->launches[i]->ncalls; j++) {
            struct use use[CALL_ALL];
            for (int k = call_uses(&lo->f->launches[i]->calls[j], use); k-- > 0;)
                if (use[k].operand->buffer)
                    uses[use[k].operand->buffer->id]++;
        }
    return uses;
}

/* Besides its writer and its one reader in the chain. */
static bool used_elsewhere(const struct operand *o, const int *uses)
{
    return o->buffer->keep || o->buffer->space != SPACE_ARENA || uses[o->buffer->id] > 2;
}

/* -- one call as a step -- */

static bool same(const struct operand *a, const struct operand *b)
{
    return a->buffer && a->buffer == b->buffer && a->offset == b->offset && a->s0 == b->s0;
}

/* A step that takes v, which is the first or, where both are alike, the second of two inputs;
 * false: the call is none. */
static bool takes(struct step *s, const struct operand *v, const struct operand *first,
                  const struct operand *second, bool alike)
{
    bool is_first = same(first, v), is_second = same(second, v);
    s->argument = is_first ? *second : *first;
    return is_first != is_second && (is_first || alike);
}

static bool step_of(const struct call *c, const struct operand *v, struct step *s)
{
    *s = (struct step){.y = c->operand.at[0]};
    switch (c->kernel) {
    case KERNEL_act:
        s->then = same(&c->operand.act.x, v) ? THEN_ACT : THEN_ACT_BESIDE;
        s->act = (enum activation)c->size.act.kind;
        s->argument = c->operand.act.x;
        return true;
    case KERNEL_act_dx:
        s->then = THEN_ACT_DX;
        s->act = (enum activation)c->size.act_dx.kind;
        return takes(s, v, &c->operand.act_dx.dy, &c->operand.act_dx.x, false);
    case KERNEL_scale:
        s->then = THEN_SCALE;
        return takes(s, v, &c->operand.scale.x, &c->operand.scale.w, false);
    case KERNEL_scale_rows:
        s->then = THEN_SCALE_ROWS;
        return takes(s, v, &c->operand.scale_rows.x, &c->operand.scale_rows.f, false);
    case KERNEL_add:
        s->then = THEN_ADD;
        return takes(s, v, &c->operand.add.a, &c->operand.add.b, true);
    case KERNEL_mul:
        s->then = THEN_MUL;
        return takes(s, v, &c->operand.mul.a, &c->operand.mul.b, true);
    default: return false;
    }
}

/* -- a chain: its first step keeps the sums, if anybody else reads them -- */

static void take_steps(struct chain *c, struct call *next, size_t left)
{
    struct operand v = c->gemm->operand.gemm.c;
    c->step[c->n++] = (struct step){.then = THEN_KEEP, .y = v};
    for (; left && c->n < THEN_STEPS; next++, left--) {
        struct step s;
        if (!step_of(next, &v, &s) || next->size.at[0] != c->gemm->size.gemm.N)
            return;
        c->step[c->n++] = s;
        if (!then_beside(s.then))
            v = s.y;
    }
}

/* Which values are stored: the last one, and those that others read. */
static void mark_kept(struct chain *c, const int *uses)
{
    struct step *last = NULL;
    for (int i = 0; i < c->n; i++) {
        struct step *s = &c->step[i];
        s->stored = true;
        if (then_beside(s->then))
            continue;
        if (last)
            last->stored = used_elsewhere(&last->y, uses);
        last = s;
    }
}

static int operands_of(const struct chain *c)
{
    int n = 0;
    for (int i = 0; i < c->n; i++)
        n += then_takes(c->step[i].then) + c->step[i].stored;
    return n;
}

/* A last step beside the chain would gain nothing. */
static void trim(struct chain *c, const int *uses)
{
    mark_kept(c, uses);
    while (operands_of(c) > THEN_OPERANDS || then_beside(c->step[c->n - 1].then)) {
        c->n--;
        mark_kept(c, uses);
    }
}

static void append_steps(struct chain *c)
{
    struct call *g = c->gemm;
    for (int i = 0; i < c->n; i++)
        if (c->step[i].then != THEN_KEEP || c->step[i].stored)
            g->step[g->nsteps++] = c->step[i];
    assert(g->nsteps <= THEN_STEPS);
    g->operand.gemm.c = c->step[c->n - 1].y;
}

static void remove_calls(struct launch *l, size_t at, size_t n)
{
    for (size_t i = at; i + n < l->ncalls; i++)
        l->calls[i] = l->calls[i + n];
    l->ncalls -= n;
}

/* Factors of rows read nothing that the launch makes: they come first, and stand in nobody's
 * way. */
static void factors_first(struct launch *l)
{
    for (size_t i = 0, first = 0; i < l->ncalls; i++)
        if (l->calls[i].kernel == KERNEL_drop_factors) {
            struct call c = l->calls[i];
            for (size_t j = i; j > first; j--)
                l->calls[j] = l->calls[j - 1];
            l->calls[first++] = c;
        }
}

static bool is_whole_product(const struct call *c)
{
    return c->kernel == KERNEL_gemm && c->operand.gemm.c.buffer &&
           c->size.gemm.ldc == c->size.gemm.N;
}

void fuse_epilogues(struct lowering *lo)
{
    const int *uses = count_uses(lo);
    for (size_t i = 0; i < lo->f->n; i++) {
        struct launch *l = lo->f->launches[i];
        factors_first(l);
        for (size_t j = 0; j < l->ncalls; j++) {
            struct chain c = {.gemm = &l->calls[j]};
            if (!is_whole_product(c.gemm))
                continue;
            take_steps(&c, c.gemm + 1, l->ncalls - j - 1);
            trim(&c, uses);
            if (c.n > 1)
                append_steps(&c);
            remove_calls(l, j + 1, (size_t)c.n - 1);
        }
    }
}
