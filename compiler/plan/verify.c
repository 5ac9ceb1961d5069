/* The verifier of a plan: proves, from what each kernel declares to do with its operands, that what
 * is read was written and not written over since, in the arena and in every thread's scratch. It
 * knows nothing of lifetimes or of how places were chosen. */
#include "config.h"

#include <inttypes.h>

#include "compiler/graph/graph.h"
#include "compiler/plan/lower.h"
#include "lang/base/arena.h"

/* What is known of a buffer's contents while its function is walked through. */
enum state { STATE_UNWRITTEN, STATE_WRITTEN, STATE_OVERWRITTEN };

struct content {
    struct buffer *buffer;
    enum state state;
    const struct buffer *by; /* OVERWRITTEN: by what */
    bool used;               /* by the launch at hand */
    bool written;            /* in it */
};

struct walk {
    const struct plan *plan;
    const struct function *f;
    FILE *out;
    struct content *all; /* of the arena, then of the scratch of the launch at hand */
    size_t n, cap;
    size_t *place; /* by a buffer's id: 1 + its place in `all`; 0: it was not met yet */
    int64_t arena_bytes;
    const struct launch *launch;
    const struct call *call;
};

static bool wrong(const struct walk *w, const char *what, const struct buffer *b)
{
    fprintf(w->out, "%s: %s (%s): %s", w->f->name, w->launch ? w->launch->name : "-",
            w->call ? kernel_table[w->call->kernel].name : "-", what);
    if (b)
        fprintf(w->out, ": buffer %d (%s)", b->id, b->name ? b->name : "");
    fputs("\n", w->out);
    return false;
}

static bool is_raw(const struct buffer *b)
{
    return b->value && b->value->raw;
}

static bool overlap(const struct buffer *a, const struct buffer *b)
{
    return a->space == b->space && a->offset < b->offset + b->bytes &&
           b->offset < a->offset + a->bytes;
}

/* What is known of b, which is entered when it is first met. Decisions last from step to step. */
static struct content *content_of(struct walk *w, struct buffer *b)
{
    if (w->place[b->id])
        return &w->all[w->place[b->id] - 1];
    struct content *c = ARENA_PUSH(w->plan->arena, w->all, w->n, w->cap);
    *c = (struct content){.buffer = b, .state = is_raw(b) ? STATE_WRITTEN : STATE_UNWRITTEN};
    w->place[b->id] = w->n;
    return c;
}

/* -- one use -- */

static bool read_ok(struct walk *w, const struct content *c)
{
    if (c->state == STATE_UNWRITTEN)
        return wrong(w, "reads what nothing wrote", c->buffer);
    if (c->state == STATE_OVERWRITTEN) {
        wrong(w, "reads what was written over", c->buffer);
        return wrong(w, "by this one", c->by);
    }
    return true;
}

static void note_write(struct walk *w, struct content *c)
{
    c->state = STATE_WRITTEN;
    for (size_t i = 0; i < w->n; i++) {
        struct content *other = &w->all[i];
        if (other == c || other->state != STATE_WRITTEN || !overlap(other->buffer, c->buffer))
            continue;
        other->state = STATE_OVERWRITTEN;
        other->by = c->buffer;
    }
}

static bool place_ok(struct walk *w, const struct operand *o)
{
    const struct buffer *b = o->buffer;
    int64_t room = b->space == SPACE_SCRATCH ? w->launch->scratch_bytes : w->arena_bytes;
    if (b->bytes <= 0 || b->offset < 0 || b->offset % 64)
        return wrong(w, "has no place", b);
    if (b->offset + b->bytes > room)
        return wrong(w, "lies outside of its space", b);
    if (o->offset < 0 || o->offset >= b->bytes)
        return wrong(w, "is used outside of itself", b);
    return true;
}

static bool use_ok(struct walk *w, const struct use *use)
{
    struct buffer *b = use->operand->buffer;
    if (!b || (b->space != SPACE_ARENA && b->space != SPACE_SCRATCH))
        return true;
    if (!place_ok(w, use->operand))
        return false;
    struct content *c = content_of(w, b);
    if (c->buffer != b)
        return wrong(w, "has the number of another buffer", b);
    c->used = true;
    if (use->access & ACCESS_READ && !read_ok(w, c))
        return false;
    if (use->access & ACCESS_WRITE) {
        c->written = true;
        note_write(w, c);
    }
    return true;
}

/* -- one call: as many operands and sizes as its kernel has, each of its element -- */

static bool elements_ok(struct walk *w, const struct call *c)
{
    const struct kernel_row *row = &kernel_table[c->kernel];
    for (int i = 0; i < CALL_OPERANDS; i++) {
        const struct operand *o = &c->operand.at[i];
        if (i >= row->noperands && o->space != SPACE_NONE)
            return wrong(w, "an operand that its kernel has not", NULL);
        if (i < row->noperands && o->buffer &&
            is_raw(o->buffer) != (row->operand[i].element == ELEMENT_RAW))
            return wrong(w, "numbers taken for decisions, or decisions for numbers", o->buffer);
    }
    for (int i = row->nsizes; i < CALL_SIZES; i++)
        if (c->size.at[i])
            return wrong(w, "a size that its kernel has not", NULL);
    for (int i = 0; i < row->nsizes; i++)
        if (c->size.at[i] < 0)
            return wrong(w, "a size below zero", NULL);
    return !c->nsteps || c->kernel == KERNEL_gemm || wrong(w, "steps that follow no product", NULL);
}

/* A kernel reads before it writes; its steps follow in their order, each number through all of
 * them, so that one may read what an earlier one stored. */
static bool call_ok(struct walk *w, struct call *c)
{
    struct use use[CALL_ALL];
    w->call = c;
    if (c->kernel >= KERNEL_COUNT)
        return wrong(w, "no kernel", NULL);
    if (!elements_ok(w, c))
        return false;
    int n = call_uses(c, use), own = kernel_table[c->kernel].noperands;
    for (int i = 0; i < own; i++)
        if (use[i].access == ACCESS_READ && !use_ok(w, &use[i]))
            return false;
    for (int i = 0; i < own; i++)
        if (use[i].access != ACCESS_READ && !use_ok(w, &use[i]))
            return false;
    for (int i = own; i < n; i++)
        if (!use_ok(w, &use[i]))
            return false;
    return true;
}

/* -- one launch: its tiles run side by side -- */

/* What one tile writes no other may use under another name. Scratch is each thread's own, and its
 * buffers take turns. */
static bool tiles_ok(struct walk *w)
{
    for (size_t i = 0; i < w->n; i++)
        for (size_t j = 0; j < i; j++) {
            const struct content *a = &w->all[i], *b = &w->all[j];
            if (!a->used || !b->used || a->buffer->space != SPACE_ARENA)
                continue;
            if ((a->written || b->written) && overlap(a->buffer, b->buffer))
                return wrong(w, "tiles use one place under two names", a->buffer);
        }
    return true;
}

static void forget_scratch(struct walk *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->n; i++) {
        bool stays = w->all[i].buffer->space == SPACE_ARENA;
        w->place[w->all[i].buffer->id] = stays ? kept + 1 : 0;
        if (stays)
            w->all[kept++] = w->all[i];
    }
    w->n = kept;
}

static bool launch_ok(struct walk *w, const struct launch *l)
{
    w->launch = l;
    w->call = NULL;
    for (size_t i = 0; i < w->n; i++)
        w->all[i].used = w->all[i].written = false;
    if (l->rows < 1 || l->parts < 1 || l->tile < 0)
        return wrong(w, "no tiles", NULL);
    if (l->scratch_bytes < 0 || l->scratch_bytes > w->plan->scratch_bytes)
        return wrong(w, "more scratch than there is", NULL);
    for (size_t i = 0; i < l->ncalls; i++)
        if (!call_ok(w, &l->calls[i]))
            return false;
    w->call = NULL;
    if (!tiles_ok(w))
        return false;
    forget_scratch(w);
    return true;
}

/* -- a function -- */

/* Decisions are held for the next step, and read by those who count. */
static bool decisions_kept(struct walk *w)
{
    w->launch = NULL;
    for (size_t i = 0; i < w->n; i++)
        if (is_raw(w->all[i].buffer) && w->all[i].state != STATE_WRITTEN)
            return wrong(w, "decisions are written over", w->all[i].buffer);
    return true;
}

static size_t largest_id(const struct function *f)
{
    struct use use[CALL_ALL];
    int id = 0;
    for (size_t i = 0; i < f->n; i++)
        for (size_t j = 0; j < f->launches[i]->ncalls; j++)
            for (int k = call_uses(&f->launches[i]->calls[j], use); k-- > 0;)
                if (use[k].operand->buffer && use[k].operand->buffer->id > id)
                    id = use[k].operand->buffer->id;
    return (size_t)id;
}

static bool function_ok(const struct plan *p, const struct function *f, int64_t bytes, FILE *out)
{
    struct walk w = {.plan = p, .f = f, .out = out, .arena_bytes = bytes};
    w.place = arena_array(p->arena, largest_id(f) + 1, sizeof *w.place);
    for (size_t i = 0; i < f->n; i++)
        if (!launch_ok(&w, f->launches[i]))
            return false;
    return decisions_kept(&w);
}

bool plan_verify(const struct plan *p, FILE *out)
{
    return function_ok(p, &p->pack_eval, 0, out) && function_ok(p, &p->pack_train, 0, out) &&
           function_ok(p, &p->eval_step, p->arena_eval_bytes, out) &&
           function_ok(p, &p->train_step, p->arena_train_bytes, out) &&
           function_ok(p, &p->norm, p->arena_train_bytes, out) &&
           function_ok(p, &p->update, p->arena_train_bytes, out);
}
