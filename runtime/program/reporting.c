/* The page of a run: after each epoch, and by the command `report` for any run folder. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/base/claim.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/show.h"
#include "runtime/program/command.h"
#include "runtime/program/keep.h"
#include "runtime/program/message.h"
#include "runtime/program/options.h"
#include "runtime/program/outputs.h"
#include "runtime/program/settings.h"
#include "runtime/program/training.h"
#include "runtime/report/events.h"
#include "runtime/report/page.h"

static bool write_report(const char *folder, const struct vrt_program *p,
                         const struct vrt_history *h, enum vrt_run_state state, struct vrt_error *e)
{
    struct vrt_report r = {
        .folder = folder,
        .history = h,
        .state = state,
        .now = (double)time(NULL),
        .info_text = p->info_text,
        .info_json = p->info_json,
    };
    return vrt_report_write(&r, e) && (!h->metrics || vrt_events_write(folder, h, e));
}

bool vrt_training_report(const struct vrt_training *t, bool ended, struct vrt_error *e)
{
    enum vrt_run_state state = vrt_training_over(t) ? VRT_RUN_FINISHED
                               : ended              ? VRT_RUN_STOPPED
                                                    : VRT_RUN_GOES_ON;
    struct vrt_history h;
    struct vrt_error why;
    if (!vrt_claim_holds(t->run.claim, &why))
        return true; /* the page is another's now, and whoever writes next is told so */
    bool ok = vrt_history_read(&h, t->run.folder, &why) &&
              write_report(t->run.folder, t->m.program, &h, state, &why);
    vrt_history_free(&h);
    if (ok)
        return true;
    char quoted[4 * PATH_MAX];
    return vrt_fail(e, why.code,
                    "%.1000s; the training does not need it, and `report --out %.900s` makes it "
                    "again",
                    why.text, vrt_quote(quoted, sizeof quoted, t->run.folder));
}

static enum vrt_run_state state_of(const char *folder, const struct vrt_history *h)
{
    double all = vrt_history_key(h, "train.epochs"),
           patience = vrt_history_key(h, "train.patience");
    double done = h->nepochs > 0 ? h->epochs[h->nepochs - 1].epoch : 0;
    long best = vrt_history_best(h);
    bool over =
        done >= all || (patience > 0 && best >= 0 && done - h->epochs[best].epoch >= patience);
    return vrt_claim_seen(folder) ? VRT_RUN_GOES_ON : over ? VRT_RUN_FINISHED : VRT_RUN_STOPPED;
}

static bool print_path(const struct vrt_options *o, const char *folder, struct vrt_error *e)
{
    char path[PATH_MAX + 20];
    snprintf(path, sizeof path, "%s/report.html", folder);
    if (o->json)
        return vrt_print_json(json_pack("{s:o}", "report", vrt_json_text(path)), 0, e);
    vrt_print(stdout, "%s\n", path);
    return true;
}

static bool is_report(const char *name)
{
    return strcmp(name, "report.html") == 0 || vrt_events_named(name);
}

/* Can the page be written, before it is made? */
static bool try_page(const char *folder, struct vrt_error *e)
{
    char path[PATH_MAX];
    struct vrt_writer w;
    snprintf(path, sizeof path, "%s/report.html", folder);
    bool ok = vrt_outputs_run(folder, is_report, NULL, NULL, 0, e) && vrt_writer_begin(&w, path, e);
    if (ok)
        vrt_writer_abandon(&w);
    return ok;
}

int vrt_command_report(const struct vrt_options *o, struct vrt_error *e)
{
    struct vrt_history h;
    char folder[VRT_RUN_FOLDER];
    if (!vrt_run_folder(o, folder, e))
        return (int)e->code;
    bool ok = vrt_history_read(&h, folder, e);
    if (ok && h.run == NULL && !h.metrics && h.analysis == NULL)
        ok = vrt_fail(
            e, VRT_BAD_INPUT,
            "%.300s holds no run: neither run.json nor metrics.jsonl nor analysis.json can be read",
            folder);
    ok = ok && try_page(folder, e) && write_report(folder, o->program, &h, state_of(folder, &h), e);
    vrt_history_free(&h);
    ok = ok && print_path(o, folder, e);
    return ok ? VRT_OK : (int)e->code;
}
