/* What memory lacks for a document is remembered: see json.h. */
#include "runtime/base/json.h"

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"

enum { LIMIT = 1 << 28 }; /* bytes of a file */

/* Before each block of jansson's. Those that one reading makes stand in a ring, so that it can be
 * left at any of them. */
struct block {
    _Alignas(max_align_t) struct block *before;
    struct block *after;
};

/* Bytes of the first request that found no memory; 0: all did. */
static _Thread_local size_t lacking;

/* NULL: nobody reads. */
static _Thread_local struct reading {
    struct block ring;
    jmp_buf escape;
} *reading;

static void link_block(struct block *b, struct block *ring)
{
    *b = (struct block){.before = ring->before, .after = ring};
    b->before->after = b->after->before = b;
}

static void unlink_block(struct block *b)
{
    b->before->after = b->after;
    b->after->before = b->before;
}

static void *allocate(size_t size)
{
    struct block *b = size < SIZE_MAX - sizeof *b ? malloc(sizeof *b + size) : NULL;

    if (b == NULL) {
        lacking = lacking == 0 ? size : lacking;
        if (reading != NULL)
            longjmp(reading->escape, 1);
        return NULL;
    }
    *b = (struct block){.before = b, .after = b};
    if (reading != NULL)
        link_block(b, &reading->ring);
    return b + 1;
}

static void release(void *data)
{
    struct block *b = data;

    if (b == NULL)
        return;
    unlink_block(--b);
    free(b);
}

/* jansson wants to be told before its first use. */
static __attribute__((constructor)) void begin(void)
{
    json_set_alloc_funcs(allocate, release);
}

bool vrt_json_whole(const char *what, struct vrt_error *e)
{
    size_t bytes = lacking;

    lacking = 0;
    return bytes == 0 ||
           vrt_fail(e, VRT_NO_MEMORY,
                    "no memory for %s, which takes %zu bytes more; free some and try again", what,
                    bytes);
}

json_t *vrt_json_text(const char *text)
{
    json_t *whole = json_string(text);
    size_t n = strlen(text), used = 0;

    if (whole != NULL)
        return whole;
    char *clean = allocate(3 * n + 1); /* so that it is remembered, too */
    if (clean == NULL)
        return NULL;
    while (*text != '\0') {
        size_t length = 1; /* the shortest prefix that is a character by itself */
        json_t *one = json_stringn(text, 1);
        while (one == NULL && length < 4 && text[length] != '\0')
            one = json_stringn(text, ++length);
        length = one != NULL ? length : 1;
        memcpy(clean + used, one != NULL ? text : "\xEF\xBF\xBD", one != NULL ? length : 3);
        used += one != NULL ? length : 3;
        text += length;
        json_decref(one);
    }
    whole = json_stringn(clean, used);
    release(clean);
    return whole;
}

struct writing {
    struct vrt_buffer text;
    struct vrt_error *e;
    bool failed;
};

static int add(const char *part, size_t size, void *data)
{
    struct writing *w = data;

    w->failed = w->failed || !vrt_buffer_append(&w->text, part, size, w->e);
    return w->failed ? -1 : 0;
}

char *vrt_json_write(json_t *j, size_t flags, const char *what, struct vrt_error *e)
{
    struct writing w = {.e = e};
    bool ok = json_dump_callback(j, add, &w, flags) == 0 && add("", 1, &w) == 0;

    json_decref(j);
    if (!vrt_json_whole(what, e))
        ok = false;
    else if (!ok && !w.failed)
        vrt_fail(e, VRT_INTERNAL, "%s cannot be written as JSON", what);
    if (!ok)
        vrt_buffer_free(&w.text);
    return (char *)w.text.data;
}

/* json_loadb(), which is left at the first block that finds no memory. */
static json_t *load(const char *text, size_t size, size_t flags, json_error_t *why)
{
    struct reading r;
    json_t *volatile j = NULL;

    r.ring = (struct block){.before = &r.ring, .after = &r.ring};
    reading = &r;
    if (setjmp(r.escape) == 0)
        j = json_loadb(text, size, flags, why);
    reading = NULL;
    while (j == NULL && r.ring.after != &r.ring)
        release(r.ring.after + 1);
    unlink_block(&r.ring);
    return j;
}

json_t *vrt_json_read(const char *text, size_t size, size_t flags, const char *what,
                      struct vrt_error *e)
{
    json_error_t why;
    json_t *j = load(text, size, flags, &why);

    if (!vrt_json_whole(what, e)) {
        json_decref(j);
        return NULL;
    }
    if (j == NULL)
        vrt_fail(e, VRT_BAD_INPUT, "%s is no valid JSON (line %d: %.150s)", what, why.line,
                 why.text);
    return j;
}

json_t *vrt_json_read_file(const char *path, struct vrt_error *e)
{
    struct vrt_buffer b = {0};
    json_t *j = NULL;

    if (vrt_file_read_text(path, LIMIT, &b, e))
        j = vrt_json_read((const char *)b.data, b.size, 0, path, e);
    vrt_buffer_free(&b);
    return j;
}
