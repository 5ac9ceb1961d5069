/* Claims on folders: see claim.h. All calls are relative to the open folder. */
#include "runtime/base/claim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum { BEAT = 30, STALE = 300 }; /* seconds */
enum { TRIES = 20, PAUSE = 50 }; /* for a lock; milliseconds */

#define CLAIM   "claim"
#define UNREADY "claim.tmp," /* a claim that is being made; the name of its file follows */

struct vrt_claim {
    int folder;              /* open, and locked where locks work */
    char name[NAME_MAX + 1]; /* of our file in CLAIM; "": the lock is all */
    char path[2 * NAME_MAX]; /* CLAIM/name */
    pthread_t beat;
    pthread_mutex_t lock;
    pthread_cond_t end;
    bool ends;
};

/* -- who -- */

struct owner {
    char host[65];
    long pid;
    unsigned long long start;
    char pids[32], boot[64]; /* "-": not known */
};

static void read_word(const char *path, char *word, size_t size)
{
    FILE *f = fopen(path, "re");
    if (f == NULL || fgets(word, (int)size, f) == NULL)
        snprintf(word, size, "-");
    if (f != NULL)
        fclose(f);
    word[strcspn(word, "\n,/")] = '\0';
}

/* When a process began; 0: it is gone, or (without memory, or where /proc is hidden) not known. A
 * zombie does not count. "17 (a name) S 1 ..": the name may hold anything, and the 20th word after
 * the state is the time. */
static unsigned long long start_of(long pid, bool *known)
{
    char path[40], text[1024] = "", state = 'X';
    unsigned long long start = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    *known = n > 0;
    text[n > 0 ? n : 0] = '\0';
    const char *end = strrchr(text, ')');
    if (end == NULL || sscanf(end + 1,
                              " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                              "%*s %*s %llu",
                              &state, &start) != 2)
        return 0;
    return state == 'Z' || state == 'X' ? 0 : start;
}

static void find_self(struct owner *o)
{
    char link[40];
    ssize_t n = readlink("/proc/self/ns/pid", link, sizeof link - 1);
    bool known;
    *o = (struct owner){.pid = (long)getpid(), .pids = "-"};
    o->start = start_of(o->pid, &known);
    link[n > 0 ? n : 0] = '\0';
    sscanf(link, "pid:[%20[0-9]", o->pids);
    read_word("/proc/sys/kernel/random/boot_id", o->boot, sizeof o->boot);
    if (gethostname(o->host, sizeof o->host - 1) != 0 || o->host[0] == '\0')
        snprintf(o->host, sizeof o->host, "-");
    for (char *c = o->host; *c != '\0'; c++)
        if (*c == ',' || *c == '/' || (unsigned char)*c <= ' ')
            *c = '_';
}

static bool read_owner(const char *name, struct owner *o)
{
    *o = (struct owner){.host = "-"};
    return sscanf(name, "%64[^,],%ld,%llu,%31[^,],%63[^,]", o->host, &o->pid, &o->start, o->pids,
                  o->boot) == 5;
}

/* Is the owner dead for sure? Its number means something only where it was given. */
static bool is_dead(const struct owner *o)
{
    struct owner self;
    bool known;
    find_self(&self);
    bool here = strcmp(o->boot, "-") != 0 && strcmp(o->boot, self.boot) == 0 &&
                strcmp(o->pids, "-") != 0 && strcmp(o->pids, self.pids) == 0;
    if (!here || self.start == 0)
        return false;
    if (kill((pid_t)o->pid, 0) != 0 && errno == ESRCH)
        return true;
    unsigned long long start = start_of(o->pid, &known);
    return known && start != o->start;
}

/* May the claim of that name, last renewed at `time`, be taken over at `now`? */
static bool is_free(const char *name, time_t time, time_t now)
{
    struct owner o;
    return read_owner(name, &o) && (is_dead(&o) || now - time > STALE);
}

/* -- the folder inside -- */

static const char *in_folder(char path[2 * NAME_MAX], const char *folder, const char *name)
{
    snprintf(path, 2 * NAME_MAX, "%s/%.250s", folder, name);
    return path;
}

static DIR *open_list(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL && fd >= 0)
        close(fd);
    return d;
}

/* The file in CLAIM, and when it was renewed; false: there is none. */
static bool find_holder(int folder, char name[NAME_MAX + 1], time_t *time)
{
    DIR *d = open_list(folder, CLAIM);
    struct stat s;
    name[0] = '\0';
    for (struct dirent *f = d != NULL ? readdir(d) : NULL; f != NULL && name[0] == '\0';
         f = readdir(d))
        if (f->d_name[0] != '.' && fstatat(dirfd(d), f->d_name, &s, AT_SYMLINK_NOFOLLOW) == 0) {
            snprintf(name, NAME_MAX + 1, "%s", f->d_name);
            *time = s.st_mtime;
        }
    if (d != NULL)
        closedir(d);
    return name[0] != '\0';
}

/* Is a folder `claim` there that no claim made? It is the user's. */
static bool is_foreign(int folder)
{
    char name[NAME_MAX + 1], path[2 * NAME_MAX];
    struct owner o;
    struct stat s;
    time_t time;
    if (fstatat(folder, CLAIM, &s, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(s.st_mode))
        return true;
    return find_holder(folder, name, &time) &&
           (!read_owner(name, &o) ||
            (fstatat(folder, in_folder(path, CLAIM, name), &s, AT_SYMLINK_NOFOLLOW) == 0 &&
             !S_ISREG(s.st_mode)));
}

static void remove_unready(int folder, const char *unready)
{
    char path[2 * NAME_MAX];
    unlinkat(folder, in_folder(path, unready, unready + strlen(UNREADY)), 0);
    unlinkat(folder, unready, AT_REMOVEDIR);
}

/* What was left by processes that died while they made a claim. */
static void sweep(int folder, time_t now)
{
    DIR *d = open_list(folder, ".");
    struct stat s;
    for (struct dirent *f = d != NULL ? readdir(d) : NULL; f != NULL; f = readdir(d))
        if (strncmp(f->d_name, UNREADY, strlen(UNREADY)) == 0 &&
            fstatat(folder, f->d_name, &s, AT_SYMLINK_NOFOLLOW) == 0 &&
            is_free(f->d_name + strlen(UNREADY), s.st_mtime, now))
            remove_unready(folder, f->d_name);
    if (d != NULL)
        closedir(d);
}

/* A folder with our file in it, ready to be the claim. Its time is `now` by the file system. */
static bool make_unready(const struct vrt_claim *c, const char *unready, time_t *now)
{
    char path[2 * NAME_MAX];
    struct stat s;
    remove_unready(c->folder, unready);
    if (mkdirat(c->folder, unready, 0777) != 0)
        return false;
    int fd = openat(c->folder, in_folder(path, unready, c->name),
                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    bool ok = fd >= 0 && futimens(fd, NULL) == 0 && fstat(fd, &s) == 0;
    if (fd >= 0 && close(fd) != 0)
        ok = false;
    if (ok)
        *now = s.st_mtime;
    return ok;
}

/* Over a network the answer to a rename may be lost, and its second sending fail: what is there
 * tells. */
static bool is_ours(const struct vrt_claim *c)
{
    return faccessat(c->folder, c->path, F_OK, 0) == 0;
}

/* One attempt; `holder` is who was in the way, "": nobody. The file that is taken over is renewed
 * first, lest it looks stale under our name. */
static bool try_claim(const struct vrt_claim *c, const char *unready, time_t now,
                      char holder[NAME_MAX + 1])
{
    char theirs[2 * NAME_MAX];
    time_t time;
    holder[0] = '\0';
    renameat(c->folder, unready, c->folder, CLAIM);
    if (is_ours(c))
        return true;
    if (!find_holder(c->folder, holder, &time)) {
        unlinkat(c->folder, CLAIM, AT_REMOVEDIR);
        return false;
    }
    if (!is_free(holder, time, now))
        return false;
    in_folder(theirs, CLAIM, holder);
    holder[0] = '\0';
    if (utimensat(c->folder, theirs, NULL, 0) == 0)
        renameat(c->folder, theirs, c->folder, c->path);
    return is_ours(c);
}

static void tell_holder(const char *name, char who[VRT_CLAIM_WHO])
{
    struct owner o;
    if (read_owner(name, &o))
        snprintf(who, VRT_CLAIM_WHO, "process %ld on %s", o.pid, o.host);
    else
        snprintf(who, VRT_CLAIM_WHO, "%.100s", name);
}

static bool claim_inside(struct vrt_claim *c, const char *folder, char who[VRT_CLAIM_WHO],
                         struct vrt_error *e)
{
    static atomic_uint claims;
    char unready[NAME_MAX + 1], holder[NAME_MAX + 1] = "";
    struct owner self;
    time_t now;
    bool ok = false;
    find_self(&self);
    snprintf(c->name, sizeof c->name, "%s,%ld,%llu,%s,%s,%u", self.host, self.pid, self.start,
             self.pids, self.boot, atomic_fetch_add(&claims, 1));
    in_folder(c->path, CLAIM, c->name);
    snprintf(unready, sizeof unready, UNREADY "%.240s", c->name);
    if (!make_unready(c, unready, &now)) {
        vrt_fail(e, VRT_BAD_INPUT, "cannot claim %s: %s", folder, strerror(errno));
        remove_unready(c->folder, unready);
        return false;
    }
    for (int i = 0; i < TRIES && !ok && holder[0] == '\0'; i++)
        ok = try_claim(c, unready, now, holder);
    remove_unready(c->folder, unready);
    if (ok)
        sweep(c->folder, now);
    else if (holder[0] != '\0')
        tell_holder(holder, who);
    else
        vrt_fail(e, VRT_BAD_INPUT, "cannot claim %s: the folder %s in it cannot be made", folder,
                 CLAIM);
    return ok;
}

static void remove_claim(const struct vrt_claim *c)
{
    unlinkat(c->folder, c->path, 0);
    unlinkat(c->folder, CLAIM, AT_REMOVEDIR);
}

/* -- renewing -- */

static void *beat(void *argument)
{
    struct vrt_claim *c = argument;
    struct timespec next;
    pthread_mutex_lock(&c->lock);
    while (!c->ends) {
        pthread_mutex_unlock(&c->lock);
        utimensat(c->folder, c->path, NULL, 0);
        clock_gettime(CLOCK_MONOTONIC, &next);
        next.tv_sec += BEAT;
        pthread_mutex_lock(&c->lock);
        while (!c->ends && pthread_cond_timedwait(&c->end, &c->lock, &next) != ETIMEDOUT)
            continue;
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* Signals are for the main thread. */
static bool start_beat(struct vrt_claim *c, struct vrt_error *e)
{
    pthread_condattr_t monotonic;
    sigset_t all, before;
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c->end, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&c->beat, NULL, beat, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed == 0 || vrt_fail(e, VRT_BAD_INPUT, "cannot start a thread: %s", strerror(failed));
}

static void stop_beat(struct vrt_claim *c)
{
    pthread_mutex_lock(&c->lock);
    c->ends = true;
    pthread_cond_signal(&c->end);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->beat, NULL);
}

/* -- the lock -- */

/* File systems of the network, where a lock on a folder is one of this machine alone. */
static bool is_shared(int fd)
{
    static const long kinds[] = {
        0x6969,     0x517b,     0xff534d42,
        0xfe534d42, 0x5346414f, /* NFS, SMB (3), AFS */
        0x00c36400, 0x65735546, 0x01021997,
        0x0bd00bd0, 0x47504653,             /* Ceph, FUSE, 9P, Lustre, GPFS */
        0x19830326, 0x7461636f, 0x01161970, /* BeeGFS, OCFS2, GFS2 */
    };
    struct statfs s;
    if (fstatfs(fd, &s) != 0)
        return false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if ((unsigned)s.f_type == (unsigned)kinds[i])
            return true;
    return false;
}

enum lock { LOCKED, HELD, REFUSED, FAILED };

static enum lock lock_folder(int fd)
{
    const struct timespec pause = {.tv_nsec = PAUSE * 1000000L};
    for (int i = 0;; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return LOCKED;
        if (errno == ENOLCK || errno == ENOSYS || errno == EOPNOTSUPP || errno == EINVAL ||
            errno == EBADF) /* the last of some that want the folder open for writing */
            return REFUSED;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return FAILED;
        if (i == TRIES)
            return HELD;
        nanosleep(&pause, NULL);
    }
}

/* Does the path no longer lead to what was opened and locked? */
static bool is_gone(int fd, const char *path)
{
    struct stat opened, there;
    return fstat(fd, &opened) == 0 && (stat(path, &there) != 0 || opened.st_dev != there.st_dev ||
                                       opened.st_ino != there.st_ino);
}

static bool claim_folder(struct vrt_claim *c, const char *folder, char who[VRT_CLAIM_WHO],
                         struct vrt_error *e)
{
    c->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum lock l = c->folder >= 0 ? lock_folder(c->folder) : FAILED;
    if (l == FAILED)
        return vrt_fail(e, VRT_BAD_INPUT, "cannot claim %s: %s", folder, strerror(errno));
    if (l == HELD) {
        snprintf(who, VRT_CLAIM_WHO, "a process on this machine");
        return false;
    }
    if (l == LOCKED && is_gone(c->folder, folder))
        return vrt_fail(e, VRT_BAD_INPUT, "%s was removed while it was opened; try again", folder);
    if (is_foreign(c->folder))
        return vrt_fail(e, VRT_BAD_INPUT,
                        "%s holds a `%s` that no training made; choose another --out", folder,
                        CLAIM);
    if (l == LOCKED && !is_shared(c->folder) && faccessat(c->folder, CLAIM, F_OK, 0) != 0)
        return true;
    if (claim_inside(c, folder, who, e)) {
        if (start_beat(c, e))
            return true;
        remove_claim(c);
        return false;
    }
    c->name[0] = '\0';
    /* where no folder can be made a lock is something */
    return l == LOCKED && who[0] == '\0' && faccessat(c->folder, CLAIM, F_OK, 0) != 0;
}

bool vrt_claim_take(struct vrt_claim **out, const char *folder, char who[VRT_CLAIM_WHO],
                    struct vrt_error *e)
{
    struct vrt_claim *c = calloc(1, sizeof *c);
    *out = NULL;
    who[0] = '\0';
    if (c == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to claim %s", folder);
    if (claim_folder(c, folder, who, e)) {
        *out = c;
        return true;
    }
    if (c->folder >= 0)
        close(c->folder);
    free(c);
    return false;
}

bool vrt_claim_holds(const struct vrt_claim *c, struct vrt_error *e)
{
    if (c == NULL || c->name[0] == '\0' || is_ours(c) || errno != ENOENT)
        return true;
    return vrt_fail(e, VRT_BAD_INPUT,
                    "another process has taken over the folder (its `%s` is not %.100s), since "
                    "this one did nothing for minutes; this one ends",
                    CLAIM, c->name);
}

void vrt_claim_drop(struct vrt_claim *c)
{
    if (c == NULL)
        return;
    if (c->name[0] != '\0') {
        stop_beat(c);
        remove_claim(c);
    }
    close(c->folder);
    free(c);
}

bool vrt_claim_seen(const char *folder)
{
    char name[NAME_MAX + 1];
    time_t when;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (!held && find_holder(fd, name, &when))
        held = !is_free(name, when, time(NULL));
    close(fd);
    return held;
}

bool vrt_claim_entry(const char *name)
{
    return strcmp(name, CLAIM) == 0 || strncmp(name, UNREADY, strlen(UNREADY)) == 0;
}
