/* What the driver sees of emit/: targets and modules, without LLVM's types. */
#ifndef COMPILER_EMIT_MODULE_H
#define COMPILER_EMIT_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct arena;
struct diag;
struct plan;
struct module;

/* A machine to compile for. */
struct target {
    struct LLVMOpaqueTargetMachine *machine;
    const char *triple, *cpu, *features;
    int vector;     /* floats in a vector */
    uint64_t needs; /* the instructions that code for it may have: a set of processor.def */
    bool fma;       /* has fused multiply-add */
    bool quick;     /* see target_open() */
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

/* Objects of the program and of its kernels in a new archive, to be linked whole: kernels that
 * earlier builds made for the same machine are taken from where they are kept. What failed is
 * reported; a refusal is our fault. */
enum objects { OBJECTS_WRITTEN, OBJECTS_UNWRITTEN, OBJECTS_REFUSED };
enum objects module_objects(struct module *m, const char *path, struct diag *d);

/* All of it as one object file or assembly text, as module_print() prints it; after either
 * module_objects() has no kernels left. False, reported: our fault. Errors of `out` are left to
 * whoever opened it. */
bool module_write(struct module *m, bool assembly, FILE *out, struct diag *d);

#endif
