/* JSON from a file: see json_file.h. Jansson's own reader would wait for a pipe. */
#include "runtime/base/json_file.h"

#include "runtime/base/file.h"

enum { LIMIT = 1 << 28 };

json_t *vrt_json_file(const char *path, struct vrt_error *e)
{
    struct vrt_buffer b = {0};
    json_error_t why;
    json_t *j = NULL;

    if (vrt_file_read_text(path, LIMIT, &b, e)) {
        j = json_loadb((const char *)b.data, b.size, 0, &why);
        if (j == NULL)
            vrt_fail(e, VRT_BAD_INPUT, "cannot read %s: %s (line %d)", path, why.text, why.line);
    }
    vrt_buffer_free(&b);
    return j;
}
