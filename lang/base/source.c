/* Source files. Input: a path or a text. Output: the bytes with a NUL behind and the table of line
 * starts. A byte-order mark before a file is no part of its text. */
#include "lang/base/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lang/base/arena.h"

struct source *source_from_text(struct arena *a, const char *path, const char *text, size_t len)
{
    if (len > SOURCE_MAX) {
        errno = EFBIG;
        return NULL;
    }
    struct source *s = arena_alloc(a, sizeof *s);
    s->path = path ? arena_copy(a, path, strlen(path)) : NULL;
    s->text = arena_copy(a, text, len);
    s->len = len;
    uint32_t n = 1;
    for (size_t i = 0; i < len; i++)
        n += text[i] == '\n';
    uint32_t *lines = arena_array(a, n, sizeof *lines);
    for (size_t i = 0, k = 1; i < len; i++)
        if (text[i] == '\n')
            lines[k++] = (uint32_t)i + 1;
    s->lines = lines;
    s->nlines = n;
    return s;
}

struct source *source_read(struct arena *a, const char *path)
{
    FILE *in = fopen(path, "rb");
    if (!in)
        return NULL;
    struct stat st;
    if (fstat(fileno(in), &st) == 0 && S_ISDIR(st.st_mode)) {
        fclose(in);
        errno = EISDIR;
        return NULL;
    }
    /* Read in pieces: a size asked for beforehand means nothing for a pipe. */
    char *text = NULL;
    size_t len = 0, cap = 0;
    while (len <= SOURCE_MAX + 3) {
        if (len == cap) {
            char *more = arena_alloc(a, cap = cap ? cap * 4 : 16384);
            if (len)
                memcpy(more, text, len);
            text = more;
        }
        size_t n = fread(text + len, 1, cap - len, in);
        if (n == 0)
            break;
        len += n;
    }
    int failed = ferror(in) ? errno : 0;
    fclose(in);
    if (failed) {
        errno = failed;
        return NULL;
    }
    size_t mark = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    return source_from_text(a, path, text ? text + mark : "", len - mark);
}

void source_position(const struct source *s, uint32_t offset, uint32_t *line, uint32_t *column)
{
    uint32_t low = 0, high = s->nlines;
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        if (s->lines[mid] <= offset)
            low = mid;
        else
            high = mid;
    }
    *line = low + 1;
    *column = offset - s->lines[low] + 1;
}
