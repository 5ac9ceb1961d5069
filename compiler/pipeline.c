/* The whole compiler at a glance: each stage takes the form before it and makes the next; a form
 * that was asked for is printed and ends the run. */
#include "config.h"

#include "compiler/pipeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/emit/module.h"
#include "compiler/files/output.h"
#include "compiler/files/scratch.h"
#include "compiler/graph/graph.h"
#include "compiler/info.h"
#include "compiler/link/link.h"
#include "compiler/link/parts.h"
#include "compiler/plan/plan.h"
#include "lang/base/arena.h"
#include "lang/base/diag.h"
#include "lang/base/text.h"
#include "lang/lang.h"

enum form {
    FORM_AST,
    FORM_SPEC,
    FORM_GRAPH,
    FORM_PLAN,
    FORM_SVG,
    FORM_LLVM,
    FORM_ASM,
    FORM_OBJ,
    FORM_EXE
};

static const char *const forms[] = {"ast",  "spec", "graph", "plan", "svg",
                                    "llvm", "asm",  "obj",   "exe",  NULL};

struct run {
    const struct request *r;
    enum form stop;
    struct arena *arena; /* lives as long as the run: forms point into the ones before */
    struct diag *diag;
    const struct ast *ast;
    const struct spec *spec;
    const struct graph *eval, *train;
    struct target target;
    bool has_target;
    const struct plan *plan;
    struct module *module;
    struct output output;
    bool wrong; /* a graph failed its verifier */
};

const char *const *pipeline_forms(void)
{
    return forms;
}

static enum form form_named(const char *name)
{
    for (int i = 0; forms[i]; i++)
        if (!strcmp(forms[i], name))
            return (enum form)i;
    return FORM_EXE;
}

static struct loc nowhere(void)
{
    return (struct loc){NULL, 0, 0};
}

/* A form that its verifier rejects is our fault. */
static bool verified(bool ok, const char *form)
{
    if (!ok)
        fprintf(stderr, "vmoec: the %s is wrong; this is a fault of the compiler\n", form);
    return ok;
}

/* -- stages: false ends the run with the status of what was reported -- */

static bool parse(struct run *x)
{
    struct source *src = source_read(x->arena, x->r->file);
    if (!src) {
        diag_report(x->diag, DIAG_FILE_READ, nowhere(), "cannot read %s: %s", x->r->file,
                    strerror(errno));
        return false;
    }
    x->ast = lang_parse(x->arena, src, x->diag);
    return x->ast != NULL;
}

static struct lang_options options(struct run *x)
{
    size_t nops, nsearch;
    const struct lang_op *ops = graph_layers(x->arena, &nops);
    const char *const *search = parts_stdlib_folders(x->arena, x->r->stdlib, &nsearch);
    return (struct lang_options){.ops = ops,
                                 .nops = nops,
                                 .search = search,
                                 .nsearch = nsearch,
                                 .defines = x->r->defines,
                                 .ndefines = x->r->ndefines,
                                 .sets = x->r->sets,
                                 .nsets = x->r->nsets,
                                 .experiment = x->r->experiment,
                                 .model = x->r->model};
}

static bool resolve(struct run *x)
{
    struct lang_options o = options(x);
    x->spec = lang_resolve(x->arena, x->ast, &o, x->diag);
    return x->spec != NULL;
}

static bool open_target(struct run *x)
{
    x->has_target = target_open(x->arena, x->r->target, x->r->sanitize, &x->target);
    if (!x->has_target) {
        diag_report(x->diag, DIAG_TARGET_UNKNOWN, nowhere(), "`%s` is no target", x->r->target);
        for (const char *const *n = target_names(); *n; n++)
            diag_note(x->diag, nowhere(), "there is `%s`", *n);
    }
    return x->has_target;
}

static bool build_graphs(struct run *x, enum recompute level)
{
    x->eval = x->eval ? x->eval : graph_build(x->arena, x->spec, false, x->diag);
    if (!x->eval)
        return false;
    struct graph *train = graph_build(x->arena, x->spec, true, x->diag);
    if (!train)
        return false;
    graph_differentiate(train, level);
    x->train = train;
    x->wrong = !verified(graph_verify(x->eval, stderr) && graph_verify(x->train, stderr), "graph");
    return !x->wrong;
}

static void make_plan(struct run *x)
{
    /* Red zones belong to code that runs: the plan that is shown is the one of an ordinary
     * program. */
    bool red_zones = x->r->sanitize && x->r->command == COMMAND_BUILD && x->stop >= FORM_LLVM;
    struct plan_options o = {
        .vector = x->target.vector, .fuse = x->r->fuse, .red_zones = red_zones};
    x->plan = plan_make(x->arena, x->eval, x->train, &o);
}

/* Graphs and a plan with the level of memory.recompute; `auto` takes the first that fits the limit,
 * the fastest being tried first. */
static bool fit_memory(struct run *x)
{
    static const enum recompute order[] = {RECOMPUTE_CHEAP, RECOMPUTE_NONE, RECOMPUTE_BLOCK};
    const char *wanted = spec_text(x->spec, KEY_memory_recompute);
    bool any = !strcmp(wanted, "auto"), fits = false;
    for (size_t i = 0; i < sizeof order / sizeof *order && !fits; i++) {
        if (!any && strcmp(wanted, recompute_words[order[i]]))
            continue;
        if (!build_graphs(x, order[i]))
            return false;
        make_plan(x);
        fits = info_fits(x->plan);
    }
    return true;
}

static bool run_checks(struct run *x)
{
    struct lang_facts facts = info_facts(x->plan);
    return lang_run_checks(x->spec, &facts, x->diag);
}

static char *frozen(struct run *x)
{
    struct arena_text text;
    lang_print_spec(x->spec, arena_text_begin(&text));
    return arena_text_end(x->arena, &text);
}

static bool emit(struct run *x)
{
    struct program_info info = {.compiler = arena_printf(x->arena, "vmoec %s, LLVM %s, %s %s",
                                                         PACKAGE_VERSION, LLVM_VERSION_TEXT,
                                                         x->target.triple, x->target.cpu)};
    info.spec_text = frozen(x);
    info.info_text = info_text(x->arena, x->plan);
    info.info_json = info_json(x->arena, x->plan);
    x->module = module_make(x->arena, x->plan, &x->target, &info, x->r->sanitize, stderr);
    return x->module != NULL;
}

/* -- results -- */

static bool failed_write(struct run *x, const char *path, const char *why)
{
    diag_report(x->diag, DIAG_FILE_WRITE, nowhere(), "cannot write %s: %s", path, why);
    return false;
}

/* FILE.vmoe -> FILE and an ending, in the working folder; text goes to standard output. */
static const char *default_output(struct run *x)
{
    const char *suffix = x->stop == FORM_ASM ? ".s" : x->stop == FORM_OBJ ? ".o" : "";
    const char *base = strrchr(x->r->file, '/');
    if (x->stop < FORM_ASM)
        return "-";
    base = base ? base + 1 : x->r->file;
    size_t n = strlen(base);
    if (n > 5 && !strcmp(base + n - 5, ".vmoe"))
        n -= 5;
    return arena_printf(x->arena, "%.*s%s", (int)n, base, suffix);
}

/* What is read is never written to, whatever name it goes by. */
static bool spares(struct run *x, const char *input)
{
    const char *path = x->output.path;
    if (!output_replaces(&x->output, input))
        return true;
    if (!strcmp(path, input))
        diag_report(x->diag, DIAG_OUTPUT_IS_INPUT, nowhere(), "the output %s is read to make it",
                    path);
    else
        diag_report(x->diag, DIAG_OUTPUT_IS_INPUT, nowhere(),
                    "the output %s is %s, which is read to make it", path, input);
    diag_help(x->diag, "nothing was written; choose another name with -o");
    return false;
}

static bool spares_inputs(struct run *x)
{
    struct lang_options o = options(x);
    size_t n = x->spec ? x->spec->nfiles : 0;
    const char *const *files = x->spec ? x->spec->files : lang_files(x->arena, x->ast, &o, &n);
    for (size_t i = 0; i < n; i++)
        if (!spares(x, files[i]))
            return false;
    return spares(x, parts_runtime(x->arena)) && spares(x, parts_compiler(x->arena));
}

/* Whatever could keep the result from being written is told before it is made. */
static bool open_output(struct run *x)
{
    bool program = x->stop == FORM_EXE;
    if (x->r->command != COMMAND_BUILD)
        return true;
    const char *path = x->r->out ? x->r->out : default_output(x);
    if (!output_open(&x->output, x->arena, path, program, x->diag) || !spares_inputs(x))
        return false;
    if (!program || scratch_folder(x->arena))
        return true;
    diag_report(x->diag, DIAG_FILE_WRITE, nowhere(), "cannot make a folder in %s: %s",
                scratch_place(), strerror(errno));
    diag_help(x->diag, "set TMPDIR to a folder that can be written to");
    return false;
}

static void print_form(struct run *x)
{
    FILE *out = x->output.file;
    switch (x->stop) {
    case FORM_AST:   lang_print_ast(x->ast, out); break;
    case FORM_SPEC:  lang_print_spec(x->spec, out); break;
    case FORM_GRAPH: graph_print(x->train, out); break;
    case FORM_PLAN:  plan_print(x->plan, out); break;
    case FORM_SVG:   plan_draw(x->plan, (int64_t)info_facts(x->plan).memory_train, out); break;
    default:         module_print(x->module, out); break;
    }
}

static enum status write_program(struct run *x)
{
    const char *folder = scratch_folder(x->arena);
    struct link l = {.objects = arena_printf(x->arena, "%s/objects.a", folder),
                     .program = arena_printf(x->arena, "%s/program", folder),
                     .folder = folder,
                     .name = x->output.path,
                     .verbose = x->r->verbose,
                     .sanitize = x->r->sanitize};
    enum objects objects = module_objects(x->module, l.objects, x->diag);
    if (objects != OBJECTS_WRITTEN)
        return objects == OBJECTS_REFUSED ? STATUS_INTERNAL : STATUS_SPEC;
    bool ok = link_program(x->arena, &l, x->diag) && output_copy(&x->output, l.program, x->diag);
    return ok ? STATUS_OK : STATUS_SPEC;
}

static enum status write_result(struct run *x)
{
    enum status status = STATUS_OK;
    if (x->stop == FORM_EXE)
        status = write_program(x);
    else if (x->stop < FORM_ASM)
        print_form(x);
    else if (!module_write(x->module, x->stop == FORM_ASM, x->output.file, x->diag))
        status = STATUS_INTERNAL;
    if (status != STATUS_OK)
        return status;
    if (!output_commit(&x->output, x->diag))
        return STATUS_SPEC;
    if (x->stop == FORM_EXE) {
        fputs("built ", stderr);
        text_write_shown(stderr, x->output.path);
        fprintf(stderr, " for %s\n", x->target.cpu);
    }
    return STATUS_OK;
}

static bool print_info(struct run *x)
{
    fputs(x->r->json ? info_json(x->arena, x->plan) : info_text(x->arena, x->plan), stdout);
    return !fflush(stdout) || failed_write(x, "standard output", strerror(errno));
}

/* -- the line of stages -- */

static enum status stages(struct run *x)
{
    if (!parse(x))
        return STATUS_SPEC;
    if (x->stop == FORM_AST)
        return open_output(x) ? write_result(x) : STATUS_SPEC;
    if (!resolve(x) || !open_output(x))
        return STATUS_SPEC;
    if (x->stop == FORM_SPEC)
        return write_result(x);
    if (!open_target(x) || !fit_memory(x))
        return x->wrong ? STATUS_INTERNAL : STATUS_SPEC;
    if (x->stop == FORM_GRAPH)
        return write_result(x);
    if (!verified(plan_verify(x->plan, stderr), "plan"))
        return STATUS_INTERNAL;
    if (!info_check_limits(x->plan, x->diag) || !run_checks(x))
        return STATUS_SPEC;
    if (x->r->command == COMMAND_CHECK)
        return STATUS_OK;
    if (x->r->command == COMMAND_INFO)
        return print_info(x) ? STATUS_OK : STATUS_SPEC;
    if (x->stop == FORM_PLAN || x->stop == FORM_SVG)
        return write_result(x);
    if (!emit(x))
        return STATUS_INTERNAL;
    return write_result(x);
}

int pipeline_run(const struct request *r)
{
    struct run x = {.r = r,
                    .stop = r->command == COMMAND_BUILD ? form_named(r->emit) : FORM_EXE,
                    .arena = arena_new()};
    x.diag = diag_new(x.arena, stderr, r->diag_json ? DIAG_JSON : DIAG_TEXT, 20);
    enum status status = stages(&x);
    diag_flush(x.diag);
    if (x.module)
        module_free(x.module);
    if (x.has_target)
        target_close(&x.target);
    output_close(&x.output);
    scratch_remove();
    arena_free(x.arena);
    return status;
}
