/* Checks. Input: `check` items and their scopes. Output: conditions over the facts alone: whatever
 * does not depend on params, macs or memory is evaluated at once, and a check without facts is
 * decided here. The rest waits for lang_run_checks(), once graph and plan are known. */
#include <stdlib.h>
#include <string.h>

#include "lang/base/arena.h"
#include "lang/resolve.h"
#include "lang/unit.h"

struct spec_checks {
    struct check {
        const struct expr *expr, *written;
        const char *text;
        struct loc loc;
    } *at;
    size_t n, cap;
};

struct spec_checks *checks_new(struct run *r)
{
    return arena_alloc(r->arena, sizeof(struct spec_checks));
}

static bool has_fact(const struct expr *e)
{
    if (e->kind == EXPR_NAME)
        return fact_find(NULL, e->words->text, NULL);
    for (size_t i = 0; i < e->n; i++)
        if (has_fact(e->args[i].value))
            return true;
    return false;
}

/* ---- folding ---- */

static struct expr *leaf(struct run *r, enum expr_kind kind, struct loc loc)
{
    struct expr *e = arena_alloc(r->arena, sizeof *e);
    e->kind = kind;
    e->depth = 1;
    e->loc = loc;
    return e;
}

static struct expr *name_expr(struct run *r, const char *name, struct loc loc)
{
    struct expr *e = leaf(r, EXPR_NAME, loc);
    e->words = arena_alloc(r->arena, sizeof *e->words);
    e->words->at = arena_alloc(r->arena, sizeof *e->words->at);
    e->words->at[0] = e->words->text = name;
    e->words->n = 1;
    e->words->loc = loc;
    return e;
}

static struct expr *literal(struct run *r, const struct spec_value *v, struct loc loc)
{
    struct expr *e;
    switch (v->type) {
    case SPEC_INT:
    case SPEC_FLOAT:
        e = leaf(r, EXPR_NUMBER, loc);
        e->value = *v;
        e->text = unit_literal(r->arena, v);
        return e;
    case SPEC_TEXT:
        e = leaf(r, EXPR_TEXT, loc);
        e->value = *v;
        return e;
    case SPEC_LIST:
        e = leaf(r, v->text ? EXPR_RANGE : EXPR_LIST, loc);
        e->n = v->n;
        e->args = arena_array(r->arena, v->n, sizeof *e->args);
        for (size_t i = 0; i < v->n; i++)
            e->args[i] = (struct arg){NULL, loc, literal(r, &v->items[i], loc)};
        return e;
    case SPEC_BOOL: return name_expr(r, v->i ? "true" : "false", loc);
    case SPEC_WORD: return name_expr(r, v->text, loc);
    default:        return name_expr(r, "none", loc);
    }
}

static bool is_truth(const struct expr *e, bool truth)
{
    return e->kind == EXPR_NAME && strcmp(e->words->text, truth ? "true" : "false") == 0;
}

/* NULL: reported. `true or X` is true, `if true then A else B` is A: what is not reached is not
 * asked for. */
static const struct expr *fold(struct run *r, const struct scope *s, const struct expr *e)
{
    if (!has_fact(e)) {
        struct spec_value v;
        return eval(r, s, e, NULL, true, "check", &v) ? literal(r, &v, e->loc) : NULL;
    }
    if (e->kind == EXPR_NAME)
        return e;
    struct expr *copy = leaf(r, e->kind, e->loc);
    copy->words = e->words;
    copy->n = e->n;
    copy->args = arena_array(r->arena, e->n, sizeof *copy->args);
    for (size_t i = 0; i < e->n; i++) {
        const struct expr *arg = fold(r, s, e->args[i].value);
        if (!arg)
            return NULL;
        copy->args[i] =
            (struct arg){e->args[i].name, e->args[i].loc, (struct expr *)(uintptr_t)arg};
        if (i == 0 && e->kind == EXPR_OR && is_truth(arg, true))
            return arg;
        if (i == 0 && e->kind == EXPR_AND && is_truth(arg, false))
            return arg;
        if (i == 0 && e->kind == EXPR_IF && is_truth(arg, true))
            return fold(r, s, e->args[1].value);
        if (i == 0 && e->kind == EXPR_IF && is_truth(arg, false))
            return fold(r, s, e->args[2].value);
    }
    if (e->kind == EXPR_OR && is_truth(copy->args[0].value, false))
        return copy->args[1].value;
    if (e->kind == EXPR_AND && is_truth(copy->args[0].value, true))
        return copy->args[1].value;
    return copy;
}

/* ---- verdicts ---- */

/* Below a failed check: what its names stand for. */
static void note_values(struct run *r, const struct scope *s, const struct expr *e, unsigned *left)
{
    if (*left == 0)
        return;
    bool truth = e->kind == EXPR_NAME && (is_truth(e, true) || is_truth(e, false));
    if ((e->kind == EXPR_NAME && !truth) || e->kind == EXPR_PARAM) {
        struct spec_value v;
        double fact;
        const char *name = expr_print(r->arena, e);
        bool is_fact = e->kind == EXPR_NAME && fact_find(r->facts, e->words->text, &fact);
        const char *value = NULL;
        if (is_fact && r->facts)
            value = unit_count(r->arena, fact);
        else if (!is_fact && eval(r, s, e, NULL, true, "check", &v))
            value = value_print(r, &v);
        if (value)
            diag_note(r->diag, (struct loc){0}, "%s = %s", name, value);
        --*left;
    }
    for (size_t i = 0; i < e->n; i++)
        note_values(r, s, e->args[i].value, left);
}

static bool decide(struct run *r, const struct scope *s, const struct check *c)
{
    struct spec_value v;
    if (!eval(r, s, c->expr, NULL, true, "check", &v))
        return false;
    if (v.type != SPEC_BOOL) {
        diag_report(r->diag, DIAG_CHECK_TYPE, c->loc, "a check is true or false, not %.100s",
                    value_print(r, &v));
        return false;
    }
    if (v.i)
        return true;
    if (c->text)
        diag_report(r->diag, DIAG_CHECK_FAILED, c->loc, "check failed: %s", c->text);
    else
        diag_report(r->diag, DIAG_CHECK_FAILED, c->loc, "check failed: %.300s",
                    expr_print(r->arena, c->written));
    unsigned left = 8;
    note_values(r, s, c->written, &left);
    if (c->expr != c->written) {
        struct scope none = {.facts = true};
        note_values(r, &none, c->expr, &left);
    }
    return false;
}

void checks_add(struct run *r, struct spec_checks *c, const struct node *n)
{
    for (size_t i = 0; i < n->nchecks; i++) {
        const struct item *item = n->checks[i].item;
        struct scope s = n->checks[i].scope;
        s.facts = true;
        const struct expr *folded = fold(r, &s, item->value);
        if (!folded)
            continue;
        struct check check = {folded, item->value, item->text, item->value->loc};
        if (!has_fact(folded))
            decide(r, &s, &(struct check){item->value, item->value, item->text, item->value->loc});
        else
            *ARENA_PUSH(r->arena, c->at, c->n, c->cap) = check;
    }
}

bool lang_run_checks(const struct spec *spec, const struct lang_facts *facts, struct diag *d)
{
    struct arena *a = arena_new();
    struct run r = {.arena = a, .diag = d, .facts = facts};
    r.keys = keys_new(a);
    struct scope s = {.facts = true};
    bool good = true;
    for (size_t i = 0; i < spec->checks->n; i++) {
        struct check c = spec->checks->at[i];
        c.written = c.expr;
        good &= decide(&r, &s, &c);
    }
    diag_flush(d);
    arena_free(a);
    return good;
}

void checks_print(const struct spec_checks *c, FILE *out)
{
    struct arena *a = arena_new();
    for (size_t i = 0; i < c->n; i++) {
        fprintf(out, "  check %s", expr_print(a, c->at[i].expr));
        if (c->at[i].text)
            fputs(" else ", out), text_write_quoted(out, c->at[i].text);
        fputc('\n', out);
    }
    arena_free(a);
}
