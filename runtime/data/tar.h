/* Walking through a tar that lies in memory (mapped, most often): its members, and where their
 * bytes are. Nothing is extracted, so what the names say cannot touch the disk. */
#ifndef RUNTIME_DATA_TAR_H
#define RUNTIME_DATA_TAR_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

struct vrt_member {
    const char *name;      /* "a/b": no "./", no slash at either end; good during the call */
    char kind;             /* 'f' file, 'd' folder, 'l' a link or a device */
    bool sparse;           /* its bytes are not all there */
    const uint8_t *bytes;  /* of a file */
    uint64_t offset, size; /* of the bytes, from the start of the tar */
};

/* Called for each member in turn that is not hidden, nor in a hidden folder; false ends the walk,
 * with an error. */
typedef bool vrt_member_rule(void *data, const struct vrt_member *m, struct vrt_error *e);

/* `path` is for messages. Damaged tars, names of more than VRT_MAX_NAME bytes and too many members
 * are errors. */
bool vrt_tar_walk(const char *path, const uint8_t *base, uint64_t size, vrt_member_rule *rule,
                  void *data, struct vrt_error *e);

/* Is this member a file that can be read as a picture? Else an error that says what to do. */
bool vrt_member_usable(const char *path, const struct vrt_member *m, struct vrt_error *e);

#endif
