/* Experts. Input: a `moe` body and the slot it fills. Output: a LAYER_MOE with its settings, a
 * router and its experts.
 *
 * The router maps the width to a logit for each expert (each slot, with `choice = soft`): the layer
 * `linear`, without bias unless asked, or a block. An expert is a block of per-token layers; where
 * the rule gives none it is what stood in the slot. */
#include <string.h>

#include "lang/base/arena.h"
#include "lang/resolve.h"

/* ---- settings ---- */

/* The keys of one `moe`, evaluated. */
struct settings {
    struct spec_value experts, choice, top_k, slots, per, alike, renormalise, noise, capacity,
        eval_capacity, order, group, rule;
};
struct balance {
    struct spec_value importance, load, switch_loss, z, bias;
};

struct wanted {
    const char *key;
    struct spec_value *to;
};

static bool read_keys(struct run *r, struct node *n, const struct wanted *w, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!node_value(r, n, w[i].key, w[i].to))
            return false;
    return true;
}

static bool read_settings(struct run *r, struct node *moe, struct settings *s)
{
    const struct wanted w[] = {
        {"experts", &s->experts},
        {"choice", &s->choice},
        {"top_k", &s->top_k},
        {"slots", &s->slots},
        {"per", &s->per},
        {"alike", &s->alike},
        {"renormalise", &s->renormalise},
        {"noise", &s->noise},
        {"capacity", &s->capacity},
        {"eval_capacity", &s->eval_capacity},
        {"order", &s->order},
        {"group", &s->group},
        {"rule", &s->rule},
    };
    return read_keys(r, moe, w, sizeof w / sizeof *w);
}

static bool read_balance(struct run *r, struct node *moe, struct balance *b)
{
    struct node *n = node_kid(moe, "balance");
    if (!n)
        n = node_new(r, moe, "balance", "balance", "", moe->loc);
    const struct wanted w[] = {
        {"importance", &b->importance},
        {"load", &b->load},
        {"switch", &b->switch_loss},
        {"z", &b->z},
        {"bias", &b->bias},
    };
    return read_keys(r, n, w, sizeof w / sizeof *w);
}

/* Kinds of experts, or one without a name. */
static bool fill_kinds(struct run *r, struct node *moe, const struct spec_value *experts,
                       struct spec_moe *m)
{
    struct spec_experts *kinds = arena_array(r->arena, moe->nkids + 1, sizeof *kinds);
    int64_t sum = 0;
    for (size_t i = 0; i < moe->nkids; i++) {
        struct spec_value count;
        if (strcmp(moe->kids[i]->kind, "kind") != 0)
            continue;
        if (!node_value(r, moe->kids[i], "count", &count))
            return false;
        if (count.i == 0)
            continue;
        kinds[m->nkinds++] = (struct spec_experts){moe->kids[i]->name, (int)count.i};
        sum += count.i;
    }
    if (!m->nkinds && experts->type == SPEC_NONE) {
        diag_report(r->diag, DIAG_EXPERT_COUNT, moe->loc, "`moe` does not set `experts`");
        diag_help(r->diag, "`experts`: number of experts; or list them as `kind NAME { count = 4; "
                           "expert = ... }`");
        return false;
    }
    if (!m->nkinds)
        kinds[m->nkinds++] = (struct spec_experts){"", (int)(sum = experts->i)};
    if (experts->type != SPEC_NONE && sum != experts->i) {
        diag_report(r->diag, DIAG_EXPERT_COUNT, node_loc(moe, "experts"),
                    "`experts` is %lld, but the kinds of experts count %lld", (long long)experts->i,
                    (long long)sum);
        diag_help(r->diag, "leave `experts` out");
        return false;
    }
    if (sum > 4096) {
        diag_report(r->diag, DIAG_EXPERT_COUNT, moe->loc,
                    "a layer has at most 4096 experts, these are %lld", (long long)sum);
        return false;
    }
    m->kinds = kinds;
    m->experts = (int)sum;
    return true;
}

/* Some keys belong to some choices; set elsewhere they would silently do nothing. */
static bool check_choice(struct run *r, struct node *moe, const struct spec_moe *m,
                         const struct settings *s, const struct balance *b)
{
    bool token = m->choice == CHOICE_TOKEN, soft = m->choice == CHOICE_SOFT;
    const struct {
        const char *key;
        bool wrong;
        const char *why;
    } rules[] = {
        {"top_k", !token && s->top_k.type != SPEC_NONE,
         "top_k counts the experts that a token chooses"},
        {"slots", !soft && s->slots.type != SPEC_NONE,
         "slots are what tokens are mixed into with `choice = soft`"},
        {"per", !token && m->per_image, "whole pictures are routed by their own choice only"},
        {"renormalise", !token && m->renormalise,
         "only the weights that a token has chosen are divided by their sum"},
        {"order", !token && !m->batch_priority, "there is no order: nobody comes first"},
        {"noise", soft && s->noise.type != SPEC_NONE && s->noise.f > 0,
         "nothing is chosen that noise could change"},
        {"capacity", soft && s->capacity.type != SPEC_NONE, "set `slots` instead"},
        {"eval_capacity", soft && s->eval_capacity.type != SPEC_NONE, "set `slots` instead"},
        {"group", soft && m->group != 1, "each picture is mixed on its own"},
        {"balance",
         !token && (m->importance > 0 || m->load > 0 || m->switch_loss > 0 || m->bias > 0),
         "every expert has the same share already"},
        {"balance", soft && b->z.f > 0, "there is no choice to keep soft"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (!rules[i].wrong)
            continue;
        const struct node *body = node_kid(moe, rules[i].key);
        diag_report(r->diag, DIAG_CHOICE_KEY, body ? body->loc : node_loc(moe, rules[i].key),
                    "`%s` has no meaning with `choice = %s`: %s", rules[i].key,
                    moe_choice_words[m->choice], rules[i].why);
        diag_help(r->diag, "leave `%s` out", rules[i].key);
        return false;
    }
    if ((int64_t)m->experts * m->slots > 1 << 20) {
        diag_report(r->diag, DIAG_OUT_OF_RANGE, node_loc(moe, "slots"),
                    "%d experts with %d slots each: at most %d in all", m->experts, m->slots,
                    1 << 20);
        return false;
    }
    if (soft && !m->slots) {
        diag_report(r->diag, DIAG_MISSING_KEY, moe->loc,
                    "`choice = soft` needs `slots`, the number of slots of an expert");
        diag_help(r->diag, "tokens / experts makes the cost of one expert for each token");
        return false;
    }
    return true;
}

static bool check_settings(struct run *r, struct node *moe, const struct spec_moe *m)
{
    if (m->top_k > m->experts) {
        diag_report(r->diag, DIAG_TOP_K, node_loc(moe, "top_k"),
                    "`top_k` is %d, but there are only %d experts", m->top_k, m->experts);
        diag_note(r->diag, node_loc(moe, "experts"), "`experts` is set here");
        return false;
    }
    if (m->bias > 0 && m->load > 0) {
        diag_report(r->diag, DIAG_BALANCE_CONFLICT, node_loc(node_kid(moe, "balance"), "bias"),
                    "the load loss supposes that the largest logits are chosen; "
                    "`bias` changes the choice");
        diag_help(r->diag, "set balance.load = 0, or balance.bias = 0");
        return false;
    }
    if (m->renormalise && m->top_k == 1)
        diag_report(r->diag, DIAG_ROUTER_GRADIENT, node_loc(moe, "renormalise"),
                    "with `top_k = 1` a renormalised weight is always 1: the router learns nothing "
                    "from the task");
    return true;
}

static int small(const struct spec_value *v, int unset)
{
    return v->type == SPEC_NONE ? unset : v->i > 1 << 20 ? 1 << 20 : (int)v->i;
}

/* What is not written depends on who chooses. */
static void fill_settings(struct spec_moe *m, const struct settings *s, const struct balance *b)
{
    while (strcmp(s->choice.text, moe_choice_words[m->choice]) != 0)
        m->choice++;
    bool token = m->choice == CHOICE_TOKEN, expert = m->choice == CHOICE_EXPERT;
    double usual = token && b->switch_loss.f <= 0 && b->bias.f <= 0 ? 0.005 : 0;
    m->top_k = token ? small(&s->top_k, 1) : 0;
    m->slots = small(&s->slots, 0);
    m->per_image = strcmp(s->per.text, "image") == 0;
    m->alike = s->alike.i != 0;
    m->renormalise = s->renormalise.i != 0;
    m->capacity = s->capacity.type != SPEC_NONE ? s->capacity.f : expert ? 1 : 0;
    m->eval_capacity = s->eval_capacity.type != SPEC_NONE ? s->eval_capacity.f
                       : expert                           ? m->capacity
                                                          : 0;
    m->batch_priority = strcmp(s->order.text, "batch_priority") == 0;
    m->group = small(&s->group, token ? 8 : 1);
    m->importance = b->importance.type != SPEC_NONE ? b->importance.f : usual;
    m->load = b->load.type != SPEC_NONE ? b->load.f : usual;
    m->switch_loss = b->switch_loss.f;
    m->z_loss = b->z.f;
    m->bias = b->bias.f;
    m->noise = s->noise.type != SPEC_NONE ? s->noise.f : m->load > 0 ? 1.0 / m->experts : 0;
}

static struct spec_moe *moe_settings(struct run *r, struct node *moe)
{
    struct settings s;
    struct balance b;
    if (!read_settings(r, moe, &s) || !read_balance(r, moe, &b))
        return NULL;
    struct spec_moe *m = arena_alloc(r->arena, sizeof *m);
    m->rule = *s.rule.text                                   ? s.rule.text
              : strcmp(moe->kind, "moe") == 0 && moe->parent ? moe->name
                                                             : "";
    m->loc = moe->loc;
    if (!fill_kinds(r, moe, &s.experts, m))
        return NULL;
    fill_settings(m, &s, &b);
    return check_choice(r, moe, m, &s, &b) && check_settings(r, moe, m) ? m : NULL;
}

/* ---- router ---- */

/* What a router must end in. */
static int64_t logits_of(const struct spec_moe *m)
{
    return m->choice == CHOICE_SOFT ? (int64_t)m->experts * m->slots : m->experts;
}

/* `linear` or `linear(bias: true)`: the language fills in where it leads. */
static struct spec_layer *router_linear(struct run *r, const struct bind *b,
                                        const struct spec_moe *m)
{
    const struct op_row *op = map_get(&r->op_names, "linear");
    struct frame frame = {0};
    static const struct param params[] = {
        {.name = "bias", .type = "bool", .optional = true},
        {.name = "init", .type = "float", .optional = true},
    };
    struct callee callee = {"linear as a router", params, 2, NULL};
    struct scope s = b->scope;
    if (!call_bind(r, &callee, b->expr, &s, b->patches, b->npatches, &frame))
        return NULL;
    struct spec_layer *l = layer_new(r, LAYER_OP, "router", b->expr->loc);
    struct spec_value *args = arena_array(r->arena, op->nparams, sizeof *args);
    for (size_t i = 0; i < op->nparams; i++) {
        if (strcmp(op->params[i].name, "out") == 0)
            args[i] = value_int(logits_of(m));
        if (strcmp(op->params[i].name, "bias") == 0)
            args[i] = value_bool(frame.at[0].value.i != 0);
        if (strcmp(op->params[i].name, "init") == 0)
            args[i] = frame.at[1].value;
    }
    l->op = (int)(op - r->ops);
    l->args = args;
    l->nargs = op->nparams;
    return l;
}

static struct spec_layer *make_router(struct run *r, struct expand *x, struct node *moe,
                                      const struct spec_moe *m)
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

static bool gives(struct run *r, struct node *from, const char *key)
{
    struct node *written = node_kid(from, key);
    return (written && written->list) || node_layer(r, from, key);
}

/* The layers that a body gives as `expert { }` or `expert = ...`; else what stands in the slot. */
static struct spec_layer *make_expert(struct run *r, struct expand *x, struct node *from,
                                      const char *key, const struct scope *s,
                                      const struct item *slot, const char *label)
{
    struct node *written = node_kid(from, key);
    if (written && written->list) {
        struct scope own = written->list_scope;
        own.frame = frame_join(r, own.frame, x->words);
        x->expert_loc = written->list->loc;
        return expand_body(r, x, &own, written->list, label);
    }
    const struct bind *b = node_layer(r, from, key);
    if (b) {
        x->expert_loc = b->expr->loc;
        return expand_value(r, x, b, label);
    }
    if (!slot) {
        diag_report(r->diag, DIAG_MISSING_KEY, from->loc,
                    "a `%s` that is written among layers needs its `expert`", from->kind);
        return NULL;
    }
    x->expert_loc = slot->loc;
    struct scope own = *s;
    own.frame = frame_join(r, s->frame, x->words);
    struct spec_layer *l = expand_slot(r, x, &own, slot, label);
    if (!l || l->kind == LAYER_SEQ)
        return l;
    /* A single primitive in the slot: its tensors are still those of the experts. */
    struct spec_layer *seq = layer_new(r, LAYER_SEQ, label, slot->loc);
    seq->kids = arena_alloc(r->arena, sizeof *seq->kids);
    seq->kids[0] = l;
    seq->nkids = 1;
    l->label = "";
    return seq;
}

/* The body that says what a kind's experts are: its own, or the `moe` for all kinds that say
 * nothing. */
static struct node *kind_body(struct run *r, struct node *moe, const char *name)
{
    for (size_t i = 0; i < moe->nkids && *name; i++)
        if (strcmp(moe->kids[i]->kind, "kind") == 0 && strcmp(moe->kids[i]->name, name) == 0 &&
            gives(r, moe->kids[i], "expert"))
            return moe->kids[i];
    return moe;
}

static bool check_expert_used(struct run *r, struct node *moe, const struct spec_moe *m)
{
    for (size_t i = 0; i < m->nkinds; i++)
        if (kind_body(r, moe, m->kinds[i].name) == moe)
            return true;
    if (!gives(r, moe, "expert"))
        return true;
    diag_report(r->diag, DIAG_CHOICE_KEY, node_loc(moe, "expert"),
                "`expert` has no meaning here: every kind has one of its own");
    diag_help(r->diag, "leave `expert` out");
    return false;
}

/* Blocks inside see how many experts, choices and logits there are. */
static void add_words(struct run *r, const struct frame *outer, const struct spec_moe *m,
                      struct frame *out)
{
    for (size_t i = 0; outer && i < outer->n; i++)
        if (outer->at[i].word)
            frame_add(r, out, outer->at[i].name, outer->at[i].value, true);
    frame_add(r, out, "experts", value_int(m->experts), true);
    if (m->top_k)
        frame_add(r, out, "top_k", value_int(m->top_k), true);
    frame_add(r, out, "logits", value_int(logits_of(m)), true);
}

/* The kids of a LAYER_MOE, in their order. */
static bool make_kids(struct run *r, struct expand *x, struct node *moe, const struct spec_moe *m,
                      const struct scope *s, const struct item *slot, struct spec_layer *l)
{
    l->kids = arena_array(r->arena, m->nkinds + 2, sizeof *l->kids);
    l->kids[l->nkids++] = make_router(r, x, moe, m);
    x->expert_of = moe;
    for (size_t i = 0; i < m->nkinds; i++) {
        const char *name = m->kinds[i].name,
                   *label = *name ? arena_printf(r->arena, "experts.%s", name) : "experts";
        l->kids[l->nkids++] = make_expert(r, x, kind_body(r, moe, name), "expert", s, slot, label);
    }
    if (m->shared)
        l->kids[l->nkids++] = make_expert(r, x, moe, "shared", s, slot, "shared");
    for (size_t i = 0; i < l->nkids; i++)
        if (!l->kids[i])
            return false;
    return true;
}

struct spec_layer *moe_layer(struct run *r, struct expand *x, struct node *moe,
                             const struct scope *s, const struct item *slot, const char *label)
{
    struct spec_moe *m = moe_settings(r, moe);
    if (!m)
        return NULL;
    m->shared = gives(r, moe, "shared");
    if (!check_expert_used(r, moe, m))
        return NULL;
    struct frame words = {0};
    add_words(r, x->words, m, &words);
    struct expand inner = {.words = &words};
    struct spec_layer *l = layer_new(r, LAYER_MOE, label, slot ? slot->loc : moe->loc);
    l->moe = m;
    return make_kids(r, &inner, moe, m, s, slot, l) ? l : NULL;
}

struct spec_layer *moe_written(struct run *r, struct expand *x, const struct scope *s,
                               const struct item *i)
{
    static const char *const rules[] = {"at", "slot", "block"};
    if (x->expert_of) {
        diag_report(r->diag, DIAG_EXPERT_LAYER, i->loc, "experts hold no experts");
        return NULL;
    }
    struct node *moe = node_new(r, NULL, "moe", "moe", i->name, i->loc);
    moe->parent = s->node;
    if (!node_apply_body(r, moe, i->body, *s))
        return NULL;
    moe->parent = NULL;
    for (size_t k = 0; k < sizeof rules / sizeof *rules; k++) {
        const struct bind *b = node_bind(moe, rules[k]);
        if (!b)
            continue;
        diag_report(r->diag, DIAG_MISPLACED_ITEM, b->loc,
                    "`%s` belongs to the `moe` of a model, which has to find its place", rules[k]);
        return NULL;
    }
    return moe_layer(r, x, moe, s, NULL, i->name);
}
