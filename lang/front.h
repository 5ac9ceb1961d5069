/* What scanner, grammar and tree building share. Private to scan.l, parse.y and ast.c, apart from
 * the three entries. */
#ifndef LANG_FRONT_H
#define LANG_FRONT_H

#include "lang/ast.h"
#include "lang/limits.h"

struct diag;

/* Entries besides lang_parse(): an expression (a value of the command line, a default) and a
 * parameter list (a signature). With diag NULL a wrong text is only a NULL result. */
struct expr *front_parse_expr(struct arena *a, const struct source *src, struct diag *d);
bool front_parse_params(struct arena *a, const struct source *src, struct diag *d,
                        struct param **params, size_t *n);

struct args {
    struct arg *at;
    size_t n, cap;
};
struct params {
    struct param *at;
    size_t n, cap;
};

struct front {
    struct arena *arena;
    const struct source *src;
    struct diag *diag; /* NULL: be silent */
    bool failed, stop;
    void *scanner;
    struct ast *ast;
    struct expr *expr;
    struct params params;
    /* the scanner's state */
    int start, last, kept; /* the token to begin with; the last one; one behind an inserted `;` */
    bool keeps;
    uint32_t offset, open_at[LIMIT_NESTING];
    unsigned open, round; /* brackets open in all; `(` and `[` since the last `{` */
    struct loc kept_loc;
};

/* scan.l: the scanner over front->src, and its next token for Bison. */
union GRAMMAR_STYPE;
void scan_open(struct front *f);
void scan_close(struct front *f);

/* ast.c: nodes. */
struct words *front_words(struct front *f, const char *first, struct loc loc, bool quoted);
struct words *front_words_add(struct front *f, struct words *w, const char *next, struct loc loc);
struct expr *front_expr(struct front *f, enum expr_kind kind, struct loc loc);
struct expr *front_tree(struct front *f, enum expr_kind kind, struct loc loc, struct args args);
struct expr *front_binary(struct front *f, enum expr_kind kind, struct loc loc, struct expr *left,
                          struct expr *right);
struct item *front_item(struct front *f, enum item_kind kind, struct loc loc, struct words *label);
struct body *front_body(struct front *f);
void front_add(struct front *f, struct body *b, struct item *i);
void front_error(struct front *f, int code, struct loc loc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
