/* Pictures in one folder, with a file of labels. Input: ROOT/SPLIT on disk, or its folder `images`
 * (Tiny-ImageNet), and the labels; output: its index, which is that of the same pictures in class
 * folders. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/data/source.h"

#define IMAGES "images"

struct flat {
    struct vrt_dataset *d;
    struct vrt_flat_labels labels;
    struct vrt_error *error;
};

/* How many folders there are in a folder, `images` aside. */
static bool count_folders(const char *where, int64_t *n, bool *images, struct vrt_error *e)
{
    DIR *dir;
    struct dirent *entry;

    *n = 0;
    *images = false;
    if (!vrt_folder_look(&dir, where, e))
        return false;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (!vrt_odd_hidden(entry->d_name) && vrt_entry_kind(dir, entry) == 'd') {
            bool special = strcmp(entry->d_name, IMAGES) == 0;
            *images |= special;
            *n += !special;
        }
    if (dir != NULL)
        closedir(dir);
    return true;
}

/* -- what labels that are numbers stand for -- */

static int by_name(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static bool add_class(struct vrt_flat_labels *l, const char *name, struct vrt_error *e)
{
    const char **more = realloc(l->classes, ((size_t)l->nclasses + 1) * sizeof *more);

    if (more != NULL)
        l->classes = more;
    if (more == NULL || (more[l->nclasses] = strdup(name)) == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for %lld classes", (long long)l->nclasses);
    l->nclasses++;
    return true;
}

static bool list_folders(struct vrt_flat_labels *l, const char *where, struct vrt_error *e)
{
    DIR *dir;
    struct dirent *entry;
    bool ok = vrt_folder_look(&dir, where, e);

    while (ok && dir != NULL && (entry = readdir(dir)) != NULL)
        if (!vrt_odd_hidden(entry->d_name) && vrt_entry_kind(dir, entry) == 'd')
            ok = add_class(l, entry->d_name, e);
    if (dir != NULL)
        closedir(dir);
    if (l->nclasses > 0)
        qsort(l->classes, (size_t)l->nclasses, sizeof *l->classes, by_name);
    return ok;
}

/* The class folders of the training split; where there are none, or its classes are known, numbers
 * stay numbers. */
static bool find_classes(struct vrt_flat_labels *l, const char *root,
                         const struct vrt_dataset *classes_of, struct vrt_error *e)
{
    const char *names[VRT_SPLIT_NAMES];
    char train[PATH_MAX];
    bool images, ok = true;
    int64_t folders;

    if (classes_of != NULL) {
        l->nclasses = classes_of->index.nclasses;
        return true;
    }
    vrt_split_synonyms("train", names);
    for (int i = 0; ok && l->classes == NULL && names[i] != NULL; i++)
        if (vrt_file_there(train, "%s/%s", root, names[i]))
            ok = count_folders(train, &folders, &images, e) &&
                 (folders == 0 || list_folders(l, train, e));
    if (!ok)
        return false;
    if (l->classes == NULL)
        l->nclasses = VRT_MAX_CLASSES;
    return true;
}

bool vrt_flat_labels_open(struct vrt_flat_labels *l, struct vrt_dataset *d, const char *root,
                          const struct vrt_dataset *classes_of, struct vrt_error *e)
{
    return vrt_labels_open(&l->table, root, d->split, d->asked, e) &&
           (l->table.path == NULL || vrt_dataset_note(d, l->table.path, e)) &&
           (!l->table.numbers || find_classes(l, root, classes_of, e));
}

const char *vrt_flat_label(const struct vrt_flat_labels *l, const char *where, const char *file,
                           struct vrt_error *e)
{
    const char *class = vrt_labels_of(&l->table, file);
    int64_t number;

    if (class == NULL)
        vrt_fail(e, VRT_BAD_INPUT, "%s/%s has no label in %s; add it, or remove the picture", where,
                 file, l->table.path);
    if (class == NULL || !l->table.numbers)
        return class;
    number = strlen(class) < 10 ? strtoll(class, NULL, 10) : INT64_MAX;
    if (number < l->nclasses)
        return l->classes != NULL ? l->classes[number] : class;
    vrt_fail(e, VRT_BAD_INPUT, "%s: the label %s of %s is not below the number of classes, %lld",
             l->table.path, class, file, (long long)l->nclasses);
    return NULL;
}

bool vrt_flat_numbers(const struct vrt_flat_labels *l)
{
    return l->table.numbers && l->classes == NULL;
}

void vrt_flat_labels_free(struct vrt_flat_labels *l)
{
    for (int64_t i = 0; l->classes != NULL && i < l->nclasses; i++)
        free((char *)l->classes[i]);
    free(l->classes);
    vrt_labels_free(&l->table);
}

/* -- the folder -- */

static bool add_file(struct flat *f, DIR *dir, const char *where, const char *file)
{
    const char *class;
    int32_t id;

    if (!vrt_odd_is_picture(dirfd(dir), file)) {
        vrt_odd_add(&f->d->index.odd, file);
        return true;
    }
    class = vrt_flat_label(&f->labels, where, file, f->error);
    return class != NULL && vrt_index_class(&f->d->index, class, strlen(class), &id, f->error) &&
           vrt_index_add(&f->d->index, id, file, 0, 0, f->error);
}

static bool add_files(struct flat *f, const char *where)
{
    DIR *dir = opendir(where);
    struct dirent *entry;
    bool ok = dir != NULL || vrt_fail(f->error, VRT_BAD_INPUT, "cannot read the folder %s: %s",
                                      where, strerror(errno));

    while (ok && (errno = 0, entry = readdir(dir)) != NULL)
        ok = vrt_odd_hidden(entry->d_name) || vrt_entry_kind(dir, entry) == 'd' ||
             add_file(f, dir, where, entry->d_name);
    if (ok && errno != 0)
        ok = vrt_fail(f->error, VRT_BAD_INPUT, "cannot read the folder %s: %s", where,
                      strerror(errno));
    if (dir != NULL)
        closedir(dir);
    return ok;
}

/* The pictures are in SPLIT/images: that is what names begin with, then. */
static bool enter_images(struct flat *f)
{
    char *split;

    if (asprintf(&split, "%s/%s", f->d->split, IMAGES) < 0)
        return vrt_fail(f->error, VRT_NO_MEMORY, "no memory to read %s", f->d->root);
    free(f->d->split);
    f->d->split = split;
    return true;
}

static bool read_flat(struct flat *f, bool images, const struct vrt_dataset *classes_of)
{
    const struct vrt_index *classes = classes_of != NULL ? &classes_of->index : NULL;
    char *where;
    bool ok;

    if (images && !enter_images(f))
        return false;
    where = vrt_dataset_where(f->d);
    if (where == NULL)
        return vrt_fail(f->error, VRT_NO_MEMORY, "no memory to read %s", f->d->root);
    ok = add_files(f, where);
    if (ok && f->d->index.nitems == 0)
        ok = vrt_fail(f->error, VRT_BAD_INPUT, "%s has no pictures", where);
    ok = ok && (vrt_flat_numbers(&f->labels) ? vrt_index_finish_numbers : vrt_index_finish)(
                   &f->d->index, classes, where, f->error);
    f->d->missing = f->labels.table.count - f->d->index.nitems;
    free(where);
    return ok;
}

bool vrt_flat_open(struct vrt_dataset *d, const struct vrt_dataset *classes_of, bool *found,
                   struct vrt_error *e)
{
    struct flat f = {.d = d, .error = e};
    char *where = vrt_dataset_where(d);
    int64_t folders = 0;
    bool images = false, ok = where != NULL;

    if (!ok)
        vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", d->root);
    ok = ok && count_folders(where, &folders, &images, e);
    *found = !ok || folders == 0;
    free(where);
    if (ok && *found) {
        ok = vrt_flat_labels_open(&f.labels, d, d->root, classes_of, e);
        *found = !ok || f.labels.table.path != NULL;
    }
    if (ok && *found) {
        d->source = &vrt_folder_source;
        ok = read_flat(&f, images, classes_of);
    }
    vrt_flat_labels_free(&f.labels);
    return ok;
}
