/* Where the parts of an installation lie: beside this compiler, in a build tree or installed, even
 * when it was moved or copied with them. */
#ifndef COMPILER_LINK_PARTS_H
#define COMPILER_LINK_PARTS_H

#include <stddef.h>

struct arena;

const char *parts_compiler(struct arena *a); /* this executable */
const char *parts_runtime(struct arena *a);

/* Folders for `use std.x`: `given` (--stdlib) if not NULL, those of VMOE_PATH, then the library's
 * own. */
const char *const *parts_stdlib_folders(struct arena *a, const char *given, size_t *n);

#endif
