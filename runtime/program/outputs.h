/* The files that a command writes. They are found out about before the long work begins, so that a
 * folder that is missing is told then, and none of them is a file that the command reads. */
#ifndef RUNTIME_PROGRAM_OUTPUTS_H
#define RUNTIME_PROGRAM_OUTPUTS_H

#include <stdbool.h>

#include "runtime/base/file.h"
#include "runtime/base/status.h"

struct vrt_buffer;
struct vrt_dataset;
struct vrt_options;

enum vrt_table { VRT_PER_CLASS, VRT_CONFUSION, VRT_EXPERTS, VRT_SIMILARITY, VRT_TABLES };

struct vrt_outputs { /* of `eval` */
    struct vrt_output {
        const char *flag, *path;  /* path NULL: not asked for */
        struct vrt_writer writer; /* open only where it is written in place */
    } table[VRT_TABLES];
    bool to_stdout; /* a table is, by `-`: nothing else may go there */
};

/* Refuses a table that is what another flag reads or another table, or that cannot be written. A
 * device or pipe is open then; of a file nothing is left if the program ends before it is
 * written. */
bool vrt_outputs_open(struct vrt_outputs *x, const struct vrt_options *o, struct vrt_error *e);
void vrt_outputs_close(struct vrt_outputs *x); /* also of a zeroed struct */

/* Refuses a table that is a file of the data, or would be taken for one of its pictures. */
bool vrt_outputs_spare(const struct vrt_outputs *x, const char *root, const struct vrt_dataset *d,
                       struct vrt_error *e);
bool vrt_outputs_write(struct vrt_outputs *x, enum vrt_table t, const struct vrt_buffer *b,
                       struct vrt_error *e);

/* Refuses a run folder that lies in the data. */
bool vrt_outputs_folder(const struct vrt_options *o, const char *folder, struct vrt_error *e);

/* What of the files in a run folder `writes` tells to be written must be files, and none of them by
 * a link another one there, the program, the file `weights` (NULL: none), or one of the data sets'
 * (n of them). */
bool vrt_outputs_run(const char *folder, bool (*writes)(const char *name), const char *weights,
                     const struct vrt_dataset *const *data, int n, struct vrt_error *e);

#endif
