/* Opening and inflating. Input: a path; output: bytes at offsets. libarchive does the inflating,
 * with these three filters and no others. */
#include "runtime/data/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "runtime/base/file.h"
#include "runtime/data/tar.h"

#define MEMORY_LIMIT (1ull << 30) /* bytes inflated before a file takes over */
#define TEMPORARY    "a temporary file (set TMPDIR to a folder with room, or inflate it yourself)"
#define BLOCK        (1 << 16)     /* bytes read at once */
#define FREE_SIZE    (64ull << 20) /* up to here anything goes; beyond, */
#define MAX_RATIO \
    200 /* what inflates to more than this many times its size is no set of pictures */

static const struct {
    const char *bytes;
    size_t size;
} compressed[] = {
    {"\x1f\x8b", 2},
    {"\x28\xb5\x2f\xfd", 4},
    {"\xfd"
     "7zXZ\0",
     6},
};

static bool is_compressed(int fd)
{
    char head[8] = {0};
    ssize_t n = pread(fd, head, sizeof head, 0);

    for (size_t i = 0; i < sizeof compressed / sizeof compressed[0]; i++)
        if (n >= (ssize_t)compressed[i].size &&
            memcmp(head, compressed[i].bytes, compressed[i].size) == 0)
            return true;
    return false;
}

/* A file without a name: gone with its last user, whatever happens. */
static int temporary_file(struct vrt_error *e)
{
    const char *folder = getenv("TMPDIR");
    char name[4096];
    int fd;

    folder =
        folder != NULL && folder[0] == '/' && strlen(folder) < sizeof name - 32 ? folder : "/tmp";
    strcpy(name, folder);
    strcat(name, "/vmoe-XXXXXX");
    fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        vrt_fail(e, VRT_BAD_INPUT,
                 "cannot make a temporary file in %s: %s; set TMPDIR to a folder with room", folder,
                 strerror(errno));
    else
        unlink(name);
    return fd;
}

/* From memory to a file, once. */
static bool spill(struct vrt_blob *b, struct vrt_error *e)
{
    b->fd = temporary_file(e);
    if (b->fd < 0 || !vrt_file_put(b->fd, TEMPORARY, b->memory.data, b->memory.size, e))
        return false;
    vrt_buffer_free(&b->memory);
    return true;
}

static bool put(struct vrt_blob *b, const void *data, size_t size, struct vrt_error *e)
{
    b->size += size;
    if (b->size > FREE_SIZE && b->size / MAX_RATIO > b->source_size)
        return vrt_fail(
            e, VRT_BAD_INPUT,
            "it grows to more than %d times its size, as pictures do not; if it is right, "
            "inflate it yourself",
            MAX_RATIO);
    if (b->fd < 0 && b->size < MEMORY_LIMIT)
        return vrt_buffer_append(&b->memory, data, size, e);
    return (b->fd >= 0 || spill(b, e)) && vrt_file_put(b->fd, TEMPORARY, data, size, e);
}

static bool fail_inflate(struct archive *a, const char *path, struct vrt_error *e)
{
    if (vrt_archive_lacking(a))
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to inflate %s", path);
    return vrt_fail(e, VRT_BAD_INPUT,
                    "cannot inflate %s: %s; it may be cut or damaged: get it again", path,
                    archive_error_string(a) != NULL ? archive_error_string(a) : "damaged");
}

static bool pump(struct archive *a, struct archive_entry *entry, struct vrt_blob *b,
                 const char *path, struct vrt_error *e)
{
    const void *data;
    size_t size;
    la_int64_t offset;
    int status = archive_read_next_header2(a, entry);
    struct vrt_error inner;

    while (status == ARCHIVE_OK &&
           (status = archive_read_data_block(a, &data, &size, &offset)) == ARCHIVE_OK)
        if (!put(b, data, size, &inner))
            return vrt_fail(e, inner.code, "cannot inflate %s: %s", path, inner.text);
    return status == ARCHIVE_EOF || fail_inflate(a, path, e);
}

static bool inflate(struct vrt_blob *b, const char *path, int fd, struct vrt_error *e)
{
    struct archive *a = archive_read_new();
    /* libarchive's own is used unseen */
    struct archive_entry *entry = a != NULL ? archive_entry_new2(a) : NULL;
    bool ok;

    errno = 0;
    if (entry == NULL)
        ok = vrt_fail(e, VRT_NO_MEMORY, "no memory to inflate %s", path);
    else if (archive_read_support_filter_gzip(a) == ARCHIVE_OK &&
             archive_read_support_filter_zstd(a) == ARCHIVE_OK &&
             archive_read_support_filter_xz(a) == ARCHIVE_OK &&
             archive_read_support_format_raw(a) == ARCHIVE_OK &&
             archive_read_set_callback_data(a, NULL) == ARCHIVE_OK && /* else open() does, unseen */
             archive_read_open_fd(a, fd, BLOCK) == ARCHIVE_OK)
        ok = pump(a, entry, b, path, e);
    else
        ok = fail_inflate(a, path, e);
    archive_entry_free(entry);
    archive_read_free(a);
    return ok;
}

/* The file behind fd, as far as the system can tell. */
static void set_identity(struct vrt_blob *b, const struct stat *s)
{
    b->device = s->st_dev;
    b->inode = s->st_ino;
    b->source_size = (uint64_t)s->st_size;
    b->seconds = s->st_mtim.tv_sec;
    b->nanoseconds = s->st_mtim.tv_nsec;
}

static bool same_file(const struct vrt_blob *a, const struct vrt_blob *b)
{
    return a->device == b->device && a->inode == b->inode && a->source_size == b->source_size &&
           a->seconds == b->seconds && a->nanoseconds == b->nanoseconds;
}

/* Takes fd over. */
static bool load(struct vrt_blob *b, const char *path, int fd, struct vrt_error *e)
{
    bool ok;

    if (!is_compressed(fd)) {
        b->fd = fd;
        b->size = b->source_size;
        return true;
    }
    ok = inflate(b, path, fd, e);
    close(fd);
    return ok;
}

bool vrt_blob_open(struct vrt_blob **out, const char *path, struct vrt_blob *known,
                   struct vrt_error *e)
{
    struct vrt_blob *b = calloc(1, sizeof *b);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat s;

    if (b == NULL || fd < 0 || fstat(fd, &s) != 0 || !S_ISREG(s.st_mode)) {
        const char *why = fd < 0 ? strerror(errno) : "it is not a regular file";
        if (b == NULL)
            vrt_fail(e, VRT_NO_MEMORY, "no memory to open %s", path);
        else
            vrt_fail(e, VRT_BAD_INPUT, "cannot open %s: %s", path, why);
        if (fd >= 0)
            close(fd);
        free(b);
        return false;
    }
    *b = (struct vrt_blob){.references = 1, .fd = -1};
    set_identity(b, &s);
    if (known != NULL && same_file(known, b)) {
        close(fd);
        free(b);
        known->references++;
        *out = known;
        return true;
    }
    if (!load(b, path, fd, e)) {
        vrt_blob_close(b);
        return false;
    }
    *out = b;
    return true;
}

void vrt_blob_close(struct vrt_blob *b)
{
    if (b == NULL || --b->references > 0)
        return;
    if (b->fd >= 0)
        close(b->fd);
    vrt_buffer_free(&b->memory);
    free(b);
}

static bool check_range(const struct vrt_blob *b, const char *name, uint64_t offset, size_t size,
                        struct vrt_error *e)
{
    return (offset <= b->size && size <= b->size - offset) ||
           vrt_fail(e, VRT_BAD_INPUT, "%s ended early: it was cut while in use", name);
}

bool vrt_blob_copy(const struct vrt_blob *b, const char *name, uint64_t offset, size_t size,
                   void *data, struct vrt_error *e)
{
    if (!check_range(b, name, offset, size, e))
        return false;
    if (b->fd >= 0)
        return vrt_file_read_at(b->fd, name, data, size, offset, e);
    if (size > 0)
        memcpy(data, b->memory.data + offset, size);
    return true;
}

bool vrt_blob_read(const struct vrt_blob *b, const char *name, uint64_t offset, size_t size,
                   struct vrt_buffer *buffer, const uint8_t **data, struct vrt_error *e)
{
    if (!check_range(b, name, offset, size, e))
        return false;
    if (b->fd < 0) {
        *data = b->memory.data + offset;
        return true;
    }
    if (!vrt_buffer_reserve(buffer, size, e) ||
        !vrt_file_read_at(b->fd, name, buffer->data, size, offset, e))
        return false;
    buffer->size = size;
    *data = buffer->data;
    return true;
}
