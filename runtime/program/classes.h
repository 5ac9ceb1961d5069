/* The classes of a data set among the outputs of the network: which output each of them is, what
 * the outputs are called, and which of them are scored over. */
#ifndef RUNTIME_PROGRAM_CLASSES_H
#define RUNTIME_PROGRAM_CLASSES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"

struct vrt_class_map;
struct vrt_dataset;

struct vrt_class_rules {
    int64_t outputs; /* of the network */
    /* their names, as the weights have them: a JSON list; NULL: they have none */
    const char *known;
    const struct vrt_class_map *file; /* --class-map; NULL: none */
    bool only, all;                   /* --mask-classes, --all-classes */
};

struct vrt_classes {
    int64_t outputs, count; /* of the network; classes of the data */
    int32_t *map;           /* class of the data -> output */
    bool *scored;           /* of each output; NULL: all are scored over */
    int64_t nscored;
    bool by_place; /* nothing names the outputs: they are the data's classes, as these are sorted */
    const char **names; /* of the outputs; NULL: not known */
    char number[24];    /* what stands for a name that is not known */
    json_t *own;        /* owner of names */
};

/* The names that weights have, as a document; NULL: they have none, or no list of them. */
bool vrt_classes_known(json_t **out, const char *known, struct vrt_error *e);

/* Close it after an error, too; the data set and the rules stay open as long. */
bool vrt_classes_open(struct vrt_classes *c, const struct vrt_class_rules *r,
                      const struct vrt_dataset *d, struct vrt_error *e);
void vrt_classes_close(struct vrt_classes *c);

/* From which row of the head of other weights does each of `count` outputs go on, whose first ones
 * are the data's classes? Rules: of those weights, with their rows as outputs. A class that they do
 * not know gets -1, and so does an output without a class where they have one in its place. Where
 * they name none, `rows` is left as it is, and a doubt about their order is told. */
bool vrt_classes_rows(const struct vrt_class_rules *r, const struct vrt_dataset *d, int32_t *rows,
                      int64_t count, struct vrt_error *e);

/* Say on stderr what is not scored over, and what may be wanted instead; and that outputs without
 * names may stand in another order than the data's classes. */
void vrt_classes_note(const struct vrt_classes *c, const struct vrt_class_rules *r,
                      const struct vrt_dataset *d, const char *set);

/* Logits (n,outputs) that are not scored over become -infinity. */
void vrt_classes_mask(const struct vrt_classes *c, float *logits, int64_t n);

const char *vrt_classes_name(const void *classes, int64_t output); /* a vrt_class_namer */

/* The label of each output among the sorted classes of ImageNet-1k, -1 where its name is none of
 * them. False: all are -1. */
bool vrt_classes_imagenet(const struct vrt_classes *c, int32_t *class_of);

#endif
