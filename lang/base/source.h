/* Source files: their text, and byte offsets turned into lines and columns. */
#ifndef LANG_BASE_SOURCE_H
#define LANG_BASE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

struct source {
    const char *path; /* as shown to the user */
    const char *text; /* NUL-terminated; may hold no other NUL */
    size_t len;
    const uint32_t *lines; /* offset of the first byte of each line */
    uint32_t nlines;
};

/* A range of bytes in a source. src is NULL where a value has no place in a file (a default). */
struct loc {
    const struct source *src;
    uint32_t begin, end;
};

/* Both return NULL with errno set when the file cannot be read or is longer than SOURCE_MAX. */
#define SOURCE_MAX (1u << 20)
struct source *source_read(struct arena *a, const char *path);
struct source *source_from_text(struct arena *a, const char *path, const char *text, size_t len);

/* 1-based line and column (column counts bytes). */
void source_position(const struct source *s, uint32_t offset, uint32_t *line, uint32_t *column);

#endif
