/* Reading and counting: see real.h. */
#include "runtime/io/real.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/io/verdict.h"

enum { CLASSES = 1000, NAME_SIZE = 2048 };

static bool check_list(const struct vrt_real *r, struct vrt_error *e)
{
    size_t i, j;
    json_t *row, *label;

    if (!json_is_array(r->list) || json_array_size(r->list) == 0)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "%s is no list of lists of labels, [[65], [970, 795], ...]: get real.json "
                        "of the ReaL labels",
                        r->path);
    json_array_foreach(r->list, i, row)
    {
        if (!json_is_array(row))
            return vrt_fail(e, VRT_BAD_INPUT, "%s: entry %zu is no list of labels", r->path, i + 1);
        json_array_foreach(
            row, j, label) if (!json_is_integer(label) || json_integer_value(label) < 0 ||
                               json_integer_value(label) >=
                                   CLASSES) return vrt_fail(e, VRT_BAD_INPUT,
                                                            "%s: entry %zu has a label that is no "
                                                            "whole number from 0 to %d",
                                                            r->path, i + 1, CLASSES - 1);
    }
    return true;
}

bool vrt_real_read(struct vrt_real *r, const char *path, struct vrt_error *e)
{
    struct vrt_error why;

    *r = (struct vrt_real){.path = path};
    r->list = vrt_json_read_file(path, &why);
    if (r->list == NULL)
        return vrt_fail(e, why.code, "%.1000s; --real needs the file of the ReaL labels", why.text);
    return check_list(r, e);
}

void vrt_real_free(struct vrt_real *r)
{
    json_decref(r->list);
    r->list = NULL;
}

/* 1 of "val/n01751748/ILSVRC2012_val_00000001.JPEG", also with more after the number; 0 for other
 * names. */
static int64_t number_of(const char *name)
{
    static const char begin[] = "ILSVRC2012_val_";
    const char *file = strrchr(name, '/');

    file = file != NULL ? file + 1 : name;
    if (strncmp(file, begin, sizeof begin - 1) != 0)
        return 0;
    file += sizeof begin - 1;
    return strspn(file, "0123456789") == 8 ? strtoll(file, NULL, 10) : 0;
}

static bool holds(const json_t *labels, int32_t class)
{
    size_t i;
    json_t *label;

    json_array_foreach(labels, i, label) if (json_integer_value(label) == class) return true;
    return false;
}

bool vrt_real_count(const struct vrt_real *r, const struct vrt_verdict *v, int64_t n,
                    vrt_picture_namer *name, const void *data, const int32_t *class_of,
                    struct vrt_real_score *s, struct vrt_error *e)
{
    char text[NAME_SIZE];

    *s = (struct vrt_real_score){0};
    for (int64_t i = 0; i < n; i++) {
        name(data, i, text, sizeof text);
        int64_t number = number_of(text);
        const json_t *labels = number > 0 ? json_array_get(r->list, (size_t)number - 1) : NULL;
        if (number > 0 && labels == NULL)
            return vrt_fail(e, VRT_BAD_INPUT, "%s has labels for %zu pictures, but none for %.200s",
                            r->path, json_array_size(r->list), text);
        if (i > 0 && s->applies != (number > 0)) {
            name(data, number > 0 ? i - 1 : i, text, sizeof text);
            return vrt_fail(e, VRT_BAD_INPUT,
                            "%.200s is not called as ILSVRC2012_val_00000001.JPEG is, but other "
                            "pictures are; its ReaL "
                            "labels are not known: give it its name, or leave out --real",
                            text);
        }
        s->applies = number > 0;
        if (json_array_size(labels) == 0)
            continue;
        s->images++;
        s->top1 += v[i].predicted >= 0 && holds(labels, class_of[v[i].predicted]);
    }
    return true;
}
