/* Making a program's weights out of a file's: see adapt.h. Everything is decided first (a step for
 * each tensor of the program), then reported if it is wrong, then done. */
#include "runtime/io/adapt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/show.h"
#include "runtime/base/json.h"
#include "runtime/io/adapt_rules.h"
#include "runtime/io/report.h"

enum { NAME_SIZE = 1024, EXPERTS_LIMIT = 1 << 20, WRAPPERS = 4, ROWS_LIMIT = 1 << 24 };

/* What to say of a permission that is missing, and of one that was not needed. */
static const struct {
    const char *advice, *idle;
} needs[NEEDS] = {
    [FINE_TUNE] =
        {"a new head for other classes, or fc_norm for norm, is for `train --weights` only", NULL},
    [UPCYCLE] = {"the file has dense layers in the place of experts: --upcycle copies each into "
                 "all experts",
                 "--upcycle has nothing to do: it has no dense layer in the place of experts; "
                 "leave the flag out"},
    [KEEP] = {"the file has more experts than this program: say which ones stay with "
              "--keep-experts 0,2,.. (counted from 0), or "
              "LAYER=0,2,..;LAYER=1,3,.. with layers as `info` names them",
              "--keep-experts has nothing to do: it has no more experts than this program; leave "
              "the flag out"},
};

/* -- preparation -- */

bool vrt_adapt_no_memory(const struct adapt *a, struct vrt_error *e)
{
    return vrt_fail(e, VRT_NO_MEMORY, "no memory to read %.300s", vrt_tensors_path(a->t));
}

static int compare_texts(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static bool allocate(struct adapt *a, struct vrt_error *e)
{
    a->nsources = vrt_tensors_count(a->t);
    a->names.n = (size_t)a->p->nparams;
    a->names.at = calloc(a->names.n + 1, sizeof *a->names.at);
    a->sources = calloc(a->nsources + 1, sizeof *a->sources);
    a->layers = calloc((size_t)a->p->nmoes + 1, sizeof *a->layers);
    a->steps = calloc(a->names.n + 1, sizeof *a->steps);
    if (a->names.at == NULL || a->sources == NULL || a->layers == NULL || a->steps == NULL)
        return vrt_adapt_no_memory(a, e);
    for (size_t i = 0; i < a->names.n; i++)
        a->names.at[i] = a->p->params[i].name;
    qsort(a->names.at, a->names.n, sizeof *a->names.at, compare_texts);
    for (int64_t i = 0; i < a->p->nmoes; i++)
        a->layers[i] =
            (struct layer){.moe = &a->p->moes[i], .length = strlen(a->p->moes[i].prefix)};
    return true;
}

/* A newline in a name of the file must not end the line. */
static void note(struct vrt_buffer *notes, const char *text)
{
    struct vrt_error ignored; /* a note that finds no memory is no reason to stop */
    char line[2000];
    vrt_show_text(line, sizeof line, text);
    if (vrt_buffer_append(notes, line, strlen(line), &ignored))
        vrt_buffer_append(notes, "\n", 1, &ignored);
}

/* Prefixes that all names carry come off, one after the other. */
static bool unwrap(struct adapt *a, struct vrt_buffer *notes, struct vrt_error *e)
{
    const char **names = calloc(a->nsources + 1, sizeof *names), *wrapper;
    char text[100];
    if (names == NULL)
        return vrt_adapt_no_memory(a, e);
    for (size_t i = 0; i < a->nsources; i++)
        names[i] = vrt_tensors_at(a->t, i)->name;
    for (int i = 0; i < WRAPPERS; i++) {
        wrapper = vrt_rename_wrapper(&a->names, names, a->nsources, a->skip);
        if (*wrapper == '\0')
            break;
        a->skip += strlen(wrapper);
        snprintf(text, sizeof text, "`%s` taken off all names", wrapper);
        note(notes, text);
    }
    free(names);
    return true;
}

/* A name that the program has stays; a translation that another tensor of the file has already is
 * none. */
static void translate(struct adapt *a, unsigned seen, struct source *s, char out[NAME_SIZE])
{
    const char *name = s->tensor->name + a->skip;
    s->tool =
        vrt_names_have(&a->names, name) ? -1 : vrt_rename(&a->names, seen, name, out, NAME_SIZE);
    if (s->tool >= 0 && (vrt_tensors_find(a->t, out) != NULL ||
                         (vrt_rename_fine_tunes(s->tool) && !a->how->fine_tune))) {
        a->advice |= vrt_rename_fine_tunes(s->tool) ? 1u << FINE_TUNE : 0;
        s->tool = -1;
    }
}

static bool name_sources(struct adapt *a, struct vrt_error *e)
{
    unsigned seen = 0;
    char translated[NAME_SIZE];
    for (size_t i = 0; i < a->nsources; i++)
        seen = vrt_rename_signs(seen, vrt_tensors_at(a->t, i)->name + a->skip);
    for (size_t i = 0; i < a->nsources; i++) {
        struct source *s = &a->sources[i];
        s->tensor = vrt_tensors_at(a->t, i);
        translate(a, seen, s, translated);
        s->name = strdup(s->tool >= 0 ? translated : s->tensor->name + a->skip);
        if (s->name == NULL)
            return vrt_adapt_no_memory(a, e);
    }
    qsort(a->sources, a->nsources, sizeof *a->sources, vrt_adapt_compare);
    return true;
}

/* What the file has where the program has experts. */
static void survey(struct adapt *a)
{
    for (int64_t i = 0; i < a->p->nmoes; i++) {
        struct layer *l = &a->layers[i];
        bool experts = false, other = false;
        for (size_t j = 0; j < a->nsources; j++) {
            const char *rest = vrt_adapt_below(l, a->sources[j].name);
            const struct vrt_tensor *tensor = a->sources[j].tensor;
            bool expert = vrt_adapt_behind(rest, "experts.") != NULL;
            experts = experts || expert || vrt_adapt_behind(rest, "router") != NULL;
            other = other || rest != NULL;
            if (expert && tensor->rank > 0 && tensor->shape[0] <= EXPERTS_LIMIT)
                l->in_file = (int64_t)tensor->shape[0];
        }
        l->dense = other && !experts;
    }
}

/* -- the list of experts to keep -- */

static bool bad_list(const struct adapt *a, struct vrt_error *e)
{
    return vrt_fail(
        e, VRT_USAGE,
        "--keep-experts must be a list such as 0,2,5, or LAYER=0,2;LAYER=1,3 with layers as `info` "
        "names them (%s%s), not `%.200s`",
        a->p->nmoes > 0 ? a->p->moes[0].name : "this program has none",
        a->p->nmoes > 1 ? ", ..." : "", a->how->keep);
}

/* "0,2,5": different numbers. False with `keep` NULL: no memory. */
static bool read_numbers(struct layer *l, const char *text)
{
    l->keep = calloc(strlen(text) + 1, sizeof *l->keep);
    for (l->nkeep = 0; l->keep != NULL; text++) {
        size_t digits = strspn(text, "0123456789");
        if (digits == 0 || digits > 7)
            return false;
        int64_t number = strtoll(text, NULL, 10);
        for (int64_t i = 0; i < l->nkeep; i++)
            if (l->keep[i] == number)
                return false;
        l->keep[l->nkeep++] = number;
        text += digits;
        if (*text != ',')
            return *text == '\0';
    }
    return false;
}

/* One part of the list: for a layer, or for all. */
static bool read_part(struct adapt *a, char *part, struct vrt_error *e)
{
    char *equals = strrchr(part, '=');
    bool any = false;
    if (equals != NULL)
        *equals = '\0';
    for (int64_t i = 0; i < a->p->nmoes; i++) {
        struct layer *l = &a->layers[i];
        if (equals != NULL && strcmp(part, l->moe->name) != 0)
            continue;
        any = true;
        l->named = equals != NULL;
        if (l->keep != NULL || !read_numbers(l, equals != NULL ? equals + 1 : part))
            return l->keep != NULL ? bad_list(a, e) : vrt_adapt_no_memory(a, e);
    }
    return any || bad_list(a, e);
}

static bool read_keep(struct adapt *a, struct vrt_error *e)
{
    char *all = strdup(a->how->keep), *rest = all, *part;
    bool ok = all != NULL || vrt_adapt_no_memory(a, e);
    while (ok && (part = strsep(&rest, ";")) != NULL)
        ok = read_part(a, part, e);
    free(all);
    return ok;
}

static bool check_keep(const struct adapt *a, const struct layer *l, struct vrt_error *e)
{
    int64_t experts = l->moe->experts;
    if (l->keep == NULL || (l->in_file <= experts && !l->named))
        return true;
    if (l->in_file <= experts)
        return vrt_fail(e, VRT_USAGE,
                        "--keep-experts: %s has %lld experts in this program and %lld in %.300s, "
                        "none to leave out",
                        l->moe->name, (long long)experts, (long long)l->in_file,
                        vrt_tensors_path(a->t));
    if (l->nkeep != experts)
        return vrt_fail(e, VRT_USAGE,
                        "--keep-experts: %s has %lld experts in this program, the list %lld; list "
                        "as many, of 0 .. %lld",
                        l->moe->name, (long long)experts, (long long)l->nkeep,
                        (long long)l->in_file - 1);
    for (int64_t i = 0; i < l->nkeep; i++)
        if (l->keep[i] >= l->in_file)
            return vrt_fail(
                e, VRT_USAGE,
                "--keep-experts: %s has the experts 0 .. %lld in %.300s, there is no %lld",
                l->moe->name, (long long)l->in_file - 1, vrt_tensors_path(a->t),
                (long long)l->keep[i]);
    return true;
}

/* -- the head's rows -- */

/* The rows of the head in the program and in the file. */
static void measure_head(struct adapt *a)
{
    for (int64_t i = 0; i < a->p->nroles; i++) {
        const struct vrt_param *p = &a->p->params[a->p->roles[i].param];
        const struct source *same = vrt_adapt_find(a, p->name);
        if (a->p->roles[i].kind != VRT_ROLE_HEAD || p->rank == 0 || same == NULL ||
            same->tensor->rank == 0 || same->tensor->shape[0] > ROWS_LIMIT)
            continue;
        a->head.count = p->shape[0];
        a->head.in_file = (int64_t)same->tensor->shape[0];
    }
}

/* Rows beyond the file's come from none. */
static bool match_head(struct adapt *a, struct vrt_error *e)
{
    struct head *h = &a->head;
    bool same = h->count == h->in_file, stay = true, none = true;
    h->rows = calloc((size_t)h->count + 1, sizeof *h->rows);
    if (h->rows == NULL)
        return vrt_adapt_no_memory(a, e);
    for (int64_t i = 0; i < h->count; i++)
        h->rows[i] = same ? (int32_t)i : -1;
    if (!a->how->match(a->how->data, h->in_file, h->rows, h->count, e))
        return false;
    for (int64_t i = 0; i < h->count; i++) {
        h->rows[i] = h->rows[i] < h->in_file ? h->rows[i] : -1;
        stay = stay && h->rows[i] == i;
        none = none && h->rows[i] < 0;
    }
    h->moved = same ? !stay : !none;
    return true;
}

static void note_head(const struct adapt *a, struct vrt_buffer *notes)
{
    const struct head *h = &a->head;
    long long kept = 0;
    char text[200];
    for (int64_t i = 0; h->moved && i < h->count; i++)
        kept += h->rows[i] >= 0;
    snprintf(text, sizeof text,
             "rows of the head go by the names of classes: %lld kept, %lld begin afresh, %lld of "
             "the file left out",
             kept, (long long)h->count - kept, (long long)h->in_file - kept);
    if (h->moved)
        note(notes, text);
}

/* A text that is no JSON says nothing. */
static bool read_grids(struct adapt *a, struct vrt_error *e)
{
    const char *text = vrt_tensors_meta(a->t, "positions");
    struct vrt_error why = {.code = VRT_OK};
    a->grids = text != NULL ? vrt_json_read(text, strlen(text), 0, "positions", &why) : NULL;
    return vrt_may_fail(&why, e);
}

/* -- decisions -- */

static struct wanted describe(const struct adapt *a, int64_t index)
{
    struct wanted w = {.index = index, .p = &a->p->params[index]};
    w.same = vrt_adapt_find(a, w.p->name);
    for (int64_t i = 0; i < a->p->nroles; i++)
        if (a->p->roles[i].param == index)
            w.role = &a->p->roles[i];
    for (int64_t i = 0; i < a->p->nmoes; i++) {
        const char *rest = vrt_adapt_below(&a->layers[i], w.p->name);
        if (rest != NULL && (w.layer == NULL || a->layers[i].length > w.layer->length)) {
            w.layer = &a->layers[i];
            w.rest = rest;
        }
    }
    return w;
}

static bool granted(const struct adapt *a, const struct rule *r, const struct wanted *w)
{
    const bool given[NEEDS] = {
        [FREE] = true,
        [FINE_TUNE] = a->how->fine_tune,
        [UPCYCLE] = a->how->upcycle,
        [KEEP] = w->layer != NULL && w->layer->keep != NULL,
    };
    return given[r->need];
}

/* The first rule that fits and is granted; those that only lack a grant become advice. A tensor
 * that a rule found in another shape is what the report holds against the one wanted. */
static void decide(struct adapt *a, struct step *s)
{
    for (int i = 0; i < VRT_ADAPT_RULES && s->rule == NULL; i++) {
        struct source *from = NULL;
        if (!vrt_adapt_rules[i].fits(a, &s->to, &from))
            s->to.same = s->to.same != NULL ? s->to.same : from;
        else if (granted(a, &vrt_adapt_rules[i], &s->to)) {
            s->rule = &vrt_adapt_rules[i];
            s->from = from;
        } else {
            a->advice |= 1u << vrt_adapt_rules[i].need;
        }
    }
    if (s->from != NULL)
        s->from->used = true;
}

static bool report(const struct adapt *a, struct vrt_error *e)
{
    struct vrt_list missing = {.count = 0}, unexpected = {.count = 0}, shapes = {.count = 0},
                    types = {.count = 0};
    char text[1900] = "";
    for (int64_t i = 0; i < a->p->nparams; i++) {
        const struct step *s = &a->steps[i];
        const struct vrt_tensor *same = s->to.same != NULL ? s->to.same->tensor : NULL;
        if (s->rule != NULL && s->from != NULL && !vrt_tensor_readable(s->from->tensor))
            vrt_list_add(&types, s->from->tensor->name);
        else if (s->rule == NULL && same == NULL)
            vrt_list_add(&missing, s->to.p->name);
        else if (s->rule == NULL) {
            vrt_list_add_shapes(&shapes, s->to.p->name, same->shape, same->rank, s->to.p->shape,
                                (size_t)s->to.p->rank);
            s->to.same->used = true;
        }
    }
    for (size_t i = 0; i < a->nsources; i++)
        if (!a->sources[i].used)
            vrt_list_add(&unexpected, a->sources[i].tensor->name);
    if (missing.count + unexpected.count + shapes.count + types.count == 0)
        return true;
    vrt_list_tell(&missing, "missing", text, sizeof text);
    vrt_list_tell(&unexpected, "not of this model", text, sizeof text);
    vrt_list_tell(&shapes, "other shape", text, sizeof text);
    vrt_list_tell(&types, "neither F32, F16 nor BF16", text, sizeof text);
    for (int i = FINE_TUNE; i < NEEDS; i++)
        if (a->advice & 1u << i) {
            size_t used = strlen(text);
            snprintf(text + used, sizeof text - used, "\n  %s", needs[i].advice);
        }
    return vrt_fail(e, VRT_BAD_INPUT, "%.100s holds the weights of another model:%s",
                    vrt_tensors_path(a->t), text);
}

/* A flag that changed nothing was given by mistake: the file is not the one that was meant. */
static bool check_idle(const struct adapt *a, struct vrt_error *e)
{
    bool idle[NEEDS] = {[UPCYCLE] = a->how->upcycle, [KEEP] = a->how->keep != NULL};
    for (int64_t i = 0; i < a->p->nparams; i++)
        idle[a->steps[i].rule->need] = false;
    for (int i = FREE; i < NEEDS; i++)
        if (idle[i])
            return vrt_fail(e, VRT_BAD_INPUT, "%.300s: %s", vrt_tensors_path(a->t), needs[i].idle);
    return true;
}

/* -- notes -- */

/* "TITLE: NAME (2,1,1) to (2) and 3 more" */
static void note_rule(const struct adapt *a, const struct rule *r, struct vrt_buffer *notes)
{
    const struct step *first = NULL;
    size_t count = 0, used;
    char text[700], shape[180];
    uint64_t sizes[4];
    for (int64_t i = a->p->nparams; i-- > 0;)
        if (a->steps[i].rule == r) {
            first = &a->steps[i];
            count++;
        }
    if (count == 0 || r->note == NULL)
        return;
    used = (size_t)snprintf(text, sizeof text, "%s: %.200s", r->note, first->to.p->name);
    if (first->from != NULL) {
        for (int i = 0; i < 4; i++)
            sizes[i] = (uint64_t)first->to.p->shape[i];
        vrt_shape_text(shape, sizeof shape, first->from->tensor->shape, first->from->tensor->rank);
        used += (size_t)snprintf(text + used, sizeof text - used, " %s", shape);
        vrt_shape_text(shape, sizeof shape, sizes, (size_t)first->to.p->rank);
        used += (size_t)snprintf(text + used, sizeof text - used, " to %s", shape);
    }
    if (count > 1 && used < sizeof text)
        snprintf(text + used, sizeof text - used, " and %zu more", count - 1);
    note(notes, text);
}

static void note_names(const struct adapt *a, int tool, struct vrt_buffer *notes)
{
    const struct source *first = NULL;
    size_t count = 0;
    char text[700], more[40] = "";
    for (size_t i = a->nsources; i-- > 0;)
        if (a->sources[i].tool == tool) {
            first = &a->sources[i];
            count++;
        }
    if (count == 0)
        return;
    if (count > 1)
        snprintf(more, sizeof more, " and %zu more", count - 1);
    snprintf(text, sizeof text, "%s: %.200s for %.200s%s", vrt_rename_title(tool),
             first->tensor->name, first->name, more);
    note(notes, text);
}

static bool fill(const struct adapt *a, void *block, struct vrt_error *e)
{
    for (int64_t i = 0; i < a->p->nparams; i++)
        if (!a->steps[i].rule->fill(a, &a->steps[i],
                                    (float *)(void *)((char *)block + a->p->params[i].offset), e))
            return false;
    return true;
}

static bool prepare(struct adapt *a, struct vrt_buffer *notes, struct vrt_error *e)
{
    if (a->how->noise > 0 && !a->how->upcycle)
        return vrt_fail(e, VRT_USAGE, "--upcycle-noise goes with --upcycle");
    if (!allocate(a, e) || !read_grids(a, e) || !unwrap(a, notes, e) || !name_sources(a, e) ||
        (a->how->keep != NULL && !read_keep(a, e)))
        return false;
    survey(a);
    for (int64_t i = 0; i < a->p->nmoes; i++)
        if (!check_keep(a, &a->layers[i], e))
            return false;
    measure_head(a);
    return a->how->match == NULL || a->head.count == 0 || match_head(a, e);
}

bool vrt_adapt_load(const struct vrt_tensors *t, const struct vrt_program *p,
                    const struct vrt_adapt *how, void *block, struct vrt_buffer *notes,
                    struct vrt_error *e)
{
    struct adapt a = {.t = t, .p = p, .how = how};
    bool ok = prepare(&a, notes, e);
    for (int64_t i = 0; ok && i < p->nparams; i++) {
        a.steps[i].to = describe(&a, i);
        decide(&a, &a.steps[i]);
    }
    ok = ok && report(&a, e) && check_idle(&a, e) && fill(&a, block, e);
    for (int i = 0; ok && i < VRT_RENAME_TOOLS; i++)
        note_names(&a, i, notes);
    if (ok)
        note_head(&a, notes);
    for (int i = 0; ok && i < VRT_ADAPT_RULES; i++)
        note_rule(&a, &vrt_adapt_rules[i], notes);
    for (size_t i = 0; a.sources != NULL && i < a.nsources; i++)
        free(a.sources[i].name);
    for (int64_t i = 0; a.layers != NULL && i < p->nmoes; i++)
        free(a.layers[i].keep);
    free(a.head.rows);
    json_decref(a.grids);
    free(a.names.at);
    free(a.sources);
    free(a.layers);
    free(a.steps);
    return ok;
}
