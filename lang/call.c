/* Calls: arguments against a signature. Input: a call, the callee's parameters, the caller's scope.
 * Output: a frame with a value for each parameter, in the order of the signature: by position
 * first, then by name, then defaults. */
#include "lang/resolve.h"

#include <string.h>

#include "lang/base/arena.h"

static size_t param_index(const struct callee *c, const char *name)
{
    size_t i = 0;
    while (i < c->nparams && strcmp(c->params[i].name, name) != 0)
        i++;
    return i;
}

static const char *param_list(struct run *r, const struct callee *c)
{
    const char *list = "";
    for (size_t i = 0; i < c->nparams; i++)
        list = arena_printf(r->arena, "%s%s%s", list, i ? ", " : "", c->params[i].name);
    return list;
}

static void report_unknown(struct run *r, const struct callee *c, const char *name, struct loc loc)
{
    struct suggest s = suggest_start(name);
    for (size_t i = 0; i < c->nparams; i++)
        suggest_add(&s, c->params[i].name);
    diag_report(r->diag, DIAG_UNKNOWN_ARGUMENT, loc, "`%s` has no argument `%s`", c->name, name);
    if (s.best)
        diag_fix(r->diag, s.best);
    if (c->nparams)
        diag_note(r->diag, (struct loc){0}, "arguments of `%s`: %s", c->name, param_list(r, c));
    else
        diag_note(r->diag, (struct loc){0}, "`%s` takes no arguments", c->name);
}

/* What is given, by parameter; false: reported. */
struct given {
    const struct expr *expr;
    const struct scope *scope;
};

static bool collect(struct run *r, const struct callee *c, const struct expr *call,
                    const struct scope *caller, struct given *given)
{
    bool good = true;
    for (size_t i = 0; call && call->kind == EXPR_CALL && i < call->n; i++) {
        const struct arg *a = &call->args[i];
        size_t k = a->name ? param_index(c, a->name) : i;
        if (k >= c->nparams) {
            good = false;
            if (a->name)
                report_unknown(r, c, a->name, a->loc);
            else
                diag_report(r->diag, DIAG_TOO_MANY_ARGUMENTS, a->loc, "`%s` takes %zu argument%s",
                            c->name, c->nparams, c->nparams == 1 ? "" : "s");
            continue;
        }
        if (!a->name && i && call->args[i - 1].name) {
            diag_report(r->diag, DIAG_TOO_MANY_ARGUMENTS, a->loc,
                        "an argument without a name stands behind a named one");
            good = false;
        } else if (given[k].expr) {
            diag_report(r->diag, DIAG_DUPLICATE_ARGUMENT, a->loc,
                        "the argument `%s` is given twice", c->params[k].name);
            good = false;
        } else
            given[k] = (struct given){a->value, caller};
    }
    return good;
}

static bool bind_one(struct run *r, const struct callee *c, size_t k, const struct given *given,
                     struct loc loc, struct frame *frame)
{
    const struct param *p = &c->params[k];
    struct spec_value v = {0};
    if (given->expr) {
        if (!eval(r, given->scope, given->expr, p->type, p->optional, p->name, &v))
            return false;
    } else if (p->def) {
        struct scope s = {.module = c->module, .frame = frame};
        if (!eval(r, &s, p->def, p->type, p->optional, p->name, &v))
            return false;
    } else if (!p->optional) {
        diag_report(r->diag, DIAG_MISSING_ARGUMENT, loc, "`%s` needs its argument `%s`", c->name,
                    p->name);
        return false;
    }
    frame_add(r, frame, p->name, v, false);
    return eval_constraint(r, p, &v, frame, c->module, DIAG_OUT_OF_RANGE);
}

bool call_bind(struct run *r, const struct callee *c, const struct expr *call,
               const struct scope *caller, const struct patch *patches, size_t npatches,
               struct frame *frame)
{
    struct given *given = arena_array(r->arena, c->nparams + 1, sizeof *given);
    struct loc loc = call ? call->loc : (struct loc){0};
    bool good = collect(r, c, call, caller, given);
    for (size_t i = 0; i < npatches; i++) {
        size_t k = param_index(c, patches[i].name);
        if (k == c->nparams) {
            report_unknown(r, c, patches[i].name, patches[i].loc);
            good = false;
            continue;
        }
        expr_replace(r, given[k].expr, patches[i].value);
        given[k] = (struct given){patches[i].value, &patches[i].scope};
    }
    for (size_t k = 0; k < c->nparams; k++)
        good &= bind_one(r, c, k, &given[k], loc, frame);
    return good;
}

bool call_variant(struct run *r, const struct scope *s, const struct expr *e, const char *type,
                  const struct patch *patches, size_t npatches, struct spec_value *out)
{
    const struct variant_row *v = NULL;
    if ((e->kind == EXPR_NAME || e->kind == EXPR_CALL) && e->words->n == 1)
        v = keys_variant(r->keys, type, e->words->text);
    if (!v) {
        const char *choices = keys_list_variants(r->arena, r->keys, type);
        const char *word = e->kind == EXPR_NAME || e->kind == EXPR_CALL ? e->words->text : "";
        struct suggest near = suggest_start(word);
        for (size_t i = 0; i < r->keys->nvariants; i++)
            if (strcmp(r->keys->variants[i].type, type) == 0)
                suggest_add(&near, r->keys->variants[i].name);
        diag_report(r->diag, DIAG_UNKNOWN_WORD, *word ? e->words->loc : e->loc,
                    "expected one of: %s", choices);
        if (near.best && *word)
            diag_fix(r->diag, near.best);
        return false;
    }
    struct callee c = {v->name, v->params, v->nparams, NULL};
    struct frame frame = {0};
    if (!call_bind(r, &c, e, s, patches, npatches, &frame))
        return false;
    struct spec_value *items = arena_array(r->arena, v->nparams + 1, sizeof *items);
    for (size_t i = 0; i < v->nparams; i++)
        items[i] = frame.at[i].value;
    *out = (struct spec_value){
        .type = SPEC_CALL, .text = v->name, .items = items, .n = v->nparams, .loc = e->loc};
    return true;
}
