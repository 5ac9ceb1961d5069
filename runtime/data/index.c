/* Gathering, sorting and labelling. Input: classes and names in the order of a folder or an
 * archive; output: an index whose order depends on names alone, so a folder and an archive of it
 * give the same training. */
#include "runtime/data/index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for one more of `size` bytes each; NULL when there is none. */
static void *grow(void *array, int64_t count, int64_t *room, size_t size)
{
    int64_t more = *room < 64 ? 64 : *room * 2;
    void *bigger;

    if (count < *room)
        return array;
    bigger = realloc(array, (size_t)more * size);
    if (bigger != NULL)
        *room = more;
    return bigger;
}

/* The place of a class, or where it belongs. */
static int64_t class_place(const struct vrt_index *x, const char *name, bool *found)
{
    int64_t low = 0, high = x->nclasses;

    while (low < high) {
        int64_t middle = (low + high) / 2;
        int order = strcmp(x->classes[middle].name, name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = false;
    return low;
}

static bool insert_class(struct vrt_index *x, int64_t place, const char *name, struct vrt_error *e)
{
    struct vrt_class *classes = grow(x->classes, x->nclasses, &x->classes_room, sizeof *classes);
    char *copy = strdup(name);

    if (classes != NULL)
        x->classes = classes;
    if (classes == NULL || copy == NULL) {
        free(copy);
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for %lld classes", (long long)x->nclasses);
    }
    memmove(classes + place + 1, classes + place, (size_t)(x->nclasses - place) * sizeof *classes);
    classes[place] = (struct vrt_class){copy, (int32_t)x->nclasses, 0};
    x->nclasses++;
    return true;
}

bool vrt_index_class(struct vrt_index *x, const char *name, size_t length, int32_t *id,
                     struct vrt_error *e)
{
    char text[VRT_MAX_NAME];
    int64_t place;
    bool found;

    if (length == 0 || length >= sizeof text)
        return vrt_fail(e, VRT_BAD_INPUT, "a class name of %zu bytes; 1 to %d are possible", length,
                        VRT_MAX_NAME - 1);
    memcpy(text, name, length);
    text[length] = 0;
    place = class_place(x, text, &found);
    if (!found && x->nclasses == VRT_MAX_CLASSES)
        return vrt_fail(e, VRT_BAD_INPUT, "more than %d classes", VRT_MAX_CLASSES);
    if (!found && !insert_class(x, place, text, e))
        return false;
    *id = x->classes[place].id;
    return true;
}

bool vrt_index_add(struct vrt_index *x, int32_t id, const char *name, uint64_t offset,
                   uint32_t size, struct vrt_error *e)
{
    struct vrt_item *items = grow(x->items, x->nitems, &x->items_room, sizeof *items);
    uint64_t at = x->names.size;

    if (items == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for %lld pictures", (long long)x->nitems);
    x->items = items;
    if (x->nitems == VRT_MAX_ITEMS)
        return vrt_fail(e, VRT_BAD_INPUT, "more than %d pictures", VRT_MAX_ITEMS);
    if (strlen(name) >= VRT_MAX_NAME)
        return vrt_fail(e, VRT_BAD_INPUT, "a name of more than %d bytes: %.60s...",
                        VRT_MAX_NAME - 1, name);
    if (!vrt_buffer_append(&x->names, name, strlen(name) + 1, e))
        return false;
    items[x->nitems++] = (struct vrt_item){.offset = offset, .name = at, .size = size, .label = id};
    return true;
}

static int by_label_and_name(const void *left, const void *right, void *names)
{
    const struct vrt_item *a = left, *b = right;
    const char *text = names;

    if (a->label != b->label)
        return a->label < b->label ? -1 : 1;
    return strcmp(text + a->name, text + b->name);
}

/* label: id -> place among the sorted classes; counts on the way. */
static bool number_classes(struct vrt_index *x, struct vrt_error *e)
{
    int32_t *place = calloc((size_t)x->nclasses, sizeof *place);

    if (place == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for %lld classes", (long long)x->nclasses);
    for (int64_t c = 0; c < x->nclasses; c++)
        place[x->classes[c].id] = (int32_t)c;
    for (int64_t i = 0; i < x->nitems; i++) {
        x->items[i].label = place[x->items[i].label];
        x->classes[x->items[i].label].count++;
    }
    free(place);
    for (int64_t c = 0; c < x->nclasses; c++)
        x->classes[c].id = (int32_t)c;
    return true;
}

/* Where `name` stands in another index, whose classes may be "0", "1", ..; -1: nowhere. */
static int64_t find_class(const struct vrt_index *x, const char *name)
{
    bool found;
    int64_t place = class_place(x, name, &found), number = strtoll(name, NULL, 10);

    if (found)
        return place;
    return number >= 0 && number < x->nclasses && strcmp(x->classes[number].name, name) == 0
               ? number
               : -1;
}

static void free_classes(struct vrt_index *x)
{
    for (int64_t c = 0; c < x->nclasses; c++)
        free(x->classes[c].name);
    free(x->classes);
    x->classes = NULL;
    x->nclasses = x->classes_room = 0;
}

bool vrt_index_copy_classes(struct vrt_index *x, const struct vrt_index *of, struct vrt_error *e)
{
    free_classes(x);
    for (int64_t c = 0; c < of->nclasses; c++)
        if (!insert_class(x, c, of->classes[c].name, e))
            return false;
    return true;
}

bool vrt_index_numbers(struct vrt_index *x, int64_t n, struct vrt_error *e)
{
    char text[24];

    for (int64_t c = 0; c < n; c++) {
        snprintf(text, sizeof text, "%lld", (long long)c);
        if (!insert_class(x, c, text, e))
            return false;
    }
    return true;
}

/* Labels from this index's classes to those of `of`. */
static bool adopt_classes(struct vrt_index *x, const struct vrt_index *of, const char *where,
                          struct vrt_error *e)
{
    int32_t *label = calloc((size_t)x->nclasses, sizeof *label);

    if (label == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for %lld classes", (long long)x->nclasses);
    for (int64_t c = 0; c < x->nclasses; c++) {
        int64_t found = find_class(of, x->classes[c].name);
        if (found < 0) {
            vrt_fail(e, VRT_BAD_INPUT,
                     "%s: the class '%s' is not among the %lld classes of the training split; "
                     "rename or remove it",
                     where, x->classes[c].name, (long long)of->nclasses);
            free(label);
            return false;
        }
        label[c] = (int32_t)found;
    }
    for (int64_t i = 0; i < x->nitems; i++)
        x->items[i].label = label[x->items[i].label];
    free(label);
    return vrt_index_copy_classes(x, of, e);
}

bool vrt_index_finish(struct vrt_index *x, const struct vrt_index *classes_of, const char *where,
                      struct vrt_error *e)
{
    if (x->nclasses == 0)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "%s has no class folders; sort the pictures into one folder per class",
                        where);
    if (!number_classes(x, e))
        return false;
    for (int64_t c = 0; c < x->nclasses; c++)
        if (x->classes[c].count == 0)
            return vrt_fail(e, VRT_BAD_INPUT,
                            "%s: the class folder '%s' has no pictures; fill or remove it", where,
                            x->classes[c].name);
    if (classes_of != NULL && !adopt_classes(x, classes_of, where, e))
        return false;
    qsort_r(x->items, (size_t)x->nitems, sizeof *x->items, by_label_and_name, x->names.data);
    return true;
}

/* The names of classes that were added become the labels. */
static bool read_numbers(struct vrt_index *x, const char *where, struct vrt_error *e)
{
    int32_t *label = calloc((size_t)x->nclasses, sizeof *label);

    if (label == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory for %lld classes", (long long)x->nclasses);
    for (int64_t c = 0; c < x->nclasses; c++) {
        char *end;
        long long number = strtoll(x->classes[c].name, &end, 10);
        if (*end != 0 || number < 0 || number >= VRT_MAX_CLASSES) {
            vrt_fail(e, VRT_BAD_INPUT,
                     "%s: the class '%s' is not a number, as others are; name them alike", where,
                     x->classes[c].name);
            free(label);
            return false;
        }
        label[x->classes[c].id] = (int32_t)number;
    }
    for (int64_t i = 0; i < x->nitems; i++)
        x->items[i].label = label[x->items[i].label];
    free(label);
    free_classes(x);
    return true;
}

bool vrt_index_finish_numbers(struct vrt_index *x, const struct vrt_index *classes_of,
                              const char *where, struct vrt_error *e)
{
    int64_t top = -1;

    if (x->nclasses > 0 && !read_numbers(x, where, e))
        return false;
    for (int64_t i = 0; i < x->nitems; i++)
        top = x->items[i].label > top ? x->items[i].label : top;
    if (top < 0)
        return vrt_fail(e, VRT_BAD_INPUT, "%s has no pictures", where);
    if (classes_of != NULL && top >= classes_of->nclasses)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "%s: the label %lld is not below the %lld classes of the training split",
                        where, (long long)top, (long long)classes_of->nclasses);
    qsort_r(x->items, (size_t)x->nitems, sizeof *x->items, by_label_and_name, x->names.data);
    return classes_of != NULL ? vrt_index_copy_classes(x, classes_of, e)
                              : vrt_index_numbers(x, top + 1, e);
}

void vrt_index_free(struct vrt_index *x)
{
    free_classes(x);
    free(x->items);
    vrt_buffer_free(&x->names);
    *x = (struct vrt_index){0};
}
