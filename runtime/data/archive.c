/* The same tree inside a tar. Input: a blob; output: an index with the place of each picture's bytes, which are then
 * read in place. Nothing is extracted, so what the names say cannot touch the disk.
 *
 * libarchive reads the headers, over a map of the whole file: the place of a member's bytes is where its first block
 * points to. The split is searched at the top and below one leading folder; the top wins. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#include "runtime/data/source.h"

#define MAX_MEMBERS (2ll * VRT_MAX_ITEMS)

struct scan {
    const char *path;
    const char *names[VRT_SPLIT_NAMES];             /* of the split, best first */
    struct vrt_index found[2][VRT_SPLIT_NAMES];     /* by leading folders (0, 1) and name */
    bool seen[2][VRT_SPLIT_NAMES];
    char lead[VRT_MAX_NAME], first[VRT_MAX_NAME];   /* the leading folder; the first member, for messages */
    bool several_leads;
    const uint8_t *base;
    uint64_t size;
    struct vrt_error *error;
};

/* Where the bytes of a regular member lie. */
static bool locate(struct scan *s, struct archive *a, struct archive_entry *entry, const char *name, uint64_t *offset,
                   uint32_t *size)
{
    la_int64_t bytes = archive_entry_size(entry), at;
    const void *block = s->base;
    size_t length;

    if (archive_entry_sparse_count(entry) > 0)
        return vrt_fail(s->error, VRT_BAD_INPUT, "%s: %s is stored as a sparse file; pack it without --sparse", s->path,
                        name);
    if (bytes < 0 || bytes > VRT_IMAGE_MAX_FILE)
        return vrt_fail(s->error, VRT_BAD_INPUT, "%s: %s has %lld bytes; at most %d are read", s->path, name,
                        (long long)bytes, VRT_IMAGE_MAX_FILE);
    if (bytes > 0 && archive_read_data_block(a, &block, &length, &at) != ARCHIVE_OK)
        return vrt_fail(s->error, VRT_BAD_INPUT, "%s: %s: %s; the archive may be cut: get it again", s->path, name,
                        archive_error_string(a) != NULL ? archive_error_string(a) : "no data");
    *offset = (uint64_t)((const uint8_t *)block - s->base);
    *size = (uint32_t)bytes;
    if (*offset > s->size || (uint64_t)bytes > s->size - *offset)
        return vrt_fail(s->error, VRT_BAD_INPUT, "%s: %s ends beyond the archive, which is cut: get it again", s->path,
                        name);
    return true;
}

static bool refuse_link(const struct scan *s, const char *name)
{
    return vrt_fail(s->error, VRT_BAD_INPUT, "%s: %s is a link or a device; pack the files themselves (tar --dereference "
                    "--hard-dereference)", s->path, name);
}

/* `name` is below the split: "CLASS", "CLASS/file" or "CLASS/folder/file". */
static bool add_member(struct scan *s, struct vrt_index *x, struct archive *a, struct archive_entry *entry,
                       const char *name)
{
    const char *slash = strchr(name, '/'), *file = strrchr(name, '/');
    bool folder = archive_entry_filetype(entry) == AE_IFDIR;
    uint64_t offset = 0;
    uint32_t size = 0;
    int32_t id;

    if (name[0] == '.' || name[0] == 0)
        return true;
    if (slash == NULL && archive_entry_filetype(entry) == AE_IFLNK)      /* of a class folder, likely */
        return refuse_link(s, name);
    if (!folder && (slash == NULL || !vrt_index_takes(file + 1))) {
        x->ignored += slash != NULL || vrt_index_takes(name);
        return true;
    }
    if (!vrt_index_class(x, name, slash != NULL ? (size_t)(slash - name) : strlen(name), &id, s->error))
        return false;
    if (folder)
        return true;
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != NULL)
        return refuse_link(s, name);
    return locate(s, a, entry, name, &offset, &size) && vrt_index_add(x, id, name, offset, size, s->error);
}

/* Length of the name of the split `name` begins with, and which; 0 for none. */
static size_t match_split(const struct scan *s, const char *name, int *which)
{
    size_t length = strcspn(name, "/");

    for (int i = 0; i < VRT_SPLIT_NAMES && s->names[i] != NULL; i++)
        if (strlen(s->names[i]) == length && memcmp(s->names[i], name, length) == 0) {
            *which = i;
            return length;
        }
    return 0;
}

static void note_lead(struct scan *s, const char *name, size_t length)
{
    if (s->lead[0] == 0) {
        memcpy(s->lead, name, length);
        s->lead[length] = 0;
    }
    if (strncmp(s->lead, name, length) != 0 || s->lead[length] != 0)
        s->several_leads = true;
}

/* Sort a member into the candidate it belongs to. name has no slash at its end. */
static bool scan_member(struct scan *s, struct archive *a, struct archive_entry *entry, const char *name)
{
    size_t lead = strcspn(name, "/"), length;
    int which = 0, depth = 0;

    if (s->first[0] == 0)
        snprintf(s->first, sizeof s->first, "%s", name);
    length = match_split(s, name, &which);
    if (length == 0 && name[lead] == '/') {
        name += lead + 1;
        depth = 1;
        length = match_split(s, name, &which);
        if (length > 0)
            note_lead(s, name - lead - 1, lead);
    }
    if (length == 0 || (name[length] == 0 && archive_entry_filetype(entry) != AE_IFDIR))
        return true;
    s->seen[depth][which] = true;
    return name[length] == 0 || add_member(s, &s->found[depth][which], a, entry, name + length + 1);
}

/* "./a//b/" and "/a/b" are "a/b"; false when the name is too long. */
static bool clean_name(char *to, size_t room, const char *from)
{
    size_t n = 0;

    while (*from != 0) {
        size_t length = strcspn(from, "/");
        bool skip = length == 0 || (length == 1 && from[0] == '.');
        if (!skip && n + length + 2 > room)
            return false;
        if (!skip) {
            if (n > 0)
                to[n++] = '/';
            memcpy(to + n, from, length);
            n += length;
        }
        from += length + (from[length] == '/');
    }
    to[n] = 0;
    return true;
}

static bool fail_scan(const struct scan *s, struct archive *a)
{
    const char *why = archive_error_string(a);

    return vrt_fail(s->error, VRT_BAD_INPUT, "%s: %s; it must be a tar (plain, gzip, zstd or xz): if it is, it is cut or "
                    "damaged, so get it again", s->path, why != NULL ? why : "damaged");
}

static bool scan_members(struct scan *s, struct archive *a)
{
    struct archive_entry *entry;
    char name[VRT_MAX_NAME];
    int status;

    for (int64_t n = 0; (status = archive_read_next_header(a, &entry)) == ARCHIVE_OK || status == ARCHIVE_WARN; n++) {
        const char *path = archive_entry_pathname(entry);
        if (n >= MAX_MEMBERS)
            return vrt_fail(s->error, VRT_BAD_INPUT, "%s has more than %lld members", s->path, MAX_MEMBERS);
        if (path == NULL || !clean_name(name, sizeof name, path))
            return vrt_fail(s->error, VRT_BAD_INPUT, "%s: the name of member %lld cannot be read or has more than %d "
                            "bytes; rename it", s->path, (long long)n, VRT_MAX_NAME - 2);
        if (!scan_member(s, a, entry, name))
            return false;
    }
    return status == ARCHIVE_EOF || fail_scan(s, a);
}

static bool scan_blob(struct scan *s, const struct vrt_blob *blob)
{
    struct archive *a = archive_read_new();
    bool ok;

    if (a == NULL)
        return vrt_fail(s->error, VRT_BAD_INPUT, "no memory to read %s", s->path);
    if (!vrt_blob_map(blob, s->path, &s->base, s->error)) {
        archive_read_free(a);
        return false;
    }
    s->size = blob->size;
    archive_read_support_format_tar(a);
    ok = archive_read_open_memory(a, s->base, s->size) == ARCHIVE_OK ? scan_members(s, a) : fail_scan(s, a);
    archive_read_free(a);
    vrt_blob_unmap(blob, s->base);
    return ok;
}

/* Move the best candidate into d. */
static bool choose(struct vrt_dataset *d, struct scan *s)
{
    for (int depth = 0; depth < 2; depth++)
        for (int i = 0; i < VRT_SPLIT_NAMES; i++) {
            if (!s->seen[depth][i])
                continue;
            if (depth == 1 && s->several_leads)
                return vrt_fail(s->error, VRT_BAD_INPUT, "%s: several folders have a '%s' inside; pack one data set only",
                                s->path, s->names[i]);
            d->index = s->found[depth][i];
            s->found[depth][i] = (struct vrt_index){0};
            if (asprintf(&d->split, "%s%s%s", depth ? s->lead : "", depth ? "/" : "", s->names[i]) >= 0)
                return true;
            d->split = NULL;
            return vrt_fail(s->error, VRT_BAD_INPUT, "no memory to read %s", s->path);
        }
    return vrt_fail(s->error, VRT_BAD_INPUT, "%s has no folder '%s' at its top or below one leading folder (it begins with "
                    "'%.200s'); pack SPLIT/CLASS/files", s->path, s->names[0], s->first);
}

static bool archive_read_item(const struct vrt_dataset *d, const struct vrt_item *item, int channels,
                              struct vrt_image *out, struct vrt_error *e)
{
    const uint8_t *bytes;

    return vrt_blob_read(d->blobs[item->file], d->root, item->offset, item->size, &out->file, &bytes, e) &&
           vrt_image_decode(out, bytes, item->size, channels, e);
}

static const struct vrt_source tar = {"tar", archive_read_item};

bool vrt_archive_open(struct vrt_dataset *d, const char *split, const struct vrt_dataset *classes_of,
                      struct vrt_error *e)
{
    struct scan *s = calloc(1, sizeof *s);
    struct vrt_blob *known = classes_of != NULL && classes_of->source == &tar ? classes_of->blobs[0] : NULL;
    char *where = NULL;
    bool ok;

    if (s == NULL)
        return vrt_fail(e, VRT_BAD_INPUT, "no memory to read %s", d->root);
    s->path = d->root;
    s->error = e;
    d->source = &tar;
    vrt_split_names(split, s->names);
    ok = vrt_dataset_blob(d, d->root, known, e) && scan_blob(s, d->blobs[0]) && choose(d, s);
    if (ok && (where = vrt_dataset_where(d)) == NULL)
        ok = vrt_fail(e, VRT_BAD_INPUT, "no memory to read %s", d->root);
    ok = ok && vrt_index_finish(&d->index, classes_of != NULL ? &classes_of->index : NULL, where, e);
    free(where);
    for (int i = 0; i < 2 * VRT_SPLIT_NAMES; i++)
        vrt_index_free(&s->found[i / VRT_SPLIT_NAMES][i % VRT_SPLIT_NAMES]);
    free(s);
    return ok;
}
