/* The placement algebra. Input: an expression over the blocks of a network. Output: the set of
 * blocks it selects.
 *
 * none, all, a stage's name, s3[9], s4[1 .. 3]; every(n, of: SET) counts inside each stage, last(n,
 * of: SET) over the network; stage_end(last: n), mid(STAGE), stage(STAGE, RULE), blocks(...); A |
 * B, A & B, A - B, if C then A else B; and names of placements. In conditions and numbers `stages`
 * and `blocks` count the network's. */
#include <stdlib.h>
#include <string.h>

#include "lang/base/arena.h"
#include "lang/resolve.h"

struct place {
    struct run *run;
    const struct network *net;
    struct frame *words;
    struct scope scope;
    unsigned depth;
    bool off; /* what was evaluated last is `none` */
};

#define PLACE_DEPTH 300

static bool select_set(struct place *p, const struct expr *e, bool *set);

static bool *new_set(struct place *p)
{
    return arena_array(p->run->arena, p->net->nblocks, sizeof(bool));
}

static bool report_set(struct place *p, const struct expr *e, const char *why)
{
    diag_report(p->run->diag, DIAG_PLACEMENT_TYPE, e->loc, "%s", why);
    diag_help(
        p->run->diag,
        "a set of blocks is none, all, s3[9], every(2), last(2), stage_end(last: 2), mid(s3), "
        "stage(s3, RULE), blocks([1, 3]) or the name of a placement, joined by | & -");
    return false;
}

/* ---- arguments ---- */

static const struct expr *find_arg(const struct expr *call, size_t at, const char *name)
{
    for (size_t i = 0; i < call->n; i++)
        if (call->args[i].name ? strcmp(call->args[i].name, name) == 0 : i == at)
            return call->args[i].value;
    return NULL;
}

static bool check_args(struct place *p, const struct expr *call, const char *first,
                       const char *second)
{
    for (size_t i = 0; i < call->n; i++) {
        const struct arg *a = &call->args[i];
        bool known = a->name ? strcmp(a->name, first) == 0 || text_equal(a->name, second)
                             : i < (second ? 2u : 1u);
        if (known)
            continue;
        diag_report(p->run->diag, DIAG_UNKNOWN_ARGUMENT, a->loc, "`%s` has no such argument",
                    call->words->text);
        diag_note(p->run->diag, (struct loc){0}, "arguments of `%s`: %s%s%s", call->words->text,
                  first, second ? ", " : "", second ? second : "");
        return false;
    }
    return true;
}

static bool number_arg(struct place *p, const struct expr *call, size_t at, const char *name,
                       int64_t unset, int64_t *out)
{
    const struct expr *e = find_arg(call, at, name);
    *out = unset;
    if (!e && unset)
        return true;
    if (!e) {
        diag_report(p->run->diag, DIAG_MISSING_ARGUMENT, call->loc, "`%s` needs a number",
                    call->words->text);
        return false;
    }
    struct spec_value v;
    if (!eval(p->run, &p->scope, e, "int", false, name, &v))
        return false;
    *out = v.i;
    if (v.i >= 1)
        return true;
    diag_report(p->run->diag, DIAG_OUT_OF_RANGE, e->loc, "`%s` of `%s` is %lld, but counts from 1",
                name, call->words->text, (long long)v.i);
    return false;
}

/* ---- stages and blocks ---- */

static const struct net_stage *find_stage(const struct network *net, const char *name)
{
    for (size_t i = 0; i < net->nstages; i++)
        if (strcmp(net->stages[i].name, name) == 0)
            return &net->stages[i];
    return NULL;
}

static bool report_range(struct place *p, struct loc loc, int64_t at, const char *what, size_t n)
{
    diag_report(p->run->diag, DIAG_PLACEMENT_RANGE, loc,
                "there is no %s %lld: they count from 1 to %zu", what, (long long)at, n);
    return false;
}

static const struct net_stage *stage_arg(struct place *p, const struct expr *call)
{
    const struct expr *e = find_arg(call, 0, "stage");
    if (!e) {
        diag_report(p->run->diag, DIAG_MISSING_ARGUMENT, call->loc, "`%s` needs a stage",
                    call->words->text);
        return NULL;
    }
    const struct net_stage *s = e->kind == EXPR_NAME ? find_stage(p->net, e->words->text) : NULL;
    if (s)
        return s;
    struct spec_value v;
    if (!eval(p->run, &p->scope, e, "int", false, "stage", &v))
        return NULL;
    if (v.i >= 1 && v.i <= (int64_t)p->net->nstages)
        return &p->net->stages[v.i - 1];
    report_range(p, e->loc, v.i, "stage", p->net->nstages);
    return NULL;
}

/* A number or a range of numbers, 1-based within n blocks from first. */
static bool mark(struct place *p, const struct expr *e, size_t first, size_t n, bool *set)
{
    struct spec_value v, ends[2];
    if (!eval(p->run, &p->scope, e, NULL, false, "block", &v))
        return false;
    bool range = v.type == SPEC_LIST && v.text && v.n == 2;
    for (size_t i = 0; i < 2; i++) {
        ends[i] = range ? v.items[i] : v;
        if (!value_convert(p->run, &ends[i], "int", false, "block", e->loc))
            return false;
        if (ends[i].i < 1 || ends[i].i > (int64_t)n)
            return report_range(p, e->loc, ends[i].i, "block", n);
    }
    for (int64_t i = ends[0].i; i <= ends[1].i; i++)
        set[first + (size_t)i - 1] = true;
    return true;
}

static bool select_index(struct place *p, const struct expr *e, bool *set)
{
    const struct net_stage *s = find_stage(p->net, e->words->text);
    if (!s) {
        struct suggest near = suggest_start(e->words->text);
        for (size_t i = 0; i < p->net->nstages; i++)
            suggest_add(&near, p->net->stages[i].name);
        diag_report(p->run->diag, DIAG_PLACEMENT_RANGE, e->words->loc,
                    "the network has no stage `%s`", e->words->text);
        if (near.best)
            diag_fix(p->run->diag, near.best);
        return false;
    }
    for (size_t i = 0; i < e->n; i++)
        if (!mark(p, e->args[i].value, s->first, s->depth, set))
            return false;
    return true;
}

/* ---- functions ---- */

static bool select_of(struct place *p, const struct expr *call, bool *set)
{
    const struct expr *of = find_arg(call, 1, "of");
    if (of)
        return select_set(p, of, set);
    memset(set, true, p->net->nblocks * sizeof *set);
    return true;
}

static bool select_every(struct place *p, const struct expr *e, bool *set)
{
    int64_t n;
    bool *of = new_set(p);
    if (!check_args(p, e, "n", "of") || !number_arg(p, e, 0, "n", 0, &n) || !select_of(p, e, of))
        return false;
    for (size_t s = 0; s < p->net->nstages; s++) {
        int64_t count = 0;
        for (size_t j = 0; j < p->net->stages[s].depth; j++) {
            size_t at = p->net->stages[s].first + j;
            if (of[at] && ++count % n == 0)
                set[at] = true;
        }
    }
    return true;
}

static bool select_last(struct place *p, const struct expr *e, bool *set)
{
    int64_t n;
    bool *of = new_set(p);
    if (!check_args(p, e, "n", "of") || !number_arg(p, e, 0, "n", 0, &n) || !select_of(p, e, of))
        return false;
    for (size_t i = p->net->nblocks; i-- > 0 && n > 0;)
        if (of[i])
            set[i] = true, n--;
    return true;
}

static bool select_stage_end(struct place *p, const struct expr *e, bool *set)
{
    int64_t n;
    if (!check_args(p, e, "last", NULL) || !number_arg(p, e, 0, "last", LIMIT_STAGES, &n))
        return false;
    for (size_t i = p->net->nstages; i-- > 0 && n > 0; n--)
        set[p->net->stages[i].first + p->net->stages[i].depth - 1] = true;
    return true;
}

static bool select_mid(struct place *p, const struct expr *e, bool *set)
{
    const struct net_stage *s = check_args(p, e, "stage", NULL) ? stage_arg(p, e) : NULL;
    if (s)
        set[s->first + s->depth / 2] = true;
    return s != NULL;
}

static bool select_stage(struct place *p, const struct expr *e, bool *set)
{
    const struct net_stage *s = check_args(p, e, "stage", "rule") ? stage_arg(p, e) : NULL;
    const struct expr *rule = find_arg(e, 1, "rule");
    if (!s)
        return false;
    struct network one = {1, s->depth, {{s->name, 0, s->depth}}};
    bool *inner = arena_array(p->run->arena, s->depth, sizeof *inner);
    memset(inner, !rule, s->depth);
    if (rule) {
        const struct network *whole = p->net;
        p->net = &one;
        bool good = select_set(p, rule, inner);
        p->net = whole;
        if (!good)
            return false;
    }
    memcpy(set + s->first, inner, s->depth * sizeof *inner);
    return true;
}

static bool select_blocks(struct place *p, const struct expr *e, bool *set)
{
    for (size_t i = 0; i < e->n; i++) {
        const struct expr *a = e->args[i].value;
        if (a->kind == EXPR_LIST) {
            for (size_t k = 0; k < a->n; k++)
                if (!mark(p, a->args[k].value, 0, p->net->nblocks, set))
                    return false;
        } else if (a->kind == EXPR_INDEX) {
            if (!select_index(p, a, set))
                return false;
        } else if (!mark(p, a, 0, p->net->nblocks, set))
            return false;
    }
    return true;
}

static const struct {
    const char *name;
    bool (*select)(struct place *, const struct expr *, bool *);
} functions[] = {
    {"every", select_every}, {"last", select_last},   {"stage_end", select_stage_end},
    {"mid", select_mid},     {"stage", select_stage}, {"blocks", select_blocks},
};

static bool select_call(struct place *p, const struct expr *e, bool *set)
{
    struct suggest s = suggest_start(e->words->text);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (strcmp(functions[i].name, e->words->text) == 0)
            return functions[i].select(p, e, set);
        suggest_add(&s, functions[i].name);
    }
    report_set(p, e, "this call is no placement");
    if (s.best)
        diag_fix(p->run->diag, s.best);
    return false;
}

/* ---- names and operators ---- */

static bool select_named(struct place *p, const struct expr *e, struct decl *d, bool *set)
{
    if (d->state == STATE_BUSY) {
        diag_report(p->run->diag, DIAG_PLACEMENT_CYCLE, e->loc,
                    "the placement `%s` refers to itself", d->item->name);
        diag_note(p->run->diag, d->item->name_loc, "defined here");
        return false;
    }
    struct scope outer = p->scope;
    p->scope = (struct scope){.module = d->module, .frame = p->words};
    d->state = STATE_BUSY;
    bool good = select_set(p, d->item->value, set);
    d->state = STATE_FRESH;
    p->scope = outer;
    return good;
}

static bool select_name(struct place *p, const struct expr *e, bool *set)
{
    const char *name = e->words->text;
    p->off = strcmp(name, "none") == 0;
    if (p->off)
        return true;
    if (strcmp(name, "all") == 0) {
        memset(set, true, p->net->nblocks * sizeof *set);
        return true;
    }
    const struct net_stage *s = e->words->n == 1 ? find_stage(p->net, name) : NULL;
    if (s) {
        memset(set + s->first, true, s->depth * sizeof *set);
        return true;
    }
    struct decl *d = module_find(p->run, p->scope.module, e->words, "placement");
    return d && select_named(p, e, d, set);
}

static bool select_operator(struct place *p, const struct expr *e, bool *set)
{
    bool *right = new_set(p);
    if (!select_set(p, e->args[0].value, set) || !select_set(p, e->args[1].value, right))
        return false;
    for (size_t i = 0; i < p->net->nblocks; i++) {
        if (e->kind == EXPR_UNION)
            set[i] |= right[i];
        else if (e->kind == EXPR_INTERSECT)
            set[i] &= right[i];
        else
            set[i] &= !right[i];
    }
    return true;
}

static bool select_if(struct place *p, const struct expr *e, bool *set)
{
    struct spec_value held;
    if (!eval(p->run, &p->scope, e->args[0].value, "bool", false, "if", &held))
        return false;
    return select_set(p, e->args[held.i ? 1 : 2].value, set);
}

static bool select_set(struct place *p, const struct expr *e, bool *set)
{
    if (!run_step(p->run, 1 + (unsigned)p->net->nblocks / 8, e->loc))
        return false;
    if (p->depth == PLACE_DEPTH) {
        diag_report(p->run->diag, DIAG_TOO_DEEP, e->loc,
                    "placements refer to placements in more than %d steps", PLACE_DEPTH);
        return false;
    }
    p->depth++;
    bool good;
    switch (e->kind) {
    case EXPR_NAME:      good = select_name(p, e, set); break;
    case EXPR_CALL:      good = select_call(p, e, set); break;
    case EXPR_INDEX:     good = select_index(p, e, set); break;
    case EXPR_IF:        good = select_if(p, e, set); break;
    case EXPR_UNION:
    case EXPR_INTERSECT:
    case EXPR_SUB:       good = select_operator(p, e, set); break;
    default:             good = report_set(p, e, "this is no set of blocks");
    }
    p->off &= e->kind == EXPR_NAME || e->kind == EXPR_IF;
    p->depth--;
    return good;
}

bool place_eval(struct run *r, const struct network *net, const struct scope *s,
                const struct expr *e, bool *set, bool *off)
{
    struct frame words = {0};
    for (size_t i = 0; s->frame && i < s->frame->n; i++)
        if (!s->frame->at[i].word)
            frame_add(r, &words, s->frame->at[i].name, s->frame->at[i].value, false);
    frame_add(r, &words, "stages", value_int((int64_t)net->nstages), true);
    frame_add(r, &words, "blocks", value_int((int64_t)net->nblocks), true);
    struct place p = {.run = r, .net = net, .words = &words, .scope = *s};
    p.scope.frame = &words;
    bool good = select_set(&p, e, set);
    *off = p.off;
    return good;
}

const char *place_print(struct run *r, const struct network *net, const bool *set)
{
    struct arena_text text;
    FILE *out = arena_text_begin(&text);
    const char *comma = "";
    for (size_t s = 0; s < net->nstages; s++)
        for (size_t j = 0; j < net->stages[s].depth; j++) {
            if (!set[net->stages[s].first + j])
                continue;
            fprintf(out, "%s%s[%zu]", comma, net->stages[s].name, j + 1);
            comma = ", ";
        }
    return arena_text_end(r->arena, &text);
}
