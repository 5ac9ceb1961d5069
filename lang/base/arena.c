/* Memory: a list of blocks, each twice as large as the last up to BLOCK_MAX. Nothing is freed
 * before the whole.
 *
 * Input: sizes. Output: zeroed memory. A request that does not fit, in the machine or under
 * ARENA_LIMIT, ends the process: no caller can do better, and a hostile file must not take the
 * machine's memory. */
#include "lang/base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_LIMIT ((size_t)160 << 20)
#define BLOCK_MIN   ((size_t)16 << 10)
#define BLOCK_MAX   ((size_t)1 << 20)
#define ALIGN       16

struct block {
    struct block *next;
    size_t size, used;
    _Alignas(ALIGN) char data[];
};

struct arena {
    struct block *blocks;
    size_t total;
};

static _Noreturn void arena_die(const char *why)
{
    fprintf(stderr, "vmoec: %s\n", why);
    exit(3);
}

struct arena *arena_new(void)
{
    struct arena *a = calloc(1, sizeof *a);
    if (!a)
        arena_die("out of memory");
    return a;
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    for (struct block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(a);
}

static struct block *block_new(struct arena *a, size_t need)
{
    size_t size = a->blocks ? a->blocks->size * 2 : BLOCK_MIN;
    if (size > BLOCK_MAX)
        size = BLOCK_MAX;
    if (size < need)
        size = need;
    struct block *b = calloc(1, sizeof *b + size);
    if (!b)
        arena_die("out of memory");
    b->size = size;
    /* A block made for one large request goes behind the current one, whose rest stays in use. */
    if (a->blocks && size == need && need > BLOCK_MAX) {
        b->next = a->blocks->next;
        a->blocks->next = b;
    } else {
        b->next = a->blocks;
        a->blocks = b;
    }
    return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > ARENA_LIMIT)
        arena_die("the input needs more memory than the compiler allows itself");
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (size == 0)
        size = ALIGN;
    if (a->total + size > ARENA_LIMIT)
        arena_die("the input needs more memory than the compiler allows itself");
    struct block *b = a->blocks;
    if (!b || b->size - b->used < size)
        b = block_new(a, size);
    void *p = b->data + b->used;
    b->used += size;
    a->total += size;
    return p;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        arena_die("the input needs more memory than the compiler allows itself");
    return arena_alloc(a, count * size);
}

char *arena_copy(struct arena *a, const char *text, size_t len)
{
    char *p = arena_alloc(a, len + 1);
    if (len)
        memcpy(p, text, len);
    return p;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0)
        arena_die("a text could not be formatted");
    char *p = arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return p;
}

void *arena_made(void *block)
{
    if (!block)
        arena_die("out of memory");
    return block;
}

void *arena_realloc(void *block, size_t size)
{
    return arena_made(realloc(block, size ? size : 1));
}

void *arena_malloc(size_t size)
{
    return arena_realloc(NULL, size);
}

static ssize_t text_write(void *data, const char *part, size_t size)
{
    struct arena_text *t = data;
    if (t->room - t->size < size)
        t->text = arena_realloc(t->text, t->room = 2 * t->room + size);
    memcpy(t->text + t->size, part, size);
    t->size += size;
    return (ssize_t)size;
}

FILE *arena_text_begin(struct arena_text *t)
{
    *t = (struct arena_text){.text = NULL};
    t->file = arena_made(fopencookie(t, "w", (cookie_io_functions_t){.write = text_write}));
    return t->file;
}

char *arena_text_end(struct arena *a, struct arena_text *t)
{
    if (fclose(t->file))
        arena_die("a text could not be formatted");
    char *copy = arena_copy(a, t->text, t->size);
    free(t->text);
    return copy;
}

size_t arena_used(const struct arena *a)
{
    return a->total;
}

void *arena_grow(struct arena *a, void *items, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return items;
    size_t more = *cap ? *cap * 2 : 4;
    void *p = arena_array(a, more, size);
    if (n)
        memcpy(p, items, n * size);
    *cap = more;
    return p;
}
