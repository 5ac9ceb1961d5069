/* See message.h. */
#include "runtime/program/message.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/json.h"
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

/* Without memory: it may be what the message is about. */
void vrt_message(const char *who, const char *text)
{
    if (who != NULL) {
        put_shown(who, stderr);
        fputs(": ", stderr);
    }
    put_shown(text, stderr);
    fputc('\n', stderr);
}

void vrt_messagef(const char *who, const char *format, ...)
{
    char part[4096], *whole = NULL;
    va_list arguments, again;
    int n;

    va_start(arguments, format);
    va_copy(again, arguments);
    n = vsnprintf(part, sizeof part, format, arguments);
    if (n >= (int)sizeof part && vasprintf(&whole, format, again) < 0)
        whole = NULL;
    va_end(again);
    va_end(arguments);
    vrt_message(who, whole != NULL ? whole : n >= 0 ? part : "no memory to say more");
    free(whole);
}

static bool lacking;

/* What finds no memory leaves no trace in the stream. */
void vrt_print(FILE *out, const char *format, ...)
{
    char *text;
    va_list arguments;
    int n;

    va_start(arguments, format);
    if (!isatty(fileno(out)))
        n = vfprintf(out, format, arguments);
    else if ((n = vasprintf(&text, format, arguments)) >= 0) {
        put_shown(text, out);
        free(text);
    }
    va_end(arguments);
    lacking = lacking || n < 0;
}

bool vrt_printed(struct vrt_error *e)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return vrt_fail(e, VRT_BAD_INPUT, "the output could not be written");
    return !lacking || vrt_fail(e, VRT_NO_MEMORY,
                                "no memory for a line of the output; free some and try again");
}

bool vrt_print_json(json_t *j, size_t flags, struct vrt_error *e)
{
    char *text = vrt_json_write(j, JSON_COMPACT | flags, "a line of JSON", e);
    if (text != NULL)
        puts(text);
    free(text);
    return text != NULL;
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
