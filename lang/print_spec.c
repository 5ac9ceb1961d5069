/* The frozen file. Input: a resolved spec. Output: a complete .vmoe text: every block written out,
 * every argument named, every default there, no `use` and no parameter. Resolving it gives the same
 * spec, printing that the same text. */
#include <math.h>
#include <string.h>

#include "lang/base/arena.h"
#include "lang/resolve.h"
#include "lang/unit.h"

struct frozen {
    FILE *out;
    struct arena *arena;
    const struct spec *spec;
};

static void write_value(struct frozen *z, const struct spec_value *v)
{
    switch (v->type) {
    case SPEC_NONE:  fputs("none", z->out); break;
    case SPEC_BOOL:  fputs(v->i ? "true" : "false", z->out); break;
    case SPEC_INT:
    case SPEC_FLOAT: fputs(unit_literal(z->arena, v), z->out); break;
    case SPEC_TEXT:  text_write_quoted(z->out, v->text); break;
    default:         fputs(v->text, z->out);
    }
}

static void write_floats(struct frozen *z, const char *name, const double *f, int n)
{
    fprintf(z->out, ", %s: [", name);
    for (int i = 0; i < n; i++)
        fprintf(z->out, "%s%s", i ? ", " : "", text_float(z->arena, f[i]));
    fputc(']', z->out);
}

/* A name after a word of the grammar: one word or quoted. */
static void write_name(struct frozen *z, const char *name)
{
    if (strchr(name, '.'))
        text_write_quoted(z->out, name);
    else
        ast_write_label(z->out, name);
}

/* A label at the head of an item: quoted where it would read as something else. */
static void write_label(struct frozen *z, const char *label)
{
    static const char *const taken[] = {"name", "residual", "sum", "product", "concat", "branch"};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (strcmp(label, taken[i]) == 0) {
            text_write_quoted(z->out, label);
            return;
        }
    ast_write_label(z->out, label);
}

static void write_layers(struct frozen *z, const struct spec_layer *list, int depth);

static void indent(struct frozen *z, int depth)
{
    fprintf(z->out, "%*s", depth * 2, "");
}

static void write_list(struct frozen *z, const struct spec_layer *list, int depth)
{
    fputs(" {\n", z->out);
    write_layers(z, list, depth + 1);
    indent(z, depth);
    fputs("}\n", z->out);
}

static void write_op(struct frozen *z, const struct spec_layer *l)
{
    const struct op_row *op = &z->spec->ops[l->op];
    if (*l->label) {
        write_label(z, l->label);
        fputs(" = ", z->out);
    }
    fputs(op->op->name, z->out);
    const char *comma = "(";
    for (size_t i = 0; i < l->nargs; i++) {
        if (l->args[i].type == SPEC_NONE)
            continue;
        fprintf(z->out, "%s%s: ", comma, op->params[i].name);
        write_value(z, &l->args[i]);
        comma = ", ";
    }
    fputs(*comma == ',' ? ")\n" : "\n", z->out);
}

/* `NAME = VALUE` on a line of its own. */
static void write_line(struct frozen *z, int depth, const char *name, const char *value)
{
    indent(z, depth);
    fprintf(z->out, "%s = %s\n", name, value);
}

static const char *whole_text(struct frozen *z, int v)
{
    return arena_printf(z->arena, "%d", v);
}

static const char *factor_text(struct frozen *z, double f)
{
    return f > 0 ? text_float(z->arena, f) : "none";
}

static void write_settings(struct frozen *z, const struct spec_moe *m, int depth)
{
    write_line(z, depth, "experts", whole_text(z, m->experts));
    write_line(z, depth, "choice", moe_choice_words[m->choice]);
    write_line(z, depth, "top_k", m->top_k ? whole_text(z, m->top_k) : "none");
    write_line(z, depth, "slots", m->slots ? whole_text(z, m->slots) : "none");
    write_line(z, depth, "per", m->per_image ? "image" : "token");
    write_line(z, depth, "alike", m->alike ? "true" : "false");
    write_line(z, depth, "renormalise", m->renormalise ? "true" : "false");
    write_line(z, depth, "noise", text_float(z->arena, m->noise));
    write_line(z, depth, "capacity", factor_text(z, m->capacity));
    write_line(z, depth, "eval_capacity", factor_text(z, m->eval_capacity));
    write_line(z, depth, "order", m->batch_priority ? "batch_priority" : "sequence");
    write_line(z, depth, "group",
               arena_printf(z->arena, "%d image%s", m->group, m->group == 1 ? "" : "s"));
    indent(z, depth);
    fputs("rule = ", z->out);
    text_write_quoted(z->out, m->rule);
    fputc('\n', z->out);
    const struct {
        const char *name;
        double v;
    } losses[] = {
        {"importance", m->importance},
        {"load", m->load},
        {"switch", m->switch_loss},
        {"z", m->z_loss},
        {"bias", m->bias},
    };
    indent(z, depth);
    fputs("balance { ", z->out);
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
        fprintf(z->out, "%s%s = %s", i ? "; " : "", losses[i].name,
                text_float(z->arena, losses[i].v));
    fputs(" }\n", z->out);
}

static void write_router(struct frozen *z, const struct spec_layer *router, int depth)
{
    indent(z, depth);
    if (router->kind != LAYER_OP) {
        fputs("router", z->out);
        write_list(z, router, depth);
        return;
    }
    const struct op_row *op = &z->spec->ops[router->op];
    const char *comma = "";
    fprintf(z->out, "router = %s(", op->op->name);
    for (size_t i = 0; i < op->nparams; i++) {
        if (router->args[i].type == SPEC_NONE || strcmp(op->params[i].name, "out") == 0)
            continue;
        fprintf(z->out, "%s%s: ", comma, op->params[i].name);
        write_value(z, &router->args[i]);
        comma = ", ";
    }
    fputs(")\n", z->out);
}

static void write_expert(struct frozen *z, const struct spec_layer *l, const char *key, int depth)
{
    indent(z, depth);
    fputs(key, z->out);
    write_list(z, l, depth);
}

static void write_moe(struct frozen *z, const struct spec_layer *l, int depth)
{
    const struct spec_moe *m = l->moe;
    fputs("moe ", z->out);
    write_name(z, l->label);
    fputs(" {\n", z->out);
    write_settings(z, m, ++depth);
    write_router(z, l->kids[0], depth);
    for (size_t i = 0; i < m->nkinds; i++) {
        if (!*m->kinds[i].name) {
            write_expert(z, l->kids[1 + i], "expert", depth);
            continue;
        }
        indent(z, depth);
        fputs("kind ", z->out);
        write_name(z, m->kinds[i].name);
        fputs(" {\n", z->out);
        write_line(z, depth + 1, "count", whole_text(z, m->kinds[i].count));
        write_expert(z, l->kids[1 + i], "expert", depth + 1);
        indent(z, depth);
        fputs("}\n", z->out);
    }
    if (m->shared)
        write_expert(z, l->kids[l->nkids - 1], "shared", depth);
    indent(z, depth - 1);
    fputs("}\n", z->out);
}

static void write_branches(struct frozen *z, const struct spec_layer *l, int depth)
{
    static const char *const words[] = {
        [LAYER_SUM] = "sum", [LAYER_PRODUCT] = "product", [LAYER_CONCAT] = "concat"};
    fprintf(z->out, "%s {\n", words[l->kind]);
    for (size_t i = 0; i < l->nkids; i++) {
        indent(z, depth + 1);
        fputs("branch", z->out);
        if (l->kids[i]->nkids)
            write_list(z, l->kids[i], depth + 1);
        else
            fputs(" { }\n", z->out);
    }
    indent(z, depth);
    fputs("}\n", z->out);
}

static void write_layers(struct frozen *z, const struct spec_layer *list, int depth)
{
    for (size_t i = 0; i < list->nkids; i++) {
        const struct spec_layer *l = list->kids[i];
        indent(z, depth);
        switch (l->kind) {
        case LAYER_OP:  write_op(z, l); break;
        case LAYER_MOE: write_moe(z, l, depth); break;
        case LAYER_SEQ:
            write_label(z, l->label);
            write_list(z, l, depth);
            break;
        case LAYER_RESIDUAL:
            fputs("residual", z->out);
            write_list(z, l, depth);
            break;
        default: write_branches(z, l, depth);
        }
    }
}

/* ---- the model ---- */

static void write_input(struct frozen *z, const struct spec_model *m)
{
    fprintf(z->out, "  input = image(height: %dpx, width: %dpx, channels: %d", m->height, m->width,
            m->channels);
    write_floats(z, "mean", m->mean, m->channels);
    write_floats(z, "std", m->std, m->channels);
    fprintf(z->out, ", crop: %s, resample: %s, fit: %s)\n  classes = %d\n",
            text_float(z->arena, m->crop_pct),
            m->resample == RESAMPLE_BILINEAR ? "bilinear" : "bicubic",
            m->fit == FIT_SQUASH ? "squash" : "crop", m->classes);
}

/* "stages.1.blocks.0" of a block, "stages.1.downsample" of an entry: the stage's name is what
 * stands before. */
static void write_stage_name(struct frozen *z, const char *prefix, size_t cut)
{
    size_t n = strlen(prefix);
    n = n > cut ? n - cut : 0;
    fputs("    name = ", z->out);
    text_write_quoted(z->out, arena_copy(z->arena, prefix, n));
    fputc('\n', z->out);
}

static size_t stage_title(const struct spec_part *p)
{
    return strcspn(p->title, p->block < 0 ? "." : "[");
}

static size_t first_block(const struct spec_model *m, size_t i)
{
    while (m->parts[i].block < 0)
        i++;
    return i;
}

static const char *entry_label(const struct spec_model *m, size_t i)
{
    size_t n = strlen(m->parts[first_block(m, i)].prefix) - strlen("blocks.0");
    return m->parts[i].prefix + n;
}

static void write_stage_part(struct frozen *z, const struct spec_model *m, size_t i)
{
    const struct spec_part *p = &m->parts[i];
    if (i == 0 || m->parts[i - 1].stage != p->stage) {
        const struct spec_part *first = &m->parts[first_block(m, i)];
        fputs("  stage ", z->out);
        write_name(z, arena_copy(z->arena, first->title, stage_title(first)));
        fputs(" {\n", z->out);
        bool bare = strcmp(first->prefix, "blocks.0") == 0;
        write_stage_name(z, first->prefix, strlen(bare ? "blocks.0" : ".blocks.0"));
    }
    if (p->block < 0) {
        fputs("    enter ", z->out);
        write_name(z, entry_label(m, i));
        write_list(z, p->body, 2);
    } else {
        fputs("    block", z->out);
        write_list(z, p->body, 2);
    }
    if (i + 1 == m->nparts || m->parts[i + 1].stage != p->stage)
        fputs("  }\n", z->out);
}

static void write_parts(struct frozen *z, const struct spec_model *m)
{
    for (size_t i = 0; i < m->nparts; i++) {
        const struct spec_part *p = &m->parts[i];
        if (p->stage >= 0) {
            write_stage_part(z, m, i);
            continue;
        }
        fprintf(z->out, "  %s {\n    name = ", p->title);
        text_write_quoted(z->out, p->prefix);
        fputc('\n', z->out);
        write_layers(z, p->body, 2);
        fputs("  }\n", z->out);
    }
}

static void write_placed(struct frozen *z, const struct spec_placed *p)
{
    fputs("  placed { rule = ", z->out);
    text_write_quoted(z->out, p->rule);
    fputs("; at = ", z->out);
    text_write_quoted(z->out, p->at_text);
    fputs("; slots = ", z->out);
    text_write_quoted(z->out, p->slots_text);
    fputs(" }\n", z->out);
}

/* ---- the experiment ---- */

static const struct spec_value *value(struct frozen *z, const char *path)
{
    return &spec_find_key(z->spec, path)->value;
}

static const char *text(struct frozen *z, const char *path)
{
    return unit_literal(z->arena, value(z, path));
}

static void write_keys(struct frozen *z, const char *body)
{
    size_t n = strlen(body);
    for (size_t i = 0; i < z->spec->nkeys; i++) {
        const struct spec_key *k = &z->spec->keys[i];
        const char *name = k->path + n + 1;
        if (strncmp(k->path, body, n) != 0 || k->path[n] != '.' || strchr(name, '.'))
            continue;
        if (strcmp(name, "clip") == 0)
            continue;
        fprintf(z->out, "    %s = ", name);
        bool off =
            (strcmp(name, "ema") == 0 || strcmp(k->path, "memory.limit") == 0) && k->value.f == 0;
        if (off)
            fputs("none", z->out);
        else
            write_value(z, &k->value);
        fputc('\n', z->out);
    }
}

/* `name(argument: value, ...)`, from the rows of the arguments. */
struct argument {
    const char *name, *path;
};

static void write_call(struct frozen *z, const char *name, const struct argument *args, size_t n)
{
    fprintf(z->out, "    %s", name);
    for (size_t i = 0; i < n; i++) {
        fprintf(z->out, "%s%s: ", i ? ", " : "(", args[i].name);
        write_value(z, value(z, args[i].path));
    }
    fputs(n ? ")\n" : "\n", z->out);
}

static void write_augment(struct frozen *z)
{
    static const struct {
        const char *name, *on;
        double off;
        struct argument args[4];
        size_t n;
    } calls[] = {
        {"padded_crop",
         "augment.padded_crop",
         0,
         {{"padding", "augment.padded_crop"}, {"reflect", "augment.reflect"}},
         2},
        {"flip",
         "augment.flip",
         0,
         {{"probability", "augment.flip"}, {"alternating", "augment.alternating"}},
         2},
        {"randaugment",
         "augment.randaugment",
         0,
         {{"n", "augment.randaugment"},
          {"m", "augment.magnitude"},
          {"std", "augment.magnitude_std"},
          {"increasing", "augment.increasing"}},
         4},
        {"three_augment", "augment.three_augment", 0, {{0}}, 0},
        {"color_jitter", "augment.color_jitter", 0, {{"strength", "augment.color_jitter"}}, 1},
        {"random_erase", "augment.random_erase", 0, {{"probability", "augment.random_erase"}}, 1},
        {"mixup", "augment.mixup", 0, {{"alpha", "augment.mixup"}}, 1},
        {"cutmix", "augment.cutmix", 0, {{"alpha", "augment.cutmix"}}, 1},
        {"repeat", "augment.repeat", 1, {{"times", "augment.repeat"}}, 1},
    };
    static const struct argument mix[] = {{"probability", "augment.mix_probability"},
                                          {"switch", "augment.mix_switch"}};
    fputs("  augment {\n", z->out);
    if (value(z, "augment.random_resized_crop")->i)
        fprintf(z->out, "    random_resized_crop(scale: %s .. %s, ratio: %s .. %s)\n",
                text(z, "augment.min_scale"), text(z, "augment.max_scale"),
                text(z, "augment.min_ratio"), text(z, "augment.max_ratio"));
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const struct spec_value *on = value(z, calls[i].on);
        double set = on->type == SPEC_FLOAT ? on->f : (double)on->i;
        if (set != calls[i].off)
            write_call(z, calls[i].name, calls[i].args, calls[i].n);
    }
    bool usual =
        value(z, "augment.mix_probability")->f == 1 && value(z, "augment.mix_switch")->f == 0.5;
    if (!usual || value(z, "augment.mixup")->f > 0 || value(z, "augment.cutmix")->f > 0)
        write_call(z, "mix", mix, 2);
    fputs("  }\n", z->out);
}

static void write_optim(struct frozen *z)
{
    const char *kind = value(z, "train.optim.kind")->text;
    fprintf(z->out, "    optim = %s(lr: %s, weight_decay: %s, ", kind, text(z, "train.optim.lr"),
            text(z, "train.optim.weight_decay"));
    if (strcmp(kind, "sgd") == 0) {
        fprintf(z->out, "momentum: %s, nesterov: ", text(z, "train.optim.momentum"));
        write_value(z, value(z, "train.optim.nesterov"));
    } else {
        fprintf(z->out, "betas: [%s, %s], eps: %s", text(z, "train.optim.beta1"),
                text(z, "train.optim.beta2"), text(z, "train.optim.eps"));
    }
    fputs(")\n", z->out);
}

static void write_train(struct frozen *z)
{
    fputs("  train {\n", z->out);
    write_keys(z, "train");
    double clip = value(z, "train.clip")->f;
    if (clip > 0)
        fprintf(z->out, "    clip = global_norm(%s)\n", text_float(z->arena, clip));
    else
        fputs("    clip = none\n", z->out);
    write_optim(z);
    const char *kind = value(z, "train.schedule.kind")->text;
    fprintf(z->out, "    schedule = %s(warmup: %s", kind, text(z, "train.schedule.warmup"));
    if (strcmp(kind, "cosine") == 0)
        fprintf(z->out, ", final: %s", text(z, "train.schedule.final"));
    if (strcmp(kind, "step") == 0)
        fprintf(z->out, ", every: %s, factor: %s", text(z, "train.schedule.every"),
                text(z, "train.schedule.factor"));
    fputs(")\n    groups = [", z->out);
    for (size_t i = 0; i < z->spec->ngroups; i++) {
        const struct spec_group *g = &z->spec->groups[i];
        fputs(i ? ", group(match: " : "group(match: ", z->out);
        text_write_quoted(z->out, g->match);
        if (!isnan(g->weight_decay))
            fprintf(z->out, ", weight_decay: %s", text_float(z->arena, g->weight_decay));
        fprintf(z->out, ", lr_factor: %s)", text_float(z->arena, g->lr_factor));
    }
    fputs("]\n  }\n", z->out);
}

void lang_print_spec(const struct spec *spec, FILE *out)
{
    struct frozen z = {out, arena_new(), spec};
    fprintf(out, "vmoe 1\n\nmodel %s {\n", spec->model.name);
    write_input(&z, &spec->model);
    write_parts(&z, &spec->model);
    for (size_t i = 0; i < spec->model.nplaced; i++)
        write_placed(&z, &spec->model.placed[i]);
    checks_print(spec->checks, out);
    fprintf(out, "}\n\nexperiment %s {\n  model = %s\n  data {\n", spec->name, spec->model.name);
    write_keys(&z, "data");
    fputs("  }\n", out);
    write_augment(&z);
    write_train(&z);
    fputs("  memory {\n", out);
    write_keys(&z, "memory");
    fputs("  }\n}\n", out);
    arena_free(z.arena);
}
