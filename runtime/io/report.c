/* Lists of names: see report.h. The end of a name says most, so a long one loses its beginning. */
#include "runtime/io/report.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/show.h"

enum { RANKS = 8, SHAPE_SIZE = 180 };

void vrt_list_add(struct vrt_list *l, const char *name)
{
    size_t length = strlen(name), cut = length > VRT_NAME_SHOWN ? length - VRT_NAME_SHOWN : 0;
    char shown[4 * VRT_NAME_SHOWN + 1];
    vrt_show_text(shown, sizeof shown, name + cut); /* the lists of an error are a line each */
    l->count++;
    if (l->shown == VRT_NAMES_SHOWN || l->used + strlen(shown) + 2 >= VRT_NAMES_ROOM ||
        l->shown + 1 < l->count)
        return;
    l->used += (size_t)snprintf(l->text + l->used, sizeof l->text - l->used, "%s%s",
                                l->shown ? " " : "", shown);
    l->shown++;
}

void vrt_shape_text(char *text, size_t size, const uint64_t *shape, size_t rank)
{
    size_t used = (size_t)snprintf(text, size, "(");
    for (size_t i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%llu", i ? "," : "",
                                 (unsigned long long)shape[i]);
    if (used < size)
        snprintf(text + used, size - used, ")");
}

/* The first is shown in full, whatever its length: without one the report would say nothing. */
void vrt_list_add_shapes(struct vrt_list *l, const char *name, const uint64_t *have,
                         size_t have_rank, const int64_t *want, size_t want_rank)
{
    char text[2 * SHAPE_SIZE + 120], from[SHAPE_SIZE], to[SHAPE_SIZE];
    size_t length = strlen(name), cut = length > VRT_NAME_SHOWN ? length - VRT_NAME_SHOWN : 0;
    uint64_t wanted[RANKS];
    for (size_t i = 0; i < want_rank; i++)
        wanted[i] = (uint64_t)want[i];
    vrt_shape_text(from, sizeof from, have, have_rank);
    vrt_shape_text(to, sizeof to, wanted, want_rank);
    snprintf(text, sizeof text, "%s %s not %s", name + cut, from, to);
    if (strlen(text) <= VRT_NAME_SHOWN || l->count > 0) {
        vrt_list_add(l, text);
        return;
    }
    l->used = strlen(vrt_show_text(l->text, sizeof l->text, text));
    l->count = l->shown = 1;
}

void vrt_list_tell(const struct vrt_list *l, const char *title, char *text, size_t size)
{
    size_t used = strlen(text);
    if (l->count == 0 || used >= size)
        return;
    used +=
        (size_t)snprintf(text + used, size - used, "\n  %s (%zu): %s", title, l->count, l->text);
    if (l->shown < l->count && used < size)
        snprintf(text + used, size - used, " and %zu more", l->count - l->shown);
}
