/* What a training bears by itself: see faults.h. */
#include "runtime/program/faults.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/dataset.h"
#include "runtime/data/loader.h"
#include "runtime/program/message.h"
#include "runtime/program/options.h"
#include "runtime/program/training.h"

static bool write_warning(struct vrt_training *t, const char *text, struct vrt_error *e)
{
    json_t *j = json_pack("{s:o, s:I, s:I}", "warning", vrt_json_text(text), "step", (json_int_t)t->at.step, "epoch",
                          (json_int_t)t->at.epoch + 1);
    char *line = json_dumps(j, JSON_COMPACT);
    json_decref(j);
    bool ok = line != NULL ? vrt_metrics_text(&t->run.metrics, line, e) : vrt_fail(e, VRT_BAD_INPUT, "no memory for a warning");
    free(line);
    return ok;
}

static bool warn(struct vrt_training *t, struct vrt_error *e, const char *format, ...) __attribute__((format(printf, 3, 4)));

static bool warn(struct vrt_training *t, struct vrt_error *e, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *at = text; *at != '\0'; at++)
        if ((unsigned char)*at < ' ')
            *at = '?';
    vrt_progress_clear(&t->bar);
    vrt_message("warning", text);
    return write_warning(t, text, e);
}

/* -- pictures that cannot be read -- */

bool vrt_training_unread(struct vrt_training *t, struct vrt_error *e)
{
    int64_t n, pictures = vrt_dataset_count(t->train), limit = (int64_t)t->s.limit;
    const struct vrt_unread *rows = vrt_loader_unread(t->loader, &n);
    if (n == 0)
        return true;
    pictures = limit > 0 && limit < pictures ? limit : pictures;
    int64_t borne = (int64_t)ceil(t->s.bad * (double)pictures);
    vrt_progress_clear(&t->bar);
    if (!vrt_unread_tell(&t->unread, t->train, rows, n, borne > 0 ? "another picture stands in for it" : "no such picture is borne", e))
        return false;
    t->step_unread += n;
    int64_t all = t->at.epoch_unread + t->step_unread;
    return all <= borne || vrt_fail(e, VRT_BAD_INPUT, "%.*s; %lld of this epoch's pictures cannot be read, and data.bad bears %lld (%g %% of %lld): "
                                    "replace or remove those that bad_pictures.txt lists, or give --bad-pictures a larger share",
                                    VRT_UNREAD_TEXT, rows[0].reason, (long long)all, (long long)borne, 100.0 * t->s.bad, (long long)pictures);
}

bool vrt_training_keep(struct vrt_training *t, struct vrt_error *e)
{
    struct vrt_error ignored;
    char text[1400];
    if (t->at.step == 0 || t->o->dry_run || !vrt_training_save_state(t, &ignored))
        return false;
    snprintf(text, sizeof text, "%.1300s", e->text);
    return vrt_fail(e, e->code, "%s. What was learnt until step %lld is saved; then go on with\n  %.60s train --resume --out %.300s", text,
                    (long long)t->at.step, t->o->argv[0], t->run.folder);
}

/* -- the end of an epoch -- */

bool vrt_training_review(struct vrt_training *t, struct vrt_error *e)
{
    return t->at.epoch_unread == 0 || warn(t, e, "%lld pictures of epoch %lld could not be read, and others stood in for them: see bad_pictures.txt",
                                           (long long)t->at.epoch_unread, (long long)t->at.epoch + 1);
}
