/* The run folder: see run.h. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/claim.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/quota.h"
#include "runtime/base/show.h"
#include "runtime/base/thread.h"
#include "runtime/data/dataset.h"
#include "runtime/io/adapt.h"
#include "runtime/io/put.h"
#include "runtime/io/state.h"
#include "runtime/program/identity.h"
#include "runtime/program/message.h"
#include "runtime/program/model.h"
#include "runtime/program/options.h"
#include "runtime/program/outputs.h"
#include "runtime/program/run.h"
#include "runtime/program/settings.h"
#include "runtime/program/states.h"
#include "runtime/report/events.h"

static const char *const file_names[] = {
    "run.json",    "spec.vmoe",     "last.safetensors", "best.safetensors",
    "0.state",     "1.state",       "manifest.json",    "analysis.json",
    "report.html", "metrics.jsonl", "metrics.csv",      "bad_pictures.txt",
};
enum { NFILES = sizeof file_names / sizeof *file_names };

const char *vrt_run_path(const struct vrt_run *r, const char *name, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%.50s", r->folder, name);
    return path;
}

/* Make a folder and those above it. *made_from: bytes of `path` that name the first that had to be
 * made; 0: none. */
static bool make_folder(const char *path, size_t *made_from, struct vrt_error *e)
{
    char part[PATH_MAX];
    *made_from = 0;
    snprintf(part, sizeof part, "%s", path);
    for (char *at = part + 1;; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char end = *at;
        *at = '\0';
        bool made = mkdir(part, 0777) == 0;
        if (!made && errno != EEXIST)
            return vrt_fail(e, VRT_BAD_INPUT, "cannot make the folder %s: %s; choose another --out",
                            part, strerror(errno));
        if (made && *made_from == 0)
            *made_from = (size_t)(at - part);
        if (made && !vrt_file_sync_name(part, e))
            return false;
        *at = end;
        if (end == '\0')
            return true;
    }
}

/* The length of the name of a run's file at the beginning of `name`, 0: there is none. */
static size_t starts_with_file(const char *name)
{
    int n = 0;
    for (int i = 0; i < NFILES; i++)
        if (strncmp(name, file_names[i], strlen(file_names[i])) == 0)
            return strlen(file_names[i]);
    sscanf(name, "epoch-%*[0-9].safetensors%n", &n);
    return (size_t)n;
}

bool vrt_run_writes(const char *name)
{
    size_t n = starts_with_file(name);
    return (n > 0 && name[n] == '\0') || vrt_events_named(name);
}

/* "last.safetensors.4711.tmp": what a training that was killed while writing leaves. */
static bool is_leftover(const char *name)
{
    size_t n = starts_with_file(name),
           digits = n > 0 && name[n] == '.' ? strspn(name + n + 1, "0123456789") : 0;
    return digits > 0 && strcmp(name + n + 1 + digits, ".tmp") == 0;
}

/* A pipe, a device or a folder where a file of the run should be: it would be waited for. */
static bool is_odd(int folder, const char *name)
{
    struct stat s;
    size_t n = starts_with_file(name);
    return n > 0 && name[n] == '\0' && fstatat(folder, name, &s, 0) == 0 && !S_ISREG(s.st_mode);
}

/* Remove leftovers and count the rest; there is none in a folder that is not there. */
static bool sweep_folder(const char *path, int *count, struct vrt_error *e)
{
    DIR *d = opendir(path);
    bool ok = true;
    *count = 0;
    if (d == NULL)
        return errno == ENOENT || vrt_fail(e, errno == ENOMEM ? VRT_NO_MEMORY : VRT_BAD_INPUT,
                                           "cannot read the folder %s: %s", path, strerror(errno));
    for (struct dirent *entry = readdir(d); ok && entry != NULL; entry = readdir(d)) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || vrt_claim_entry(name))
            continue;
        if (is_odd(dirfd(d), name))
            ok = vrt_fail(e, VRT_BAD_INPUT, "%s/%s is not a regular file; remove it", path, name);
        else if (!is_leftover(name) || unlinkat(dirfd(d), name, 0) != 0)
            (*count)++;
    }
    closedir(d);
    return ok;
}

bool vrt_run_folder(const struct vrt_options *o, char folder[VRT_RUN_FOLDER], struct vrt_error *e)
{
    const char *out = o->out;
    int n = out != NULL ? snprintf(folder, VRT_RUN_FOLDER, "%s", out)
                        : snprintf(folder, VRT_RUN_FOLDER, "runs/%s", o->program->name);
    return (n > 0 && n < VRT_RUN_FOLDER) ||
           vrt_fail(e, VRT_USAGE, "--out is %s", n <= 0 ? "empty" : "too long");
}

static bool enter_folder(struct vrt_run *r, const struct vrt_options *o, struct vrt_error *e)
{
    char who[VRT_CLAIM_WHO];
    if (!vrt_run_folder(o, r->folder, e) || !vrt_outputs_folder(o, r->folder, e))
        return false;
    if (!make_folder(r->folder, &r->made, e))
        return false;
    if (access(r->folder, R_OK | W_OK | X_OK) != 0)
        return vrt_fail(e, VRT_BAD_INPUT, "cannot write into %s: %s; choose another --out",
                        r->folder, strerror(errno));
    if (o->dry_run) /* nobody else knows its folder */
        return true;
    if (vrt_claim_take(&r->claim, r->folder, who, e))
        return true;
    if (who[0] == '\0')
        return false;
    r->made = 0; /* not ours to remove */
    return vrt_fail(e, VRT_BAD_INPUT,
                    "another training is running in %s (%s); choose another --out", r->folder, who);
}

/* The first state is saved at the end of the first epoch at the latest: a run without one has a
 * line of results at most. */
static bool past_first_epoch(const struct vrt_run *r, bool *past, struct vrt_error *e)
{
    char path[PATH_MAX];
    struct vrt_buffer b = {0};
    int lines = 0;
    *past = false;
    if (access(vrt_run_path(r, "metrics.csv", path), F_OK) != 0)
        return true;
    bool read = vrt_file_read(path, SIZE_MAX - 1, &b, e);
    for (size_t i = 0; read && i < b.size; i++)
        lines += b.data[i] == '\n';
    vrt_buffer_free(&b);
    *past = lines > 2; /* the first has the names */
    return read;
}

/* What is left of an earlier training: its newest state, else its run.json. */
static bool find_before(struct vrt_run *r, struct vrt_error *e)
{
    char path[PATH_MAX], note[PATH_MAX + 100];
    struct vrt_error why;
    bool past;
    if (!vrt_state_open(&r->state, vrt_run_path(r, "state", path), UINT64_MAX, note, sizeof note,
                        e))
        return false;
    if (r->state != NULL) {
        r->sequence = vrt_state_sequence(r->state);
        r->before = vrt_run_text(r->state, e);
        if (r->before != NULL && note[0] != '\0')
            vrt_messagef("warning", "%s; going on from the state of step %lld", note,
                         (long long)json_integer_value(json_object_get(r->before, "step")));
        return r->before != NULL;
    }
    if (!past_first_epoch(r, &past, e))
        return false;
    if (past) {
        char last[PATH_MAX], weights[4 * PATH_MAX];
        vrt_quote(weights, sizeof weights, vrt_run_path(r, "last.safetensors", last));
        return vrt_fail(
            e, VRT_BAD_INPUT,
            "%s has no state to go on from (%s is gone or empty), but results that would be lost; "
            "put it back, or start from the weights there: --weights %s --out ANOTHER",
            r->folder, path, weights);
    }
    r->before = vrt_json_read_file(vrt_run_path(r, "run.json", path), &why);
    if (r->before != NULL || !vrt_may_fail(&why, e))
        return r->before != NULL;
    return vrt_fail(e, VRT_BAD_INPUT,
                    "%s is not empty, and holds no run to go on with (no run.json); "
                    "choose another --out",
                    r->folder);
}

bool vrt_run_open(struct vrt_run *r, const struct vrt_options *o, struct vrt_error *e)
{
    char path[PATH_MAX];
    *r = (struct vrt_run){.metrics = {.jsonl = -1, .csv = -1}};
    if (!enter_folder(r, o, e))
        return false;
    int files, states;
    if (!sweep_folder(vrt_run_path(r, "state", path), &states, e) ||
        !sweep_folder(r->folder, &files, e))
        return false;
    if (files != 0 && !o->resume)
        return vrt_fail(e, VRT_BAD_INPUT, "%s is not empty: choose another --out%s", r->folder,
                        access(vrt_run_path(r, "run.json", path), F_OK) == 0
                            ? ", or go on with the run in it by --resume"
                            : "");
    r->empty = files == 0;
    if (files != 0 && !find_before(r, e))
        return false;
    r->fresh = r->state == NULL;
    return r->before == NULL || vrt_settings_adopt(o, json_object_get(r->before, "keys"), e);
}

void vrt_run_undo(struct vrt_run *r)
{
    static const char *const begun[] = {"run.json", "spec.vmoe", "metrics.jsonl", "metrics.csv",
                                        "bad_pictures.txt"};
    char path[PATH_MAX];
    struct vrt_error lost;
    if (!vrt_claim_holds(r->claim, &lost)) /* all of it is another's now */
        return;
    for (size_t i = 0; r->empty && i < sizeof begun / sizeof *begun; i++)
        unlink(vrt_run_path(r, begun[i], path));
    if (r->empty)
        rmdir(vrt_run_path(r, "state", path));
    vrt_claim_drop(r->claim);
    r->claim = NULL;
    for (size_t n = strlen(r->folder); r->made > 0 && n >= r->made; n--) {
        if (r->folder[n] != '/' && r->folder[n] != '\0')
            continue;
        r->folder[n] = '\0';
        rmdir(r->folder);
    }
}

void vrt_run_close(struct vrt_run *r)
{
    vrt_metrics_close(&r->metrics);
    vrt_state_close(r->state);
    json_decref(r->before);
    json_decref(r->identity);
    free(r->dead);
    vrt_claim_drop(r->claim);
}

const char *vrt_run_weights(const struct vrt_run *r, const struct vrt_options *o,
                            struct vrt_adapt *how)
{
    const char *before = json_string_value(json_object_get(r->before, "weights"));
    const json_t *j = json_object_get(r->before, "adapt");
    *how = (struct vrt_adapt){.fine_tune = true,
                              .upcycle = o->upcycle,
                              .noise = o->upcycle_noise,
                              .keep = o->keep_experts};
    if (o->weights != NULL || before == NULL || how->upcycle || how->keep != NULL)
        return o->weights != NULL ? o->weights : before;
    how->upcycle = json_is_true(json_object_get(j, "upcycle"));
    how->noise = json_number_value(json_object_get(j, "noise"));
    how->keep = json_string_value(json_object_get(j, "keep"));
    return before;
}

const char *vrt_run_class_map(const struct vrt_run *r, const struct vrt_options *o)
{
    const json_t *j = json_object_get(r->before, "adapt");
    return o->class_map != NULL || o->weights != NULL
               ? o->class_map
               : json_string_value(json_object_get(j, "class_map"));
}

/* How the run was begun, also where it begins anew on being resumed. */
static json_t *command_json(const struct vrt_run *r, const struct vrt_options *o)
{
    json_t *begun = json_object_get(r->before, "command");
    if (json_is_array(begun))
        return json_incref(begun);
    json_t *list = json_array();
    for (int i = 0; i < o->argc; i++)
        json_array_append_new(list, vrt_json_text(o->argv[i]));
    return list;
}

/* With 15 digits, as people write numbers, unless that loses something. */
static char *readable_json(json_t *j, const char *what, struct vrt_error *e)
{
    char *text = vrt_json_write(json_incref(j), JSON_INDENT(2) | JSON_REAL_PRECISION(15), what, e);
    json_t *again = text != NULL ? vrt_json_read(text, strlen(text), 0, what, e) : NULL;
    if (!json_equal(j, again)) {
        free(text);
        text = again != NULL ? vrt_json_write(json_incref(j), JSON_INDENT(2), what, e) : NULL;
    }
    json_decref(again);
    return text;
}

/* What was permitted with the weights: null where nothing was. */
static json_t *adapt_json(const struct vrt_run *r, const struct vrt_options *o)
{
    struct vrt_adapt how;
    const char *weights = vrt_run_weights(r, o, &how), *class_map = vrt_run_class_map(r, o);
    if (weights == NULL || (!how.upcycle && how.keep == NULL && class_map == NULL))
        return json_null();
    return json_pack("{s:b, s:f, s:o, s:o}", "upcycle", how.upcycle, "noise", how.noise, "keep",
                     how.keep != NULL ? vrt_json_text(how.keep) : json_null(), "class_map",
                     class_map != NULL ? vrt_json_text(class_map) : json_null());
}

static bool write_run_json(const struct vrt_run *r, const struct vrt_options *o,
                           const struct vrt_dataset *train, int threads, struct vrt_error *e)
{
    const struct vrt_program *p = o->program;
    json_t *adapt;
    char *listed = vrt_identity_classes(train, e);
    struct utsname host;
    struct vrt_quota q;
    char started[40] = "", path[PATH_MAX];
    time_t now = time(NULL);
    struct tm utc;
    if (listed == NULL)
        return false;
    vrt_quota_read(&q, "");
    if (uname(&host) != 0)
        memset(&host, 0, sizeof host);
    if (gmtime_r(&now, &utc) != NULL)
        strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", &utc);
    json_t *j = json_pack("{s:s, s:o, s:s, s:o, s:s, s:i, s:I, s:{s:o, s:s, s:s, s:i}}", "model",
                          p->name, "spec_file", vrt_json_text(p->spec_file), "compiler",
                          p->compiler, "command", command_json(r, o), "started", started, "threads",
                          threads, "classes", (json_int_t)vrt_dataset_classes(train), "host",
                          "name", vrt_json_text(host.nodename), "system", host.release, "machine",
                          host.machine, "processors", q.allowed);
    adapt = adapt_json(r, o);
    if (!json_is_null(adapt))
        json_object_set_new(j, "adapt", adapt);
    if (r->stand_in != NULL)
        json_object_set_new(j, "stand_in", vrt_json_text(r->stand_in));
    json_object_update(j, r->identity);
    json_object_set_new(j, "listed", json_string(listed));
    free(listed);
    char *text = readable_json(j, vrt_run_path(r, "run.json", path), e);
    json_decref(j);
    struct vrt_buffer b = {0};
    bool ok =
        text != NULL && vrt_put(&b, e, "%s\n", text) && vrt_file_write(path, b.data, b.size, e);
    free(text);
    vrt_buffer_free(&b);
    return ok;
}

/* What the run will fill: two states and a third while it is written, the same of weights, and
 * those of the best epochs; a dry run one of each. A disk without that much room is told now, not
 * after the first epoch. */
static bool check_room(const struct vrt_run *r, const struct vrt_options *o,
                       const struct vrt_model *m, struct vrt_error *e)
{
    struct statvfs disk;
    struct vrt_settings s;
    if (!vrt_settings_read(&s, o, e))
        return false;
    double states = o->dry_run ? 1 : 3,
           weights = states + (s.keep_best > 1 && !o->dry_run ? s.keep_best : 0);
    double needed = weights * (double)m->bytes[VRT_PARAMS] + states * vrt_run_state_bytes(m);
    if (statvfs(r->folder, &disk) != 0 || disk.f_blocks == 0 ||
        (double)disk.f_bavail * (double)disk.f_frsize >= needed)
        return true;
    return vrt_fail(
        e, VRT_BAD_INPUT,
        "%s needs %.1f MB for states and weights, and its disk has %.1f MB left; make room or "
        "%s",
        r->folder, needed / 1e6, (double)disk.f_bavail * (double)disk.f_frsize / 1e6,
        o->dry_run ? "set TMPDIR to a folder with room" : "choose another --out");
}

static bool start_files(struct vrt_run *r, const struct vrt_options *o,
                        const struct vrt_dataset *train, const struct vrt_model *m,
                        struct vrt_error *e)
{
    char path[PATH_MAX];
    const char *spec = o->program->spec_text;
    size_t made;
    bool lost;
    return check_room(r, o, m, e) && write_run_json(r, o, train, vrt_threads_count(&m->ctx), e) &&
           make_folder(vrt_run_path(r, "state", path), &made, e) &&
           vrt_metrics_open(&r->metrics, r->folder, 0, 0, &lost, e) &&
           vrt_file_write(vrt_run_path(r, "spec.vmoe", path), spec, strlen(spec), e);
}

static char *all_alive(const struct vrt_program *p)
{
    size_t experts = 0;
    for (int64_t i = 0; i < p->nmoes; i++)
        experts += (size_t)p->moes[i].experts;
    char *dead = calloc(experts + 1, 1);
    return dead != NULL ? memset(dead, '.', experts) : NULL;
}

bool vrt_run_begin(struct vrt_run *r, const struct vrt_options *o, const struct vrt_run_data *data,
                   int64_t images_per_call, struct vrt_model *m, struct vrt_position *at,
                   struct vrt_error *e)
{
    *at = (struct vrt_position){.best_top1 = -1, .lr_factor = 1.0};
    if (!vrt_identity_make(r, o, data, images_per_call, e))
        return false;
    r->dead = all_alive(m->program);
    if (r->dead == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for the experts");
    if (r->before != NULL && !vrt_identity_compare(r, data, e))
        return false;
    if (!vrt_claim_holds(r->claim, e)) /* looking at the data may have taken long */
        return false;
    if (r->state != NULL) {
        bool ok = vrt_run_restore(r, r->state, r->before, m, at, e);
        vrt_state_close(r->state);
        r->state = NULL;
        return ok;
    }
    if (m->bytes[VRT_EMA] > 0)
        memcpy(m->ctx.region[VRT_EMA], m->ctx.region[VRT_PARAMS], (size_t)m->bytes[VRT_EMA]);
    return start_files(r, o, data->train, m, e);
}
