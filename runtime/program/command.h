/* The commands, and what several of them ask of the command line. Each returns the exit status of
 * the program. */
#ifndef RUNTIME_PROGRAM_COMMAND_H
#define RUNTIME_PROGRAM_COMMAND_H

#include <stdbool.h>

#include "runtime/base/status.h"

struct vrt_options;
struct vrt_settings;
struct vrt_model;

int vrt_command_train(const struct vrt_options *o, struct vrt_error *e);
int vrt_command_eval(const struct vrt_options *o, struct vrt_error *e);
int vrt_command_predict(const struct vrt_options *o, struct vrt_error *e);
int vrt_command_bench(const struct vrt_options *o, struct vrt_error *e);
int vrt_bench_data(const struct vrt_options *o, const struct vrt_settings *s,
                   struct vrt_error *e); /* what `bench --data` does */
int vrt_command_info(const struct vrt_options *o, struct vrt_error *e);
int vrt_command_check_data(const struct vrt_options *o, struct vrt_error *e);
int vrt_command_report(const struct vrt_options *o, struct vrt_error *e);
int vrt_command_gradcheck(const struct vrt_options *o, struct vrt_error *e);

/* The number of threads of --threads, else that of the processors that may be used. */
int vrt_threads_wanted(const struct vrt_options *o);

/* The weights of --weights as `eval` and `predict` take them: vrt_model_load(). */
bool vrt_load_weights(struct vrt_model *m, const struct vrt_options *o,
                      const struct vrt_settings *s, char **classes, struct vrt_error *e);

/* Errors that say how to give what is missing. */
bool vrt_need_weights(const struct vrt_options *o, struct vrt_error *e);
bool vrt_need_data(const struct vrt_settings *s, const struct vrt_options *o, struct vrt_error *e);

#endif
