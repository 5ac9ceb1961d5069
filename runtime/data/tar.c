/* Headers are read by libarchive, which skips what lies between: the place of a member's bytes is
 * where it stands when it has read the header. */
#include "runtime/data/tar.h"

#include <errno.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#include "runtime/data/image.h"
#include "runtime/data/index.h"

#define MAX_MEMBERS (2ll * VRT_MAX_ITEMS)
#define BLOCK       (16 << 10) /* bytes read at once: a header, and small pictures behind it */

struct walk {
    const char *path;
    const struct vrt_blob *blob;
    uint64_t start, end, at; /* of the tar; of what is read next */
    struct vrt_buffer block;
    struct vrt_error *error;
};

static la_ssize_t on_read(struct archive *a, void *data, const void **bytes)
{
    struct walk *w = data;
    uint64_t left = w->end - w->at, n = w->blob->fd >= 0 && left > BLOCK ? BLOCK : left;
    const uint8_t *block;
    struct vrt_error inner;

    if (!vrt_blob_read(w->blob, w->path, w->at, n, &w->block, &block, &inner)) {
        archive_set_error(a, inner.code == VRT_NO_MEMORY ? ENOMEM : EIO, "%s", inner.text);
        return ARCHIVE_FATAL;
    }
    *bytes = block;
    w->at += n;
    return (la_ssize_t)n;
}

static la_int64_t on_skip(struct archive *a, void *data, la_int64_t request)
{
    struct walk *w = data;
    uint64_t left = w->end - w->at, n = (uint64_t)request < left ? (uint64_t)request : left;

    (void)a;
    w->at += n;
    return (la_int64_t)n;
}

bool vrt_archive_lacking(struct archive *a)
{
    return errno == ENOMEM || archive_errno(a) == ENOMEM;
}

static bool fail_walk(const struct walk *w, struct archive *a)
{
    const char *why = archive_error_string(a);

    if (vrt_archive_lacking(a))
        return vrt_fail(w->error, VRT_NO_MEMORY, "no memory to read %s", w->path);
    return vrt_fail(w->error, VRT_BAD_INPUT,
                    "%s: %s; it must be a tar (plain, gzip, zstd or xz): if it is, it is cut or "
                    "damaged, so get it again",
                    w->path, why != NULL ? why : "damaged");
}

/* Where the bytes of a regular member lie. */
static bool locate(const struct walk *w, struct archive *a, struct archive_entry *entry,
                   struct vrt_member *m)
{
    la_int64_t bytes = archive_entry_size(entry);

    m->sparse = archive_entry_sparse_count(entry) > 0;
    if (bytes < 0)
        return vrt_fail(w->error, VRT_BAD_INPUT, "%s: %s has no size; get the archive again",
                        w->path, m->name);
    if (m->sparse)
        return true;
    m->offset = w->start + (uint64_t)archive_filter_bytes(a, 0);
    m->size = (uint64_t)bytes;
    if (m->offset > w->end || m->size > w->end - m->offset)
        return vrt_fail(w->error, VRT_BAD_INPUT,
                        "%s: %s ends beyond the archive, which is cut: get it again", w->path,
                        m->name);
    return true;
}

bool vrt_member_is_picture(const struct vrt_member *m)
{
    const char *slash = strrchr(m->name, '/');
    enum vrt_odd_sort sort = vrt_odd_sort(slash != NULL ? slash + 1 : m->name);
    size_t size = m->size < VRT_IMAGE_HEAD ? m->size : VRT_IMAGE_HEAD;
    uint8_t head[VRT_IMAGE_HEAD];
    struct vrt_error ignored;

    if (sort != VRT_ODD_LOOK)
        return sort == VRT_ODD_PICTURE;
    return m->kind != 'f' || m->sparse ||
           !vrt_blob_copy(m->blob, m->name, m->offset, size, head, &ignored) ||
           vrt_image_known(head, size);
}

bool vrt_member_usable(const char *path, const struct vrt_member *m, struct vrt_error *e)
{
    if (m->kind == 'l')
        return vrt_fail(
            e, VRT_BAD_INPUT,
            "%s: %s is a link or a device; pack the files themselves (tar --dereference "
            "--hard-dereference)",
            path, m->name);
    if (m->sparse)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "%s: %s is stored as a sparse file; pack it without --sparse", path,
                        m->name);
    if (m->size > VRT_IMAGE_MAX_FILE)
        return vrt_fail(e, VRT_BAD_INPUT, "%s: %s has %llu bytes; at most %d are read", path,
                        m->name, (unsigned long long)m->size, VRT_IMAGE_MAX_FILE);
    return true;
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

/* Is the member, or a folder around it, one of those that systems and tools make? */
static bool hidden(const char *name)
{
    char part[VRT_MAX_NAME];

    for (size_t length; *name != 0; name += length + (name[length] == '/')) {
        length = strcspn(name, "/");
        memcpy(part, name, length);
        part[length] = 0;
        if (vrt_odd_hidden(part))
            return true;
    }
    return false;
}

static char kind_of(struct archive_entry *entry)
{
    if (archive_entry_filetype(entry) == AE_IFDIR)
        return 'd';
    return archive_entry_filetype(entry) == AE_IFREG && archive_entry_hardlink(entry) == NULL ? 'f'
                                                                                              : 'l';
}

static int next_member(struct archive *a, struct archive_entry *entry)
{
    errno = 0;
    int status = archive_read_next_header2(a, entry);
    return status == ARCHIVE_WARN ? ARCHIVE_OK : status;
}

static bool each_member(const struct walk *w, struct archive *a, struct archive_entry *entry,
                        vrt_member_rule *rule, void *data)
{
    char name[VRT_MAX_NAME];
    int status;

    for (int64_t n = 0; (status = next_member(a, entry)) == ARCHIVE_OK; n++) {
        const char *path = archive_entry_pathname(entry);
        if (vrt_archive_lacking(a))
            break;
        struct vrt_member m = {.name = name, .kind = kind_of(entry), .blob = w->blob};
        if (n >= MAX_MEMBERS)
            return vrt_fail(w->error, VRT_BAD_INPUT, "%s has more than %lld members", w->path,
                            MAX_MEMBERS);
        if (path == NULL || !clean_name(name, sizeof name, path))
            return vrt_fail(w->error, VRT_BAD_INPUT,
                            "%s: the name of member %lld cannot be read or has more than %d "
                            "bytes; rename it",
                            w->path, (long long)n, VRT_MAX_NAME - 2);
        if (hidden(name))
            continue;
        if ((m.kind == 'f' && !locate(w, a, entry, &m)) || !rule(data, &m, w->error))
            return false;
    }
    return status == ARCHIVE_EOF || fail_walk(w, a);
}

bool vrt_tar_walk(const char *path, const struct vrt_blob *blob, uint64_t start, uint64_t size,
                  vrt_member_rule *rule, void *data, struct vrt_error *e)
{
    struct walk w = {path, blob, start, start + size, start, {0}, e};
    struct archive *a = archive_read_new();
    /* libarchive's own is used unseen */
    struct archive_entry *entry = a != NULL ? archive_entry_new2(a) : NULL;
    bool ok;

    errno = 0;
    if (entry == NULL)
        ok = vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", path);
    else if (archive_read_support_format_tar(a) == ARCHIVE_OK &&
             archive_read_set_callback_data(a, NULL) == ARCHIVE_OK && /* else open() does, unseen */
             archive_read_open2(a, &w, NULL, on_read, on_skip, NULL) == ARCHIVE_OK)
        ok = each_member(&w, a, entry, rule, data);
    else
        ok = fail_walk(&w, a);
    archive_entry_free(entry);
    archive_read_free(a);
    vrt_buffer_free(&w.block);
    return ok;
}
