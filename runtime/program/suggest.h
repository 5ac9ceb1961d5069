/* What to say about words that the command line does not take. All but the first fail, with
 * VRT_USAGE. */
#ifndef RUNTIME_PROGRAM_SUGGEST_H
#define RUNTIME_PROGRAM_SUGGEST_H

#include "runtime/program/options.h"

/* The entry of names[0..n-1] nearest to `word`, NULL if none is near. */
const char *vrt_nearest(const char *word, const char *const *names, size_t n);

/* A word that is no flag of a command ("experts" for --experts). */
bool vrt_reject_flag(const struct vrt_options *o, const char *word, struct vrt_error *e);

/* A key that is fixed in this program, and a path that is none of its keys. */
bool vrt_reject_fixed(const struct vrt_program *p, const struct vrt_key *key, struct vrt_error *e);
bool vrt_reject_path(const struct vrt_program *p, const char *path, struct vrt_error *e);

#endif
