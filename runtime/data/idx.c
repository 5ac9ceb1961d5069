/* IDX files (MNIST's format), plain or gzip. Input: PREFIX-images-idx3-ubyte and
 * PREFIX-labels-idx1-ubyte in a folder; output: an index into the pixels, which are held in memory
 * when they had to be inflated.
 *
 * Format: big-endian words magic (0x803 for bytes in three dimensions, 0x801 in one), then the
 * dimensions, then bytes. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/data/source.h"

/* Is there a file PREFIX-images-idx3-ubyte[.gz], in one of MNIST's spellings? path: where. */
static bool find_file(char path[PATH_MAX], const char *root, const char *prefix, const char *what,
                      int dimensions)
{
    static const char *const endings[] = {"", ".gz"};

    for (int i = 0; i < 4; i++)
        if (vrt_file_there(path, "%s/%s-%s%cidx%d-ubyte%s", root, prefix, what, i & 2 ? '.' : '-',
                           dimensions, endings[i & 1]))
            return true;
    return false;
}

/* How the names of the split's files begin: *found, but MNIST calls its test set t10k; NULL when
 * there are none. */
static const char *find_prefix(const char *root, const char *split, const char **found,
                               char images[PATH_MAX])
{
    const char *names[VRT_SPLIT_NAMES];

    vrt_split_names(split, names);
    for (int i = 0; names[i] != NULL; i++) {
        const char *prefixes[] = {names[i], strcmp(names[i], "test") == 0 ? "t10k" : names[i]};
        for (int j = 0; j < 2; j++)
            if (find_file(images, root, prefixes[j], "images", 3)) {
                *found = names[i];
                return prefixes[j];
            }
    }
    return NULL;
}

/* Check that an IDX file of n dimensions (1 or 3) holds exactly what its header says. */
static bool check_file(const struct vrt_blob *b, const char *path, int n, uint32_t size[3],
                       struct vrt_error *e)
{
    struct vrt_buffer buffer = {0};
    const uint8_t *head = NULL;
    uint64_t bytes = 1, start = 4 + 4 * (uint64_t)n;
    bool ok;

    if (b->size < start)
        return vrt_fail(e, VRT_BAD_INPUT, "%s is too short for an IDX file; get it again", path);
    ok = vrt_blob_read(b, path, 0, start, &buffer, &head, e);
    if (ok && (head[0] != 0 || head[1] != 0 || head[2] != 8 || head[3] != n))
        ok = vrt_fail(
            e, VRT_BAD_INPUT,
            "%s is not an IDX file of bytes in %d dimensions (it begins with %02x%02x%02x%02x)",
            path, n, head[0], head[1], head[2], head[3]);
    for (int i = 0; ok && i < n; i++) {
        const uint8_t *at = head + 4 + 4 * i;
        size[i] = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
        if (__builtin_mul_overflow(bytes, size[i], &bytes))
            ok = vrt_fail(e, VRT_BAD_INPUT, "%s has impossible dimensions; get it again", path);
    }
    if (ok && bytes != b->size - start)
        ok = vrt_fail(e, VRT_BAD_INPUT,
                      "%s has %llu bytes after its header, which promises %llu; get it again", path,
                      (unsigned long long)(b->size - start), (unsigned long long)bytes);
    vrt_buffer_free(&buffer);
    return ok;
}

static bool check_images(const uint32_t size[3], const char *path, struct vrt_error *e)
{
    if (size[0] == 0)
        return vrt_fail(e, VRT_BAD_INPUT, "%s has no pictures", path);
    if (size[0] > VRT_MAX_ITEMS)
        return vrt_fail(e, VRT_BAD_INPUT, "%s has more than %d pictures", path, VRT_MAX_ITEMS);
    if (size[1] == 0 || size[2] == 0 || size[1] > VRT_IMAGE_MAX_SIDE ||
        size[2] > VRT_IMAGE_MAX_SIDE)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "%s has pictures of %u x %u pixels; 1 to %d a side are possible", path,
                        size[2], size[1], VRT_IMAGE_MAX_SIDE);
    if ((uint64_t)size[1] * size[2] > VRT_IMAGE_MAX_FILE)
        return vrt_fail(e, VRT_BAD_INPUT, "%s has pictures of %u x %u pixels, which is too many",
                        path, size[2], size[1]);
    return true;
}

/* One item per picture; the name of all is the file's, at offset 0 of the names. */
static bool add_items(struct vrt_dataset *d, const uint8_t *labels, int64_t count,
                      struct vrt_error *e)
{
    size_t bytes = (size_t)d->width * (size_t)d->height;

    d->index.items = calloc((size_t)count, sizeof *d->index.items);
    if (d->index.items == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for %lld pictures", (long long)count);
    d->index.nitems = d->index.items_room = count;
    for (int64_t i = 0; i < count; i++)
        d->index.items[i] = (struct vrt_item){.offset = VRT_IDX_START + (uint64_t)i * bytes,
                                              .size = (uint32_t)bytes,
                                              .label = labels[i]};
    return true;
}

static bool set_classes(struct vrt_dataset *d, const struct vrt_dataset *classes_of,
                        const char *path, struct vrt_error *e)
{
    int64_t top = 0;

    for (int64_t i = 1; i < d->index.nitems; i++)
        if (d->index.items[i].label > d->index.items[top].label)
            top = i;
    if (classes_of == NULL)
        return vrt_index_numbers(&d->index, d->index.items[top].label + 1, e);
    if (d->index.items[top].label >= classes_of->index.nclasses)
        return vrt_fail(
            e, VRT_BAD_INPUT,
            "%s: label %d of picture %lld is not among the %lld classes of the training split",
            path, d->index.items[top].label, (long long)top, (long long)classes_of->index.nclasses);
    return vrt_index_copy_classes(&d->index, &classes_of->index, e);
}

static bool read_labels(struct vrt_dataset *d, const char *path,
                        const struct vrt_dataset *classes_of, int64_t count, struct vrt_error *e)
{
    struct vrt_blob *blob = NULL;
    struct vrt_buffer buffer = {0};
    const uint8_t *labels;
    uint32_t size[3];
    bool ok = vrt_blob_open(&blob, path, NULL, e) && check_file(blob, path, 1, size, e);

    if (ok && size[0] != count)
        ok = vrt_fail(e, VRT_BAD_INPUT, "%s has %u labels for %lld pictures; get both files again",
                      path, size[0], (long long)count);
    ok = ok && vrt_dataset_note(d, path, e) &&
         vrt_blob_read(blob, path, 8, (size_t)count, &buffer, &labels, e) &&
         add_items(d, labels, count, e) && set_classes(d, classes_of, path, e);
    vrt_buffer_free(&buffer);
    vrt_blob_close(blob);
    return ok;
}

static bool idx_read(const struct vrt_dataset *d, const struct vrt_item *item, int channels,
                     struct vrt_image *out, struct vrt_error *e)
{
    const uint8_t *bytes;

    if (!vrt_blob_read(d->blobs[0], d->root, item->offset, item->size, &out->file, &bytes, e) ||
        !vrt_image_resize(out, d->width, d->height, channels, e))
        return false;
    if (channels == 1)
        memcpy(out->pixels.data, bytes, item->size);
    for (size_t i = 0; channels == 3 && i < item->size; i++)
        memset(out->pixels.data + 3 * i, bytes[i], 3);
    return true;
}

static const struct vrt_source idx = {"IDX files", idx_read};

bool vrt_idx_open(struct vrt_dataset *d, const char *split, const struct vrt_dataset *classes_of,
                  bool *found, struct vrt_error *e)
{
    char images[PATH_MAX], labels[PATH_MAX];
    const char *prefix = find_prefix(d->root, split, &d->found, images);
    uint32_t size[3];
    bool ok = false;

    *found = prefix != NULL;
    if (!*found)
        return false;
    d->source = &idx;
    d->split = strdup(prefix);
    if (d->split == NULL)
        vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", d->root);
    else if (!find_file(labels, d->root, prefix, "labels", 1))
        vrt_fail(e, VRT_BAD_INPUT, "%s has no file of labels (-labels-idx1-ubyte) beside it",
                 images);
    else
        ok = vrt_dataset_blob(d, images, NULL, e) && check_file(d->blobs[0], images, 3, size, e) &&
             check_images(size, images, e);
    if (ok) {
        d->height = (int)size[1];
        d->width = (int)size[2];
        ok = vrt_buffer_append(&d->index.names, strrchr(images, '/') + 1,
                               strlen(strrchr(images, '/')), e) &&
             read_labels(d, labels, classes_of, size[0], e);
    }
    return ok;
}
