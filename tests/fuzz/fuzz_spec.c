/* Damaged specs: every file of examples/ and stdlib/, changed at random, goes through the compiler
 * up to the plan.
 *
 * A case must end in diagnostics or in a plan, within a second and 200 MB; graph and plan must
 * verify, and the frozen text of the spec must give itself again. `fuzz_spec --seed S --first N
 * --count M` runs other cases, `fuzz_spec FILE...` given files; a failed case, and with --save the
 * first one, is written to the current folder. */
#include "config.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/graph/graph.h"
#include "compiler/info.h"
#include "compiler/plan/plan.h"
#include "lang/base/arena.h"
#include "lang/base/diag.h"
#include "lang/base/source.h"
#include "lang/lang.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/watch.h"

#ifdef VMOE_SANITIZE
enum {
    CASES = 4000,
    SECONDS = 20,
    MEGABYTES = 0
}; /* the sanitizer reserves terabytes of addresses, and is slow */
#else
enum { CASES = 10000, SECONDS = 1, MEGABYTES = 200 };
#endif
enum { TEXT_ROOM = 256 << 10 };

enum { BAD_GRAPH = CASE_FAILED, BAD_PLAN, NOT_FROZEN, FROZEN_DIFFERS, SILENT };
static const char *const failures[] = {
    "the graph does not verify",      "the plan does not verify",     "the frozen spec is refused",
    "the frozen spec is another one", "refused without a diagnostic", NULL,
};

/* One input of the compiler: a main file, perhaps with a library file of its own and a --set. */
struct input {
    const char *path; /* the main file that was damaged, or that uses the damaged library file */
    struct fuzz_bytes text;
    const char *module; /* "vit.vmoe" or NULL */
    struct fuzz_bytes module_text;
    const char *model;
    char set[300];
    size_t equals; /* place of `=` in set; 0: none */
    bool print;    /* every form too */
};

struct fuzz {
    uint64_t seed;
    struct fuzz_corpus examples, library, donors;
    char library_folder[4096], own_folder[64];
    FILE *nowhere;
};

/* -- the compiler -- */

struct run {
    struct arena *arena;
    struct diag *diag;
    const struct spec *spec;
    const struct graph *eval, *train;
    const struct plan *plan;
};

static const struct spec *resolve(const struct fuzz *z, const struct input *in, struct run *x,
                                  const char *text, size_t size)
{
    struct lang_options o = {.model = in->model};
    const char *folders[] = {z->own_folder, z->library_folder};
    struct lang_define set = {in->set, in->set + in->equals + 1};
    o.ops = graph_layers(x->arena, &o.nops);
    o.search = in->module ? folders : folders + 1;
    o.nsearch = in->module ? 2 : 1;
    o.sets = &set;
    o.nsets = in->equals > 0;
    struct source *src = source_from_text(x->arena, in->path, text, size);
    const struct ast *ast = src ? lang_parse(x->arena, src, x->diag) : NULL;
    if (ast && in->print)
        lang_print_ast(ast, z->nowhere);
    return ast ? lang_resolve(x->arena, ast, &o, x->diag) : NULL;
}

/* The text that lang_print_spec makes; free() it. */
static char *frozen_text(const struct spec *spec, size_t *size)
{
    char *text = NULL;
    FILE *f = open_memstream(&text, size);
    if (!f)
        abort();
    lang_print_spec(spec, f);
    fclose(f);
    return text;
}

/* 0, or what is wrong. */
static int check_frozen(const struct fuzz *z, const struct spec *spec)
{
    struct run x = {.arena = arena_new()};
    struct input plain = {.path = "frozen.vmoe"};
    size_t size = 0, size2 = 0;
    char *text = frozen_text(spec, &size), *again = NULL;
    if (size > SOURCE_MAX) { /* longer than a file may be: nothing reads it */
        free(text);
        arena_free(x.arena);
        return 0;
    }
    x.diag = diag_new(x.arena, stderr, DIAG_TEXT, 3);
    x.spec = resolve(z, &plain, &x, text, size);
    diag_flush(x.diag);
    if (x.spec)
        again = frozen_text(x.spec, &size2);
    int wrong = !x.spec                                           ? NOT_FROZEN
                : size != size2 || memcmp(text, again, size) != 0 ? FROZEN_DIFFERS
                                                                  : 0;
    free(text);
    free(again);
    arena_free(x.arena);
    return wrong;
}

static void print_forms(const struct fuzz *z, struct run *x)
{
    graph_print(x->train, z->nowhere);
    plan_print(x->plan, z->nowhere);
    fputs(info_text(x->arena, x->plan), z->nowhere);
    fputs(info_json(x->arena, x->plan), z->nowhere);
}

/* 0: refused with diagnostics. */
static int stages(const struct fuzz *z, const struct input *in, struct run *x)
{
    const struct plan_options options = {.vector = 8, .fuse = true};
    x->spec = resolve(z, in, x, in->text.data, in->text.size);
    if (!x->spec)
        return CASE_REFUSED;
    int wrong = check_frozen(z, x->spec);
    if (wrong)
        return wrong;
    x->eval = graph_build(x->arena, x->spec, false, x->diag);
    struct graph *train = x->eval ? graph_build(x->arena, x->spec, true, x->diag) : NULL;
    if (!train)
        return CASE_REFUSED;
    graph_differentiate(train, RECOMPUTE_BLOCK);
    x->train = train;
    if (!graph_verify(x->eval, stderr) || !graph_verify(train, stderr))
        return BAD_GRAPH;
    x->plan = plan_make(x->arena, x->eval, train, &options);
    if (!info_check_limits(x->plan, x->diag))
        return CASE_REFUSED;
    if (!plan_verify(x->plan, stderr))
        return BAD_PLAN;
    if (in->print)
        print_forms(z, x);
    struct lang_facts facts = info_facts(x->plan);
    return lang_run_checks(x->spec, &facts, x->diag) ? CASE_TAKEN : CASE_REFUSED;
}

static int compile(const struct fuzz *z, const struct input *in, FILE *messages)
{
    struct run x = {.arena = arena_new()};
    x.diag = diag_new(x.arena, messages, in->print ? DIAG_JSON : DIAG_TEXT, 20);
    int outcome = stages(z, in, &x);
    if (outcome == CASE_REFUSED && diag_errors(x.diag) == 0)
        outcome = SILENT;
    diag_flush(x.diag);
    arena_free(x.arena);
    return outcome;
}

/* -- inputs -- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* An example that uses this file of the library, from a random one on; NULL if none does. */
static const struct fuzz_file *user_of(const struct fuzz *z, const char *module,
                                       struct fuzz_random *r)
{
    char use[300];
    snprintf(use, sizeof use, "use std.%.*s\n", (int)strcspn(module, "."), module);
    size_t start = fuzz_below(r, z->examples.n);
    for (size_t i = 0; i < z->examples.n; i++) {
        const struct fuzz_file *f = &z->examples.files[(start + i) % z->examples.n];
        if (strstr(f->bytes.data, use))
            return f;
    }
    return NULL;
}

static void mutate(const struct fuzz *z, struct fuzz_bytes *b, struct fuzz_random *r)
{
    do
        fuzz_mutate_text(b, &z->donors, r);
    while (fuzz_below(r, 5) < 2);
}

/* Whatever stands in one number's input follows from the seed and the number. */
static void make_input(const struct fuzz *z, uint64_t number, struct input *in)
{
    struct fuzz_random r = fuzz_random_start(z->seed, number);
    size_t pick = number % (z->examples.n + z->library.n);
    *in =
        (struct input){.text = fuzz_bytes_new(TEXT_ROOM), .module_text = fuzz_bytes_new(TEXT_ROOM)};
    in->print = number % 8 == 0;
    if (pick < z->examples.n) {
        const struct fuzz_file *f = &z->examples.files[pick];
        in->path = f->path;
        fuzz_bytes_set(&in->text, f->bytes.data, f->bytes.size);
        mutate(z, &in->text, &r);
    } else {
        const struct fuzz_file *f = &z->library.files[pick - z->examples.n],
                               *user = user_of(z, base_name(f->path), &r);
        bool alone = strstr(f->bytes.data, "model tiny") && fuzz_below(&r, 2);
        const struct fuzz_file *first = alone || !user ? f : user;
        in->path = first->path;
        in->model = first == f ? "tiny" : NULL;
        fuzz_bytes_set(&in->text, first->bytes.data, first->bytes.size);
        fuzz_bytes_set(&in->module_text, f->bytes.data, f->bytes.size);
        in->module = first == f ? NULL : base_name(f->path);
        mutate(z, first == f ? &in->text : &in->module_text, &r);
    }
    if (fuzz_below(&r, 8) == 0 && fuzz_assignment(&in->text, &r, in->set, sizeof in->set)) {
        in->equals = strcspn(in->set, "=");
        in->set[in->equals] = '\0';
    }
}

static void free_input(struct input *in)
{
    fuzz_bytes_free(&in->text);
    fuzz_bytes_free(&in->module_text);
}

static void write_file(const char *path, const struct fuzz_bytes *b)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(b->data, 1, b->size, f) != b->size || fclose(f) != 0) {
        perror(path);
        exit(99);
    }
}

/* The damaged file of the library, in a folder searched first; one that a killed case left is taken
 * away. */
static void lay_module(const struct fuzz *z, const struct input *in)
{
    char path[400];
    for (size_t i = 0; i < z->library.n; i++) {
        snprintf(path, sizeof path, "%s/%s", z->own_folder, base_name(z->library.files[i].path));
        unlink(path);
    }
    if (!in->module)
        return;
    snprintf(path, sizeof path, "%s/%s", z->own_folder, in->module);
    write_file(path, &in->module_text);
}

static int run_case(void *data, uint64_t number)
{
    const struct fuzz *z = data;
    struct input in;
    make_input(z, number, &in);
    lay_module(z, &in);
    int outcome = compile(z, &in, z->nowhere);
    free_input(&in);
    return outcome;
}

static void save_case(void *data, uint64_t number)
{
    const struct fuzz *z = data;
    struct input in;
    char path[600];
    make_input(z, number, &in);
    snprintf(path, sizeof path, "fuzz-%llu-%llu.vmoe", (unsigned long long)z->seed,
             (unsigned long long)number);
    write_file(path, &in.text);
    printf("#   in %s, from %s", path, in.path);
    if (in.module) {
        snprintf(path, sizeof path, "fuzz-%llu-%llu-%s", (unsigned long long)z->seed,
                 (unsigned long long)number, in.module);
        write_file(path, &in.module_text);
        printf(", with %s as std.%.*s", path, (int)strcspn(in.module, "."), in.module);
    }
    if (in.equals)
        printf(", --set '%s=%s'", in.set, in.set + in.equals + 1);
    printf("%s%s\n", in.model ? ", --model " : "", in.model ? in.model : "");
    free_input(&in);
}

/* Case i is file i as it is. */
static int run_whole(void *data, uint64_t number)
{
    const struct fuzz *z = data;
    const struct fuzz_file *f = &z->examples.files[number];
    struct input in = {.path = f->path, .text = f->bytes, .print = true};
    return compile(z, &in, stderr) == CASE_TAKEN ? CASE_TAKEN : CASE_FAILED;
}

/* -- does the watch see? -- */

static int planted_crash(void *data, uint64_t number)
{
    (void)data;
    if (number == 3)
        abort();
    return CASE_REFUSED;
}

static int planted_hang(void *data, uint64_t number)
{
    volatile uint64_t spin = 0;
    (void)data;
    while (number == 3)
        spin++;
    return CASE_REFUSED;
}

static int planted_exit(void *data, uint64_t number)
{
    (void)data;
    if (number == 3)
        arena_array(arena_new(), SIZE_MAX / 2, 8);
    return CASE_REFUSED;
}

static int planted_answer(void *data, uint64_t number)
{
    (void)data;
    return number == 3 ? CASE_FAILED : CASE_TAKEN;
}

static int test;

static void tap(bool good, const char *text)
{
    printf("%sok %d - %s\n", good ? "" : "not ", ++test, text);
}

static void test_watch(void)
{
    static const struct {
        int (*run)(void *, uint64_t);
        const char *name;
    } planted[] = {
        {planted_crash, "a crash is noticed"},
        {planted_hang, "a hang is noticed"},
        {planted_exit, "an early end is noticed"},
        {planted_answer, "a wrong answer is noticed"},
    };
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++) {
        struct watch w = {
            .run = planted[i].run, .seconds = 0.2, .batch = 4, .patience = 9, .quiet = 1};
        struct watch_result r = watch_cases(&w, 0, 8);
        tap(r.failed == 1 && r.done == 8, planted[i].name);
    }
}

/* -- the program -- */

static void open_fuzz(struct fuzz *z)
{
    const char *top = getenv("top_srcdir");
    char folder[4000];
    if (!top)
        top = ".";
    snprintf(folder, sizeof folder, "%s/examples", top);
    fuzz_corpus_add(&z->examples, folder, "*.vmoe");
    fuzz_corpus_add(&z->donors, folder, "*.vmoe");
    snprintf(z->library_folder, sizeof z->library_folder, "%s/stdlib", top);
    fuzz_corpus_add(&z->library, z->library_folder, "*.vmoe");
    fuzz_corpus_add(&z->donors, z->library_folder, "*.vmoe");
    snprintf(folder, sizeof folder, "%s/tests/golden/diag", top);
    fuzz_corpus_add(&z->donors, folder, "*.vmoe");
    snprintf(z->own_folder, sizeof z->own_folder, "/tmp/vmoe-fuzz-XXXXXX");
    z->nowhere = fopen("/dev/null", "w");
    if (!mkdtemp(z->own_folder) || !z->nowhere) {
        perror("fuzz_spec");
        exit(99);
    }
}

static void close_fuzz(struct fuzz *z)
{
    lay_module(z, &(struct input){0});
    rmdir(z->own_folder);
    fclose(z->nowhere);
    fuzz_corpus_free(&z->examples);
    fuzz_corpus_free(&z->library);
    fuzz_corpus_free(&z->donors);
}

/* Files named on the command line instead of the examples. */
static void take_files(struct fuzz *z, char **files, int n)
{
    fuzz_corpus_free(&z->examples);
    z->examples = (struct fuzz_corpus){0};
    for (int i = 0; i < n; i++)
        fuzz_corpus_add(&z->examples, "", files[i]);
}

static void test_mutations(struct fuzz *z, uint64_t first, uint64_t count)
{
    struct watch w = {.run = run_case,
                      .failures = failures,
                      .save = save_case,
                      .data = z,
                      .seconds = SECONDS,
                      .memory = (size_t)MEGABYTES << 20,
                      .batch = 100,
                      .patience = 25};
    struct watch_result r = watch_cases(&w, first, count);
    printf("# seed %llu: %llu cases, %llu compiled, %llu failed; slowest %.0f ms (case %llu)\n",
           (unsigned long long)z->seed, (unsigned long long)r.done, (unsigned long long)r.taken,
           (unsigned long long)r.failed, 1e3 * r.slowest, (unsigned long long)r.slowest_number);
    tap(r.failed == 0 && r.done == count, "damaged specs end in diagnostics or in a plan");
    tap(r.taken * 10 > r.done || count < 100, "one in ten is still a program");
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},
        {"first", required_argument, NULL, 'f'},
        {"count", required_argument, NULL, 'c'},
        {"save", no_argument, NULL, 'w'},
        {NULL, 0, NULL, 0},
    };
    struct fuzz z = {.seed = 1};
    uint64_t first = 0, count = CASES;
    bool save = false;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (c) {
        case 's': z.seed = strtoull(optarg, NULL, 10); break;
        case 'f': first = strtoull(optarg, NULL, 10); break;
        case 'c': count = strtoull(optarg, NULL, 10); break;
        case 'w': save = true; break;
        default:  return 2;
        }
    open_fuzz(&z);
    if (optind < argc)
        take_files(&z, argv + optind, argc - optind);
    struct watch whole = {
        .run = run_whole, .data = &z, .seconds = SECONDS, .batch = 1, .patience = 99};
    tap(watch_cases(&whole, 0, z.examples.n).failed == 0, "every file as it is makes a plan");
    if (save)
        save_case(&z, first);
    if (optind == argc) {
        test_watch();
        test_mutations(&z, first, count);
    }
    printf("1..%d\n", test);
    close_fuzz(&z);
    return 0;
}
