/* Text that grows in a buffer: numbers and words as JSON and CSV want them. */
#ifndef RUNTIME_IO_PUT_H
#define RUNTIME_IO_PUT_H

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"

bool vrt_put(struct vrt_buffer *b, struct vrt_error *e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* JSON has no infinities: a number that is not finite becomes null. */
bool vrt_put_number(struct vrt_buffer *b, double value, struct vrt_error *e);
bool vrt_put_string(struct vrt_buffer *b, const char *text,
                    struct vrt_error *e); /* with its quotes; "" if it is not UTF-8 */

/* A field of a line of CSV; in quotes if it holds what separates (RFC 4180). */
bool vrt_put_field(struct vrt_buffer *b, const char *text, struct vrt_error *e);

/* The end of a table: the file is replaced in one step if all went well (`ok`); the buffer is
 * freed. */
bool vrt_put_away(struct vrt_buffer *b, const char *path, bool ok, struct vrt_error *e);

#endif
