/* Making the tree's nodes. Input: calls of the grammar's actions. Output: nodes in the arena,
 * counted against the limits: an expression that grows too deep, or a file with too much in it, is
 * reported and cut off here. */
#include "lang/ast.h"

#include <stdarg.h>
#include <string.h>

#include "lang/base/arena.h"
#include "lang/base/diag.h"
#include "lang/base/text.h"
#include "lang/front.h"

void front_error(struct front *f, int code, struct loc loc, const char *format, ...)
{
    f->failed = true;
    if (!f->diag)
        return;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    diag_report(f->diag, (enum diag_code)code, loc, "%s", text);
}

/* One check for every node: the text of a megabyte must not become a tree of a gigabyte. */
static void *node(struct front *f, size_t size, struct loc loc)
{
    if (!f->stop && arena_used(f->arena) > LIMIT_MEMORY) {
        f->stop = true;
        front_error(f, DIAG_TOO_LARGE, loc, "the file holds more than the compiler takes");
    }
    return arena_alloc(f->arena, size);
}

struct words *front_words(struct front *f, const char *first, struct loc loc, bool quoted)
{
    struct words *w = node(f, sizeof *w, loc);
    w->at = arena_alloc(f->arena, sizeof *w->at);
    w->at[0] = w->text = first;
    w->n = 1;
    w->quoted = quoted;
    w->loc = loc;
    return w;
}

struct words *front_words_add(struct front *f, struct words *w, const char *next, struct loc loc)
{
    w->loc.end = loc.end;
    if (w->n == 16) {
        front_error(f, DIAG_TOO_DEEP, w->loc, "a name has more than 16 parts");
        return w;
    }
    const char **at = arena_array(f->arena, w->n + 1, sizeof *at);
    memcpy(at, w->at, w->n * sizeof *at);
    at[w->n++] = next;
    w->at = at;
    w->text = arena_printf(f->arena, "%s.%s", w->text, next);
    return w;
}

struct expr *front_expr(struct front *f, enum expr_kind kind, struct loc loc)
{
    struct expr *e = node(f, sizeof *e, loc);
    e->kind = kind;
    e->depth = 1;
    e->loc = loc;
    return e;
}

struct expr *front_tree(struct front *f, enum expr_kind kind, struct loc loc, struct args args)
{
    struct expr *e = front_expr(f, kind, loc);
    for (size_t i = 0; i < args.n; i++)
        if (args.at[i].value->depth >= e->depth)
            e->depth = args.at[i].value->depth + 1;
    if (e->depth > LIMIT_EXPR_DEPTH) {
        front_error(f, DIAG_TOO_DEEP, loc, "an expression has more than %d levels",
                    LIMIT_EXPR_DEPTH);
        e->depth = 1; /* a stand-in without operands: the file is refused anyway */
        e->kind = EXPR_LIST;
        return e;
    }
    if (kind == EXPR_LIST && args.n > LIMIT_LIST) {
        front_error(f, DIAG_TOO_LARGE, loc, "a list has more than %d elements", LIMIT_LIST);
        return e;
    }
    e->args = args.at;
    e->n = args.n;
    return e;
}

struct expr *front_binary(struct front *f, enum expr_kind kind, struct loc loc, struct expr *left,
                          struct expr *right)
{
    struct args args = {arena_array(f->arena, 2, sizeof *args.at), 2, 2};
    args.at[0] = (struct arg){NULL, left->loc, left};
    args.at[1] = (struct arg){NULL, right->loc, right};
    return front_tree(f, kind, loc, args);
}

struct item *front_item(struct front *f, enum item_kind kind, struct loc loc, struct words *label)
{
    struct item *i = node(f, sizeof *i, loc);
    i->kind = kind;
    i->loc = loc;
    i->label = label;
    return i;
}

struct body *front_body(struct front *f)
{
    return arena_alloc(f->arena, sizeof(struct body));
}

void front_add(struct front *f, struct body *b, struct item *i)
{
    if (i)
        *ARENA_PUSH(f->arena, b->items, b->n, b->cap) = i;
}
