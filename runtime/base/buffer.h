/* Bytes that grow and stay: the scratch memory of readers and decoders. A zeroed struct is an empty
 * buffer. */
#ifndef RUNTIME_BASE_BUFFER_H
#define RUNTIME_BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

struct vrt_buffer {
    uint8_t *data; /* owned; NULL when room is 0 */
    size_t size;   /* bytes in use, kept by the user */
    size_t room;
};

/* Make room for `room` bytes in all; what is there stays. Never shrinks. */
bool vrt_buffer_reserve(struct vrt_buffer *b, size_t room, struct vrt_error *e);

/* Add bytes at the end; the room doubles when it is used up. */
bool vrt_buffer_append(struct vrt_buffer *b, const void *data, size_t size, struct vrt_error *e);

void vrt_buffer_free(struct vrt_buffer *b);

#endif
