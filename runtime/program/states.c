/* What a state of a run holds: see states.h. */
#include "runtime/program/states.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/claim.h"
#include "runtime/base/json.h"
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
    if (!vrt_claim_holds(r->claim, e) || !vrt_metrics_sync(&r->metrics, e))
        return false;
    json_t *j = vrt_position_json(at);
    json_object_set_new(j, "dead", json_string(r->dead));
    json_object_set_new(j, "jsonl_bytes", json_integer(r->metrics.jsonl_bytes));
    json_object_set_new(j, "csv_bytes", json_integer(r->metrics.csv_bytes));
    json_object_update(j, r->identity);
    char *text = vrt_json_write(j, JSON_COMPACT, "the text of the state", e);
    if (text == NULL)
        return false;
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

json_t *vrt_run_text(const struct vrt_state *s, struct vrt_error *e)
{
    const char *text = vrt_state_text(s);
    return vrt_json_read(text, strlen(text), 0, "the text of the state", e);
}

static bool state_step(const struct vrt_state *s, int64_t *out, struct vrt_error *e)
{
    json_t *text = vrt_run_text(s, e);
    const json_t *step = json_object_get(text, "step");
    *out = json_is_integer(step) ? (int64_t)json_integer_value(step) : INT64_MAX;
    json_decref(text);
    return text != NULL;
}

/* The metrics as the state has them, and after these the warnings that came since: those steps are
 * done again, but what went wrong in them is not forgotten. */
static bool restore_metrics(struct vrt_run *r, const struct vrt_state *s, struct vrt_model *m,
                            struct vrt_position *at, struct vrt_error *e)
{
    struct vrt_buffer warnings = {0};
    json_t *text = vrt_run_text(s, e);
    bool ok =
        text != NULL &&
        vrt_metrics_warnings(&r->metrics, json_integer_value(json_object_get(text, "jsonl_bytes")),
                             &warnings, e) &&
        vrt_run_restore(r, s, text, m, at, e) &&
        vrt_metrics_lines(&r->metrics, (const char *)warnings.data, warnings.size, e);
    vrt_buffer_free(&warnings);
    json_decref(text);
    return ok;
}

/* The newest state before `step`; *out is NULL if there is none. */
static bool open_before(struct vrt_state **out, const char *folder, int64_t step,
                        struct vrt_error *e)
{
    struct vrt_error why;
    char note[PATH_MAX + 100];
    uint64_t below = UINT64_MAX;
    int64_t saved;
    for (;;) {
        if (!vrt_state_open(out, folder, below, note, sizeof note, &why))
            return vrt_may_fail(&why, e);
        if (*out == NULL)
            return true;
        bool ok = state_step(*out, &saved, e);
        if (ok && saved < step)
            return true;
        below = vrt_state_sequence(*out);
        vrt_state_close(*out);
        *out = NULL;
        if (!ok)
            return false;
    }
}

/* The next state is written over a newer one that is passed by: its weights are of no use. */
bool vrt_run_go_back(struct vrt_run *r, int64_t step, struct vrt_model *m, struct vrt_position *at,
                     bool *found, struct vrt_error *e)
{
    struct vrt_state *s = NULL;
    char path[PATH_MAX];
    *found = false;
    if (!open_before(&s, vrt_run_path(r, "state", path), step, e))
        return false;
    if (s == NULL)
        return true;
    *found = true;
    if (r->sequence % 2 == (vrt_state_sequence(s) + 1) % 2)
        r->sequence++;
    bool ok = restore_metrics(r, s, m, at, e);
    vrt_state_close(s);
    return ok;
}
