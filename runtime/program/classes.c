/* From class names to outputs: see classes.h. */
#include "runtime/program/classes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/data/dataset.h"
#include "runtime/data/labels.h"
#include "runtime/io/class_map.h"
#include "runtime/io/natural.h"
#include "runtime/program/message.h"
#include "runtime/program/settings.h"

/* -- names -- */

bool vrt_classes_known(json_t **out, const char *known, struct vrt_error *e)
{
    struct vrt_error why = {.code = VRT_OK};

    *out = known != NULL ? vrt_json_read(known, strlen(known), JSON_DISABLE_EOF_CHECK,
                                         "the names of the classes", &why)
                         : NULL;
    return vrt_may_fail(&why, e);
}

static bool all_digits(const char *s)
{
    return *s != '\0' && s[strspn(s, "0123456789")] == '\0';
}

static bool data_numbers(const struct vrt_dataset *d)
{
    for (int64_t c = 0; c < vrt_dataset_classes(d); c++)
        if (!all_digits(vrt_dataset_class_name(d, c)))
            return false;
    return true;
}

/* Are the names mere numbers? Then numbers of the data are names, too, not places. */
static bool names_numbers(const struct vrt_classes *c)
{
    for (int64_t i = 0; i < c->outputs; i++)
        if (c->names[i] != NULL && !all_digits(c->names[i]))
            return false;
    return true;
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static int32_t imagenet_label(const char *const *sorted, const char *name)
{
    const char *const *at = bsearch(&name, sorted, VRT_IMAGENET_CLASSES, sizeof *sorted, by_text);
    return at != NULL ? (int32_t)(at - sorted) : -1;
}

/* Outputs called 0 to 999, in any order, as after training on labels or folders that are numbers,
 * get the names of these classes of ImageNet-1k; others keep theirs. */
static void name_thousand(struct vrt_classes *c, const char *const *sorted)
{
    if (c->outputs != VRT_IMAGENET_CLASSES)
        return;
    for (int64_t i = 0; i < c->outputs; i++)
        if (c->names[i] == NULL || !all_digits(c->names[i]) ||
            strtoll(c->names[i], NULL, 10) >= VRT_IMAGENET_CLASSES)
            return;
    for (int64_t i = 0; i < c->outputs; i++)
        c->names[i] = sorted[strtoll(c->names[i], NULL, 10)];
}

/* Are the names ImageNet-1k's, perhaps among many others, as in ImageNet-21k? A few of its classes
 * may be missing there. */
static bool names_imagenet(const struct vrt_classes *c, const char *const *sorted)
{
    int64_t known = 0;
    for (int64_t i = 0; i < c->outputs; i++)
        known += c->names[i] != NULL && imagenet_label(sorted, c->names[i]) >= 0;
    return known > VRT_IMAGENET_CLASSES / 2;
}

/* Are the data's classes called 0 to 999? */
static bool data_thousand(const struct vrt_dataset *d)
{
    bool all = data_numbers(d) && vrt_dataset_classes(d) == VRT_IMAGENET_CLASSES;
    for (int64_t c = 0; all && c < VRT_IMAGENET_CLASSES; c++)
        all = strlen(vrt_dataset_class_name(d, c)) <= 3;
    return all;
}

static bool data_imagenet(const struct vrt_dataset *d, const char *const *sorted)
{
    for (int64_t c = 0; c < vrt_dataset_classes(d); c++)
        if (imagenet_label(sorted, vrt_dataset_class_name(d, c)) < 0)
            return false;
    return true;
}

/* What the outputs are called: the map's word counts most, then the weights'. Weights of another
 * tool have no names; with 1000 outputs, and classes of ImageNet-1k or numbers in the data, they
 * are taken to be ImageNet-1k's, and so are the numbers 0 to 999 for data with classes of
 * ImageNet-1k. False: nothing is known. */
static bool name_outputs(struct vrt_classes *c, const struct vrt_class_rules *r,
                         const struct vrt_dataset *d)
{
    const char *sorted[VRT_IMAGENET_CLASSES];
    int64_t known;

    vrt_imagenet_classes(sorted);
    if (r->file != NULL && r->file->names != NULL)
        memcpy(c->names, r->file->names, (size_t)c->outputs * sizeof *c->names);
    else if (r->file != NULL)
        for (int64_t i = 0; i < r->file->count && r->file->count == VRT_IMAGENET_CLASSES; i++)
            c->names[r->file->outputs[i]] = sorted[i];
    else if (json_is_array(c->own)) {
        known = (int64_t)json_array_size(c->own);
        for (int64_t i = 0; i < known && i < c->outputs; i++)
            c->names[i] = json_string_value(json_array_get(c->own, (size_t)i));
        if (data_imagenet(d, sorted))
            name_thousand(c, sorted);
    } else if (c->outputs == VRT_IMAGENET_CLASSES && (data_imagenet(d, sorted) || data_numbers(d)))
        memcpy(c->names, sorted, sizeof sorted);
    else
        return false;
    return true;
}

/* -- places -- */

/* Find each class of the data among n names (at[c] is -1: it is none of them), and say which is the
 * first to be missing (NULL: none); with `of`, a class is the at[c]th of these. Names in weights
 * are valid UTF-8, so the data's are made so, too. */
static bool find_classes(const struct vrt_dataset *d, const char *const *of,
                         const char *const *names, int64_t n, int32_t *at, const char **missing,
                         struct vrt_error *e)
{
    json_t *index = json_object();
    bool ok;

    *missing = NULL;
    for (int64_t i = 0; i < n; i++)
        if (names[i] != NULL)
            json_object_set_new_nocheck(index, names[i], json_integer((json_int_t)i));
    ok = vrt_json_whole("the names of the classes", e);
    for (int64_t c = 0; ok && c < vrt_dataset_classes(d); c++) {
        const char *name = of != NULL ? of[at[c]] : vrt_dataset_class_name(d, c);
        json_t *own = vrt_json_text(name);
        const json_t *found = json_object_get(index, json_string_value(own));
        if (found == NULL && *missing == NULL)
            *missing = name;
        at[c] = found != NULL ? (int32_t)json_integer_value(found) : -1;
        json_decref(own);
        ok = vrt_json_whole("the names of the classes", e);
    }
    json_decref(index);
    return ok;
}

/* Class `17` is the 18th of n sorted classes, wherever a folder of that name sorts
 * (ImageNet-V2). */
static bool number_classes(const struct vrt_dataset *d, int64_t n, const char *of, int32_t *at,
                           struct vrt_error *e)
{
    for (int64_t c = 0; c < vrt_dataset_classes(d); c++) {
        const char *name = vrt_dataset_class_name(d, c);
        int64_t number = strlen(name) < 10 ? strtoll(name, NULL, 10) : INT64_MAX;
        if (number >= n)
            return vrt_fail(
                e, VRT_BAD_INPUT,
                "%s, but %s %lld, so that its class %.40s is none of them, counted from 0",
                vrt_dataset_describe(d), of, (long long)n, name);
        at[c] = (int32_t)number;
    }
    return true;
}

/* Numbers are places among the sorted classes of the weights, or, where these are ImageNet-1k's and
 * more, among ImageNet-1k's. */
static bool map_by_name(struct vrt_classes *c, const struct vrt_class_rules *r,
                        const struct vrt_dataset *d, struct vrt_error *e)
{
    const char *missing, *sorted[VRT_IMAGENET_CLASSES];
    int64_t known =
        json_is_array(c->own) && r->file == NULL ? (int64_t)json_array_size(c->own) : c->outputs;

    if (!find_classes(d, NULL, c->names, c->outputs, c->map, &missing, e))
        return false;
    if (missing == NULL)
        return true;
    vrt_imagenet_classes(sorted);
    bool numbers = data_numbers(d) && !names_numbers(c),
         imagenet = numbers && c->outputs > VRT_IMAGENET_CLASSES && names_imagenet(c, sorted);
    if (numbers && !imagenet)
        return number_classes(d, known < c->outputs ? known : c->outputs,
                              "the weights were trained with", c->map, e);
    if (imagenet &&
        (!number_classes(d, VRT_IMAGENET_CLASSES, "the classes of ImageNet-1k are", c->map, e) ||
         !find_classes(d, sorted, c->names, c->outputs, c->map, &missing, e)))
        return false;
    if (missing == NULL)
        return true;
    if (r->file != NULL)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "%s does not name the class `%.200s` of the data; give this name to the "
                        "output that stands "
                        "for it, or take the class out of the data",
                        r->file->path, missing);
    return vrt_fail(e, VRT_BAD_INPUT,
                    "the weights do not know the class `%.200s` of the data; evaluate on data with "
                    "the classes they were trained with",
                    missing);
}

/* The lines of the map are for the classes of ImageNet-1k when there are 1000, else for the data's
 * own. */
static bool map_by_lines(struct vrt_classes *c, const struct vrt_class_map *file,
                         const struct vrt_dataset *d, struct vrt_error *e)
{
    const char *sorted[VRT_IMAGENET_CLASSES];
    const char *missing = "";

    vrt_imagenet_classes(sorted);
    if (data_numbers(d)) {
        if (!number_classes(d, file->count, "the lines of --class-map are", c->map, e))
            return false;
        missing = NULL;
    } else if (file->count == VRT_IMAGENET_CLASSES &&
               !find_classes(d, NULL, sorted, VRT_IMAGENET_CLASSES, c->map, &missing, e))
        return false;
    if (missing != NULL && file->count != c->count)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "%s has %lld lines, one for each class, but the data is %s", file->path,
                        (long long)file->count, vrt_dataset_describe(d));
    for (int64_t i = 0; i < c->count; i++)
        c->map[i] = file->outputs[missing == NULL ? c->map[i] : i];
    return true;
}

/* The data's classes in their natural order: places among them as they are sorted. NULL: no
 * memory. */
static int64_t *natural_places(const struct vrt_dataset *d)
{
    int64_t n = vrt_dataset_classes(d), *places = calloc((size_t)n + 1, sizeof *places);
    const char **names = calloc((size_t)n + 1, sizeof *names);
    bool ok = names != NULL && places != NULL;
    for (int64_t i = 0; ok && i < n; i++)
        names[i] = vrt_dataset_class_name(d, i);
    ok = ok && vrt_natural_order(names, n, places);
    free(names);
    if (ok)
        return places;
    free(places);
    return NULL;
}

/* As the data's classes are sorted, or in their natural order. */
static bool map_in_order(struct vrt_classes *c, bool natural, const struct vrt_dataset *d,
                         struct vrt_error *e)
{
    if (c->count != c->outputs)
        return vrt_fail(
            e, VRT_BAD_INPUT, "%s, but the program tells %lld apart and %s",
            vrt_dataset_describe(d), (long long)c->outputs,
            natural ? "`--class-map natural` is for as many; give a file with the name of each "
                      "output"
                    : "the weights hold no names to match them by");
    int64_t *places = natural ? natural_places(d) : NULL;
    if (natural && places == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for %lld classes", (long long)c->outputs);
    for (int64_t i = 0; i < c->count; i++)
        c->map[natural ? places[i] : i] = (int32_t)i;
    c->by_place = !natural;
    free(places);
    return true;
}

/* Only timm's order of folders is told, and only where it is another. */
static void tell_order(const struct vrt_dataset *d)
{
    int64_t *places = natural_places(d), i = 0, n = vrt_dataset_classes(d);
    char text[1000];
    while (places != NULL && i < n && places[i] == i)
        i++;
    if (places != NULL && i < n) {
        snprintf(text, sizeof text,
                 "the weights do not name their classes: output %lld is taken for `%.100s`, in the "
                 "order of bytes. timm sorts folders naturally, and there it is `%.100s`: for its "
                 "weights add --class-map natural; for any other order --class-map FILE, with the "
                 "name of each output on a line of its own",
                 (long long)i, vrt_dataset_class_name(d, i), vrt_dataset_class_name(d, places[i]));
        vrt_message("warning", text);
    }
    free(places);
}

/* -- what is scored over -- */

/* A set of its own with some of the classes is a test of these: ImageNet-A and -R. A split of a
 * data set that lacks some may be an accident, and its other classes were learnt as well: there it
 * must be asked for. One class alone would always be right. */
static bool wants_mask(const struct vrt_classes *c, const struct vrt_class_rules *r,
                       const struct vrt_dataset *d)
{
    int64_t of = r->file != NULL && r->file->outputs != NULL ? r->file->count : c->outputs;
    bool named = r->file != NULL && r->file->names != NULL;
    return !r->all && c->count < of && (r->only || named || (vrt_dataset_alone(d) && c->count > 1));
}

static bool choose_scored(struct vrt_classes *c, const struct vrt_class_rules *r,
                          const struct vrt_dataset *d, struct vrt_error *e)
{
    bool own = wants_mask(c, r, d), *claimed = calloc((size_t)c->outputs + 1, sizeof *claimed);

    if (claimed == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for %lld classes", (long long)c->outputs);
    c->scored = claimed;
    for (int64_t i = 0; i < c->count; i++) {
        if (claimed[c->map[i]])
            return vrt_fail(
                e, VRT_BAD_INPUT,
                "two classes of the data are one of the network, the second is `%.200s`",
                vrt_dataset_class_name(d, i));
        claimed[c->map[i]] = true;
    }
    for (int64_t i = 0; !own && i < c->outputs; i++)
        claimed[i] = r->file == NULL || r->file->outputs == NULL;
    for (int64_t i = 0; !own && r->file != NULL && r->file->outputs != NULL && i < r->file->count;
         i++)
        claimed[r->file->outputs[i]] = true;
    for (int64_t i = 0; i < c->outputs; i++)
        c->nscored += claimed[i];
    if (c->nscored < c->outputs)
        return true;
    free(claimed);
    c->scored = NULL;
    return true;
}

static bool start(struct vrt_classes *c, const struct vrt_class_rules *r,
                  const struct vrt_dataset *d, struct vrt_error *e)
{
    *c = (struct vrt_classes){.outputs = r->outputs, .count = vrt_dataset_classes(d)};
    if (!vrt_classes_known(&c->own, r->known, e))
        return false;
    c->map = calloc((size_t)c->count + 1, sizeof *c->map);
    c->names = calloc((size_t)c->outputs + 1, sizeof *c->names);
    return (c->map != NULL && c->names != NULL) ||
           vrt_fail(e, VRT_NO_MEMORY, "no memory for %lld classes", (long long)c->outputs);
}

bool vrt_classes_open(struct vrt_classes *c, const struct vrt_class_rules *r,
                      const struct vrt_dataset *d, struct vrt_error *e)
{
    bool natural = r->file != NULL && r->file->natural;
    if (!start(c, r, d, e))
        return false;
    bool known = name_outputs(c, r, d);
    bool ok = r->file != NULL && r->file->outputs != NULL ? map_by_lines(c, r->file, d, e)
              : known && !natural                         ? map_by_name(c, r, d, e)
                                                          : map_in_order(c, natural, d, e);
    ok = ok && choose_scored(c, r, d, e);
    for (int64_t i = 0; ok && i < c->count; i++)
        if (c->names[c->map[i]] == NULL)
            c->names[c->map[i]] = vrt_dataset_class_name(d, i);
    return ok;
}

void vrt_classes_close(struct vrt_classes *c)
{
    free(c->map);
    free(c->scored);
    free(c->names);
    json_decref(c->own);
    *c = (struct vrt_classes){0};
}

/* Numbers of the data are names here, not places: ten digits are not the first ten classes of other
 * weights. Only a thousand of them are the labels of ImageNet-1k. */
static bool match_names(struct vrt_classes *c, const struct vrt_dataset *d, struct vrt_error *e)
{
    const char *missing, *sorted[VRT_IMAGENET_CLASSES];

    vrt_imagenet_classes(sorted);
    if (data_thousand(d) && names_imagenet(c, sorted))
        return number_classes(d, VRT_IMAGENET_CLASSES, "the classes are", c->map, e) &&
               find_classes(d, sorted, c->names, c->outputs, c->map, &missing, e);
    return find_classes(d, NULL, c->names, c->outputs, c->map, &missing, e);
}

static bool match_rows(struct vrt_classes *c, const struct vrt_class_rules *r,
                       const struct vrt_dataset *d, struct vrt_error *e)
{
    name_outputs(c, r, d);
    if (r->file != NULL && r->file->natural)
        return map_in_order(c, true, d, e);
    return r->file != NULL && r->file->outputs != NULL ? map_by_lines(c, r->file, d, e)
                                                       : match_names(c, d, e);
}

bool vrt_classes_rows(const struct vrt_class_rules *r, const struct vrt_dataset *d, int32_t *rows,
                      int64_t count, struct vrt_error *e)
{
    struct vrt_classes c;
    bool ok = start(&c, r, d, e), named = ok && (r->file != NULL || json_array_size(c.own) > 0);
    if (ok && !named && c.count == c.outputs && count == c.outputs)
        tell_order(d);
    ok = ok && (!named || match_rows(&c, r, d, e));
    for (int64_t i = 0; ok && named && i < count; i++) {
        bool spare = r->file == NULL && i < c.outputs && c.names[i] == NULL;
        rows[i] = i < c.count ? c.map[i] : spare ? (int32_t)i : -1;
    }
    vrt_classes_close(&c);
    return ok;
}

void vrt_classes_note(const struct vrt_classes *c, const struct vrt_class_rules *r,
                      const struct vrt_dataset *d, const char *set)
{
    if (c->by_place)
        tell_order(d);
    long long count = c->count, scored = c->nscored, outputs = c->outputs;
    long long of = r->file != NULL && r->file->outputs != NULL ? r->file->count : outputs;
    char text[1000];
    if (c->scored != NULL && scored == count && count < of)
        snprintf(text, sizeof text,
                 "%.600s: scored over its %lld classes alone, of %lld (--all-classes: over the "
                 "others, too)",
                 set, count, of);
    else if (c->scored != NULL)
        snprintf(text, sizeof text, "%.600s: scored over the %lld outputs in --class-map, of %lld",
                 set, scored, outputs);
    if (c->scored != NULL)
        vrt_message("note", text);
    if (count < scored && !r->all) {
        snprintf(text, sizeof text,
                 "the data has %lld classes, the program %lld; the other outputs have no pictures "
                 "(--mask-classes "
                 "scores over the data's alone)",
                 count, outputs);
        vrt_message("note", text);
    }
}

void vrt_classes_mask(const struct vrt_classes *c, float *logits, int64_t n)
{
    for (int64_t i = 0; c->scored != NULL && i < n; i++)
        for (int64_t k = 0; k < c->outputs; k++)
            if (!c->scored[k])
                logits[i * c->outputs + k] = -INFINITY;
}

const char *vrt_classes_name(const void *classes, int64_t output)
{
    struct vrt_classes *c = (struct vrt_classes *)(uintptr_t)classes;
    if (c->names[output] != NULL)
        return c->names[output];
    snprintf(c->number, sizeof c->number, "%lld", (long long)output);
    return c->number;
}

bool vrt_classes_imagenet(const struct vrt_classes *c, int32_t *class_of)
{
    const char *sorted[VRT_IMAGENET_CLASSES];
    bool any = false;

    vrt_imagenet_classes(sorted);
    for (int64_t i = 0; i < c->outputs; i++) {
        class_of[i] = c->names[i] != NULL ? imagenet_label(sorted, c->names[i]) : -1;
        any |= class_of[i] >= 0;
    }
    return any;
}
