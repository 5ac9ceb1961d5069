/* A folder of files NAME: the bytes, and behind them their checksum, into which the name goes too.
 *
 * A file is written under another name and renamed, so that no build meets half of one. It is not
 * forced to the disk before: what a fallen machine leaves of it has a wrong checksum and is made
 * again, and so is what a damaged disk or a neighbour makes of it. The checksum is no signature:
 * that nobody else writes here is the folder's matter. */
#include "config.h"

#include "compiler/files/kept.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <xxhash.h>

#include "compiler/files/scratch.h"
#include "lang/base/arena.h"
#include "lang/base/diag.h"

#define DAY         (24 * 60 * 60)
#define KEPT_DAYS   30 /* objects that no build has used for so long are removed */
#define BROKEN_DAYS 1  /* and what builds that were killed were writing */
#define MOST_BYTES  ((off_t)256 << 20)

/* -- the folder -- */

static bool make_folder(const char *path)
{
    return !mkdir(path, 0700) || errno == EEXIST;
}

/* NULL: none can be had, or none is wanted. */
static const char *folder_name(struct arena *a)
{
    const char *own = getenv("VMOE_CACHE"), *base = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    if (own)
        return *own && make_folder(own) ? own : NULL;
    if (!base || !*base)
        base = home && *home ? arena_printf(a, "%s/.cache", home) : NULL;
    const char *path = base && make_folder(base) ? arena_printf(a, "%s/vmoe", base) : NULL;
    return path && make_folder(path) ? path : NULL;
}

static bool is_private(const struct stat *s)
{
    return s->st_uid == geteuid() && !(s->st_mode & (S_IWGRP | S_IWOTH));
}

/* Looked at when it is open: its name may lead elsewhere the next time. */
struct kept kept_open(struct arena *a, struct diag *d)
{
    const char *path = folder_name(a);
    struct kept k = {path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1};
    struct stat s = {0};
    if (k.folder < 0 || (!fstat(k.folder, &s) && is_private(&s)))
        return k;
    kept_close(&k);
    bool own = s.st_uid == geteuid();
    diag_report(d, DIAG_CACHE_SHARED, (struct loc){0}, "kernels are not kept in %s: %s", path,
                own ? "others may write to it" : "it belongs to another user");
    diag_help(d, "%sname another folder with VMOE_CACHE=DIR, or none with VMOE_CACHE=",
              own ? "remove it, with what others may have put there; or " : "");
    return k;
}

void kept_close(struct kept *k)
{
    if (k->folder >= 0)
        close(k->folder);
    k->folder = -1;
}

/* -- names and checksums -- */

void kept_name(char name[KEPT_NAME], const char *maker, const void *bytes, size_t size)
{
    XXH64_hash_t seed = XXH3_64bits(maker, strlen(maker));
    XXH128_hash_t hash = XXH3_128bits_withSeed(bytes, size, seed);
    snprintf(name, KEPT_NAME, "%016llx%016llx.o", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
}

static XXH128_canonical_t checksum(const char *name, const void *bytes, size_t size)
{
    XXH128_canonical_t sum;
    XXH64_hash_t seed = XXH3_64bits(name, strlen(name));
    XXH128_canonicalFromHash(&sum, XXH3_128bits_withSeed(bytes, size, seed));
    return sum;
}

/* -- reading and writing -- */

static bool read_all(int fd, char *to, size_t size)
{
    while (size) {
        ssize_t n = read(fd, to, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        to += n;
        size -= (size_t)n;
    }
    return true;
}

/* A file of ours that is whole, or NULL; then it counts as used today. */
static char *read_checked(int fd, const char *name, size_t *size)
{
    struct stat s;
    XXH128_canonical_t sum;
    if (fstat(fd, &s) || !S_ISREG(s.st_mode) || !is_private(&s) || s.st_size <= (off_t)sizeof sum ||
        s.st_size > MOST_BYTES)
        return NULL;
    *size = (size_t)s.st_size - sizeof sum;
    char *bytes = malloc((size_t)s.st_size);
    if (bytes && read_all(fd, bytes, (size_t)s.st_size)) {
        sum = checksum(name, bytes, *size);
        if (!memcmp(&sum, bytes + *size, sizeof sum)) {
            futimens(fd, NULL);
            return bytes;
        }
    }
    free(bytes);
    return NULL;
}

void *kept_read(const struct kept *k, const char *name, size_t *size)
{
    int fd = k->folder < 0
                 ? -1
                 : openat(k->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    char *bytes = read_checked(fd, name, size);
    close(fd);
    return bytes;
}

/* Process numbers are no names: machines and containers that share the folder have the same. */
void kept_write(const struct kept *k, const char *name, const void *bytes, size_t size)
{
    char other[KEPT_NAME + 20];
    uint64_t number;
    if (k->folder < 0 || getrandom(&number, sizeof number, 0) != sizeof number)
        return;
    snprintf(other, sizeof other, "%s.%016llx", name, (unsigned long long)number);
    int fd = openat(k->folder, other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    XXH128_canonical_t sum = checksum(name, bytes, size);
    bool whole = scratch_write(fd, bytes, size) && scratch_write(fd, &sum, sizeof sum);
    if (close(fd) || !whole || renameat(k->folder, other, k->folder, name))
        unlinkat(k->folder, other, 0);
}

/* -- what is old -- */

/* Days that a file of this name is kept, by names as they are made above; 0: it is not ours. */
static int days_kept(const char *name)
{
    if (strspn(name, "0123456789abcdef") != 32 || strncmp(name + 32, ".o", 2))
        return 0;
    return !name[34] ? KEPT_DAYS : name[34] == '.' ? BROKEN_DAYS : 0;
}

void kept_sweep(const struct kept *k)
{
    int fd = k->folder < 0 ? -1 : openat(k->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *all = fd < 0 ? NULL : fdopendir(fd);
    struct stat s;
    time_t now = time(NULL);
    for (const struct dirent *f; all && (f = readdir(all));) {
        int days = days_kept(f->d_name);
        if (days && !fstatat(fd, f->d_name, &s, AT_SYMLINK_NOFOLLOW) &&
            s.st_mtime < now - (time_t)days * DAY)
            unlinkat(fd, f->d_name, 0);
    }
    if (all)
        closedir(all);
    else if (fd >= 0)
        close(fd);
}
