/* Memory: one arena per form. Everything a form owns is freed at once, by arena_free().
 *
 * Allocation never returns NULL: running out of memory, or asking an arena for more than its limit,
 * ends the process with exit status 3 and one line on stderr. Blocks are zeroed and 16-byte
 * aligned. */
#ifndef LANG_BASE_ARENA_H
#define LANG_BASE_ARENA_H

#include <stddef.h>
#include <stdio.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a); /* NULL is allowed */
void *arena_alloc(struct arena *a, size_t size);
void *arena_array(struct arena *a, size_t count, size_t size);   /* checks count * size */
char *arena_copy(struct arena *a, const char *text, size_t len); /* adds a NUL */
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
size_t arena_used(const struct arena *a); /* bytes handed out */

/* A text that is written as to a file, then goes into an arena. The stream of the C library that
 * does this forgets what it had no memory for. */
struct arena_text {
    char *text;
    size_t size, room;
    FILE *file;
};
FILE *arena_text_begin(struct arena_text *t);
char *arena_text_end(struct arena *a, struct arena_text *t);

/* realloc() for what is freed by itself, malloc() for libraries that take one, and what a library
 * made: NULL means that it found no memory. */
void *arena_realloc(void *block, size_t size);
void *arena_malloc(size_t size);
void *arena_made(void *block);

/* ARENA_PUSH(a, items, n, cap) makes room for one more element behind `items` and returns a pointer
 * to it: *ARENA_PUSH(a, list->items, list->n, list->cap) = x; */
void *arena_grow(struct arena *a, void *items, size_t n, size_t *cap, size_t size);
#define ARENA_PUSH(a, items, n, cap) \
    ((items) = arena_grow((a), (items), (n), &(cap), sizeof *(items)), &(items)[(n)++])

#endif
