/* Growing byte buffers. Errors: no memory, sizes that do not fit. */
#include "runtime/base/buffer.h"

#include <stdlib.h>
#include <string.h>

bool vrt_buffer_reserve(struct vrt_buffer *b, size_t room, struct vrt_error *e)
{
    uint8_t *data;

    if (room <= b->room)
        return true;
    data = realloc(b->data, room);
    if (data == NULL)
        return vrt_fail(e, VRT_NO_MEMORY,
                        "no memory for %zu bytes; free some or use a smaller input", room);
    b->data = data;
    b->room = room;
    return true;
}

bool vrt_buffer_append(struct vrt_buffer *b, const void *data, size_t size, struct vrt_error *e)
{
    size_t total;

    if (__builtin_add_overflow(b->size, size, &total))
        return vrt_fail(e, VRT_NO_MEMORY, "no memory: a size does not fit in %zu bits",
                        8 * sizeof total);
    if (total > b->room && !vrt_buffer_reserve(b, total < SIZE_MAX / 2 ? total * 2 : total, e))
        return false;
    if (size > 0)
        memcpy(b->data + b->size, data, size);
    b->size = total;
    return true;
}

void vrt_buffer_free(struct vrt_buffer *b)
{
    free(b->data);
    *b = (struct vrt_buffer){0};
}
