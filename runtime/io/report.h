/* Lists of names in an error: the first few, and always how many there are. */
#ifndef RUNTIME_IO_REPORT_H
#define RUNTIME_IO_REPORT_H

#include <stddef.h>
#include <stdint.h>

enum { VRT_NAMES_SHOWN = 8, VRT_NAMES_ROOM = 380, VRT_NAME_SHOWN = 60 };

struct vrt_list {
    char text[VRT_NAMES_ROOM + 240]; /* one shape in full may go beyond the room */
    size_t used, count, shown;
};

void vrt_list_add(struct vrt_list *l, const char *name);

/* "name (2,3) not (3,2)": a tensor of the file that has another shape than wanted. */
void vrt_list_add_shapes(struct vrt_list *l, const char *name, const uint64_t *have,
                         size_t have_rank, const int64_t *want, size_t want_rank);

/* Add "\n  title (count): names and N more" to a text, or nothing if the list is empty. */
void vrt_list_tell(const struct vrt_list *l, const char *title, char *text, size_t size);

/* "(2,3)", cut off at `size`; ranks up to 8. */
void vrt_shape_text(char *text, size_t size, const uint64_t *shape, size_t rank);

#endif
