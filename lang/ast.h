/* The tree of one file: items in bodies, expressions in items. Built by parse.y, read as const by
 * everything after. */
#ifndef LANG_AST_H
#define LANG_AST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "lang/base/source.h"
#include "lang/spec.h"

struct arena;
struct item;

/* A dotted name: a.b.c. A quoted label is one word, whatever it holds. */
struct words {
    const char **at;
    size_t n;
    const char *text; /* joined by dots */
    bool quoted;
    struct loc loc;
};

enum expr_kind {
    EXPR_NUMBER, /* value; text is its spelling */
    EXPR_TEXT,   /* value.text */
    EXPR_NAME,   /* words; `true` and `false` are words */
    EXPR_PARAM,  /* $text */
    EXPR_LIST,   /* [args] */
    EXPR_CALL,   /* words(args) */
    EXPR_INDEX,  /* words[args] */
    EXPR_NOT,
    EXPR_NEGATE, /* args[0] */
    EXPR_OR,
    EXPR_AND,
    EXPR_EQ,
    EXPR_NE,
    EXPR_LT,
    EXPR_LE,
    EXPR_GT,
    EXPR_GE,
    EXPR_IN,
    EXPR_RANGE,
    EXPR_UNION,
    EXPR_INTERSECT,
    EXPR_ADD,
    EXPR_SUB,
    EXPR_MUL,
    EXPR_DIV, /* args[0] op args[1] */
    EXPR_IF,  /* if args[0] then args[1] else args[2] */
    EXPR_KINDS
};

struct arg {
    const char *name; /* NULL: by position */
    struct loc loc;   /* of the name, or of the value */
    struct expr *value;
};

struct expr {
    enum expr_kind kind;
    unsigned depth;
    struct loc loc;
    struct words *words;
    const char *text;
    const char *raw; /* typed on the command line: where a text is wanted, this is it */
    struct spec_value value;
    struct arg *args;
    size_t n;
};

struct param {
    const char *name, *type;
    bool optional;            /* `type?`: may be absent */
    struct expr *def, *where; /* or NULL */
    struct loc loc, type_loc;
};

enum item_kind {
    ITEM_EDITION, /* vmoe 1:                  label, value */
    ITEM_USE,     /* use a.b [as c]:          label, or text = a path in quotes; name */
    ITEM_PARAM,   /* param x : type = ..      param */
    ITEM_CHECK,   /* check e [else "text"]:   value, text */
    ITEM_SET,     /* a.b = e:                 label, value */
    ITEM_DEFINE,  /* placement x = e:         label, name, value */
    ITEM_CALL,    /* gelu, mixup(0.8):        value, a name or a call */
    ITEM_BODY,    /* kind name(params) amends a.b { }:  label and what follows */
};

struct item {
    enum item_kind kind;
    bool has_params, name_quoted;
    struct loc loc, name_loc;
    struct words *label, *amends;
    const char *name, *text;
    struct expr *value;
    struct param *params; /* of a body with parameters; of ITEM_PARAM one */
    size_t nparams;
    struct body *body;
};

struct body {
    struct item **items;
    size_t n, cap;
    struct loc loc;
};

struct ast {
    const struct source *src;
    struct body *body;
    struct loc *comments; /* in the order of the text */
    size_t ncomments, comments_cap;
};

const char *expr_operator(enum expr_kind kind); /* "and", "+", ...; NULL if it is none */
const char *expr_print(struct arena *a, const struct expr *e); /* as source text, on one line */
void ast_write_label(FILE *out, const char *label); /* with quotes where they are needed */

#endif
