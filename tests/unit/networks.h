/* Small networks that together hold each node of the graph, for the tests that compare one way of
 * computing with another. */
#ifndef TESTS_UNIT_NETWORKS_H
#define TESTS_UNIT_NETWORKS_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler/graph/graph.h"

struct spec_layer;

enum {
    NETWORK_GROUP = 2,
    NETWORK_MICRO = 4,
    NETWORK_CHANNELS = 3,
    NETWORK_HEIGHT = 4,
    NETWORK_WIDTH = 6,
    NETWORK_CLASSES = 3
};

struct network {
    const char *name;
    struct spec_layer *(*net)(void);
    bool bare;   /* without the first convolution */
    bool binary; /* binary cross-entropy */
    bool large;  /* for kernels with blocks and edges: its nodes are those of others, its params too
                    many for differences */
};

extern const struct network networks[];
extern const int network_count;
const struct network *network_named(const char *name); /* exits if there is none */

/* Built, verified, and for training differentiated; NULL if that fails. Names and params are the
 * same in both graphs. The whole network is one block, the first convolution and the head
 * included. */
struct graph *network_eval(struct arena *a, const struct network *c);
struct graph *network_train(struct arena *a, const struct network *c, enum recompute level);

/* Numbers in (-1, 1), and targets with smoothing. */
void network_seed(uint64_t seed);
double network_uniform(void);
void network_fill(double *v, int64_t n);
void network_target(double *target, int images);

#endif
