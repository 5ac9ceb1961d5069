/* The experiment's keys, flattened. Input: the merged experiment. Output: rows "train.optim.lr"
 * with their values, and the groups of parameters. What is an argument of a call in the source
 * (optimiser, schedule, augmentations) is a row here. */
#include <math.h>
#include <string.h>

#include "lang/base/arena.h"
#include "lang/resolve.h"

struct rows {
    struct spec_key *at;
    size_t n, cap;
};

static void add(struct run *r, struct rows *rows, const char *path, const char *flag,
                enum key_when when, const char *help, struct spec_value v)
{
    *ARENA_PUSH(r->arena, rows->at, rows->n, rows->cap) =
        (struct spec_key){.path = path,
                          .flag = flag,
                          .runtime = when == KEY_R,
                          .value = v,
                          .help = help,
                          .loc = v.loc};
}

/* The row of a value that is an argument of a call: from keys.def. */
static void add_value(struct run *r, struct rows *rows, const char *path, struct spec_value v,
                      struct loc loc)
{
    const struct value_row *row = keys_value(path);
    v.loc = loc;
    add(r, rows, path, row->flag, row->when, row->help, v);
}

static struct node *kid_or_new(struct run *r, struct node *n, const char *kind)
{
    struct node *kid = node_kid(n, kind);
    return kid ? kid : node_new(r, n, kind, kind, "", n->loc);
}

static bool export_key(struct run *r, struct node *n, const struct key_row *row, struct rows *rows)
{
    struct spec_value v;
    if (!node_value(r, n, row->param->name, &v))
        return false;
    /* Outside, a number says it all: 0 is none. */
    if (v.type == SPEC_NONE) {
        struct loc loc = v.loc;
        v = strcmp(row->param->type, "bytes") == 0 ? value_int(0) : value_float(0);
        if (strcmp(row->param->type, "bytes") == 0)
            v.unit = UNIT_BYTES;
        v.loc = loc;
    }
    if (v.type == SPEC_CALL) {
        struct loc loc = v.loc;
        v = value_float(v.items[0].f);
        v.loc = loc;
    }
    add(r, rows, arena_printf(r->arena, "%s.%s", n->kind, row->param->name), row->flag, row->when,
        row->help, v);
    return true;
}

static bool export_betas(struct run *r, const struct spec_value *betas, struct rows *rows)
{
    if (betas->n != 2) {
        diag_report(r->diag, DIAG_OUT_OF_RANGE, betas->loc,
                    "`betas` are two numbers: [0.9, 0.999]");
        return false;
    }
    for (size_t i = 0; i < 2; i++) {
        if (betas->items[i].f >= 0 && betas->items[i].f < 1)
            continue;
        diag_report(r->diag, DIAG_OUT_OF_RANGE, betas->loc, "`betas` lie from 0 to below 1");
        return false;
    }
    add_value(r, rows, "train.optim.beta1", value_float(betas->items[0].f), betas->loc);
    add_value(r, rows, "train.optim.beta2", value_float(betas->items[1].f), betas->loc);
    return true;
}

static bool export_optim(struct run *r, struct node *train, struct rows *rows)
{
    struct spec_value v;
    if (!node_value(r, train, "optim", &v))
        return false;
    add_value(r, rows, "train.optim.kind", value_text(v.text), v.loc);
    add_value(r, rows, "train.optim.lr", v.items[0], v.items[0].loc);
    add_value(r, rows, "train.optim.weight_decay", v.items[1], v.items[1].loc);
    if (strcmp(v.text, "sgd") == 0) {
        add_value(r, rows, "train.optim.momentum", v.items[2], v.items[2].loc);
        add_value(r, rows, "train.optim.nesterov", v.items[3], v.items[3].loc);
        return true;
    }
    if (!export_betas(r, &v.items[2], rows))
        return false;
    add_value(r, rows, "train.optim.eps", v.items[3], v.items[3].loc);
    return true;
}

static bool export_schedule(struct run *r, struct node *train, struct rows *rows)
{
    struct spec_value v;
    if (!node_value(r, train, "schedule", &v))
        return false;
    add_value(r, rows, "train.schedule.kind", value_text(v.text), v.loc);
    add_value(r, rows, "train.schedule.warmup", v.items[0], v.items[0].loc);
    bool cosine = strcmp(v.text, "cosine") == 0, step = strcmp(v.text, "step") == 0;
    /* what `every` is unless it is written, should a flag ask for steps */
    struct spec_value usual = v.items[0];
    usual.i = 30;
    usual.f = 30;
    usual.unit = UNIT_EPOCHS;
    add_value(r, rows, "train.schedule.final", cosine ? v.items[1] : value_float(0),
              cosine ? v.items[1].loc : v.loc);
    add_value(r, rows, "train.schedule.every", step ? v.items[1] : usual,
              step ? v.items[1].loc : v.loc);
    add_value(r, rows, "train.schedule.factor", step ? v.items[2] : value_float(0.1),
              step ? v.items[2].loc : v.loc);
    return true;
}

static bool export_groups(struct run *r, struct node *train, struct spec *spec)
{
    struct spec_value v;
    if (!node_value(r, train, "groups", &v))
        return false;
    spec->groups = arena_array(r->arena, v.n, sizeof *spec->groups);
    spec->ngroups = v.n;
    for (size_t i = 0; i < v.n; i++) {
        const struct spec_value *g = v.items[i].items;
        spec->groups[i] =
            (struct spec_group){g[0].text, g[1].type == SPEC_NONE ? NAN : g[1].f, g[2].f};
    }
    return true;
}

/* ---- augmentations: each a call, whose arguments become rows ---- */

enum { CROP, PADDED, FLIP, RANDAUGMENT, THREE, JITTER, ERASE, MIXUP, CUTMIX, MIX, REPEAT, CALLS };
enum { PRESENCE = -1, WHOLE = -1 };

static const char *const augment_names[CALLS] = {
    [CROP] = "random_resized_crop",
    [PADDED] = "padded_crop",
    [FLIP] = "flip",
    [RANDAUGMENT] = "randaugment",
    [THREE] = "three_augment",
    [JITTER] = "color_jitter",
    [ERASE] = "random_erase",
    [MIXUP] = "mixup",
    [CUTMIX] = "cutmix",
    [MIX] = "mix",
    [REPEAT] = "repeat",
};

static const int excluded[][2] = {{CROP, PADDED}, {RANDAUGMENT, THREE}};

/* Which argument a row takes, or one end of it where that is a range; and what the row is without
 * the call. */
static const struct augment_row {
    const char *path;
    int call, item, end;
    enum spec_type type;
    double unset;
} augment_rows[] = {
    {"augment.random_resized_crop", CROP, PRESENCE, WHOLE, SPEC_BOOL, 0},
    {"augment.min_scale", CROP, 0, 0, SPEC_FLOAT, 0.08},
    {"augment.max_scale", CROP, 0, 1, SPEC_FLOAT, 1},
    {"augment.min_ratio", CROP, 1, 0, SPEC_FLOAT, 0.75},
    {"augment.max_ratio", CROP, 1, 1, SPEC_FLOAT, 1.3333333333333333},
    {"augment.padded_crop", PADDED, 0, WHOLE, SPEC_INT, 0},
    {"augment.reflect", PADDED, 1, WHOLE, SPEC_BOOL, 0},
    {"augment.flip", FLIP, 0, WHOLE, SPEC_FLOAT, 0},
    {"augment.alternating", FLIP, 1, WHOLE, SPEC_BOOL, 0},
    {"augment.randaugment", RANDAUGMENT, 0, WHOLE, SPEC_INT, 0},
    {"augment.magnitude", RANDAUGMENT, 1, WHOLE, SPEC_FLOAT, 9},
    {"augment.magnitude_std", RANDAUGMENT, 2, WHOLE, SPEC_FLOAT, 0.5},
    {"augment.increasing", RANDAUGMENT, 3, WHOLE, SPEC_BOOL, 1},
    {"augment.three_augment", THREE, PRESENCE, WHOLE, SPEC_BOOL, 0},
    {"augment.color_jitter", JITTER, 0, WHOLE, SPEC_FLOAT, 0},
    {"augment.random_erase", ERASE, 0, WHOLE, SPEC_FLOAT, 0},
    {"augment.mixup", MIXUP, 0, WHOLE, SPEC_FLOAT, 0},
    {"augment.cutmix", CUTMIX, 0, WHOLE, SPEC_FLOAT, 0},
    {"augment.mix_probability", MIX, 0, WHOLE, SPEC_FLOAT, 1},
    {"augment.mix_switch", MIX, 1, WHOLE, SPEC_FLOAT, 0.5},
    {"augment.repeat", REPEAT, 0, WHOLE, SPEC_INT, 1},
};

static bool read_augment(struct run *r, const struct item *i, struct scope s,
                         struct spec_value calls[CALLS])
{
    if (i->kind != ITEM_CALL) {
        diag_report(r->diag, DIAG_MISPLACED_ITEM, i->loc,
                    "`augment` is a list of calls: random_resized_crop; flip");
        return false;
    }
    struct spec_value v;
    if (!call_variant(r, &s, i->value, "augment", NULL, 0, &v))
        return false;
    for (int k = 0; k < CALLS; k++) {
        if (strcmp(augment_names[k], v.text) != 0)
            continue;
        if (calls[k].type != SPEC_NONE) {
            diag_report(r->diag, DIAG_DUPLICATE_KEY, i->loc, "`%s` stands twice", v.text);
            diag_note(r->diag, calls[k].loc, "first here");
            return false;
        }
        calls[k] = v;
    }
    return true;
}

/* What a call takes the place of, besides the earlier one of its name. */
static int excluded_by(int call)
{
    for (size_t i = 0; i < sizeof excluded / sizeof *excluded; i++)
        for (int end = 0; end < 2; end++)
            if (excluded[i][end] == call)
                return excluded[i][!end];
    return call;
}

/* The calls of `list` over those of the lists that it amends. */
static bool read_augments(struct run *r, const struct amended *list, struct spec_value calls[CALLS])
{
    struct spec_value own[CALLS] = {0};
    if (!list)
        return true;
    if (!read_augments(r, list->before, calls))
        return false;
    for (size_t i = 0; i < list->list->n; i++)
        if (!read_augment(r, list->list->items[i], list->scope, own))
            return false;
    for (int k = 0; k < CALLS; k++)
        if (own[k].type != SPEC_NONE)
            calls[excluded_by(k)] = (struct spec_value){0};
    for (int k = 0; k < CALLS; k++)
        if (own[k].type != SPEC_NONE)
            calls[k] = own[k];
    return true;
}

static bool check_augment(struct run *r, const struct spec_value calls[CALLS])
{
    for (size_t i = 0; i < sizeof excluded / sizeof *excluded; i++) {
        const struct spec_value *a = &calls[excluded[i][0]], *b = &calls[excluded[i][1]];
        if (a->type == SPEC_NONE || b->type == SPEC_NONE)
            continue;
        diag_report(r->diag, DIAG_OUT_OF_RANGE, b->loc, "`%s` and `%s` exclude each other", b->text,
                    a->text);
        diag_note(r->diag, a->loc, "the other one is here");
        return false;
    }
    const struct spec_value *crop = &calls[CROP];
    if (crop->type != SPEC_NONE && crop->items[0].items[1].f > 1) {
        diag_report(r->diag, DIAG_OUT_OF_RANGE, crop->loc,
                    "`scale` is a share of the picture: at most 1");
        return false;
    }
    return true;
}

static struct spec_value augment_value(const struct augment_row *row, const struct spec_value *call)
{
    struct spec_value v = {.type = row->type, .i = (int64_t)row->unset, .f = row->unset};
    if (call->type != SPEC_NONE && row->item == PRESENCE)
        v = value_bool(true);
    else if (call->type != SPEC_NONE && row->end != WHOLE)
        v = value_float(call->items[row->item].items[row->end].f);
    else if (call->type != SPEC_NONE)
        v = call->items[row->item];
    if (row->call == PADDED)
        v.unit = UNIT_PX;
    return v;
}

static bool export_augment(struct run *r, struct node *n, struct rows *rows)
{
    struct spec_value calls[CALLS] = {0};
    struct amended last = {n->list, n->list_scope, n->before};
    if (n->list && !read_augments(r, &last, calls))
        return false;
    if (!check_augment(r, calls))
        return false;
    for (size_t i = 0; i < sizeof augment_rows / sizeof *augment_rows; i++) {
        const struct augment_row *row = &augment_rows[i];
        add_value(r, rows, row->path, augment_value(row, &calls[row->call]), calls[row->call].loc);
    }
    return true;
}

static bool export_body(struct run *r, struct node *n, struct rows *rows)
{
    bool good = true;
    for (size_t i = 0; i < r->keys->nkeys; i++) {
        const struct key_row *row = &r->keys->keys[i];
        bool listed = row->when != KEY_X || strcmp(row->param->name, "clip") == 0;
        if (strcmp(row->body, n->body) == 0 && listed)
            good &= export_key(r, n, row, rows);
    }
    return good;
}

bool experiment_export(struct run *r, struct node *experiment, struct spec *spec)
{
    struct rows rows = {0};
    struct node *train = kid_or_new(r, experiment, "train");
    bool good = export_body(r, kid_or_new(r, experiment, "data"), &rows);
    good &= export_augment(r, kid_or_new(r, experiment, "augment"), &rows);
    good &= export_body(r, train, &rows);
    good &= export_optim(r, train, &rows);
    good &= export_schedule(r, train, &rows);
    good &= export_groups(r, train, spec);
    good &= export_body(r, kid_or_new(r, experiment, "memory"), &rows);
    spec->keys = rows.at;
    spec->nkeys = rows.n;
    return good;
}
