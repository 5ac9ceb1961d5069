/* See message.h. */
#include "runtime/program/message.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/show.h"

/* In few writes: stderr has no buffer, and others may write there, too. */
static void put_shown(const char *text, FILE *out)
{
    char part[1000], shown[VRT_SHOWN];
    size_t used = 0;

    for (size_t n; *text != '\0'; text += n) {
        n = vrt_show(text, shown);
        if (*text == '\n' && (text[1] == '\0' || strncmp(text + 1, "  ", 2) == 0))
            strcpy(shown, "\n");
        if (used + strlen(shown) > sizeof part) {
            fwrite(part, 1, used, out);
            used = 0;
        }
        memcpy(part + used, shown, strlen(shown));
        used += strlen(shown);
    }
    fwrite(part, 1, used, out);
}

void vrt_messagef(const char *who, const char *format, ...)
{
    char *text;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    if (who != NULL) {
        put_shown(who, stderr);
        fputs(": ", stderr);
    }
    put_shown(text != NULL ? text : format, stderr); /* no memory: what is known */
    fputc('\n', stderr);
    free(text);
}

void vrt_message(const char *who, const char *text)
{
    vrt_messagef(who, "%s", text);
}

void vrt_print(FILE *out, const char *format, ...)
{
    char *text;
    va_list arguments;

    va_start(arguments, format);
    if (!isatty(fileno(out)))
        vfprintf(out, format, arguments);
    else if (vasprintf(&text, format, arguments) >= 0) {
        put_shown(text, out);
        free(text);
    }
    va_end(arguments);
}

/* main() has opened what was closed for reading only. */
void vrt_message_may_be_lost(void)
{
    if ((fcntl(STDOUT_FILENO, F_GETFL) & O_ACCMODE) != O_RDONLY)
        return;
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && dup2(fd, STDOUT_FILENO) >= 0)
        close(fd);
}
