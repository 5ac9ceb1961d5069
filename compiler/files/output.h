/* What the compiler was asked for, as a file. A regular file is written beside itself under another
 * name and takes its own when it is complete, so that what was there stays until then; whatever
 * else a name stands for (a device, a FIFO, standard output) is written in place. A link is
 * followed: the file that it leads to is replaced, the link stays. */
#ifndef COMPILER_FILES_OUTPUT_H
#define COMPILER_FILES_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "lang/base/arena.h"

struct diag;

struct output {
    const char *path; /* for people */
    FILE *file;       /* to print to: in memory, until output_commit() */
    /* the rest is output.c's */
    int fd; /* of the new file, or of what is written in place */
    struct arena_text text;
    const char *name; /* of the regular file; NULL: written in place */
    dev_t device;     /* of the regular file that is there; 0, 0: none is */
    ino_t inode;
    mode_t mode;
};

/* Before the work: what cannot be written is reported here. "-" is standard output. `program`: who
 * may read it may run it. It may be a device or a FIFO by name, but no open descriptor. */
bool output_open(struct output *o, struct arena *a, const char *path, bool program, struct diag *d);
bool output_replaces(const struct output *o, const char *path); /* this very file? */
bool output_copy(struct output *o, const char *from, struct diag *d);
bool output_commit(struct output *o, struct diag *d); /* false, reported: nothing has changed */
void output_close(struct output *o); /* opened or all zeros; without a commit all is undone */

#endif
