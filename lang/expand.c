/* Blocks to layers. Input: lists of layer items, with the scope they were written in. Output:
 * primitives and their compositions, every argument evaluated. A call of a block becomes its
 * layers, under its label or among the caller's. */
#include <string.h>

#include "lang/base/arena.h"
#include "lang/resolve.h"

/* A list that is being filled, and the labels that name its tensors: residuals and branches share
 * their parent's. */
struct list {
    struct spec_layer **at;
    size_t n, cap;
    struct map *labels;
};

struct call_site {
    const struct expr *expr;
    const struct patch *patches;
    size_t npatches;
};

static bool expand_items(struct run *r, struct expand *x, const struct scope *s,
                         const struct body *b, struct list *out);
static bool expand_call(struct run *r, struct expand *x, const struct scope *s, struct call_site c,
                        const char *label, struct list *out);

struct spec_layer *layer_new(struct run *r, enum spec_layer_kind kind, const char *label,
                             struct loc loc)
{
    if (++r->layers > LIMIT_LAYERS && !r->stop) {
        r->stop = true;
        diag_report(r->diag, DIAG_TOO_LARGE, loc, "the network has more than %d layers",
                    LIMIT_LAYERS);
    }
    struct spec_layer *l = arena_alloc(r->arena, sizeof *l);
    *l = (struct spec_layer){.kind = kind, .label = label, .loc = loc};
    return l;
}

static void push(struct run *r, struct list *out, struct spec_layer *l)
{
    *ARENA_PUSH(r->arena, out->at, out->n, out->cap) = l;
}

static void take(struct spec_layer *l, const struct list *list)
{
    l->kids = list->at;
    l->nkids = list->n;
}

static bool claim_label(struct run *r, struct list *out, const char *label, struct loc loc)
{
    if (!*label)
        return true;
    struct loc *old = map_get(out->labels, label);
    if (old) {
        diag_report(r->diag, DIAG_DUPLICATE_LABEL, loc,
                    "the label `%s` is already taken: tensors need names of their own", label);
        diag_note(r->diag, *old, "first here");
        return false;
    }
    struct loc *mine = arena_alloc(r->arena, sizeof *mine);
    *mine = loc;
    map_put(r->arena, out->labels, label, mine);
    return true;
}

/* ---- primitives ---- */

static bool check_per_token(struct run *r, const struct expand *x, const struct op_row *op,
                            struct loc loc)
{
    if (!x->expert_of || op->op->per_token)
        return true;
    diag_report(r->diag, DIAG_EXPERT_LAYER, loc,
                "`%s` does not work on single tokens: it cannot stand inside an expert",
                op->op->name);
    diag_note(r->diag, x->expert_loc, "the expert is given here");
    diag_help(r->diag, "an expert sees one token at a time: linear (for a conv of 1px, too), "
                       "layernorm, gelu, scale, slice and such");
    return false;
}

static bool expand_op(struct run *r, struct expand *x, const struct scope *s, struct call_site c,
                      const struct op_row *op, const char *label, struct list *out)
{
    if (!check_per_token(r, x, op, c.expr->loc))
        return false;
    struct callee callee = {op->op->name, op->params, op->nparams, NULL};
    struct frame frame = {0};
    if (!call_bind(r, &callee, c.expr, s, c.patches, c.npatches, &frame))
        return false;
    struct spec_layer *l = layer_new(r, LAYER_OP, label, c.expr->loc);
    struct spec_value *args = arena_array(r->arena, op->nparams, sizeof *args);
    for (size_t i = 0; i < op->nparams; i++)
        args[i] = frame.at[i].value;
    l->op = (int)(op - r->ops);
    l->args = args;
    l->nargs = op->nparams;
    push(r, out, l);
    return true;
}

/* ---- blocks ---- */

static const char *list_layers(struct run *r)
{
    const char *list = "";
    for (size_t i = 0; i < r->options->nops; i++)
        list = arena_printf(r->arena, "%s%s%s", list, i ? ", " : "", r->ops[i].op->name);
    return list;
}

static void report_unknown(struct run *r, const struct scope *s, const struct words *w)
{
    struct decl *d = module_look(s->module, w);
    if (d) {
        module_find(r, s->module, w, "block");
        return;
    }
    if (w->n > 1) {
        module_find(r, s->module, w, "block");
        return;
    }
    static const char *const words[] = {"residual", "sum",  "product", "concat",
                                        "branch",   "slot", "moe"};
    struct suggest near = suggest_start(w->text);
    for (size_t i = 0; i < r->options->nops; i++)
        suggest_add(&near, r->ops[i].op->name);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        suggest_add(&near, words[i]);
    module_suggest(s->module, "block", &near);
    diag_report(r->diag, DIAG_UNKNOWN_LAYER, w->loc, "there is no layer and no block `%s`",
                w->text);
    if (near.best)
        diag_fix(r->diag, near.best);
    else
        diag_note(r->diag, (struct loc){0}, "layers of the language: %s", list_layers(r));
}

static void report_cycle(struct run *r, const struct decl *d, struct loc loc)
{
    diag_report(r->diag, DIAG_BLOCK_CYCLE, loc, "the block `%s` contains itself", d->item->name);
    for (size_t m = 0; m < r->nmodules; m++)
        for (size_t i = 0; i < r->modules[m]->decls.cap; i++) {
            const struct decl *other = r->modules[m]->decls.slots[i].value;
            if (other && other != d && other->state == STATE_BUSY &&
                strcmp(module_kind(other), "block") == 0)
                diag_note(r->diag, other->item->name_loc, "through `%s`", other->item->name);
        }
}

static bool expand_block(struct run *r, struct expand *x, const struct scope *s, struct call_site c,
                         struct decl *d, struct list *out)
{
    const struct item *i = d->item;
    if (d->state == STATE_BUSY) {
        report_cycle(r, d, c.expr->loc);
        return false;
    }
    if (r->depth == LIMIT_CALLS) {
        diag_report(r->diag, DIAG_TOO_DEEP, c.expr->loc,
                    "blocks are called by blocks in more than %d levels", LIMIT_CALLS);
        return false;
    }
    struct frame *frame = frame_join(r, NULL, x->words);
    struct callee callee = {i->name, i->params, i->nparams, d->module};
    if (!call_bind(r, &callee, c.expr, s, c.patches, c.npatches, frame))
        return false;
    struct scope inner = {.module = d->module, .frame = frame};
    d->state = STATE_BUSY;
    r->depth++;
    bool good = expand_items(r, x, &inner, i->body, out);
    r->depth--;
    d->state = STATE_FRESH;
    return good;
}

static bool expand_call(struct run *r, struct expand *x, const struct scope *s, struct call_site c,
                        const char *label, struct list *out)
{
    if (!run_step(r, 1, c.expr->loc))
        return false;
    if (c.expr->kind != EXPR_NAME && c.expr->kind != EXPR_CALL) {
        diag_report(r->diag, DIAG_WRONG_TYPE, c.expr->loc,
                    "expected a layer or a block: linear(out: 10), layers.mlp");
        return false;
    }
    const struct words *w = c.expr->words;
    const struct op_row *op = w->n == 1 ? map_get(&r->op_names, w->text) : NULL;
    if (op)
        return expand_op(r, x, s, c, op, label, out);
    struct decl *d = module_look(s->module, w);
    if (!d || strcmp(module_kind(d), "block") != 0) {
        report_unknown(r, s, w);
        return false;
    }
    if (!*label)
        return expand_block(r, x, s, c, d, out);
    struct map labels = {0};
    struct list inner = {.labels = &labels};
    if (!expand_block(r, x, s, c, d, &inner))
        return false;
    struct spec_layer *l = layer_new(r, LAYER_SEQ, label, c.expr->loc);
    take(l, &inner);
    push(r, out, l);
    return true;
}

/* ---- bodies ---- */

static bool expand_group(struct run *r, struct expand *x, const struct scope *s,
                         const struct item *i, const char *label, struct list *out)
{
    struct spec_layer *l = expand_body(r, x, s, i->body, label);
    if (l)
        push(r, out, l);
    return l != NULL;
}

static bool expand_residual(struct run *r, struct expand *x, const struct scope *s,
                            const struct item *i, struct list *out)
{
    struct list inner = {.labels = out->labels};
    struct spec_layer *l = layer_new(r, LAYER_RESIDUAL, "", i->label->loc);
    if (!expand_items(r, x, s, i->body, &inner))
        return false;
    take(l, &inner);
    push(r, out, l);
    return true;
}

static bool expand_branches(struct run *r, struct expand *x, const struct scope *s,
                            const struct item *i, enum spec_layer_kind kind, struct list *out)
{
    struct list branches = {0};
    struct spec_layer *l = layer_new(r, kind, "", i->label->loc);
    for (size_t k = 0; k < i->body->n && !r->stop; k++) {
        const struct item *b = i->body->items[k];
        if (b->kind != ITEM_BODY || b->label->quoted || strcmp(b->label->text, "branch") != 0 ||
            b->name || b->amends) {
            diag_report(r->diag, DIAG_BAD_BRANCH, b->loc,
                        "`%s` holds only branches: `branch { layers }`", i->label->text);
            return false;
        }
        struct list inner = {.labels = out->labels};
        struct spec_layer *seq = layer_new(r, LAYER_SEQ, "", b->label->loc);
        /* An empty branch is the identity. */
        if (b->body->n && !expand_items(r, x, s, b->body, &inner))
            return false;
        take(seq, &inner);
        push(r, &branches, seq);
    }
    if (branches.n < 2) {
        diag_report(r->diag, DIAG_EMPTY_LIST, i->label->loc, "`%s` needs two branches at least",
                    i->label->text);
        return false;
    }
    take(l, &branches);
    push(r, out, l);
    return true;
}

static const struct {
    const char *word;
    enum spec_layer_kind kind;
} compositions[] = {
    {"sum", LAYER_SUM},
    {"product", LAYER_PRODUCT},
    {"concat", LAYER_CONCAT},
};

/* ---- slots ---- */

struct spec_layer *expand_slot(struct run *r, struct expand *x, const struct scope *s,
                               const struct item *slot, const char *label)
{
    if (slot->kind == ITEM_BODY)
        return expand_body(r, x, s, slot->body, label);
    struct map labels = {0};
    struct list one = {.labels = &labels};
    struct call_site c = {slot->value, NULL, 0};
    return expand_call(r, x, s, c, label, &one) && one.n ? one.at[0] : NULL;
}

/* The rule that puts experts here: one that names the slot, or names none. */
static struct node *rule_for(struct run *r, struct expand *x, const char *name, size_t *at)
{
    for (size_t i = 0; i < x->nmoes; i++) {
        const char *wanted = node_text(r, x->moes[i], "slot");
        *at = i;
        if (!wanted || strcmp(wanted, name) == 0)
            return x->moes[i];
    }
    return NULL;
}

static bool expand_slot_item(struct run *r, struct expand *x, const struct scope *s,
                             const struct item *i, struct list *out)
{
    size_t at = 0;
    bool inside = x->expert_of != NULL;
    struct node *rule = inside ? NULL : rule_for(r, x, i->name, &at);
    if (!inside) {
        x->nslots++;
        map_put(r->arena, &x->slots, i->name, (void *)(uintptr_t)i);
    }
    if (rule && x->placed[at]) {
        struct spec_value wanted;
        node_value(r, rule, "slot", &wanted);
        diag_report(r->diag, DIAG_AMBIGUOUS_SLOT, node_loc(rule, wanted.text ? "slot" : "at"),
                    "the block has several slots%s%s%s", wanted.text ? " named `" : "",
                    wanted.text ? wanted.text : "", wanted.text ? "`" : "");
        diag_note(r->diag, x->placed[at]->name_loc, "one of them is here");
        diag_note(r->diag, i->name_loc, "another one here");
        if (wanted.text)
            diag_help(r->diag, "give the slots of the block labels of their own");
        else
            diag_help(r->diag, "say which one: `slot = %s`", i->name);
        return false;
    }
    struct spec_layer *l;
    if (rule) {
        x->placed[at] = i;
        l = moe_layer(r, x, rule, s, i, i->name);
    } else
        l = expand_slot(r, x, s, i, i->name);
    if (l)
        push(r, out, l);
    return l != NULL;
}

/* ---- items ---- */

static bool expand_body_item(struct run *r, struct expand *x, const struct scope *s,
                             const struct item *i, struct list *out)
{
    const char *word = i->label->text;
    bool plain = !i->label->quoted;
    if (i->amends || i->has_params) {
        diag_report(r->diag, DIAG_MISPLACED_ITEM, i->loc,
                    "a list of layers amends nothing and takes no parameters");
        return false;
    }
    if (plain && i->name && strcmp(word, "slot") == 0)
        return claim_label(r, out, i->name, i->name_loc) && expand_slot_item(r, x, s, i, out);
    if (plain && i->name && strcmp(word, "moe") == 0) {
        struct spec_layer *l =
            claim_label(r, out, i->name, i->name_loc) ? moe_written(r, x, s, i) : NULL;
        if (l)
            push(r, out, l);
        return l != NULL;
    }
    if (i->name) {
        diag_report(r->diag, DIAG_MISPLACED_ITEM, i->loc, "`%s %s { }` has no meaning among layers",
                    word, i->name);
        diag_help(r->diag, "a group of layers is `LABEL { }`, a slot `slot LABEL { }`");
        return false;
    }
    if (plain && strcmp(word, "residual") == 0)
        return expand_residual(r, x, s, i, out);
    for (size_t k = 0; plain && k < sizeof compositions / sizeof *compositions; k++)
        if (strcmp(word, compositions[k].word) == 0)
            return expand_branches(r, x, s, i, compositions[k].kind, out);
    if (plain && strcmp(word, "branch") == 0) {
        diag_report(r->diag, DIAG_BAD_BRANCH, i->loc,
                    "a branch stands in `sum { }`, `product { }` or `concat { }`");
        return false;
    }
    return claim_label(r, out, word, i->label->loc) && expand_group(r, x, s, i, word, out);
}

static bool expand_item(struct run *r, struct expand *x, const struct scope *s,
                        const struct item *i, struct list *out)
{
    switch (i->kind) {
    case ITEM_CALL: return expand_call(r, x, s, (struct call_site){i->value, NULL, 0}, "", out);
    case ITEM_SET:
        return claim_label(r, out, i->label->text, i->label->loc) &&
               expand_call(r, x, s, (struct call_site){i->value, NULL, 0}, i->label->text, out);
    case ITEM_DEFINE:
        if (strcmp(i->label->text, "slot") != 0)
            break;
        return claim_label(r, out, i->name, i->name_loc) && expand_slot_item(r, x, s, i, out);
    case ITEM_BODY: return expand_body_item(r, x, s, i, out);
    default:        break;
    }
    diag_report(r->diag, DIAG_MISPLACED_ITEM, i->loc, "this has no meaning among layers");
    return false;
}

static bool is_key(struct run *r, const struct scope *s, const struct item *i)
{
    return s->node && i->kind == ITEM_SET && !i->label->quoted && i->label->n == 1 &&
           keys_find(r->keys, s->node->body, i->label->text);
}

static bool expand_items(struct run *r, struct expand *x, const struct scope *s,
                         const struct body *b, struct list *out)
{
    bool good = true;
    size_t before = out->n;
    for (size_t i = 0; i < b->n && !r->stop && !diag_full(r->diag); i++)
        if (!is_key(r, s, b->items[i]))
            good &= expand_item(r, x, s, b->items[i], out);
    if (good && out->n == before && !r->stop) {
        diag_report(r->diag, DIAG_EMPTY_LIST, b->loc, "a list of layers is empty");
        return false;
    }
    return good && !r->stop;
}

struct spec_layer *expand_body(struct run *r, struct expand *x, const struct scope *s,
                               const struct body *b, const char *label)
{
    struct map labels = {0};
    struct list inner = {.labels = &labels};
    struct spec_layer *l = layer_new(r, LAYER_SEQ, label, b->loc);
    if (!expand_items(r, x, s, b, &inner))
        return NULL;
    take(l, &inner);
    return l;
}

struct spec_layer *expand_value(struct run *r, struct expand *x, const struct bind *b,
                                const char *label)
{
    struct map labels = {0};
    struct list inner = {.labels = &labels};
    struct scope s = b->scope;
    s.frame = frame_join(r, s.frame, x->words);
    struct spec_layer *l = layer_new(r, LAYER_SEQ, label, b->expr->loc);
    if (!expand_call(r, x, &s, (struct call_site){b->expr, b->patches, b->npatches}, "", &inner))
        return NULL;
    take(l, &inner);
    return l;
}
