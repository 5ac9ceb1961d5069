/* Tokens to tree. Input: a source through scan.l. Output: nodes made by ast.c; the actions do
 * nothing else.
 *
 * One grammar of items serves every body: what an item means in its body is decided later (node.c,
 * expand.c). A first token that stands in no file selects what is parsed: a file, an expression or
 * a list of parameters. */
%require "3.8"
%expect 0
%define api.pure full
%define api.prefix {grammar_}
%define api.token.prefix {TOKEN_}
%define api.value.type union
%define api.location.type {struct loc}
%define parse.error custom
%define parse.lac full
%param {struct front *f}
%locations

%code requires {
#include "lang/front.h"
}
%code provides {
int grammar_lex(union GRAMMAR_STYPE *value, struct loc *loc, struct front *f);
}
%code {
#include <stdlib.h>
#include <string.h>

#include "lang/base/arena.h"
#include "lang/base/diag.h"
#include "lang/base/text.h"
#include "lang/lang.h"
#include "lang/unit.h"

#define YYMALLOC arena_malloc
#define YYFREE   free
#define YYLLOC_DEFAULT(Current, Rhs, N)                                     \
    ((Current).src = f->src,                                                \
     (Current).begin = (N) ? YYRHSLOC(Rhs, 1).begin : YYRHSLOC(Rhs, 0).end, \
     (Current).end = (N) ? YYRHSLOC(Rhs, N).end : YYRHSLOC(Rhs, 0).end)

static void grammar_error(const struct loc *loc, struct front *f, const char *text);
static struct item *named(struct item *i, struct item *name);
static struct args add_arg(struct front *f, struct args args, const char *name, struct loc loc,
                           struct expr *value);
}

%token START_FILE START_EXPR START_PARAMS
%token END 0 "end of the file" SEP "end of the item"
%token <const char *> WORD "name" STRING "string"
%token <struct expr *> NUMBER "number"
%token USE "use" PARAM "param" CHECK "check" AS "as" AMENDS "amends" WHERE "where"
%token IF "if" THEN "then" ELSE "else" AND "and" OR "or" NOT "not" IN "in"
%token EQ "==" NE "!=" LE "<=" GE ">=" RANGE ".."

%precedence ELSE
%left OR
%left AND
%precedence NOT
%nonassoc EQ NE '<' LE '>' GE IN
%nonassoc RANGE
%left '|'
%left '&'
%left '+' '-'
%left '*' '/'
%precedence NEGATE

%type <struct body *> items body
%type <struct item *> item head name
%type <struct words *> path label
%type <struct expr *> expr primary call default where
%type <struct args> args arg_list list list_items
%type <struct params> param_list params
%type <struct param *> param
%type <bool> optional
%type <const char *> else_text

%%

start:
    START_FILE items                { f->ast->body = $items; }
  | START_EXPR expr SEP             { f->expr = $expr; }
  | START_PARAMS params SEP         { f->params = $params; }
  | START_PARAMS SEP                { }

items:
    %empty                          { $$ = front_body(f); }
  | items SEP                       { $$ = $1; }
  | items item SEP                  { $$ = $1; front_add(f, $$, $item); }
  | items error SEP
        { $$ = $1; if (f->stop || diag_full(f->diag)) YYABORT; yyerrok; }

body: '{' items '}'                 { $$ = $items; $$->loc = @$; }

item:
    WORD NUMBER
        { $$ = front_item(f, ITEM_EDITION, @$, front_words(f, $WORD, @WORD, false));
          $$->value = $NUMBER; }
  | USE path                        { $$ = front_item(f, ITEM_USE, @$, $path); }
  | USE path AS WORD
        { $$ = front_item(f, ITEM_USE, @$, $path); $$->name = $WORD; $$->name_loc = @WORD; }
  | USE STRING AS WORD
        { $$ = front_item(f, ITEM_USE, @$, NULL); $$->text = $STRING; $$->name = $WORD;
          $$->name_loc = @WORD; }
  | PARAM param
        { $$ = front_item(f, ITEM_PARAM, @$, NULL); $$->params = $param; $$->nparams = 1; }
  | CHECK expr else_text
        { $$ = front_item(f, ITEM_CHECK, @$, NULL); $$->value = $expr; $$->text = $else_text; }
  | label '=' expr                  { $$ = front_item(f, ITEM_SET, @$, $label); $$->value = $expr; }
  | WORD name '=' expr
        { $$ = named(front_item(f, ITEM_DEFINE, @$, front_words(f, $WORD, @WORD, false)),
          $name); $$->value = $expr; }
  | call                            { $$ = front_item(f, ITEM_CALL, @$, NULL); $$->value = $call; }
  | head body                       { $$ = $head; $$->loc = @$; $$->body = $body; }
  | head AMENDS path body
        { $$ = $head; $$->loc = @$; $$->amends = $path; $$->body = $body; }

head:
    label                           { $$ = front_item(f, ITEM_BODY, @$, $label); }
  | WORD name
        { $$ = named(front_item(f, ITEM_BODY, @$, front_words(f, $WORD, @WORD, false)), $name); }
  | WORD name '(' ')'
        { $$ = named(front_item(f, ITEM_BODY, @$, front_words(f, $WORD, @WORD, false)), $name);
          $$->has_params = true; }
  | WORD name '(' params ')'
        { $$ = named(front_item(f, ITEM_BODY, @$, front_words(f, $WORD, @WORD, false)), $name);
          $$->has_params = true; $$->params = $params.at; $$->nparams = $params.n; }

name:
    WORD                            { $$ = front_item(f, ITEM_BODY, @$, NULL); $$->name = $WORD; }
  | STRING
        { $$ = front_item(f, ITEM_BODY, @$, NULL); $$->name = $STRING; $$->name_quoted = true; }

label:
    path
  | STRING                          { $$ = front_words(f, $STRING, @$, true); }

path:
    WORD                            { $$ = front_words(f, $WORD, @$, false); }
  | path '.' WORD                   { $$ = front_words_add(f, $1, $WORD, @WORD); }

else_text:
    %empty                          { $$ = NULL; }
  | ELSE STRING                     { $$ = $STRING; }

params:
    param_list
  | param_list ','

param_list:
    param
        { $$ = (struct params){0}; *ARENA_PUSH(f->arena, $$.at, $$.n, $$.cap) = *$param; }
  | param_list ',' param
        { $$ = $1; *ARENA_PUSH(f->arena, $$.at, $$.n, $$.cap) = *$param; }

param: WORD[id] ':' WORD[type] optional default where
        { $$ = arena_alloc(f->arena, sizeof *$$);
          *$$ = (struct param){$id, $type, $optional, $default, $where, @id, @type}; }

optional:
    %empty                          { $$ = false; }
  | '?'                             { $$ = true; }

default:
    %empty                          { $$ = NULL; }
  | '=' expr                        { $$ = $expr; }

where:
    %empty                          { $$ = NULL; }
  | WHERE expr                      { $$ = $expr; }

call:
    path                            { $$ = front_expr(f, EXPR_NAME, @$); $$->words = $path; }
  | path '(' args ')'               { $$ = front_tree(f, EXPR_CALL, @$, $args); $$->words = $path; }

args:
    %empty                          { $$ = (struct args){0}; }
  | arg_list
  | arg_list ','

arg_list:
    expr                            { $$ = add_arg(f, (struct args){0}, NULL, @$, $expr); }
  | WORD ':' expr                   { $$ = add_arg(f, (struct args){0}, $WORD, @WORD, $expr); }
  | arg_list ',' expr               { $$ = add_arg(f, $1, NULL, @expr, $expr); }
  | arg_list ',' WORD ':' expr      { $$ = add_arg(f, $1, $WORD, @WORD, $expr); }

list: '[' list_items ']'            { $$ = $2; }

list_items:
    args                            { $$ = $args; }

primary:
    NUMBER
  | STRING                          { $$ = front_expr(f, EXPR_TEXT, @$); $$->value.type = SPEC_TEXT;
                                      $$->value.text = $STRING; $$->value.loc = @$; }
  | '$' WORD                        { $$ = front_expr(f, EXPR_PARAM, @$); $$->text = $WORD; }
  | call
  | path list
        { $$ = front_tree(f, EXPR_INDEX, @$, $list); $$->words = $path; }
  | list                            { $$ = front_tree(f, EXPR_LIST, @$, $list); }
  | '(' expr ')'                    { $$ = $2; }

expr:
    primary
  | '-' expr %prec NEGATE
        { $$ = front_tree(f, EXPR_NEGATE, @$, add_arg(f, (struct args){0}, NULL, @2, $2)); }
  | NOT expr
        { $$ = front_tree(f, EXPR_NOT, @$, add_arg(f, (struct args){0}, NULL, @2, $2)); }
  | expr OR expr                    { $$ = front_binary(f, EXPR_OR, @$, $1, $3); }
  | expr AND expr                   { $$ = front_binary(f, EXPR_AND, @$, $1, $3); }
  | expr EQ expr                    { $$ = front_binary(f, EXPR_EQ, @$, $1, $3); }
  | expr NE expr                    { $$ = front_binary(f, EXPR_NE, @$, $1, $3); }
  | expr '<' expr                   { $$ = front_binary(f, EXPR_LT, @$, $1, $3); }
  | expr LE expr                    { $$ = front_binary(f, EXPR_LE, @$, $1, $3); }
  | expr '>' expr                   { $$ = front_binary(f, EXPR_GT, @$, $1, $3); }
  | expr GE expr                    { $$ = front_binary(f, EXPR_GE, @$, $1, $3); }
  | expr IN expr                    { $$ = front_binary(f, EXPR_IN, @$, $1, $3); }
  | expr RANGE expr                 { $$ = front_binary(f, EXPR_RANGE, @$, $1, $3); }
  | expr '|' expr                   { $$ = front_binary(f, EXPR_UNION, @$, $1, $3); }
  | expr '&' expr                   { $$ = front_binary(f, EXPR_INTERSECT, @$, $1, $3); }
  | expr '+' expr                   { $$ = front_binary(f, EXPR_ADD, @$, $1, $3); }
  | expr '-' expr                   { $$ = front_binary(f, EXPR_SUB, @$, $1, $3); }
  | expr '*' expr                   { $$ = front_binary(f, EXPR_MUL, @$, $1, $3); }
  | expr '/' expr                   { $$ = front_binary(f, EXPR_DIV, @$, $1, $3); }
  | IF expr THEN expr ELSE expr
        { struct args args = add_arg(f, (struct args){0}, NULL, @2, $2);
          args = add_arg(f, args, NULL, @4, $4);
          $$ = front_tree(f, EXPR_IF, @$, add_arg(f, args, NULL, @6, $6)); }

%%

static struct item *named(struct item *i, struct item *name)
{
    i->name = name->name;
    i->name_quoted = name->name_quoted;
    i->name_loc = name->loc;
    return i;
}

static struct args add_arg(struct front *f, struct args args, const char *name, struct loc loc,
                           struct expr *value)
{
    *ARENA_PUSH(f->arena, args.at, args.n, args.cap) = (struct arg){name, loc, value};
    return args;
}

/* Bison's own errors: its stack is full. */
static void grammar_error(const struct loc *loc, struct front *f, const char *text)
{
    (void)text;
    front_error(f, DIAG_TOO_DEEP, *loc, "the text is nested too deeply");
}

/* A word behind a number is most often a unit written wrong: `300 epoch5`. */
static bool report_unit(struct front *f, struct loc loc)
{
    const char *text = f->src->text;
    uint32_t at = loc.begin;
    while (at && (text[at - 1] == ' ' || text[at - 1] == '\t'))
        at--;
    if (at == 0 || at == loc.begin || text[at - 1] < '0' || text[at - 1] > '9')
        return false;
    uint32_t k = at;
    while (k && strchr("0123456789_.", text[k - 1]))
        k--;
    if (k && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ$\"", text[k - 1]))
        return false;
    const char *word = arena_copy(f->arena, text + loc.begin, loc.end - loc.begin);
    struct suggest s = suggest_start(word);
    unit_suggest(&s);
    front_error(f, DIAG_UNKNOWN_UNIT, loc, "`%.60s` is no unit", word);
    if (s.best)
        diag_fix(f->diag, s.best);
    else
        diag_help(f->diag,
                  "units are epochs, steps, images, px, %%, B, KB, MB, GB, KiB, MiB, GiB, TiB");
    return true;
}

static void report_unclosed(struct front *f)
{
    struct loc open = {f->src, f->open_at[f->open - 1], f->open_at[f->open - 1] + 1};
    front_error(f, DIAG_SYNTAX, open, "this `%c` is not closed", f->src->text[open.begin]);
}

/* An open `(` above makes a newline mean nothing, and the error come late. */
static void note_open(struct front *f, struct loc loc)
{
    if (f->open == 0)
        return;
    uint32_t at = f->open_at[f->open - 1];
    if (f->src->text[at] == '{' || !memchr(f->src->text + at, '\n', loc.begin - at))
        return;
    diag_note(f->diag, (struct loc){f->src, at, at + 1}, "this `%c` is still open",
              f->src->text[at]);
}

#define EXPECTED_MAX 6

static int yyreport_syntax_error(const yypcontext_t *ctx, struct front *f)
{
    struct loc loc = *yypcontext_location(ctx);
    unsigned open = f->open;
    f->round = 0; /* one missing `)` must not swallow the newlines of the rest */
    f->failed = true;
    if (f->stop || !f->diag)
        return 0;
    yysymbol_kind_t token = yypcontext_token(ctx);
    if (token == YYSYMBOL_WORD && report_unit(f, loc))
        return 0;
    if (token == YYSYMBOL_YYEOF && open) {
        report_unclosed(f);
        return 0;
    }
    char text[400], *p = text, *end = text + sizeof text;
    yysymbol_kind_t expected[EXPECTED_MAX + 1];
    int n = yypcontext_expected_tokens(ctx, expected, EXPECTED_MAX);
    p += snprintf(p, (size_t)(end - p), "unexpected %s",
                  token == YYSYMBOL_YYEMPTY ? "text" : yysymbol_name(token));
    if (token == YYSYMBOL_WORD)
        p += snprintf(p, (size_t)(end - p), " `%.*s`",
                      loc.end - loc.begin > 60 ? 60 : (int)(loc.end - loc.begin),
                      f->src->text + loc.begin);
    for (int i = 0; i < n; i++)
        p += snprintf(p, (size_t)(end - p), "%s%s",
                      i == 0      ? ", expected "
                      : i + 1 < n ? ", "
                                  : " or ",
                      yysymbol_name(expected[i]));
    front_error(f, DIAG_SYNTAX, loc, "%s", text);
    note_open(f, loc);
    return 0;
}

static bool run(struct front *f, int start)
{
    size_t bad = text_check_utf8(f->src->text, f->src->len);
    if (bad < f->src->len) {
        struct loc loc = {f->src, (uint32_t)bad, (uint32_t)bad + 1};
        front_error(f, DIAG_BAD_TEXT_ENCODING, loc, "the byte 0x%02x is not valid UTF-8 text",
                    (unsigned char)f->src->text[bad]);
        return false;
    }
    f->start = start;
    f->ast = arena_alloc(f->arena, sizeof *f->ast);
    f->ast->src = f->src;
    scan_open(f);
    if (yyparse(f) != 0)
        f->failed = true;
    scan_close(f);
    return !f->failed;
}

struct ast *lang_parse(struct arena *a, const struct source *src, struct diag *d)
{
    struct front f = {.arena = a, .src = src, .diag = d};
    return run(&f, TOKEN_START_FILE) ? f.ast : NULL;
}

struct expr *front_parse_expr(struct arena *a, const struct source *src, struct diag *d)
{
    struct front f = {.arena = a, .src = src, .diag = d};
    return run(&f, TOKEN_START_EXPR) ? f.expr : NULL;
}

bool front_parse_params(struct arena *a, const struct source *src, struct diag *d,
                        struct param **params, size_t *n)
{
    struct front f = {.arena = a, .src = src, .diag = d};
    if (!run(&f, TOKEN_START_PARAMS))
        return false;
    *params = f.params.at;
    *n = f.params.n;
    return true;
}
