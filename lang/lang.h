/* The language, as the compiler sees it: text in, resolved spec out. */
#ifndef LANG_LANG_H
#define LANG_LANG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "lang/spec.h"

struct arena;
struct diag;
struct source;
struct ast;

/* A primitive layer, as the compiler declares it to the language. The signature is written in the
 * language's own parameter syntax: "kernel: px, stride: px = 1px, groups: int = 1, out: int?, bias:
 * bool = true". A type followed by `?` may be absent (SPEC_NONE in the resolved layer). */
struct lang_op {
    const char *name;
    const char *signature;
    bool per_token;  /* may stand inside an expert */
    const char *doc; /* one line */
};

struct lang_define {
    const char *name, *value;
}; /* -D name=value, --set path=value: as typed */

struct lang_options {
    const struct lang_op *ops;
    size_t nops;
    const char *const *search; /* folders for `use std.x` (holding x.vmoe), in order */
    size_t nsearch;
    const struct lang_define *defines;
    size_t ndefines; /* -D */
    const struct lang_define *sets;
    size_t nsets;                   /* --set */
    const char *experiment, *model; /* or NULL */
};

/* Text to tree; comments are kept. NULL if anything was reported. */
struct ast *lang_parse(struct arena *a, const struct source *src, struct diag *d);
void lang_print_ast(const struct ast *ast, FILE *out);

/* The files that a tree stands for: its own, then those that it uses, as far as they can be found
 * and are regular ones, which can be read more than once. Nothing is reported. For a tree that is
 * not resolved: a spec has its files. */
const char *const *lang_files(struct arena *a, const struct ast *ast, const struct lang_options *o,
                              size_t *n);

/* Tree (and what it uses) to resolved spec. NULL if anything was reported. */
struct spec *lang_resolve(struct arena *a, const struct ast *ast, const struct lang_options *o,
                          struct diag *d);

/* The frozen file: a complete .vmoe text with all defaults expanded and no `use`; resolving it
 * again gives the same spec, printing that again the same text. */
void lang_print_spec(const struct spec *spec, FILE *out);

/* The numbers that `check`s may ask for; known once graph and plan exist. */
struct lang_facts {
    double params_total, params_active, macs;
    double memory_train, memory_eval; /* bytes: everything that a program holds */
};
bool lang_run_checks(const struct spec *spec, const struct lang_facts *facts, struct diag *d);

/* The run-time keys' table and the manual's tables come from keys.def. */
void lang_print_keys(FILE *out); /* Markdown rows */

#endif
