/* Objects + runtime -> executable, by the system's C compiler. */
#ifndef COMPILER_LINK_LINK_H
#define COMPILER_LINK_LINK_H

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct diag;

/* False after a report. No shell is involved; $CC names another compiler than the one that built
 * this. */
bool link_program(struct arena *a, const char *const *objects, size_t count, const char *out,
                  bool verbose, bool sanitize, struct diag *d);

#endif
