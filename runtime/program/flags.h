/* What the command line offers: the flags of commands, one table; those of keys, which come from
 * the program; their help. */
#ifndef RUNTIME_PROGRAM_FLAGS_H
#define RUNTIME_PROGRAM_FLAGS_H

#include <stddef.h>

#include "runtime/program/options.h"

enum vrt_flag_type { FLAG_SWITCH, FLAG_WHOLE, FLAG_NUMBER, FLAG_TEXT };

struct vrt_flag {
    const char *name;
    enum vrt_flag_type type;
    unsigned commands;
    size_t offset; /* of its field in struct vrt_options: bool, int64_t, double, const char * */
    double min, max;
    const char *argument, *help;
};

/* The commands that have --set. */
enum { VRT_SET_COMMANDS = VRT_TRAIN | VRT_EVAL | VRT_BENCH };

/* The flag of any of these commands, or NULL. */
const struct vrt_flag *vrt_flag_find(const char *name, unsigned commands);

/* The key that has this flag, whether it can be changed or not, or NULL; and the commands that
 * offer the flag of a key. */
const struct vrt_key *vrt_flag_key(const struct vrt_program *p, const char *name);
unsigned vrt_flag_commands(const struct vrt_key *key);

/* The names of all flags of these commands, of keys too: an array of *n to be freed, NULL if there
 * is no memory. */
const char **vrt_flag_names(const struct vrt_program *p, unsigned commands, size_t *n);

/* Print what `PROGRAM COMMAND --help` tells. */
void vrt_flags_help(const struct vrt_options *o);

/* A key's default, as the help shows it; returns `text`. */
const char *vrt_flag_default(const struct vrt_key *key, char *text, size_t size);

#endif
