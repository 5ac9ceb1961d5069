/* Numbers that both sides of a comparison compute, bit for bit: hash16() and size_of() of
 * twins.py. */
#ifndef TESTS_REFERENCE_HASHES_H
#define TESTS_REFERENCE_HASHES_H

#include <stdint.h>

#include "runtime/vrt.h"

uint32_t hash_text(const char *text);

/* Integer i of the sequence of a text, from -32768 to 32767. */
int hash16(uint32_t text, int64_t i);

/* value + deviation h / 2^15, h the integers of the sequence `text`. */
void hash_fill(const char *text, float value, float deviation, float *to, int64_t n);

/* The weights of a tensor: the sequence "SALT/NAME", with a value and a deviation after its name
 * and shape. */
void hash_weights(int salt, const struct vrt_param *p, float *to);

#endif
