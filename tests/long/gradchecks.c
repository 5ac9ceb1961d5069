/* The check of gradients, checked on programs of random networks: their gradients, which the
 * double-precision interpreter bears witness to, must pass; with one gradient made wrong the
 * program must fail, 95 times in 100.
 *
 *     gradchecks                the tests: every 12th of the networks
 *     gradchecks --all          all of them
 *     gradchecks --show N...    the text of these, and what the check says of them
 *     gradchecks --target T     for another machine than this one, which must run it
 *
 * Each network is compiled, linked as a shared object and checked in this process. */
#include "config.h"

#include <dlfcn.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/emit/module.h"
#include "compiler/graph/graph.h"
#include "compiler/graph/interpret.h"
#include "compiler/ops/op.h"
#include "compiler/plan/plan.h"
#include "lang/base/arena.h"
#include "lang/base/diag.h"
#include "lang/lang.h"
#include "runtime/program/command.h"
#include "runtime/program/options.h"
#include "runtime/vrt.h"
#include "tests/long/random_network.h"
#include "tests/unit/fixture.h"

#ifdef VMOE_SANITIZE
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif

/* What is made wrong: a tensor's gradient is too large, or lacks its last elements, as behind the
 * last whole vector; an activation has the slope of another one. */
enum fault { FAULT_NONE, FAULT_SIZE, FAULT_TAIL, FAULT_SLOPE, FAULTS };
static const char *const fault_names[] = {"", "2 % too large", "without its last eighth",
                                          "the slope of another activation"};

struct trial {
    int number;
    enum fault fault;
    struct arena *arena;
    const struct spec *spec;
    struct graph *train, *eval;
    void *library;
    const struct vrt_program *program;
    bool planted;         /* the fault, */
    int64_t wrong_tensor; /* in the gradient of this one; -1: not chosen yet */
    const char *disagree; /* a tensor whose gradient is not the interpreter's */
    char *text;           /* what the check prints */
};

static const char *target_name = "native";
static bool quick = SANITIZED; /* code that is sooner made */
static struct trial *now;      /* the one whose program runs */

static void give_up(const struct trial *t, const char *why)
{
    printf("Bail out! network %d: %s\n", t->number, why);
    remove_folder(NULL);
    exit(1);
}

/* -- from text to program -- */

static const struct spec *resolve(struct trial *t)
{
    struct diag *d = diag_new(t->arena, stderr, DIAG_TEXT, 5);
    const char *top = getenv("top_srcdir"),
               *library = arena_printf(t->arena, "%s/stdlib", top ? top : "..");
    struct lang_options o = {.search = &library, .nsearch = 1};
    char *text = random_network((uint64_t)t->number);
    o.ops = graph_layers(t->arena, &o.nops);
    struct source *src = source_from_text(t->arena, "random.vmoe", text, strlen(text));
    struct ast *ast = lang_parse(t->arena, src, d);
    struct spec *spec = ast ? lang_resolve(t->arena, ast, &o, d) : NULL;
    diag_flush(d);
    free(text);
    return spec;
}

static void build_graphs(struct trial *t)
{
    struct diag *d = diag_new(t->arena, stderr, DIAG_TEXT, 5);
    const char *again = spec_text(t->spec, KEY_memory_recompute);
    int level = RECOMPUTE_NONE;
    while (strcmp(again, recompute_words[level]) != 0)
        level++;
    t->eval = graph_build(t->arena, t->spec, false, d);
    t->train = graph_build(t->arena, t->spec, true, d);
    diag_flush(d);
    if (!t->eval || !t->train)
        give_up(t, "no graph");
    graph_differentiate(t->train, (enum recompute)level);
    if (!graph_verify(t->eval, stderr) || !graph_verify(t->train, stderr))
        give_up(t, "the graph does not verify");
}

static const struct op *another_slope(const struct op *op)
{
    return op == &op_silu_dx                        ? &op_gelu_dx
           : op == &op_gelu_dx || op == &op_relu_dx ? &op_silu_dx
                                                    : NULL;
}

/* One of the activations, by the number. */
static void swap_slope(struct trial *t)
{
    struct node *found[100];
    int n = 0;
    for (size_t i = t->train->nforward; i < t->train->nnodes && n < 100; i++)
        if (another_slope(t->train->nodes[i]->op))
            found[n++] = t->train->nodes[i];
    t->planted = n > 0;
    if (n > 0)
        found[t->number % n]->op = another_slope(found[t->number % n]->op);
}

static void link_library(struct trial *t, struct module *m)
{
    static int serial;
    struct diag *d = diag_new(t->arena, stderr, DIAG_TEXT, 5);
    const char *prefix = arena_printf(t->arena, "%s/%d", folder, serial++),
               *objects = arena_printf(t->arena, "%s.a", prefix),
               *library = arena_printf(t->arena, "%s.so", prefix),
               *command = arena_printf(
                   t->arena, "cc -shared -o %s -Wl,--whole-archive %s -Wl,--no-whole-archive",
                   library, objects);
    enum objects made = module_objects(m, objects, d);
    diag_flush(d);
    if (made != OBJECTS_WRITTEN || system(command) != 0)
        give_up(t, "it does not link");
    unlink(objects);
    t->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    unlink(library);
    t->program = t->library ? dlsym(t->library, "vrt_program_table") : NULL;
    if (!t->program)
        give_up(t, dlerror());
}

static void compile(struct trial *t)
{
    static const struct program_info nothing = {"test", "", "", "{}"};
    struct target target;
    if (!target_open(t->arena, target_name, quick, &target))
        give_up(t, "no such target");
    struct plan_options o = {.vector = target.vector, .fuse = true, .red_zones = SANITIZED};
    struct plan *plan = plan_make(t->arena, t->eval, t->train, &o);
    if (!plan_verify(plan, stderr))
        give_up(t, "the plan does not verify");
    struct module *m = module_make(t->arena, plan, &target, &nothing, SANITIZED, stderr);
    if (!m)
        give_up(t, "no module");
    link_library(t, m);
    module_free(m);
    target_close(&target);
}

static struct trial open_trial(int number, enum fault fault)
{
    struct trial t = {.number = number, .fault = fault, .arena = arena_new()};
    t.spec = resolve(&t);
    if (!t.spec)
        give_up(&t, "the language refuses it");
    build_graphs(&t);
    if (fault == FAULT_SLOPE)
        swap_slope(&t);
    compile(&t);
    return t;
}

static void close_trial(struct trial *t)
{
    dlclose(t->library);
    arena_free(t->arena);
    free(t->text);
}

/* -- the witness -- */

static void to_double(double *to, const void *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = (double)((const float *)from)[i];
}

static float *tensor(const struct trial *t, const struct vrt_ctx *c, enum vrt_region region,
                     size_t i)
{
    return (float *)(void *)((char *)c->region[region] + t->program->params[i].offset);
}

static struct interp *interpret(struct trial *t, const struct vrt_ctx *c)
{
    const struct graph *g = t->train;
    struct interp_settings s = {.seed = c->seed,
                                .step = c->step,
                                .images = c->images,
                                .first_image = c->first_image,
                                .drop_path = c->drop_path,
                                .loss_scale = c->loss_scale,
                                .balance_scale = c->balance_scale};
    struct interp *it = interp_new(t->arena, g, &s);
    to_double(interp_value(it, g->input), c->region[VRT_INPUT],
              c->images * g->input->rows * g->input->cols);
    to_double(interp_value(it, g->target), c->region[VRT_TARGET], c->images * g->target->cols);
    for (size_t i = 0; i < g->nparams; i++)
        to_double(interp_param(it, g->params[i]), tensor(t, c, VRT_PARAMS, i), g->params[i]->count);
    interp_run(it, 0, g->nnodes);
    return it;
}

static double largest(const double *v, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs(v[i]));
    return most;
}

/* Every gradient, up to a hundredth of the tensor's largest and the roundings of single precision,
 * is the interpreter's. */
static void bear_witness(struct trial *t, const struct vrt_ctx *c)
{
    const struct graph *g = t->train;
    struct interp *it = interpret(t, c);
    double all = 0;
    for (size_t i = 0; i < g->nparams; i++)
        all = fmax(all, largest(interp_grad(it, g->params[i]), g->params[i]->count));
    for (size_t i = 0; i < g->nparams; i++) {
        const double *exact = interp_grad(it, g->params[i]);
        const float *own = tensor(t, c, VRT_GRADS, i);
        double bound = 1e-2 * largest(exact, g->params[i]->count) + 1e-6 * (1 + all);
        for (int64_t j = 0; j < g->params[i]->count; j++)
            if (!(fabs((double)own[j] - exact[j]) <= bound))
                t->disagree = g->params[i]->name;
    }
}

/* -- the check -- */

static double square(const float *v, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)v[i] * (double)v[i];
    return sum;
}

/* The last elements, an eighth of them but one at least, that are affected. */
static int64_t affected(const struct trial *t, int64_t n)
{
    return t->fault == FAULT_SIZE ? 0 : n - (n + 7) / 8;
}

/* One tensor, by the number, whose gradient is more than rounding and affected by a twentieth of
 * its square at least; -1: there is none. */
static int64_t choose_tensor(const struct trial *t, const struct vrt_ctx *c)
{
    for (int64_t i = 0; i < t->program->nparams; i++) {
        int64_t chosen = (t->number * 7 + i) % t->program->nparams;
        const struct vrt_param *p = &t->program->params[chosen];
        const float *g = tensor(t, c, VRT_GRADS, (size_t)chosen);
        int64_t from = affected(t, p->count);
        double all = square(g, p->count), part = square(g + from, p->count - from);
        if (p->lr_factor != 0 && all > 1e-12 && part > 0.05 * all)
            return chosen;
    }
    return -1;
}

/* Wherever the check goes, the tensor is the one of the first place. */
static void plant(struct trial *t, struct vrt_ctx *c)
{
    if (t->wrong_tensor < 0)
        t->wrong_tensor = choose_tensor(t, c);
    t->planted = t->wrong_tensor >= 0;
    if (!t->planted)
        return;
    const struct vrt_param *p = &t->program->params[t->wrong_tensor];
    float *g = tensor(t, c, VRT_GRADS, (size_t)t->wrong_tensor);
    for (int64_t i = affected(t, p->count); i < p->count; i++)
        g[i] *= t->fault == FAULT_SIZE ? 1.02f : 0.0f;
}

static void train(struct vrt_ctx *c)
{
    now->program->train(c);
    if (now->fault == FAULT_NONE && c->hold_routing == 0.0)
        bear_witness(now, c);
    if (now->fault == FAULT_SIZE || now->fault == FAULT_TAIL)
        plant(now, c);
}

/* Standard output goes to a file while the command runs; its text comes back. */
static int run_command(const struct vrt_options *o, char **text, struct vrt_error *e)
{
    FILE *out = tmpfile();
    int kept = dup(STDOUT_FILENO);
    if (!out || kept < 0)
        abort();
    fflush(stdout);
    dup2(fileno(out), STDOUT_FILENO);
    int status = vrt_command_gradcheck(o, e);
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    long size = lseek(fileno(out), 0, SEEK_END);
    rewind(out);
    *text = calloc(1, (size_t)size + 1);
    if (fread(*text, 1, (size_t)size, out) != (size_t)size)
        abort();
    fclose(out);
    return status;
}

static int check(struct trial *t)
{
    static const struct vrt_command command = {"gradcheck", "", NULL, VRT_GRADCHECK,
                                               vrt_command_gradcheck};
    char *argv[] = {(char[]){"random"}, (char[]){"gradcheck"}, (char[]){"--threads=1"}, NULL};
    struct vrt_program program = *t->program;
    struct vrt_options options;
    struct vrt_error e = {.text = ""};
    program.train = train;
    now = t;
    if (!vrt_options_parse(&options, &program, &command, 3, argv, &e))
        give_up(t, e.text);
    free(t->text);
    int status = run_command(&options, &t->text, &e);
    vrt_options_free(&options);
    if (status != VRT_OK && e.text[0])
        give_up(t, e.text);
    return status;
}

/* -- tests -- */

struct count {
    int tests, networks, tensors, unjudged;
    int planted[FAULTS], noticed[FAULTS];
};

static void tell(struct count *n, bool ok, const char *what, const char *text)
{
    printf("%sok %d - %s\n", ok ? "" : "not ", ++n->tests, what);
    for (const char *line = text; !ok && line && *line; line += strcspn(line, "\n") + 1)
        printf("# %.*s\n", (int)strcspn(line, "\n"), line);
    fflush(stdout);
}

/* The number before a word of the last lines. */
static int number_before(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    while (at && at > text && at[-1] != '\n' && at[-1] != ':' && at[-1] != ',')
        at--;
    return at ? atoi(at) : 0;
}

static void try_right(struct trial *t, struct count *n)
{
    t->fault = FAULT_NONE;
    bool ok = check(t) == VRT_OK;
    n->networks++;
    n->tensors += (int)t->program->nparams;
    n->unjudged += number_before(t->text, " below the noise") +
                   number_before(t->text, " at kinks") + number_before(t->text, " not finite");
    tell(n, ok && !t->disagree, arena_printf(t->arena, "network %d", t->number), t->text);
    if (t->disagree)
        printf("# %s is not the interpreter's\n", t->disagree);
}

static void try_wrong(struct trial *t, enum fault fault, struct count *n)
{
    t->fault = fault;
    t->wrong_tensor = -1;
    bool noticed = check(t) != VRT_OK;
    n->planted[fault] += t->planted;
    n->noticed[fault] += t->planted && noticed;
    if (t->planted && !noticed)
        printf("# network %d, %s: not noticed\n", t->number, fault_names[fault]);
}

static void try_network(int number, struct count *n)
{
    struct trial t = open_trial(number, FAULT_NONE);
    try_right(&t, n);
    try_wrong(&t, FAULT_SIZE, n);
    try_wrong(&t, FAULT_TAIL, n);
    close_trial(&t);
    t = open_trial(number, FAULT_SLOPE);
    if (t.planted)
        try_wrong(&t, FAULT_SLOPE, n);
    close_trial(&t);
}

/* Of few networks two may be missed. */
static void tell_noticed(struct count *n, enum fault fault)
{
    char what[100];
    int missed = n->planted[fault] - n->noticed[fault], most = n->planted[fault] / 20;
    snprintf(what, sizeof what, "%s: %d of %d noticed", fault_names[fault], n->noticed[fault],
             n->planted[fault]);
    tell(n, n->planted[fault] > 0 && missed <= (most > 2 ? most : 2), what, NULL);
}

static int test(int every)
{
    struct count n = {.tests = 0};
    quick |= every > 1;
    for (int i = 0; i < RANDOM_NETWORKS; i += every)
        try_network(i, &n);
    for (int f = FAULT_SIZE; f < FAULTS; f++)
        tell_noticed(&n, (enum fault)f);
    printf("# %d networks, %d tensors, of which %d were not judged\n1..%d\n", n.networks, n.tensors,
           n.unjudged, n.tests);
    return 0;
}

static int show(int count, char **numbers)
{
    for (int i = 0; i < count; i++) {
        struct trial t = open_trial(atoi(numbers[i]), FAULT_NONE);
        char *text = random_network((uint64_t)t.number);
        int status = check(&t);
        printf("%s\n%sstatus %d; %s\n", text, t.text, status,
               t.disagree ? t.disagree : "the interpreter agrees");
        free(text);
        close_trial(&t);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"all", no_argument, NULL, 'a'},
                                            {"show", no_argument, NULL, 's'},
                                            {"target", required_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    int every = 12, c;
    bool shown = false;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'a')
            every = 1;
        else if (c == 's')
            shown = true;
        else if (c == 't')
            target_name = optarg;
        else
            return 2;
    }
    if (make_folder(NULL) != 0)
        return 1;
    int status = shown ? show(argc - optind, argv + optind) : test(every);
    remove_folder(NULL);
    return status;
}
