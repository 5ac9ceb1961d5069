/* Damaged files: pictures, archives, labels, IDX and CIFAR files, weights and states, changed at
 * random, go through the readers of the runtime.
 *
 * A reader must succeed or give a reason, in bounded time and memory. What checks a file is made
 * right again in half of the cases, else nothing would get behind it. `fuzz_files --seed S --first
 * N --count M` runs other cases; a failed one, and with
 * --save the first one, is written to the current folder. coverage.c goes where these cases do
 * not. */
#include "config.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/readers.h"
#include "tests/fuzz/seeds.h"

#ifdef VMOE_SANITIZE
enum { CASES = 10000, MEGABYTES = 0 };
#else
enum { CASES = 100000, MEGABYTES = 1024 };
#endif
enum { SECONDS = 2 };

struct fuzz {
    uint64_t seed;
    char folder[64];
    struct fuzz_bytes good[FUZZ_KINDS];
};

/* -- cases -- */

/* Number i is a case of kind i mod FUZZ_KINDS; the first of each kind are whole. */
static struct fuzz_bytes make_case(const struct fuzz *z, uint64_t number)
{
    const struct fuzz_kind *k = &fuzz_kinds[number % FUZZ_KINDS];
    struct fuzz_random r = fuzz_random_start(z->seed, number);
    struct fuzz_bytes b = fuzz_bytes_new(FUZZ_ROOM);
    fuzz_bytes_set(&b, z->good[number % FUZZ_KINDS].data, z->good[number % FUZZ_KINDS].size);
    if (number < FUZZ_KINDS)
        return b;
    do
        fuzz_mutate_binary(&b, &r);
    while (fuzz_below(&r, 5) < 3);
    if (k->mend && fuzz_below(&r, 2))
        k->mend(&b);
    return b;
}

static int run_case(void *data, uint64_t number)
{
    const struct fuzz *z = data;
    const struct fuzz_kind *k = &fuzz_kinds[number % FUZZ_KINDS];
    struct fuzz_bytes b = make_case(z, number);
    int outcome = fuzz_read(k, z->folder, &b);
    fuzz_bytes_free(&b);
    return outcome;
}

static void save_case(void *data, uint64_t number)
{
    const struct fuzz *z = data;
    struct fuzz_bytes b = make_case(z, number);
    char path[200];
    snprintf(path, sizeof path, "fuzz-%llu-%llu-%s", (unsigned long long)z->seed,
             (unsigned long long)number, fuzz_kinds[number % FUZZ_KINDS].name);
    FILE *f = fopen(path, "wb");
    fuzz_must(f && fwrite(b.data, 1, b.size, f) == b.size && fclose(f) == 0, path);
    printf("#   in %s\n", path);
    fuzz_bytes_free(&b);
}

/* -- the program -- */

static int test;

static void tap(bool good, const char *text)
{
    printf("%sok %d - %s\n", good ? "" : "not ", ++test, text);
}

static void test_files(struct fuzz *z, uint64_t first, uint64_t count)
{
    struct watch w = {.run = run_case,
                      .failures = fuzz_failures,
                      .save = save_case,
                      .data = z,
                      .seconds = SECONDS,
                      .memory = (size_t)MEGABYTES << 20,
                      .batch = 200,
                      .patience = 25};
    for (uint64_t i = 0; i < FUZZ_KINDS; i++) {
        char text[100];
        snprintf(text, sizeof text, "a whole %s is read", fuzz_kinds[i].name);
        tap(watch_cases(&w, i, 1).taken == 1, text);
    }
    struct watch_result r = watch_cases(&w, first, count);
    printf("# seed %llu: %llu cases, %llu read, %llu failed; slowest %.0f ms (case %llu)\n",
           (unsigned long long)z->seed, (unsigned long long)r.done, (unsigned long long)r.taken,
           (unsigned long long)r.failed, 1e3 * r.slowest, (unsigned long long)r.slowest_number);
    tap(r.failed == 0 && r.done == count, "damaged files are read or refused");
}

static void remove_folder(const struct fuzz *z)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf '%s'", z->folder);
    fuzz_must(system(command) == 0, command);
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
    struct fuzz z = {.seed = 1, .folder = "/tmp/vmoe-fuzz-XXXXXX"};
    uint64_t first = FUZZ_KINDS, count = CASES;
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
    fuzz_must(mkdtemp(z.folder) != NULL, z.folder);
    for (size_t i = 0; i < FUZZ_KINDS; i++) {
        z.good[i] = fuzz_bytes_new(FUZZ_ROOM);
        fuzz_kinds[i].make(&z.good[i]);
    }
    if (save)
        save_case(&z, first);
    test_files(&z, first, count);
    printf("1..%d\n", test);
    for (size_t i = 0; i < FUZZ_KINDS; i++)
        fuzz_bytes_free(&z.good[i]);
    remove_folder(&z);
    return 0;
}
