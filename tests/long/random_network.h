/* Small networks in the language, drawn at random: convolutions, pools, attention, norms,
 * activations, branches, experts of every kind. */
#ifndef TESTS_LONG_RANDOM_NETWORK_H
#define TESTS_LONG_RANDOM_NETWORK_H

#include <stdint.h>

enum { RANDOM_NETWORKS = 144 }; /* each theme eight times */

/* The text of a .vmoe file, which follows from the number alone; free() it. */
char *random_network(uint64_t number);

#endif
