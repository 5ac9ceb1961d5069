/* What splits are called: `val` of one data set is `valid` or `evaluation` of another. */
#ifndef RUNTIME_DATA_SPLIT_H
#define RUNTIME_DATA_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

enum vrt_split_kind { VRT_SPLIT_TRAIN, VRT_SPLIT_VAL, VRT_SPLIT_TEST, VRT_SPLIT_OTHER };

/* By its name, of `length` bytes; OTHER: none of the usual ones. */
enum vrt_split_kind vrt_split_kind(const char *name, size_t length);

enum { VRT_SPLIT_NAMES = 7 };

/* The names that a split may have, NULL after them: its own, then the others of its kind. One of no
 * usual kind has its own only. The count. */
int vrt_split_synonyms(const char *split, const char *names[VRT_SPLIT_NAMES]);

/* The same, and then those of what stands in for it where there is none: the test set for a
 * validation set, and the other way. */
void vrt_split_names(const char *split, const char *names[VRT_SPLIT_NAMES]);

/* Was a validation set asked for, and a test set found? */
bool vrt_split_is_stand_in(const char *found, const char *asked);

#endif
