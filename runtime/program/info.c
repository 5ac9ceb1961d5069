/* The command `info`: what the compiler wrote about the program, and how many threads it would
 * start here. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/quota.h"
#include "runtime/program/command.h"
#include "runtime/program/message.h"
#include "runtime/program/options.h"

static void print_threads(const struct vrt_quota *q)
{
    vrt_print(stdout, "threads: %d (of %d processors", q->threads, q->processors);
    if (q->allowed < q->processors)
        vrt_print(stdout, ", %d of them allowed", q->allowed);
    if (q->cpus > 0)
        vrt_print(stdout, "; CPU quota %.3g", q->cpus);
    vrt_print(stdout, ")\n");
}

/* The object of the compiler with the same as members; a quota of 0: there is none. */
static void print_json(const char *text, const struct vrt_quota *q)
{
    const char *end = strrchr(text, '}');
    int n = end != NULL ? (int)(end - text) : 0;
    vrt_print(stdout, "%.*s,\"threads\":%d,\"processors\":%d,\"allowed\":%d,\"cpu_quota\":%.3g}\n",
              n, text, q->threads, q->processors, q->allowed, q->cpus);
}

int vrt_command_info(const struct vrt_options *o, struct vrt_error *e)
{
    const char *line = o->program->info_text;
    struct vrt_quota q;
    (void)e;
    vrt_quota_read(&q, "");
    if (o->json) {
        print_json(o->program->info_json, &q);
        return VRT_OK;
    }
    while (*line != '\0') {
        int n = (int)strcspn(line, "\n");
        vrt_print(stdout, "%.*s\n", n, line);
        line += n + (line[n] == '\n');
    }
    print_threads(&q);
    return VRT_OK;
}
