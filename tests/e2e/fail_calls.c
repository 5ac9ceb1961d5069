/* A library to preload that makes one call fail, of those that change files of a run.
 *
 *   FAIL_IN=TEXT         count calls on files whose path holds this text
 *   FAIL_AT=K            the K-th of them fails, K = 1, 2, ...
 *   FAIL_HOW=error       (default) it fails as on a disk that is full or broken; nothing of it is
 *                        done
 *   FAIL_HOW=short       a write does half its work and says so, which is no error
 *   FAIL_HOW=half        a write does half its work, then fails
 *   FAIL_HOW=kill        the process dies before the call, in the middle of it where it is a write
 *   FAIL_COUNT=FILE      how many calls there were is written here at the end
 *
 *   READ_FAILS=TEXT      reading at a place of a file whose path holds this text fails as on a bad
 *                        disk
 *
 * It also spoils gradients: NAN_STEPS=A-B puts a NaN into one of the sums of steps A to B (from 1)
 * of a training, if the learning rate of the step before was above NAN_LR. Which step runs is read
 * off the lines that go into metrics.jsonl. */
#include "config.h"

#include <cblas.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum how { HOW_ERROR, HOW_SHORT, HOW_HALF, HOW_KILL };

static atomic_long calls;
static atomic_long step = -1; /* the last one that metrics.jsonl speaks of */
static _Atomic double rate;   /* its learning rate */

static void *next(const char *name)
{
    void *f = dlsym(RTLD_NEXT, name);
    if (f == NULL)
        abort();
    return f;
}

#define REAL(result, name, ...) ((result(*)(__VA_ARGS__))(uintptr_t)next(#name))

static enum how how(void)
{
    const char *text = getenv("FAIL_HOW");
    if (text == NULL)
        return HOW_ERROR;
    return strcmp(text, "kill") == 0    ? HOW_KILL
           : strcmp(text, "half") == 0  ? HOW_HALF
           : strcmp(text, "short") == 0 ? HOW_SHORT
                                        : HOW_ERROR;
}

static bool path_of(int fd, char path[PATH_MAX])
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* Is this the call that is to fail? */
static bool fails(const char *path)
{
    const char *where = getenv("FAIL_IN"), *at = getenv("FAIL_AT");
    if (where == NULL || path == NULL || strstr(path, where) == NULL)
        return false;
    long n = atomic_fetch_add(&calls, 1) + 1;
    return at != NULL && atol(at) == n;
}

static bool fails_fd(int fd)
{
    char path[PATH_MAX];
    return fd > 2 && path_of(fd, path) && fails(path);
}

/* For calls that have no half. */
static bool stops(bool it_is, int error)
{
    if (!it_is || how() == HOW_SHORT)
        return false;
    if (how() == HOW_KILL)
        raise(SIGKILL);
    errno = error;
    return true;
}

static __attribute__((destructor)) void report(void)
{
    const char *path = getenv("FAIL_COUNT");
    FILE *f = path != NULL ? fopen(path, "w") : NULL;
    if (f == NULL)
        return;
    fprintf(f, "%ld\n", (long)calls);
    fclose(f);
}

/* -- what a line of the metrics says -- */

static void learn(const char *line, size_t size)
{
    char text[4096];
    snprintf(text, sizeof text, "%.*s", (int)(size < 4000 ? size : 4000), line);
    const char *warning = strstr(text, "\"warning\""), *at = strstr(text, "\"step\":"),
               *lr = strstr(text, "\"lr\":");
    for (const char *later = at; warning != NULL && later != NULL;
         later = strstr(later + 1, "\"step\":"))
        at = later;
    if (at != NULL)
        step = atol(at + 7);
    if (at != NULL && lr != NULL)
        rate = atof(lr + 5);
}

static bool is_metrics(int fd)
{
    char path[PATH_MAX];
    return getenv("NAN_STEPS") != NULL && fd > 2 && path_of(fd, path) &&
           strstr(path, "metrics.jsonl") != NULL;
}

/* A training that goes on cuts its metrics first: what is left says where it stands. */
static void learn_file(int fd, off_t length)
{
    char path[PATH_MAX], line[4096];
    FILE *f = path_of(fd, path) ? fopen(path, "r") : NULL;
    step = 0;
    while (f != NULL && ftell(f) < length && fgets(line, sizeof line, f) != NULL)
        learn(line, strlen(line));
    if (f != NULL)
        fclose(f);
}

void cblas_sgemm(CBLAS_LAYOUT order, CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, blasint m, blasint n,
                 blasint k, float alpha, const float *a, blasint lda, const float *b, blasint ldb,
                 float beta, float *c, blasint ldc)
{
    static void (*real)(CBLAS_LAYOUT, CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, blasint, blasint, blasint,
                        float, const float *, blasint, const float *, blasint, float, float *,
                        blasint);
    const char *steps = getenv("NAN_STEPS"), *limit = getenv("NAN_LR");
    long from, to;
    if (real == NULL)
        *(void **)&real = next("cblas_sgemm");
    real(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    if (steps != NULL && sscanf(steps, "%ld-%ld", &from, &to) == 2 && step + 1 >= from &&
        step + 1 <= to && (limit == NULL || rate > atof(limit)))
        c[0] = NAN;
}

/* -- calls -- */

ssize_t write(int fd, const void *data, size_t size)
{
    ssize_t (*real)(int, const void *, size_t) = REAL(ssize_t, write, int, const void *, size_t);
    if (is_metrics(fd))
        learn(data, size);
    if (!fails_fd(fd))
        return real(fd, data, size);
    if (how() == HOW_SHORT)
        return real(fd, data, size > 1 ? size / 2 : size);
    if (how() != HOW_ERROR && size > 1 && real(fd, data, size / 2) < 0)
        return -1;
    stops(true, ENOSPC);
    return -1;
}

ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
    char path[PATH_MAX];
    const char *where = getenv("READ_FAILS");
    if (where == NULL || !path_of(fd, path) || strstr(path, where) == NULL)
        return REAL(ssize_t, pread, int, void *, size_t, off_t)(fd, data, size, offset);
    errno = EIO;
    return -1;
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if (flags & O_CREAT && stops(fails(path), ENOSPC))
        return -1;
    return REAL(int, open, const char *, int, ...)(path, flags, mode);
}

int close(int fd)
{
    bool failed = stops(fails_fd(fd), EIO);
    int status = REAL(int, close, int)(fd);
    if (failed)
        errno = EIO;
    return failed ? -1 : status;
}

int fsync(int fd)
{
    return stops(fails_fd(fd), EIO) ? -1 : REAL(int, fsync, int)(fd);
}

int fdatasync(int fd)
{
    return stops(fails_fd(fd), EIO) ? -1 : REAL(int, fdatasync, int)(fd);
}

int ftruncate(int fd, off_t length)
{
    if (stops(fails_fd(fd), EIO))
        return -1;
    int status = REAL(int, ftruncate, int, off_t)(fd, length);
    if (is_metrics(fd))
        learn_file(fd, length);
    return status;
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    return stops(fails_fd(fd), ENOSPC)
               ? -1
               : REAL(int, fallocate, int, int, off_t, off_t)(fd, mode, offset, length);
}

int rename(const char *from, const char *to)
{
    return stops(fails(to), ENOSPC) ? -1 : REAL(int, rename, const char *, const char *)(from, to);
}

int mkdir(const char *path, mode_t mode)
{
    return stops(fails(path), ENOSPC) ? -1 : REAL(int, mkdir, const char *, mode_t)(path, mode);
}

int unlink(const char *path)
{
    return stops(fails(path), EIO) ? -1 : REAL(int, unlink, const char *)(path);
}
