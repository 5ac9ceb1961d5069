/* Files and their top-level names. Input: the tree of the main file and the search folders. Output:
 * modules with maps of what they use, declare and take as parameters. Files that use each other in
 * a circle are reported with the path. */
#include "lang/resolve.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lang/base/arena.h"
#include "lang/front.h"

static bool load_items(struct run *r, struct module *m);

static struct module *module_new(struct run *r, const char *name, const char *path,
                                 const struct ast *ast)
{
    struct module *m = arena_alloc(r->arena, sizeof *m);
    *m = (struct module){.name = name, .path = path, .ast = ast};
    *ARENA_PUSH(r->arena, r->modules, r->nmodules, r->modules_cap) = m;
    return m;
}

/* ---- opening ---- */

/* The folders are tried in order; any error but "not there" is the file's own. */
static struct source *open_std(struct run *r, const struct words *w, const char **tried)
{
    *tried = "";
    for (size_t i = 0; i < r->options->nsearch; i++) {
        const char *path = arena_printf(r->arena, "%s/%s.vmoe", r->options->search[i], w->at[1]);
        struct source *src = source_read(r->arena, path);
        if (src || errno != ENOENT) {
            *tried = path;
            return src;
        }
        *tried =
            arena_printf(r->arena, "%s%s%s", *tried, **tried ? ", " : "", r->options->search[i]);
    }
    errno = ENOENT;
    return NULL;
}

static const char *beside(struct run *r, const char *file, const char *relative)
{
    const char *slash = strrchr(file, '/');
    if (*relative == '/' || !slash)
        return relative;
    while (strncmp(relative, "./", 2) == 0)
        relative += 2;
    return arena_printf(r->arena, "%.*s/%s", (int)(slash - file), file, relative);
}

static struct module *loaded(struct run *r, const char *path)
{
    char wanted[PATH_MAX], known[PATH_MAX];
    bool real = realpath(path, wanted) != NULL;
    for (size_t i = 0; i < r->nmodules; i++) {
        if (strcmp(r->modules[i]->path, path) == 0)
            return r->modules[i];
        if (real && realpath(r->modules[i]->path, known) && strcmp(wanted, known) == 0)
            return r->modules[i];
    }
    return NULL;
}

static void report_cycle(struct run *r, const struct module *m, struct loc loc)
{
    diag_report(r->diag, DIAG_MODULE_CYCLE, loc,
                "this file is already being read: `%s` uses itself", m->path);
    for (size_t i = 0; i < r->nmodules; i++)
        if (r->modules[i]->state == STATE_BUSY)
            diag_note(r->diag, (struct loc){0}, "through `%s`", r->modules[i]->path);
}

static struct module *open_module(struct run *r, struct source *src, const char *name,
                                  struct loc loc)
{
    struct module *m = loaded(r, src->path);
    if (m && m->state == STATE_BUSY)
        report_cycle(r, m, loc);
    if (m)
        return m->state == STATE_DONE ? m : NULL;
    if (r->nmodules == LIMIT_MODULES) {
        diag_report(r->diag, DIAG_TOO_LARGE, loc, "more than %d files are used", LIMIT_MODULES);
        return NULL;
    }
    const struct ast *ast = lang_parse(r->arena, src, r->diag);
    m = module_new(r, name, src->path, ast);
    if (!ast)
        m->state = STATE_FAILED;
    return ast && load_items(r, m) ? m : NULL;
}

static bool load_use(struct run *r, struct module *m, const struct item *i)
{
    const char *name = i->name, *tried = "";
    struct source *src;
    if (i->label) {
        if (i->label->n != 2 || strcmp(i->label->at[0], "std") != 0) {
            diag_report(r->diag, DIAG_UNKNOWN_MODULE, i->label->loc,
                        "`%s` is no module of the library", i->label->text);
            diag_help(
                r->diag,
                "write `use std.NAME`, or `use \"./file.vmoe\" as name` for a file of your own");
            return false;
        }
        if (!name)
            name = i->label->at[1];
        src = open_std(r, i->label, &tried);
    } else {
        tried = beside(r, m->path, i->text);
        src = source_read(r->arena, tried);
    }
    if (!src) {
        const char *what = i->label ? i->label->text : i->text;
        if (errno == ENOENT)
            diag_report(r->diag, DIAG_UNKNOWN_MODULE, i->loc, "`%s` was not found", what);
        else
            diag_report(r->diag, DIAG_FILE_READ, i->loc, "`%s` cannot be read: %s", what,
                        strerror(errno));
        diag_note(r->diag, (struct loc){0}, "looked for it in %s",
                  *tried ? tried : "no folder: give one with --stdlib");
        return false;
    }
    struct module *used = open_module(r, src, name, i->loc);
    if (!used)
        return false;
    if (map_get(&m->uses, name) || map_get(&m->decls, name)) {
        diag_report(r->diag, DIAG_DUPLICATE_NAME, i->loc, "the name `%s` is already taken", name);
        diag_help(r->diag, "write `use ... as OTHER`");
        return false;
    }
    map_put(r->arena, &m->uses, name, used);
    return true;
}

/* ---- top level ---- */

static const char *const kinds[] = {"block", "model", "data", "augment", "recipe", "experiment"};
#define NKINDS (sizeof kinds / sizeof *kinds)

static bool is_kind(const char *word)
{
    for (size_t i = 0; i < NKINDS; i++)
        if (strcmp(kinds[i], word) == 0)
            return true;
    return false;
}

static void report_item(struct run *r, const struct item *i)
{
    const char *word = i->label ? i->label->text : "";
    struct suggest s = suggest_start(word);
    for (size_t k = 0; k < NKINDS; k++)
        suggest_add(&s, kinds[k]);
    diag_report(r->diag, DIAG_MISPLACED_ITEM, i->label ? i->label->loc : i->loc,
                "this has no meaning at the top of a file");
    diag_help(r->diag, "here stand use, param, block, model, placement, data, augment, recipe and "
                       "experiment, with a name");
    if (i->kind == ITEM_BODY && s.best)
        diag_fix(r->diag, s.best);
}

static bool declare(struct run *r, struct module *m, const struct item *i)
{
    if (map_get(&r->op_names, i->name) && strcmp(i->label->text, "block") == 0) {
        diag_report(r->diag, DIAG_DUPLICATE_NAME, i->name_loc, "`%s` is a layer of the language",
                    i->name);
        return false;
    }
    /* Experiments have names of their own: nothing in a file refers to them but other
     * experiments. */
    bool experiment = strcmp(i->label->text, "experiment") == 0;
    struct map *names = experiment ? &m->experiments : &m->decls;
    struct decl *old = map_get(names, i->name);
    if (old || (!experiment && map_get(&m->uses, i->name))) {
        diag_report(r->diag, DIAG_DUPLICATE_NAME, i->name_loc, "the name `%s` is already taken",
                    i->name);
        if (old)
            diag_note(r->diag, old->item->name_loc, "first defined here");
        return false;
    }
    struct decl *d = arena_alloc(r->arena, sizeof *d);
    *d = (struct decl){i, m, STATE_FRESH};
    map_put(r->arena, names, i->name, d);
    return true;
}

static bool declare_param(struct run *r, struct module *m, const struct item *i)
{
    const struct param *p = i->params;
    if (map_get(&m->params, p->name)) {
        diag_report(r->diag, DIAG_DUPLICATE_NAME, p->loc, "the parameter `%s` is defined twice",
                    p->name);
        return false;
    }
    struct file_param *fp = arena_alloc(r->arena, sizeof *fp);
    fp->param = p;
    map_put(r->arena, &m->params, p->name, fp);
    return true;
}

static bool check_edition(struct run *r, const struct module *m)
{
    const struct body *b = m->ast->body;
    struct loc start = {m->ast->src, 0, 0};
    const struct item *i = b->n ? b->items[0] : NULL;
    if (!i || i->kind != ITEM_EDITION || strcmp(i->label->text, "vmoe") != 0) {
        diag_report(r->diag, DIAG_EDITION, i ? i->loc : start,
                    "a file begins with its edition of the language");
        diag_help(r->diag, "write `vmoe 1` on the first line");
        return false;
    }
    if (i->value->value.type == SPEC_INT && i->value->value.i == 1 &&
        i->value->value.unit == UNIT_NONE)
        return true;
    diag_report(r->diag, DIAG_EDITION, i->value->loc, "this compiler knows edition 1, not %s",
                i->value->text);
    return false;
}

static bool load_item(struct run *r, struct module *m, const struct item *i, bool first)
{
    bool named = (i->kind == ITEM_BODY || i->kind == ITEM_DEFINE) && i->name && !i->name_quoted;
    if (i->kind == ITEM_EDITION && first)
        return true;
    if (i->kind == ITEM_USE)
        return load_use(r, m, i);
    if (i->kind == ITEM_PARAM)
        return declare_param(r, m, i);
    if (named && i->kind == ITEM_DEFINE && strcmp(i->label->text, "placement") == 0)
        return declare(r, m, i);
    if (named && i->kind == ITEM_BODY && is_kind(i->label->text))
        return declare(r, m, i);
    report_item(r, i);
    return false;
}

static bool load_items(struct run *r, struct module *m)
{
    m->state = STATE_BUSY;
    bool good = check_edition(r, m);
    const struct body *b = m->ast->body;
    for (size_t i = 0; i < b->n && !diag_full(r->diag); i++)
        good &= load_item(r, m, b->items[i], i == 0);
    m->state = good ? STATE_DONE : STATE_FAILED;
    return good;
}

/* A value of the command line: an expression where it parses as one, and its text where a text is
 * wanted. */
static struct expr *typed_value(struct run *r, const char *flag, const struct lang_define *def)
{
    struct source *all = source_from_text(r->arena, flag, def->value, strlen(def->value));
    struct expr *e = all ? front_parse_expr(r->arena, all, NULL) : NULL;
    if (!e) {
        e = arena_alloc(r->arena, sizeof *e);
        e->kind = EXPR_TEXT;
        e->depth = 1;
        e->loc = (struct loc){all, 0, all ? (uint32_t)all->len : 0};
        e->value = value_text(def->value);
        e->value.loc = e->loc;
    }
    e->raw = def->value;
    return e;
}

void expr_replace(struct run *r, const struct expr *old, const struct expr *typed)
{
    if (old && typed->raw && typed->loc.src)
        diag_replace(r->diag, old->loc, typed->loc,
                     arena_printf(r->arena, "%s=%s", typed->loc.src->path, typed->raw));
}

static bool apply_defines(struct run *r, struct module *m)
{
    bool good = true;
    for (size_t i = 0; i < r->options->ndefines; i++) {
        const struct lang_define *def = &r->options->defines[i];
        struct file_param *p = map_get(&m->params, def->name);
        const char *flag = arena_printf(r->arena, "-D %s", def->name);
        if (p) {
            p->given = typed_value(r, flag, def);
            expr_replace(r, p->param->def, p->given);
            continue;
        }
        good = false;
        struct suggest s = suggest_start(def->name);
        for (size_t k = 0; k < m->params.cap; k++)
            if (m->params.slots[k].key)
                suggest_add(&s, m->params.slots[k].key);
        diag_report(r->diag, DIAG_UNKNOWN_PARAM, (struct loc){0},
                    "`%s`: the file has no parameter of this name", flag);
        if (s.best)
            diag_help(r->diag, "did you mean `%s`?", s.best);
    }
    return good;
}

/* In the order of the file, so that messages come in it. */
static bool check_params(struct run *r, struct module *m)
{
    bool good = true;
    for (size_t i = 0; i < m->ast->body->n; i++) {
        const struct item *item = m->ast->body->items[i];
        struct spec_value v;
        if (item->kind == ITEM_PARAM)
            good &= eval_param(r, m, item->params->name, item->params->loc, &v);
    }
    return good;
}

bool module_load_main(struct run *r, const struct ast *ast)
{
    r->main = module_new(r, "", ast->src->path, ast);
    if (!load_items(r, r->main))
        return false;
    return apply_defines(r, r->main) && check_params(r, r->main);
}

/* ---- paths alone ---- */

static bool is_regular(const char *path)
{
    struct stat s;
    return !stat(path, &s) && S_ISREG(s.st_mode);
}

static const char *used_path(struct run *r, const char *file, const struct item *i)
{
    if (!i->label)
        return beside(r, file, i->text);
    for (size_t k = 0; i->label->n == 2 && k < r->options->nsearch; k++) {
        const char *folder = r->options->search[k];
        const char *path = arena_printf(r->arena, "%s/%s.vmoe", folder, i->label->at[1]);
        if (!access(path, F_OK))
            return path;
    }
    return "";
}

static void list_used(struct run *r, const char *file, const struct body *b)
{
    for (size_t i = 0; i < b->n && r->nmodules < LIMIT_MODULES; i++) {
        if (b->items[i]->kind != ITEM_USE)
            continue;
        const char *path = used_path(r, file, b->items[i]);
        if (is_regular(path) && !loaded(r, path))
            module_new(r, "", arena_copy(r->arena, path, strlen(path)), NULL);
    }
}

/* A tree is needed only until its files are known: many large ones take no more room than one. */
void module_list(struct run *r, const struct ast *ast)
{
    module_new(r, "", ast->src->path, ast);
    list_used(r, ast->src->path, ast->body);
    for (size_t i = 1; i < r->nmodules; i++) {
        struct arena *own = arena_new();
        const char *path = r->modules[i]->path;
        const struct source *src = source_read(own, path);
        struct diag *silent = diag_new(own, NULL, DIAG_TEXT, UINT_MAX);
        const struct ast *used = src ? lang_parse(own, src, silent) : NULL;
        if (used)
            list_used(r, path, used->body);
        arena_free(own);
    }
}

const char *const *module_paths(struct run *r, size_t *n)
{
    const char **paths = arena_array(r->arena, r->nmodules, sizeof *paths);
    for (*n = 0; *n < r->nmodules; ++*n)
        paths[*n] = r->modules[*n]->path;
    return paths;
}

/* ---- names ---- */

const char *module_kind(const struct decl *d)
{
    return d->item->label->text;
}

struct decl *module_look(struct module *m, const struct words *w)
{
    if (!m)
        return NULL;
    if (w->n == 1)
        return map_get(&m->decls, w->at[0]);
    struct module *used = w->n == 2 ? map_get(&m->uses, w->at[0]) : NULL;
    return used ? map_get(&used->decls, w->at[1]) : NULL;
}

void module_suggest(struct module *m, const char *kind, struct suggest *s)
{
    for (size_t i = 0; m && i < m->decls.cap; i++) {
        const struct decl *d = m->decls.slots[i].value;
        if (d && (!kind || strcmp(module_kind(d), kind) == 0))
            suggest_add(s, m->decls.slots[i].key);
    }
}

static void report_unknown(struct run *r, struct module *m, const struct words *w, const char *kind)
{
    struct module *used = w->n > 1 ? map_get(&m->uses, w->at[0]) : NULL;
    if (w->n > 1 && !used) {
        diag_report(r->diag, DIAG_UNKNOWN_NAME, w->loc, "`%s` is no file that this one uses",
                    w->at[0]);
        diag_help(r->diag, "`use std.%s` at the top makes a file of the library known", w->at[0]);
        return;
    }
    const char *word = w->at[used ? 1 : 0];
    struct suggest s = suggest_start(word);
    module_suggest(used ? used : m, kind, &s);
    diag_report(r->diag, DIAG_UNKNOWN_NAME, w->loc, "there is no %s `%s`",
                kind ? kind : "definition of", w->text);
    if (s.best)
        diag_fix(r->diag, used ? arena_printf(r->arena, "%s.%s", w->at[0], s.best) : s.best);
}

struct decl *module_find(struct run *r, struct module *m, const struct words *w, const char *kind)
{
    struct decl *d = module_look(m, w);
    if (kind && strcmp(kind, "experiment") == 0) {
        struct module *from = w->n == 1 ? m : w->n == 2 ? map_get(&m->uses, w->at[0]) : NULL;
        d = from ? map_get(&from->experiments, w->at[w->n - 1]) : NULL;
    }
    if (!d) {
        report_unknown(r, m, w, kind);
        return NULL;
    }
    if (!kind || strcmp(module_kind(d), kind) == 0)
        return d;
    diag_report(r->diag, DIAG_WRONG_KIND, w->loc, "`%s` is a %s, here stands a %s", w->text,
                module_kind(d), kind);
    diag_note(r->diag, d->item->name_loc, "defined here");
    return NULL;
}
