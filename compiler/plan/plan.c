/* Graphs -> plan, its printer and its verifier. */
#include "config.h"

#include "compiler/plan/plan.h"

#include <assert.h>
#include <inttypes.h>

#include "compiler/graph/graph.h"
#include "compiler/plan/lower.h"
#include "lang/base/arena.h"

/* -- steps and uses -- */

static const struct {
    bool takes, beside;
} steps[THEN_COUNT] = {
#define STEP(name, argument, beside, doc) [THEN_##name] = {argument, beside},
#include "compiler/plan/steps.def"
#undef STEP
};

bool then_takes(enum then t)
{
    return steps[t].takes;
}

bool then_beside(enum then t)
{
    return steps[t].beside;
}

int call_uses(struct call *c, struct use use[CALL_ALL])
{
    const struct kernel_row *row = &kernel_table[c->kernel];
    int n = 0;
    for (int i = 0; i < row->noperands; i++)
        use[n++] = (struct use){&c->operand.at[i], row->operand[i].access};
    for (int i = 0; i < c->nsteps; i++) {
        if (then_takes(c->step[i].then))
            use[n++] = (struct use){&c->step[i].argument, ACCESS_READ};
        if (c->step[i].stored)
            use[n++] = (struct use){&c->step[i].y, ACCESS_WRITE};
    }
    assert(n <= CALL_ALL);
    return n;
}

static int64_t lower(struct plan *p, const struct graph *g, struct function *f, bool fuse,
                     struct buffer ***buffers, size_t *n)
{
    struct lowering lo = {.plan = p, .g = g, .f = f, .fuse = fuse};
    lower_graph(&lo);
    if (fuse)
        fuse_epilogues(&lo);
    int64_t bytes = place_buffers(&lo);
    *buffers = lo.buffers;
    *n = lo.nbuffers;
    return bytes;
}

struct plan *plan_make(struct arena *a, const struct graph *eval, const struct graph *train,
                       const struct plan_options *o)
{
    struct plan *p = arena_alloc(a, sizeof *p);
    p->arena = a;
    p->eval = eval;
    p->train = train;
    p->vector = o->vector;
    p->red_zones = o->red_zones;
    p->pack_eval.name = "pack_eval";
    p->pack_train.name = "pack_train";
    p->eval_step.name = "eval";
    p->train_step.name = "train";
    p->norm.name = "norm";
    p->update.name = "update";
    place_params(p);
    p->arena_eval_bytes =
        lower(p, eval, &p->eval_step, o->fuse, &p->eval_buffers, &p->neval_buffers);
    p->arena_train_bytes =
        lower(p, train, &p->train_step, o->fuse, &p->train_buffers, &p->ntrain_buffers);
    plan_packing(p);
    plan_update(p);
    return p;
}

static int64_t io_bytes(const struct plan *p)
{
    const struct graph *g = p->eval;
    return 4 * g->micro *
           (g->input->rows * g->input->cols + 2 * g->logits->cols +
            g->features->rows * g->features->cols + p->choices);
}

int64_t plan_memory_eval(const struct plan *p)
{
    return p->params_bytes + p->packed_eval_bytes + p->arena_eval_bytes + io_bytes(p) +
           p->balance_bytes;
}

int plan_moments(const struct plan *p)
{
    return p->optimiser == OPTIMISER_SGD ? 1 : 2;
}

int64_t plan_memory_train(const struct plan *p, bool ema)
{
    int64_t arena =
        p->arena_train_bytes > p->arena_eval_bytes ? p->arena_train_bytes : p->arena_eval_bytes;
    int copies = 2 + plan_moments(p) + ema; /* of the weights: they, gradients, moments, average */
    return p->params_bytes * copies + p->packed_train_bytes + arena + io_bytes(p) +
           p->balance_bytes;
}

/* -- printer -- */

static const char *const spaces[] = {
    "params", "packed", "grads",    "moment1", "moment2", "ema",     "arena", "input",
    "target", "output", "features", "balance", "choices", "scratch", "const", "-"};

static const char *const domains[] = {"rows",   "images",  "parts",        "tiles",
                                      "groups", "experts", "expert parts", "expert tiles"};

static void print_operand(const struct operand *o, FILE *out)
{
    enum space s = o->buffer ? o->buffer->space : o->space;
    if (s == SPACE_NONE) {
        fputs(" -", out);
        return;
    }
    fprintf(out, " %s+%" PRId64, spaces[s], o->offset + (o->buffer ? o->buffer->offset : 0));
}

static const char *const activations[ACTIVATION_COUNT] = {
#define ACTIVATION(name) #name,
#include "compiler/plan/activations.def"
#undef ACTIVATION
};

static void print_step(const struct step *s, FILE *out)
{
    static const char *const words[THEN_COUNT] = {
        [THEN_KEEP] = "keep",
        [THEN_ACT_DX] = "_dx",
        [THEN_ACT_BESIDE] = " beside",
        [THEN_SCALE] = "scale",
        [THEN_SCALE_ROWS] = "scale_rows",
        [THEN_ADD] = "add",
        [THEN_MUL] = "mul",
    };
    bool act = s->then == THEN_ACT || s->then == THEN_ACT_DX || s->then == THEN_ACT_BESIDE;
    fprintf(out, "%s%s%s", act ? activations[s->act] : "", words[s->then] ? words[s->then] : "",
            s->stored ? "*" : "");
}

/* Sizes, of a product then the steps that follow it: those whose value is stored with a star. */
static void print_sizes(const struct call *c, FILE *out)
{
    int n = kernel_table[c->kernel].nsizes;
    for (int i = 0; i < n; i++)
        fprintf(out, "%c%" PRId64, i ? ',' : '[', c->size.at[i]);
    for (int i = 0; i < c->nsteps; i++) {
        fputs(i ? ", " : "; ", out);
        print_step(&c->step[i], out);
    }
    fputs(n ? "]" : "", out);
}

static void print_launch(const struct launch *l, FILE *out)
{
    fprintf(out, "  %s: rows=%" PRId64, domains[l->domain], l->rows);
    if (l->tile > 1)
        fprintf(out, " tile=%" PRId64, l->tile);
    if (l->parts > 1)
        fprintf(out, " parts=%" PRId64, l->parts);
    const struct moe *m = l->experts ? l->experts->moe : l->moe;
    if (m)
        fprintf(out, " moe=%d", m->id);
    if (l->experts && l->experts->count < m->experts)
        fprintf(out, " experts=%d..%d", l->experts->first,
                l->experts->first + l->experts->count - 1);
    if (l->scratch_bytes)
        fprintf(out, " scratch=%" PRId64, l->scratch_bytes);
    fputs("\n", out);
    for (size_t i = 0; i < l->ncalls; i++) {
        struct call *c = &l->calls[i];
        struct use use[CALL_ALL];
        fprintf(out, "    %s", kernel_table[c->kernel].name);
        print_sizes(c, out);
        for (int j = 0, n = call_uses(c, use); j < n; j++)
            print_operand(use[j].operand, out);
        fprintf(out, "    # %s\n", c->name);
    }
}

static void print_function(const struct function *f, FILE *out)
{
    fprintf(out, "function %s: %zu launches\n", f->name, f->n);
    for (size_t i = 0; i < f->n; i++)
        print_launch(f->launches[i], out);
}

static void print_buffers(const char *name, struct buffer *const *b, size_t n, int64_t bytes,
                          FILE *out)
{
    fprintf(out, "arena %s: %" PRId64 " bytes\n", name, bytes);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "  %" PRId64 " + %" PRId64 "  launches %d .. %d  # %s\n", b[i]->offset,
                b[i]->bytes, b[i]->first, b[i]->last, b[i]->name ? b[i]->name : "");
}

void plan_print(const struct plan *p, FILE *out)
{
    fprintf(out,
            "plan: params %" PRId64 ", packed %" PRId64 " / %" PRId64 ", scratch %" PRId64
            " bytes a thread, vectors of %d, "
            "recompute = %s\n",
            p->params_bytes, p->packed_eval_bytes, p->packed_train_bytes, p->scratch_bytes,
            p->vector, recompute_words[p->train->recompute]);
    print_function(&p->pack_eval, out);
    print_function(&p->eval_step, out);
    print_buffers("eval", p->eval_buffers, p->neval_buffers, p->arena_eval_bytes, out);
    print_function(&p->train_step, out);
    print_buffers("train", p->train_buffers, p->ntrain_buffers, p->arena_train_bytes, out);
    print_function(&p->norm, out);
    print_function(&p->update, out);
}
