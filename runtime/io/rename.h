/* Names that other tools give to the tensors of the same networks. Input: a file's names; output:
 * those that the program may have. The rules are rows of one table in rename.c; sources: the
 * checkpoints that networks' authors published before timm named them anew, and the filters that
 * timm applies to those. */
#ifndef RUNTIME_IO_RENAME_H
#define RUNTIME_IO_RENAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The program's names, sorted. */
struct vrt_names {
    const char **at;
    size_t n;
};

bool vrt_names_have(const struct vrt_names *set, const char *name);

/* Is there a name that begins so? */
bool vrt_names_below(const struct vrt_names *set, const char *prefix);

/* The prefix (`module.` and such) that all n names carry and no name of the program has: "" if
 * there is none, else a text that lives as long as the program; the names without it may carry
 * another one. `skip`: bytes already taken off. */
const char *vrt_rename_wrapper(const struct vrt_names *program, const char *const *names, size_t n,
                               size_t skip);

/* A name that the program may have for a tensor called `name`, into out. Returns the number of the
 * tool whose rule it is, below VRT_RENAME_TOOLS; -1: no rule holds. `seen`: the signs of tools
 * among all of the file's names. */
enum { VRT_RENAME_TOOLS = 3 };
int vrt_rename(const struct vrt_names *program, unsigned seen, const char *name, char *out,
               size_t size);
unsigned vrt_rename_signs(unsigned seen, const char *name);

/* What a tool's names are called in a note, and whether they are understood at the beginning of a
 * training only. */
const char *vrt_rename_title(int tool);
bool vrt_rename_fine_tunes(int tool);

#endif
