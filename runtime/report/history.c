/* Reading a run folder: see history.h. A long run has 100,000 lines of steps, all of one form, so
 * those are scanned by hand. */
#include "runtime/report/history.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"

enum { LINE = 1024 };

static const char *const step_names[] = {"step", "epoch",     "loss",     "balance_loss",
                                         "lr",   "grad_norm", "img_per_s"};
static const char *const epoch_names[] = {
    "step",       "epoch",        "images", "top1",      "top5",    "loss",
    "train_loss", "balance_loss", "lr",     "img_per_s", "seconds",
};
enum {
    NSTEP = sizeof step_names / sizeof *step_names,
    NEPOCH = sizeof epoch_names / sizeof *epoch_names
};
_Static_assert(sizeof(struct vrt_step_point) == NSTEP * sizeof(double), "one name for each field");
_Static_assert(offsetof(struct vrt_epoch_point, moe) == NEPOCH * sizeof(double),
               "one name for each number");

double vrt_member(const json_t *object, const char *name)
{
    const json_t *j = json_object_get(object, name);
    return json_is_number(j) ? json_number_value(j) : NAN;
}

/* -- lines -- */

/* {"name":number, ...} with the names of a step, in any order; false if the line has any other
 * form. */
static bool scan_step(const char *at, double value[NSTEP])
{
    char *end;
    for (size_t i = 0; i < NSTEP; i++)
        value[i] = NAN;
    for (size_t next = 0; *at == '{' || *at == ','; next++) {
        if (at[1] != '"')
            return false;
        const char *name = at + 2, *close = strchr(name, '"');
        if (close == NULL || close[1] != ':')
            return false;
        size_t n = (size_t)(close - name), i = next % NSTEP;
        for (size_t tries = 0; strncmp(step_names[i], name, n) != 0 || step_names[i][n] != '\0';
             i = (i + 1) % NSTEP)
            if (++tries == NSTEP)
                return false;
        at = close + 2;
        if (strncmp(at, "null", 4) == 0) {
            at += 4;
            continue;
        }
        value[i] = strtod(at, &end);
        if (end == at)
            return false;
        at = end;
    }
    return *at == '}' && isfinite(value[0]);
}

static void add_step(struct vrt_history *h, const char *line)
{
    double value[NSTEP];
    if (scan_step(line, value))
        memcpy(&h->steps[h->nsteps++], value, sizeof value);
}

static bool add_other(struct vrt_history *h, const char *line, size_t n, struct vrt_error *e)
{
    struct vrt_error why;
    json_t *j = vrt_json_read(line, n, 0, "a line of metrics.jsonl", &why);
    const char *split = json_string_value(json_object_get(j, "eval"));
    if (j == NULL)
        return vrt_may_fail(&why, e); /* cut off while it was written */
    json_array_append_new(h->lines, json_incref(j));
    if (json_is_string(json_object_get(j, "warning")))
        json_array_append(h->warnings, j);
    json_decref(j);
    if (!vrt_json_whole("the lines of metrics.jsonl", e))
        return false;
    if (split == NULL || strcmp(split, "val") != 0)
        return true;
    struct vrt_epoch_point *p = &h->epochs[h->nepochs++];
    double value[NEPOCH];
    for (size_t i = 0; i < NEPOCH; i++)
        value[i] = vrt_member(j, epoch_names[i]);
    memcpy(p, value, sizeof value);
    p->moe = json_object_get(j, "moe");
    p->steps_before = h->nsteps;
    return true;
}

static bool is_step(const char *line, size_t n)
{
    static const char step[] = "{\"step\":";
    return n < LINE && n > sizeof step && memcmp(line, step, sizeof step - 1) == 0;
}

/* Whole lines only: the last one may still be growing. *line is the first byte; false at the
 * end. */
static bool next_line(const char **at, const char *end, const char **line, size_t *n)
{
    const char *newline = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
    if (newline == NULL)
        return false;
    *line = *at;
    *n = (size_t)(newline - *at);
    *at = newline + 1;
    return true;
}

/* Lines are counted before they are read, so room is made once, whatever their number. */
static bool read_lines(struct vrt_history *h, const struct vrt_buffer *file, struct vrt_error *e)
{
    const char *first = (const char *)file->data, *end = first + file->size, *at = first, *line;
    size_t n, steps = 0, others = 0;
    char text[LINE];
    while (next_line(&at, end, &line, &n))
        *(is_step(line, n) ? &steps : &others) += 1;
    h->steps = calloc(steps + 1, sizeof *h->steps);
    h->epochs = calloc(others + 1, sizeof *h->epochs);
    if (h->steps == NULL || h->epochs == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for the %zu lines of metrics.jsonl",
                        steps + others);
    for (at = first; next_line(&at, end, &line, &n);)
        if (is_step(line, n)) {
            memcpy(text, line, n);
            text[n] = '\0';
            add_step(h, text);
        } else if (n > 0 && !add_other(h, line, n, e))
            return false;
    return true;
}

/* -- files -- */

/* A file that is missing leaves the buffer empty; one that is there and cannot be read is an error,
 * as the page would be wrong without it. */
static bool read_file(const char *folder, const char *name, struct vrt_buffer *b,
                      struct vrt_error *e)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) != 0 || vrt_file_read(path, SIZE_MAX - 1, b, e);
}

/* *out stays NULL where the text is none of JSON. */
static bool read_json(const char *folder, const char *name, json_t **out, struct vrt_error *e)
{
    struct vrt_buffer text = {0};
    struct vrt_error why = {.code = VRT_OK};
    bool ok = read_file(folder, name, &text, e);
    if (ok && text.data != NULL)
        *out = vrt_json_read((const char *)text.data, text.size, 0, name, &why);
    vrt_buffer_free(&text);
    return ok && vrt_may_fail(&why, e);
}

bool vrt_history_read(struct vrt_history *h, const char *folder, struct vrt_error *e)
{
    struct stat s;
    struct vrt_buffer metrics = {0};
    *h = (struct vrt_history){.lines = json_array(), .warnings = json_array()};
    if (strlen(folder) > PATH_MAX - 64 || stat(folder, &s) != 0 || !S_ISDIR(s.st_mode))
        return vrt_fail(e, VRT_BAD_INPUT, "%.300s is no folder of a run; give one by --out",
                        folder);
    bool ok = read_json(folder, "run.json", &h->run, e) &&
              read_json(folder, "analysis.json", &h->analysis, e) &&
              read_file(folder, "spec.vmoe", &h->spec, e) &&
              read_file(folder, "metrics.jsonl", &metrics, e);
    h->metrics = metrics.data != NULL;
    ok = ok && (!h->metrics || read_lines(h, &metrics, e));
    vrt_buffer_free(&metrics);
    return ok;
}

void vrt_history_free(struct vrt_history *h)
{
    free(h->steps);
    free(h->epochs);
    json_decref(h->run);
    json_decref(h->analysis);
    json_decref(h->lines);
    json_decref(h->warnings);
    vrt_buffer_free(&h->spec);
    *h = (struct vrt_history){0};
}

/* -- what is asked of them -- */

long vrt_history_best(const struct vrt_history *h)
{
    long best = -1;
    for (size_t i = 0; i < h->nepochs; i++)
        if (best < 0 || h->epochs[i].top1 > h->epochs[best].top1)
            best = (long)i;
    return best;
}

double vrt_history_key(const struct vrt_history *h, const char *key)
{
    const json_t *j = json_object_get(json_object_get(h->run, "keys"), key);
    const char *text = json_string_value(j);
    char *end;
    if (text == NULL)
        return json_is_number(j) ? json_number_value(j) : NAN;
    double value = strtod(text, &end);
    return end == text ? NAN : value;
}

double vrt_history_epoch_steps(const struct vrt_history *h)
{
    if (h->nepochs > 0) {
        const struct vrt_epoch_point *last = &h->epochs[h->nepochs - 1];
        return last->epoch > 0 ? last->step / last->epoch : 0;
    }
    double pictures = vrt_member(json_object_get(h->run, "data"), "pictures"),
           batch = vrt_history_key(h, "train.batch");
    double limit = vrt_history_key(h, "data.limit"), steps;
    pictures = limit > 0 && limit < pictures ? limit : pictures;
    steps = floor(pictures / batch);
    return steps > 0 && isfinite(steps) ? steps : 0;
}

double vrt_history_started(const struct vrt_history *h)
{
    const char *text = json_string_value(json_object_get(h->run, "started"));
    struct tm utc = {0};
    time_t t =
        text != NULL && strptime(text, "%Y-%m-%dT%H:%M:%SZ", &utc) != NULL ? timegm(&utc) : 0;
    return t > 0 ? (double)t : 0;
}

const json_t *vrt_history_layer(const struct vrt_epoch_point *p, const char *layer)
{
    size_t i;
    json_t *entry;
    json_array_foreach((json_t *)(uintptr_t)p->moe, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "layer"));
        if (name != NULL && strcmp(name, layer) == 0)
            return entry;
    }
    return NULL;
}
