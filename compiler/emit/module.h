/* What the driver sees of emit/: targets and modules, without LLVM's types. */
#ifndef COMPILER_EMIT_MODULE_H
#define COMPILER_EMIT_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct arena;
struct plan;
struct module;

/* A machine to compile for. */
struct target {
    struct LLVMOpaqueTargetMachine *machine;
    const char *triple, *cpu, *features;
    int vector; /* floats in a vector */
    bool fma;   /* has fused multiply-add */
    bool quick; /* see target_open() */
};

/* "native", or one of the names of target_names(). False if the name is unknown. `quick` code is
 * slower, and sooner made. */
bool target_open(struct arena *a, const char *name, bool quick, struct target *t);
void target_close(struct target *t);
const char *const *target_names(void); /* NULL-terminated */

struct program_info {
    const char *compiler; /* as `info` prints it */
    const char *spec_text, *info_text, *info_json;
};

/* NULL: our fault, said on `complaints`. */
struct module *module_make(struct arena *a, const struct plan *p, const struct target *t,
                           const struct program_info *info, bool sanitized, FILE *complaints);
void module_free(struct module *m);
void module_print(struct module *m, FILE *out);

/* Object files of the program, PREFIX.N.o, and of its kernels: those that earlier builds made of
 * the same kernels for the same machine are taken from a folder (VMOE_CACHE, else
 * XDG_CACHE_HOME/vmoe, else ~/.cache/vmoe; VMOE_CACHE= for none), new ones are put there.
 * objects_remove() removes the files that begin with the prefix. */
struct objects {
    const char **path, *prefix;
    size_t n;
};
bool module_objects(struct module *m, const char *prefix, struct objects *o, char **message);
void objects_remove(const struct objects *o);

/* All of it as one object file or assembly text, as module_print() prints it; after either
 * module_objects() has no kernels left. False with LLVM's message (the caller leaves it). */
bool module_write(struct module *m, const char *path, bool assembly, char **message);

#endif
