/* Text for files: see put.h. */
#include "runtime/io/put.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"

bool vrt_put(struct vrt_buffer *b, struct vrt_error *e, const char *format, ...)
{
    va_list args;
    size_t need = 200;
    for (;;) {
        if (b->room - b->size < need && !vrt_buffer_reserve(b, 2 * b->room + need, e))
            return false;
        va_start(args, format);
        int n = vsnprintf((char *)b->data + b->size, b->room - b->size, format, args);
        va_end(args);
        if (n < 0)
            return vrt_fail(e, VRT_NO_MEMORY, "no memory for a line; free some and try again");
        need = (size_t)n + 1;
        if (need <= b->room - b->size)
            break;
    }
    b->size += need - 1;
    return true;
}

bool vrt_put_number(struct vrt_buffer *b, double value, struct vrt_error *e)
{
    return isfinite(value) ? vrt_put(b, e, "%.9g", value) : vrt_put(b, e, "null");
}

bool vrt_put_string(struct vrt_buffer *b, const char *text, struct vrt_error *e)
{
    char *quoted = vrt_json_write(vrt_json_text(text), JSON_ENCODE_ANY, "a name", e);
    bool ok = quoted != NULL && vrt_put(b, e, "%s", quoted);
    free(quoted);
    return ok;
}

bool vrt_put_field(struct vrt_buffer *b, const char *text, struct vrt_error *e)
{
    bool guarded = *text != '\0' && strchr("=+-@'\t\r\n", *text) != NULL;
    if (text[strcspn(text, ",;\"\t\r\n")] == '\0')
        return vrt_put(b, e, "%s%s", guarded ? "'" : "", text);
    bool ok = vrt_put(b, e, guarded ? "\"'" : "\"");
    for (; ok && *text != '\0'; text++)
        ok = vrt_buffer_append(b, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1, e);
    return ok && vrt_buffer_append(b, "\"", 1, e);
}
