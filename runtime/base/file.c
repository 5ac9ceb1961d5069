/* Files by POSIX calls: whole reads, maps, atomic writes. Input: paths; output: bytes or an error
 * that names the path. */
#include "runtime/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool fail(struct vrt_error *e, const char *what, const char *path)
{
    return vrt_fail(e, VRT_BAD_INPUT, "cannot %s %s: %s", what, path, strerror(errno));
}

/* Not blocking: a pipe is refused, not waited for. */
int vrt_file_open(const char *path, uint64_t *size, struct vrt_error *e)
{
    struct stat s;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        fail(e, "open", path);
        return -1;
    }
    if (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode)) {
        vrt_fail(e, VRT_BAD_INPUT, "cannot read %s: it is not a regular file", path);
        close(fd);
        return -1;
    }
    *size = (uint64_t)s.st_size;
    return fd;
}

/* Read until `size` bytes or the end; the count, or -1. */
static ssize_t read_some(int fd, uint8_t *data, size_t size, uint64_t offset)
{
    size_t have = 0;

    while (have < size) {
        ssize_t n = pread(fd, data + have, size - have, (off_t)(offset + have));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    return (ssize_t)have;
}

bool vrt_file_read(const char *path, size_t limit, struct vrt_buffer *b, struct vrt_error *e)
{
    uint64_t size;
    ssize_t n;
    int fd = vrt_file_open(path, &size, e);

    if (fd < 0)
        return false;
    if (size > limit) {
        close(fd);
        return vrt_fail(e, VRT_BAD_INPUT, "%s has %llu bytes; at most %zu are read", path,
                        (unsigned long long)size, limit);
    }
    if (!vrt_buffer_reserve(b, size + 1, e)) {
        close(fd);
        return false;
    }
    n = read_some(fd, b->data, size, 0);
    if (n < 0)
        fail(e, "read", path);
    close(fd);
    if (n < 0)
        return false;
    b->size = (size_t)n;
    b->data[n] = 0;
    return true;
}

bool vrt_file_read_at(int fd, const char *name, void *data, size_t size, uint64_t offset,
                      struct vrt_error *e)
{
    ssize_t n = read_some(fd, data, size, offset);

    if (n < 0)
        return fail(e, "read", name);
    if ((size_t)n < size)
        return vrt_fail(e, VRT_BAD_INPUT, "%s ended early: it was cut while in use", name);
    return true;
}

bool vrt_file_put(int fd, const char *name, const void *data, size_t size, struct vrt_error *e)
{
    const uint8_t *from = data;

    while (size > 0) {
        ssize_t n = write(fd, from, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(e, "write", name);
        from += n;
        size -= (size_t)n;
    }
    return true;
}

bool vrt_file_map(const char *path, struct vrt_map *m, struct vrt_error *e)
{
    uint64_t size;
    int fd = vrt_file_open(path, &size, e);
    void *data;

    *m = (struct vrt_map){0};
    if (fd < 0)
        return false;
    if (size == 0) {
        close(fd);
        return true;
    }
    data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        fail(e, "map", path);
    close(fd);
    if (data == MAP_FAILED)
        return false;
    *m = (struct vrt_map){data, size};
    return true;
}

void vrt_file_unmap(struct vrt_map *m)
{
    if (m->data != NULL)
        munmap((void *)(uintptr_t)m->data, m->size);
    *m = (struct vrt_map){0};
}

bool vrt_writer_begin(struct vrt_writer *w, const char *path, struct vrt_error *e)
{
    *w = (struct vrt_writer){.fd = -1};
    w->path = strdup(path);
    if (w->path == NULL || asprintf(&w->temporary, "%s.%ld.tmp", path, (long)getpid()) < 0) {
        free(w->path);
        *w = (struct vrt_writer){.fd = -1};
        return vrt_fail(e, VRT_BAD_INPUT, "no memory to write %s", path);
    }
    w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w->fd < 0) {
        fail(e, "create", w->temporary);
        free(w->temporary);
        w->temporary = NULL;
        vrt_writer_abandon(w);
        return false;
    }
    return true;
}

bool vrt_writer_reserve(struct vrt_writer *w, uint64_t size, struct vrt_error *e)
{
    int failed;

    do
        failed = fallocate(w->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size);
    while (failed != 0 && errno == EINTR);
    if (failed == 0 || (errno != ENOSPC && errno != EDQUOT && errno != EFBIG && errno != EIO))
        return true; /* not every file system can */
    return vrt_fail(e, VRT_BAD_INPUT, "cannot write %s, which takes %.1f MB: %s", w->path,
                    (double)size / 1e6, strerror(errno));
}

bool vrt_writer_write(struct vrt_writer *w, const void *data, size_t size, struct vrt_error *e)
{
    return vrt_file_put(w->fd, w->temporary, data, size, e);
}

/* The name itself is durable only once its folder is. Some file systems cannot sync a folder: that
 * is no failure. */
bool vrt_file_sync_name(const char *path, struct vrt_error *e)
{
    const char *slash = strrchr(path, '/');
    char *folder =
        slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    bool ok = true;
    int fd;

    if (folder == NULL)
        return vrt_fail(e, VRT_BAD_INPUT, "no memory to write %s", path);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        ok = fail(e, "make durable", folder);
    if (fd >= 0)
        close(fd);
    free(folder);
    return ok;
}

bool vrt_writer_commit(struct vrt_writer *w, struct vrt_error *e)
{
    int fd = w->fd;

    w->fd = -1;
    if (fsync(fd) != 0) {
        fail(e, "write", w->temporary);
        close(fd);
        return false;
    }
    if (close(fd) != 0)
        return fail(e, "write", w->temporary);
    if (rename(w->temporary, w->path) != 0)
        return fail(e, "replace", w->path);
    free(w->temporary);
    w->temporary = NULL;
    return vrt_file_sync_name(w->path, e);
}

void vrt_writer_abandon(struct vrt_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    if (w->temporary != NULL)
        unlink(w->temporary);
    free(w->temporary);
    free(w->path);
    *w = (struct vrt_writer){.fd = -1};
}

bool vrt_file_write(const char *path, const void *data, size_t size, struct vrt_error *e)
{
    struct vrt_writer w;
    bool ok = vrt_writer_begin(&w, path, e) && vrt_writer_write(&w, data, size, e) &&
              vrt_writer_commit(&w, e);

    vrt_writer_abandon(&w);
    return ok;
}

static int remove_entry(const char *path, const struct stat *s, int kind, struct FTW *where)
{
    (void)s;
    (void)kind;
    (void)where;
    remove(path);
    return 0;
}

void vrt_folder_remove(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
