/* Input: the folder of this executable, and the folders that it was built and installed with. What
 * counts is how these lie to each other. */
#include "config.h"

#include "compiler/link/parts.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lang/base/arena.h"

const char *parts_compiler(struct arena *a)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path);
    return n > 0 ? arena_copy(a, path, (size_t)n) : "";
}

static const char *own_folder(struct arena *a)
{
    const char *path = parts_compiler(a), *slash = strrchr(path, '/');
    return slash ? arena_copy(a, path, (size_t)(slash - path)) : "";
}

/* What lies to `own` as `to` lies to `from`: /opt/bin, /usr/bin and /usr/lib/x give /opt/lib/x. */
static const char *beside(struct arena *a, const char *own, const char *from, const char *to)
{
    size_t common = 0;
    for (size_t i = 0;; i++) {
        if ((!from[i] || from[i] == '/') && (!to[i] || to[i] == '/'))
            common = i;
        if (from[i] != to[i] || !from[i])
            break;
    }
    const char *path = own;
    for (const char *up = from + common; *up; up++)
        if (*up == '/')
            path = arena_printf(a, "%s/..", path);
    path = arena_printf(a, "%s%s", path, to + common);
    char *plain = realpath(path, NULL);
    if (plain)
        path = arena_copy(a, plain, strlen(plain));
    free(plain);
    return path;
}

/* In a build tree the library stands below the compiler. */
static bool in_build_tree(struct arena *a)
{
    return access(arena_printf(a, "%s/runtime/libvrt.a", own_folder(a)), R_OK) == 0;
}

/* A compiler that was taken away alone uses what was installed with it. */
static const char *installed(struct arena *a, const char *folder)
{
    const char *near = beside(a, own_folder(a), BINDIR, folder);
    return access(near, R_OK) == 0 ? near : folder;
}

const char *parts_runtime(struct arena *a)
{
    if (in_build_tree(a))
        return arena_printf(a, "%s/runtime/libvrt.a", own_folder(a));
    return installed(a, PKGLIBDIR "/libvrt.a");
}

/* A checkout never takes the library of another one, from which it may have been copied. */
static const char *own_stdlib(struct arena *a)
{
    if (in_build_tree(a))
        return beside(a, own_folder(a), BUILD_FOLDER, SOURCE_FOLDER "/stdlib");
    return installed(a, PKGDATADIR "/stdlib");
}

const char *const *parts_stdlib_folders(struct arena *a, const char *given, size_t *n)
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
    *ARENA_PUSH(a, list, *n, cap) = own_stdlib(a);
    return list;
}
