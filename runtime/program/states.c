/* What a state of a run holds: see states.h. */
#include "runtime/program/states.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/io/state.h"
#include "runtime/program/message.h"
#include "runtime/program/model.h"
#include "runtime/program/run.h"

/* The blocks of a state, in this order: weights, moments, counts of the experts, average. */
static size_t state_blocks(const struct vrt_model *m,
                           struct vrt_state_block blocks[VRT_STATE_BLOCKS])
{
    static const enum vrt_region regions[] = {VRT_PARAMS, VRT_MOMENT1, VRT_MOMENT2, VRT_EMA};
    size_t n = 0;
    for (size_t i = 0; i < sizeof regions / sizeof *regions; i++)
        if (m->bytes[regions[i]] > 0)
            blocks[n++] = (struct vrt_state_block){m->ctx.region[regions[i]], m->bytes[regions[i]]};
    blocks[n++] = (struct vrt_state_block){m->balance, m->nbalance * (int64_t)sizeof *m->balance};
    return n;
}

double vrt_run_state_bytes(const struct vrt_model *m)
{
    struct vrt_state_block blocks[VRT_STATE_BLOCKS];
    double bytes = 0.0;
    size_t n = state_blocks(m, blocks);
    for (size_t i = 0; i < n; i++)
        bytes += (double)blocks[i].bytes;
    return bytes;
}

bool vrt_run_save(struct vrt_run *r, const struct vrt_model *m, const struct vrt_position *at,
                  struct vrt_error *e)
{
    struct vrt_state_block blocks[VRT_STATE_BLOCKS];
    char path[PATH_MAX];
    if (!vrt_metrics_sync(&r->metrics, e))
        return false;
    json_t *j = vrt_position_json(at);
    json_object_set_new(j, "dead", json_string(r->dead));
    json_object_set_new(j, "jsonl_bytes", json_integer(r->metrics.jsonl_bytes));
    json_object_set_new(j, "csv_bytes", json_integer(r->metrics.csv_bytes));
    json_object_update(j, r->identity);
    char *text = json_dumps(j, JSON_COMPACT);
    json_decref(j);
    if (text == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to save the state");
    bool ok = vrt_state_save(vrt_run_path(r, "state", path), r->sequence + 1, text, blocks,
                             state_blocks(m, blocks), e);
    r->sequence += ok;
    free(text);
    return ok;
}

bool vrt_run_restore(struct vrt_run *r, const struct vrt_state *state, const json_t *text,
                     struct vrt_model *m, struct vrt_position *at, struct vrt_error *e)
{
    struct vrt_state_block blocks[VRT_STATE_BLOCKS];
    const json_t *jsonl = json_object_get(text, "jsonl_bytes"),
                 *csv = json_object_get(text, "csv_bytes");
    const char *dead = json_string_value(json_object_get(text, "dead"));
    bool lost;
    if (!vrt_position_read(at, text) || !json_is_integer(jsonl) || !json_is_integer(csv) ||
        dead == NULL || strlen(dead) != strlen(r->dead))
        return vrt_fail(e, VRT_BAD_INPUT, "the state in %s was saved by another version",
                        r->folder);
    strcpy(r->dead, dead);
    vrt_metrics_close(&r->metrics);
    if (!vrt_state_read(state, blocks, state_blocks(m, blocks), e) ||
        !vrt_metrics_open(&r->metrics, r->folder, json_integer_value(jsonl),
                          json_integer_value(csv), &lost, e))
        return false;
    if (lost)
        vrt_messagef("note",
                     "lines are missing from the metrics in %s; the training itself is whole",
                     r->folder);
    return true;
}

static int64_t state_step(const struct vrt_state *s)
{
    json_t *text = json_loads(vrt_state_text(s), 0, NULL);
    const json_t *step = json_object_get(text, "step");
    int64_t value = json_is_integer(step) ? (int64_t)json_integer_value(step) : INT64_MAX;
    json_decref(text);
    return value;
}

/* The metrics as the state has them, and after these the warnings that came since: those steps are
 * done again, but what went wrong in them is not forgotten. */
static bool restore_metrics(struct vrt_run *r, const struct vrt_state *s, struct vrt_model *m,
                            struct vrt_position *at, struct vrt_error *e)
{
    struct vrt_buffer warnings = {0};
    json_t *text = json_loads(vrt_state_text(s), 0, NULL);
    bool ok =
        vrt_metrics_warnings(&r->metrics, json_integer_value(json_object_get(text, "jsonl_bytes")),
                             &warnings, e) &&
        vrt_run_restore(r, s, text, m, at, e) &&
        vrt_metrics_lines(&r->metrics, (const char *)warnings.data, warnings.size, e);
    vrt_buffer_free(&warnings);
    json_decref(text);
    return ok;
}

/* The next state is written over a newer one that is passed by: its weights are of no use. */
bool vrt_run_go_back(struct vrt_run *r, int64_t step, struct vrt_model *m, struct vrt_position *at,
                     bool *found, struct vrt_error *e)
{
    struct vrt_state *s = NULL;
    struct vrt_error ignored;
    char path[PATH_MAX], note[PATH_MAX + 100];
    uint64_t below = UINT64_MAX;
    *found = false;
    vrt_run_path(r, "state", path);
    while (vrt_state_open(&s, path, below, note, sizeof note, &ignored) && s != NULL &&
           state_step(s) >= step) {
        below = vrt_state_sequence(s);
        vrt_state_close(s);
        s = NULL;
    }
    if (s == NULL)
        return true;
    *found = true;
    if (r->sequence % 2 == (vrt_state_sequence(s) + 1) % 2)
        r->sequence++;
    bool ok = restore_metrics(r, s, m, at, e);
    vrt_state_close(s);
    return ok;
}
