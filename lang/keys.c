/* The tables of keys.def. Input: names. Output: rows; and the manual's table of keys. */
#include "lang/keys.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lang/base/arena.h"
#include "lang/base/diag.h"
#include "lang/base/text.h"
#include "lang/front.h"
#include "lang/lang.h"

#define BODY(parent, kind, body, form)
#define KEY(body, signature, when, flag, help)
#define VALUE(body, signature, when, flag, help)
#define VARIANT(type, name, signature)
#define WORDS(type, words)

#undef BODY
#define BODY(parent, kind, body, form) {parent, kind, body, BODY_##form},
static const struct body_row bodies[] = {
#include "lang/keys.def"
};
#undef BODY
#define BODY(parent, kind, body, form)

#define KEY_ROW(body, signature, when, flag, help) \
    {body, signature, KEY_##when, flag, help, NULL, {0, 0, false, false, false}},

#undef KEY
#define KEY KEY_ROW
static const struct key_row key_rows[] = {
#include "lang/keys.def"
};
#undef KEY
#define KEY(body, signature, when, flag, help)

#undef VALUE
#define VALUE KEY_ROW
static const struct key_row value_rows[] = {
#include "lang/keys.def"
};
#undef VALUE
#define VALUE(body, signature, when, flag, help)

#undef VARIANT
#define VARIANT(type, name, signature) {type, name, signature, NULL, 0},
static const struct variant_row variant_rows[] = {
#include "lang/keys.def"
};
#undef VARIANT
#define VARIANT(type, name, signature)

#undef WORDS
#define WORDS(type, words) {type, words},
static const struct {
    const char *type, *words;
} word_rows[] = {
#include "lang/keys.def"
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

static void stop_malformed(const char *signature)
{
    fprintf(stderr, "vmoec: a signature of the compiler is malformed: %s\n", signature);
    exit(3);
}

void keys_signature(struct arena *a, const char *text, struct param **params, size_t *n)
{
    /* No path: places inside a signature are never shown. */
    struct source *src = source_from_text(a, NULL, text, strlen(text));
    if (!front_parse_params(a, src, NULL, params, n))
        stop_malformed(text);
}

/* A comparison of the value with a number, `$x in A .. B`, or such joined by `and`; false: it is
 * something else. */
static bool narrow(const struct expr *e, struct spec_range *range)
{
    if (e->n != 2)
        return false;
    const struct expr *left = e->args[0].value, *right = e->args[1].value;
    double limit = right->value.f;
    switch (e->kind) {
    case EXPR_AND: return narrow(left, range) && narrow(right, range);
    case EXPR_IN:
        if (right->kind != EXPR_RANGE)
            return false;
        range->min = right->args[0].value->value.f;
        range->max = right->args[1].value->value.f;
        return true;
    case EXPR_GT: range->above = true; /* fall through */
    case EXPR_GE: range->min = limit; return right->kind == EXPR_NUMBER;
    case EXPR_LT: range->below = true; /* fall through */
    case EXPR_LE: range->max = limit; return right->kind == EXPR_NUMBER;
    default:      return false;
    }
}

static bool is_fractional(const char *type)
{
    return strcmp(type, "float") == 0 || strcmp(type, "time") == 0 || strcmp(type, "clip") == 0;
}

static void read_row(struct arena *a, const char *signature, struct param **param,
                     struct spec_range *range)
{
    size_t n;
    keys_signature(a, signature, param, &n);
    *range = (struct spec_range){
        .min = -INFINITY, .max = INFINITY, .whole = !is_fractional((*param)->type)};
    if ((*param)->where && !narrow((*param)->where, range))
        stop_malformed(signature);
}

bool keys_in_range(const struct spec_range *range, double value)
{
    return (range->above ? value > range->min : value >= range->min) &&
           (range->below ? value < range->max : value <= range->max);
}

struct keys *keys_new(struct arena *a)
{
    struct keys *k = arena_alloc(a, sizeof *k);
    k->keys = arena_alloc(a, sizeof key_rows);
    memcpy(k->keys, key_rows, sizeof key_rows);
    k->nkeys = COUNT(key_rows);
    k->values = arena_alloc(a, sizeof value_rows);
    memcpy(k->values, value_rows, sizeof value_rows);
    k->nvalues = COUNT(value_rows);
    k->variants = arena_alloc(a, sizeof variant_rows);
    memcpy(k->variants, variant_rows, sizeof variant_rows);
    k->nvariants = COUNT(variant_rows);
    for (size_t i = 0; i < k->nkeys; i++)
        read_row(a, k->keys[i].signature, &k->keys[i].param, &k->keys[i].range);
    for (size_t i = 0; i < k->nvalues; i++)
        read_row(a, k->values[i].signature, &k->values[i].param, &k->values[i].range);
    for (size_t i = 0; i < k->nvariants; i++)
        keys_signature(a, k->variants[i].signature, &k->variants[i].params,
                       &k->variants[i].nparams);
    return k;
}

const struct body_row *keys_body(const char *parent, const char *kind)
{
    for (size_t i = 0; i < COUNT(bodies); i++)
        if (strcmp(bodies[i].parent, parent) == 0 && strcmp(bodies[i].kind, kind) == 0)
            return &bodies[i];
    return NULL;
}

struct key_row *keys_find(const struct keys *k, const char *body, const char *name)
{
    for (size_t i = 0; i < k->nkeys; i++)
        if (strcmp(k->keys[i].body, body) == 0 && strcmp(k->keys[i].param->name, name) == 0)
            return &k->keys[i];
    return NULL;
}

const struct key_row *keys_value(const struct keys *k, const char *body, const char *name)
{
    for (size_t i = 0; i < k->nvalues; i++)
        if (strcmp(k->values[i].body, body) == 0 && strcmp(k->values[i].param->name, name) == 0)
            return &k->values[i];
    return NULL;
}

const struct variant_row *keys_variant(const struct keys *k, const char *type, const char *name)
{
    for (size_t i = 0; i < k->nvariants; i++)
        if (strcmp(k->variants[i].type, type) == 0 &&
            (!name || strcmp(k->variants[i].name, name) == 0))
            return &k->variants[i];
    return NULL;
}

const char *keys_words(const char *type)
{
    for (size_t i = 0; i < COUNT(word_rows); i++)
        if (strcmp(word_rows[i].type, type) == 0)
            return word_rows[i].words;
    return NULL;
}

const char *keys_parent_of_kind(const char *kind)
{
    for (size_t i = 0; i < COUNT(bodies); i++)
        if (strcmp(bodies[i].kind, kind) == 0)
            return bodies[i].parent;
    return NULL;
}

void keys_suggest(const struct keys *k, const char *body, struct suggest *s)
{
    for (size_t i = 0; i < k->nkeys; i++)
        if (strcmp(k->keys[i].body, body) == 0)
            suggest_add(s, k->keys[i].param->name);
    for (size_t i = 0; i < COUNT(bodies); i++)
        if (strcmp(bodies[i].parent, body) == 0)
            suggest_add(s, bodies[i].kind);
}

static const char *join(struct arena *a, const char *list, const char *word)
{
    return *list ? arena_printf(a, "%s, %s", list, word) : word;
}

const char *keys_list(struct arena *a, const struct keys *k, const char *body)
{
    const char *list = "";
    for (size_t i = 0; i < k->nkeys; i++)
        if (strcmp(k->keys[i].body, body) == 0)
            list = join(a, list, k->keys[i].param->name);
    for (size_t i = 0; i < COUNT(bodies); i++)
        if (strcmp(bodies[i].parent, body) == 0)
            list = join(a, list, arena_printf(a, "%s { }", bodies[i].kind));
    return list;
}

const char *keys_list_variants(struct arena *a, const struct keys *k, const char *type)
{
    const char *list = "";
    for (size_t i = 0; i < k->nvariants; i++)
        if (strcmp(k->variants[i].type, type) == 0)
            list = join(a, list, k->variants[i].name);
    return list;
}

/* An end of a range, short where that says it. */
static const char *end_text(struct arena *a, double end)
{
    const char *text = arena_printf(a, "%g", end);
    return !isfinite(end) ? "" : strtod(text, NULL) == end ? text : arena_printf(a, "%.15g", end);
}

/* `0 .. 1`, `above 0 .. below 1`; an end that is not there is left out. */
static const char *range_text(struct arena *a, const struct spec_range *r)
{
    if (!isfinite(r->min) && !isfinite(r->max))
        return "";
    return arena_printf(a, "%s%s .. %s%s", r->above ? "above " : "", end_text(a, r->min),
                        r->below ? "below " : "", end_text(a, r->max));
}

/* One row of the manual's table; unset: what stands for a value that has to come from somewhere. */
static void print_row(FILE *out, struct arena *a, const struct key_row *k, const char *unset)
{
    static const char *const when[] = {"network", "fixed", "default"};
    const struct param *p = k->param;
    fprintf(out, "| `%s.%s` | %s%s | %s%s%s | %s | ", k->body, p->name, p->type,
            p->optional ? "?" : "", p->def ? "`" : "",
            p->def        ? expr_print(a, p->def)
            : p->optional ? "none"
                          : unset,
            p->def ? "`" : "", range_text(a, &k->range));
    if (k->flag)
        fprintf(out, "`--%s`", k->flag);
    else
        fputs(when[k->when], out);
    fprintf(out, " | %s |\n", k->help);
}

void lang_print_keys(FILE *out)
{
    struct arena *a = arena_new();
    struct keys *k = keys_new(a);
    fputs("| key | type | unless set | range | in a program | meaning |\n"
          "|---|---|---|---|---|---|\n",
          out);
    for (size_t i = 0; i < k->nkeys; i++)
        print_row(out, a, &k->keys[i], "required");
    for (size_t i = 0; i < k->nvalues; i++)
        print_row(out, a, &k->values[i], "the call's");
    arena_free(a);
}
