/* The C compiler is asked for one library after the other: its answer is right for whatever folders
 * and linker it uses, and in any language. */
#include "config.h"

#include "compiler/link/packages.h"

#include <stdbool.h>
#include <string.h>

#include "compiler/files/scratch.h"
#include "lang/base/arena.h"

/* Of the libraries that a program is linked with; those of libc come with the compiler's. */
static const struct {
    const char *flag, *package;
} rows[] = {
    {"-ljansson", "libjansson-dev"},
    {"-larchive", "libarchive-dev"},
    {"-lpng16", "libpng-dev"},
    {"-lpng", "libpng-dev"},
    {"-lz", "zlib1g-dev"},
    {"-ljpeg", "libjpeg62-turbo-dev"},
    {"-lxxhash", "libxxhash-dev"},
    {"-lpthread", "libc6-dev"},
    {"-lm", "libc6-dev"},
    {"-ldl", "libc6-dev"},
};

const char *packages_compiler(const char *program)
{
    const char *slash = strrchr(program, '/');
    const char *name = slash ? slash + 1 : program;
    return !strncmp(name, "clang", 5) ? "clang" : "gcc";
}

static const char *package_of(struct arena *a, const char *flag)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].flag, flag))
            return rows[i].package;
    return arena_printf(a, "(the one with %s)", flag);
}

/* Does a library without a line of code link with these? A library, since it needs no main(). */
static bool links(struct arena *a, const char *const *compiler, const char *const *flags,
                  const char *library, const char *folder)
{
    const char **argv = NULL;
    size_t n = 0, cap = 0;
    for (; *compiler; compiler++)
        *ARENA_PUSH(a, argv, n, cap) = *compiler;
    *ARENA_PUSH(a, argv, n, cap) = "-shared";
    *ARENA_PUSH(a, argv, n, cap) = "-o";
    *ARENA_PUSH(a, argv, n, cap) = arena_printf(a, "%s/trial", folder);
    for (; *flags; flags++)
        if (strncmp(*flags, "-l", 2))
            *ARENA_PUSH(a, argv, n, cap) = *flags;
    *ARENA_PUSH(a, argv, n, cap) = library;
    *ARENA_PUSH(a, argv, n, cap) = NULL;
    return scratch_run(argv, true) == 0;
}

static const char *add(struct arena *a, const char *list, const char *package)
{
    const char *word = arena_printf(a, " %s", package), *at = strstr(list, word);
    size_t n = strlen(word);
    return at && (!at[n] || at[n] == ' ') ? list : arena_printf(a, "%s%s", list, word);
}

const char *packages_missing(struct arena *a, const char *const *compiler, const char *const *flags,
                             const char *folder)
{
    const char *list = "";
    if (!links(a, compiler, flags, "-lc", folder))
        return arena_printf(a, " %s libc6-dev", packages_compiler(*compiler));
    for (const char *const *f = flags; *f; f++)
        if (!strncmp(*f, "-l", 2) && !links(a, compiler, flags, *f, folder))
            list = add(a, list, package_of(a, *f));
    return list;
}
