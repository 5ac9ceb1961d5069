/* How choices spread over the experts of each MoE layer: what BALANCE and CHOICES hold (struct
 * vrt_moe), summed up and told. Experts and classes count from 0. */
#ifndef RUNTIME_IO_EXPERTS_H
#define RUNTIME_IO_EXPERTS_H

#include <stdint.h>

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"
#include "runtime/io/verdict.h"
#include "runtime/vrt.h"

struct vrt_experts { /* sums over the pictures of an evaluation */
    const struct vrt_moe *moes;
    int64_t nmoes, classes, width, nbalance;
    double *balance; /* (nbalance) what BALANCE held, in its order */
    double *chosen;  /* (classes,width) kept choices of the pictures of each class */
    int64_t *images; /* (classes) */
    double *common;  /* of each layer (E,E), the upper half: min(c_i, c_j) of the pictures' choices;
                        NULL: not wanted */
};

bool vrt_experts_open(struct vrt_experts *x, const struct vrt_program *p, bool similarity,
                      struct vrt_error *e);
void vrt_experts_close(struct vrt_experts *x); /* also of a zeroed struct */

/* Move what BALANCE counted to the sums, (balance_bytes / 4) in its order: it is zero after. */
void vrt_balance_drain(const struct vrt_moe *moes, int64_t nmoes, void *balance, double *sums);

/* Add a call of eval with n pictures; BALANCE is drained. */
void vrt_experts_add(struct vrt_experts *x, void *balance, const float *choices,
                     const int32_t *labels, int64_t n);

/* The members of a layer's JSON object: its name, the share of the choices of each expert, the
 * share dropped, and the mean entropy of the router's softmax (null unless tokens choose). balance:
 * the program's sums. */
bool vrt_put_layer(struct vrt_buffer *b, const struct vrt_moe *moe, const double *balance,
                   struct vrt_error *e);

/* Tables as CSV, appended to a buffer.
 *   experts      layer,expert,class,images,choices: a line for each of them; pictures of the class,
 *                choices kept of these
 *   similarity   layer,expert_i,expert_j,similarity: sum of 2 min(c_i, c_j) / sum of c_i + c_j over
 *                the pictures (Videau et al. 2024), c_i the picture's choices of i; empty: neither
 *                was chosen */
bool vrt_put_experts(struct vrt_buffer *b, const struct vrt_experts *x, vrt_class_namer *name,
                     const void *data, struct vrt_error *e);
bool vrt_put_similarity(struct vrt_buffer *b, const struct vrt_experts *x, struct vrt_error *e);

#endif
