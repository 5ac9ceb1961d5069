/* The list of the states: see manifest.h. */
#include "runtime/io/manifest.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/base/json_file.h"

static const char name[] = "manifest.json";

static bool read_row(const json_t *j, struct vrt_listed *row)
{
    const char *file, *sum;
    json_int_t sequence, step, bytes;
    if (json_unpack((json_t *)(uintptr_t)j, "{s:s, s:I, s:I, s:I, s:s}", "file", &file, "sequence",
                    &sequence, "step", &step, "bytes", &bytes, "xxh3_128", &sum) != 0 ||
        sequence < 1 || bytes < 1)
        return false;
    *row =
        (struct vrt_listed){.sequence = (uint64_t)sequence, .bytes = (uint64_t)bytes, .step = step};
    snprintf(row->file, sizeof row->file, "%s", file);
    snprintf(row->sum, sizeof row->sum, "%s", sum);
    return true;
}

void vrt_manifest_read(struct vrt_manifest *m, const char *folder)
{
    char path[PATH_MAX];
    struct vrt_error ignored;
    *m = (struct vrt_manifest){.damaged = false};
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (n < 0 || n >= (int)sizeof path || (access(path, F_OK) != 0 && errno == ENOENT))
        return;
    json_t *j = vrt_json_file(path, &ignored), *rows = json_object_get(j, "states");
    m->damaged = json_array_size(rows) == 0;
    for (size_t i = 0; i < VRT_STATES && i < json_array_size(rows); i++)
        m->damaged = !read_row(json_array_get(rows, i), &m->row[i]) || m->damaged;
    json_decref(j);
    if (m->damaged)
        *m = (struct vrt_manifest){.damaged = true};
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
    char path[PATH_MAX], *text = NULL;
    struct vrt_listed other = strcmp(m->row[0].file, newest->file) == 0 ? m->row[1] : m->row[0];
    *m = (struct vrt_manifest){.row = {*newest, other}};
    json_t *rows = json_array(), *j = json_pack("{s:o}", "states", rows);
    for (int i = 0; i < VRT_STATES; i++)
        if (m->row[i].sequence > 0)
            json_array_append_new(rows, row_json(&m->row[i]));
    char *dumped = json_dumps(j, JSON_INDENT(2));
    json_decref(j);
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    bool ok =
        dumped != NULL && n > 0 && n < (int)sizeof path && asprintf(&text, "%s\n", dumped) > 0;
    ok = ok ? vrt_file_write(path, text, strlen(text), e)
            : vrt_fail(e, VRT_NO_MEMORY, "no memory to write %s in %s", name, folder);
    free(text);
    free(dumped);
    return ok;
}
