/* The command `info`: what the compiler wrote about the program. */
#include <stdio.h>
#include <string.h>

#include "runtime/program/command.h"
#include "runtime/program/options.h"

int vrt_command_info(const struct vrt_options *o, struct vrt_error *e)
{
    const char *text = o->json ? o->program->info_json : o->program->info_text;
    size_t n = strlen(text);
    (void)e;
    fwrite(text, 1, n, stdout);
    if (n > 0 && text[n - 1] != '\n')
        putchar('\n');
    return VRT_OK;
}
