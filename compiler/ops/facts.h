/* What single operations know of their nodes besides inputs, outputs and params: node->facts. */
#ifndef COMPILER_OPS_FACTS_H
#define COMPILER_OPS_FACTS_H

#include <stdbool.h>
#include <stdint.h>

/* A window that slides over a map: max_pool, avg_pool; px. */
struct window {
    int kernel, stride, padding;
    int height, width;         /* of the map that it reads */
    int out_height, out_width; /* of the one that it makes */
};

struct conv {
    struct window window;
    int groups;
};

struct attention {
    int heads;
};

struct norm {
    double eps;
};

/* gain and temperature: f = w, or exp(min(w, largest)). */
struct gain {
    bool exponential;
    double largest;
};

/* drop_path and dropout: `key` names the node's random numbers. */
struct mask {
    double rate;
    uint32_t key;
};

/* slice: the first channel; take_tokens: the first token. */
struct range {
    int64_t first;
};

/* sincos: of the map that the last height * width tokens come from. */
struct sincos {
    int height, width;
    double temperature;
};

#endif
