/* Running the linker. */
#include "config.h"

#include "compiler/link/link.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "compiler/link/parts.h"
#include "lang/base/arena.h"
#include "lang/base/diag.h"
#include "lang/base/text.h"

extern char **environ;

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
    *ARENA_PUSH(a, argv, n, cap) = parts_runtime(a);
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
