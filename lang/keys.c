/* The tables of keys.def. Input: names. Output: rows; and the manual's table of keys. */
#include "lang/keys.h"

#include <stdlib.h>
#include <string.h>

#include "lang/base/arena.h"
#include "lang/base/diag.h"
#include "lang/base/text.h"
#include "lang/front.h"
#include "lang/lang.h"

#define BODY(parent, kind, body, form)
#define KEY(body, signature, when, flag, help)
#define VALUE(path, when, flag, help)
#define VARIANT(type, name, signature)
#define WORDS(type, words)

#undef BODY
#define BODY(parent, kind, body, form) {parent, kind, body, BODY_##form},
static const struct body_row bodies[] = {
#include "lang/keys.def"
};
#undef BODY
#define BODY(parent, kind, body, form)

#undef KEY
#define KEY(body, signature, when, flag, help) {body, signature, KEY_##when, flag, help, NULL},
static const struct key_row key_rows[] = {
#include "lang/keys.def"
};
#undef KEY
#define KEY(body, signature, when, flag, help)

#undef VALUE
#define VALUE(path, when, flag, help) {path, KEY_##when, flag, help},
static const struct value_row value_rows[] = {
#include "lang/keys.def"
};
#undef VALUE
#define VALUE(path, when, flag, help)

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

void keys_signature(struct arena *a, const char *text, struct param **params, size_t *n)
{
    /* No path: places inside a signature are never shown. */
    struct source *src = source_from_text(a, NULL, text, strlen(text));
    if (front_parse_params(a, src, NULL, params, n))
        return;
    fprintf(stderr, "vmoec: a signature of the compiler is malformed: %s\n", text);
    exit(3);
}

struct keys *keys_new(struct arena *a)
{
    struct keys *k = arena_alloc(a, sizeof *k);
    k->keys = arena_alloc(a, sizeof key_rows);
    memcpy(k->keys, key_rows, sizeof key_rows);
    k->nkeys = COUNT(key_rows);
    k->variants = arena_alloc(a, sizeof variant_rows);
    memcpy(k->variants, variant_rows, sizeof variant_rows);
    k->nvariants = COUNT(variant_rows);
    size_t n;
    for (size_t i = 0; i < k->nkeys; i++)
        keys_signature(a, k->keys[i].signature, &k->keys[i].param, &n);
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

const struct value_row *keys_value(const char *path)
{
    for (size_t i = 0; i < COUNT(value_rows); i++)
        if (strcmp(value_rows[i].path, path) == 0)
            return &value_rows[i];
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

static void print_row(FILE *out, struct arena *a, const struct key_row *k)
{
    static const char *const when[] = {"network", "fixed", "default"};
    const struct param *p = k->param;
    fprintf(out, "| `%s.%s` | %s%s | %s%s%s | ", k->body, p->name, p->type, p->optional ? "?" : "",
            p->def ? "`" : "",
            p->def        ? expr_print(a, p->def)
            : p->optional ? "none"
                          : "required",
            p->def ? "`" : "");
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
    fputs("| key | type | unless set | in a program | meaning |\n|---|---|---|---|---|\n", out);
    for (size_t i = 0; i < k->nkeys; i++)
        print_row(out, a, &k->keys[i]);
    for (size_t i = 0; i < COUNT(value_rows); i++) {
        const struct value_row *v = &value_rows[i];
        fprintf(out, "| `%s` | | | %s%s%s | %s |\n", v->path, v->flag ? "`--" : "default",
                v->flag ? v->flag : "", v->flag ? "`" : "", v->help);
    }
    arena_free(a);
}
