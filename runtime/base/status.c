/* Filling in errors. Output: the caller's struct vrt_error; nothing is printed here. */
#include "runtime/base/status.h"

#include <stdarg.h>
#include <stdio.h>

bool vrt_fail(struct vrt_error *e, enum vrt_code code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    e->code = code;
    vsnprintf(e->text, sizeof e->text, format, arguments);
    va_end(arguments);
    return false;
}
