/* Expressions to values. Input: an expression, the scope it was written in, the type that is
 * wanted. Output: a value.
 *
 * A bare name is a word of the wanted type, else a word of the block, else a key of the enclosing
 * bodies, innermost first, evaluated late. `$x` is a parameter of the block, else of the file.
 * Every step is counted. */
#include <math.h>
#include <string.h>

#include "lang/base/arena.h"
#include "lang/resolve.h"
#include "lang/unit.h"

#define EVAL_DEPTH 600 /* of expressions through keys and parameters */

bool run_step(struct run *r, unsigned cost, struct loc loc)
{
    if (r->stop)
        return false;
    r->steps += cost;
    if (r->steps <= LIMIT_STEPS && arena_used(r->arena) <= LIMIT_MEMORY)
        return true;
    r->stop = true;
    diag_report(r->diag, DIAG_TOO_LARGE, loc,
                "the file asks for more work than the compiler takes");
    return false;
}

/* ---- names ---- */

const struct spec_value *frame_find(const struct frame *f, const char *name, bool word)
{
    for (size_t i = f ? f->n : 0; i-- > 0;)
        if (f->at[i].word == word && strcmp(f->at[i].name, name) == 0)
            return &f->at[i].value;
    return NULL;
}

void frame_add(struct run *r, struct frame *f, const char *name, struct spec_value value, bool word)
{
    *ARENA_PUSH(r->arena, f->at, f->n, f->cap) = (struct entry){name, value, word};
}

struct frame *frame_join(struct run *r, const struct frame *params, const struct frame *words)
{
    struct frame *f = arena_alloc(r->arena, sizeof *f);
    for (size_t i = 0; params && i < params->n; i++)
        if (!params->at[i].word)
            frame_add(r, f, params->at[i].name, params->at[i].value, false);
    for (size_t i = 0; words && i < words->n; i++)
        if (words->at[i].word)
            frame_add(r, f, words->at[i].name, words->at[i].value, true);
    return f;
}

static const struct {
    const char *name;
    size_t offset;
} facts[] = {
    {"params.total", offsetof(struct lang_facts, params_total)},
    {"params.active", offsetof(struct lang_facts, params_active)},
    {"macs", offsetof(struct lang_facts, macs)},
    {"memory.train", offsetof(struct lang_facts, memory_train)},
    {"memory.eval", offsetof(struct lang_facts, memory_eval)},
};

bool fact_find(const struct lang_facts *f, const char *name, double *value)
{
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        if (strcmp(facts[i].name, name) != 0)
            continue;
        if (f && value)
            memcpy(value, (const char *)f + facts[i].offset, sizeof *value);
        return true;
    }
    return false;
}

void fact_suggest(struct suggest *s)
{
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        suggest_add(s, facts[i].name);
}

/* The value of a key of the enclosing bodies. 1: found, 0: no such key, -1: reported. */
static int find_key(struct run *r, const struct scope *s, const char *name, struct spec_value *out)
{
    for (struct node *n = s->node; n; n = n->parent) {
        const struct key_row *row = keys_find(r->keys, n->body, name);
        if (!row || (n == s->node && text_equal(s->skip, name)))
            continue;
        if (strcmp(row->param->type, "layer") == 0 || strcmp(row->param->type, "placement") == 0)
            continue;
        if (!node_bind(n, name) && !row->param->def)
            continue;
        if (!node_value(r, n, name, out))
            return -1;
        if (out->type != SPEC_NONE)
            return 1;
    }
    return 0;
}

static void report_name(struct run *r, const struct scope *s, const struct words *w)
{
    struct decl *d = module_look(s->module, w);
    if (d) {
        diag_report(r->diag, DIAG_WRONG_KIND, w->loc, "`%s` is a %s, here stands a value", w->text,
                    module_kind(d));
        return;
    }
    struct suggest near = suggest_start(w->text);
    for (size_t i = 0; s->frame && i < s->frame->n; i++)
        suggest_add(&near, s->frame->at[i].name);
    for (struct node *n = s->node; n; n = n->parent)
        keys_suggest(r->keys, n->body, &near);
    if (s->facts)
        fact_suggest(&near);
    diag_report(r->diag, DIAG_UNKNOWN_NAME, w->loc, "`%s` has no value here", w->text);
    if (near.best)
        diag_fix(r->diag, near.best);
    const struct spec_value *p = frame_find(s->frame, w->text, false);
    if (p || (s->module && map_get(&s->module->params, w->text)))
        diag_help(r->diag, "the parameter is written `$%s`", w->text);
}

static bool eval_name(struct run *r, const struct scope *s, const struct words *w,
                      struct spec_value *out)
{
    const char *name = w->text;
    double number;
    if (strcmp(name, "true") == 0 || strcmp(name, "false") == 0) {
        *out = value_bool(*name == 't');
        return true;
    }
    if (strcmp(name, "none") == 0) {
        *out = (struct spec_value){0};
        return true;
    }
    if (s->facts && r->facts && fact_find(r->facts, name, &number)) {
        *out = value_float(number);
        return true;
    }
    const struct spec_value *word = w->n == 1 ? frame_find(s->frame, name, true) : NULL;
    if (word)
        *out = *word;
    int found = word ? 1 : w->n == 1 ? find_key(r, s, name, out) : 0;
    if (found == 0)
        report_name(r, s, w);
    return found == 1;
}

void report_constraint(struct run *r, const char *name, const struct spec_value *v,
                       const struct expr *where, enum diag_code code)
{
    diag_report(r->diag, code, v->loc, "`%s` is %.100s, but it must hold that %.200s", name,
                value_print(r, v), expr_print(r->arena, where));
}

bool eval_constraint(struct run *r, const struct param *p, const struct spec_value *v,
                     const struct frame *frame, struct module *module, enum diag_code code)
{
    if (!p->where || (v->type == SPEC_NONE && p->optional))
        return true;
    if (v->type == SPEC_CALL) /* stands for its argument */
        v = &v->items[0];
    struct frame own = {0};
    if (!frame)
        frame_add(r, &own, p->name, *v, false);
    struct scope s = {.module = module, .frame = frame ? frame : &own};
    struct spec_value held;
    if (!eval(r, &s, p->where, "bool", false, "where", &held))
        return false;
    if (held.i)
        return true;
    report_constraint(r, p->name, v, p->where, code);
    if (p->loc.src && p->loc.src->path)
        diag_note(r->diag, p->loc, "`%s` is declared here", p->name);
    return false;
}

bool eval_param(struct run *r, struct module *m, const char *name, struct loc loc,
                struct spec_value *out)
{
    struct file_param *p = map_get(&m->params, name);
    if (p->state == STATE_BUSY)
        diag_report(r->diag, DIAG_VALUE_CYCLE, loc, "the parameter `%s` depends on itself", name);
    if (p->state == STATE_FRESH) {
        p->state = STATE_BUSY;
        const struct expr *e = p->given ? p->given : p->param->def;
        struct scope s = {.module = m};
        bool good = true;
        if (e)
            good = eval(r, &s, e, p->param->type, p->param->optional, name, &p->value);
        else if (!p->param->optional) {
            diag_report(r->diag, DIAG_MISSING_KEY, p->param->loc, "the parameter `%s` has no value",
                        name);
            diag_help(r->diag, "give one with `-D %s=VALUE`", name);
            good = false;
        }
        p->state = good ? STATE_DONE : STATE_FAILED;
        if (good && !eval_constraint(r, p->param, &p->value, NULL, m, DIAG_CONSTRAINT))
            p->state = STATE_FAILED;
    }
    *out = p->value;
    return p->state == STATE_DONE;
}

static bool eval_dollar(struct run *r, const struct scope *s, const struct expr *e,
                        struct spec_value *out)
{
    const struct spec_value *v = frame_find(s->frame, e->text, false);
    if (v) {
        *out = *v;
        return true;
    }
    if (s->module && map_get(&s->module->params, e->text))
        return eval_param(r, s->module, e->text, e->loc, out);
    struct suggest near = suggest_start(e->text);
    for (size_t i = 0; s->frame && i < s->frame->n; i++)
        if (!s->frame->at[i].word)
            suggest_add(&near, s->frame->at[i].name);
    for (size_t i = 0; s->module && i < s->module->params.cap; i++)
        if (s->module->params.slots[i].key)
            suggest_add(&near, s->module->params.slots[i].key);
    diag_report(r->diag, DIAG_UNKNOWN_PARAM, e->loc, "there is no parameter `$%s` here", e->text);
    if (near.best)
        diag_fix(r->diag, arena_printf(r->arena, "$%s", near.best));
    else if (frame_find(s->frame, e->text, true))
        diag_fix(r->diag, e->text);
    return false;
}

/* ---- operators ---- */

static bool is_number(const struct spec_value *v)
{
    return v->type == SPEC_INT || v->type == SPEC_FLOAT;
}

static bool report_operand(struct run *r, const struct expr *e, const struct spec_value *v,
                           const char *wanted)
{
    diag_report(r->diag, DIAG_WRONG_TYPE, e->loc, "expected %s, found %.100s", wanted,
                value_print(r, v));
    return false;
}

static bool eval_operand(struct run *r, const struct scope *s, const struct expr *e, size_t i,
                         struct spec_value *out)
{
    return eval(r, s, e->args[i].value, NULL, true, "an operand", out);
}

static bool eval_truth(struct run *r, const struct scope *s, const struct expr *e, size_t i,
                       bool *out)
{
    struct spec_value v;
    if (!eval_operand(r, s, e, i, &v))
        return false;
    if (v.type != SPEC_BOOL)
        return report_operand(r, e->args[i].value, &v, "true or false");
    *out = v.i != 0;
    return true;
}

static bool same_unit(struct run *r, const struct expr *e, const struct spec_value *a,
                      const struct spec_value *b)
{
    if (a->unit == b->unit)
        return true;
    diag_report(r->diag, DIAG_WRONG_UNIT, e->loc, "%s and %s do not go together in `%s`",
                unit_name(a->unit), unit_name(b->unit), expr_operator(e->kind));
    return false;
}

static bool eval_numbers(struct run *r, const struct scope *s, const struct expr *e,
                         struct spec_value v[2])
{
    for (size_t i = 0; i < 2; i++) {
        if (!eval_operand(r, s, e, i, &v[i]))
            return false;
        if (!is_number(&v[i]))
            return report_operand(r, e->args[i].value, &v[i], "a number");
    }
    return true;
}

static bool compute_int(enum expr_kind op, int64_t a, int64_t b, int64_t *out)
{
    switch (op) {
    case EXPR_ADD: return !__builtin_add_overflow(a, b, out);
    case EXPR_SUB: return !__builtin_sub_overflow(a, b, out);
    case EXPR_MUL: return !__builtin_mul_overflow(a, b, out);
    default:
        if (b == -1)
            return !__builtin_sub_overflow((int64_t)0, a, out);
        *out = a / b;
        return true;
    }
}

static double compute_float(enum expr_kind op, double a, double b)
{
    return op == EXPR_ADD ? a + b : op == EXPR_SUB ? a - b : op == EXPR_MUL ? a * b : a / b;
}

/* Whole numbers stay whole where the result is: 384 / 64 is 6, 1 / 8 is 0.125. */
static bool eval_arithmetic(struct run *r, const struct scope *s, const struct expr *e,
                            struct spec_value *out)
{
    struct spec_value v[2];
    if (!eval_numbers(r, s, e, v))
        return false;
    bool sum = e->kind == EXPR_ADD || e->kind == EXPR_SUB, ratio = e->kind == EXPR_DIV;
    enum spec_unit unit = v[0].unit;
    if (sum || (ratio && v[1].unit)) {
        if (!same_unit(r, e, &v[0], &v[1]))
            return false;
        if (ratio)
            unit = UNIT_NONE;
    } else if (e->kind == EXPR_MUL && v[1].unit) {
        if (v[0].unit && !same_unit(r, e, &v[1], &(struct spec_value){0}))
            return false;
        unit = v[1].unit;
    }
    if (ratio && v[1].f == 0) {
        diag_report(r->diag, DIAG_ARITHMETIC, e->loc, "a division by zero");
        return false;
    }
    bool whole = v[0].type == SPEC_INT && v[1].type == SPEC_INT &&
                 !(ratio && v[1].i != -1 && v[0].i % v[1].i != 0);
    int64_t i = 0;
    if (whole && compute_int(e->kind, v[0].i, v[1].i, &i))
        *out = value_int(i);
    else if (!whole)
        *out = value_float(compute_float(e->kind, v[0].f, v[1].f));
    else
        *out = value_float(INFINITY);
    out->unit = unit;
    if (isfinite(out->f))
        return true;
    diag_report(r->diag, DIAG_ARITHMETIC, e->loc, "the result of `%s` is too large",
                expr_operator(e->kind));
    return false;
}

static bool eval_order(struct run *r, const struct scope *s, const struct expr *e,
                       struct spec_value *out)
{
    struct spec_value v[2];
    if (!eval_numbers(r, s, e, v) || !same_unit(r, e, &v[0], &v[1]))
        return false;
    double a = v[0].f, b = v[1].f;
    bool held = e->kind == EXPR_LT   ? a < b
                : e->kind == EXPR_LE ? a <= b
                : e->kind == EXPR_GT ? a > b
                                     : a >= b;
    *out = value_bool(held);
    return true;
}

static bool eval_equality(struct run *r, const struct scope *s, const struct expr *e,
                          struct spec_value *out)
{
    struct spec_value v[2];
    for (size_t i = 0; i < 2; i++)
        if (!eval_operand(r, s, e, i, &v[i]))
            return false;
    if (is_number(&v[0]) && is_number(&v[1]) && !same_unit(r, e, &v[0], &v[1]))
        return false;
    bool numbers = is_number(&v[0]) && is_number(&v[1]);
    bool equal = numbers ? v[0].f == v[1].f : value_equal(&v[0], &v[1]);
    *out = value_bool(equal == (e->kind == EXPR_EQ));
    return true;
}

/* `x in [a, b]`, `x in a .. b`: the list is not built, so that it costs no memory in a block that
 * is repeated. */
static bool eval_in(struct run *r, const struct scope *s, const struct expr *e,
                    struct spec_value *out)
{
    struct spec_value x, v;
    const struct expr *set = e->args[1].value;
    if (!eval_operand(r, s, e, 0, &x))
        return false;
    *out = value_bool(false);
    if (set->kind == EXPR_LIST) {
        for (size_t i = 0; i < set->n; i++) {
            if (!eval_operand(r, s, set, i, &v))
                return false;
            bool numbers = is_number(&x) && is_number(&v);
            if (numbers && !same_unit(r, e, &x, &v))
                return false;
            if (numbers ? x.f == v.f : value_equal(&x, &v))
                *out = value_bool(true);
        }
        return true;
    }
    if (!eval(r, s, set, NULL, true, "a set", &v))
        return false;
    if (v.type != SPEC_LIST)
        return report_operand(r, set, &v, "a list or a range");
    if (v.text) {
        if (!is_number(&x))
            return report_operand(r, e->args[0].value, &x, "a number");
        if (!same_unit(r, e, &x, &v.items[0]))
            return false;
        *out = value_bool(x.f >= v.items[0].f && x.f <= v.items[1].f);
        return true;
    }
    for (size_t i = 0; i < v.n; i++)
        if (value_equal(&x, &v.items[i]))
            *out = value_bool(true);
    return true;
}

static bool eval_range(struct run *r, const struct scope *s, const struct expr *e,
                       struct spec_value *out)
{
    struct spec_value *v = arena_array(r->arena, 2, sizeof *v);
    if (!eval_numbers(r, s, e, v) || !same_unit(r, e, &v[0], &v[1]))
        return false;
    *out = (struct spec_value){.type = SPEC_LIST, .text = "..", .items = v, .n = 2};
    return true;
}

static bool eval_list(struct run *r, const struct scope *s, const struct expr *e,
                      struct spec_value *out)
{
    struct spec_value *items = arena_array(r->arena, e->n, sizeof *items);
    for (size_t i = 0; i < e->n; i++)
        if (!eval_operand(r, s, e, i, &items[i]))
            return false;
    *out = (struct spec_value){.type = SPEC_LIST, .items = items, .n = e->n};
    return true;
}

static bool eval_logic(struct run *r, const struct scope *s, const struct expr *e,
                       struct spec_value *out)
{
    bool left, right;
    if (!eval_truth(r, s, e, 0, &left))
        return false;
    bool decided = left == (e->kind == EXPR_OR);
    if (!decided && !eval_truth(r, s, e, 1, &right))
        return false;
    *out = value_bool(decided ? left : right);
    return true;
}

static bool eval_negate(struct run *r, const struct scope *s, const struct expr *e,
                        struct spec_value *out)
{
    if (!eval_operand(r, s, e, 0, out))
        return false;
    if (!is_number(out))
        return report_operand(r, e->args[0].value, out, "a number");
    enum spec_unit unit = out->unit;
    *out = out->type == SPEC_INT && out->i != INT64_MIN ? value_int(-out->i) : value_float(-out->f);
    out->unit = unit;
    return true;
}

static bool eval_if(struct run *r, const struct scope *s, const struct expr *e,
                    struct spec_value *out)
{
    bool held;
    return eval_truth(r, s, e, 0, &held) && eval_operand(r, s, e, held ? 1 : 2, out);
}

static bool eval_not(struct run *r, const struct scope *s, const struct expr *e,
                     struct spec_value *out)
{
    bool held;
    if (!eval_truth(r, s, e, 0, &held))
        return false;
    *out = value_bool(!held);
    return true;
}

static bool eval_any(struct run *r, const struct scope *s, const struct expr *e,
                     struct spec_value *out)
{
    switch (e->kind) {
    case EXPR_NUMBER:
    case EXPR_TEXT:   *out = e->value; return true;
    case EXPR_NAME:   return eval_name(r, s, e->words, out);
    case EXPR_PARAM:  return eval_dollar(r, s, e, out);
    case EXPR_LIST:   return eval_list(r, s, e, out);
    case EXPR_NOT:    return eval_not(r, s, e, out);
    case EXPR_NEGATE: return eval_negate(r, s, e, out);
    case EXPR_OR:
    case EXPR_AND:    return eval_logic(r, s, e, out);
    case EXPR_EQ:
    case EXPR_NE:     return eval_equality(r, s, e, out);
    case EXPR_LT:
    case EXPR_LE:
    case EXPR_GT:
    case EXPR_GE:     return eval_order(r, s, e, out);
    case EXPR_IN:     return eval_in(r, s, e, out);
    case EXPR_RANGE:  return eval_range(r, s, e, out);
    case EXPR_ADD:
    case EXPR_SUB:
    case EXPR_MUL:
    case EXPR_DIV:    return eval_arithmetic(r, s, e, out);
    case EXPR_IF:     return eval_if(r, s, e, out);
    case EXPR_CALL:
        diag_report(r->diag, DIAG_WRONG_TYPE, e->loc, "the call of `%s` is no value here",
                    e->words->text);
        return false;
    default:
        diag_report(r->diag, DIAG_WRONG_TYPE, e->loc, "a set of blocks is no value here");
        return false;
    }
}

/* ---- the wanted type first ---- */

static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = words; p && (p = strstr(p, word)); p += n)
        if ((p == words || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0'))
            return true;
    return false;
}

static bool eval_calls(struct run *r, const struct scope *s, const struct expr *e, const char *type,
                       struct spec_value *out)
{
    if (e->kind != EXPR_LIST) {
        diag_report(r->diag, DIAG_WRONG_TYPE, e->loc,
                    "expected a list in brackets: [group(match: \"...\")]");
        return false;
    }
    struct spec_value *items = arena_array(r->arena, e->n, sizeof *items);
    for (size_t i = 0; i < e->n; i++)
        if (!call_variant(r, s, e->args[i].value, type, NULL, 0, &items[i]))
            return false;
    *out = (struct spec_value){.type = SPEC_LIST, .items = items, .n = e->n};
    return true;
}

static bool eval_as(struct run *r, const struct scope *s, const struct expr *e, const char *type,
                    bool optional, const char *what, struct spec_value *out)
{
    bool word = e->kind == EXPR_NAME && e->words->n == 1;
    bool text = strcmp(type, "text") == 0 || strcmp(type, "path") == 0;
    if (text && e->raw && !(e->kind == EXPR_TEXT && e->raw[0] == '"')) {
        *out = value_text(e->raw);
        return true;
    }
    if (word && keys_words(type) && has_word(keys_words(type), e->words->text)) {
        *out = (struct spec_value){.type = SPEC_WORD, .text = e->words->text};
        return true;
    }
    if (strcmp(type, "label") == 0 && (e->kind == EXPR_NAME || e->kind == EXPR_TEXT)) {
        *out = (struct spec_value){.type = SPEC_WORD,
                                   .text = word || e->kind == EXPR_NAME ? e->words->text
                                                                        : e->value.text};
        return true;
    }
    bool none = word && optional && strcmp(e->words->text, "none") == 0;
    if (strcmp(type, "groups") == 0)
        return eval_calls(r, s, e, type, out);
    if (keys_variant(r->keys, type, NULL) && !none)
        return call_variant(r, s, e, type, NULL, 0, out);
    if (word && keys_words(type) && !none && strcmp(type, "mean") != 0 &&
        strcmp(type, "std") != 0) {
        /* A wrong word is a better guess than an unknown key. */
        struct spec_value key;
        if (find_key(r, s, e->words->text, &key) == 0 &&
            !frame_find(s->frame, e->words->text, true)) {
            key = (struct spec_value){.type = SPEC_WORD, .text = e->words->text};
            return value_convert(r, &key, type, optional, what, e->loc);
        }
    }
    if (!eval_any(r, s, e, out))
        return false;
    out->loc = e->loc;
    if (out->type == SPEC_WORD && keys_words(type) && has_word(keys_words(type), out->text))
        return true;
    return value_convert(r, out, type, optional, what, e->loc);
}

bool eval(struct run *r, const struct scope *s, const struct expr *e, const char *type,
          bool optional, const char *what, struct spec_value *out)
{
    *out = (struct spec_value){0};
    if (!run_step(r, 1, e->loc))
        return false;
    if (r->depth == EVAL_DEPTH) {
        diag_report(r->diag, DIAG_TOO_DEEP, e->loc, "values depend on values in more than %d steps",
                    EVAL_DEPTH);
        return false;
    }
    r->depth++;
    bool good = type ? eval_as(r, s, e, type, optional, what, out) : eval_any(r, s, e, out);
    r->depth--;
    out->loc = e->loc.src && e->loc.src->path ? e->loc : (struct loc){0};
    return good;
}
