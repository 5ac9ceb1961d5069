/* The command `eval`: one set or several, and what is told of each. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/dataset.h"
#include "runtime/io/class_map.h"
#include "runtime/io/experts.h"
#include "runtime/io/put.h"
#include "runtime/io/real.h"
#include "runtime/io/verdict.h"
#include "runtime/program/classes.h"
#include "runtime/program/command.h"
#include "runtime/program/evaluate.h"
#include "runtime/program/message.h"
#include "runtime/program/model.h"
#include "runtime/program/options.h"
#include "runtime/program/outputs.h"
#include "runtime/program/settings.h"
#include "runtime/program/splits.h"
#include "runtime/program/unread.h"

/* What all sets of a call share. */
struct eval {
    const struct vrt_options *o;
    struct vrt_settings s;
    struct vrt_model m;
    struct vrt_class_rules rules;
    struct vrt_class_map map;
    struct vrt_real real; /* path NULL: not wanted */
    struct vrt_outputs outputs;
    char *known; /* rules.known; owned */
};

/* One of them. */
struct set {
    char *name;       /* owned; NULL: it is that of --data */
    const char *what; /* how lines for people begin */
    const char *root; /* of its data */
    struct vrt_dataset *data;
    struct vrt_classes classes;
    struct vrt_real_score real;
};

/* How the line in JSON begins. */
static bool put_name(struct vrt_buffer *b, const struct set *set, struct vrt_error *e)
{
    return vrt_put(b, e, "{") &&
           (set->name == NULL ||
            (vrt_put(b, e, "\"set\":") && vrt_put_string(b, set->name, e) && vrt_put(b, e, ",")));
}

static bool print_score(const struct vrt_score *s, const struct vrt_verdict *v,
                        const struct set *set, bool as_json, FILE *out, struct vrt_error *e)
{
    double n = s->images > 0 ? (double)s->images : 1.0, loss = s->loss / n, low, high,
           ece = vrt_calibration_error(v, s->images);
    vrt_interval(s->top1, s->images > 0 ? s->images : 1, &low, &high);
    const struct vrt_real_score *real = &set->real;
    /* JSON has no NaN */
    char number[32] = "null", scored[60] = "", right[120] = "", unread[60] = "";
    if (isfinite(loss))
        snprintf(number, sizeof number, "%.17g", loss);
    if (set->classes.scored != NULL)
        snprintf(scored, sizeof scored,
                 as_json ? ",\"scored_classes\":%lld" : ", over %lld classes",
                 (long long)set->classes.nscored);
    if (real->applies && as_json)
        snprintf(right, sizeof right, ",\"real_images\":%lld,\"real_top1\":%lld",
                 (long long)real->images, (long long)real->top1);
    else if (real->applies)
        snprintf(right, sizeof right, ", ReaL %lld of %lld (%.2f %%)", (long long)real->top1,
                 (long long)real->images,
                 real->images > 0 ? 100.0 * (double)real->top1 / (double)real->images : 0.0);
    if (s->unread > 0)
        snprintf(unread, sizeof unread,
                 as_json ? ",\"bad\":%lld" : ", %lld unreadable and so wrong",
                 (long long)s->unread);
    struct vrt_buffer name = {0};
    if (!put_name(&name, set, e)) {
        vrt_buffer_free(&name);
        return false;
    }
    if (as_json) {
        vrt_print(
            out,
            "%s\"images\":%lld,\"top1\":%lld,\"top5\":%lld,\"loss\":%s,\"top1_low\":%.6f,\"top1_"
            "high\":%.6f,"
            "\"calibration_error\":%.6f%s%s%s}\n",
            (char *)name.data, (long long)s->images, (long long)s->top1, (long long)s->top5, number,
            low, high, ece, scored, right, unread);
    } else
        vrt_print(out,
                  "%s: top-1 %lld of %lld (%.2f %%, 95 %% interval %.2f .. %.2f), top-5 %lld (%.2f "
                  "%%), loss %.4f, calibration error %.4f%s%s%s\n",
                  set->what, (long long)s->top1, (long long)s->images, 100.0 * (double)s->top1 / n,
                  100.0 * low, 100.0 * high, (long long)s->top5, 100.0 * (double)s->top5 / n, loss,
                  ece, scored, right, unread);
    vrt_buffer_free(&name);
    return true;
}

static bool put_table(enum vrt_table t, struct vrt_buffer *b, const struct vrt_evaluation *v,
                      int64_t images, struct vrt_error *e)
{
    const struct vrt_classes *c = v->classes;
    switch (t) {
    case VRT_PER_CLASS:
        return vrt_put_classes(b, v->verdicts, images, c->outputs, vrt_classes_name, c, e);
    case VRT_CONFUSION: return vrt_put_confusion(b, v->verdicts, images, vrt_classes_name, c, e);
    case VRT_EXPERTS:   return vrt_put_experts(b, v->experts, vrt_classes_name, c, e);
    default:            return vrt_put_similarity(b, v->experts, e);
    }
}

static bool write_tables(struct vrt_outputs *x, const struct vrt_evaluation *v, int64_t images,
                         struct vrt_error *e)
{
    bool ok = true;
    for (int t = 0; ok && t < VRT_TABLES; t++) {
        struct vrt_buffer b = {0};
        ok = x->table[t].path == NULL || (put_table((enum vrt_table)t, &b, v, images, e) &&
                                          vrt_outputs_write(x, (enum vrt_table)t, &b, e));
        vrt_buffer_free(&b);
    }
    return ok;
}

static void tell(const char *set, const char *what)
{
    char text[2000];
    snprintf(text, sizeof text, "%.900s: %.900s", set, what);
    vrt_message("note", text);
}

static void picture_name(const void *data, int64_t i, char *text, int size)
{
    const struct vrt_evaluation *v = data;
    vrt_dataset_item_name(v->dataset, vrt_dataset_spread(v->dataset, v->limit, i), text, size);
}

static bool count_real(const struct eval *x, const struct vrt_evaluation *v, int64_t n,
                       struct set *set, struct vrt_error *e)
{
    int32_t *class_of = calloc((size_t)v->classes->outputs + 1, sizeof *class_of);
    bool ok = class_of != NULL || vrt_fail(e, VRT_NO_MEMORY, "no memory for the ReaL labels");
    if (ok && !vrt_classes_imagenet(v->classes, class_of))
        ok =
            vrt_fail(e, VRT_BAD_INPUT,
                     "ReaL labels are classes of ImageNet-1k, but no output of the network is "
                     "called as one of "
                     "them is (n01440764); name the outputs with --class-map, or leave out --real");
    ok = ok && vrt_real_count(&x->real, v->verdicts, n, picture_name, v, class_of, &set->real, e);
    free(class_of);
    if (ok && !set->real.applies && x->o->nfiles < 2)
        return vrt_fail(
            e, VRT_BAD_INPUT,
            "no picture is called ILSVRC2012_val_00000001.JPEG or the like, so there are no ReaL "
            "labels for them; leave out --real");
    if (ok && !set->real.applies)
        tell(set->what, "has other pictures than those with ReaL labels");
    return ok;
}

static bool eval_set(struct eval *x, struct set *set, struct vrt_error *e)
{
    const struct vrt_dataset *d = set->data;
    struct vrt_evaluation v = {
        .dataset = d,
        .transform = vrt_settings_transform(&x->s, x->m.program, false),
        .limit = (int64_t)x->s.limit,
        .classes = &set->classes,
        .strict = true,
    };
    struct vrt_unread_list unread;
    struct vrt_score score;
    struct vrt_experts experts = {0};
    v.unread = &unread;
    v.verdicts = calloc((size_t)vrt_dataset_count(d) + 1, sizeof *v.verdicts);
    bool ok = vrt_unread_open(&unread, NULL, e);
    ok = ok && (v.verdicts != NULL || vrt_fail(e, VRT_NO_MEMORY, "no memory for the results"));
    ok = ok && vrt_outputs_spare(&x->outputs, set->root, d, e) &&
         vrt_classes_open(&set->classes, &x->rules, d, e);
    if (x->o->experts != NULL || x->o->similarity != NULL) {
        ok = ok && vrt_experts_open(&experts, x->m.program, x->o->similarity != NULL, e);
        v.experts = &experts;
    }
    if (ok) {
        vrt_classes_note(&set->classes, &x->rules, d, set->what);
        x->m.program->pack_eval(&x->m.ctx);
        ok = vrt_evaluate(&x->m, &v, &score, e);
    }
    ok =
        ok && (x->real.path == NULL || count_real(x, &v, score.images, set, e)) &&
        write_tables(&x->outputs, &v, score.images, e) &&
        print_score(&score, v.verdicts, set, x->o->json, x->outputs.to_stdout ? stderr : stdout, e);
    vrt_experts_close(&experts);
    vrt_classes_close(&set->classes);
    vrt_unread_close(&unread);
    free(v.verdicts);
    return ok;
}

/* Without operands the one set that --data means. An operand is NAME=ROOT or ROOT; the set is taken
 * whole: data.holdout of the spec is for the data that were learnt from. */
static bool open_set(const struct eval *x, const char *operand, struct set *set,
                     struct vrt_error *e)
{
    struct vrt_settings s = x->s;
    const char *equals = operand != NULL ? strchr(operand, '=') : NULL;
    int64_t holdout = vrt_options_key(x->o->program, "data.holdout");
    bool named = equals != NULL && equals > operand &&
                 memchr(operand, '/', (size_t)(equals - operand)) == NULL;
    if (operand != NULL) {
        s.data_root = named ? equals + 1 : operand;
        set->name = named ? strndup(operand, (size_t)(equals - operand)) : strdup(operand);
        if (set->name == NULL)
            return vrt_fail(e, VRT_NO_MEMORY, "no memory for the data sets");
    }
    if (operand != NULL && (holdout < 0 || !x->o->keys[holdout].given))
        s.holdout = 0;
    set->root = s.data_root;
    if (!vrt_open_split(&s, x->o->split, &set->data, e))
        return false;
    set->what = named ? set->name : vrt_dataset_describe(set->data);
    if (named)
        tell(set->name, vrt_dataset_describe(set->data));
    return true;
}

static bool eval_operand(struct eval *x, const char *operand, struct vrt_error *e)
{
    struct set set = {.name = NULL};
    bool ok = open_set(x, operand, &set, e) && eval_set(x, &set, e);
    vrt_dataset_close(set.data);
    free(set.name);
    fflush(stdout);
    return ok;
}

/* A set that fails does not stop the others: its error is told at once, and the status is 1 in the
 * end. */
static int eval_all(struct eval *x, struct vrt_error *e)
{
    int failed = 0;
    bool lacking = false;
    if (x->o->nfiles < 2)
        return eval_operand(x, x->o->nfiles > 0 ? x->o->files[0] : NULL, e) ? VRT_OK : (int)e->code;
    for (int i = 0; i < x->o->nfiles && !lacking; i++)
        if (!eval_operand(x, x->o->files[i], e)) {
            vrt_message(x->o->files[i], e->text);
            lacking = e->code == VRT_NO_MEMORY;
            failed++;
        }
    if (failed > 0)
        vrt_fail(e, VRT_BAD_INPUT, "%d of %d sets could not be evaluated", failed, x->o->nfiles);
    return failed > 0 ? VRT_BAD_INPUT : VRT_OK;
}

static const char *wanted_table(const struct vrt_options *o)
{
    return o->per_class != NULL    ? "per-class"
           : o->confusion != NULL  ? "confusion"
           : o->experts != NULL    ? "experts"
           : o->similarity != NULL ? "similarity"
                                   : NULL;
}

static bool check_flags(const struct eval *x, struct vrt_error *e)
{
    const struct vrt_options *o = x->o;
    int64_t root = vrt_options_key(o->program, "data.root");
    if (o->nfiles > 0 && root >= 0 && o->keys[root].given)
        return vrt_fail(
            e, VRT_USAGE,
            "give one set with --data, or any number without it: eval --weights FILE SET SET");
    if (o->nfiles > 1 && wanted_table(o) != NULL)
        return vrt_fail(e, VRT_USAGE,
                        "the table of --%s is of one set; evaluate one at a time for it",
                        wanted_table(o));
    if (o->program->nmoes == 0 && (o->experts != NULL || o->similarity != NULL))
        return vrt_fail(e, VRT_USAGE, "%s has no experts; leave out --%s", o->program->name,
                        o->experts != NULL ? "experts" : "similarity");
    if (o->mask_classes && o->all_classes)
        return vrt_fail(e, VRT_USAGE,
                        "--mask-classes and --all-classes are each other's opposite; give one");
    return vrt_need_weights(o, e) && (o->nfiles > 0 || vrt_need_data(&x->s, o, e));
}

static bool open_eval(struct eval *x, struct vrt_error *e)
{
    const struct vrt_options *o = x->o;
    bool ok = vrt_outputs_open(&x->outputs, o, e) &&
              (o->class_map == NULL ||
               vrt_class_map_read(&x->map, o->class_map, o->program->classes, e)) &&
              (o->real == NULL || vrt_real_read(&x->real, o->real, e)) &&
              vrt_model_open(&x->m, o->program, VRT_FOR_EVAL, vrt_threads_wanted(o), e) &&
              vrt_load_weights(&x->m, o, &x->s, &x->known, e);
    x->rules = (struct vrt_class_rules){
        .outputs = o->program->classes,
        .known = x->known,
        .file = o->class_map != NULL ? &x->map : NULL,
        .only = o->mask_classes,
        .all = o->all_classes,
    };
    return ok;
}

int vrt_command_eval(const struct vrt_options *o, struct vrt_error *e)
{
    struct eval x = {.o = o};
    if (!vrt_settings_read(&x.s, o, e) || !check_flags(&x, e))
        return (int)e->code;
    int status = open_eval(&x, e) ? eval_all(&x, e) : (int)e->code;
    vrt_outputs_close(&x.outputs);
    vrt_model_close(&x.m);
    vrt_class_map_free(&x.map);
    vrt_real_free(&x.real);
    free(x.known);
    return status;
}
