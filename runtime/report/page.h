/* report.html: the page of a run, one file that needs nothing else, made from the files of the run
 * folder alone. */
#ifndef RUNTIME_REPORT_PAGE_H
#define RUNTIME_REPORT_PAGE_H

#include <stdbool.h>

#include "runtime/base/status.h"
#include "runtime/report/history.h"

enum vrt_run_state { VRT_RUN_GOES_ON, VRT_RUN_STOPPED, VRT_RUN_FINISHED };

struct vrt_report {
    const char *folder;
    const struct vrt_history *history;
    enum vrt_run_state state;
    double now;                        /* seconds since 1970 */
    const char *info_text, *info_json; /* of the program; left out if its spec is not the run's */
};

/* FOLDER/report.html, replaced in one step. */
bool vrt_report_write(const struct vrt_report *r, struct vrt_error *e);

#endif
