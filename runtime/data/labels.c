/* Files of labels, line by line. Input: a folder; output: file -> class.
 *
 *   SPLIT.txt                FILE LABEL: a number among the sorted classes (caffe), or the class
 *   LOC_SPLIT_solution.csv   FILE,CLASS X Y W H..: Kaggle; the first class counts, they are all
 *                            the same
 *   ILSVRC2012_validation_ground_truth.txt
 *                            ID, an ILSVRC2012_ID, of the picture whose number is the line's
 *   SPLIT_annotations.txt    FILE CLASS X Y W H: Tiny-ImageNet */
#include "runtime/data/labels.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/data/blob.h"
#include "runtime/data/split.h"
#include "runtime/data/tar.h"

#define MAX_TEXT (1 << 30)
#define TRUTH    "ILSVRC2012_validation_ground_truth.txt"

/* -- the classes of ImageNet-1k -- */

static bool all_digits(const char *s)
{
    return *s != 0 && s[strspn(s, "0123456789")] == 0;
}

static const char *const ids[VRT_IMAGENET_CLASSES] = {
#define ILSVRC(wnid) #wnid,
#include "runtime/data/ilsvrc.def"
#undef ILSVRC
};
#define IDS VRT_IMAGENET_CLASSES

static const char *imagenet_id(const char *text)
{
    long long id = all_digits(text) ? strtoll(text, NULL, 10) : 0;

    return id >= 1 && id <= IDS ? ids[id - 1] : NULL;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

void vrt_imagenet_classes(const char *names[VRT_IMAGENET_CLASSES])
{
    memcpy(names, ids, sizeof ids);
    qsort(names, IDS, sizeof *names, by_name);
}

/* -- a line -- */

/* Cut off folders and the ending, in place. */
static char *stem_of(char *file)
{
    char *slash = strrchr(file, '/'), *dot;

    file = slash != NULL ? slash + 1 : file;
    dot = strrchr(file, '.');
    if (dot != NULL && dot != file)
        *dot = 0;
    return file;
}

static bool add(struct vrt_labels *l, const char *file, const char *class, struct vrt_error *e)
{
    if (l->count == l->room) {
        int64_t room = l->room < 1024 ? 1024 : 2 * l->room;
        struct vrt_label *more = realloc(l->items, (size_t)room * sizeof *more);
        if (more == NULL)
            return vrt_fail(e, VRT_NO_MEMORY, "no memory for the labels in %s", l->path);
        l->items = more;
        l->room = room;
    }
    l->items[l->count++] = (struct vrt_label){file, class};
    return true;
}

/* A line without its end; number: from 1 on. */
static bool take_line(struct vrt_labels *l, char *line, int64_t number, struct vrt_error *e)
{
    static const char separators[] = " \t,";
    char *rest, *file = strtok_r(line, separators, &rest), *class;

    if (file == NULL || (number == 1 && strcmp(file, "ImageId") == 0))
        return true;
    if (l->in_order) {
        const char *name = imagenet_id(file);
        if (l->count != number - 1)
            return vrt_fail(e, VRT_BAD_INPUT,
                            "%s:%lld: a line before it is empty, so pictures and labels would not "
                            "meet; get it again",
                            l->path, (long long)number);
        if (name == NULL)
            return vrt_fail(e, VRT_BAD_INPUT, "%s:%lld: '%.40s' is not an ILSVRC2012_ID, 1 to %d",
                            l->path, (long long)number, file, IDS);
        return add(l, NULL, name, e);
    }
    class = strtok_r(NULL, separators, &rest);
    if (class == NULL)
        return vrt_fail(e, VRT_BAD_INPUT, "%s:%lld: no label after '%.60s'", l->path,
                        (long long)number, file);
    l->numbers = (l->count == 0 || l->numbers) && all_digits(class);
    return add(l, stem_of(file), class, e);
}

static int by_file(const void *left, const void *right)
{
    return strcmp(((const struct vrt_label *)left)->file, ((const struct vrt_label *)right)->file);
}

static bool take_lines(struct vrt_labels *l, struct vrt_error *e)
{
    char *line = (char *)l->text.data, *end;

    if (memchr(line, 0, l->text.size) != NULL)
        return vrt_fail(e, VRT_BAD_INPUT, "%s has bytes of 0: it is not a text", l->path);
    for (int64_t number = 1; *line != 0; number++, line = end) {
        end = line + strcspn(line, "\n");
        end += *end == '\n' ? (*end = 0, 1) : 0;
        line[strcspn(line, "\r")] = 0;
        if (!take_line(l, line, number, e))
            return false;
    }
    if (l->count == 0)
        return vrt_fail(e, VRT_BAD_INPUT, "%s has no labels", l->path);
    if (l->in_order)
        return true;
    qsort(l->items, (size_t)l->count, sizeof *l->items, by_file);
    for (int64_t i = 1; i < l->count; i++)
        if (by_file(&l->items[i - 1], &l->items[i]) == 0 &&
            strcmp(l->items[i - 1].class, l->items[i].class) != 0)
            return vrt_fail(e, VRT_BAD_INPUT, "%s gives '%s' two labels, %s and %s", l->path,
                            l->items[i].file, l->items[i - 1].class, l->items[i].class);
    return true;
}

/* -- finding the file -- */

static bool of_validation(const char *split)
{
    return strncmp(split, "val", 3) == 0 || vrt_split_kind(split, strlen(split)) == VRT_SPLIT_VAL;
}

static bool set_path(struct vrt_labels *l, const char *path, struct vrt_error *e)
{
    l->path = strdup(path);
    return l->path != NULL || vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", path);
}

/* Is there a file PLACE/BEFORE NAME AFTER below the root? The last one has no name of a split in
 * it, and is for validation only. */
static bool find(const char *root, const char *split, const char *name, char path[PATH_MAX],
                 bool *in_order)
{
    static const char *const before[] = {"", "", "LOC_", TRUTH};
    static const char *const after[] = {"_annotations.txt", ".txt", "_solution.csv", ""};
    const char *const places[] = {split, ".", "ILSVRC2012_devkit_t12/data", "devkit/data", "data"};
    int files = of_validation(split) ? 4 : 3;

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        for (int j = 0; j < files; j++) {
            *in_order = j == 3;
            if (vrt_file_there(path, "%s/%s/%s%s%s", root, places[i], before[j], j < 3 ? name : "",
                               after[j]))
                return true;
        }
    return false;
}

/* The development kit as it is delivered. */
static bool take_truth(void *data, const struct vrt_member *m, struct vrt_error *e)
{
    struct vrt_labels *l = data;
    const char *slash = strrchr(m->name, '/');
    struct vrt_buffer room = {0};
    const uint8_t *bytes;
    bool ok;

    if (m->kind != 'f' || m->size == 0 || m->size > MAX_TEXT || slash == NULL ||
        strcmp(slash + 1, TRUTH) != 0)
        return true;
    l->text.size = 0;
    ok = vrt_blob_read(m->blob, l->path, m->offset, m->size, &room, &bytes, e) &&
         vrt_buffer_append(&l->text, bytes, m->size, e) && vrt_buffer_append(&l->text, "", 1, e);
    vrt_buffer_free(&room);
    return ok;
}

static bool open_kit(struct vrt_labels *l, const char *root, struct vrt_error *e)
{
    struct vrt_blob *blob = NULL;
    char path[PATH_MAX];
    bool ok;

    if (!vrt_file_there(path, "%s/ILSVRC2012_devkit_t12.tar.gz", root))
        return true;
    if (!set_path(l, path, e))
        return false;
    l->in_order = true;
    ok = vrt_blob_open(&blob, l->path, NULL, e) &&
         vrt_tar_walk(l->path, blob, 0, blob->size, take_truth, l, e);
    vrt_blob_close(blob);
    if (ok && l->text.size == 0)
        ok = vrt_fail(e, VRT_BAD_INPUT, "%s has no " TRUTH "; get it again", l->path);
    l->text.size -= ok; /* the zero that ends it */
    return ok && take_lines(l, e);
}

bool vrt_labels_open(struct vrt_labels *l, const char *root, const char *split, const char *asked,
                     struct vrt_error *e)
{
    const char *const wanted[] = {split, asked};
    const char *names[VRT_SPLIT_NAMES];
    char path[PATH_MAX];
    bool found = false;

    for (int i = 0; i < 2; i++) {
        vrt_split_synonyms(wanted[i], names);
        for (int j = 0; !found && names[j] != NULL; j++)
            found = find(root, split, names[j], path, &l->in_order);
    }
    if (!found)
        return !of_validation(split) || open_kit(l, root, e);
    return set_path(l, path, e) && vrt_file_read_text(l->path, MAX_TEXT, &l->text, e) &&
           take_lines(l, e);
}

void vrt_labels_files(const char *split, const char *asked, char text[VRT_LABEL_FILES])
{
    const char *names[VRT_SPLIT_NAMES];
    const char *other = strcmp(asked, split) != 0              ? asked
                        : vrt_split_synonyms(split, names) > 1 ? names[1]
                                                               : NULL;
    int n = snprintf(text, VRT_LABEL_FILES,
                     "%s.txt (FILE LABEL), LOC_%s_solution.csv%s or %s_annotations.txt", split,
                     split, of_validation(split) ? ", " TRUTH : "", split);

    if (other != NULL)
        snprintf(text + n, VRT_LABEL_FILES - (size_t)n, "; `%s` may stand for `%s` in these names",
                 other, split);
}

/* The number that a name ends in: 17 of ILSVRC2012_val_00000017. */
static int64_t number_of(const char *stem)
{
    size_t n = strlen(stem), first = n;

    while (first > 0 && stem[first - 1] >= '0' && stem[first - 1] <= '9')
        first--;
    return n - first > 0 && n - first < 18 ? strtoll(stem + first, NULL, 10) : 0;
}

const char *vrt_labels_of(const struct vrt_labels *l, const char *file)
{
    char stem[1024];
    struct vrt_label key = {stem, NULL}, *found;
    int n = snprintf(stem, sizeof stem, "%s", file);

    if (n < 0 || (size_t)n >= sizeof stem)
        return NULL;
    key.file = stem_of(stem);
    if (l->in_order) {
        int64_t number = number_of(key.file);
        return number >= 1 && number <= l->count ? l->items[number - 1].class : NULL;
    }
    found = bsearch(&key, l->items, (size_t)l->count, sizeof *l->items, by_file);
    return found != NULL ? found->class : NULL;
}

void vrt_labels_free(struct vrt_labels *l)
{
    free(l->items);
    free(l->path);
    vrt_buffer_free(&l->text);
    *l = (struct vrt_labels){0};
}
