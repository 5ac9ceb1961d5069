/* Quantities: the unit words of the language, their scale, and numbers written as literals. */
#ifndef LANG_UNIT_H
#define LANG_UNIT_H

#include <stdbool.h>
#include <stddef.h>

#include "lang/spec.h"

struct arena;
struct suggest;

/* A literal such as `300 epochs`, `5%`, `24GiB` or `1e-3`, without blanks inside the number. False
 * if it overflows. */
bool unit_parse(const char *number, size_t len, const char *unit, struct spec_value *value);

bool unit_is_word(const char *word);
void unit_suggest(struct suggest *s);

/* "epochs", "px": as in messages. "no unit" for UNIT_NONE. */
const char *unit_name(enum spec_unit unit);

/* The literal that reads back as the same value: "300 epochs", "4px", "0.05", "25769803776B". */
const char *unit_literal(struct arena *a, const struct spec_value *number);

/* A count with digits in groups: "46_314_952". */
const char *unit_count(struct arena *a, double value);

#endif
