/* Windows that slide over maps (struct window): made with a report if they do not suit the map,
 * their output, as text, and whether a node's values are theirs. */
#ifndef COMPILER_OPS_WINDOW_H
#define COMPILER_OPS_WINDOW_H

#include <stdio.h>

#include "compiler/graph/build.h"
#include "compiler/ops/facts.h"

bool window_make(struct builder *b, const struct spec_layer *l, struct tensor x, struct window *w,
                 int kernel, int stride, int padding);
struct tensor window_output(struct builder *b, struct node *n, const struct window *w,
                            int64_t cols);
void window_print(const struct window *w, FILE *out);
/* NULL: nothing is wrong. */
const char *window_wrong(const struct window *w, const struct value *from, const struct value *to);

#endif
