/* Experts. Input: a `moe` body and the slot it fills. Output: a LAYER_MOE with its settings, a router and an expert.
 *
 * The router maps the width to `experts`: the layer `linear`, without bias unless asked, or a block. The expert is a block
 * of per-token layers; where the rule gives none it is what stood in the slot. */
#include <string.h>

#include "lang/base/arena.h"
#include "lang/resolve.h"

static bool fill_losses(struct run *r, struct node *moe, struct spec_moe *m)
{
    struct node *balance = node_kid(moe, "balance");
    if (!balance) balance = node_new(r, moe, "balance", "balance", "", moe->loc);
    struct spec_value importance, load, noise;
    if (!node_value(r, balance, "importance", &importance) || !node_value(r, balance, "load", &load) ||
        !node_value(r, moe, "noise", &noise))
        return false;
    m->importance = importance.f;
    m->load = load.f;
    m->noise = noise.type != SPEC_NONE ? noise.f : m->load > 0 ? 1.0 / m->experts : 0;
    return true;
}

static struct loc key_loc(const struct node *n, const char *key)
{
    const struct bind *b = node_bind(n, key);
    return b && b->expr && b->expr->loc.src && b->expr->loc.src->path ? b->expr->loc : n->loc;
}

static bool check_settings(struct run *r, struct node *moe, const struct spec_moe *m)
{
    if (m->top_k > m->experts) {
        diag_report(r->diag, DIAG_TOP_K, key_loc(moe, "top_k"), "`top_k` is %d, but there are only %d experts", m->top_k,
                    m->experts);
        diag_note(r->diag, key_loc(moe, "experts"), "`experts` is set here");
        return false;
    }
    if (m->renormalise && m->top_k == 1)
        diag_report(r->diag, DIAG_ROUTER_GRADIENT, key_loc(moe, "renormalise"),
                    "with `top_k = 1` a renormalised weight is always 1: the router learns nothing from the task");
    return true;
}

static struct spec_moe *moe_settings(struct run *r, struct node *moe)
{
    static const char *const keys[] = {
        "experts", "top_k", "renormalise", "capacity", "eval_capacity", "order", "group", "rule",
    };
    struct spec_value v[sizeof keys / sizeof *keys];
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!node_value(r, moe, keys[i], &v[i])) return NULL;
    struct spec_moe *m = arena_alloc(r->arena, sizeof *m);
    *m = (struct spec_moe){
        .rule = *v[7].text ? v[7].text : strcmp(moe->kind, "moe") == 0 && moe->parent ? moe->name : "",
        .experts = (int)v[0].i,
        .top_k = (int)(v[1].i > 1 << 20 ? 1 << 20 : v[1].i),
        .renormalise = v[2].i != 0,
        .capacity = v[3].f,
        .eval_capacity = v[4].f,
        .batch_priority = strcmp(v[5].text, "batch_priority") == 0,
        .group = (int)(v[6].i > 1 << 20 ? 1 << 20 : v[6].i),
        .loc = moe->loc,
        .capacity_loc = key_loc(moe, "capacity"),
    };
    return fill_losses(r, moe, m) && check_settings(r, moe, m) ? m : NULL;
}

/* ---- router ---- */

/* `linear` or `linear(bias: true)`: the language fills in where it leads. */
static struct spec_layer *router_linear(struct run *r, const struct bind *b, const struct spec_moe *m)
{
    const struct op_row *op = map_get(&r->op_names, "linear");
    struct frame frame = {0};
    static const struct param bias = {.name = "bias", .type = "bool", .optional = true};
    struct callee callee = {"linear as a router", &bias, 1, NULL};
    struct scope s = b->scope;
    if (!call_bind(r, &callee, b->expr, &s, b->patches, b->npatches, &frame)) return NULL;
    struct spec_layer *l = layer_new(r, LAYER_OP, "router", b->expr->loc);
    struct spec_value *args = arena_array(r->arena, op->nparams, sizeof *args);
    for (size_t i = 0; i < op->nparams; i++) {
        if (strcmp(op->params[i].name, "out") == 0) args[i] = value_int(m->experts);
        if (strcmp(op->params[i].name, "bias") == 0) args[i] = value_bool(frame.at[0].value.i != 0);
    }
    l->op = (int)(op - r->ops);
    l->args = args;
    l->nargs = op->nparams;
    return l;
}

static struct spec_layer *make_router(struct run *r, struct expand *x, struct node *moe, const struct spec_moe *m)
{
    struct node *written = node_kid(moe, "router");
    if (written && written->list) {
        struct scope s = written->list_scope;
        s.frame = frame_join(r, s.frame, x->words);
        return expand_body(r, x, &s, written->list, "router");
    }
    const struct bind *b = node_layer(r, moe, "router");
    if (!b) {
        diag_report(r->diag, DIAG_MISSING_KEY, moe->loc, "a `moe` needs a router");
        return NULL;
    }
    bool named = b->expr->kind == EXPR_NAME || b->expr->kind == EXPR_CALL;
    if (named && strcmp(b->expr->words->text, "linear") == 0 && map_get(&r->op_names, "linear"))
        return router_linear(r, b, m);
    return expand_value(r, x, b, "router");
}

/* ---- expert ---- */

static struct spec_layer *make_expert(struct run *r, struct expand *x, struct node *moe, const struct scope *s,
                                      const struct item *slot)
{
    struct node *written = node_kid(moe, "expert");
    if (written && written->list) {
        struct scope own = written->list_scope;
        own.frame = frame_join(r, own.frame, x->words);
        x->expert_loc = written->list->loc;
        return expand_body(r, x, &own, written->list, "experts");
    }
    const struct bind *b = node_layer(r, moe, "expert");
    if (b) {
        x->expert_loc = b->expr->loc;
        return expand_value(r, x, b, "experts");
    }
    if (!slot) {
        diag_report(r->diag, DIAG_MISSING_KEY, moe->loc, "a `moe` that is written among layers needs its `expert`");
        return NULL;
    }
    x->expert_loc = slot->loc;
    struct scope own = *s;
    own.frame = frame_join(r, s->frame, x->words);
    struct spec_layer *l = expand_slot(r, x, &own, slot, "experts");
    if (!l || l->kind == LAYER_SEQ) return l;
    /* A single primitive in the slot: its tensors are still those of the experts. */
    struct spec_layer *seq = layer_new(r, LAYER_SEQ, "experts", slot->loc);
    seq->kids = arena_alloc(r->arena, sizeof *seq->kids);
    seq->kids[0] = l;
    seq->nkids = 1;
    l->label = "";
    return seq;
}

/* Blocks inside see how many experts there are. */
static void add_words(struct run *r, const struct frame *outer, const struct spec_moe *m, struct frame *out)
{
    for (size_t i = 0; outer && i < outer->n; i++)
        if (outer->at[i].word) frame_add(r, out, outer->at[i].name, outer->at[i].value, true);
    frame_add(r, out, "experts", value_int(m->experts), true);
    frame_add(r, out, "top_k", value_int(m->top_k), true);
}

struct spec_layer *moe_layer(struct run *r, struct expand *x, struct node *moe, const struct scope *s,
                             const struct item *slot, const char *label)
{
    struct spec_moe *m = moe_settings(r, moe);
    if (!m) return NULL;
    struct frame words = {0};
    add_words(r, x->words, m, &words);
    struct expand inner = {.words = &words};
    struct spec_layer *kids[2];
    kids[0] = make_router(r, &inner, moe, m);
    inner.expert_of = moe;
    kids[1] = make_expert(r, &inner, moe, s, slot);
    if (!kids[0] || !kids[1]) return NULL;
    struct spec_layer *l = layer_new(r, LAYER_MOE, label, slot ? slot->loc : moe->loc);
    l->moe = m;
    l->kids = arena_array(r->arena, 2, sizeof *l->kids);
    memcpy(l->kids, kids, sizeof kids);
    l->nkids = 2;
    return l;
}

struct spec_layer *moe_written(struct run *r, struct expand *x, const struct scope *s, const struct item *i)
{
    static const char *const rules[] = {"at", "slot", "block"};
    if (x->expert_of) {
        diag_report(r->diag, DIAG_EXPERT_LAYER, i->loc, "experts hold no experts");
        return NULL;
    }
    struct node *moe = node_new(r, NULL, "moe", "moe", i->name, i->loc);
    moe->parent = s->node;
    if (!node_apply_body(r, moe, i->body, *s)) return NULL;
    moe->parent = NULL;
    for (size_t k = 0; k < sizeof rules / sizeof *rules; k++) {
        const struct bind *b = node_bind(moe, rules[k]);
        if (!b) continue;
        diag_report(r->diag, DIAG_MISPLACED_ITEM, b->loc, "`%s` belongs to the `moe` of a model, which has to find its place",
                    rules[k]);
        return NULL;
    }
    return moe_layer(r, x, moe, s, NULL, i->name);
}
