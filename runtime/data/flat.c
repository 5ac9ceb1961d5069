/* Pictures in one folder, with a file of labels. Input: ROOT/SPLIT on disk, or its folder `images` (Tiny-ImageNet), and the labels; output:
 * its index, which is that of the same pictures in class folders. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/labels.h"
#include "runtime/data/source.h"

#define IMAGES "images"

struct flat {
    struct vrt_dataset *d;
    struct vrt_labels labels;
    const char **classes;           /* by number; NULL: labels are names */
    int64_t nclasses;
    struct vrt_error *error;
};

/* How many folders there are in a folder, `images` aside. */
static int64_t count_folders(const char *where, bool *images)
{
    DIR *dir = opendir(where);
    struct dirent *entry;
    int64_t n = 0;

    *images = false;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.' && vrt_entry_kind(dir, entry) == 'd') {
            bool special = strcmp(entry->d_name, IMAGES) == 0;
            *images |= special;
            n += !special;
        }
    if (dir != NULL)
        closedir(dir);
    return n;
}

/* -- classes for labels that are numbers: those of the training split, else its folders, else ImageNet-1k's -- */

static int by_name(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static bool add_class(struct flat *f, const char *name)
{
    const char **more = realloc(f->classes, ((size_t)f->nclasses + 1) * sizeof *more);

    if (more != NULL)
        f->classes = more;
    if (more == NULL || (more[f->nclasses] = strdup(name)) == NULL)
        return vrt_fail(f->error, VRT_BAD_INPUT, "no memory for %lld classes", (long long)f->nclasses);
    f->nclasses++;
    return true;
}

static bool list_folders(struct flat *f, const char *where)
{
    DIR *dir = opendir(where);
    struct dirent *entry;
    bool ok = true;

    while (ok && dir != NULL && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.' && vrt_entry_kind(dir, entry) == 'd')
            ok = add_class(f, entry->d_name);
    if (dir != NULL)
        closedir(dir);
    if (f->nclasses > 0)
        qsort(f->classes, (size_t)f->nclasses, sizeof *f->classes, by_name);
    return ok;
}

static bool find_classes(struct flat *f, const struct vrt_dataset *classes_of)
{
    const char *imagenet[VRT_IMAGENET_CLASSES];
    char *train;
    bool ok = true;

    for (int64_t i = 0; ok && classes_of != NULL && i < classes_of->index.nclasses; i++)
        ok = add_class(f, classes_of->index.classes[i].name);
    if (!ok || classes_of != NULL)
        return ok;
    if (asprintf(&train, "%s/train", f->d->root) < 0)
        return vrt_fail(f->error, VRT_BAD_INPUT, "no memory to read %s", f->d->root);
    ok = list_folders(f, train);
    free(train);
    vrt_imagenet_classes(imagenet);
    for (int64_t i = 0, none = f->nclasses == 0; ok && none && i < VRT_IMAGENET_CLASSES; i++)
        ok = add_class(f, imagenet[i]);
    return ok;
}

static const char *class_of(struct flat *f, const char *file)
{
    const char *class = vrt_labels_of(&f->labels, file);
    int64_t number;

    if (class == NULL)
        vrt_fail(f->error, VRT_BAD_INPUT, "%s/%s/%s has no label in %s; add it, or remove the picture", f->d->root, f->d->split, file,
                 f->labels.path);
    if (class == NULL || f->classes == NULL)
        return class;
    number = strlen(class) < 10 ? strtoll(class, NULL, 10) : INT64_MAX;
    if (number < f->nclasses)
        return f->classes[number];
    vrt_fail(f->error, VRT_BAD_INPUT, "%s: the label %s of %s is not below the number of classes, %lld", f->labels.path, class, file,
             (long long)f->nclasses);
    return NULL;
}

static bool add_file(struct flat *f, const char *file)
{
    const char *class;
    int32_t id;

    if (!vrt_index_takes(file)) {
        f->d->index.ignored += file[0] != '.';
        return true;
    }
    class = class_of(f, file);
    return class != NULL && vrt_index_class(&f->d->index, class, strlen(class), &id, f->error) &&
           vrt_index_add(&f->d->index, id, file, 0, 0, f->error);
}

static bool add_files(struct flat *f, const char *where)
{
    DIR *dir = opendir(where);
    struct dirent *entry;
    bool ok = dir != NULL || vrt_fail(f->error, VRT_BAD_INPUT, "cannot read the folder %s: %s", where, strerror(errno));

    while (ok && (errno = 0, entry = readdir(dir)) != NULL)
        ok = vrt_entry_kind(dir, entry) == 'd' || add_file(f, entry->d_name);
    if (ok && errno != 0)
        ok = vrt_fail(f->error, VRT_BAD_INPUT, "cannot read the folder %s: %s", where, strerror(errno));
    if (dir != NULL)
        closedir(dir);
    return ok;
}

/* The pictures are in SPLIT/images: that is what names begin with, then. */
static bool enter_images(struct flat *f)
{
    char *split;

    if (asprintf(&split, "%s/%s", f->d->split, IMAGES) < 0)
        return vrt_fail(f->error, VRT_BAD_INPUT, "no memory to read %s", f->d->root);
    free(f->d->split);
    f->d->split = split;
    return true;
}

static bool read_flat(struct flat *f, bool images, const struct vrt_dataset *classes_of)
{
    char *where;
    bool ok;

    if ((images && !enter_images(f)) || (f->labels.numbers && !find_classes(f, classes_of)))
        return false;
    where = vrt_dataset_where(f->d);
    if (where == NULL)
        return vrt_fail(f->error, VRT_BAD_INPUT, "no memory to read %s", f->d->root);
    ok = add_files(f, where);
    if (ok && f->d->index.nitems == 0)
        ok = vrt_fail(f->error, VRT_BAD_INPUT, "%s has no pictures", where);
    ok = ok && vrt_index_finish(&f->d->index, classes_of != NULL ? &classes_of->index : NULL, where, f->error);
    f->d->missing = f->labels.count - f->d->index.nitems;
    free(where);
    return ok;
}

bool vrt_flat_open(struct vrt_dataset *d, const struct vrt_dataset *classes_of, bool *found, struct vrt_error *e)
{
    struct flat f = {.d = d, .error = e};
    char *where = vrt_dataset_where(d);
    bool images = false, ok = true;

    *found = where != NULL && count_folders(where, &images) == 0;
    free(where);
    if (*found) {
        ok = vrt_labels_open(&f.labels, d->root, d->split, e);
        *found = !ok || f.labels.path != NULL;
    }
    if (ok && *found) {
        d->source = &vrt_folder_source;
        ok = read_flat(&f, images, classes_of);
    }
    for (int64_t i = 0; f.classes != NULL && i < f.nclasses; i++)
        free((char *)f.classes[i]);
    free(f.classes);
    vrt_labels_free(&f.labels);
    return ok;
}
