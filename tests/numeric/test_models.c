/* Whole small networks against what PyTorch computed for them, recorded by record.py.
 *
 * For each case: build NAME.vmoe, classify eight pictures from given weights, train five steps on
 * them as one batch, and compare logits, features, losses, gradient norms, learning rates and the
 * final weights. Each case is built with and without fusion (only with it under sanitizers, which
 * make building slow). The reference was computed in double precision, so the tolerances are the
 * program's own rounding. */
#include "config.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const double tolerance_values = 1e-5; /* of logits, features: of the largest of the list */
static const double tolerance_steps =
    1e-4; /* of losses, norms: five steps of Adam widen what rounding began */
static const double tolerance_weights =
    1e-3; /* of the farthest that the training moved any weight of the tensor */

/* name; of the spec and the first weights; settings of the spec */
static const struct {
    const char *name, *base, *define;
} cases[] = {
    {"vit", "vit", ""},
    {"convnext", "convnext", ""},
    {"vit_moe", "vit_moe", ""},
    {"vit_moe-1", "vit_moe", "-D variant=1"},
    {"convnext_moe", "convnext_moe", ""},
    {"own", "own", ""},
};

static char folder[] = "/tmp/vmoe-numeric-XXXXXX";
static const char *source, *build; /* this folder, the build's top */
static int test;

static void tap(bool good, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("%sok %d - ", good ? "" : "not ", ++test);
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
    fflush(stdout);
}

static _Noreturn void die(const char *what)
{
    printf("Bail out! %s\n", what);
    exit(99);
}

/* A formatted text; good until eight calls later. */
static const char *text(const char *format, ...)
{
    static char texts[8][4096];
    static int turn;
    char *t = texts[turn++ & 7];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(t, sizeof texts[0], format, arguments) >= (int)sizeof texts[0])
        die("a path is too long");
    va_end(arguments);
    return t;
}

static bool run(const char *command)
{
    fflush(stdout);
    int status = system(command);
    if (status == 0)
        return true;
    printf("# status %d of: %s\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1, command);
    return false;
}

/* -- the reference's tensors: a reader of its own, not the program's -- */

struct tensors {
    json_t *header;
    float *data;
    size_t count;
};

static struct tensors read_tensors(const char *path)
{
    struct tensors t = {0};
    uint64_t length;
    FILE *f = fopen(path, "rb");
    if (!f || fread(&length, 8, 1, f) != 1 || length > 1 << 20)
        die(path);
    char *header = malloc(length);
    if (!header || fread(header, 1, length, f) != length)
        die(path);
    t.header = json_loadb(header, length, 0, NULL);
    t.data = malloc(1 << 20);
    if (!t.header || !t.data)
        die(path);
    t.count = fread(t.data, sizeof *t.data, (1 << 20) / sizeof *t.data, f);
    json_object_del(t.header, "__metadata__");
    free(header);
    fclose(f);
    return t;
}

static void free_tensors(struct tensors *t)
{
    json_decref(t->header);
    free(t->data);
}

/* NULL if there is none of this name and shape; *n: its numbers. */
static const float *find_tensor(const struct tensors *t, const char *name, const json_t *shape,
                                size_t *n)
{
    const json_t *entry = json_object_get(t->header, name),
                 *offsets = json_object_get(entry, "data_offsets");
    size_t from = (size_t)json_integer_value(json_array_get(offsets, 0));
    size_t to = (size_t)json_integer_value(json_array_get(offsets, 1));
    if (!entry || (shape && !json_equal(json_object_get(entry, "shape"), shape)) ||
        to > t->count * 4 || from > to)
        return NULL;
    *n = (to - from) / 4;
    return t->data + from / 4;
}

/* -- comparing -- */

/* Largest difference of two lists, as a share of the largest reference value. */
static double list_error(const json_t *got, const json_t *want)
{
    double largest = 1e-30, difference = 0.0;
    size_t n = json_array_size(want);
    if (json_array_size(got) != n)
        return INFINITY;
    for (size_t i = 0; i < n; i++) {
        double w = json_number_value(json_array_get(want, i)),
               g = json_number_value(json_array_get(got, i));
        largest = fmax(largest, fabs(w));
        difference =
            fmax(difference, json_is_number(json_array_get(got, i)) ? fabs(g - w) : INFINITY);
    }
    return difference / largest;
}

/* The same for one number. */
static double number_error(const json_t *got, const json_t *want)
{
    double w = json_number_value(want), g = json_number_value(got);
    return json_is_number(got) ? fabs(g - w) / fmax(fabs(w), 1e-3) : INFINITY;
}

/* Errors of the tensor's numbers as a share of the farthest one's way in training. */
static double tensor_error(const float *got, const float *want, const float *start, size_t n)
{
    double way = 1e-30, difference = 0.0;
    for (size_t i = 0; i < n; i++) {
        way = fmax(way, fabs((double)want[i] - (double)start[i]));
        difference =
            fmax(difference, isfinite(got[i]) ? fabs((double)got[i] - (double)want[i]) : INFINITY);
    }
    return difference / way;
}

/* -- the programs -- */

static bool build_case(size_t c, const char *level)
{
    return run(text("'%s/vmoec' build '%s/%s.vmoe' %s %s -o '%s/program' 2>'%s/messages' || "
                    "{ sed 's/^/# /' '%s/messages'; false; }",
                    build, source, cases[c].base, cases[c].define, level, folder, folder, folder));
}

static bool predict_case(size_t c, const json_t *files)
{
    size_t i;
    json_t *name;
    FILE *f = fopen(text("%s/files", folder), "w");
    if (!f)
        die(folder);
    json_array_foreach(files, i, name) fprintf(f, "%s/%s\n", source, json_string_value(name));
    fclose(f);
    return run(
        text("'%s/program' predict --weights '%s/%s.safetensors' --logits --features --json - "
             "<'%s/files' >'%s/rows'",
             folder, source, cases[c].base, folder, folder));
}

/* Line i of the output is picture i. */
static void compare_predictions(size_t c, const char *level, const json_t *want)
{
    const json_t *want_logits = json_object_get(want, "logits"),
                 *want_features = json_object_get(want, "features");
    double logits = 0.0, features = 0.0;
    size_t n = 0;
    char line[1 << 16];
    bool ran = predict_case(c, json_object_get(want, "files"));
    FILE *f = fopen(text("%s/rows", folder), "r");
    for (; f && fgets(line, sizeof line, f); n++) {
        json_t *row = json_loads(line, 0, NULL);
        logits = fmax(logits,
                      list_error(json_object_get(row, "logits"), json_array_get(want_logits, n)));
        features = fmax(features, list_error(json_object_get(row, "features"),
                                             json_array_get(want_features, n)));
        json_decref(row);
    }
    if (f)
        fclose(f);
    ran = ran && n == json_array_size(want_logits);
    tap(ran && logits < tolerance_values, "%s%s: logits (%.1e)", cases[c].name, level, logits);
    tap(ran && features < tolerance_values, "%s%s: features (%.1e)", cases[c].name, level,
        features);
}

/* The pictures are learnt, and evaluated under another name. */
static bool train_case(size_t c)
{
    return run(text("mkdir -p '%s/data' && ln -sfn '%s/pictures/train' '%s/data/train' && ln -sfn "
                    "train '%s/data/val'",
                    folder, source, folder, folder)) &&
           run(text(
               "'%s/program' train --data '%s/data' --weights '%s/%s.safetensors' --out '%s/run' "
               ">'%s/messages' 2>&1 || { sed 's/^/# /' '%s/messages'; false; }",
               folder, folder, source, cases[c].base, folder, folder, folder));
}

/* The lines of metrics.jsonl that are steps, in order. */
static void compare_steps(size_t c, const char *level, const json_t *want)
{
    static const char *const keys[] = {"loss", "balance_loss", "grad_norm", "lr"};
    double error[4] = {0};
    size_t n = 0;
    char line[4096];
    FILE *f = fopen(text("%s/run/metrics.jsonl", folder), "r");
    while (f && fgets(line, sizeof line, f)) {
        json_t *row = json_loads(line, 0, NULL);
        const json_t *step = json_array_get(want, n);
        if (json_object_get(row, "grad_norm")) {
            for (size_t k = 0; k < 4; k++)
                error[k] = fmax(error[k], number_error(json_object_get(row, keys[k]),
                                                       json_object_get(step, keys[k])));
            n++;
        }
        json_decref(row);
    }
    if (f)
        fclose(f);
    for (size_t k = 0; k < 4; k++)
        tap(n == json_array_size(want) && error[k] < tolerance_steps,
            "%s%s: %s of each step (%.1e)", cases[c].name, level, keys[k], error[k]);
}

static void compare_weights(size_t c, const char *level)
{
    struct tensors got = read_tensors(text("%s/run/last.safetensors", folder));
    struct tensors want = read_tensors(text("%s/%s.trained.safetensors", source, cases[c].name));
    struct tensors start = read_tensors(text("%s/%s.safetensors", source, cases[c].base));
    const char *name, *worst = "";
    json_t *entry;
    double largest = 0.0;
    bool same = json_object_size(got.header) == json_object_size(want.header);
    json_object_foreach(want.header, name, entry)
    {
        const json_t *shape = json_object_get(entry, "shape");
        size_t n, n_want, n_start;
        const float *g = find_tensor(&got, name, shape, &n),
                    *w = find_tensor(&want, name, shape, &n_want);
        const float *s = find_tensor(&start, name, shape, &n_start);
        double error = g && w && s ? tensor_error(g, w, s, n) : INFINITY;
        if (error > largest) {
            largest = error;
            worst = name;
        }
    }
    tap(same && largest < tolerance_weights,
        "%s%s: weights behind the last step (%.1e of their way, %s)", cases[c].name, level, largest,
        worst);
    free_tensors(&got);
    free_tensors(&want);
    free_tensors(&start);
}

static void test_case(size_t c, const char *level)
{
    json_t *want = json_load_file(text("%s/%s.json", source, cases[c].name), 0, NULL);
    if (!want)
        die(cases[c].name);
    bool built = build_case(c, level);
    tap(built, "%s%s: builds", cases[c].name, level);
    if (built)
        compare_predictions(c, level, want);
    bool trained = built && train_case(c);
    tap(trained, "%s%s: trains", cases[c].name, level);
    if (trained) {
        compare_steps(c, level, json_object_get(want, "steps"));
        compare_weights(c, level);
    }
    json_decref(want);
    run(text("rm -rf '%s'/*", folder));
}

/* The comparison must see what renormalised weights change. */
static void test_comparison(void)
{
    json_t *plain = json_load_file(text("%s/vit_moe.json", source), 0, NULL);
    json_t *other = json_load_file(text("%s/vit_moe-1.json", source), 0, NULL);
    double error = list_error(json_array_get(json_object_get(plain, "logits"), 0),
                              json_array_get(json_object_get(other, "logits"), 0));
    tap(isfinite(error) && error > 1e-2, "another rule of routing is another network (%.1e)",
        error);
    json_decref(plain);
    json_decref(other);
}

int main(int argc, char **argv)
{
    const char *top = getenv("top_srcdir");
    build = getenv("top_builddir");
    if (!top || !build || !mkdtemp(folder))
        die("top_srcdir and top_builddir must be set, /tmp writable");
    char *own = strdup(text("%s/tests/numeric", top));
    source = own;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        if (argc < 2 || !strcmp(argv[1], cases[c].name)) {
            test_case(c, "");
#ifndef VMOE_SANITIZE
            test_case(c, " -O0");
#endif
        }
    test_comparison();
    printf("1..%d\n", test);
    run(text("rm -rf '%s'", folder));
    free(own);
    return 0;
}
