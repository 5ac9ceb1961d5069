/* The command `predict`: a row for each picture, in the order given, those of a data set (--data,
 * --split, --limit) after the files, with their true class; a picture that cannot be read gets a
 * row with the reason, and the exit status is then 1. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/thread.h"
#include "runtime/data/dataset.h"
#include "runtime/data/image.h"
#include "runtime/data/loader.h"
#include "runtime/data/odd.h"
#include "runtime/program/classes.h"
#include "runtime/program/command.h"
#include "runtime/program/evaluate.h"
#include "runtime/program/message.h"
#include "runtime/program/model.h"
#include "runtime/program/options.h"
#include "runtime/program/settings.h"
#include "runtime/program/splits.h"

enum { DEPTH_LIMIT = 64, NAME_SIZE = 2048 };

struct entry {    /* one picture of a window */
    char *path;   /* owned; of a picture of the data set: its name there */
    int64_t item; /* its number in the data set, -1: a file */
    bool ok;
    bool lacking;  /* memory for it */
    char why[300]; /* where it is not */
};

struct predict {
    const struct vrt_options *o;
    struct vrt_model m;
    struct vrt_transform transform;
    struct vrt_dataset *data; /* NULL: files only */
    int64_t data_count;       /* pictures of it that are wanted */
    json_t *names;            /* of the classes; NULL: unknown */
    struct entry *window;     /* up to micro pictures, then one call */
    struct vrt_image *images; /* decoded pixels, one per thread */
    int32_t *order;           /* of the classes, for sorting */
    int64_t used, all;        /* pictures: in the window, so far */
    struct vrt_odd odd;       /* in folders */
    bool failed;
};

/* The row begins with the name already: an error that repeats it (a data set's after its root)
 * loses it. */
static void tell_why(struct entry *entry, const char *text)
{
    const char *name = strstr(text, entry->path);
    size_t n = strlen(entry->path);
    bool named =
        name != NULL && (name == text || entry->item >= 0) && strncmp(name + n, ": ", 2) == 0;
    snprintf(entry->why, sizeof entry->why, "%.299s", named ? name + n + 2 : text);
}

static bool read_picture(const struct predict *p, const struct entry *entry,
                         struct vrt_image *image, struct vrt_error *e)
{
    int channels = (int)p->m.program->channels;
    return entry->item >= 0 ? vrt_dataset_read(p->data, entry->item, channels, image, e)
                            : vrt_image_read(image, entry->path, channels, e);
}

static void read_entry(void *data, int64_t i, int thread)
{
    struct predict *p = data;
    const struct vrt_program *program = p->m.program;
    int64_t size = program->channels * program->height * program->width;
    struct entry *entry = &p->window[i];
    struct vrt_error e;
    if (entry->why[0] != '\0')
        return;
    entry->ok = read_picture(p, entry, &p->images[thread], &e) &&
                vrt_transform_eval(&p->transform, &p->images[thread],
                                   vrt_model_floats(&p->m, VRT_INPUT) + i * size, &e);
    entry->lacking = !entry->ok && e.code == VRT_NO_MEMORY;
    if (!entry->ok)
        tell_why(entry, e.text);
}

/* Decode the window on all threads, each picture into its own place of INPUT. */
static void read_window(struct predict *p)
{
    vrt_threads_share(&p->m.ctx, p->used, read_entry, p);
}

/* Bad pictures leave no holes: what the network sees is the good ones alone, in order. */
static int64_t close_gaps(struct predict *p)
{
    const struct vrt_program *program = p->m.program;
    int64_t size = program->channels * program->height * program->width, n = 0;
    float *input = vrt_model_floats(&p->m, VRT_INPUT);
    for (int64_t i = 0; i < p->used; i++) {
        if (!p->window[i].ok)
            continue;
        if (n != i)
            memcpy(input + n * size, input + i * size, (size_t)size * sizeof *input);
        n++;
    }
    return n;
}

/* The true class of a picture of the data set, NULL for a file. */
static const char *true_class(const struct predict *p, const struct entry *entry)
{
    return entry->item < 0
               ? NULL
               : vrt_dataset_class_name(p->data, vrt_dataset_label(p->data, entry->item));
}

static const char *class_name(const struct predict *p, int32_t c, char text[32])
{
    const char *name = json_string_value(json_array_get(p->names, (size_t)c));
    snprintf(text, 32, "%d", c);
    return name != NULL ? name : text;
}

/* The first `top` classes by logit, ties to the lower index: an insertion sort, as top is small. */
static int64_t sort_classes(struct predict *p, const float *logits)
{
    int64_t classes = p->m.program->classes, top = p->o->top < classes ? p->o->top : classes, n = 0;
    for (int64_t c = 0; c < classes; c++) {
        int64_t at = n;
        while (at > 0 && logits[c] > logits[p->order[at - 1]])
            at--;
        if (at == top)
            continue;
        n += n < top;
        memmove(p->order + at + 1, p->order + at, (size_t)(n - at - 1) * sizeof *p->order);
        p->order[at] = (int32_t)c;
    }
    return n;
}

static double softmax_sum(const float *logits, int64_t classes, double largest)
{
    double sum = 0.0;
    for (int64_t c = 0; c < classes; c++)
        sum += exp((double)logits[c] - largest);
    return sum;
}

static json_t *number_json(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *floats_json(const float *values, int64_t n)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < n; i++)
        json_array_append_new(list, number_json((double)values[i]));
    return list;
}

static bool print_json(json_t *row, struct vrt_error *e)
{
    return vrt_print_json(row, JSON_REAL_PRECISION(9), e);
}

static json_t *predictions_json(struct predict *p, const float *logits)
{
    int64_t classes = p->m.program->classes, top = sort_classes(p, logits);
    double largest = (double)logits[p->order[0]], sum = softmax_sum(logits, classes, largest);
    json_t *list = json_array();
    for (int64_t i = 0; i < top; i++) {
        char text[32];
        int32_t c = p->order[i];
        json_array_append_new(list, json_pack("{s:i, s:s, s:o}", "class", c, "name",
                                              class_name(p, c, text), "probability",
                                              number_json(exp((double)logits[c] - largest) / sum)));
    }
    return list;
}

static bool row_json(struct predict *p, const struct entry *entry, int64_t at, struct vrt_error *e)
{
    int64_t classes = p->m.program->classes;
    const float *logits = vrt_model_floats(&p->m, VRT_OUTPUT) + at * classes;
    json_t *row = json_pack("{s:o}", "file", vrt_json_text(entry->path));
    if (entry->item >= 0)
        json_object_set_new(row, "label", vrt_json_text(true_class(p, entry)));
    json_object_set_new(row, "predictions", predictions_json(p, logits));
    if (p->o->logits)
        json_object_set_new(row, "logits", floats_json(logits, classes));
    if (p->o->features)
        json_object_set_new(
            row, "features",
            floats_json(vrt_model_floats(&p->m, VRT_FEATURES) + at * p->m.program->features,
                        p->m.program->features));
    return print_json(row, e);
}

static void print_floats(const char *title, const float *values, int64_t n)
{
    vrt_print(stdout, "  %s", title);
    for (int64_t i = 0; i < n; i++)
        vrt_print(stdout, " %.6g", (double)values[i]);
    putchar('\n');
}

static void row_text(struct predict *p, const struct entry *entry, int64_t at)
{
    int64_t classes = p->m.program->classes, features = p->m.program->features;
    const float *logits = vrt_model_floats(&p->m, VRT_OUTPUT) + at * classes;
    int64_t top = sort_classes(p, logits);
    double largest = (double)logits[p->order[0]], sum = softmax_sum(logits, classes, largest);
    vrt_print(stdout, "%s:", entry->path);
    for (int64_t i = 0; i < top; i++) {
        char text[32];
        vrt_print(stdout, "%s %s %.4f", i ? "," : "", class_name(p, p->order[i], text),
                  exp((double)logits[p->order[i]] - largest) / sum);
    }
    if (entry->item >= 0)
        vrt_print(stdout, "  (is %s)", true_class(p, entry));
    putchar('\n');
    if (p->o->logits)
        print_floats("logits", logits, classes);
    if (p->o->features)
        print_floats("features", vrt_model_floats(&p->m, VRT_FEATURES) + at * features, features);
}

static bool row_error(const struct predict *p, const struct entry *entry, struct vrt_error *e)
{
    if (p->o->json)
        return print_json(json_pack("{s:o, s:o}", "file", vrt_json_text(entry->path), "error",
                                    vrt_json_text(entry->why)),
                          e);
    vrt_print(stdout, "%s: error: %s\n", entry->path, entry->why);
    return true;
}

/* Logits that are not finite have no order. */
static bool check_row(const struct predict *p, struct entry *entry, int64_t row)
{
    int64_t classes = p->m.program->classes;
    struct vrt_error e;
    if (vrt_check_logits(vrt_model_floats(&p->m, VRT_OUTPUT) + row * classes, classes, entry->path,
                         &e))
        return true;
    tell_why(entry, e.text);
    return false;
}

/* Classify what stands in the window and print its rows. */
static bool flush_window(struct predict *p, struct vrt_error *e)
{
    bool ok = true;
    read_window(p);
    int64_t n = close_gaps(p), at = 0;
    if (n > 0) {
        p->m.ctx.images = n;
        p->m.program->eval(&p->m.ctx);
    }
    for (int64_t i = 0; i < p->used; i++) {
        struct entry *entry = &p->window[i];
        int64_t row = entry->ok ? at++ : -1;
        if (ok && entry->lacking) /* that says nothing of the picture */
            ok = vrt_fail(e, VRT_NO_MEMORY, "%s: %s", entry->path, entry->why);
        entry->ok = entry->ok && (!ok || check_row(p, entry, row));
        if (ok && !entry->ok)
            ok = row_error(p, entry, e);
        else if (ok && p->o->json)
            ok = row_json(p, entry, row, e);
        else if (ok)
            row_text(p, entry, row);
        p->failed = p->failed || !entry->ok;
        free(entry->path);
        *entry = (struct entry){0};
    }
    p->used = 0;
    fflush(stdout);
    return ok;
}

/* One more picture (item: its number in the data set, or -1), or with a reason one that failed
 * already. */
static bool add_entry(struct predict *p, const char *path, int64_t item, const char *why,
                      struct vrt_error *e)
{
    struct entry *entry = &p->window[p->used];
    entry->path = strdup(path);
    entry->item = item;
    if (entry->path == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for the names of the pictures");
    snprintf(entry->why, sizeof entry->why, "%s", why);
    p->all++;
    return ++p->used < p->m.program->micro || flush_window(p, e);
}

static int visible(const struct dirent *d)
{
    return !vrt_odd_hidden(d->d_name);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool add_path(struct predict *p, const char *path, int depth, bool given,
                     struct vrt_error *e);

/* All pictures below a folder, sorted. */
static bool add_folder(struct predict *p, const char *path, int depth, struct vrt_error *e)
{
    struct dirent **list;
    int n = depth < DEPTH_LIMIT ? scandir(path, &list, visible, by_name) : -1;
    bool lacks = n < 0 && depth < DEPTH_LIMIT && errno == ENOMEM,
         ok = lacks ? vrt_fail(e, VRT_NO_MEMORY, "no memory for the names in %.300s", path)
                    : n >= 0 || add_entry(p, path, -1, "the folder cannot be read", e);
    for (int i = 0; i < n; i++) {
        char *below = NULL;
        if (ok && asprintf(&below, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/",
                           list[i]->d_name) < 0)
            ok = vrt_fail(e, VRT_NO_MEMORY, "no memory for the names of the pictures");
        ok = ok && add_path(p, below, depth + 1, false, e);
        free(below);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    return ok;
}

/* Inside a folder, what is no picture is passed over. */
static bool add_path(struct predict *p, const char *path, int depth, bool given,
                     struct vrt_error *e)
{
    struct stat s;
    if (path[0] != '\0' && stat(path, &s) == 0) {
        if (S_ISDIR(s.st_mode))
            return add_folder(p, path, depth, e);
        if (!S_ISREG(s.st_mode) && !given)
            return true;
        if (!given && !vrt_odd_is_picture(AT_FDCWD, path)) {
            vrt_odd_add(&p->odd, strrchr(path, '/') + 1);
            return true;
        }
    }
    return add_entry(p, path, -1, "", e);
}

static bool add_list(struct predict *p, struct vrt_error *e)
{
    char *line = NULL;
    size_t room = 0, skip = 0;
    ssize_t n;
    bool ok = true;
    for (bool first = true; ok && (n = getline(&line, &room, stdin)) >= 0; first = false) {
        ok = !first || vrt_text_begins("the list", line, (size_t)n, &skip, e);
        char *path = line + (first ? skip : 0);
        path[strcspn(path, "\r\n")] = '\0';
        ok = ok && (path[0] == '\0' || add_path(p, path, 0, true, e));
    }
    int why = errno;
    free(line);
    return ok && (feof(stdin) ||
                  vrt_fail(e, VRT_BAD_INPUT, "cannot read the list on stdin: %s", strerror(why)));
}

static bool add_data(struct predict *p, struct vrt_error *e)
{
    char name[NAME_SIZE];
    bool ok = true;
    for (int64_t i = 0; ok && i < p->data_count; i++) {
        int64_t item = vrt_dataset_spread(p->data, p->data_count, i);
        vrt_dataset_item_name(p->data, item, name, sizeof name);
        ok = add_entry(p, name, item, "", e);
    }
    return ok;
}

/* Any flag of the data asks for it; the others keep what the spec says. */
static bool wants_data(const struct vrt_options *o)
{
    int64_t root = vrt_options_key(o->program, "data.root"),
            limit = vrt_options_key(o->program, "data.limit");
    return o->split != NULL || (root >= 0 && o->keys[root].given) ||
           (limit >= 0 && o->keys[limit].given);
}

static bool open_data(struct predict *p, const struct vrt_settings *s, struct vrt_error *e)
{
    const struct vrt_options *o = p->o;
    if (!wants_data(o))
        return true;
    if (!vrt_need_data(s, o, e) || !vrt_open_split(s, o->split, &p->data, e))
        return false;
    p->data_count = vrt_dataset_count(p->data);
    if (s->limit > 0 && s->limit < (double)p->data_count)
        p->data_count = (int64_t)s->limit;
    return true;
}

static bool open_predict(struct predict *p, struct vrt_error *e)
{
    const struct vrt_options *o = p->o;
    struct vrt_settings s;
    char *classes = NULL;
    if (o->nfiles == 0 && !wants_data(o))
        return vrt_fail(
            e, VRT_USAGE,
            "predict needs pictures: files, folders, - for a list on stdin, or --data FOLDER");
    if (!vrt_need_weights(o, e) || !vrt_settings_read(&s, o, e) || !open_data(p, &s, e) ||
        !vrt_model_open(&p->m, o->program, VRT_FOR_EVAL, vrt_threads_wanted(o), e))
        return false;
    bool ok = vrt_load_weights(&p->m, o, &s, &classes, e);
    ok = ok && vrt_classes_known(&p->names, classes, e);
    free(classes);
    p->transform = vrt_settings_transform(&s, o->program, false);
    p->window = calloc((size_t)o->program->micro, sizeof *p->window);
    p->images = calloc((size_t)vrt_threads_wanted(o), sizeof *p->images);
    for (int64_t i = 0; p->images != NULL && i < vrt_threads_wanted(o); i++)
        p->images[i].exif = o->exif ? VRT_EXIF_TURN : VRT_EXIF_IGNORE;
    p->order = calloc((size_t)o->program->classes + 1, sizeof *p->order);
    if (ok && (p->window == NULL || p->images == NULL || p->order == NULL))
        ok = vrt_fail(e, VRT_NO_MEMORY, "no memory for the pictures");
    if (ok)
        o->program->pack_eval(&p->m.ctx);
    return ok;
}

static void close_predict(struct predict *p)
{
    for (int64_t i = 0; p->window != NULL && i < p->used; i++)
        free(p->window[i].path);
    for (int64_t i = 0; p->images != NULL && i < vrt_threads_wanted(p->o); i++)
        vrt_image_free(&p->images[i]);
    free(p->window);
    free(p->images);
    free(p->order);
    json_decref(p->names);
    vrt_dataset_close(p->data);
    vrt_model_close(&p->m);
}

int vrt_command_predict(const struct vrt_options *o, struct vrt_error *e)
{
    struct predict p = {.o = o};
    bool ok = open_predict(&p, e);
    for (int i = 0; ok && i < o->nfiles; i++)
        ok =
            strcmp(o->files[i], "-") == 0 ? add_list(&p, e) : add_path(&p, o->files[i], 0, true, e);
    if (p.odd.count > 0) {
        char text[VRT_ODD_TEXT];
        vrt_odd_text(&p.odd, text);
        vrt_message("note", text);
    }
    ok = ok && add_data(&p, e);
    ok = ok && (p.used == 0 || flush_window(&p, e));
    if (ok && p.all == 0)
        ok = vrt_fail(e, VRT_BAD_INPUT, "there are no pictures in what predict was given");
    close_predict(&p);
    return !ok ? (int)e->code : p.failed ? VRT_BAD_INPUT : VRT_OK;
}
