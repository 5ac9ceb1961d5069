/* The runtime, as a generated program sees it: the tables the program hands over and the state its
 * functions work on.
 *
 * A program is one constant `struct vrt_program`, emitted by the compiler under the name
 * vrt_program_table; main() of the runtime does the rest. All memory is laid out by the compiler:
 * the runtime allocates the regions, once. */
#ifndef RUNTIME_VRT_H
#define RUNTIME_VRT_H

#include <stdint.h>

#define VRT_ABI_VERSION 5

/* Regions of memory; offsets into them are constants of the generated code. */
enum vrt_region {
    VRT_PARAMS, /* weights in their file shapes (vrt_param.offset) */
    VRT_PACKED, /* weights again, in the layouts of the kernels; made by vrt_program.pack */
    VRT_GRADS,  /* d loss / d params, same offsets as VRT_PARAMS; summed over the micro-batches of a
                   step */
    VRT_MOMENT1,  /* the optimiser's first moments, same offsets */
    VRT_MOMENT2,  /* second moments, where vrt_program.moments is 2 */
    VRT_EMA,      /* moving average of the weights, same offsets; NULL when off */
    VRT_ARENA,    /* everything between input and output */
    VRT_INPUT,    /* (B,H,W,C) f32, normalised pictures */
    VRT_TARGET,   /* (B,classes) f32, class probabilities (smoothing and mixing already applied) */
    VRT_OUTPUT,   /* (B,classes) f32, logits */
    VRT_FEATURES, /* (B,features) f32, the input of the last layer with weights */
    VRT_BALANCE,  /* i32 and f32: see vrt_moe */
    VRT_CHOICES,  /* (B,choices) f32, written by eval: see vrt_moe */
    VRT_REGIONS = 16
};

/* What generated functions receive. The compiler knows the offsets of these fields: all are 8 bytes
 * wide. */
struct vrt_ctx {
    void *region[VRT_REGIONS];
    int64_t images;       /* B of this call, 1 .. micro */
    int64_t first_image;  /* place of image 0 of this call in the whole batch (keys the random
                             numbers) */
    uint64_t seed, step;  /* Philox key and counter words */
    double loss_scale;    /* train: 1 / images of the whole batch */
    double balance_scale; /* train: 1 / groups of vrt_program.group images in the batch */
    double drop_path;     /* rate of the last block */
    double hold_routing;  /* 1: keep the experts chosen by the call before (gradient checks) */
    double lr, weight_decay, beta1, beta2, eps; /* update: AdamW, LAMB */
    double momentum;                            /* update: SGD */
    double bias1, bias2;                        /* 1 - beta^t */
    double grad_scale;                          /* clipping: factor on all gradients */
    double ema_decay;                           /* 0: no EMA */
    double loss; /* train: sum over the images of this call of the task's loss, not scaled */
    double balance_loss; /* train: weighted balance losses, summed over this call's groups, not
                            scaled */
    double grad_norm2;   /* norm: sum of squares of all gradients */
    void *runtime;       /* the runtime's own */
};

enum vrt_init {
    VRT_INIT_ZERO,
    VRT_INIT_ONE,
    VRT_INIT_CONST,
    VRT_INIT_TRUNC_NORMAL,
    VRT_INIT_UNIFORM
};

struct vrt_param {
    const char *name; /* "stages.2.blocks.8.mlp.experts.fc1.weight" */
    int32_t rank;
    int32_t init;      /* enum vrt_init */
    int64_t shape[4];  /* first `rank` used */
    int64_t offset;    /* bytes, the same in PARAMS, GRADS, MOMENT1, MOMENT2, EMA */
    int64_t count;     /* elements */
    double init_value; /* CONST: value; TRUNC_NORMAL: std (cut at +-2); UNIFORM: bound of U(-b,b) */
    double weight_decay; /* NaN: the recipe's; 0 for biases, norms, scales, positions */
    double lr_factor;
    int64_t drawn; /* elements drawn at the start, which the others repeat; 0: all */
};

/* What a tensor is for, where loading the weights of another network must know. */
enum vrt_role_kind {
    VRT_ROLE_POSITIONS, /* (1, tokens, D): rows for the tokens before the grid, then the grid's,
                           row-major */
    VRT_ROLE_HEAD       /* of the last linear layer: one row a class */
};

struct vrt_role {
    int64_t param; /* index into vrt_program.params */
    int32_t kind;  /* enum vrt_role_kind */
    /* POSITIONS: of the map that the tokens come from; 0: unknown */
    int32_t grid_height, grid_width;
    int32_t pad;
};

struct vrt_moe {            /* one MoE layer, in order */
    const char *name;       /* "s3[9].mlp" */
    const char *prefix;     /* of its tensors' names: "stages.2.blocks.8.mlp" */
    int32_t experts, top_k; /* top_k: 0 unless tokens choose */
    int64_t balance_offset; /* bytes into BALANCE: (experts) choices made, (experts) choices
                             * dropped, (1) items routed, (experts) choices since the last update,
                             * in training only, (1) sum over the items of the entropy in nats of
                             * the router's softmax without noise, 0 unless tokens choose; i32, the
                             * entropy f32; added to by every call, zeroed by the runtime after an
                             * update */
    int64_t choices_offset; /* floats into a row of CHOICES: (experts) choices of the picture that
                             * were kept; items are its tokens, or with routing per image the
                             * picture; soft: 0 */
};

enum vrt_key_type { VRT_KEY_BOOL, VRT_KEY_INT, VRT_KEY_FLOAT, VRT_KEY_TEXT };
enum vrt_key_unit {
    VRT_UNIT_NONE,
    VRT_UNIT_EPOCHS,
    VRT_UNIT_STEPS,
    VRT_UNIT_IMAGES,
    VRT_UNIT_PX,
    VRT_UNIT_BYTES
};

enum vrt_key_open { VRT_ABOVE = 1, VRT_BELOW = 2 }; /* the end of a range is itself out */

struct vrt_key {      /* a key of the spec's experiment */
    const char *path; /* "train.optim.lr" */
    const char *flag; /* "lr" or NULL */
    const char *help;
    int32_t type, unit;
    int32_t runtime; /* 1: a flag may change it; 0: fixed, shown with how to rebuild */
    int32_t open;    /* enum vrt_key_open */
    double number;
    const char *text;
    double min, max; /* of a number: what it may be, as the compiler checked it */
};

struct vrt_program {
    int64_t abi_version;
    uint64_t needs;       /* the instructions it was compiled for: a set of processor.def */
    int64_t blas;         /* 1: its training calls vrt_gemm_tn */
    const char *name;     /* of the model */
    const char *compiler; /* "vmoec 0.1.0, LLVM 19.1.7, x86-64 sapphirerapids" */
    const char *spec_file, *spec_hash, *spec_text;
    const char *info_text, *info_json; /* what `info` prints */
    int64_t channels, height, width, classes, features;
    double mean[3], std[3], crop_pct;
    int64_t resample; /* 0 bilinear, 1 bicubic */
    int64_t squash;   /* 1: both sides are resized alike, whatever the picture's proportions */
    int64_t micro;    /* largest B */
    int64_t group;    /* a multiple of the images that each MoE layer routes together; divides
                         first_image and micro */
    const struct vrt_param *params;
    int64_t nparams;
    const struct vrt_role *roles;
    int64_t nroles;
    const struct vrt_moe *moes;
    int64_t nmoes;
    const struct vrt_key *keys;
    int64_t nkeys;
    int64_t params_bytes, packed_eval_bytes, packed_train_bytes, balance_bytes;
    int64_t choices; /* the experts of all MoE layers: floats in a row of CHOICES */
    int64_t arena_eval_bytes, arena_train_bytes, scratch_bytes; /* scratch: of each thread */
    int64_t moments;                         /* that the optimiser keeps of each weight: 1 or 2 */
    void (*pack_eval)(struct vrt_ctx *);     /* PARAMS -> PACKED for eval only */
    void (*pack_train)(struct vrt_ctx *);    /* PARAMS -> PACKED for train (and eval) */
    void (*eval)(struct vrt_ctx *);          /* INPUT -> OUTPUT, FEATURES */
    void (*train)(struct vrt_ctx *);         /* INPUT, TARGET -> OUTPUT, loss, GRADS += */
    void (*train_forward)(struct vrt_ctx *); /* the same without the gradients (gradient checks) */
    void (*norm)(struct vrt_ctx *);          /* GRADS -> grad_norm2 */
    void (*update)(struct vrt_ctx *);        /* GRADS, moments -> PARAMS, EMA; then GRADS = 0 */
};

/* The region of a call must be large enough for the function called: arena_train_bytes for train*,
 * arena_eval_bytes for eval; packed_train_bytes after pack_train. Regions are 64-byte aligned. */

extern const struct vrt_program vrt_program_table;

#endif
