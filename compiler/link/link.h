/* Objects + runtime -> executable, by the system's C compiler. */
#ifndef COMPILER_LINK_LINK_H
#define COMPILER_LINK_LINK_H

#include <stdbool.h>

struct arena;
struct diag;

struct link {
    const char *objects; /* an archive, all of it */
    const char *program; /* the result */
    const char *folder;  /* to work in */
    const char *name;    /* of the program, for people */
    bool verbose, sanitize;
};

/* False after a report. No shell is involved; $CC names another compiler than the one that built
 * this. */
bool link_program(struct arena *a, const struct link *l, struct diag *d);

#endif
