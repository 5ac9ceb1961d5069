/* What two networks differ in, by the text of their frozen specs: weights carry the network that
 * they were trained for, and a program knows its own. */
#ifndef RUNTIME_IO_NETWORK_H
#define RUNTIME_IO_NETWORK_H

#include <stdbool.h>
#include <stddef.h>

/* The part of a frozen spec that is the network: its `model` block, in which are also the pictures'
 * size, crop and scale. Paths and recipes are not part of it. malloc'ed, "" where there is none;
 * NULL: no memory. */
char *vrt_network_text(const char *spec);

/* Do the two compute different things? What only a training reads (noise, balance losses, drop
 * path) is passed over, and so are names. Then `text` says in what: "`top_k = 1` there, `top_k = 2`
 * here". input_only: the rest is known to differ; only how pictures become input counts. */
bool vrt_network_differs(const char *there, const char *here, bool input_only, char *text,
                         size_t size);

#endif
