/* The binary version of CIFAR-10 and CIFAR-100 (Krizhevsky 2009). Input: its files in a folder;
 * output: an index into them.
 *
 * A record is a label byte (CIFAR-100: the coarse one before it), then 32 x 32 bytes each of red,
 * green and blue. Names of classes are the lines of a text beside; without it they are the labels'
 * numbers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/data/source.h"

#define SIDE      32
#define PLANE     (SIDE * SIDE)
#define MAX_NAMES (1 << 16)

static const struct version {
    const char *folder; /* that the archive unpacks to */
    const char *train, *test;
    int files; /* of the training split: 1, or TRAIN_1.bin .. */
    const char *names;
    int labels, classes; /* bytes before the pixels, the last of them counts */
} versions[] = {
    {"cifar-10-batches-bin", "data_batch", "test_batch", 5, "batches.meta.txt", 1, 10},
    {"cifar-100-binary", "train", "test", 1, "fine_label_names.txt", 2, 100},
};

struct cifar {
    struct vrt_dataset *d;
    const struct version *version;
    char *folder;
    bool test; /* the split that is wanted: of the two that there are */
    struct vrt_buffer text;
    const char *names[100];
    struct vrt_error *error;
};

static int count_files(const struct version *v, bool test)
{
    return test ? 1 : v->files;
}

/* The n-th file of the split, from 1 on; *there: it is. Owned by the caller; NULL: no memory. */
static char *file_of(const struct cifar *c, const char *folder, const struct version *v, int n,
                     bool *there)
{
    const char *name = c->test ? v->test : v->train;
    char *path;
    int size = count_files(v, c->test) > 1 ? asprintf(&path, "%s/%s_%d.bin", folder, name, n)
                                           : asprintf(&path, "%s/%s.bin", folder, name);

    if (size < 0) {
        vrt_fail(c->error, VRT_NO_MEMORY, "no memory to read %s", folder);
        return NULL;
    }
    *there = access(path, F_OK) == 0;
    return path;
}

/* Has the folder any of the files of a version? */
static bool look(const struct cifar *c, const char *folder, const struct version *v, bool *found)
{
    *found = false;
    for (int n = 1; !*found && n <= count_files(v, c->test); n++) {
        char *path = file_of(c, folder, v, n, found);
        if (path == NULL)
            return false;
        free(path);
    }
    return true;
}

/* The folder, or the one that the archive unpacks to inside it; c->folder stays NULL where there is
 * none. */
static bool find_version(struct cifar *c, const char *root)
{
    for (size_t i = 0; i < 2 * (sizeof versions / sizeof versions[0]); i++) {
        const struct version *v = &versions[i / 2];
        char *folder;
        bool found, ok;
        if (asprintf(&folder, "%s%s%s", root, i % 2 ? "/" : "", i % 2 ? v->folder : "") < 0)
            return vrt_fail(c->error, VRT_NO_MEMORY, "no memory to read %s", root);
        ok = look(c, folder, v, &found);
        if (ok && found) {
            c->folder = folder;
            c->version = v;
            return true;
        }
        free(folder);
        if (!ok)
            return false;
    }
    return true;
}

/* Lines that are not empty, in place. */
static bool read_names(struct cifar *c)
{
    char path[PATH_MAX], *rest, *line;
    int n = 0;
    bool ok;

    if (!vrt_file_there(path, "%s/%s", c->folder, c->version->names))
        return true;
    ok = vrt_file_read_text(path, MAX_NAMES, &c->text, c->error) &&
         vrt_dataset_note(c->d, path, c->error);
    for (line = ok ? strtok_r((char *)c->text.data, "\r\n", &rest) : NULL;
         line != NULL && n < c->version->classes; line = strtok_r(NULL, "\r\n", &rest))
        c->names[n++] = line;
    if (ok && n < c->version->classes)
        ok = vrt_fail(c->error, VRT_BAD_INPUT, "%s has %d names of classes, not %d", path, n,
                      c->version->classes);
    return ok;
}

static bool add_record(struct cifar *c, const char *file, int64_t number, int label,
                       uint64_t offset)
{
    char class[24], name[VRT_MAX_NAME];
    struct vrt_index *x = &c->d->index;
    int32_t id;

    if (label >= c->version->classes)
        return vrt_fail(c->error, VRT_BAD_INPUT,
                        "%s: label %d of picture %lld is not below %d; get the file again", file,
                        label, (long long)number, c->version->classes);
    snprintf(class, sizeof class, "%02d", label);
    snprintf(name, sizeof name, "%.200s[%05lld]", strrchr(file, '/') + 1, (long long)number);
    if (!vrt_index_class(x, c->names[0] ? c->names[label] : class,
                         strlen(c->names[0] ? c->names[label] : class), &id, c->error) ||
        !vrt_index_add(x, id, name, offset, 3 * PLANE, c->error))
        return false;
    x->items[x->nitems - 1].file = (uint16_t)(c->d->nblobs - 1);
    return true;
}

static bool add_file(struct cifar *c, const char *file)
{
    const struct vrt_blob *b;
    uint8_t label;
    uint64_t labels = (uint64_t)c->version->labels, record = labels + 3 * PLANE;

    if (!vrt_dataset_blob(c->d, file, NULL, c->error))
        return false;
    b = c->d->blobs[c->d->nblobs - 1];
    if (b->size == 0 || b->size % record != 0)
        return vrt_fail(c->error, VRT_BAD_INPUT,
                        "%s has %llu bytes, not a number of pictures of %llu; get it again", file,
                        (unsigned long long)b->size, (unsigned long long)record);
    for (uint64_t at = labels; at < b->size; at += record)
        if (!vrt_blob_copy(b, file, at - 1, 1, &label, c->error) ||
            !add_record(c, file, (int64_t)(at / record), label, at))
            return false;
    return true;
}

static bool cifar_read(const struct vrt_dataset *d, const struct vrt_item *item, int channels,
                       struct vrt_image *out, struct vrt_error *e)
{
    const uint8_t *planes;

    if (!vrt_blob_read(d->blobs[item->file], d->root, item->offset, item->size, &out->file, &planes,
                       e) ||
        !vrt_image_resize(out, SIDE, SIDE, 3, e))
        return false;
    for (size_t i = 0; i < PLANE; i++)
        for (size_t c = 0; c < 3; c++)
            out->pixels.data[3 * i + c] = planes[c * PLANE + i];
    vrt_image_reduce(out, channels);
    return true;
}

static const struct vrt_source cifar = {"CIFAR files", cifar_read};

/* All files that the version has, and what is numbered on behind them. */
static bool read_files(struct cifar *c)
{
    int files = count_files(c->version, c->test);
    bool ok = read_names(c), there = true;

    for (int n = 1; ok && there && (n <= files || files > 1); n++) {
        char *file = file_of(c, c->folder, c->version, n, &there);
        ok = file != NULL;
        if (ok && there)
            ok = add_file(c, file);
        else if (ok && n <= files)
            ok = vrt_fail(c->error, VRT_BAD_INPUT,
                          "%s is missing, but others of its %d files are there; get it again", file,
                          files);
        free(file);
    }
    return ok;
}

bool vrt_cifar_open(struct vrt_dataset *d, const char *split, const struct vrt_dataset *classes_of,
                    bool *found, struct vrt_error *e)
{
    enum vrt_split_kind kind = vrt_split_kind(split, strlen(split));
    struct cifar c = {.d = d, .test = kind != VRT_SPLIT_TRAIN, .error = e};
    bool ok = kind == VRT_SPLIT_OTHER || find_version(&c, d->root);

    *found = !ok || c.folder != NULL;
    if (ok && *found) {
        d->source = &cifar;
        d->found = c.test ? "test" : "train";
        d->split = strdup(d->found);
        ok = d->split != NULL ? read_files(&c)
                              : vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", d->root);
        ok = ok && vrt_index_finish(&d->index, classes_of != NULL ? &classes_of->index : NULL,
                                    c.folder, e);
    }
    vrt_buffer_free(&c.text);
    free(c.folder);
    return ok;
}

bool vrt_cifar_lacks(const char *root, const char *split, struct vrt_error *e)
{
    enum vrt_split_kind kind = vrt_split_kind(split, strlen(split));
    struct cifar other = {.test = kind == VRT_SPLIT_TRAIN, .error = e};
    bool ok = kind == VRT_SPLIT_OTHER || find_version(&other, root), there;
    char *file;

    if (!ok || other.folder == NULL)
        return !ok;
    other.test = !other.test;
    file = file_of(&other, other.folder, other.version, 1, &there);
    if (file != NULL)
        vrt_fail(e, VRT_BAD_INPUT, "%s is missing%s; get it again%s", file,
                 count_files(other.version, other.test) > 1 ? ", and so are those behind it" : "",
                 other.test ? ", or hold a part of the training split out (--holdout 0.1)" : "");
    free(file);
    free(other.folder);
    return true;
}
