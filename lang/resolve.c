/* The resolver: the order of its passes. Input: the tree of the main file and what the command line
 * chose. Output: the resolved spec, or reports. */
#include <string.h>

#include "lang/base/arena.h"
#include "lang/front.h"
#include "lang/resolve.h"

static void read_ops(struct run *r)
{
    const struct lang_options *o = r->options;
    r->ops = arena_array(r->arena, o->nops, sizeof *r->ops);
    for (size_t i = 0; i < o->nops; i++) {
        r->ops[i].op = &o->ops[i];
        keys_signature(r->arena, o->ops[i].signature, &r->ops[i].params, &r->ops[i].nparams);
        map_put(r->arena, &r->op_names, o->ops[i].name, &r->ops[i]);
    }
}

/* ---- what to build ---- */

static const char *list_names(struct run *r, const char *kind)
{
    const struct body *b = r->main->ast->body;
    const char *list = "";
    for (size_t i = 0; i < b->n; i++)
        if (b->items[i]->kind == ITEM_BODY && strcmp(b->items[i]->label->text, kind) == 0 &&
            strlen(list) < 400)
            list = arena_printf(r->arena, "%s%s%s", list, *list ? ", " : "", b->items[i]->name);
    return list;
}

/* The one that is named, or `main`, or the only one. */
static struct decl *choose(struct run *r, const char *kind, const struct map *names,
                           const char *wanted, bool *several)
{
    size_t n = 0;
    struct decl *only = NULL;
    const struct body *b = r->main->ast->body;
    for (size_t i = 0; i < b->n; i++) {
        if (b->items[i]->kind != ITEM_BODY || strcmp(b->items[i]->label->text, kind) != 0)
            continue;
        only = map_get(names, b->items[i]->name);
        n++;
    }
    struct decl *d = map_get(names, wanted ? wanted : "main");
    if (d && strcmp(module_kind(d), kind) == 0)
        return d;
    *several = n > 1;
    return wanted || n != 1 ? NULL : only;
}

static void report_choice(struct run *r, const char *kind, const char *wanted, bool several)
{
    struct loc loc = {r->main->ast->src, 0, 0};
    const char *list = list_names(r, kind);
    if (wanted) {
        struct suggest s = suggest_start(wanted);
        const struct body *b = r->main->ast->body;
        for (size_t i = 0; i < b->n; i++)
            if (b->items[i]->kind == ITEM_BODY && b->items[i]->name)
                suggest_add(&s, b->items[i]->name);
        diag_report(r->diag, DIAG_NO_MODEL, loc, "the file has no %s `%s`", kind, wanted);
        if (s.best)
            diag_help(r->diag, "did you mean `%s`?", s.best);
    } else if (several) {
        diag_report(r->diag, DIAG_NO_MODEL, loc, "the file has several %ss and none is `main`",
                    kind);
        diag_help(r->diag, "choose one with `--%s NAME`", kind);
    } else
        diag_report(r->diag, DIAG_NO_MODEL, loc,
                    "the file has neither an experiment nor a model to build");
    if (*list)
        diag_note(r->diag, (struct loc){0}, "%ss of the file: %s", kind, list);
}

static struct node *start_experiment(struct run *r, const char **name)
{
    struct loc none = {0};
    bool several = false;
    struct decl *d = NULL;
    const char *wanted = r->options->experiment;
    struct node *n = node_new(r, NULL, "experiment", "experiment", "", none);
    if (!r->options->model || wanted) {
        d = choose(r, "experiment", &r->main->experiments, wanted, &several);
        if (!d && (wanted || several)) {
            report_choice(r, "experiment", wanted, several);
            return NULL;
        }
    }
    if (d) {
        n->name = *name = d->item->name;
        n->loc = d->item->loc;
        return node_apply_decl(r, n, d, NULL, true) ? n : NULL;
    }
    d = choose(r, "model", &r->main->decls, r->options->model, &several);
    if (!d) {
        report_choice(r, "model", r->options->model, several);
        return NULL;
    }
    *name = d->item->name;
    n->loc = d->item->loc;
    struct node *model = node_new(r, n, "model", "model", d->item->name, d->item->loc);
    return node_apply_decl(r, model, d, NULL, true) ? n : NULL;
}

/* ---- --set ---- */

static struct words *set_path(struct run *r, const struct source *src, const char *text)
{
    struct words *w = arena_alloc(r->arena, sizeof *w);
    w->at = arena_array(r->arena, 16, sizeof *w->at);
    w->text = text;
    w->loc = (struct loc){src, 0, (uint32_t)strlen(text)};
    char *copy = arena_copy(r->arena, text, strlen(text)), *part;
    while ((part = strsep(&copy, "."))) {
        if (!text_is_word(part) || w->n == 16)
            return NULL;
        w->at[w->n++] = part;
    }
    return w;
}

static void apply_set(struct run *r, struct node *experiment, const struct lang_define *set)
{
    const char *line = arena_printf(r->arena, "%s=%s", set->name, set->value);
    struct source *src = source_from_text(r->arena, "--set", line, strlen(line));
    if (!src || text_check_utf8(line, strlen(line)) < strlen(line)) {
        diag_report(r->diag, DIAG_BAD_TEXT_ENCODING, (struct loc){0},
                    "a `--set` is too long or not valid UTF-8");
        return;
    }
    struct words *w = set_path(r, src, set->name);
    if (!w) {
        diag_report(r->diag, DIAG_UNKNOWN_SET_PATH,
                    (struct loc){src, 0, (uint32_t)strlen(set->name)},
                    "`%s` is no path of keys, such as train.optim.lr", set->name);
        return;
    }
    const char *flag = arena_printf(r->arena, "--set %s", set->name);
    struct source *value = source_from_text(r->arena, flag, set->value, strlen(set->value));
    struct expr *e = front_parse_expr(r->arena, value, NULL);
    if (!e) {
        e = arena_alloc(r->arena, sizeof *e);
        e->kind = EXPR_TEXT;
        e->depth = 1;
        e->value = value_text(set->value);
        e->loc = (struct loc){value, 0, (uint32_t)value->len};
    }
    e->raw = set->value;
    node_set(r, experiment, w, e, (struct scope){.module = r->main});
}

/* ---- all of it ---- */

static struct spec *build(struct run *r, struct node *experiment, const char *name)
{
    struct node *model = node_kid(experiment, "model");
    if (!model) {
        diag_report(r->diag, DIAG_MISSING_KEY, experiment->loc, "the experiment `%s` has no model",
                    name);
        diag_help(r->diag, "write `model = NAME`");
        return NULL;
    }
    struct spec *spec = arena_alloc(r->arena, sizeof *spec);
    spec->file = r->main->path;
    spec->name = name;
    spec->files = module_paths(r, &spec->nfiles);
    spec->ops = r->ops;
    bool good = model_build(r, model, &spec->model);
    good &= experiment_export(r, experiment, spec);
    if (!good || r->stop)
        return NULL;
    fit_check(r, spec);
    spec->checks = checks_new(r);
    checks_add(r, spec->checks, model);
    checks_add(r, spec->checks, experiment);
    return spec;
}

const char *const *lang_files(struct arena *a, const struct ast *ast, const struct lang_options *o,
                              size_t *n)
{
    struct run r = {.arena = a, .options = o};
    module_list(&r, ast);
    return module_paths(&r, n);
}

struct spec *lang_resolve(struct arena *a, const struct ast *ast, const struct lang_options *o,
                          struct diag *d)
{
    struct run r = {.arena = a, .diag = d, .options = o};
    unsigned before = diag_errors(d);
    r.keys = keys_new(a);
    read_ops(&r);
    struct spec *spec = NULL;
    const char *name = "";
    if (module_load_main(&r, ast)) {
        struct node *experiment = start_experiment(&r, &name);
        for (size_t i = 0; experiment && i < o->nsets; i++)
            apply_set(&r, experiment, &o->sets[i]);
        if (experiment && diag_errors(d) == before)
            spec = build(&r, experiment, name);
    }
    diag_flush(d);
    if (!spec || diag_errors(d) != before)
        return NULL;
    spec_hash(spec, a);
    return spec;
}
