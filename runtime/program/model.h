/* The program's network in memory: its regions, its weights, and how they come and go. */
#ifndef RUNTIME_PROGRAM_MODEL_H
#define RUNTIME_PROGRAM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"
#include "runtime/vrt.h"

struct vrt_adapt;
struct vrt_dataset;

enum vrt_use { VRT_FOR_EVAL, VRT_FOR_TRAIN, VRT_FOR_TRAIN_EMA };

struct vrt_model {
    const struct vrt_program *program;
    struct vrt_ctx ctx;         /* ready but for the fields of a call */
    int64_t bytes[VRT_REGIONS]; /* of each region; 0: not there */
    int64_t group;              /* images routed together, at least 1 */
    double *balance;            /* sums of what BALANCE held, in its order: vrt_model_drain() */
    int64_t nbalance;
};

/* Map all regions that the use needs, once, and start the threads. An error names the memory
 * wanted. */
bool vrt_model_open(struct vrt_model *m, const struct vrt_program *p, enum vrt_use use, int threads,
                    struct vrt_error *e);
void vrt_model_close(struct vrt_model *m); /* also of a zeroed struct */

/* Weights from the program's table of initial values; each tensor has a stream of random numbers of
 * its own. */
void vrt_model_init(struct vrt_model *m, uint64_t seed);

/* Weights from a safetensors file. Loading does what `how` permits, says on stderr what it did, and
 * that the file was trained for another network of the same shapes. It returns the file's names of
 * the classes in *classes (a JSON list, malloc'ed, NULL if it has none). Tensors that are not in
 * the file start from how->seed. */
bool vrt_model_load(struct vrt_model *m, const char *path, const struct vrt_adapt *how,
                    char **classes, struct vrt_error *e);

/* The same for the beginning of a training on d: its classes go on from their rows of the head.
 * `class_map`: what the file's outputs are, see class_map.h; NULL: as the file says. */
bool vrt_model_begin(struct vrt_model *m, const char *path, const struct vrt_adapt *how,
                     const struct vrt_dataset *d, const char *class_map, struct vrt_error *e);

/* And to one, from `region`, VRT_PARAMS or VRT_EMA. classes: the names of the classes as a JSON
 * list, or NULL. */
bool vrt_model_save(const struct vrt_model *m, enum vrt_region region, const char *path,
                    const char *classes, struct vrt_error *e);

/* TARGET of n labelled pictures: 1 - smoothing on the label, smoothing spread over all classes. */
struct vrt_mix;
void vrt_model_targets(struct vrt_model *m, const int32_t *labels, int64_t n, double smoothing,
                       const struct vrt_mix *mix, int64_t group);

/* Add BALANCE to m->balance and zero it, so that its floats never grow beyond what they count
 * exactly. */
void vrt_model_drain(struct vrt_model *m);
void vrt_model_reset_balance(struct vrt_model *m);

static inline float *vrt_model_floats(const struct vrt_model *m, enum vrt_region region)
{
    return m->ctx.region[region];
}

#endif
