/* Text that grows in a buffer: numbers and words as JSON and CSV want them. */
#ifndef RUNTIME_IO_PUT_H
#define RUNTIME_IO_PUT_H

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"

bool vrt_put(struct vrt_buffer *b, struct vrt_error *e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* JSON has no infinities: a number that is not finite becomes null. */
bool vrt_put_number(struct vrt_buffer *b, double value, struct vrt_error *e);
bool vrt_put_string(struct vrt_buffer *b, const char *text, struct vrt_error *e); /* quoted */

/* A cell of CSV that is text; numbers go as they are. In quotes if it holds what separates
 * (RFC 4180, and the semicolon and tab of some spreadsheets). A text that begins with = + - @,
 * a tab or an end of line, which a spreadsheet may run, or with an apostrophe, gets an apostrophe
 * before it. So a reader that takes one apostrophe off the beginning of a cell of text, where there
 * is one, has the very name. */
bool vrt_put_field(struct vrt_buffer *b, const char *text, struct vrt_error *e);

#endif
