/* The command line of vmoec. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/files/scratch.h"
#include "compiler/pipeline.h"
#include "lang/base/arena.h"
#include "lang/base/text.h"

static const char usage[] =
    "usage: vmoec build FILE [-o OUT] [-D NAME=VALUE]... [--set PATH=VALUE]... [--emit FORM]\n"
    "                   [--target T] [-O0|-O1] [-v]\n"
    "       vmoec check FILE [-D ..] [--set ..] [--diag text|json]\n"
    "       vmoec info FILE [-D ..] [--set ..] [--json]\n"
    "       vmoec --version | --help | --keys\n"
    "\n"
    "build makes a program that trains, evaluates, predicts and measures itself; check only looks\n"
    "for errors; info says how many parameters and multiply-accumulates a model has and how much\n"
    "memory it takes; --keys lists every key.\n"
    "\n"
    "  -o OUT             the result; default: FILE without .vmoe, in this folder; -: standard\n"
    "                     output (not for a program)\n"
    "  -D NAME=VALUE      set a `param` of the file\n"
    "  --set PATH=VALUE   set any key, e.g. --set train.optim.lr=1e-3\n"
    "  --experiment NAME  which experiment to build; --model NAME: which model\n"
    "  --emit FORM        ast, spec, graph, plan, llvm, asm, obj, exe (the default); svg: the\n"
    "                     arena over time, as a picture\n"
    "  --target T         native (the default), x86-64-v2, x86-64-v3, x86-64-v4\n"
    "  -O0                no fusion: every layer on its own\n"
    "  --stdlib DIR       where `use std.x` looks first; also VMOE_PATH=DIR:DIR\n"
    "  --diag FORMAT      errors as text or json (one object a line)\n"
    "  --sanitize         the address sanitizer in the generated code (needs a runtime built with\n"
    "                     --enable-sanitize)\n"
    "  -v                 show the command that links\n"
    "\n"
    "VMOE_CACHE=DIR is where kernels are kept from build to build (default ~/.cache/vmoe; empty:\n"
    "nowhere), CC the compiler that links, TMPDIR where it works.\n"
    "exit status: 0 done, 1 errors in the file, 2 wrong usage, 3 a fault of the compiler\n";

enum {
    OPT_SET = 256,
    OPT_EMIT,
    OPT_TARGET,
    OPT_STDLIB,
    OPT_DIAG,
    OPT_JSON,
    OPT_EXPERIMENT,
    OPT_MODEL,
    OPT_SANITIZE,
    OPT_HELP
};

static const char letters[] = "o:D:O:v";
static const struct option options[] = {
    {"set", required_argument, NULL, OPT_SET},
    {"emit", required_argument, NULL, OPT_EMIT},
    {"target", required_argument, NULL, OPT_TARGET},
    {"stdlib", required_argument, NULL, OPT_STDLIB},
    {"diag", required_argument, NULL, OPT_DIAG},
    {"json", no_argument, NULL, OPT_JSON},
    {"experiment", required_argument, NULL, OPT_EXPERIMENT},
    {"model", required_argument, NULL, OPT_MODEL},
    {"sanitize", no_argument, NULL, OPT_SANITIZE},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

/* `format` has one %s, for a word that may hold anything. */
static int wrong(const char *format, const char *what)
{
    const char *at = strstr(format, "%s");
    fprintf(stderr, "vmoec: %.*s", (int)(at - format), format);
    text_write_shown(stderr, what);
    fprintf(stderr, "%s; see vmoec --help\n", at + 2);
    return STATUS_USAGE;
}

static bool add_define(struct lang_define **list, size_t *n, char *text)
{
    char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return false;
    *equals = '\0';
    *list = arena_realloc(*list, (*n + 1) * sizeof **list);
    (*list)[(*n)++] = (struct lang_define){text, equals + 1};
    return true;
}

static bool one_of(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (!strcmp(*list, word))
            return true;
    return false;
}

/* getopt's `optopt` is the option's where only its value is wrong, and 0 for an unknown word. */
static int bad_option(char *const *argv)
{
    const char letter[3] = {'-', (char)optopt, '\0'}, *given = argv[optind - 1];
    for (const struct option *o = options; o->name; o++)
        if (o->val == optopt)
            return wrong(o->has_arg ? "--%s needs a value" : "--%s takes no value", o->name);
    if (optopt)
        return wrong(optopt != ':' && strchr(letters, optopt) ? "%s needs a value"
                                                              : "unknown option %s",
                     letter);
    fputs("vmoec: unknown option ", stderr);
    text_write_shown(stderr, given);
    struct suggest near = suggest_start(given + strspn(given, "-"));
    for (const struct option *o = options; o->name; o++)
        suggest_add(&near, o->name);
    if (near.best)
        fprintf(stderr, "; did you mean --%s?", near.best);
    fputs("; see vmoec --help\n", stderr);
    return STATUS_USAGE;
}

/* -1: go on. */
static int take_option(struct request *r, int c, char *const *argv)
{
    switch (c) {
    case 'o':            r->out = optarg; return -1;
    case 'v':            r->verbose = true; return -1;
    case OPT_TARGET:     r->target = optarg; return -1;
    case OPT_STDLIB:     r->stdlib = optarg; return -1;
    case OPT_EXPERIMENT: r->experiment = optarg; return -1;
    case OPT_MODEL:      r->model = optarg; return -1;
    case OPT_JSON:       r->json = true; return -1;
    case OPT_SANITIZE:   r->sanitize = true; return -1;
    case OPT_HELP:       fputs(usage, stdout); return STATUS_OK;
    case 'O':
        if (strcmp(optarg, "0") && strcmp(optarg, "1"))
            return wrong("-O%s is neither -O0 nor -O1", optarg);
        r->fuse = optarg[0] == '1';
        return -1;
    case 'D':
        return add_define(&r->defines, &r->ndefines, optarg)
                   ? -1
                   : wrong("-D %s is not NAME=VALUE", optarg);
    case OPT_SET:
        return add_define(&r->sets, &r->nsets, optarg)
                   ? -1
                   : wrong("--set %s is not PATH=VALUE", optarg);
    case OPT_EMIT:
        r->emit = optarg;
        return one_of(optarg, pipeline_forms()) ? -1 : wrong("--emit %s is no form", optarg);
    case OPT_DIAG:
        r->diag_json = !strcmp(optarg, "json");
        return r->diag_json || !strcmp(optarg, "text")
                   ? -1
                   : wrong("--diag %s is neither text nor json", optarg);
    default: return bad_option(argv);
    }
}

static int run_command(struct request *r, int argc, char **argv)
{
    int c, status;
    opterr = 0;
    while ((c = getopt_long(argc, argv, letters, options, NULL)) != -1)
        if ((status = take_option(r, c, argv)) >= 0)
            return status;
    if (optind >= argc)
        return wrong("%s needs a file", argv[0]);
    if (optind + 1 < argc)
        return wrong("one file at a time, not %s too", argv[optind + 1]);
    r->file = argv[optind];
    return pipeline_run(r);
}

/* LLVM ends the process so where it finds no memory, having said it. That is a status, not a core.
 */
static void on_abort(int number)
{
    static const char text[] = "vmoec: stopped by lack of memory or a fault of the compiler\n";
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    (void)written;
    (void)number;
    scratch_remove();
    _exit(STATUS_INTERNAL);
}

/* Descriptors 0 to 2 that were closed are opened, lest a file of ours gets the number of stdout and
 * with it what is printed. In the contrary direction: writing goes on to fail. A file beyond the
 * limit of its size is an error of its write. Where SIGCHLD is ignored no child has a status. */
static bool prepare(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            return false;
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGABRT, on_abort);
    return true;
}

static int run(int argc, char **argv)
{
    static const char *const commands[] = {"build", "check", "info", NULL};
    struct request r = {.emit = "exe", .target = "native", .fuse = true, .sanitize = false};
#ifdef VMOE_SANITIZE
    r.sanitize = true;
#endif
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        fputs(usage, argc < 2 ? stderr : stdout);
        return argc < 2 ? STATUS_USAGE : STATUS_OK;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("vmoec %s (LLVM %s)\n", PACKAGE_VERSION, LLVM_VERSION_TEXT);
        return STATUS_OK;
    }
    if (!strcmp(argv[1], "--keys")) {
        lang_print_keys(stdout);
        return STATUS_OK;
    }
    for (int i = 0; commands[i]; i++)
        if (!strcmp(argv[1], commands[i])) {
            r.command = (enum command)i;
            int status = run_command(&r, argc - 1, argv + 1);
            free(r.defines);
            free(r.sets);
            return status;
        }
    return wrong("`%s` is no command", argv[1]);
}

/* A list of keys that is half one is no success to the program that reads it. */
static int finish(int status)
{
    if ((!fflush(stdout) && !ferror(stdout)) || status != STATUS_OK)
        return status;
    fprintf(stderr, "vmoec: the output could not be written: %s\n", strerror(errno));
    return STATUS_SPEC;
}

int main(int argc, char **argv)
{
    return prepare() ? finish(run(argc, argv)) : STATUS_SPEC;
}
