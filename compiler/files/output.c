/* Outputs. Input: the name on the command line, and bytes. Output: the whole file, or none and the
 * file that was there. */
#include "config.h"

#include "compiler/files/output.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/files/scratch.h"
#include "lang/base/arena.h"
#include "lang/base/diag.h"

#define MOST_LINKS 40

static bool failed(const struct output *o, struct diag *d, const char *why)
{
    diag_report(d, DIAG_FILE_WRITE, (struct loc){0}, "cannot write %s: %s", o->path, why);
    return false;
}

/* -- what a name stands for -- */

/* The number of the open descriptor that a path is a name of; -1: it is none. */
static int descriptor(const char *path)
{
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        size_t n = strlen(folders[i]);
        if (!strncmp(path, folders[i], n) && isdigit((unsigned char)path[n]))
            return atoi(path + n);
    }
    return !strcmp(path, "/dev/stdout") ? 1 : !strcmp(path, "/dev/stderr") ? 2 : -1;
}

/* Where the links from a path end. The file there need not exist, so realpath() is no help; and a
 * descriptor's own link must not be followed: it leads to the file, not to what is open. */
static const char *follow(struct arena *a, const char *path)
{
    char link[PATH_MAX];
    for (int i = 0; i < MOST_LINKS && descriptor(path) < 0; i++) {
        ssize_t n = readlink(path, link, sizeof link - 1);
        if (n < 0)
            break;
        link[n] = '\0';
        const char *slash = strrchr(path, '/');
        int length = *link != '/' && slash ? (int)(slash - path + 1) : 0;
        path = arena_printf(a, "%.*s%s", length, path, link);
    }
    return path;
}

/* -- opening -- */

static bool start(struct output *o, int fd)
{
    o->fd = fd;
    o->file = arena_text_begin(&o->text);
    return true;
}

static bool open_descriptor(struct output *o, int number, bool program, struct diag *d)
{
    if (program) {
        failed(o, d, "a program is a file that can be run");
        diag_help(d, "name one with -o");
        return false;
    }
    int fd = fcntl(number, F_DUPFD_CLOEXEC, 3);
    struct stat s;
    if (fd < 0 || fstat(fd, &s))
        return failed(o, d, strerror(errno));
    if (S_ISREG(s.st_mode)) {
        o->device = s.st_dev;
        o->inode = s.st_ino;
    }
    return start(o, fd);
}

static bool no_file(const struct output *o, const char *name, int error, struct diag *d)
{
    const char *slash = strrchr(name, '/');
    if (error == ENOENT && slash)
        diag_report(d, DIAG_FILE_WRITE, (struct loc){0}, "cannot write %s: there is no folder %.*s",
                    o->path, (int)(slash - name), name);
    else
        failed(o, d, strerror(error));
    return false;
}

/* s: the file that is there, or NULL. */
static bool open_beside(struct output *o, struct arena *a, const char *name, const struct stat *s,
                        bool program, struct diag *d)
{
    const char *slash = strrchr(name, '/');
    if (!*(slash ? slash + 1 : name))
        return no_file(o, name, ENOENT, d);
    mode_t mask = umask(0);
    umask(mask);
    o->mode = s ? s->st_mode & 0777 : 0666 & ~mask;
    if (program)
        o->mode |= (o->mode & 0444) >> 2;
    if (s) {
        o->device = s->st_dev;
        o->inode = s->st_ino;
    }
    o->name = name;
    int fd = scratch_file(a, name);
    return fd < 0 ? no_file(o, name, errno, d) : start(o, fd);
}

/* The system is asked for the file as it is: it knows what may be written, and which links of
 * others may be followed. */
bool output_open(struct output *o, struct arena *a, const char *path, bool program, struct diag *d)
{
    bool standard = !strcmp(path, "-");
    *o = (struct output){.fd = -1,
                         .path = standard ? "standard output"
                                 : *path  ? path
                                          : "a file without name"};
    const char *name = follow(a, standard ? "/dev/stdout" : path);
    if (descriptor(name) >= 0)
        return open_descriptor(o, descriptor(name), program, d);
    struct stat s;
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return open_beside(o, a, name, NULL, program, d);
    if (fd < 0 && errno == EISDIR) {
        failed(o, d, "it is a folder");
        diag_help(d, "name a file with -o");
        return false;
    }
    bool runs = fd < 0 && errno == ETXTBSY; /* a program may be replaced while it runs */
    if ((fd < 0 && !runs) || (runs ? stat(path, &s) : fstat(fd, &s)))
        return failed(o, d, strerror(errno));
    if (!S_ISREG(s.st_mode))
        return start(o, fd);
    if (!runs)
        close(fd);
    return open_beside(o, a, name, &s, program, d);
}

bool output_replaces(const struct output *o, const char *path)
{
    struct stat s;
    return o->inode && !stat(path, &s) && s.st_dev == o->device && s.st_ino == o->inode;
}

/* -- writing -- */

bool output_copy(struct output *o, const char *from, struct diag *d)
{
    static char bytes[1 << 16];
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;
    while (fd >= 0 && (n = read(fd, bytes, sizeof bytes)) > 0)
        if (!scratch_write(o->fd, bytes, (size_t)n))
            break;
    int error = errno;
    if (fd >= 0)
        close(fd);
    return !n || failed(o, d, strerror(error));
}

static bool finish(struct output *o)
{
    bool whole = !fclose(o->file); /* a cookie's write finds memory, or ends the compiler */
    o->file = NULL;
    errno = whole ? errno : ENOMEM;
    if (!whole || !scratch_write(o->fd, o->text.text, o->text.size) ||
        (o->name && fchmod(o->fd, o->mode)))
        return false;
    int fd = o->fd;
    o->fd = -1;
    return !close(fd) && (!o->name || scratch_rename(o->name));
}

bool output_commit(struct output *o, struct diag *d)
{
    return finish(o) || failed(o, d, strerror(errno));
}

void output_close(struct output *o)
{
    if (!o->path)
        return;
    if (o->file)
        fclose(o->file);
    if (o->fd >= 0)
        close(o->fd);
    free(o->text.text);
    *o = (struct output){0};
}
