/* The command `info`: what the compiler wrote about the program. */
#include <stdio.h>
#include <string.h>

#include "runtime/program/command.h"
#include "runtime/program/message.h"
#include "runtime/program/options.h"

int vrt_command_info(const struct vrt_options *o, struct vrt_error *e)
{
    const char *line = o->json ? o->program->info_json : o->program->info_text;
    (void)e;
    while (*line != '\0') {
        int n = (int)strcspn(line, "\n");
        vrt_print(stdout, "%.*s\n", n, line);
        line += n + (line[n] == '\n');
    }
    return VRT_OK;
}
