/* The resolved spec: every value evaluated, every name bound, blocks and placements expanded, with
 * the place each value came from. Built by lang_resolve(); read as const by everything after. */
#ifndef LANG_SPEC_H
#define LANG_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lang/base/source.h"

enum spec_type {
    SPEC_NONE,
    SPEC_BOOL,
    SPEC_INT,
    SPEC_FLOAT,
    SPEC_TEXT,
    SPEC_WORD,
    SPEC_LIST,
    SPEC_CALL
};
enum spec_unit {
    UNIT_NONE,
    UNIT_EPOCHS,
    UNIT_STEPS,
    UNIT_IMAGES,
    UNIT_PX,
    UNIT_BYTES
}; /* `%` is converted */

struct spec_value {
    enum spec_type type;
    enum spec_unit unit;
    int64_t i;        /* BOOL, INT */
    double f;         /* FLOAT; for INT the same number */
    const char *text; /* TEXT, WORD; CALL: the name called */
    /* LIST: elements; CALL: arguments in the order of the signature */
    const struct spec_value *items;
    size_t n;
    struct loc loc;
};

/* Layers, after expansion of blocks: primitives and the ways to compose them.
 *
 * A label that is not "" is a part of the name of every tensor below, joined by dots. A primitive
 * with one tensor takes the joined name itself, others add theirs ("weight", "bias").
 *     LAYER_OP        op, args
 *     LAYER_SEQ       kids in order
 *     LAYER_RESIDUAL  x + kids in order
 *     LAYER_SUM, LAYER_PRODUCT, LAYER_CONCAT   each kid is a LAYER_SEQ (a branch) on the same input
 *     LAYER_MOE       moe; kids[0] the router (label "router"), then a LAYER_SEQ for each kind of
 *                     expert (label "experts", or
 *                     "experts.NAME" where there are several), then the shared one (label "shared")
 *                     if there is one */
enum spec_layer_kind {
    LAYER_OP,
    LAYER_SEQ,
    LAYER_RESIDUAL,
    LAYER_SUM,
    LAYER_PRODUCT,
    LAYER_CONCAT,
    LAYER_MOE
};

struct spec_layer {
    enum spec_layer_kind kind;
    const char *label;
    struct loc loc;
    int op;                        /* index into lang_options.ops */
    const struct spec_value *args; /* one per parameter of the signature; SPEC_NONE where absent */
    size_t nargs;
    struct spec_layer **kids;
    size_t nkids;
    const struct spec_moe *moe;
};

/* Experts of one layer that are built alike. */
struct spec_experts {
    const char *name;
    int count;
};

enum moe_choice {
    CHOICE_TOKEN,
    CHOICE_EXPERT,
    CHOICE_SOFT
}; /* tokens choose experts, experts tokens, nobody */
extern const char *const moe_choice_words[]; /* as the language writes them */

/* The settings of one MoE layer. See design section 4 for the meaning. */
struct spec_moe {
    const char *rule; /* name of the `moe` body, or "" */
    enum moe_choice choice;
    int experts, top_k; /* top_k: 0 unless tokens choose */
    int slots;          /* of an expert for a picture (soft), else 0 */
    /* their counts add up to `experts`; one without a name where all are alike */
    const struct spec_experts *kinds;
    size_t nkinds;
    bool shared;    /* one more expert, which every token meets */
    bool per_image; /* whole pictures are routed */
    bool alike;     /* experts start with the same weights */
    bool renormalise;
    double noise; /* standard deviation of the noise on the logits in training; 0: none */
    double capacity, eval_capacity;               /* factor f; 0: dropless */
    bool batch_priority;                          /* order of the choices under a capacity */
    int group;                                    /* images routed together */
    double importance, load, switch_loss, z_loss; /* weights of the balance losses */
    double bias;                                  /* step of balancing without a loss; 0: off */
    struct loc loc;
};

/* A part is a run of layers with a name of its own: the stem, the entry of a stage, one block, the
 * head. */
struct spec_part {
    const char *title;  /* "stem", "s2.enter", "s3[9]" (1-based, as placements print), "head" */
    const char *prefix; /* of the tensors' names: "stages.2.blocks.8"; may be "" */
    int stage, block;   /* 0-based; -1 where it does not apply */
    struct spec_layer *body; /* LAYER_SEQ with label "" */
};

struct op_row;

enum spec_resample { RESAMPLE_BILINEAR, RESAMPLE_BICUBIC };
enum spec_fit {
    FIT_CROP,
    FIT_SQUASH
}; /* the short side becomes floor(size / crop_pct), or both do; then the centre */

struct spec_model {
    const char *name;
    struct loc loc;
    int channels, height, width, classes;
    double mean[3], std[3]; /* of values in 0..1 */
    enum spec_resample resample;
    enum spec_fit fit;
    double crop_pct; /* evaluation: the share of each side that is seen */
    struct spec_part *parts;
    size_t nparts;
    struct spec_placed {
        const char *rule, *at_text, *slots_text;
        struct loc loc;
    } *placed;      /* one per `moe` body: */
    size_t nplaced; /* its name, the expression, and "s3[9], s4[3]" */
};

/* What a number may be; `above` and `below`: the end itself is out. */
struct spec_range {
    double min, max;
    bool above, below, whole;
};

/* Keys of the experiment, flattened: "train.optim.lr". Static keys shape the generated code;
 * run-time keys are defaults that the program's flags may change. Values are scalars. */
struct spec_key {
    const char *path;
    const char *flag; /* "lr" for --lr; NULL: none */
    bool runtime;
    struct spec_value value;
    struct spec_range range; /* of a number: what a flag may change it to */
    const char *help;
    struct loc loc;
};

struct spec_group { /* parameters whose name matches the glob `match` */
    const char *match;
    double weight_decay; /* NaN: the recipe's */
    double lr_factor;
};

struct spec {
    const char *file;
    const char *const *files; /* that were read for it, `file` first */
    size_t nfiles;
    const char *name; /* of the experiment, or of the model without one */
    struct spec_model model;
    struct spec_key *keys;
    size_t nkeys;
    struct spec_group *groups;
    size_t ngroups;
    struct spec_checks *checks; /* opaque: lang_run_checks() */
    const char *hash;           /* 32 hex digits over the frozen text */
    const struct op_row *ops;   /* opaque: the names that lang_print_spec() writes */
};

const struct spec_key *spec_find_key(const struct spec *s,
                                     const char *path); /* NULL if there is none */
/* Every key of an experiment, by a name made of its path: KEY_train_optim_kind. */
enum key_name {
#define KEY_NAME(name, path) KEY_##name,
#include "lang/key_names.def"
#undef KEY_NAME
    KEY_NAMES
};
const struct spec_key *spec_key(const struct spec *s, enum key_name key); /* NULL: no experiment */
double spec_number(const struct spec *s, enum key_name key);
bool spec_flag(const struct spec *s, enum key_name key);
const char *spec_text(const struct spec *s, enum key_name key);

#endif
