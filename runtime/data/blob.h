/* A large file held readable: in place, or inflated once to memory or, from 1 GiB on, to an
 * unlinked temporary file. */
#ifndef RUNTIME_DATA_BLOB_H
#define RUNTIME_DATA_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"

struct vrt_blob {
    int references;
    struct vrt_buffer memory; /* the bytes, when fd < 0 */
    int fd;
    uint64_t size;
    /* of the file it came from, and its time and size: the same file again? */
    uint64_t device, inode;
    uint64_t source_size;
    int64_t seconds, nanoseconds;
};

/* Open `path`; gzip, zstd and xz are told by content and inflated. `known`, when not NULL and of
 * the same, unchanged file, is shared instead. Each open needs one vrt_blob_close (not from several
 * threads at once). */
bool vrt_blob_open(struct vrt_blob **out, const char *path, struct vrt_blob *known,
                   struct vrt_error *e);
void vrt_blob_close(struct vrt_blob *b);

/* size bytes at offset: *data points into memory, or into `buffer` after a read. Safe from several
 * threads. */
bool vrt_blob_read(const struct vrt_blob *b, const char *name, uint64_t offset, size_t size,
                   struct vrt_buffer *buffer, const uint8_t **data, struct vrt_error *e);

/* The same into memory of the caller. */
bool vrt_blob_copy(const struct vrt_blob *b, const char *name, uint64_t offset, size_t size,
                   void *data, struct vrt_error *e);

#endif
