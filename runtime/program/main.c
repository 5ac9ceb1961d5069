/* main() of every generated program: finds the command, runs it, prints the error and returns the
 * exit status (0 done, 1 bad input, 2 wrong usage, 3 a fault of ours; train: 128 + the signal that
 * stopped it). */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/processor.h"
#include "runtime/base/show.h"
#include "runtime/program/command.h"
#include "runtime/program/flags.h"
#include "runtime/program/message.h"
#include "runtime/program/options.h"
#include "runtime/program/suggest.h"

static const struct vrt_command commands[] = {
    {"train", "Train on the train split of --data, evaluate on its val split after each epoch.",
     NULL, VRT_TRAIN, vrt_command_train},
    {"eval", "Classify a split of --data, or of each of several sets, and count the hits.",
     "[[NAME=]FOLDER]...", VRT_EVAL, vrt_command_eval},
    {"predict",
     "Classify pictures: files, folders (with those below), - for a list of files on stdin, a "
     "split of --data.",
     "[PICTURE|FOLDER|-]...", VRT_PREDICT, vrt_command_predict},
    {"bench", "Measure the speed on made-up pictures, or with --data that of loading real ones.",
     NULL, VRT_BENCH, vrt_command_bench},
    {"check-data", "Read every picture of --data once; list what cannot be read and what is odd.",
     NULL, VRT_CHECK_DATA, vrt_command_check_data},
    {"report", "Write the page of the run in --out again, from its files: report.html.", NULL,
     VRT_REPORT, vrt_command_report},
    {"info", "Layers, shapes, parameters, MACs and memory of this program.", NULL, VRT_INFO,
     vrt_command_info},
    {"gradcheck", "Check the gradient of every parameter against central differences.", NULL,
     VRT_GRADCHECK, vrt_command_gradcheck},
};
enum { NCOMMANDS = sizeof commands / sizeof *commands };

static void print_help(const struct vrt_program *p, const char *name)
{
    char word[VRT_WORD];
    vrt_quote(word, sizeof word, name);
    vrt_print(stdout, "%s: an image classifier, %s\n", name, p->name);
    vrt_print(stdout, "built from %s by %s\n", p->spec_file, p->compiler);
    vrt_print(stdout, "\n");
    vrt_print(stdout, "usage: %s COMMAND [flags]\n", word);
    vrt_print(stdout, "\n");
    for (int i = 0; i < NCOMMANDS; i++)
        vrt_print(stdout, "  %-10s %s\n", commands[i].name, commands[i].summary);
    vrt_print(stdout, "\n");
    vrt_print(stdout, "%s COMMAND --help tells the flags of a command.\n", word);
}

static bool find_command(const struct vrt_program *p, char **argv, int argc,
                         const struct vrt_command **out, struct vrt_error *e)
{
    const char *names[NCOMMANDS], *near;
    struct vrt_options none = {.program = p, .argc = argc, .argv = argv};
    for (int i = 0; i < NCOMMANDS; i++) {
        names[i] = commands[i].name;
        if (strcmp(argv[1], names[i]) == 0) {
            *out = &commands[i];
            return true;
        }
    }
    if (strncmp(argv[1], "--", 2) == 0) {
        char word[64];
        snprintf(word, sizeof word, "%.*s", (int)strcspn(argv[1] + 2, "="), argv[1] + 2);
        return vrt_reject_flag(&none, word, e);
    }
    near = vrt_nearest(argv[1], names, NCOMMANDS);
    return vrt_fail(e, VRT_USAGE, "there is no command `%.60s`; %s%s%s", argv[1],
                    near ? "did you mean " : "see --help", near ? near : "", near ? "?" : "");
}

static int run_command(const struct vrt_program *p, const struct vrt_command *command, int argc,
                       char **argv, struct vrt_error *e)
{
    struct vrt_options o;
    int status = VRT_OK;
    if (!vrt_options_parse(&o, p, command, argc, argv, e))
        status = (int)e->code;
    else if (o.help)
        vrt_flags_help(&o);
    else
        status = command->run(&o, e);
    vrt_options_free(&o);
    return status;
}

/* Results that could not be written (a full disk behind stdout) are no success. */
static int finish(int status, struct vrt_error *e)
{
    status = status == VRT_NO_MEMORY ? VRT_BAD_INPUT : status;
    struct vrt_error why;
    if (vrt_printed(&why))
        return status;
    if (status == VRT_OK)
        *e = why;
    return status == VRT_OK ? VRT_BAD_INPUT : status;
}

/* Descriptors 0 to 2 that were closed are opened, lest a file of a run gets the number of stdout
 * and with it what is said to people. In the contrary direction: reading and writing go on to fail,
 * so that a result that nobody gets is an error. (What `train` says is for people and may be lost.)
 */
static bool open_standard(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    const struct vrt_program *p = &vrt_program_table;
    const struct vrt_command *command = NULL;
    struct vrt_error e = {.text = ""};
    int status = VRT_OK;
    char *name = argc > 0 ? argv[0] : NULL;
    if (!open_standard())
        return VRT_BAD_INPUT;
    if (p->abi_version != VRT_ABI_VERSION) {
        fprintf(stderr,
                "this program was built for another version of the runtime; build it again\n");
        return VRT_INTERNAL;
    }
    if (!vrt_processor_check(p->needs, vrt_processor_set(), p->spec_file, &e)) {
        vrt_message(name != NULL ? name : p->name, e.text);
        return VRT_BAD_INPUT;
    }
    signal(SIGXFSZ, SIG_IGN); /* a file beyond the limit is an error of its write */
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        print_help(p, name != NULL ? name : p->name);
    else if (strcmp(argv[1], "--version") == 0)
        vrt_print(stdout, "%s, spec %s, built by %s\n", p->name, p->spec_hash, p->compiler);
    else if (find_command(p, argv, argc, &command, &e))
        status = run_command(p, command, argc, argv, &e);
    else
        status = (int)e.code;
    status = finish(status, &e);
    if (status != VRT_OK && e.text[0] != '\0')
        vrt_message(name, e.text);
    return status;
}
