/* A merged model to its parts. Input: the model's node. Output: stem, entries, blocks and head as
 * lists of layers, with the experts in the slots that the placements selected. */
#include <string.h>

#include "lang/base/arena.h"
#include "lang/resolve.h"

struct build {
    struct run *run;
    struct node *model;
    struct spec_model *out;
    struct network net;
    struct node *stages[LIMIT_STAGES];
    const char *prefixes[LIMIT_STAGES];
    struct node **moes; /* the rules */
    bool **sets;        /* of each: the blocks it selected */
    size_t nmoes, moes_cap, sets_cap, parts_cap, placed_cap;
};

/* ---- input ---- */

static bool read_numbers(struct run *r, const struct spec_value *v, const double *imagenet,
                         int channels, double out[3])
{
    for (int i = 0; i < 3; i++) {
        if (v->type == SPEC_WORD)
            out[i] = imagenet[i];
        else
            out[i] = v->items[v->n == 1 ? 0 : (size_t)i < v->n ? i : 0].f;
    }
    if (v->type == SPEC_WORD && channels == 3)
        return true;
    if (v->type == SPEC_LIST && (v->n == 1 || (int)v->n == channels))
        return true;
    diag_report(r->diag, DIAG_OUT_OF_RANGE, v->loc,
                "one number or %d: the pictures have %d channel%s", channels, channels,
                channels == 1 ? "" : "s");
    return false;
}

static bool check_scale(struct run *r, const char *name, const double at[3], double min, double max,
                        struct loc loc)
{
    for (int i = 0; i < 3; i++) {
        if (at[i] >= min && at[i] <= max)
            continue;
        diag_report(r->diag, DIAG_OUT_OF_RANGE, loc, "`%s` is %s, but must lie in %g .. %g", name,
                    text_float(r->arena, at[i]), min, max);
        diag_help(r->diag, "values from 0 to 1 become (value - mean) / std");
        return false;
    }
    return true;
}

static bool read_input(struct build *b)
{
    static const double mean[] = {0.485, 0.456, 0.406}, std[] = {0.229, 0.224, 0.225};
    struct spec_value v, classes;
    struct spec_model *m = b->out;
    bool good = node_value(b->run, b->model, "input", &v);
    good &= node_value(b->run, b->model, "classes", &classes);
    if (!good)
        return false;
    m->classes = (int)classes.i;
    m->height = (int)v.items[0].i;
    m->width = v.items[1].type == SPEC_NONE ? m->height : (int)v.items[1].i;
    m->channels = (int)v.items[2].i;
    m->crop_pct = v.items[5].f;
    m->resample = strcmp(v.items[6].text, "bilinear") == 0 ? RESAMPLE_BILINEAR : RESAMPLE_BICUBIC;
    m->fit = strcmp(v.items[7].text, "squash") == 0 ? FIT_SQUASH : FIT_CROP;
    good = read_numbers(b->run, &v.items[3], mean, m->channels, m->mean);
    good &= read_numbers(b->run, &v.items[4], std, m->channels, m->std);
    return good && check_scale(b->run, "mean", m->mean, -1e3, 1e3, v.items[3].loc) &&
           check_scale(b->run, "std", m->std, 1e-3, 1e3, v.items[4].loc);
}

/* ---- stages ---- */

static const char *part_name(struct build *b, struct node *n, const char *unset)
{
    const char *name = node_text(b->run, n, "name");
    return name ? name : unset;
}

static bool check_prefix(struct build *b, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(b->prefixes[i], b->prefixes[at]) != 0)
            continue;
        const struct bind *bind = node_bind(b->stages[at], "name");
        diag_report(b->run->diag, DIAG_TENSOR_NAME, bind ? bind->loc : b->stages[at]->loc,
                    "the stages `%s` and `%s` give their tensors the same prefix `%s`",
                    b->stages[i]->name, b->stages[at]->name, b->prefixes[at]);
        diag_help(b->run->diag, "set `name` in the stage `%s`", b->stages[at]->name);
        return false;
    }
    return true;
}

static size_t count_kids(const struct node *n, const char *kind)
{
    size_t count = 0;
    for (size_t i = 0; i < n->nkids; i++)
        count += strcmp(n->kids[i]->kind, kind) == 0;
    return count;
}

/* A stage repeats one block, or its blocks are written out. */
static bool stage_depth(struct build *b, struct node *n, size_t *depth)
{
    size_t written = count_kids(n, "block");
    bool repeats = node_bind(n, "block") != NULL;
    struct spec_value v;
    if (!node_value(b->run, n, "depth", &v))
        return false;
    *depth = written ? written : (size_t)v.i;
    const char *lacks =
        written || repeats ? (!written && v.type == SPEC_NONE ? "depth" : NULL) : "block";
    if (lacks) {
        diag_report(b->run->diag, DIAG_MISSING_KEY, n->loc, "the stage `%s` does not set `%s`",
                    n->name, lacks);
        return false;
    }
    if (written && v.type != SPEC_NONE && v.i != (int64_t)written) {
        diag_report(b->run->diag, DIAG_OUT_OF_RANGE, v.loc,
                    "`depth` is %lld, but %zu blocks are written out", (long long)v.i, written);
        return false;
    }
    return true;
}

static bool add_stage(struct build *b, struct node *n)
{
    struct network *net = &b->net;
    size_t depth;
    if (net->nstages == LIMIT_STAGES) {
        diag_report(b->run->diag, DIAG_TOO_LARGE, n->loc, "a model has at most %d stages",
                    LIMIT_STAGES);
        return false;
    }
    if (!stage_depth(b, n, &depth))
        return false;
    if (net->nblocks + depth > LIMIT_BLOCKS) {
        diag_report(b->run->diag, DIAG_TOO_LARGE, n->loc, "a model has at most %d blocks",
                    LIMIT_BLOCKS);
        return false;
    }
    b->stages[net->nstages] = n;
    b->prefixes[net->nstages] = part_name(b, n, n->name);
    if (!check_prefix(b, net->nstages))
        return false;
    net->stages[net->nstages++] = (struct net_stage){n->name, net->nblocks, depth};
    net->nblocks += depth;
    return true;
}

static bool find_stages(struct build *b)
{
    bool good = true;
    unsigned before = diag_errors(b->run->diag);
    node_link_stages(b->run, b->model);
    if (diag_errors(b->run->diag) != before)
        return false;
    for (size_t i = 0; i < b->model->nkids && !b->run->stop; i++)
        if (strcmp(b->model->kids[i]->kind, "stage") == 0)
            good &= add_stage(b, b->model->kids[i]);
    return good;
}

/* ---- placements ---- */

static const char *block_title(struct build *b, size_t at)
{
    for (size_t s = b->net.nstages; s-- > 0;)
        if (at >= b->net.stages[s].first)
            return arena_printf(b->run->arena, "%s[%zu]", b->net.stages[s].name,
                                at - b->net.stages[s].first + 1);
    return "";
}

static void add_placed(struct build *b, const char *rule, const char *at, const char *slots,
                       struct loc loc)
{
    *ARENA_PUSH(b->run->arena, b->out->placed, b->out->nplaced, b->placed_cap) =
        (struct spec_placed){rule, at, slots, loc};
}

static bool check_overlap(struct build *b, struct node *moe, const bool *set)
{
    const char *slot = node_text(b->run, moe, "slot");
    for (size_t m = 0; m < b->nmoes; m++) {
        const char *other = node_text(b->run, b->moes[m], "slot");
        if (slot && other && strcmp(slot, other) != 0 && !node_bind(moe, "block") &&
            !node_bind(b->moes[m], "block"))
            continue;
        for (size_t i = 0; i < b->net.nblocks; i++) {
            if (!set[i] || !b->sets[m][i])
                continue;
            diag_report(b->run->diag, DIAG_PLACEMENT_OVERLAP, node_loc(moe, "at"),
                        "this rule and another one both select %s", block_title(b, i));
            diag_note(b->run->diag, b->moes[m]->loc, "the other rule is here");
            return false;
        }
    }
    return true;
}

static bool place_rule(struct build *b, struct node *moe)
{
    struct run *r = b->run;
    const struct bind *at = node_bind(moe, "at");
    if (!at || !at->expr) {
        diag_report(r->diag, DIAG_MISSING_KEY, moe->loc,
                    "`moe` does not say which blocks get experts");
        diag_help(r->diag, "write `at = ...`, for example `at = every(2)`");
        return false;
    }
    bool *set = arena_array(r->arena, b->net.nblocks, sizeof *set), any = false, off;
    struct scope s = at->scope;
    if (!place_eval(r, &b->net, &s, at->expr, set, &off))
        return false;
    for (size_t i = 0; i < b->net.nblocks; i++)
        any |= set[i];
    const char *text = expr_print(r->arena, at->expr);
    if (!any && !off) {
        diag_report(r->diag, DIAG_PLACEMENT_EMPTY, at->expr->loc,
                    "`%.200s` selects no block of this network", text);
        diag_help(r->diag, "`at = none` switches a rule off");
        return false;
    }
    if (!check_overlap(b, moe, set))
        return false;
    add_placed(b, moe->name, text, place_print(r, &b->net, set), moe->loc);
    *ARENA_PUSH(r->arena, b->moes, b->nmoes, b->moes_cap) = moe;
    size_t nsets = b->nmoes - 1;
    *ARENA_PUSH(r->arena, b->sets, nsets, b->sets_cap) = set;
    return true;
}

static bool place_rules(struct build *b)
{
    bool good = true;
    for (size_t i = 0; i < b->model->nkids && !b->run->stop; i++) {
        struct node *kid = b->model->kids[i];
        if (strcmp(kid->kind, "moe") == 0)
            good &= place_rule(b, kid);
        if (strcmp(kid->kind, "placed") != 0)
            continue;
        const char *rule = node_text(b->run, kid, "rule"), *at = node_text(b->run, kid, "at");
        const char *slots = node_text(b->run, kid, "slots");
        if (rule && at && slots)
            add_placed(b, rule, at, slots, kid->loc);
    }
    return good;
}

/* ---- parts ---- */

static void add_part(struct build *b, const char *title, const char *prefix, int stage, int block,
                     struct spec_layer *body)
{
    *ARENA_PUSH(b->run->arena, b->out->parts, b->out->nparts, b->parts_cap) =
        (struct spec_part){title, prefix, stage, block, body};
}

/* The words that layers see: `dim` if there is one, `position` in a block. */
static bool add_words(struct build *b, struct node *stage, double position, struct frame *out)
{
    struct spec_value dim = {0};
    if (stage && !node_value(b->run, stage, "dim", &dim))
        return false;
    if (dim.type == SPEC_NONE && !node_value(b->run, b->model, "dim", &dim))
        return false;
    if (dim.type != SPEC_NONE)
        frame_add(b->run, out, "dim", dim, true);
    if (position >= 0)
        frame_add(b->run, out, "position", value_float(position), true);
    return true;
}

static struct spec_layer *expand_list(struct build *b, struct node *n, struct node *stage)
{
    struct frame words = {0};
    if (!add_words(b, stage, -1, &words))
        return NULL;
    struct expand x = {.words = &words};
    struct scope s = n->list_scope;
    s.frame = frame_join(b->run, s.frame, &words);
    return expand_body(b->run, &x, &s, n->list, "");
}

static bool add_list(struct build *b, const char *kind)
{
    struct node *n = node_kid(b->model, kind);
    if (!n && strcmp(kind, "stem") == 0)
        return true;
    if (!n || !n->list) {
        diag_report(b->run->diag, DIAG_MISSING_KEY, n ? n->loc : b->model->loc,
                    "the model `%s` has no layers in its `%s { }`", b->model->name, kind);
        return false;
    }
    const char *prefix = part_name(b, n, kind);
    struct spec_layer *body = expand_list(b, n, NULL);
    if (body)
        add_part(b, kind, prefix, -1, -1, body);
    return body != NULL;
}

static const char *join_name(struct build *b, const char *prefix, const char *rest)
{
    return *prefix ? arena_printf(b->run->arena, "%s.%s", prefix, rest) : rest;
}

static bool add_enter(struct build *b, size_t stage)
{
    struct node *n = node_kid(b->stages[stage], "enter");
    if (!n)
        return true;
    if (!n->list) {
        diag_report(b->run->diag, DIAG_EMPTY_LIST, n->loc, "a list of layers is empty");
        return false;
    }
    struct spec_layer *body = expand_list(b, n, b->stages[stage]);
    const char *title = arena_printf(b->run->arena, "%s.enter", b->stages[stage]->name);
    if (body)
        add_part(b, title, join_name(b, b->prefixes[stage], n->name), (int)stage, -1, body);
    return body != NULL;
}

static void report_slot(struct build *b, const struct expand *x, struct node *moe, size_t at)
{
    const char *slot = node_text(b->run, moe, "slot"), *list = "";
    const struct bind *bind = node_bind(moe, slot ? "slot" : "at");
    diag_report(b->run->diag, DIAG_NO_SLOT, bind->expr->loc, "%s has no slot%s%s%s",
                block_title(b, at), slot ? " `" : "", slot ? slot : "", slot ? "`" : "");
    for (size_t i = 0; i < x->slots.cap; i++)
        if (x->slots.slots[i].key)
            list = arena_printf(b->run->arena, "%s%s%s", list, *list ? ", " : "",
                                x->slots.slots[i].key);
    if (*list)
        diag_note(b->run->diag, (struct loc){0}, "slots of this block: %s", list);
    else
        diag_help(b->run->diag, "mark a layer of the block: `slot NAME = ...`");
}

static const struct bind *block_of(struct build *b, struct node *stage, struct expand *x)
{
    for (size_t i = 0; i < x->nmoes; i++) {
        const struct bind *own = node_layer(b->run, x->moes[i], "block");
        if (own)
            return own;
    }
    return node_layer(b->run, stage, "block");
}

static struct spec_layer *expand_one(struct build *b, struct node *stage, struct node *written,
                                     struct expand *x)
{
    const struct bind *value = block_of(b, stage, x);
    bool swapped = value && value != node_bind(stage, "block");
    if (!written || swapped)
        return value ? expand_value(b->run, x, value, "") : NULL;
    if (!written->list) {
        diag_report(b->run->diag, DIAG_EMPTY_LIST, written->loc, "a list of layers is empty");
        return NULL;
    }
    struct scope s = written->list_scope;
    s.frame = frame_join(b->run, s.frame, x->words);
    return expand_body(b->run, x, &s, written->list, "");
}

static bool add_block(struct build *b, size_t stage, size_t j, struct node *written)
{
    size_t at = b->net.stages[stage].first + j;
    double position = b->net.nblocks > 1 ? (double)at / (double)(b->net.nblocks - 1) : 0;
    struct frame words = {0};
    struct expand x = {
        .words = &words,
        .moes = arena_array(b->run->arena, b->nmoes, sizeof *x.moes),
        .placed = arena_array(b->run->arena, b->nmoes, sizeof *x.placed),
    };
    if (!add_words(b, b->stages[stage], position, &words))
        return false;
    for (size_t m = 0; m < b->nmoes; m++)
        if (b->sets[m][at])
            x.moes[x.nmoes++] = b->moes[m];
    struct spec_layer *body = expand_one(b, b->stages[stage], written, &x);
    if (!body)
        return false;
    for (size_t m = 0; m < x.nmoes; m++) {
        if (x.placed[m])
            continue;
        report_slot(b, &x, x.moes[m], at);
        return false;
    }
    const char *rest = arena_printf(b->run->arena, "blocks.%zu", j);
    add_part(b, block_title(b, at), join_name(b, b->prefixes[stage], rest), (int)stage, (int)j,
             body);
    return true;
}

/* The next block that is written out, from *at; NULL where the stage repeats one. */
static struct node *next_written(const struct node *stage, size_t *at)
{
    while (*at < stage->nkids && strcmp(stage->kids[*at]->kind, "block") != 0)
        ++*at;
    return *at < stage->nkids ? stage->kids[(*at)++] : NULL;
}

static bool add_stages(struct build *b)
{
    bool good = true;
    for (size_t s = 0; s < b->net.nstages; s++) {
        good &= add_enter(b, s);
        size_t at = 0;
        for (size_t j = 0; j < b->net.stages[s].depth && !b->run->stop && !diag_full(b->run->diag);
             j++)
            good &= add_block(b, s, j, next_written(b->stages[s], &at));
    }
    return good;
}

bool model_build(struct run *r, struct node *model, struct spec_model *out)
{
    struct build *b = arena_alloc(r->arena, sizeof *b);
    *b = (struct build){.run = r, .model = model, .out = out};
    out->name = model->name;
    out->loc = model->loc;
    bool good = read_input(b);
    if (!find_stages(b) || !place_rules(b))
        return false;
    good &= add_list(b, "stem");
    good &= add_stages(b);
    good &= add_list(b, "head");
    return good && !r->stop;
}
