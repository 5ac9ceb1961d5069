/* The MoE layers of a run over its epochs, and how classes and experts met. */
#ifndef RUNTIME_REPORT_LAYERS_H
#define RUNTIME_REPORT_LAYERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "runtime/report/history.h"

struct vrt_layer {
    const char *name;
    size_t experts, n;         /* n: evaluations that have it */
    double *epoch, *step;      /* (n) */
    double *load;              /* (experts, n): shares */
    double *dropped, *entropy; /* (n): share; nats, NaN where there is none */
    double *block;             /* owned: all of the above */
};

/* The names of the layers: of the last evaluation, else of analysis.json; a list of objects with
 * "layer". */
const json_t *vrt_layer_list(const struct vrt_history *h);

/* One layer through all evaluations; false only without memory. */
bool vrt_layer_read(struct vrt_layer *l, const struct vrt_history *h, const json_t *entry,
                    struct vrt_error *e);
void vrt_layer_free(struct vrt_layer *l);

/* An expert is dead that got less than a tenth of an equal share in the last epoch. The epoch since
 * when; 0: it is not dead. */
double vrt_layer_dead_since(const struct vrt_layer *l, size_t expert);

struct vrt_meeting {         /* of classes with the experts of a layer, at the last evaluation */
    size_t experts, classes; /* classes that were met */
    size_t *order; /* (classes): index of each, sorted by the expert that gets most of it */
    double *share; /* (experts, classes): of the choices of a class, in this order */
};

/* Empty (classes 0) where analysis.json has nothing about the layer; false only without memory. */
bool vrt_meeting_read(struct vrt_meeting *t, const struct vrt_history *h, const char *layer,
                      struct vrt_error *e);
void vrt_meeting_free(struct vrt_meeting *t);

#endif
