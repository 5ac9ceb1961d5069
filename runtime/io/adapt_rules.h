/* The inside of adapt.h: what is known of a file and a program while one is made into the other,
 * and the rules as rows. */
#ifndef RUNTIME_IO_ADAPT_RULES_H
#define RUNTIME_IO_ADAPT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "runtime/io/adapt.h"
#include "runtime/io/rename.h"
#include "runtime/io/safetensors.h"
#include "runtime/vrt.h"

/* What has to be asked for. */
enum need { FREE, FINE_TUNE, UPCYCLE, KEEP, NEEDS };

struct source { /* a tensor of the file */
    const struct vrt_tensor *tensor;
    char *name; /* translated; owned */
    int tool;   /* whose names it was translated from, or -1 */
    bool used;
};

struct layer { /* with experts, and what the file has in its place */
    const struct vrt_moe *moe;
    size_t length; /* of the prefix */
    bool dense;
    int64_t in_file; /* experts; 0: none */
    int64_t *keep;   /* owned; NULL: no list */
    int64_t nkeep;
    bool named; /* the list is for this layer alone */
};

struct wanted { /* a tensor of the program */
    int64_t index;
    const struct vrt_param *p;
    const struct vrt_role *role; /* or NULL */
    const struct layer *layer;   /* or NULL */
    const char *rest;            /* of its name, in the layer */
    struct source *same;         /* of the same name, or what it would be made of; or NULL */
};

struct step {
    const struct rule *rule; /* NULL: none fits */
    struct wanted to;
    struct source *from; /* NULL: the initial values */
};

/* Where each row of the program's head comes from. */
struct head {
    int64_t count, in_file; /* rows of the program's head, and of the file's; 0: there is none */
    int32_t *rows;          /* of each of `count` that of the file, -1: none; owned */
    bool moved;             /* it is neither the file's head as it stands nor a new one */
};

struct adapt {
    const struct vrt_tensors *t;
    const struct vrt_program *p;
    const struct vrt_adapt *how;
    struct vrt_names names; /* of the program */
    struct source *sources; /* sorted by name */
    struct layer *layers;
    struct step *steps;
    json_t *grids;         /* of the file's positions, by name; NULL: it does not say */
    size_t nsources, skip; /* skip: bytes of the wrappers' prefixes */
    struct head head;
    unsigned advice; /* bits of `enum need` */
};

/* A rule says whether it fits, and from which tensor (NULL: from none); then it is done. */
struct rule {
    const char *note; /* NULL: nothing to tell */
    enum need need;
    bool (*fits)(const struct adapt *a, const struct wanted *w, struct source **from);
    bool (*fill)(const struct adapt *a, const struct step *s, float *to, struct vrt_error *e);
};

enum { VRT_ADAPT_RULES = 9 };
extern const struct rule vrt_adapt_rules[VRT_ADAPT_RULES]; /* the first that fits holds */

struct source *vrt_adapt_find(const struct adapt *a,
                              const char *name);     /* by translated name, or NULL */
int vrt_adapt_compare(const void *a, const void *b); /* sources, for qsort */

bool vrt_adapt_no_memory(const struct adapt *a, struct vrt_error *e);

/* What follows the layer's prefix and a dot, or NULL; what follows `word` in a text that may be
 * NULL, or NULL. */
const char *vrt_adapt_below(const struct layer *l, const char *name);
const char *vrt_adapt_behind(const char *text, const char *word);

#endif
