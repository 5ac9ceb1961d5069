/* The list of the states: see manifest.h. */
#include "runtime/io/manifest.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/io/put.h"

static const char name[] = "manifest.json";

static bool read_row(const json_t *j, struct vrt_listed *row)
{
    const char *file = json_string_value(json_object_get(j, "file")),
               *sum = json_string_value(json_object_get(j, "xxh3_128"));
    json_int_t sequence = json_integer_value(json_object_get(j, "sequence")),
               bytes = json_integer_value(json_object_get(j, "bytes"));
    const json_t *step = json_object_get(j, "step");
    if (file == NULL || sum == NULL || sequence < 1 || bytes < 1 || !json_is_integer(step))
        return false;
    *row = (struct vrt_listed){
        .sequence = (uint64_t)sequence, .bytes = (uint64_t)bytes, .step = json_integer_value(step)};
    snprintf(row->file, sizeof row->file, "%s", file);
    snprintf(row->sum, sizeof row->sum, "%s", sum);
    return true;
}

bool vrt_manifest_read(struct vrt_manifest *m, const char *folder, struct vrt_error *e)
{
    char path[PATH_MAX];
    struct vrt_error why;
    *m = (struct vrt_manifest){.damaged = false};
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (n < 0 || n >= (int)sizeof path || (access(path, F_OK) != 0 && errno == ENOENT))
        return true;
    json_t *j = vrt_json_read_file(path, &why), *rows = json_object_get(j, "states");
    if (j == NULL && !vrt_may_fail(&why, e))
        return false;
    m->damaged = json_array_size(rows) == 0;
    for (size_t i = 0; i < VRT_STATES && i < json_array_size(rows); i++)
        m->damaged = !read_row(json_array_get(rows, i), &m->row[i]) || m->damaged;
    json_decref(j);
    if (m->damaged)
        *m = (struct vrt_manifest){.damaged = true};
    return true;
}

const struct vrt_listed *vrt_manifest_find(const struct vrt_manifest *m, const char *file)
{
    for (int i = 0; i < VRT_STATES; i++)
        if (m->row[i].sequence > 0 && strcmp(m->row[i].file, file) == 0)
            return &m->row[i];
    return NULL;
}

static json_t *row_json(const struct vrt_listed *row)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:s}", "file", row->file, "sequence",
                     (json_int_t)row->sequence, "step", (json_int_t)row->step, "bytes",
                     (json_int_t)row->bytes, "xxh3_128", row->sum);
}

bool vrt_manifest_write(struct vrt_manifest *m, const char *folder, const struct vrt_listed *newest,
                        struct vrt_error *e)
{
    char path[PATH_MAX];
    struct vrt_buffer b = {0};
    struct vrt_listed other = strcmp(m->row[0].file, newest->file) == 0 ? m->row[1] : m->row[0];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return vrt_fail(e, VRT_BAD_INPUT, "the name of the folder %.100s... is too long", folder);
    *m = (struct vrt_manifest){.row = {*newest, other}};
    json_t *rows = json_array();
    for (int i = 0; i < VRT_STATES; i++)
        if (m->row[i].sequence > 0)
            json_array_append_new(rows, row_json(&m->row[i]));
    char *text = vrt_json_write(json_pack("{s:o}", "states", rows), JSON_INDENT(2), path, e);
    bool ok =
        text != NULL && vrt_put(&b, e, "%s\n", text) && vrt_file_write(path, b.data, b.size, e);
    free(text);
    vrt_buffer_free(&b);
    return ok;
}
