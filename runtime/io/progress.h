/* One line that redraws itself while something runs: only where stderr is a terminal, elsewhere
 * nothing at all. */
#ifndef RUNTIME_IO_PROGRESS_H
#define RUNTIME_IO_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct vrt_progress {
    bool on, colour, drawn;
    const char *title;          /* the caller's, kept */
    int64_t done, total, first; /* steps of this bar; `first` were done before it began */
    double began, shown;        /* seconds, monotonic */
};

double vrt_seconds(void); /* monotonic clock */

void vrt_progress_start(struct vrt_progress *p, const char *title, int64_t done, int64_t total);
/* Redraw if it is time to (a few times a second). `rest`: text behind the ETA, such as
 * "loss 1.234". */
void vrt_progress_show(struct vrt_progress *p, int64_t done, double images_per_s, const char *rest);
void vrt_progress_clear(struct vrt_progress *p); /* before a line is printed, and at the end */

/* "1:02:03", "4:05"; `text` holds at least 32 bytes. */
const char *vrt_duration(char *text, double seconds);

#endif
