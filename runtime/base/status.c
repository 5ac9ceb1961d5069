/* Filling in errors. Output: the caller's struct vrt_error; nothing is printed here. */
#include "runtime/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool vrt_fail(struct vrt_error *e, enum vrt_code code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    e->code = code;
    if (vsnprintf(e->text, sizeof e->text, format, arguments) < 0)
        strcpy(e->text, "no memory to say what is wrong; free some and try again");
    va_end(arguments);
    return false;
}

bool vrt_may_fail(const struct vrt_error *why, struct vrt_error *e)
{
    if (why->code == VRT_NO_MEMORY)
        *e = *why;
    return why->code != VRT_NO_MEMORY;
}
