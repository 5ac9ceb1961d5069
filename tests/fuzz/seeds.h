/* Whole files of each kind that the runtime reads: what fuzzing begins with. */
#ifndef TESTS_FUZZ_SEEDS_H
#define TESTS_FUZZ_SEEDS_H

#include <stdbool.h>

#include "runtime/vrt.h"
#include "tests/fuzz/mutate.h"

/* End the program when something fails that is not under test. */
void fuzz_must(bool good, const char *what);

/* Each replaces what b holds. */
void fuzz_make_jpeg_rgb(struct fuzz_bytes *b);
void fuzz_make_jpeg_gray(struct fuzz_bytes *b);
void fuzz_make_jpeg_cmyk(struct fuzz_bytes *b);
void fuzz_make_jpeg_progressive(struct fuzz_bytes *b);
void fuzz_make_png_rgba(struct fuzz_bytes *b);
void fuzz_make_png_gray(struct fuzz_bytes *b);
void fuzz_make_png_palette(struct fuzz_bytes *b);
void fuzz_make_tar(struct fuzz_bytes *b);
void fuzz_make_gnu_tar(struct fuzz_bytes *b);
void fuzz_make_tar_gz(struct fuzz_bytes *b);
void fuzz_make_tar_of_tars(struct fuzz_bytes *b);
void fuzz_make_shard(struct fuzz_bytes *b);
void fuzz_make_kit(struct fuzz_bytes *b);
void fuzz_make_numbers(struct fuzz_bytes *b);
void fuzz_make_truth(struct fuzz_bytes *b);
void fuzz_make_solution(struct fuzz_bytes *b);
void fuzz_make_annotations(struct fuzz_bytes *b);
void fuzz_make_cifar(struct fuzz_bytes *b);
void fuzz_make_cifar_names(struct fuzz_bytes *b);
void fuzz_make_idx_pixels(struct fuzz_bytes *b);
void fuzz_make_idx_labels(struct fuzz_bytes *b);
void fuzz_make_weights(struct fuzz_bytes *b);
void fuzz_make_state(struct fuzz_bytes *b);

/* What the weights and the state are of. */
enum { FUZZ_NPARAMS = 3, FUZZ_BLOCK = 6 };
extern const struct vrt_param fuzz_params[FUZZ_NPARAMS];

#endif
