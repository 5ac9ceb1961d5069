/* Weights of one network for another: how each tensor of a program is made from those of a file.
 * Input: an open file, the program's tables, and what may be done; output: the program's block of
 * weights, and notes on what was done.
 *
 * For each tensor of the program the first rule that holds is taken:
 *
 *     positions   (1,T0,D) of another grid: resampled (positions.h); rows before the grid are kept
 *     exact       the same name and shape
 *     axes of 1   the same but for axes of 1 at the end: a 1 x 1 convolution is a linear layer
 *     rows        FINE_TUNE: rows of the last linear layer go where match() sends them, the others
 *                 keep their initial values (before `exact`, unless each stays where it is)
 *     head        FINE_TUNE: the last linear layer with another number of classes keeps its initial
 *                 values
 *     experts     UPCYCLE: where the file has a dense layer P and the program experts, P.experts.X
 *                 is made of copies of P.X
 *                 (so is P.experts.KIND.X, and P.shared.X without noise); all else below P keeps
 *                 its initial values
 *     keep        KEEP: of E0 experts of the file those in the list, in its order; the router's
 *                 rows likewise
 *
 * Before, names are translated: prefixes that all carry are taken off, and the rules of rename.h
 * applied to names that the program does not have. A tensor that nothing fits, or one of the file
 * that nothing uses, makes the whole an error that names them: then nothing is loaded. A permission
 * that was given and not needed is an error, too. */
#ifndef RUNTIME_IO_ADAPT_H
#define RUNTIME_IO_ADAPT_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"

struct vrt_program;
struct vrt_tensors;

struct vrt_adapt {
    bool fine_tune; /* a training begins: a new head; the last norm under timm's other name */
    bool upcycle;
    double noise; /* of copied experts: w + noise x (standard deviation of w's tensor) x N(0,1) */
    /* "0,2,5", or "LAYER=0,2;LAYER=1,3" with layers as vrt_moe.name; NULL: not given */
    const char *keep;
    uint64_t seed;                            /* of the noise */
    void (*fresh)(void *data, int64_t param); /* gives a tensor of the program its initial values */
    /* With FINE_TUNE: from which of the `in_file` rows of the file's head does each of the
     * program's go on, -1: from none? What is there says that each stays in its place where there
     * are as many, else from none. NULL: let it be so. */
    bool (*match)(void *data, int64_t in_file, int32_t *rows, int64_t count, struct vrt_error *e);
    void *data;
};

/* Fill `block` (vrt_param.offset bytes on, floats). `notes`: a line for each rule that was used
 * other than `exact`, each ended by a newline. After an error the block is not to be used; a file
 * that does not fit leaves it untouched. */
bool vrt_adapt_load(const struct vrt_tensors *t, const struct vrt_program *p,
                    const struct vrt_adapt *how, void *block, struct vrt_buffer *notes,
                    struct vrt_error *e);

#endif
