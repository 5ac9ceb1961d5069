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
    const char *folder;       /* that the archive unpacks to */
    const char *train, *test; /* %d: files 1 to 5 */
    const char *names;
    int labels, classes; /* bytes before the pixels, the last of them counts */
} versions[] = {
    {"cifar-10-batches-bin", "data_batch_%d.bin", "test_batch.bin", "batches.meta.txt", 1, 10},
    {"cifar-100-binary", "train.bin", "test.bin", "fine_label_names.txt", 2, 100},
};

struct cifar {
    struct vrt_dataset *d;
    const struct version *version;
    char *folder;
    struct vrt_buffer text, byte;
    const char *names[100];
    struct vrt_error *error;
};

/* The n-th file of a split, from 1 on; NULL when there is none. */
static char *file_of(const char *folder, const char *pattern, int n)
{
    char *path;
    const char *number = strstr(pattern, "%d");
    int before = (int)(number != NULL ? (size_t)(number - pattern) : strlen(pattern));

    if (number == NULL ? n > 1 || asprintf(&path, "%s/%s", folder, pattern) < 0
                       : asprintf(&path, "%s/%.*s%d%s", folder, before, pattern, n, number + 2) < 0)
        return NULL;
    if (access(path, F_OK) == 0)
        return path;
    free(path);
    return NULL;
}

static const char *pattern_of(const struct version *v, const char *split)
{
    const char *names[VRT_SPLIT_NAMES];

    vrt_split_names(split, names);
    for (int i = 0; i < VRT_SPLIT_NAMES && names[i] != NULL; i++)
        if (strcmp(names[i], "test") == 0)
            return v->test;
    return strcmp(split, "train") == 0 ? v->train : NULL;
}

/* The folder, or the one that the archive unpacks to inside it. */
static char *find_version(const char *root, const char *split, const struct version **version)
{
    for (size_t i = 0; i < 2 * (sizeof versions / sizeof versions[0]); i++) {
        const char *pattern = pattern_of(&versions[i / 2], split);
        char *folder, *file;
        if (pattern == NULL || asprintf(&folder, "%s%s%s", root, i % 2 ? "/" : "",
                                        i % 2 ? versions[i / 2].folder : "") < 0)
            return NULL;
        file = file_of(folder, pattern, 1);
        if (file != NULL) {
            free(file);
            *version = &versions[i / 2];
            return folder;
        }
        free(folder);
    }
    return NULL;
}

/* Lines that are not empty, in place. */
static bool read_names(struct cifar *c)
{
    char *path, *rest, *line;
    int n = 0;
    bool ok;

    if (asprintf(&path, "%s/%s", c->folder, c->version->names) < 0)
        return vrt_fail(c->error, VRT_BAD_INPUT, "no memory to read %s", c->folder);
    if (access(path, F_OK) != 0) {
        free(path);
        return true;
    }
    ok = vrt_file_read_text(path, MAX_NAMES, &c->text, c->error) &&
         vrt_dataset_note(c->d, path, c->error);
    for (line = ok ? strtok_r((char *)c->text.data, "\r\n", &rest) : NULL;
         line != NULL && n < c->version->classes; line = strtok_r(NULL, "\r\n", &rest))
        c->names[n++] = line;
    if (ok && n < c->version->classes)
        ok = vrt_fail(c->error, VRT_BAD_INPUT, "%s has %d names of classes, not %d", path, n,
                      c->version->classes);
    free(path);
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
    const uint8_t *label;
    uint64_t labels = (uint64_t)c->version->labels, record = labels + 3 * PLANE;

    if (!vrt_dataset_blob(c->d, file, NULL, c->error))
        return false;
    b = c->d->blobs[c->d->nblobs - 1];
    if (b->size == 0 || b->size % record != 0)
        return vrt_fail(c->error, VRT_BAD_INPUT,
                        "%s has %llu bytes, not a number of pictures of %llu; get it again", file,
                        (unsigned long long)b->size, (unsigned long long)record);
    for (uint64_t at = labels; at < b->size; at += record)
        if (!vrt_blob_read(b, file, at - 1, 1, &c->byte, &label, c->error) ||
            !add_record(c, file, (int64_t)(at / record), *label, at))
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

static bool read_files(struct cifar *c, const char *split, const struct vrt_dataset *classes_of)
{
    const char *pattern = pattern_of(c->version, split);
    char *file;
    bool ok = read_names(c);

    for (int n = 1; ok && (file = file_of(c->folder, pattern, n)) != NULL; n++) {
        ok = add_file(c, file);
        free(file);
    }
    return ok && vrt_index_finish(&c->d->index, classes_of != NULL ? &classes_of->index : NULL,
                                  c->folder, c->error);
}

bool vrt_cifar_open(struct vrt_dataset *d, const char *split, const struct vrt_dataset *classes_of,
                    bool *found, struct vrt_error *e)
{
    struct cifar c = {.d = d, .error = e};
    bool ok;

    c.folder = find_version(d->root, split, &c.version);
    *found = c.folder != NULL;
    if (!*found)
        return false;
    d->source = &cifar;
    d->split = strdup(split);
    ok = d->split != NULL ? read_files(&c, split, classes_of)
                          : vrt_fail(e, VRT_BAD_INPUT, "no memory to read %s", d->root);
    vrt_buffer_free(&c.text);
    vrt_buffer_free(&c.byte);
    free(c.folder);
    return ok;
}
