/* Files: read whole, and written so that a crash or a full disk leaves the old file or the
 * new one, never a part. Errors name the file and the system's reason. */
#ifndef RUNTIME_BASE_FILE_H
#define RUNTIME_BASE_FILE_H

#include <dirent.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"

/* The whole file into b (data replaced, size set); more than `limit` bytes is an error. One zero
 * byte follows the data, not counted in size. */
bool vrt_file_read(const char *path, size_t limit, struct vrt_buffer *b, struct vrt_error *e);

/* The same of a text that people write: without the byte-order mark that some editors put before
 * UTF-8; UTF-16 is an error. */
bool vrt_file_read_text(const char *path, size_t limit, struct vrt_buffer *b, struct vrt_error *e);

/* How a text begins: *skip bytes of a mark, before UTF-8. UTF-16 is an error; `name` is for it. */
bool vrt_text_begins(const char *name, const void *text, size_t size, size_t *skip,
                     struct vrt_error *e);

/* A regular file, opened for reading: its descriptor, *size its bytes. -1 when it is none or cannot
 * be opened. */
int vrt_file_open(const char *path, uint64_t *size, struct vrt_error *e);

/* A regular file, opened for writing and made where there is none; what it holds stays. -1 as
 * above. */
int vrt_file_update(const char *path, struct vrt_error *e);

/* `size` bytes at `offset`; fewer is an error. `name` is for messages. Safe from several threads on
 * one fd. */
bool vrt_file_read_at(int fd, const char *name, void *data, size_t size, uint64_t offset,
                      struct vrt_error *e);

/* All of `size` bytes to fd, going on after short writes. `name` is for messages. */
bool vrt_file_put(int fd, const char *name, const void *data, size_t size, struct vrt_error *e);

/* Which file it is, by whatever path. */
struct vrt_file_id {
    uint64_t device, inode;
};

/* Links are followed; false: there is none, or it cannot be told. */
bool vrt_file_find(const char *path, struct vrt_file_id *id);
bool vrt_file_same(const struct vrt_file_id *a, const struct vrt_file_id *b);

/* Where the links of a path lead, to something or nothing. False: links in a circle, a path that is
 * empty or too long; errno tells. */
bool vrt_file_target(const char *path, char target[PATH_MAX]);

/* Do two paths mean one file, which need not be there yet? */
bool vrt_path_same(const char *a, const char *b);

/* Writing: begin makes a temporary file beside the file that `path` means, which links may lead to
 * and which need not be there; commit makes it durable (fsync, rename, fsync of the folder), with
 * the mode of the file that it replaces. What is no regular file (a device, a pipe) is opened
 * instead, which waits for the reader of a pipe, and is written in its place; so is what stdout or
 * stderr go to, behind what is there. After a failed write or commit, and instead of commit, call
 * abandon: it removes the temporary file. */
struct vrt_writer {
    char *path;      /* as given, for messages */
    char *target;    /* without links */
    char *temporary; /* NULL: written in place */
    int fd;
};

bool vrt_writer_begin(struct vrt_writer *w, const char *path, struct vrt_error *e);
bool vrt_writer_write(struct vrt_writer *w, const void *data, size_t size, struct vrt_error *e);
/* Take `size` bytes of the disk before the first is written, where the file system can: a full disk
 * or a quota shows at once. */
bool vrt_writer_reserve(struct vrt_writer *w, uint64_t size, struct vrt_error *e);
bool vrt_writer_commit(struct vrt_writer *w, struct vrt_error *e);
void vrt_writer_abandon(struct vrt_writer *w); /* also after commit: does nothing then */

/* Make the name of a file or folder durable: sync the folder that it stands in. */
bool vrt_file_sync_name(const char *path, struct vrt_error *e);

/* Put a path together; is there something of that name? It needs no memory, so `no` means no. */
bool vrt_file_there(char path[PATH_MAX], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Open a folder to look into it. *dir is NULL where there is none to look into; false: whether
 * there is could not be found out (memory, descriptors). */
bool vrt_folder_look(DIR **dir, const char *path, struct vrt_error *e);

/* A folder and all in it; what cannot be removed stays. */
void vrt_folder_remove(const char *path);

/* begin, write, commit. */
bool vrt_file_write(const char *path, const void *data, size_t size, struct vrt_error *e);

#endif
