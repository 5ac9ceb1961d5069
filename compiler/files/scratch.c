/* The folder stands in TMPDIR and not beside the output: a build that is killed for good leaves it
 * where the system sweeps, and the output's disk needs room for the output only. The file stands
 * beside the output, since renaming does not leave a disk.
 *
 * Input: requests. Output: files that are gone when the compiler is, whichever way it ends except
 * by SIGKILL. */
#include "config.h"

#include "compiler/files/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lang/base/arena.h"

/* How often a folder is emptied that threads and a linker may still write to. */
#define TRIES 100

extern char **environ;

static const char *_Atomic folder, *_Atomic file;
static atomic_int child;

/* -- removing: with nothing but what a signal handler may call -- */

static void empty_folder(int fd)
{
    _Alignas(struct dirent64) char entries[4096];
    ssize_t n;
    while ((n = getdents64(fd, entries, sizeof entries)) > 0)
        for (ssize_t at = 0; at < n;) {
            const struct dirent64 *entry = (const void *)(entries + at);
            unlinkat(fd, entry->d_name, 0);
            at += entry->d_reclen;
        }
}

static void remove_folder(const char *path)
{
    for (int i = 0; i < TRIES && rmdir(path) && errno == ENOTEMPTY; i++) {
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return;
        empty_folder(fd);
        close(fd);
    }
}

/* Forgotten only when they are gone: a signal that comes between removes them again. */
void scratch_remove(void)
{
    pid_t pid = child;
    if (pid)
        kill(pid, SIGTERM);
    if (file)
        unlink(file);
    if (folder)
        remove_folder(folder);
    file = folder = NULL;
}

static void end(int number)
{
    scratch_remove();
    signal(number, SIG_DFL);
    raise(number);
}

/* One that has a stack of its own, the address sanitizer's, keeps it. */
void scratch_thread(void)
{
    static _Thread_local char spare[1 << 16];
    const stack_t stack = {.ss_sp = spare, .ss_size = sizeof spare};
    stack_t before;
    if (!sigaltstack(NULL, &before) && before.ss_flags & SS_DISABLE)
        sigaltstack(&stack, NULL);
}

static bool ends_process(int number)
{
    static const int harmless[] = {SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP,
                                   SIGTTIN, SIGTTOU, SIGURG,  SIGWINCH};
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (harmless[i] == number)
            return false;
    return true;
}

/* A signal that is ignored stays so. */
static void watch(void)
{
    static bool watched;
    struct sigaction action = {.sa_handler = end, .sa_flags = SA_RESTART | SA_ONSTACK}, before;
    if (watched)
        return;
    watched = true;
    scratch_thread();
    for (int number = 1; number <= SIGRTMAX; number++)
        if (ends_process(number) && !sigaction(number, NULL, &before) &&
            before.sa_handler == SIG_DFL)
            sigaction(number, &action, NULL);
    atexit(scratch_remove);
}

/* -- making: no signal comes between the file and the note of its name -- */

static sigset_t hold_signals(void)
{
    sigset_t all, before;
    watch();
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    return before;
}

const char *scratch_place(void)
{
    const char *place = getenv("TMPDIR");
    return place && *place ? place : "/tmp";
}

/* Absolute, for it is handed to other programs: no name in it can be taken for an option. What they
 * have for the moment is to be there too, and to go with it. */
const char *scratch_folder(struct arena *a)
{
    if (folder)
        return folder;
    char *place = realpath(scratch_place(), NULL);
    if (!place)
        return NULL;
    char *name = arena_printf(a, "%s/vmoec-XXXXXX", place);
    free(place);
    sigset_t before = hold_signals();
    if (mkdtemp(name))
        folder = name;
    int error = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (folder)
        setenv("TMPDIR", folder, 1);
    errno = error;
    return folder;
}

int scratch_file(struct arena *a, const char *beside)
{
    const char *slash = strrchr(beside, '/');
    int length = slash ? (int)(slash - beside + 1) : 0;
    char *name = arena_printf(a, "%.*s.vmoec-XXXXXX", length, beside);
    sigset_t before = hold_signals();
    int fd = mkostemp(name, O_CLOEXEC), error = errno;
    if (fd >= 0)
        file = name;
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return fd;
}

bool scratch_rename(const char *name)
{
    if (rename(file, name))
        return false;
    file = NULL;
    return true;
}

bool scratch_write(int fd, const void *data, size_t size)
{
    for (const char *from = data; size;) {
        ssize_t n = write(fd, from, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        from += n;
        size -= (size_t)n;
    }
    return true;
}

/* -- the process -- */

static int start(const char *const *argv, bool quiet)
{
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;
    sigset_t before = hold_signals();
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &before);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    for (int fd = 1; quiet && fd < 3; fd++)
        posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_WRONLY, 0);
    int error = posix_spawnp(&pid, argv[0], &actions, &attributes, (char *const *)argv, environ);
    child = error ? 0 : pid;
    sigprocmask(SIG_SETMASK, &before, NULL);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return error;
}

int scratch_run(const char *const *argv, bool quiet)
{
    siginfo_t info;
    int status = -1, error = start(argv, quiet);
    if (error) {
        errno = error;
        return -1;
    }
    /* It is forgotten before it is reaped: its number may then be another's. */
    while (waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) && errno == EINTR)
        ;
    pid_t done = atomic_exchange(&child, 0);
    waitpid(done, &status, 0);
    return status;
}
