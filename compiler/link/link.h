/* Objects + runtime -> executable, by the system's C compiler; and where the parts of an
 * installation lie. */
#ifndef COMPILER_LINK_LINK_H
#define COMPILER_LINK_LINK_H

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct diag;

/* Folders for `use std.x`: `given` (--stdlib) if not NULL, those of VMOE_PATH, then the one beside
 * the build or installed. */
const char *const *link_stdlib_folders(struct arena *a, const char *given, size_t *n);

/* False after a report. No shell is involved; $CC names another compiler than the one that built
 * this. */
bool link_program(struct arena *a, const char *const *objects, size_t count, const char *out,
                  bool verbose, bool sanitize, struct diag *d);

#endif
