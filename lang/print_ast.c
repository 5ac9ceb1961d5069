/* Tree to text. Input: a parsed file. Output: the same file in one style, comments with their
 * items: two spaces a level, one item a line. Parsing the output gives the same tree, printing that
 * again the same text. */
#include "lang/lang.h"

#include <stdlib.h>
#include <string.h>

#include "lang/ast.h"
#include "lang/base/arena.h"
#include "lang/base/text.h"

static const struct {
    const char *text;
    int level;
} operators[EXPR_KINDS] = {
    [EXPR_IF] = {NULL, 1},     [EXPR_OR] = {"or", 2},       [EXPR_AND] = {"and", 3},
    [EXPR_NOT] = {"not", 4},   [EXPR_EQ] = {"==", 5},       [EXPR_NE] = {"!=", 5},
    [EXPR_LT] = {"<", 5},      [EXPR_LE] = {"<=", 5},       [EXPR_GT] = {">", 5},
    [EXPR_GE] = {">=", 5},     [EXPR_IN] = {"in", 5},       [EXPR_RANGE] = {"..", 6},
    [EXPR_UNION] = {"|", 7},   [EXPR_INTERSECT] = {"&", 8}, [EXPR_ADD] = {"+", 9},
    [EXPR_SUB] = {"-", 9},     [EXPR_MUL] = {"*", 10},      [EXPR_DIV] = {"/", 10},
    [EXPR_NEGATE] = {"-", 11},
};

const char *expr_operator(enum expr_kind kind)
{
    return operators[kind].text;
}

static int level(const struct expr *e)
{
    return operators[e->kind].level ? operators[e->kind].level : 12;
}

void ast_write_label(FILE *out, const char *label)
{
    static const char *const reserved[] = {
        "use",  "param", "check", "as", "amends", "where", "if",
        "then", "else",  "and",   "or", "not",    "in",
    };
    bool plain = *label != '\0';
    for (const char *p = label; plain; p++) {
        char part[64];
        size_t n = strcspn(p, ".");
        if (n >= sizeof part)
            plain = false;
        else {
            memcpy(part, p, n);
            part[n] = '\0';
            plain = text_is_word(part);
            for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
                if (strcmp(part, reserved[i]) == 0)
                    plain = false;
        }
        p += n;
        if (!*p)
            break;
    }
    if (plain)
        fputs(label, out);
    else
        text_write_quoted(out, label);
}

static void write_expr(FILE *out, const struct expr *e);

static void write_operand(FILE *out, const struct expr *e, int least)
{
    bool round = level(e) < least;
    if (round)
        fputc('(', out);
    write_expr(out, e);
    if (round)
        fputc(')', out);
}

static void write_args(FILE *out, const struct expr *e, char open, char close)
{
    fputc(open, out);
    for (size_t i = 0; i < e->n; i++) {
        if (i)
            fputs(", ", out);
        if (e->args[i].name)
            fprintf(out, "%s: ", e->args[i].name);
        write_expr(out, e->args[i].value);
    }
    fputc(close, out);
}

static void write_operator(FILE *out, const struct expr *e)
{
    int own = level(e);
    /* Comparisons and ranges do not chain, the others group to the left. */
    bool chains = own != 5 && own != 6;
    write_operand(out, e->args[0].value, chains ? own : own + 1);
    fprintf(out, " %s ", operators[e->kind].text);
    write_operand(out, e->args[1].value, own + 1);
}

static void write_expr(FILE *out, const struct expr *e)
{
    switch (e->kind) {
    case EXPR_NUMBER: fputs(e->text, out); break;
    case EXPR_TEXT:   text_write_quoted(out, e->value.text); break;
    case EXPR_NAME:   fputs(e->words->text, out); break;
    case EXPR_PARAM:  fprintf(out, "$%s", e->text); break;
    case EXPR_LIST:   write_args(out, e, '[', ']'); break;
    case EXPR_CALL:
        fputs(e->words->text, out);
        write_args(out, e, '(', ')');
        break;
    case EXPR_INDEX:
        fputs(e->words->text, out);
        write_args(out, e, '[', ']');
        break;
    case EXPR_NOT:
        fputs("not ", out);
        write_operand(out, e->args[0].value, level(e));
        break;
    case EXPR_NEGATE:
        fputc('-', out);
        write_operand(out, e->args[0].value, level(e));
        break;
    case EXPR_IF:
        fputs("if ", out);
        write_operand(out, e->args[0].value, 2);
        fputs(" then ", out);
        write_operand(out, e->args[1].value, 2);
        fputs(" else ", out);
        write_operand(out, e->args[2].value, 1);
        break;
    default: write_operator(out, e);
    }
}

const char *expr_print(struct arena *a, const struct expr *e)
{
    struct arena_text text;
    write_expr(arena_text_begin(&text), e);
    return arena_text_end(a, &text);
}

struct printer {
    FILE *out;
    const struct ast *ast;
    size_t comment; /* the next one to be printed */
    int depth;
};

static uint32_t line_of(const struct ast *ast, uint32_t offset)
{
    uint32_t line, column;
    source_position(ast->src, offset, &line, &column);
    return line;
}

static void write_comment(struct printer *p)
{
    struct loc loc = p->ast->comments[p->comment++];
    while (loc.end > loc.begin && strchr(" \t\r", p->ast->src->text[loc.end - 1]))
        loc.end--;
    fprintf(p->out, "%.*s\n", (int)(loc.end - loc.begin), p->ast->src->text + loc.begin);
}

static bool comment_before(const struct printer *p, uint32_t offset)
{
    return p->comment < p->ast->ncomments && p->ast->comments[p->comment].begin < offset;
}

static void indent(struct printer *p)
{
    fprintf(p->out, "%*s", p->depth * 2, "");
}

/* Comments on lines of their own, and those from inside an item that is now one line. */
static void write_comments_before(struct printer *p, uint32_t offset)
{
    while (comment_before(p, offset)) {
        indent(p);
        write_comment(p);
    }
}

/* The end of a line: a comment that stood behind the item stays there. */
static void end_line(struct printer *p, uint32_t offset)
{
    if (p->comment < p->ast->ncomments && p->ast->comments[p->comment].begin >= offset &&
        line_of(p->ast, p->ast->comments[p->comment].begin) ==
            line_of(p->ast, offset ? offset - 1 : 0)) {
        fputs("  ", p->out);
        write_comment(p);
    } else
        fputc('\n', p->out);
}

static void write_param(FILE *out, const struct param *p, const char *colon)
{
    fprintf(out, "%s%s%s%s", p->name, colon, p->type, p->optional ? "?" : "");
    if (p->def)
        fputs(" = ", out), write_expr(out, p->def);
    if (p->where)
        fputs(" where ", out), write_expr(out, p->where);
}

static void write_name(FILE *out, const struct item *i)
{
    fputc(' ', out);
    if (i->name_quoted)
        text_write_quoted(out, i->name);
    else
        fputs(i->name, out);
}

static void write_label(FILE *out, const struct words *w)
{
    if (w->quoted)
        text_write_quoted(out, w->text);
    else
        fputs(w->text, out);
}

static void write_body(struct printer *p, const struct body *b);

static void write_head(FILE *out, const struct item *i)
{
    write_label(out, i->label);
    if (i->name)
        write_name(out, i);
    if (i->has_params) {
        fputc('(', out);
        for (size_t k = 0; k < i->nparams; k++) {
            if (k)
                fputs(", ", out);
            write_param(out, &i->params[k], ": ");
        }
        fputc(')', out);
    }
    if (i->amends)
        fprintf(out, " amends %s", i->amends->text);
    fputs(" {", out);
}

static void write_use(FILE *out, const struct item *i)
{
    fputs("use ", out);
    if (i->label)
        fputs(i->label->text, out);
    else
        text_write_quoted(out, i->text);
    if (i->name)
        fprintf(out, " as %s", i->name);
}

static void write_item(struct printer *p, const struct item *i)
{
    FILE *out = p->out;
    switch (i->kind) {
    case ITEM_EDITION: fprintf(out, "%s %s", i->label->text, i->value->text); break;
    case ITEM_USE:     write_use(out, i); break;
    case ITEM_PARAM:
        fputs("param ", out);
        write_param(out, &i->params[0], " : ");
        break;
    case ITEM_CALL: write_expr(out, i->value); break;
    case ITEM_SET:
        write_label(out, i->label);
        fputs(" = ", out);
        write_expr(out, i->value);
        break;
    case ITEM_DEFINE:
        fputs(i->label->text, out);
        write_name(out, i);
        fputs(" = ", out);
        write_expr(out, i->value);
        break;
    case ITEM_CHECK:
        fputs("check ", out);
        write_expr(out, i->value);
        if (i->text)
            fputs(" else ", out), text_write_quoted(out, i->text);
        break;
    case ITEM_BODY:
        write_head(out, i);
        end_line(p, i->body->loc.begin + 1);
        write_body(p, i->body);
        indent(p);
        fputc('}', out);
        break;
    }
}

static void write_body(struct printer *p, const struct body *b)
{
    p->depth++;
    for (size_t i = 0; i < b->n; i++) {
        write_comments_before(p, b->items[i]->loc.begin);
        indent(p);
        write_item(p, b->items[i]);
        end_line(p, b->items[i]->loc.end);
    }
    if (b->loc.end)
        write_comments_before(p, b->loc.end);
    p->depth--;
}

void lang_print_ast(const struct ast *ast, FILE *out)
{
    struct printer p = {out, ast, 0, -1};
    write_body(&p, ast->body);
    p.depth = 0;
    write_comments_before(&p, UINT32_MAX);
}
