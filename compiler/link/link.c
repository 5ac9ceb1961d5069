/* Finding the runtime and the standard library, and running the linker. A build tree knows its own
 * parts, an installed compiler those beside it. */
#include "config.h"

#include "compiler/link/link.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lang/base/arena.h"
#include "lang/base/diag.h"
#include "lang/base/text.h"

extern char **environ;

/* The folder of this executable. */
static const char *own_folder(struct arena *a)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    while (n > 0 && path[n - 1] != '/')
        n--;
    return n > 0 ? arena_copy(a, path, (size_t)n - 1) : "";
}

/* In a build tree the library stands below the compiler. */
static bool in_build_tree(struct arena *a)
{
    return access(arena_printf(a, "%s/runtime/libvrt.a", own_folder(a)), R_OK) == 0;
}

static const char *runtime_library(struct arena *a)
{
    if (in_build_tree(a))
        return arena_printf(a, "%s/runtime/libvrt.a", own_folder(a));
    return PKGLIBDIR "/libvrt.a";
}

const char *const *link_stdlib_folders(struct arena *a, const char *given, size_t *n)
{
    const char **list = NULL, *path = getenv("VMOE_PATH");
    size_t cap = 0;
    *n = 0;
    if (given)
        *ARENA_PUSH(a, list, *n, cap) = given;
    while (path && *path) {
        size_t length = strcspn(path, ":");
        if (length)
            *ARENA_PUSH(a, list, *n, cap) = arena_copy(a, path, length);
        path += length + (path[length] == ':');
    }
    *ARENA_PUSH(a, list, *n, cap) =
        in_build_tree(a) ? SOURCE_FOLDER "/stdlib" : PKGDATADIR "/stdlib";
    return list;
}

/* The words of a text, split at blanks. */
static void push_words(struct arena *a, const char ***argv, size_t *n, size_t *cap,
                       const char *text)
{
    while (*(text += strspn(text, " "))) {
        size_t length = strcspn(text, " ");
        *ARENA_PUSH(a, *argv, *n, *cap) = arena_copy(a, text, length);
        text += length;
    }
}

static int run(const char *const *argv)
{
    pid_t child;
    int status = 0;
    int error = posix_spawnp(&child, argv[0], NULL, NULL, (char *const *)argv, environ);
    if (error) {
        errno = error;
        return -1;
    }
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

bool link_program(struct arena *a, const char *const *objects, size_t count, const char *out,
                  bool verbose, bool sanitize, struct diag *d)
{
    const char **argv = NULL, *cc = getenv("CC");
    size_t n = 0, cap = 0;
    push_words(a, &argv, &n, &cap, cc && *cc ? cc : DEFAULT_CC);
    push_words(a, &argv, &n, &cap, sanitize ? "-fsanitize=address,undefined" : "");
    *ARENA_PUSH(a, argv, n, cap) = "-o";
    *ARENA_PUSH(a, argv, n, cap) = out;
    for (size_t i = 0; i < count; i++)
        *ARENA_PUSH(a, argv, n, cap) = objects[i];
    *ARENA_PUSH(a, argv, n, cap) = runtime_library(a);
    push_words(a, &argv, &n, &cap, RUNTIME_LIBS);
    *ARENA_PUSH(a, argv, n, cap) = NULL;
    for (size_t i = 0; verbose && argv[i]; i++) {
        text_write_word(stderr, argv[i]);
        fputc(argv[i + 1] ? ' ' : '\n', stderr);
    }
    int status = run(argv);
    if (status == 0)
        return true;
    if (status < 0)
        diag_report(d, DIAG_LINK_FAILED, (struct loc){NULL, 0, 0}, "cannot run %s: %s", argv[0],
                    strerror(errno));
    else
        diag_report(d, DIAG_LINK_FAILED, (struct loc){NULL, 0, 0},
                    "%s could not link %s (status %d)", argv[0], out, status);
    diag_help(
        d, "a C compiler and the libraries of the README must be installed; -v shows the command");
    return false;
}
