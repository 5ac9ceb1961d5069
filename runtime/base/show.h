/* Text that people see and paste. Names of files, classes and tensors may hold any bytes: a
 * terminal is shown those that would act on it, and a shell is given words that it reads as they
 * were. */
#ifndef RUNTIME_BASE_SHOW_H
#define RUNTIME_BASE_SHOW_H

#include <stddef.h>
#include <stdint.h>

/* The bytes of the character of UTF-8 that a text begins with, 0 if it begins with none. *c: its
 * number. */
size_t vrt_utf8(const char *text, uint32_t *c);

/* The first character of a text (not empty) as a terminal may be given it: as it is, or as \x1b or
 * \u202e where it controls the terminal, turns the direction of writing, ends a line or is no
 * UTF-8. Returns the bytes of it in `text`. */
enum { VRT_SHOWN = 8 };
size_t vrt_show(const char *text, char shown[VRT_SHOWN]);

/* A whole text so, cut off after the last character that fits; returns `out`. */
const char *vrt_show_text(char *out, size_t size, const char *text);

enum { VRT_WORD = 1000 }; /* room for a word in a message */

/* A word for a POSIX shell, in quotes only if it needs them: what vrt_show would not leave as it is
 * is written as in $'\033'. Four bytes for each of its own and four more are room enough; returns
 * `out`. */
const char *vrt_quote(char *out, size_t size, const char *word);

#endif
