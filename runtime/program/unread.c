/* Pictures that could not be read: see unread.h. */
#include "runtime/program/unread.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/base/show.h"
#include "runtime/data/dataset.h"
#include "runtime/data/loader.h"
#include "runtime/program/message.h"

enum { LIST_LIMIT = 4 << 20 }; /* bytes; what comes then is only counted */

bool vrt_unread_open(struct vrt_unread_list *u, const char *path, struct vrt_error *e)
{
    *u = (struct vrt_unread_list){.path = path, .file = -1};
    if (!vrt_buffer_append(&u->told, "\n", 1, e) || path == NULL || access(path, F_OK) != 0)
        return u->told.size > 0;
    struct vrt_buffer before = {0};
    bool ok = vrt_file_read(path, 2 * LIST_LIMIT, &before, e);
    while (ok && before.size > 0 &&
           before.data[before.size - 1] != '\n') /* a line that was cut off */
        before.size--;
    ok = ok && (before.size == 0 || vrt_buffer_append(&u->told, before.data, before.size, e));
    vrt_buffer_free(&before);
    return ok;
}

void vrt_unread_close(struct vrt_unread_list *u)
{
    if (u->path != NULL && u->file >= 0)
        close(u->file);
    vrt_buffer_free(&u->told);
}

/* Add a line to the file, behind the last whole one. */
static bool write_line(struct vrt_unread_list *u, const char *line, size_t size,
                       struct vrt_error *e)
{
    off_t end = (off_t)u->told.size - 1;
    if (u->path == NULL)
        return true;
    bool begins = u->file < 0;
    if (begins && (u->file = vrt_file_update(u->path, e)) < 0)
        return false;
    if (begins && (ftruncate(u->file, end) != 0 || lseek(u->file, end, SEEK_SET) < 0))
        return vrt_fail(e, VRT_BAD_INPUT, "cannot write %s: %s", u->path, strerror(errno));
    return vrt_file_put(u->file, u->path, line, size, e);
}

static bool tell_one(struct vrt_unread_list *u, const struct vrt_dataset *d,
                     const struct vrt_unread *row, const char *then, struct vrt_error *e)
{
    char line[VRT_UNREAD_TEXT + 1400], raw[1200], name[1200], key[1210], reason[VRT_UNREAD_TEXT];
    vrt_dataset_item_name(d, row->picture, raw, sizeof raw);
    vrt_show_text(name, sizeof name, raw); /* a line of the list is a line */
    vrt_show_text(reason, sizeof reason, row->reason);
    snprintf(key, sizeof key, "\n%s\t", name);
    if (u->told.size > LIST_LIMIT || memmem(u->told.data, u->told.size, key, strlen(key)) != NULL)
        return true;
    snprintf(line, sizeof line, "%s; %s", reason, then);
    vrt_message("warning", line);
    int n = snprintf(line, sizeof line, "%s\t%s\n", name, reason);
    return write_line(u, line, (size_t)n, e) && vrt_buffer_append(&u->told, line, (size_t)n, e);
}

bool vrt_unread_tell(struct vrt_unread_list *u, const struct vrt_dataset *d,
                     const struct vrt_unread *rows, int64_t n, const char *then,
                     struct vrt_error *e)
{
    bool ok = true;
    for (int64_t i = 0; ok && i < n; i++)
        ok = tell_one(u, d, &rows[i], then, e);
    return ok;
}
