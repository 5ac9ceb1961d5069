/* The command `check-data`: reads every picture once, as training would, and lists what a person
 * should look at. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <xxhash.h>

#include "runtime/base/json.h"
#include "runtime/base/thread.h"
#include "runtime/data/dataset.h"
#include "runtime/data/doubt.h"
#include "runtime/data/image.h"
#include "runtime/data/odd.h"
#include "runtime/program/command.h"
#include "runtime/program/message.h"
#include "runtime/program/options.h"
#include "runtime/program/settings.h"
#include "runtime/program/splits.h"
#include "runtime/vrt.h"

enum { NAME_SIZE = 1400, SHOWN = 20 };

/* What may be said of a picture; `tiny` is a side below a quarter of what the network takes. */
enum finding { UNREADABLE, DAMAGED, CMYK, MISNAMED, TINY, TURNED, DUPLICATE, FINDINGS };
static const struct {
    const char *key, *text;
} findings[FINDINGS] = {
    [UNREADABLE] = {"unreadable", "cannot be read"},
    [DAMAGED] = {"damaged", "were read, but the decoder warned"},
    [CMYK] = {"cmyk", "are CMYK (they are converted)"},
    [MISNAMED] = {"misnamed",
                  "are of another format than their name says (they are read all the same)"},
    [TINY] = {"tiny", "have a side below a quarter of the network's input"},
    [TURNED] = {"turned", "have an EXIF orientation, by which only predict --exif turns them"},
    [DUPLICATE] = {"duplicates", "have the pixels of an earlier one"},
};

struct picture {
    XXH128_hash_t hash; /* of size and pixels */
    int64_t same;       /* DUPLICATE: the earlier picture */
    unsigned found;     /* bits of enum finding */
    int width, height;
    int orientation; /* TURNED: which */
    char *error;     /* UNREADABLE: why */
};

struct split {
    struct vrt_dataset *data;
    int64_t count, first;
    int64_t *sizes; /* pictures of each class */
};

struct check {
    const struct vrt_options *o;
    struct vrt_ctx ctx;
    struct split split[2];
    int nsplits;
    struct picture *pictures; /* of one split after the other */
    int64_t total;
    struct vrt_image *images; /* of each thread */
    int64_t found[FINDINGS];
    atomic_bool lacking; /* there was no memory for a picture */
};

static const struct split *split_of(const struct check *c, int64_t i)
{
    return &c->split[c->nsplits == 2 && i >= c->split[1].first];
}

static int64_t item_of(const struct check *c, int64_t i)
{
    const struct split *s = split_of(c, i);
    return vrt_dataset_spread(s->data, s->count, i - s->first);
}

static void name_of(const struct check *c, int64_t i, char name[NAME_SIZE])
{
    vrt_dataset_item_name(split_of(c, i)->data, item_of(c, i), name, NAME_SIZE);
}

/* -- one picture -- */

static bool misnamed(const char *name, const char *format)
{
    static const struct {
        const char *ending, *format;
    } endings[] = {{"jpg", "JPEG"}, {"jpeg", "JPEG"}, {"jpe", "JPEG"}, {"png", "PNG"}};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot != NULL && format != NULL && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot + 1, endings[i].ending) == 0)
            return strcmp(endings[i].format, format) != 0;
    return false;
}

static void check_picture(void *data, int64_t i, int thread)
{
    struct check *c = data;
    struct picture *p = &c->pictures[i];
    struct vrt_image *image = &c->images[thread];
    const struct vrt_program *program = c->o->program;
    char name[NAME_SIZE];
    struct vrt_error e;
    image->exif = VRT_EXIF_READ;
    image->format = NULL;
    image->cmyk = false;
    image->orientation = 0;
    image->warnings = 0;
    if (!vrt_dataset_read(split_of(c, i)->data, item_of(c, i), 3, image, &e)) {
        p->found = 1u << UNREADABLE;
        p->error = strdup(e.text);
        if (p->error == NULL || e.code == VRT_NO_MEMORY)
            c->lacking = true;
        return;
    }
    name_of(c, i, name);
    int size[] = {image->width, image->height};
    p->width = image->width;
    p->height = image->height;
    p->orientation = image->orientation;
    p->hash = XXH3_128bits_withSeed(image->pixels.data, image->pixels.size,
                                    XXH3_64bits(size, sizeof size));
    p->found = (unsigned)(image->warnings > 0) << DAMAGED | (unsigned)image->cmyk << CMYK |
               (unsigned)misnamed(name, image->format) << MISNAMED |
               (unsigned)(4 * p->width < program->width || 4 * p->height < program->height)
                   << TINY |
               (unsigned)(image->orientation > 1) << TURNED;
}

/* -- the same picture twice -- */

static int by_hash(const void *left, const void *right, void *data)
{
    const struct picture *pictures = data;
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    int order = XXH128_cmp(&pictures[a].hash, &pictures[b].hash);
    return order != 0 ? order : a < b ? -1 : a > b;
}

static bool find_duplicates(struct check *c, struct vrt_error *e)
{
    int64_t *order = calloc((size_t)c->total + 1, sizeof *order), n = 0;
    if (order == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to compare %lld pictures",
                        (long long)c->total);
    for (int64_t i = 0; i < c->total; i++)
        if (!(c->pictures[i].found & 1u << UNREADABLE))
            order[n++] = i;
    qsort_r(order, (size_t)n, sizeof *order, by_hash, c->pictures);
    for (int64_t i = 1, first = 0; i < n; i++)
        if (XXH128_isEqual(c->pictures[order[i]].hash, c->pictures[order[first]].hash)) {
            c->pictures[order[i]].found |= 1u << DUPLICATE;
            c->pictures[order[i]].same = order[first];
        } else
            first = i;
    free(order);
    return true;
}

/* -- results -- */

static void tell(const struct check *c, enum finding f, int64_t i, char *text, size_t size)
{
    const struct picture *p = &c->pictures[i];
    char other[NAME_SIZE];
    text[0] = '\0';
    if (f == UNREADABLE)
        snprintf(text, size, "%s", p->error);
    else if (f == TINY)
        snprintf(text, size, "%d x %d", p->width, p->height);
    else if (f == TURNED)
        snprintf(text, size, "orientation %d", p->orientation);
    else if (f == DUPLICATE) {
        name_of(c, p->same, other);
        snprintf(text, size, "%s", other);
    }
}

static json_t *list_json(const struct check *c, enum finding f)
{
    json_t *list = json_array();
    char name[NAME_SIZE], text[NAME_SIZE];
    for (int64_t i = 0; i < c->total; i++)
        if (c->pictures[i].found & 1u << f) {
            json_t *row = json_object();
            name_of(c, i, name);
            tell(c, f, i, text, sizeof text);
            json_object_set_new(row, "picture", vrt_json_text(name));
            if (text[0] != '\0')
                json_object_set_new(row,
                                    f == DUPLICATE ? "of"
                                    : f == TINY    ? "size"
                                                   : "why",
                                    vrt_json_text(text));
            json_array_append_new(list, row);
        }
    return list;
}

static void list_text(const struct check *c, enum finding f)
{
    char name[NAME_SIZE], text[NAME_SIZE];
    int64_t shown = 0;
    if (c->found[f] == 0)
        return;
    vrt_print(stdout, "%lld pictures %s:\n", (long long)c->found[f], findings[f].text);
    for (int64_t i = 0; i < c->total && shown < SHOWN; i++)
        if (c->pictures[i].found & 1u << f) {
            name_of(c, i, name);
            tell(c, f, i, text, sizeof text);
            if (f == UNREADABLE)
                vrt_print(stdout, "  %s\n", text);
            else
                vrt_print(stdout, "  %s%s%s%s\n", name, text[0] != '\0' ? " (" : "", text,
                          text[0] != '\0' ? ")" : "");
            shown++;
        }
    if (c->found[f] > shown)
        vrt_print(stdout, "  ... and %lld more (--json lists all)\n",
                  (long long)(c->found[f] - shown));
}

/* Pictures of each class. */
static bool count_classes(struct split *s, struct vrt_error *e)
{
    int64_t classes = vrt_dataset_classes(s->data);
    s->sizes = calloc((size_t)classes + 1, sizeof *s->sizes);
    if (s->sizes == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for %lld classes", (long long)classes);
    for (int64_t i = 0; i < vrt_dataset_count(s->data); i++)
        s->sizes[vrt_dataset_label(s->data, i)]++;
    return true;
}

static void sizes_text(const struct split *s)
{
    int64_t least = 0, most = 0;
    for (int64_t c = 1; c < vrt_dataset_classes(s->data); c++) {
        least = s->sizes[c] < s->sizes[least] ? c : least;
        most = s->sizes[c] > s->sizes[most] ? c : most;
    }
    vrt_print(stdout, "%s\n  classes have %lld (%s) to %lld (%s) pictures\n",
              vrt_dataset_describe(s->data), (long long)s->sizes[least],
              vrt_dataset_class_name(s->data, least), (long long)s->sizes[most],
              vrt_dataset_class_name(s->data, most));
}

static json_t *split_json(const struct split *s)
{
    json_t *classes = json_object();
    for (int64_t c = 0; c < vrt_dataset_classes(s->data); c++) {
        json_t *name = vrt_json_text(vrt_dataset_class_name(s->data, c));
        json_object_set_new(classes, json_string_value(name),
                            json_integer((json_int_t)s->sizes[c]));
        json_decref(name);
    }
    const struct vrt_odd *odd = vrt_dataset_odd(s->data);
    json_t *names = json_array();
    for (int i = 0; i < odd->named; i++)
        json_array_append_new(names, vrt_json_text(odd->names[i]));
    return json_pack("{s:o, s:I, s:o, s:{s:I, s:o}}", "data",
                     vrt_json_text(vrt_dataset_describe(s->data)), "checked", (json_int_t)s->count,
                     "classes", classes, "passed_over", "files", (json_int_t)odd->count, "names",
                     names);
}

static bool print_json(const struct check *c, struct vrt_error *e)
{
    json_t *all = json_object(), *splits = json_array();
    for (int i = 0; i < c->nsplits; i++)
        json_array_append_new(splits, split_json(&c->split[i]));
    json_object_set_new(all, "splits", splits);
    for (int f = 0; f < FINDINGS; f++)
        json_object_set_new(all, findings[f].key, list_json(c, f));
    return vrt_print_json(all, 0, e);
}

static void print_text(const struct check *c)
{
    int64_t good = c->total - c->found[UNREADABLE];
    for (int i = 0; i < c->nsplits; i++)
        sizes_text(&c->split[i]);
    for (int f = 0; f < FINDINGS; f++)
        list_text(c, f);
    vrt_print(stdout, "%lld of %lld pictures can be read\n", (long long)good, (long long)c->total);
}

/* -- all -- */

static void count_split(struct check *c, double limit)
{
    struct split *s = &c->split[c->nsplits++];
    s->count = vrt_dataset_count(s->data);
    if (limit > 0 && limit < (double)s->count)
        s->count = (int64_t)limit;
    s->first = c->total;
    c->total += s->count;
}

static void doubt_classes(const struct vrt_dataset *train, const char *split)
{
    char text[VRT_DOUBT_TEXT];
    if (vrt_doubt_classes(train, split, text))
        vrt_message("warning", text);
}

static bool open_check(struct check *c, struct vrt_error *e)
{
    const struct vrt_options *o = c->o;
    struct vrt_settings s;
    int threads = vrt_threads_wanted(o);
    if (!vrt_settings_read(&s, o, e) || !vrt_need_data(&s, o, e))
        return false;
    if (o->split != NULL ? !vrt_open_split(&s, o->split, &c->split[0].data, e)
                         : !vrt_open_all(&s, &c->split[0].data, &c->split[1].data, e))
        return false;
    doubt_classes(c->split[0].data, o->split != NULL ? o->split : s.data_train);
    for (int i = 0; i < 2 && c->split[i].data != NULL; i++) {
        count_split(c, s.limit);
        if (!count_classes(&c->split[i], e))
            return false;
    }
    c->pictures = calloc((size_t)c->total + 1, sizeof *c->pictures);
    c->images = calloc((size_t)threads, sizeof *c->images);
    if (c->pictures == NULL || c->images == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for %lld pictures", (long long)c->total);
    return vrt_threads_start(&c->ctx, threads, 0, e);
}

static void close_check(struct check *c)
{
    vrt_threads_stop(&c->ctx);
    for (int64_t i = 0; c->pictures != NULL && i < c->total; i++)
        free(c->pictures[i].error);
    for (int i = 0; c->images != NULL && i < vrt_threads_wanted(c->o); i++)
        vrt_image_free(&c->images[i]);
    free(c->pictures);
    free(c->images);
    for (int i = 2; i-- > 0;) {
        free(c->split[i].sizes);
        vrt_dataset_close(c->split[i].data);
    }
}

int vrt_command_check_data(const struct vrt_options *o, struct vrt_error *e)
{
    struct check c = {.o = o};
    bool ok = open_check(&c, e);
    if (ok)
        vrt_threads_share(&c.ctx, c.total, check_picture, &c);
    if (c.lacking)
        ok = vrt_fail(e, VRT_NO_MEMORY,
                      "no memory to read some of the pictures; free some, or use fewer --threads");
    ok = ok && find_duplicates(&c, e);
    for (int64_t i = 0; ok && i < c.total; i++)
        for (int f = 0; f < FINDINGS; f++)
            c.found[f] += c.pictures[i].found >> f & 1;
    if (ok && o->json)
        ok = print_json(&c, e);
    else if (ok)
        print_text(&c);
    bool bad = c.found[UNREADABLE] > 0;
    close_check(&c);
    return !ok ? (int)e->code : bad ? VRT_BAD_INPUT : VRT_OK;
}
