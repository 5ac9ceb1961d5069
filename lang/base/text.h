/* Words and texts: a map from strings, UTF-8, suggestions, numbers as text. */
#ifndef LANG_BASE_TEXT_H
#define LANG_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct arena;

/* String to pointer. Start from all zeros. Keys are borrowed and must live as long as the map. */
struct map {
    struct map_slot {
        const char *key;
        void *value;
    } *slots;
    size_t n, cap;
};
void *map_get(const struct map *m, const char *key); /* NULL if there is none */
void map_put(struct arena *a, struct map *m, const char *key, void *value);

/* Offset of the first byte that is not valid UTF-8 (or is NUL), or len. */
size_t text_check_utf8(const char *text, size_t len);

/* The character that valid UTF-8 begins with, and its bytes. */
uint32_t text_character(const char *text, size_t *bytes);

/* A character that cannot be seen, or moves others: a control, a blank that is not the ordinary
 * one, a mark without a width. */
bool text_is_hidden(uint32_t character);

/* The first character of a text (len > 0) as a terminal may be given it: as it is, or as \x1b or
 * \u202e where it is hidden or no UTF-8. Returns the bytes of it in `text`. */
#define TEXT_SHOWN 12
size_t text_show(const char *text, size_t len, char shown[TEXT_SHOWN]);
void text_write_shown(FILE *out, const char *text);

/* A word for a POSIX shell, in quotes only if it needs them. */
void text_write_word(FILE *out, const char *word);

bool text_equal(const char *a, const char *b); /* NULL equals NULL only */
bool text_is_word(const char *text);           /* could be written without quotes */

/* The closest candidate to a word: collect with suggest_add(), then read best (NULL: none is
 * near). */
struct suggest {
    const char *word, *best;
    size_t distance;
};
struct suggest suggest_start(const char *word);
void suggest_add(struct suggest *s, const char *candidate);

/* The shortest decimal text that reads back as the same number; a float keeps a `.` or an
 * exponent. */
const char *text_float(struct arena *a, double value);

/* As a literal of the language, with quotes and escapes. */
void text_write_quoted(FILE *out, const char *text);

#endif
