/* What a failed link lacks: libraries that are not installed, by the packages that bring them. */
#ifndef COMPILER_LINK_PACKAGES_H
#define COMPILER_LINK_PACKAGES_H

#include <stddef.h>

struct arena;

/* The package of a C compiler. */
const char *packages_compiler(const char *program);

/* Debian's names, with a blank before each; "": nothing is missing. compiler: the words of its
 * command, NULL at the end; flags: what is linked with; folder: to try in. */
const char *packages_missing(struct arena *a, const char *const *compiler, const char *const *flags,
                             const char *folder);

#endif
