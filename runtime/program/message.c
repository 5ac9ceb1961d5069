/* See message.h. */
#include "runtime/program/message.h"

#include <stdio.h>

void vrt_message(const char *who, const char *text)
{
    fprintf(stderr, "%s: ", who);
    for (; *text != '\0'; text++)
        fputc((unsigned char)*text < ' ' && *text != '\n' && *text != '\t' ? '?' : *text, stderr);
    fputc('\n', stderr);
}
