/* Walking through a tar: its members, and where their bytes are. Only headers are read, and nothing
 * is extracted, so what the names say cannot touch the disk. */
#ifndef RUNTIME_DATA_TAR_H
#define RUNTIME_DATA_TAR_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"
#include "runtime/data/blob.h"

struct vrt_member {
    const char *name;      /* "a/b": no "./", no slash at either end; good during the call */
    char kind;             /* 'f' file, 'd' folder, 'l' a link or a device */
    bool sparse;           /* its bytes are not all there */
    uint64_t offset, size; /* of a file's bytes, from the start of the blob */
    const struct vrt_blob *blob;
};

/* Called for each member in turn that is not hidden, nor in a hidden folder; false ends the walk,
 * with an error. */
typedef bool vrt_member_rule(void *data, const struct vrt_member *m, struct vrt_error *e);

/* The tar is `size` bytes of the blob from `start` on; `path` is for messages. Damaged tars, names
 * of more than VRT_MAX_NAME bytes and too many members are errors. */
bool vrt_tar_walk(const char *path, const struct vrt_blob *blob, uint64_t start, uint64_t size,
                  vrt_member_rule *rule, void *data, struct vrt_error *e);

/* Is it a picture, by its name or its first bytes? What has no bytes to look at counts as one. */
bool vrt_member_is_picture(const struct vrt_member *m);

/* Was it memory that libarchive had none of? It does not always say so; malloc() does, if errno was
 * 0 before. */
struct archive;
bool vrt_archive_lacking(struct archive *a);

/* Is this member a file that can be read as a picture? Else an error that says what to do. */
bool vrt_member_usable(const char *path, const struct vrt_member *m, struct vrt_error *e);

#endif
