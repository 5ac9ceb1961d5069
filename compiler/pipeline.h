/* The compiler from a file to whatever was asked for. */
#ifndef COMPILER_PIPELINE_H
#define COMPILER_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>

#include "lang/lang.h"

enum command { COMMAND_BUILD, COMMAND_CHECK, COMMAND_INFO };

/* Exit statuses of the compiler. */
enum status { STATUS_OK = 0, STATUS_SPEC = 1, STATUS_USAGE = 2, STATUS_INTERNAL = 3 };

struct request {
    enum command command;
    const char *file, *out; /* out: NULL for the default */
    const char *emit;       /* one of pipeline_forms() */
    const char *target, *stdlib, *experiment, *model;
    struct lang_define *defines, *sets;
    size_t ndefines, nsets;
    bool fuse, verbose, json, diag_json, sanitize;
};

const char *const *pipeline_forms(void);   /* NULL-terminated, in the order of the stages */
int pipeline_run(const struct request *r); /* enum status */

#endif
