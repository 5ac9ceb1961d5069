/* Objects that are kept from build to build, in a folder that is this user's alone: whoever could
 * write there would run code in the programs of others. It may be shared by builds and machines,
 * full, read-only or damaged: what cannot be had is made again, what cannot be kept is not. */
#ifndef COMPILER_FILES_KEPT_H
#define COMPILER_FILES_KEPT_H

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct diag;

struct kept {
    int folder; /* -1: nothing is kept */
};

/* VMOE_CACHE (empty: nothing is kept), XDG_CACHE_HOME/vmoe or HOME/.cache/vmoe. A folder that is
 * there and not safe is not used, with a warning. */
struct kept kept_open(struct arena *a, struct diag *d);

/* The name of what is made from some bytes by a maker that a text describes. */
#define KEPT_NAME 40
void kept_name(char name[KEPT_NAME], const char *maker, const void *bytes, size_t size);

/* Whole and right, or NULL: to be freed. These two from any thread. */
void *kept_read(const struct kept *k, const char *name, size_t *size);
void kept_write(const struct kept *k, const char *name, const void *bytes, size_t size);

void kept_sweep(const struct kept *k); /* removes what no build has used for long */
void kept_close(struct kept *k);

#endif
