/* Files by POSIX calls: whole reads, atomic writes. Input: paths; output: bytes or an error
 * that names the path. */
#include "runtime/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_LINKS = 40 };

static bool fail(struct vrt_error *e, const char *what, const char *path)
{
    return vrt_fail(e, errno == ENOMEM ? VRT_NO_MEMORY : VRT_BAD_INPUT, "cannot %s %s: %s", what,
                    path, strerror(errno));
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

/* A pipe that nobody reads is ENXIO, since it is not waited for. */
int vrt_file_update(const char *path, struct vrt_error *e)
{
    struct stat s;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);

    if (fd < 0 && errno != ENXIO && errno != EISDIR) {
        fail(e, "write", path);
        return -1;
    }
    if (fd >= 0 && fstat(fd, &s) == 0 && S_ISREG(s.st_mode))
        return fd;
    vrt_fail(e, VRT_BAD_INPUT, "cannot write %s: it is not a regular file", path);
    if (fd >= 0)
        close(fd);
    return -1;
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

bool vrt_text_begins(const char *name, const void *text, size_t size, size_t *skip,
                     struct vrt_error *e)
{
    static const char utf8[] = "\xef\xbb\xbf";

    *skip = size >= 3 && memcmp(text, utf8, 3) == 0 ? 3 : 0;
    if (size >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
        return vrt_fail(e, VRT_BAD_INPUT, "%s is a text in UTF-16; save it as UTF-8", name);
    return true;
}

bool vrt_file_read_text(const char *path, size_t limit, struct vrt_buffer *b, struct vrt_error *e)
{
    size_t skip;

    if (!vrt_file_read(path, limit, b, e) || !vrt_text_begins(path, b->data, b->size, &skip, e))
        return false;
    b->size -= skip;
    if (skip > 0)
        memmove(b->data, b->data + skip, b->size + 1); /* with the zero that ends it */
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

static struct vrt_file_id id_of(const struct stat *s)
{
    return (struct vrt_file_id){(uint64_t)s->st_dev, (uint64_t)s->st_ino};
}

bool vrt_file_find(const char *path, struct vrt_file_id *id)
{
    struct stat s;
    bool found = stat(path, &s) == 0;

    *id = found ? id_of(&s) : (struct vrt_file_id){0};
    return found;
}

bool vrt_file_same(const struct vrt_file_id *a, const struct vrt_file_id *b)
{
    return a->device == b->device && a->inode == b->inode;
}

/* To PATH_MAX bytes, as the system takes them. False with errno: it is longer. */
static bool put_path(char to[PATH_MAX], const char *folder, int length, const char *name)
{
    errno = ENAMETOOLONG;
    return snprintf(to, PATH_MAX, "%.*s%s", length, folder, name) < PATH_MAX;
}

bool vrt_file_target(const char *path, char target[PATH_MAX])
{
    char link[PATH_MAX], at[PATH_MAX];

    if (!put_path(target, "", 0, path))
        return false;
    for (int i = 0; i <= MOST_LINKS; i++) {
        ssize_t n = readlink(strcpy(at, target), link, sizeof link - 1);
        const char *slash = strrchr(at, '/');
        if (n < 0)
            return path[0] != '\0';
        link[n] = '\0';
        if (!put_path(target, at, link[0] == '/' || slash == NULL ? 0 : (int)(slash + 1 - at),
                      link))
            return false;
    }
    errno = ELOOP;
    return false;
}

/* The folder of a path, "." where it names none. */
static bool folder_of(const char *path, char folder[PATH_MAX])
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? put_path(folder, "", 0, ".")
                         : put_path(folder, path, slash == path ? 1 : (int)(slash - path), "");
}

/* Of paths without links to files that are not there: the same name in the same folder. */
static bool same_place(const char *a, const char *b)
{
    char in_a[PATH_MAX], in_b[PATH_MAX];
    const char *name_a = strrchr(a, '/'), *name_b = strrchr(b, '/');
    struct vrt_file_id id_a, id_b;

    return strcmp(name_a != NULL ? name_a + 1 : a, name_b != NULL ? name_b + 1 : b) == 0 &&
           folder_of(a, in_a) && folder_of(b, in_b) && vrt_file_find(in_a, &id_a) &&
           vrt_file_find(in_b, &id_b) && vrt_file_same(&id_a, &id_b);
}

bool vrt_path_same(const char *a, const char *b)
{
    char to_a[PATH_MAX], to_b[PATH_MAX];
    struct vrt_file_id id_a, id_b;
    bool there_a = vrt_file_find(a, &id_a), there_b = vrt_file_find(b, &id_b);

    if (there_a || there_b)
        return there_a && there_b && vrt_file_same(&id_a, &id_b);
    return vrt_file_target(a, to_a) && vrt_file_target(b, to_b) && same_place(to_a, to_b);
}

/* 1 or 2 if stdout or stderr go to this file, else -1. */
static int standard_stream(const struct stat *s)
{
    struct vrt_file_id id = id_of(s), own;
    struct stat stream;

    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fstat(fd, &stream) != 0)
            continue;
        own = id_of(&stream);
        if (vrt_file_same(&id, &own))
            return fd;
    }
    return -1;
}

/* Of a file that is there. A link in /proc may lead to one that has no path. */
static bool is_replaced(const struct vrt_writer *w, const struct stat *s)
{
    struct vrt_file_id id = id_of(s), target;

    return S_ISREG(s->st_mode) && standard_stream(s) < 0 && vrt_file_find(w->target, &target) &&
           vrt_file_same(&id, &target);
}

static bool open_in_place(struct vrt_writer *w, const struct stat *s, struct vrt_error *e)
{
    int stream = standard_stream(s);

    do
        w->fd = stream >= 0 ? fcntl(stream, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)
                            : open(w->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    while (w->fd < 0 && errno == EINTR);
    return w->fd >= 0 || fail(e, "write", w->path);
}

/* s: of the file that it will replace; NULL: there is none. */
static bool make_temporary(struct vrt_writer *w, const struct stat *s, struct vrt_error *e)
{
    mode_t mode = s != NULL ? s->st_mode & 0777 : 0666;

    for (long number = getpid();; number++) {
        if (asprintf(&w->temporary, "%s.%ld.tmp", w->target, number) < 0) {
            w->temporary = NULL;
            return vrt_fail(e, VRT_NO_MEMORY, "no memory to write %s", w->path);
        }
        w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (w->fd >= 0 || errno != EEXIST)
            break;
        free(w->temporary);
    }
    if (w->fd >= 0 && (s == NULL || fchmod(w->fd, mode) == 0))
        return true;
    fail(e, "write", w->path);
    if (w->fd < 0) {
        free(w->temporary);
        w->temporary = NULL;
    }
    return false;
}

bool vrt_writer_begin(struct vrt_writer *w, const char *path, struct vrt_error *e)
{
    char target[PATH_MAX];
    struct stat s;
    bool there = stat(path, &s) == 0, ok;

    *w = (struct vrt_writer){.fd = -1};
    if (!vrt_file_target(path, target))
        return fail(e, "write", path);
    w->path = strdup(path);
    w->target = strdup(target);
    if (w->path == NULL || w->target == NULL)
        ok = vrt_fail(e, VRT_NO_MEMORY, "no memory to write %s", path);
    else if (there && S_ISDIR(s.st_mode))
        ok = vrt_fail(e, VRT_BAD_INPUT, "cannot write %s: it is a folder", path);
    else if (there && !is_replaced(w, &s))
        ok = open_in_place(w, &s, e);
    else
        ok = make_temporary(w, there ? &s : NULL, e);
    if (!ok)
        vrt_writer_abandon(w);
    return ok;
}

bool vrt_writer_reserve(struct vrt_writer *w, uint64_t size, struct vrt_error *e)
{
    int failed;

    if (w->temporary == NULL)
        return true;
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
    return vrt_file_put(w->fd, w->path, data, size, e);
}

/* The name itself is durable only once its folder is. Some file systems cannot sync a folder: that
 * is no failure. */
bool vrt_file_sync_name(const char *path, struct vrt_error *e)
{
    char folder[PATH_MAX];
    bool ok = true;
    int fd;

    if (!folder_of(path, folder))
        return fail(e, "make durable", path);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        ok = fail(e, "make durable", folder);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* What a device or a pipe cannot do is no failure. A file in place may have been longer. */
static bool end_in_place(struct vrt_writer *w, struct vrt_error *e)
{
    struct stat s;
    int fd = w->fd;
    bool ok = true;

    w->fd = -1;
    if (fstat(fd, &s) == 0 && S_ISREG(s.st_mode))
        ok = (standard_stream(&s) >= 0 || ftruncate(fd, lseek(fd, 0, SEEK_CUR)) == 0) &&
             fsync(fd) == 0;
    if (!ok)
        fail(e, "write", w->path);
    if (close(fd) != 0 && ok)
        ok = fail(e, "write", w->path);
    return ok;
}

bool vrt_writer_commit(struct vrt_writer *w, struct vrt_error *e)
{
    int fd = w->fd;

    if (w->temporary == NULL)
        return end_in_place(w, e);
    w->fd = -1;
    if (fsync(fd) != 0) {
        fail(e, "write", w->path);
        close(fd);
        return false;
    }
    if (close(fd) != 0)
        return fail(e, "write", w->path);
    if (rename(w->temporary, w->target) != 0)
        return fail(e, "replace", w->path);
    free(w->temporary);
    w->temporary = NULL;
    return vrt_file_sync_name(w->target, e);
}

void vrt_writer_abandon(struct vrt_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    if (w->temporary != NULL)
        unlink(w->temporary);
    free(w->temporary);
    free(w->target);
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

bool vrt_file_there(char path[PATH_MAX], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(path, PATH_MAX, format, arguments);
    va_end(arguments);
    return n >= 0 && n < PATH_MAX && access(path, F_OK) == 0;
}

bool vrt_folder_look(DIR **dir, const char *path, struct vrt_error *e)
{
    *dir = opendir(path);
    return *dir != NULL || (errno != ENOMEM && errno != EMFILE && errno != ENFILE) ||
           fail(e, "look into", path);
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
