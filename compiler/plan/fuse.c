/* Fusion of epilogues: elementwise calls that follow a product in its launch become steps of it,
 * done to a block of sums while that is in L1 (see enum then). A value that only the next step
 * reads is not stored. */
#include "config.h"

#include "compiler/plan/lower.h"
#include "lang/base/arena.h"

struct step {
    int then;
    bool kept;
    struct operand argument, y;
};

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
            const struct call *c = &lo->f->launches[i]->calls[j];
            for (int k = 0; k < c->noperands; k++)
                if (c->operand[k].buffer)
                    uses[c->operand[k].buffer->id]++;
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

static struct step step_of(const struct call *c, const struct operand *v)
{
    const struct operand *o = c->operand;
    struct step s = {.then = -1, .y = o[0], .argument = o[2]};
    switch (c->kernel) {
    case KERNEL_act:
        s.then = (same(&o[1], v) ? THEN_ACT : THEN_ACT_BESIDE) + (int)c->size[1];
        s.argument = o[1];
        return s;
    case KERNEL_act_dx:     s.then = THEN_ACT_DX + (int)c->size[1]; break;
    case KERNEL_scale:      s.then = THEN_SCALE; break;
    case KERNEL_scale_rows: s.then = THEN_SCALE_ROWS; break;
    case KERNEL_add:        s.then = THEN_ADD; break;
    case KERNEL_mul:        s.then = THEN_MUL; break;
    default:                return s;
    }
    if (same(&o[1], v) && !same(&o[2], v))
        return s;
    if ((s.then == THEN_ADD || s.then == THEN_MUL) && same(&o[2], v) && !same(&o[1], v)) {
        s.argument = o[1];
        return s;
    }
    s.then = -1;
    return s;
}

/* -- a chain: its first step keeps the sums, if anybody else reads them -- */

static void take_steps(struct chain *c, struct call *next, size_t left)
{
    struct operand v = c->gemm->operand[0];
    c->step[c->n++] = (struct step){.then = THEN_KEEP, .y = v};
    for (; left && c->n < THEN_STEPS; next++, left--) {
        struct step s = step_of(next, &v);
        if (s.then < 0 || next->size[0] != c->gemm->size[0])
            return;
        c->step[c->n++] = s;
        if (!THEN_BESIDE(s.then))
            v = s.y;
    }
}

/* Which values are stored: the last one, and those that others read. */
static void mark_kept(struct chain *c, const int *uses)
{
    struct step *last = NULL;
    for (int i = 0; i < c->n; i++) {
        struct step *s = &c->step[i];
        s->kept = true;
        if (THEN_BESIDE(s->then))
            continue;
        if (last)
            last->kept = used_elsewhere(&last->y, uses);
        last = s;
    }
}

static int operands_of(const struct chain *c)
{
    int n = 4;
    for (int i = 0; i < c->n; i++)
        n += THEN_TAKES(c->step[i].then) + c->step[i].kept;
    return n;
}

/* A last step beside the chain would gain nothing. */
static void trim(struct chain *c, const int *uses)
{
    mark_kept(c, uses);
    while (operands_of(c) > CALL_OPERANDS || THEN_BESIDE(c->step[c->n - 1].then)) {
        c->n--;
        mark_kept(c, uses);
    }
}

static void append_steps(struct chain *c)
{
    struct call *g = c->gemm;
    for (int i = 0; i < c->n; i++) {
        struct step *s = &c->step[i];
        if (s->then == THEN_KEEP && !s->kept)
            continue;
        if (THEN_TAKES(s->then))
            g->operand[g->noperands++] = s->argument;
        if (s->kept)
            g->operand[g->noperands++] = s->y;
        g->size[g->nsizes++] = THEN_CODE(s->then, s->kept);
    }
    g->operand[0] = c->step[c->n - 1].y;
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
    return c->kernel == KERNEL_gemm && c->operand[0].buffer && c->size[2] == c->size[0];
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
