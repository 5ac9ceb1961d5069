/* Running the linker, and telling why it failed as far as that can be found out. */
#include "config.h"

#include "compiler/link/link.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler/files/scratch.h"
#include "compiler/link/packages.h"
#include "compiler/link/parts.h"
#include "lang/base/arena.h"
#include "lang/base/diag.h"
#include "lang/base/text.h"

#define BLANKS " \t\n"

struct arguments {
    const char **at;
    size_t n, cap;
};

static void push(struct arena *a, struct arguments *w, const char *word)
{
    *ARENA_PUSH(a, w->at, w->n, w->cap) = word;
}

/* The words of a text, split at blanks. */
static void push_all(struct arena *a, struct arguments *w, const char *text)
{
    while (*(text += strspn(text, BLANKS))) {
        size_t length = strcspn(text, BLANKS);
        push(a, w, arena_copy(a, text, length));
        text += length;
    }
}

static const char *const *split(struct arena *a, const char *text)
{
    struct arguments w = {0};
    push_all(a, &w, text);
    push(a, &w, NULL);
    return w.at;
}

static const char *compiler_command(void)
{
    const char *cc = getenv("CC");
    return cc && cc[strspn(cc, BLANKS)] ? cc : DEFAULT_CC;
}

static const char *const *link_command(struct arena *a, const struct link *l)
{
    struct arguments w = {0};
    push_all(a, &w, compiler_command());
    push_all(a, &w, l->sanitize ? "-fsanitize=address,undefined" : "");
    push(a, &w, "-o");
    push(a, &w, l->program);
    push(a, &w, "-Wl,--whole-archive");
    push(a, &w, l->objects);
    push(a, &w, "-Wl,--no-whole-archive");
    push(a, &w, parts_runtime(a));
    push_all(a, &w, RUNTIME_LIBS);
    push(a, &w, NULL);
    return w.at;
}

/* -- what went wrong -- */

static int64_t file_size(const char *path)
{
    struct stat s;
    return stat(path, &s) ? 0 : s.st_size;
}

/* A linker that has no room does not always say so. */
static bool has_room(struct arena *a, const struct link *l, struct diag *d)
{
    struct statvfs disk;
    int64_t needed = file_size(parts_runtime(a)) + file_size(l->objects);
    unlink(l->program); /* as far as it came */
    if (statvfs(l->folder, &disk))
        return true;
    int64_t left = (int64_t)disk.f_bavail * (int64_t)disk.f_frsize;
    if (left >= needed)
        return true;
    diag_help(d,
              "the disk of %s has %" PRId64 " KiB left, a program may take %" PRId64
              ": set TMPDIR to a folder with room",
              l->folder, left >> 10, needed >> 10);
    return false;
}

static bool failed(struct arena *a, const struct link *l, int status, struct diag *d)
{
    const char *const *compiler = split(a, compiler_command());
    if (WIFSIGNALED(status))
        diag_report(d, DIAG_LINK_FAILED, (struct loc){0}, "%s could not link %s: %s", *compiler,
                    l->name, strsignal(WTERMSIG(status)));
    else
        diag_report(d, DIAG_LINK_FAILED, (struct loc){0}, "%s could not link %s (status %d)",
                    *compiler, l->name, WEXITSTATUS(status));
    const char *missing = "";
    if (has_room(a, l, d) && WIFEXITED(status))
        missing = packages_missing(a, compiler, split(a, RUNTIME_LIBS), l->folder);
    if (*missing)
        diag_help(d, "these packages are missing, by Debian's names; install them:%s", missing);
    diag_help(d, "-v shows the command");
    return false;
}

static bool cannot_run(const char *compiler, int error, struct diag *d)
{
    diag_report(d, DIAG_LINK_FAILED, (struct loc){0}, "cannot run %s: %s", compiler,
                strerror(error));
    if (error == ENOENT)
        diag_help(d, "the package %s brings a C compiler; CC= names another",
                  packages_compiler(compiler));
    return false;
}

bool link_program(struct arena *a, const struct link *l, struct diag *d)
{
    const char *const *argv = link_command(a, l);
    for (size_t i = 0; l->verbose && argv[i]; i++) {
        text_write_word(stderr, argv[i]);
        fputc(argv[i + 1] ? ' ' : '\n', stderr);
    }
    int status = scratch_run(argv, false);
    if (status < 0)
        return cannot_run(argv[0], errno, d);
    return status == 0 || failed(a, l, status, d);
}
