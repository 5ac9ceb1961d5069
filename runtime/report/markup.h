/* The text of a page while it grows. Whatever comes from outside goes through vrt_html_text():
 * names and paths may hold anything.
 *
 * The page is HTML that is well-formed XML too, so a strict reader can check it. A failure (no
 * memory) is remembered and told once, by the writer of the page; until then every call may go
 * on. */
#ifndef RUNTIME_REPORT_MARKUP_H
#define RUNTIME_REPORT_MARKUP_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"

struct vrt_markup {
    struct vrt_buffer b;
    bool failed;
    struct vrt_error *e;
};

void vrt_html(struct vrt_markup *m, const char *text); /* as it is */
void vrt_htmlf(struct vrt_markup *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Text between tags or in a quoted attribute: & < > " ' become references; what a
 * terminal would be shown as \x1b is written so here. */
void vrt_html_text(struct vrt_markup *m, const char *text);

/* Zeroed memory, to be freed; NULL is a failure of the page. */
void *vrt_html_room(struct vrt_markup *m, size_t n, size_t size);

/* -- tables -- */

/* Down to "<tbody>". `kind`: classes of the style sheet. `heads`: of the columns, with | between
 * them; < before one of words. */
void vrt_table_begin(struct vrt_markup *m, const char *kind, const char *caption,
                     const char *heads);
void vrt_table_end(struct vrt_markup *m);

/* A row begins with its name, which may be any text. */
void vrt_row_begin(struct vrt_markup *m, const char *name);

/* A cell with a bar of `part` (0 to 1) of its width beside the text, which is our own. */
void vrt_bar_cell(struct vrt_markup *m, double part, const char *text);

/* -- numbers, as people read them -- */

typedef char vrt_number[40];

const char *vrt_count_text(vrt_number t, double n); /* 1,281,167 */
const char *vrt_short_text(vrt_number t, double n); /* 22.05 M */
const char *vrt_value_text(
    vrt_number t, double x); /* four digits: 0.1234, 12.34, 1234; "-" if it is not finite */
const char *vrt_percent_text(vrt_number t, double part, double all); /* 72.41 */
const char *vrt_seconds_text(vrt_number t, double s); /* 42 s, 3 min 20 s, 5 h 12 min, 2 d 4 h */
const char *vrt_clock_text(vrt_number t, double unix_seconds); /* 2026-11-27 12:04 UTC */

#endif
