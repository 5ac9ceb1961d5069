/* The front of the data sets. Input: a path and a split; output: pictures by number. Which kind it
 * is is decided by what is there: in a folder the folder SPLIT, with class folders or a file of
 * labels, else IDX files, CIFAR's, tars of the split, or class folders in its place; a regular file
 * must be a tar; what is not there may be a pattern of shards. */
#include "runtime/data/dataset.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/file.h"
#include "runtime/data/doubt.h"
#include "runtime/data/shards.h"
#include "runtime/data/source.h"

char *vrt_dataset_where(const struct vrt_dataset *d)
{
    char *where;

    if (d->split[0] == 0)
        return strdup(d->root);
    return asprintf(&where, "%s/%s", d->root, d->split) < 0 ? NULL : where;
}

bool vrt_dataset_blob(struct vrt_dataset *d, const char *path, struct vrt_blob *known,
                      struct vrt_error *e)
{
    struct vrt_blob **more = realloc(d->blobs, ((size_t)d->nblobs + 1) * sizeof *more);

    if (more == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to open %s", path);
    d->blobs = more;
    if (!vrt_blob_open(&more[d->nblobs], path, known, e))
        return false;
    d->nblobs++;
    return true;
}

bool vrt_dataset_note(struct vrt_dataset *d, const char *path, struct vrt_error *e)
{
    struct vrt_file_id *more = realloc(d->small, ((size_t)d->nsmall + 1) * sizeof *more);

    if (more == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to open %s", path);
    d->small = more;
    d->nsmall += vrt_file_find(path, &more[d->nsmall]);
    return true;
}

static bool is_folder(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* Set d->split to the first name of the split that is a folder below the root; NULL when there is
 * none. */
static bool find_split(struct vrt_dataset *d, const char *split, struct vrt_error *e)
{
    const char *names[VRT_SPLIT_NAMES];

    vrt_split_names(split, names);
    for (int i = 0; i < VRT_SPLIT_NAMES && names[i] != NULL; i++) {
        char *where;
        bool found;
        d->split = strdup(names[i]);
        where = d->split != NULL ? vrt_dataset_where(d) : NULL;
        if (where == NULL)
            return vrt_fail(e, VRT_NO_MEMORY, "no memory to open %s", d->root);
        found = is_folder(where);
        free(where);
        if (found) {
            d->found = names[i];
            return true;
        }
        free(d->split);
        d->split = NULL;
    }
    return true;
}

/* The root has class folders where a split would be. */
static bool open_bare(struct vrt_dataset *d, const struct vrt_dataset *classes_of,
                      struct vrt_error *e)
{
    free(d->split);
    d->bare = true;
    d->split = strdup("");
    return d->split != NULL ? vrt_folder_open(d, classes_of, e)
                            : vrt_fail(e, VRT_NO_MEMORY, "no memory to open %s", d->root);
}

/* What is in the folder, in a few words, so that a wrong path is seen at once. */
static void list_some(const char *root, char *text, size_t size)
{
    DIR *dir = opendir(root);
    struct dirent *entry;
    size_t n = 0;

    text[0] = 0;
    while (dir != NULL && n < size && (entry = readdir(dir)) != NULL)
        if (!vrt_odd_hidden(entry->d_name))
            n += (size_t)snprintf(text + n, size - n, "%s%.40s", n > 0 ? ", " : "", entry->d_name);
    if (n >= size)
        strcpy(text + size - 4, "...");
    if (dir != NULL)
        closedir(dir);
}

static bool open_folder(struct vrt_dataset *d, const char *split,
                        const struct vrt_dataset *classes_of, struct vrt_error *e)
{
    char some[200], doubt[VRT_DOUBT_TEXT];
    bool found, bare, ok;

    if (!find_split(d, split, e))
        return false;
    if (d->split != NULL) {
        ok = vrt_flat_open(d, classes_of, &found, e);
        return found ? ok : vrt_folder_open(d, classes_of, e);
    }
    ok = vrt_idx_open(d, split, classes_of, &found, e);
    if (!found)
        ok = vrt_cifar_open(d, split, classes_of, &found, e);
    if (!found)
        ok = vrt_tars_open(d, split, classes_of, &found, e);
    if (found)
        return ok;
    if (!vrt_folder_bare(d->root, &bare, e))
        return false;
    if (bare)
        return open_bare(d, classes_of, e);
    if (vrt_cifar_lacks(d->root, split, e))
        return false;
    list_some(d->root, some, sizeof some);
    vrt_doubt_root(d->root, split, doubt);
    return vrt_fail(e, VRT_BAD_INPUT,
                    "%s has neither a folder '%s' with a folder per class, nor tars, IDX or CIFAR "
                    "files for it; it has: %s%s",
                    d->root, split, some[0] != 0 ? some : "nothing", doubt);
}

static bool describe(struct vrt_dataset *d, struct vrt_error *e)
{
    char loose[64] = "", missing[64] = "";

    if (d->index.loose > 0)
        snprintf(loose, sizeof loose, ", %lld pictures beside class folders",
                 (long long)d->index.loose);
    if (d->missing > 0)
        snprintf(missing, sizeof missing, ", %lld labels without a picture", (long long)d->missing);
    if (asprintf(&d->describe, "%s %s%s%s: %lld pictures, %lld classes%s%s", d->source->kind,
                 d->root, d->split[0] != 0 ? ", " : "", d->split, (long long)d->index.nitems,
                 (long long)d->index.nclasses, loose, missing) >= 0)
        return true;
    d->describe = NULL;
    return vrt_fail(e, VRT_NO_MEMORY, "no memory to open %s", d->root);
}

static bool open_any(struct vrt_dataset *d, const char *split, const struct vrt_dataset *classes_of,
                     struct vrt_error *e)
{
    struct stat s;
    bool ok, found;

    if (split[0] == 0 || split[0] == '.' || strchr(split, '/') != NULL || strlen(split) > 255)
        return vrt_fail(e, VRT_USAGE,
                        "'%.60s' is not the name of a split; train, val and test are usual", split);
    if (stat(d->root, &s) != 0 && vrt_shards_pattern(d->root)) {
        ok = vrt_tars_open(d, split, classes_of, &found, e);
        return found ? ok && describe(d, e)
                     : vrt_fail(e, VRT_BAD_INPUT,
                                "there are no tars for the split '%s' beside %s; put them there, "
                                "or hold a part of the "
                                "training split out (--holdout 0.1)",
                                split, d->root);
    }
    if (stat(d->root, &s) != 0)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "cannot open the data %s: %s; give its folder or tar with --data", d->root,
                        strerror(errno));
    if (S_ISDIR(s.st_mode))
        ok = open_folder(d, split, classes_of, e);
    else
        ok = vrt_archive_open(d, split, classes_of, e);
    return ok && describe(d, e);
}

bool vrt_dataset_open(struct vrt_dataset **out, const char *root, const char *split,
                      const struct vrt_dataset *classes_of, struct vrt_error *e)
{
    struct vrt_dataset *d = calloc(1, sizeof *d);

    *out = NULL;
    if (d == NULL || (d->root = strdup(root)) == NULL) {
        free(d);
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to open %s", root);
    }
    d->asked = split;
    if (!open_any(d, split, classes_of, e)) {
        vrt_dataset_close(d);
        return false;
    }
    d->stands_in = d->found != NULL && vrt_split_is_stand_in(d->found, split);
    *out = d;
    return true;
}

void vrt_dataset_close(struct vrt_dataset *d)
{
    if (d == NULL)
        return;
    vrt_index_free(&d->index);
    for (int i = 0; i < d->nblobs; i++)
        vrt_blob_close(d->blobs[i]);
    free(d->blobs);
    free(d->small);
    free(d->root);
    free(d->split);
    free(d->describe);
    free(d);
}

int64_t vrt_dataset_count(const struct vrt_dataset *d)
{
    return d->index.nitems;
}

int64_t vrt_dataset_classes(const struct vrt_dataset *d)
{
    return d->index.nclasses;
}

const char *vrt_dataset_class_name(const struct vrt_dataset *d, int64_t c)
{
    return d->index.classes[c].name;
}

bool vrt_dataset_same(const struct vrt_dataset *a, const struct vrt_dataset *b)
{
    return strcmp(a->root, b->root) == 0 && strcmp(a->split, b->split) == 0;
}

const struct vrt_odd *vrt_dataset_odd(const struct vrt_dataset *d)
{
    return &d->index.odd;
}

const char *vrt_dataset_stand_in(const struct vrt_dataset *d)
{
    return d->stands_in ? d->split : NULL;
}

bool vrt_dataset_bare(const struct vrt_dataset *d)
{
    return d->bare;
}

bool vrt_dataset_alone(const struct vrt_dataset *d)
{
    size_t n = strlen(d->root), first;

    while (n > 0 && d->root[n - 1] == '/')
        n--;
    for (first = n; first > 0 && d->root[first - 1] != '/'; first--)
        ;
    return d->bare &&
           vrt_split_kind(d->root + first, strcspn(d->root + first, "./")) == VRT_SPLIT_OTHER;
}

int64_t vrt_dataset_label(const struct vrt_dataset *d, int64_t i)
{
    return d->index.items[i].label;
}

int64_t vrt_dataset_spread(const struct vrt_dataset *d, int64_t limit, int64_t i)
{
    return limit > 0 && limit < d->index.nitems ? i * d->index.nitems / limit : i;
}

const char *vrt_dataset_describe(const struct vrt_dataset *d)
{
    return d->describe;
}

/* A place where nothing is mounted any more is an empty folder. */
bool vrt_dataset_there(const struct vrt_dataset *d, struct vrt_error *e)
{
    const struct dirent *entry = NULL;
    char *where;
    DIR *dir;

    if (d->source != &vrt_folder_source)
        return true; /* its files are open */
    where = vrt_dataset_where(d);
    if (where == NULL || !vrt_folder_look(&dir, where, e)) {
        if (where == NULL)
            vrt_fail(e, VRT_NO_MEMORY, "no memory to look into %s", d->root);
        free(where);
        return false;
    }
    while (dir != NULL && (entry = readdir(dir)) != NULL && entry->d_name[0] == '.')
        continue;
    if (dir != NULL)
        closedir(dir);
    if (entry == NULL)
        vrt_fail(e, VRT_BAD_INPUT,
                 "the data have gone: there is nothing left in %s; bring it back (is it mounted?)",
                 where);
    free(where);
    return entry != NULL;
}

bool vrt_dataset_reads(const struct vrt_dataset *d, const struct vrt_file_id *file)
{
    char path[PATH_MAX], name[VRT_MAX_NAME + 256];
    struct vrt_file_id id;

    for (int i = 0; i < d->nsmall; i++)
        if (vrt_file_same(&d->small[i], file))
            return true;
    for (int i = 0; i < d->nblobs; i++)
        if (d->blobs[i]->device == file->device && d->blobs[i]->inode == file->inode)
            return true;
    for (int64_t i = 0; d->source == &vrt_folder_source && i < d->index.nitems; i++) {
        vrt_dataset_item_name(d, i, name, sizeof name);
        snprintf(path, sizeof path, "%s/%s", d->root, name);
        if (vrt_file_find(path, &id) && vrt_file_same(&id, file))
            return true;
    }
    return false;
}

void vrt_dataset_item_name(const struct vrt_dataset *d, int64_t i, char *text, int size)
{
    const struct vrt_item *item = &d->index.items[i];
    const char *name = (const char *)d->index.names.data + item->name;

    if (d->width > 0)
        snprintf(text, (size_t)size, "%s[%llu]", name,
                 (unsigned long long)(item->offset - VRT_IDX_START) / item->size);
    else
        snprintf(text, (size_t)size, "%s%s%s", d->split, d->split[0] != 0 ? "/" : "", name);
}

bool vrt_dataset_read(const struct vrt_dataset *d, int64_t i, int channels, struct vrt_image *out,
                      struct vrt_error *e)
{
    struct vrt_error inner;
    char name[VRT_MAX_NAME + 256];

    if (d->source->read(d, &d->index.items[i], channels, out, &inner))
        return true;
    vrt_dataset_item_name(d, i, name, sizeof name);
    return vrt_fail(e, inner.code, "%s: %.500s: %.400s", d->root, name, inner.text);
}
