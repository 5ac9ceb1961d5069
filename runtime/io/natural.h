/* The natural order of names: numbers in them count as numbers (2 before 10), and capitals as small
 * letters. timm sorts the folders of classes so; ours, and torchvision's, stand in the order of
 * bytes. */
#ifndef RUNTIME_IO_NATURAL_H
#define RUNTIME_IO_NATURAL_H

#include <stdbool.h>
#include <stdint.h>

/* Below 0, 0 or above 0, as strcmp(). Letters beyond ASCII have no capitals here. */
int vrt_natural_compare(const char *a, const char *b);

/* The places 0 .. n - 1 of names in their natural order, equal ones as they stand. False: no
 * memory. */
bool vrt_natural_order(const char *const *names, int64_t n, int64_t *places);

#endif
