/* What lies among pictures and is none: notes, thumbnails, downloads that were not finished, the
 * files of systems. One rule for folders, tars and what `predict` is given.
 *
 * A name with the ending of a picture is taken for one and not opened; a file of any other name is
 * looked at. */
#ifndef RUNTIME_DATA_ODD_H
#define RUNTIME_DATA_ODD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is a file or folder to be treated as if it were not there: ".x", "lost+found", "@eaDir"? */
bool vrt_odd_hidden(const char *name);

/* What the name of a file tells. */
enum vrt_odd_sort { VRT_ODD_NO_PICTURE, VRT_ODD_PICTURE, VRT_ODD_LOOK };
enum vrt_odd_sort vrt_odd_sort(const char *name);

/* Is this file of an open folder (AT_FDCWD: or of any path) a picture? One that cannot be opened
 * counts as one: it is told when it is read. */
bool vrt_odd_is_picture(int folder, const char *path);

/* Those that were passed over: how many, and some of their names. */
enum { VRT_ODD_NAMES = 4, VRT_ODD_NAME = 48 };
struct vrt_odd {
    int64_t count;
    int named;
    bool more;                               /* names than these */
    char names[VRT_ODD_NAMES][VRT_ODD_NAME]; /* the first ones, sorted, whatever their order */
};
void vrt_odd_add(struct vrt_odd *o, const char *name);

/* "12 files are no pictures and were passed over: README, notes.txt, ..." */
enum { VRT_ODD_TEXT = 400 };
void vrt_odd_text(const struct vrt_odd *o, char text[VRT_ODD_TEXT]);

#endif
