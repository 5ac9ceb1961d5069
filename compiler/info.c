/* Parameters, multiply-accumulates and memory, by part of the model. */
#include "config.h"

#include "compiler/info.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/graph/graph.h"
#include "compiler/plan/plan.h"
#include "lang/base/arena.h"
#include "lang/base/diag.h"
#include "lang/spec.h"

static bool uses_ema(const struct plan *p)
{
    const struct spec_key *k = spec_key(p->train->spec, KEY_train_ema);
    return k && spec_number(p->train->spec, KEY_train_ema) > 0;
}

struct lang_facts info_facts(const struct plan *p)
{
    struct cost c = graph_cost(p->eval);
    return (struct lang_facts){(double)c.params_total, (double)c.params_active, (double)c.macs,
                               (double)plan_memory_train(p, uses_ema(p)),
                               (double)plan_memory_eval(p)};
}

/* -- parts: nodes are named TITLE.label, params PREFIX.label -- */

struct part {
    const char *title;
    int64_t rows, cols, params, macs;
};

static bool under(const char *name, const char *title)
{
    size_t n = strlen(title);
    return !strncmp(name, title, n) && (name[n] == '.' || !name[n]);
}

static struct part input_part(const struct spec_model *m)
{
    return (struct part){.rows = (int64_t)m->height * m->width, .cols = m->channels};
}

/* A part that only views its input in another form has no node: its output is the one before. */
static struct part measure(const struct plan *p, const struct spec_part *s,
                           const struct part *before)
{
    const struct graph *g = p->eval;
    struct part part = {.title = s->title, .rows = before->rows, .cols = before->cols};
    bool *counted = arena_array(p->arena, g->nparams + 1, sizeof *counted);
    for (size_t i = 0; i < g->nforward; i++) {
        const struct node *n = g->nodes[i];
        if (!under(n->name, s->title))
            continue;
        part.macs += graph_node_macs(n);
        part.rows = n->out[0]->rows;
        part.cols = n->out[0]->cols;
        const struct param *w[] = {n->weight, n->bias};
        for (int j = 0; j < 2; j++)
            if (w[j] && !counted[w[j]->id]) {
                counted[w[j]->id] = true;
                part.params += w[j]->count;
            }
    }
    return part;
}

/* -- text -- */

static const char *bytes_text(struct arena *a, int64_t v)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double x = (double)v;
    int u = 0;
    for (; x >= 1024 && u < 4; u++)
        x /= 1024;
    return arena_printf(a, u ? "%.1f %s" : "%.0f %s", x, units[u]);
}

static const char *grouped(struct arena *a, int64_t v)
{
    char digits[32], out[48];
    int n = snprintf(digits, sizeof digits, "%" PRId64, v), k = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            out[k++] = ',';
        out[k++] = digits[i];
    }
    return arena_copy(a, out, (size_t)k);
}

static void print_memory(struct arena *a, const struct plan *p, FILE *f)
{
    fprintf(f, "memory, training %" PRId64 " images a step: %s (recompute = %s)\n", p->train->micro,
            bytes_text(a, plan_memory_train(p, uses_ema(p))), recompute_words[p->train->recompute]);
    fprintf(f,
            "  weights %s, gradients and moments %s, packed weights %s, arena %s, scratch %s a "
            "thread\n",
            bytes_text(a, p->params_bytes),
            bytes_text(a, (1 + plan_moments(p) + uses_ema(p)) * p->params_bytes),
            bytes_text(a, p->packed_train_bytes), bytes_text(a, p->arena_train_bytes),
            bytes_text(a, p->scratch_bytes));
    fprintf(f, "memory, evaluation: %s (arena %s)\n", bytes_text(a, plan_memory_eval(p)),
            bytes_text(a, p->arena_eval_bytes));
}

/* -- pictures -- */

static const char *crop_mode(const struct spec_model *m)
{
    return m->fit == FIT_SQUASH ? "squash" : "center";
}

static const char *interpolation(const struct spec_model *m)
{
    return m->resample == RESAMPLE_BILINEAR ? "bilinear" : "bicubic";
}

/* The names are timm's, as in the metadata of weights. */
static json_t *pictures_json(const struct spec_model *m)
{
    json_t *mean = json_array(), *std = json_array();
    for (int i = 0; i < m->channels; i++) {
        json_array_append_new(mean, json_real(m->mean[i]));
        json_array_append_new(std, json_real(m->std[i]));
    }
    return json_pack("{s:[i,i,i], s:o, s:o, s:f, s:s, s:s}", "input_size", m->channels, m->height,
                     m->width, "mean", mean, "std", std, "crop_pct", m->crop_pct, "crop_mode",
                     crop_mode(m), "interpolation", interpolation(m));
}

static void print_pictures(const struct spec_model *m, FILE *f)
{
    fprintf(f, "evaluation: %s %.0f x %.0f (%s), the centre is kept\n",
            m->fit == FIT_SQUASH ? "squashed to" : "resized to cover",
            floor(m->height / m->crop_pct), floor(m->width / m->crop_pct), interpolation(m));
}

/* Who chooses, and how many. */
static const char *choice_text(struct arena *a, const struct moe *x)
{
    if (x->choice == CHOICE_EXPERT)
        return arena_printf(a, "which choose so that a token meets %.3g on average", x->active);
    if (x->choice == CHOICE_SOFT)
        return arena_printf(a, "soft, %" PRId64 " slots each", x->tokens / x->experts);
    return arena_printf(a, "top-%d%s", x->top_k, x->span > 1 ? " for each image" : "");
}

static void print_info(struct arena *a, const struct plan *p, FILE *f)
{
    const struct spec_model *m = &p->eval->spec->model;
    struct cost c = graph_cost(p->eval);
    fprintf(f, "model %s: %d x %d x %d pictures, %d classes\n", m->name, m->channels, m->height,
            m->width, m->classes);
    print_pictures(m, f);
    fprintf(f, "\n%-12s %16s %14s %16s\n", "part", "output", "parameters", "MACs");
    struct part part = input_part(m);
    for (size_t i = 0; i < m->nparts; i++) {
        part = measure(p, &m->parts[i], &part);
        fprintf(f, "%-12s %16s %14s %16s\n", part.title,
                arena_printf(a, "%" PRId64 " x %" PRId64, part.rows, part.cols),
                grouped(a, part.params), grouped(a, part.macs));
    }
    fprintf(f, "\nparameters: %s total, %s active\nMACs per image: %s\n",
            grouped(a, c.params_total), grouped(a, c.params_active), grouped(a, c.macs));
    for (size_t i = 0; i < m->nplaced; i++)
        fprintf(f, "moe%s%s: at = %s -> %s\n", *m->placed[i].rule ? " " : "", m->placed[i].rule,
                m->placed[i].at_text, m->placed[i].slots_text);
    for (size_t i = 0; i < p->eval->nmoes; i++) {
        const struct moe *x = p->eval->moes[i];
        fprintf(f, "  %s: %d experts%s%s, %s, %s\n", x->name, x->experts,
                x->nkinds > 1 ? arena_printf(a, " of %d kinds", x->nkinds) : "",
                x->shared ? " and a shared one" : "", choice_text(a, x),
                x->group == 1 ? "each image by itself"
                              : arena_printf(a, "groups of %d images", x->group));
    }
    print_memory(a, p, f);
}

const char *info_text(struct arena *a, const struct plan *p)
{
    struct arena_text text;
    print_info(a, p, arena_text_begin(&text));
    return arena_text_end(a, &text);
}

/* -- JSON -- */

static json_t *moe_json(const struct plan *p, const struct moe *x)
{
    const struct moe *t = p->train->moes[x->id];
    bool token = x->choice == CHOICE_TOKEN;
    return json_pack("{s:s, s:i, s:i, s:b, s:b, s:s, s:s, s:i, s:I, s:I, s:i, s:b, s:f, s:f, s:f, "
                     "s:f, s:f, s:f, s:f, s:f, s:s}",
                     "name", x->name, "experts", x->experts, "kinds", x->nkinds, "shared",
                     x->shared, "alike", x->alike, "choice", moe_choice_words[x->choice], "per",
                     x->span > 1 ? "image" : "token", "top_k", token ? x->top_k : 0, "slots",
                     (json_int_t)(x->choice == CHOICE_SOFT ? x->tokens / x->experts : 0), "tokens",
                     (json_int_t)(x->tokens * x->span), "group", x->group, "renormalise",
                     x->renormalise, "capacity", x->capacity, "eval_capacity", x->eval_capacity,
                     "noise", t->noise, "importance", t->importance, "load", t->load, "switch",
                     t->switch_loss, "z", t->z_loss, "bias", t->bias_rate, "order",
                     x->batch_priority ? "batch_priority" : "sequence");
}

static json_t *parts_json(const struct plan *p)
{
    const struct spec_model *m = &p->eval->spec->model;
    json_t *list = json_array();
    struct part part = input_part(m);
    for (size_t i = 0; i < m->nparts; i++) {
        part = measure(p, &m->parts[i], &part);
        json_array_append_new(list,
                              json_pack("{s:s, s:[I,I], s:I, s:I}", "name", part.title, "output",
                                        (json_int_t)part.rows, (json_int_t)part.cols, "params",
                                        (json_int_t)part.params, "macs", (json_int_t)part.macs));
    }
    return list;
}

static json_t *placed_json(const struct plan *p)
{
    const struct spec_model *m = &p->eval->spec->model;
    json_t *list = json_array();
    for (size_t i = 0; i < m->nplaced; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s}", "rule", m->placed[i].rule, "at",
                                        m->placed[i].at_text, "slots", m->placed[i].slots_text));
    return list;
}

/* jansson tells a lack of memory by the result of each call; here none comes back from it. */
const char *info_json(struct arena *a, const struct plan *p)
{
    json_set_alloc_funcs(arena_malloc, free);
    const struct graph *g = p->eval;
    struct cost c = graph_cost(g);
    json_t *moes = json_array();
    for (size_t i = 0; i < g->nmoes; i++)
        json_array_append_new(moes, moe_json(p, g->moes[i]));
    json_t *j = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:I, s:o, s:o, s:o, s:o}", "model",
        g->spec->model.name, "spec_hash", g->spec->hash, "params_total", (json_int_t)c.params_total,
        "params_active", (json_int_t)c.params_active, "macs", (json_int_t)c.macs,
        "arena_train_bytes", (json_int_t)p->arena_train_bytes, "arena_eval_bytes",
        (json_int_t)p->arena_eval_bytes, "memory_train_bytes",
        (json_int_t)plan_memory_train(p, uses_ema(p)), "memory_eval_bytes",
        (json_int_t)plan_memory_eval(p), "recompute", recompute_words[p->train->recompute], "micro",
        (json_int_t)g->micro, "placed", placed_json(p), "moe", moes, "layers", parts_json(p),
        "preprocessing", pictures_json(&g->spec->model));
    char *text = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(9));
    const char *copy = arena_printf(a, "%s\n", text);
    free(text);
    json_decref(j);
    return copy;
}

/* -- limits -- */

static void note_largest(struct arena *a, const struct plan *p, struct diag *d)
{
    bool *told = arena_array(a, p->ntrain_buffers + 1, sizeof *told);
    for (int i = 0; i < 3; i++) {
        size_t best = p->ntrain_buffers;
        for (size_t j = 0; j < p->ntrain_buffers; j++)
            if (!told[j] && (best == p->ntrain_buffers ||
                             p->train_buffers[j]->bytes > p->train_buffers[best]->bytes))
                best = j;
        if (best == p->ntrain_buffers)
            return;
        told[best] = true;
        diag_note(d, (struct loc){NULL, 0, 0}, "%s takes %s", p->train_buffers[best]->name,
                  bytes_text(a, p->train_buffers[best]->bytes));
    }
}

bool info_fits(const struct plan *p)
{
    double limit = spec_number(p->train->spec, KEY_memory_limit);
    return limit <= 0 || (double)plan_memory_train(p, uses_ema(p)) <= limit;
}

bool info_check_limits(const struct plan *p, struct diag *d)
{
    if (info_fits(p))
        return true;
    const struct spec_key *limit = spec_key(p->train->spec, KEY_memory_limit);
    enum recompute level = p->train->recompute;
    diag_report(d, DIAG_MEMORY_LIMIT, limit->loc,
                "training needs %s with recompute = %s, the limit is %s",
                bytes_text(p->arena, plan_memory_train(p, uses_ema(p))), recompute_words[level],
                bytes_text(p->arena, (int64_t)limit->value.f));
    note_largest(p->arena, p, d);
    if (level != RECOMPUTE_BLOCK)
        diag_help(d, "memory.recompute = block may need less");
    diag_help(d, "a smaller train.micro (now %lld images) needs less", (long long)p->train->micro);
    return false;
}
