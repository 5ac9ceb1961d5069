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

static void add(struct run *r, struct rows *rows, const char *path, const struct key_row *row,
                struct spec_value v)
{
    *ARENA_PUSH(r->arena, rows->at, rows->n, rows->cap) =
        (struct spec_key){.path = path,
                          .flag = row->flag,
                          .runtime = row->when == KEY_R,
                          .value = v,
                          .range = row->range,
                          .help = row->help,
                          .loc = v.loc};
}

/* The row of a value that is an argument of a call: from keys.def. */
static bool add_value(struct run *r, struct rows *rows, const char *body, const char *name,
                      struct spec_value v, struct loc loc)
{
    const struct key_row *row = keys_value(r->keys, body, name);
    const char *path = arena_printf(r->arena, "%s.%s", body, name);
    v.loc = loc;
    bool number = v.type == SPEC_INT || v.type == SPEC_FLOAT;
    if (number && !keys_in_range(&row->range, v.f)) {
        report_constraint(r, path, &v, row->param->where, DIAG_OUT_OF_RANGE);
        return false;
    }
    add(r, rows, path, row, v);
    return true;
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
    add(r, rows, arena_printf(r->arena, "%s.%s", n->kind, row->param->name), row, v);
    return true;
}

static bool add_optim(struct run *r, struct rows *rows, const char *name, struct spec_value v,
                      struct loc loc)
{
    return add_value(r, rows, "train.optim", name, v, loc);
}

static bool export_betas(struct run *r, const struct spec_value *betas, struct rows *rows)
{
    if (betas->n != 2) {
        diag_report(r->diag, DIAG_OUT_OF_RANGE, betas->loc,
                    "`betas` are two numbers: [0.9, 0.999]");
        return false;
    }
    return add_optim(r, rows, "beta1", value_float(betas->items[0].f), betas->loc) &&
           add_optim(r, rows, "beta2", value_float(betas->items[1].f), betas->loc);
}

static bool export_optim(struct run *r, struct node *train, struct rows *rows)
{
    struct spec_value v;
    if (!node_value(r, train, "optim", &v))
        return false;
    const struct spec_value *arg = v.items;
    bool good = add_optim(r, rows, "kind", value_text(v.text), v.loc);
    good &= add_optim(r, rows, "lr", arg[0], arg[0].loc);
    good &= add_optim(r, rows, "weight_decay", arg[1], arg[1].loc);
    if (strcmp(v.text, "sgd") == 0) {
        good &= add_optim(r, rows, "momentum", arg[2], arg[2].loc);
        return add_optim(r, rows, "nesterov", arg[3], arg[3].loc) && good;
    }
    good &= export_betas(r, &arg[2], rows);
    return add_optim(r, rows, "eps", arg[3], arg[3].loc) && good;
}

static bool add_schedule(struct run *r, struct rows *rows, const char *name, struct spec_value v,
                         struct loc loc)
{
    return add_value(r, rows, "train.schedule", name, v, loc);
}

static bool export_schedule(struct run *r, struct node *train, struct rows *rows)
{
    struct spec_value v;
    if (!node_value(r, train, "schedule", &v))
        return false;
    bool good = add_schedule(r, rows, "kind", value_text(v.text), v.loc);
    good &= add_schedule(r, rows, "warmup", v.items[0], v.items[0].loc);
    bool cosine = strcmp(v.text, "cosine") == 0, step = strcmp(v.text, "step") == 0;
    /* what `every` is unless it is written, should a flag ask for steps */
    struct spec_value usual = v.items[0];
    usual.i = 30;
    usual.f = 30;
    usual.unit = UNIT_EPOCHS;
    good &= add_schedule(r, rows, "final", cosine ? v.items[1] : value_float(0),
                         cosine ? v.items[1].loc : v.loc);
    good &=
        add_schedule(r, rows, "every", step ? v.items[1] : usual, step ? v.items[1].loc : v.loc);
    good &= add_schedule(r, rows, "factor", step ? v.items[2] : value_float(0.1),
                         step ? v.items[2].loc : v.loc);
    return good;
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

/* Which argument a row takes, or one end of it where that is a range. */
static const struct augment_row {
    const char *name;
    int call, item, end;
} augment_rows[] = {
    {"random_resized_crop", CROP, PRESENCE, WHOLE},
    {"min_scale", CROP, 0, 0},
    {"max_scale", CROP, 0, 1},
    {"min_ratio", CROP, 1, 0},
    {"max_ratio", CROP, 1, 1},
    {"padded_crop", PADDED, 0, WHOLE},
    {"reflect", PADDED, 1, WHOLE},
    {"flip", FLIP, 0, WHOLE},
    {"alternating", FLIP, 1, WHOLE},
    {"randaugment", RANDAUGMENT, 0, WHOLE},
    {"magnitude", RANDAUGMENT, 1, WHOLE},
    {"magnitude_std", RANDAUGMENT, 2, WHOLE},
    {"increasing", RANDAUGMENT, 3, WHOLE},
    {"three_augment", THREE, PRESENCE, WHOLE},
    {"color_jitter", JITTER, 0, WHOLE},
    {"random_erase", ERASE, 0, WHOLE},
    {"mixup", MIXUP, 0, WHOLE},
    {"cutmix", CUTMIX, 0, WHOLE},
    {"mix_probability", MIX, 0, WHOLE},
    {"mix_switch", MIX, 1, WHOLE},
    {"repeat", REPEAT, 0, WHOLE},
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
    return true;
}

/* Without the call what keys.def says of the row. */
static bool export_augment_row(struct run *r, const struct augment_row *row,
                               const struct spec_value *call, struct rows *rows)
{
    const struct param *p = keys_value(r->keys, "augment", row->name)->param;
    struct spec_value v;
    struct loc loc = call->loc;
    if (call->type == SPEC_NONE) {
        if (!eval(r, &(struct scope){0}, p->def, p->type, false, p->name, &v))
            return false;
    } else if (row->item == PRESENCE)
        v = value_bool(true);
    else if (row->end != WHOLE)
        v = value_float(call->items[row->item].items[row->end].f);
    else
        v = call->items[row->item];
    if (call->type != SPEC_NONE && row->item != PRESENCE && call->items[row->item].loc.src)
        loc = call->items[row->item].loc;
    return add_value(r, rows, "augment", row->name, v, loc);
}

static bool export_augment(struct run *r, struct node *n, struct rows *rows)
{
    struct spec_value calls[CALLS] = {0};
    struct amended last = {n->list, n->list_scope, n->before};
    if (n->list && !read_augments(r, &last, calls))
        return false;
    if (!check_augment(r, calls))
        return false;
    bool good = true;
    for (size_t i = 0; i < sizeof augment_rows / sizeof *augment_rows; i++)
        good &= export_augment_row(r, &augment_rows[i], &calls[augment_rows[i].call], rows);
    return good;
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
