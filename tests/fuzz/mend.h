/* Damaged files with their checksums and sizes made right again: else nothing would get behind
 * those. */
#ifndef TESTS_FUZZ_MEND_H
#define TESTS_FUZZ_MEND_H

#include "tests/fuzz/mutate.h"

void fuzz_mend_jpeg(struct fuzz_bytes *b);
void fuzz_mend_png(struct fuzz_bytes *b);
void fuzz_mend_tar(struct fuzz_bytes *b);
void fuzz_mend_weights(struct fuzz_bytes *b);
void fuzz_mend_cifar(struct fuzz_bytes *b);
void fuzz_mend_idx_pixels(struct fuzz_bytes *b);
void fuzz_mend_idx_labels(struct fuzz_bytes *b);
void fuzz_mend_state(struct fuzz_bytes *b);

#endif
