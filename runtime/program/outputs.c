/* The files that a command writes: see outputs.h. */
#include "runtime/program/outputs.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "runtime/base/buffer.h"
#include "runtime/data/dataset.h"
#include "runtime/program/options.h"

static const char program_file[] = "/proc/self/exe";

/* -- tables -- */

/* Nothing is lost in /dev/null, by whatever name. */
static bool is_null(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISCHR(s.st_mode) && s.st_rdev == makedev(1, 3);
}

static bool is_pipe(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISFIFO(s.st_mode);
}

static bool refuse_inputs(const struct vrt_output *t, const struct vrt_options *o,
                          struct vrt_error *e)
{
    const struct {
        const char *path, *what;
    } inputs[] = {
        {program_file, "the program itself"},
        {o->weights, "what --weights names"},
        {o->class_map, "what --class-map names"},
        {o->real, "what --real names"},
    };

    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        if (inputs[i].path != NULL && vrt_path_same(t->path, inputs[i].path))
            return vrt_fail(e, VRT_USAGE, "--%s %s would write over %s; give it a file of its own",
                            t->flag, t->path, inputs[i].what);
    return true;
}

static bool refuse_twins(const struct vrt_outputs *x, enum vrt_table t, struct vrt_error *e)
{
    const struct vrt_output *own = &x->table[t];

    for (int i = 0; i < (int)t; i++)
        if (x->table[i].path != NULL && vrt_path_same(x->table[i].path, own->path) &&
            !is_null(own->path))
            return vrt_fail(e, VRT_USAGE,
                            "--%s and --%s would write into one file, %s; give each its own",
                            x->table[i].flag, own->flag, own->path);
    return true;
}

/* Begun and given up at once, unless it is written in place. */
static bool try_output(struct vrt_output *t, struct vrt_error *e)
{
    if (!vrt_writer_begin(&t->writer, t->path, e))
        return false;
    if (t->writer.temporary != NULL)
        vrt_writer_abandon(&t->writer);
    return true;
}

static bool try_all(struct vrt_outputs *x, bool pipes, struct vrt_error *e)
{
    for (int i = 0; i < VRT_TABLES; i++)
        if (x->table[i].path != NULL && is_pipe(x->table[i].path) == pipes &&
            !try_output(&x->table[i], e))
            return false;
    return true;
}

/* Opening a pipe waits for its reader, so pipes come last. */
bool vrt_outputs_open(struct vrt_outputs *x, const struct vrt_options *o, struct vrt_error *e)
{
    *x = (struct vrt_outputs){.table = {
                                  [VRT_PER_CLASS] = {"per-class", o->per_class, {.fd = -1}},
                                  [VRT_CONFUSION] = {"confusion", o->confusion, {.fd = -1}},
                                  [VRT_EXPERTS] = {"experts", o->experts, {.fd = -1}},
                                  [VRT_SIMILARITY] = {"similarity", o->similarity, {.fd = -1}},
                              }};
    for (int i = 0; i < VRT_TABLES; i++) {
        struct vrt_output *t = &x->table[i];
        if (t->path == NULL)
            continue;
        if (strcmp(t->path, "-") == 0) {
            t->path = "/dev/stdout";
            x->to_stdout = true;
        }
        if (!refuse_inputs(t, o, e) || !refuse_twins(x, (enum vrt_table)i, e))
            return false;
    }
    return try_all(x, false, e) && try_all(x, true, e);
}

void vrt_outputs_close(struct vrt_outputs *x)
{
    for (int i = 0; i < VRT_TABLES; i++)
        if (x->table[i].path != NULL)
            vrt_writer_abandon(&x->table[i].writer);
}

static bool spares(const struct vrt_output *t, const char *root, const struct vrt_dataset *d,
                   struct vrt_error *e)
{
    struct vrt_file_id id;
    struct stat s;
    bool there = stat(t->path, &s) == 0;
    char target[PATH_MAX];
    bool ok = vrt_file_target(t->path, target) ||
              vrt_fail(e, VRT_BAD_INPUT, "cannot write %s: %s", t->path, strerror(errno));

    if (ok && (!there || S_ISREG(s.st_mode)) && vrt_data_takes(target) &&
        vrt_data_reaches(root, target))
        ok = vrt_fail(e, VRT_USAGE,
                      "--%s %s lies in the data, %s, and would be taken for a picture; write it "
                      "elsewhere",
                      t->flag, t->path, root);
    if (ok && there && S_ISREG(s.st_mode) && vrt_file_find(t->path, &id) &&
        vrt_dataset_reads(d, &id))
        ok = vrt_fail(e, VRT_USAGE,
                      "--%s %s would write over a file of the data, %s; write it elsewhere",
                      t->flag, t->path, root);
    return ok;
}

bool vrt_outputs_spare(const struct vrt_outputs *x, const char *root, const struct vrt_dataset *d,
                       struct vrt_error *e)
{
    for (int i = 0; i < VRT_TABLES; i++)
        if (x->table[i].path != NULL && !spares(&x->table[i], root, d, e))
            return false;
    return true;
}

bool vrt_outputs_write(struct vrt_outputs *x, enum vrt_table t, const struct vrt_buffer *b,
                       struct vrt_error *e)
{
    struct vrt_output *own = &x->table[t];

    if (own->writer.fd < 0 && !vrt_writer_begin(&own->writer, own->path, e))
        return false;
    bool ok =
        vrt_writer_write(&own->writer, b->data, b->size, e) && vrt_writer_commit(&own->writer, e);
    vrt_writer_abandon(&own->writer);
    return ok;
}

/* -- a run folder -- */

bool vrt_outputs_folder(const struct vrt_options *o, const char *folder, struct vrt_error *e)
{
    int64_t key = vrt_options_key(o->program, "data.root");
    const char *root = key >= 0 ? o->keys[key].text : NULL;
    char deepest[PATH_MAX];

    snprintf(deepest, sizeof deepest, "%s/state", folder);
    if (root == NULL || *root == '\0' || !vrt_data_reaches(root, deepest))
        return true;
    return vrt_fail(e, VRT_USAGE,
                    "the run folder %s would lie in the data, %s, and be taken for a part of it; "
                    "%s",
                    folder, root,
                    o->dry_run ? "set TMPDIR to a folder elsewhere" : "choose another --out");
}

/* What a run folder must not be written through to. */
struct apart {
    const char *folder, *weights;
    bool (*writes)(const char *name);
    const struct vrt_dataset *const *data;
    int n;
};

/* The other entry of the folder, or of the state in it, that a link leads to. */
static bool find_twin(const struct apart *a, const char *path, const struct vrt_file_id *id,
                      char other[2 * PATH_MAX])
{
    static const char *const parts[] = {"", "/state"};
    struct vrt_file_id found;
    char part[PATH_MAX];
    bool twin = false;

    for (size_t i = 0; !twin && i < sizeof parts / sizeof *parts; i++) {
        snprintf(part, sizeof part, "%s%s", a->folder, parts[i]);
        DIR *d = opendir(part);
        const struct dirent *entry;
        while (d != NULL && !twin && (entry = readdir(d)) != NULL) {
            snprintf(other, 2 * PATH_MAX, "%s/%s", part, entry->d_name);
            twin = strcmp(other, path) != 0 && vrt_file_find(other, &found) &&
                   vrt_file_same(&found, id);
        }
        if (d != NULL)
            closedir(d);
    }
    return twin;
}

static bool check_entry(const struct apart *a, const char *path, struct vrt_error *e)
{
    struct stat s, own;
    struct vrt_file_id id;
    char other[2 * PATH_MAX];
    const char *what = NULL;

    if (lstat(path, &own) != 0 || stat(path, &s) != 0)
        return true; /* a link to nothing makes its own */
    if (!S_ISREG(s.st_mode))
        return vrt_fail(e, VRT_BAD_INPUT,
                        "cannot write %s: it is not a regular file; remove it or choose another "
                        "--out",
                        path);
    vrt_file_find(path, &id);
    if (vrt_path_same(path, program_file))
        what = "the program itself";
    else if (a->weights != NULL && vrt_path_same(path, a->weights))
        what = "what --weights names";
    else if (S_ISLNK(own.st_mode) && find_twin(a, path, &id, other))
        what = other;
    for (int i = 0; what == NULL && i < a->n && (S_ISLNK(own.st_mode) || s.st_nlink > 1); i++)
        what = vrt_dataset_reads(a->data[i], &id) ? "a file of the data" : NULL;
    return what == NULL || vrt_fail(e, VRT_BAD_INPUT,
                                    "%s is %s, which would be lost; remove it or choose another "
                                    "--out",
                                    path, what);
}

static bool check_entries(const struct apart *a, const char *part, struct vrt_error *e)
{
    char where[PATH_MAX], path[2 * PATH_MAX];
    snprintf(where, sizeof where, "%s%s", a->folder, part);
    DIR *d = opendir(where);
    const struct dirent *entry;
    bool ok = true;

    while (d != NULL && ok && (entry = readdir(d)) != NULL) {
        snprintf(path, sizeof path, "%s/%s", where, entry->d_name);
        ok = !a->writes(entry->d_name) || check_entry(a, path, e);
    }
    if (d != NULL)
        closedir(d);
    return ok;
}

bool vrt_outputs_run(const char *folder, bool (*writes)(const char *name), const char *weights,
                     const struct vrt_dataset *const *data, int n, struct vrt_error *e)
{
    const struct apart a = {folder, weights, writes, data, n};

    return check_entries(&a, "", e) && check_entries(&a, "/state", e);
}
