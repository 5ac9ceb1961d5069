/* Bodies merged along `amends`. Input: declarations. Output: nodes that hold, for each key, the
 * last expression written for it, with the scope it was written in. Values are computed late, when
 * they are asked for, so an expression of a parent sees what its child has changed. Key sets are
 * closed: an unknown key is reported with the nearest known one. */
#include <string.h>

#include "lang/base/arena.h"
#include "lang/resolve.h"

struct node *node_new(struct run *r, struct node *parent, const char *body, const char *kind,
                      const char *name, struct loc loc)
{
    struct node *n = arena_alloc(r->arena, sizeof *n);
    *n = (struct node){.body = body, .kind = kind, .name = name, .loc = loc, .parent = parent};
    if (parent)
        *ARENA_PUSH(r->arena, parent->kids, parent->nkids, parent->kids_cap) = n;
    return n;
}

struct node *node_kid(const struct node *n, const char *kind)
{
    for (size_t i = 0; i < n->nkids; i++)
        if (strcmp(n->kids[i]->kind, kind) == 0)
            return n->kids[i];
    return NULL;
}

static struct node *find_kid(const struct node *n, const char *kind, const char *name)
{
    for (size_t i = 0; i < n->nkids; i++)
        if ((!kind || strcmp(n->kids[i]->kind, kind) == 0) && strcmp(n->kids[i]->name, name) == 0)
            return n->kids[i];
    return NULL;
}

struct bind *node_bind(const struct node *n, const char *key)
{
    for (size_t i = 0; i < n->nbinds; i++)
        if (strcmp(n->binds[i].row->param->name, key) == 0)
            return &n->binds[i];
    return NULL;
}

struct loc node_loc(const struct node *n, const char *key)
{
    const struct bind *b = node_bind(n, key);
    return b && b->expr && b->expr->loc.src && b->expr->loc.src->path ? b->expr->loc : n->loc;
}

/* ---- messages ---- */

static const char *title(struct run *r, const struct node *n)
{
    return *n->name ? arena_printf(r->arena, "%s %s", n->kind, n->name) : n->kind;
}

static void report_key(struct run *r, const struct node *n, const char *word, struct loc loc)
{
    struct suggest s = suggest_start(word);
    keys_suggest(r->keys, n->body, &s);
    for (size_t i = 0; i < n->nkids; i++)
        if (*n->kids[i]->name)
            suggest_add(&s, n->kids[i]->name);
    diag_report(r->diag, DIAG_UNKNOWN_KEY, loc, "`%s` has no key `%s`", title(r, n), word);
    if (s.best)
        diag_fix(r->diag, s.best);
    const char *parent = keys_parent_of_kind(word);
    if (parent && !keys_body(n->body, word))
        diag_help(r->diag, "`%s` stands in `%s { }`", word, parent);
    diag_note(r->diag, (struct loc){0}, "keys of `%s`: %s", n->kind,
              keys_list(r->arena, r->keys, n->body));
}

/* ---- keys ---- */

static bool is_call_type(struct run *r, const char *type)
{
    return strcmp(type, "layer") == 0 ||
           (strcmp(type, "groups") != 0 && keys_variant(r->keys, type, NULL));
}

static struct bind *bind_get(struct run *r, struct node *n, struct key_row *row)
{
    struct bind *b = node_bind(n, row->param->name);
    if (b)
        return b;
    b = ARENA_PUSH(r->arena, n->binds, n->nbinds, n->binds_cap);
    *b = (struct bind){.row = row, .scope = {.node = n, .skip = row->param->name}};
    return b;
}

static void bind_key(struct run *r, struct node *n, struct key_row *row, struct expr *e,
                     struct scope scope, struct loc loc)
{
    struct bind *b = bind_get(r, n, row);
    expr_replace(r, b->expr, e);
    scope.node = n;
    scope.skip = row->param->name;
    *b = (struct bind){.row = row, .expr = e, .scope = scope, .loc = loc};
    /* `expert = x` replaces an inherited `expert { }`, and the other way round. */
    struct node *kid = node_kid(n, row->param->name);
    if (kid)
        kid->list = NULL;
}

static void report_no_call(struct run *r, const struct key_row *row, struct loc loc)
{
    diag_report(r->diag, DIAG_MISSING_KEY, loc, "`%s` is not set: it has no argument to change",
                row->param->name);
}

static void bind_patch(struct run *r, struct node *n, struct key_row *row, const char *name,
                       struct expr *e, struct scope scope, struct loc loc)
{
    struct bind *b = bind_get(r, n, row);
    scope.node = n;
    scope.skip = row->param->name;
    /* A stage that amends another one may get the call from there: link_stage() looks again. */
    if (!b->expr && !row->param->def && !n->link) {
        report_no_call(r, row, loc);
        return;
    }
    *ARENA_PUSH(r->arena, b->patches, b->npatches, b->patches_cap) =
        (struct patch){name, e, scope, loc};
}

static struct node *amend_kid(struct run *r, struct node *n, const struct body_row *row,
                              struct loc loc, const struct words *target, const struct expr *call,
                              struct scope scope, bool own);

static void set_path(struct run *r, struct node *n, const struct words *w, size_t at,
                     struct expr *e, struct scope scope)
{
    const char *word = w->at[at];
    bool last = at + 1 == w->n;
    struct key_row *row = keys_find(r->keys, n->body, word);
    const struct body_row *body = keys_body(n->body, word);
    if (last && row) {
        bind_key(r, n, row, e, scope, w->loc);
    } else if (last && body && (e->kind == EXPR_NAME || e->kind == EXPR_CALL)) {
        struct scope caller = scope;
        caller.node = n;
        amend_kid(r, n, body, w->loc, e->words, e, caller, true);
    } else if (!last && row && at + 2 == w->n && is_call_type(r, row->param->type)) {
        bind_patch(r, n, row, w->at[at + 1], e, scope, w->loc);
    } else {
        struct node *kid = last ? NULL : find_kid(n, NULL, word);
        if (!last && !kid && body)
            kid = body->form == BODY_ONE ? node_kid(n, word) : find_kid(n, word, "");
        if (!kid && !last && body && body->form == BODY_ONE)
            kid = node_new(r, n, body->body, body->kind, "", w->loc);
        if (kid)
            set_path(r, kid, w, at + 1, e, scope);
        else if (row || body) {
            diag_report(r->diag, DIAG_WRONG_TYPE, w->loc,
                        "`%s` has no parts that are set like this", word);
            if (body)
                diag_help(r->diag, "write `%s%s { ... }`", body->kind,
                          body->form == BODY_NAMED ? " NAME" : "");
        } else
            report_key(r, n, word, w->loc);
    }
}

void node_set(struct run *r, struct node *n, const struct words *path, struct expr *value,
              struct scope scope)
{
    set_path(r, n, path, 0, value, scope);
}

/* ---- bodies in bodies ---- */

static const char *decl_kind(const char *kind)
{
    return strcmp(kind, "train") == 0 ? "recipe" : kind;
}

/* The frame of a declaration with parameters: `data = data.imagenet(root: ...)`. */
static bool decl_frame(struct run *r, const struct decl *d, const struct expr *call,
                       struct scope caller, struct frame *out)
{
    const struct item *i = d->item;
    if (!i->has_params && (!call || call->kind == EXPR_NAME))
        return true;
    struct callee c = {i->name, i->params, i->nparams, d->module};
    return call_bind(r, &c, call, &caller, NULL, 0, out);
}

/* target: what the body amends or is set to; call: the expression it was written in, or NULL. */
static struct node *amend_kid(struct run *r, struct node *n, const struct body_row *row,
                              struct loc loc, const struct words *target, const struct expr *call,
                              struct scope scope, bool own)
{
    if (strcmp(n->body, "experiment") != 0 || row->form != BODY_ONE) {
        diag_report(r->diag, DIAG_WRONG_KIND, target->loc,
                    "`%s` amends nothing: write what it holds in `{ }`", row->kind);
        return NULL;
    }
    struct decl *d = module_find(r, scope.module, target, decl_kind(row->kind));
    if (!d)
        return NULL;
    struct node *kid = node_kid(n, row->kind);
    if (!kid)
        kid = node_new(r, n, row->body, row->kind, "", loc);
    /* What was there is replaced as a whole. */
    const char *name = strcmp(row->kind, "model") == 0 ? d->item->name : "";
    *kid =
        (struct node){.body = row->body, .kind = row->kind, .name = name, .loc = loc, .parent = n};
    struct frame *frame = arena_alloc(r->arena, sizeof *frame);
    return decl_frame(r, d, call, scope, frame) && node_apply_decl(r, kid, d, frame, own) ? kid
                                                                                          : NULL;
}

static bool holds_layers(const struct node *n)
{
    return strcmp(n->body, "part") == 0 || strcmp(n->body, "layers") == 0 ||
           strcmp(n->body, "augment") == 0;
}

static bool is_key_item(struct run *r, const struct node *n, const struct item *i)
{
    return i->kind == ITEM_SET && !i->label->quoted && i->label->n == 1 &&
           keys_find(r->keys, n->body, i->label->text);
}

static bool apply_body(struct run *r, struct node *n, const struct body *b, struct scope scope,
                       bool own);

static struct node *kid_for(struct run *r, struct node *n, const struct body_row *row,
                            const struct item *i, bool amending)
{
    const char *name = i->name ? i->name : "";
    struct node *kid = NULL;
    bool repeats = row->form == BODY_MANY && strcmp(row->body, "moe") != 0;
    if (row->form == BODY_NAMED && !i->name) {
        diag_report(r->diag, DIAG_MISPLACED_ITEM, i->label->loc, "`%s` needs a name: `%s NAME { }`",
                    row->kind, row->kind);
        return NULL;
    }
    if (row->form == BODY_NAMED && !*name) {
        diag_report(r->diag, DIAG_MISPLACED_ITEM, i->name_loc,
                    "a `%s` has a name that is not empty", row->kind);
        return NULL;
    }
    if (row->form == BODY_ONE && i->name) {
        diag_report(r->diag, DIAG_MISPLACED_ITEM, i->name_loc, "`%s` takes no name", row->kind);
        return NULL;
    }
    if (strcmp(row->kind, "enter") == 0 || row->form == BODY_ONE)
        kid = node_kid(n, row->kind);
    else if (!repeats)
        kid = find_kid(n, row->kind, name);
    if (kid && strcmp(row->kind, "enter") == 0)
        kid->name = name;
    if (kid)
        return kid;
    if (amending && strcmp(row->kind, "stage") == 0) {
        struct suggest s = suggest_start(name);
        for (size_t k = 0; k < n->nkids; k++)
            suggest_add(&s, n->kids[k]->name);
        diag_report(r->diag, DIAG_UNKNOWN_KEY, i->name_loc, "the amended model has no stage `%s`",
                    name);
        if (s.best)
            diag_fix(r->diag, s.best);
        return NULL;
    }
    if (!repeats && n->nkids >= LIMIT_NAMED) {
        r->stop = true;
        diag_report(r->diag, DIAG_TOO_LARGE, i->loc, "`%s` holds more than %d bodies", title(r, n),
                    LIMIT_NAMED);
        return NULL;
    }
    return node_new(r, n, row->body, row->kind, name, i->loc);
}

static bool apply_kid(struct run *r, struct node *n, const struct item *i, struct scope scope,
                      bool amending)
{
    const struct body_row *row =
        i->label->n == 1 && !i->label->quoted ? keys_body(n->body, i->label->text) : NULL;
    if (!row) {
        report_key(r, n, i->label->text, i->label->loc);
        return false;
    }
    if (i->has_params) {
        diag_report(r->diag, DIAG_MISPLACED_ITEM, i->loc, "`%s` takes no parameters here",
                    row->kind);
        return false;
    }
    if (i->amends && strcmp(row->kind, "stage") != 0) {
        struct node *kid = amend_kid(r, n, row, i->loc, i->amends, NULL, scope, false);
        return kid && apply_body(r, kid, i->body, scope, true);
    }
    struct node *kid = kid_for(r, n, row, i, amending);
    if (!kid)
        return false;
    if (i->amends)
        kid->link = i->amends;
    struct key_row *value = keys_find(r->keys, n->body, row->kind);
    struct bind *b = value ? node_bind(n, value->param->name) : NULL;
    if (b && holds_layers(kid))
        b->expr = NULL, b->npatches = 0;
    return apply_body(r, kid, i->body, scope, true);
}

/* What a body writes twice is a mistake, not an order. */
static bool note_once(struct run *r, struct map *seen, const struct item *i)
{
    const char *what = NULL;
    if (i->kind == ITEM_SET)
        what = i->label->text;
    else if (i->kind == ITEM_BODY && strcmp(i->label->text, "block") != 0 &&
             strcmp(i->label->text, "placed") != 0)
        what = i->name ? arena_printf(r->arena, "%s %s", i->label->text, i->name) : i->label->text;
    if (!what)
        return true;
    const struct item *old = map_get(seen, what);
    if (!old) {
        map_put(r->arena, seen, what, (void *)(uintptr_t)i);
        return true;
    }
    diag_report(r->diag, DIAG_DUPLICATE_KEY, i->label->loc, "`%s` stands twice in one body", what);
    diag_note(r->diag, old->label->loc, "first here");
    if (strncmp(what, "moe", 3) == 0)
        diag_help(r->diag, "give each a name: `moe NAME { }`");
    return false;
}

static bool apply_item(struct run *r, struct node *n, const struct item *i, struct scope scope,
                       bool own, bool amending)
{
    switch (i->kind) {
    case ITEM_SET:
        if (i->label->quoted)
            report_key(r, n, i->label->text, i->label->loc);
        else
            set_path(r, n, i->label, 0, i->value, scope);
        return true;
    case ITEM_BODY: return apply_kid(r, n, i, scope, amending);
    case ITEM_CHECK:
        if (strcmp(n->body, "model") != 0 && strcmp(n->body, "experiment") != 0)
            break;
        if (own)
            *ARENA_PUSH(r->arena, n->checks, n->nchecks, n->checks_cap) =
                (struct node_check){i, scope};
        return true;
    default: break;
    }
    diag_report(r->diag, DIAG_MISPLACED_ITEM, i->loc, "this has no meaning in `%s`", title(r, n));
    diag_note(r->diag, (struct loc){0}, "keys of `%s`: %s", n->kind,
              keys_list(r->arena, r->keys, n->body));
    return false;
}

/* A list replaces the one that was there, but for augmentations: experiment.c lays its calls over
 * the earlier ones. */
static void take_list(struct run *r, struct node *n, const struct body *b, struct scope scope)
{
    bool changes = strcmp(n->body, "augment") == 0 && b->n > 0;
    if (n->list == b)
        return;
    if (n->list && changes) {
        struct amended *before = arena_alloc(r->arena, sizeof *before);
        *before = (struct amended){n->list, n->list_scope, n->before};
        n->before = before;
    } else
        n->before = NULL;
    n->list = b;
    n->list_scope = scope;
}

static bool apply_body(struct run *r, struct node *n, const struct body *b, struct scope scope,
                       bool own)
{
    bool good = true, amending = n->nkids > 0, layers = holds_layers(n);
    struct map seen = {0};
    scope.node = n;
    for (size_t i = 0; i < b->n && !diag_full(r->diag) && run_step(r, 1, b->items[i]->loc); i++) {
        const struct item *item = b->items[i];
        if (layers && !is_key_item(r, n, item))
            take_list(r, n, b, scope);
        else
            good &= note_once(r, &seen, item) && apply_item(r, n, item, scope, own, amending);
    }
    /* An empty list replaces, too; a body with only keys keeps the layers that were there. */
    if (layers && b->n == 0)
        take_list(r, n, b, scope);
    return good && !r->stop;
}

bool node_apply_body(struct run *r, struct node *n, const struct body *b, struct scope scope)
{
    return apply_body(r, n, b, scope, true);
}

/* A declaration and what it amends, the nearest first, each with the frame that its body sees. */
struct chain {
    struct chain_link {
        struct decl *decl;
        const struct frame *frame;
    } *at;
    size_t n, cap;
};

static bool chain_follow(struct run *r, struct chain *c, struct decl *d, const struct frame *frame)
{
    for (;;) {
        const struct item *i = d->item;
        *ARENA_PUSH(r->arena, c->at, c->n, c->cap) = (struct chain_link){d, frame};
        d->state = STATE_BUSY;
        if (!i->amends)
            return true;
        struct decl *base = module_find(r, d->module, i->amends, module_kind(d));
        if (!base || !run_step(r, 1, i->loc))
            return false;
        if (base->state == STATE_BUSY) {
            diag_report(r->diag, DIAG_AMENDS_CYCLE, base->item->name_loc, "`%s` amends itself",
                        base->item->name);
            diag_note(r->diag, i->amends->loc, "`%s` amends `%s` here", i->name, i->amends->text);
            return false;
        }
        struct frame *inner = arena_alloc(r->arena, sizeof *inner);
        struct scope caller = {.module = d->module, .frame = frame};
        if (!decl_frame(r, base, NULL, caller, inner))
            return false;
        d = base;
        frame = inner;
    }
}

bool node_apply_decl(struct run *r, struct node *n, struct decl *d, const struct frame *frame,
                     bool own)
{
    struct chain c = {0};
    bool good = chain_follow(r, &c, d, frame);
    for (size_t i = 0; i < c.n; i++)
        c.at[i].decl->state = STATE_FRESH;
    for (size_t i = c.n; good && i-- > 0;) {
        struct scope s = {.module = c.at[i].decl->module, .frame = c.at[i].frame};
        good = apply_body(r, n, c.at[i].decl->item->body, s, own && i == 0);
    }
    return good;
}

/* ---- stages ---- */

static void copy_missing(struct run *r, struct node *n, const struct node *from)
{
    for (size_t i = 0; i < from->nbinds; i++) {
        const struct bind *b = &from->binds[i];
        const char *key = b->row->param->name;
        const struct bind *mine = node_bind(n, key);
        struct bind changes = mine ? *mine : (struct bind){0};
        if (mine && (mine->expr || !mine->npatches))
            continue;
        /* `depth` with `block =` and written-out blocks exclude each other: what this stage says
         * counts. */
        if (strcmp(key, "block") == 0 && node_kid(n, "block"))
            continue;
        struct bind *own = bind_get(r, n, b->row);
        *own = *b;
        own->scope.node = n;
        own->state = STATE_FRESH;
        own->npatches = own->patches_cap = b->npatches + changes.npatches;
        own->patches = arena_array(r->arena, own->npatches, sizeof *own->patches);
        for (size_t k = 0; k < own->npatches; k++) {
            own->patches[k] = k < b->npatches ? b->patches[k] : changes.patches[k - b->npatches];
            own->patches[k].scope.node = n;
        }
    }
    bool has_blocks = node_kid(n, "block") || node_bind(n, "block"),
         has_enter = node_kid(n, "enter");
    for (size_t i = 0; i < from->nkids; i++) {
        const struct node *kid = from->kids[i];
        if (strcmp(kid->kind, "enter") == 0 ? has_enter : has_blocks)
            continue;
        struct node *copy = node_new(r, n, kid->body, kid->kind, kid->name, kid->loc);
        copy->list = kid->list;
        copy->list_scope = kid->list_scope;
        copy->list_scope.node = copy;
    }
}

static void link_stage(struct run *r, struct node *model, struct node *n)
{
    if (!n->link || n->linked)
        return;
    if (n->state == STATE_BUSY) {
        diag_report(r->diag, DIAG_AMENDS_CYCLE, n->link->loc, "the stage `%s` amends itself",
                    n->name);
        return;
    }
    n->state = STATE_BUSY;
    struct node *from = find_kid(model, "stage", n->link->text);
    if (!from) {
        struct suggest s = suggest_start(n->link->text);
        for (size_t i = 0; i < model->nkids; i++)
            suggest_add(&s, model->kids[i]->name);
        diag_report(r->diag, DIAG_UNKNOWN_NAME, n->link->loc, "the model has no stage `%s`",
                    n->link->text);
        if (s.best)
            diag_fix(r->diag, s.best);
    } else {
        link_stage(r, model, from);
        copy_missing(r, n, from);
        for (size_t i = 0; i < n->nbinds; i++)
            if (!n->binds[i].expr && !n->binds[i].row->param->def && n->binds[i].npatches)
                report_no_call(r, n->binds[i].row, n->binds[i].patches[0].loc);
    }
    n->linked = true;
    n->state = STATE_DONE;
}

void node_link_stages(struct run *r, struct node *model)
{
    for (size_t i = 0; i < model->nkids && !r->stop; i++)
        if (strcmp(model->kids[i]->kind, "stage") == 0)
            link_stage(r, model, model->kids[i]);
}

/* ---- values of keys ---- */

static bool compute(struct run *r, struct node *n, struct bind *b)
{
    const struct param *p = b->row->param;
    const struct expr *e = b->expr ? b->expr : p->def;
    struct scope s = b->expr ? b->scope : (struct scope){0};
    if (!e)
        return true;
    s.node = n;
    bool good = is_call_type(r, p->type) && b->npatches
                    ? call_variant(r, &s, e, p->type, b->patches, b->npatches, &b->value)
                    : eval(r, &s, e, p->type, p->optional, p->name, &b->value);
    return good && eval_constraint(r, p, &b->value, NULL, NULL, DIAG_OUT_OF_RANGE);
}

bool node_value(struct run *r, struct node *n, const char *key, struct spec_value *out)
{
    struct key_row *row = keys_find(r->keys, n->body, key);
    struct bind *b = bind_get(r, n, row);
    *out = (struct spec_value){0};
    if (b->state == STATE_BUSY) {
        diag_report(r->diag, DIAG_VALUE_CYCLE, b->expr ? b->expr->loc : n->loc,
                    "`%s` depends on itself", key);
        for (size_t i = 0; i < n->nbinds; i++)
            if (n->binds[i].state == STATE_BUSY && &n->binds[i] != b)
                diag_note(r->diag, n->binds[i].loc, "through `%s`", n->binds[i].row->param->name);
        return false;
    }
    if (b->state == STATE_FRESH) {
        b->state = STATE_BUSY;
        size_t index = (size_t)(b - n->binds);
        struct bind copy = *b; /* computing may bind other keys and move the array */
        bool good = compute(r, n, &copy);
        b = &n->binds[index];
        b->value = copy.value;
        b->state = good ? STATE_DONE : STATE_FAILED;
    }
    *out = b->value;
    if (b->state == STATE_DONE && out->type == SPEC_NONE && !row->param->optional) {
        diag_report(r->diag, DIAG_MISSING_KEY, n->loc, "`%s` does not set `%s`", title(r, n), key);
        diag_help(r->diag, "`%s`: %s", key, row->help);
        b->state = STATE_FAILED;
    }
    return b->state == STATE_DONE;
}

const struct bind *node_layer(struct run *r, struct node *n, const char *key)
{
    struct bind *b = node_bind(n, key);
    if (b && b->expr) {
        bool none = b->expr->kind == EXPR_NAME && strcmp(b->expr->words->text, "none") == 0;
        return none ? NULL : b;
    }
    struct key_row *row = keys_find(r->keys, n->body, key);
    if (!row->param->def)
        return NULL;
    struct bind *d = bind_get(r, n, row);
    d->expr = row->param->def;
    return d;
}

int64_t node_int(struct run *r, struct node *n, const char *key)
{
    struct spec_value v;
    return node_value(r, n, key, &v) && v.type == SPEC_INT ? v.i : v.type == SPEC_BOOL ? v.i : 0;
}

double node_number(struct run *r, struct node *n, const char *key)
{
    struct spec_value v;
    return node_value(r, n, key, &v) && v.type != SPEC_NONE ? v.f : 0;
}

const char *node_text(struct run *r, struct node *n, const char *key)
{
    struct spec_value v;
    return node_value(r, n, key, &v) ? v.text : NULL;
}
