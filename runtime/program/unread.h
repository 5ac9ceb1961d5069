/* Pictures that could not be read: each is told once, on stderr and in a line of a list. */
#ifndef RUNTIME_PROGRAM_UNREAD_H
#define RUNTIME_PROGRAM_UNREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"

struct vrt_dataset;
struct vrt_unread;

struct vrt_unread_list {
    const char *path;       /* the caller's; NULL: no list is kept */
    int file;               /* -1: not opened yet */
    struct vrt_buffer told; /* the list: a name, a tab and the reason in each line */
};

/* What an earlier training told of is in the file at `path`, which is made with the first
 * picture. */
bool vrt_unread_open(struct vrt_unread_list *u, const char *path, struct vrt_error *e);
void vrt_unread_close(struct vrt_unread_list *u);

/* `then`: what becomes of such a picture, for people. */
bool vrt_unread_tell(struct vrt_unread_list *u, const struct vrt_dataset *d,
                     const struct vrt_unread *rows, int64_t n, const char *then,
                     struct vrt_error *e);

#endif
