/* The command line: flags of the commands, and the run-time keys of the program's spec under their
 * flags or by --set. */
#ifndef RUNTIME_PROGRAM_OPTIONS_H
#define RUNTIME_PROGRAM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"
#include "runtime/vrt.h"

/* Commands, as bits: a flag says which ones have it. */
enum vrt_commands {
    VRT_TRAIN = 1,
    VRT_EVAL = 2,
    VRT_PREDICT = 4,
    VRT_BENCH = 8,
    VRT_INFO = 16,
    VRT_GRADCHECK = 32,
    VRT_CHECK_DATA = 64,
    VRT_REPORT = 128,
    VRT_ALL = 255
};

struct vrt_options;

struct vrt_command {
    const char *name, *summary;
    const char *operands; /* "PICTURE|FOLDER|-..." or NULL: none are taken */
    unsigned bit;
    /* the exit status; e->text is printed unless "" */
    int (*run)(const struct vrt_options *o, struct vrt_error *e);
};

struct vrt_value { /* of a key */
    double number;
    const char *text;
    int32_t unit; /* enum vrt_key_unit */
    bool given;   /* on the command line */
};

struct vrt_options {
    const struct vrt_program *program;
    const struct vrt_command *command;
    int argc;
    char **argv;            /* all of it, for the record */
    struct vrt_value *keys; /* one per program->keys; owned */
    char **files;           /* operands: the caller's array argv, rearranged */
    int nfiles;
    bool help, json, resume, train, logits, features, dry_run;
    bool upcycle, mask_classes, all_classes, exif;
    const char *out, *weights, *split, *keep_experts, *per_class, *confusion, *experts, *similarity,
        *class_map, *real;
    /* NULL: not given */
    int64_t threads, top, batch, save_every;
    double seconds, upcycle_noise;
};

/* Read argv[2..] of one command. Errors are of code VRT_USAGE and suggest what may have been
 * meant. */
bool vrt_options_parse(struct vrt_options *o, const struct vrt_program *program,
                       const struct vrt_command *command, int argc, char **argv,
                       struct vrt_error *e);
void vrt_options_free(struct vrt_options *o);

/* The index of a key in the program's table, -1 if it has none of this path. */
int64_t vrt_options_key(const struct vrt_program *program, const char *path);

/* Parse the text of a value for a key; `name` is how messages call it. */
bool vrt_options_value(const struct vrt_key *key, const char *name, const char *text,
                       struct vrt_value *out, struct vrt_error *e);

#endif
