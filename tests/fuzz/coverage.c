/* One kind of file through its reader, led by coverage (libFuzzer). `make fuzz` builds it with
 * clang and the sanitizers;
 *     tests/fuzz/coverage --kind=rgb.jpg -runs=1000000 FOLDER
 * keeps in FOLDER what reached something new; run.sh does so for each kind. A file that ends the
 * program is written to the current folder; give it as argument to run it again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/readers.h"
#include "tests/fuzz/seeds.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t room);

static const struct fuzz_kind *kind = fuzz_kinds;
static struct fuzz_bytes good, bytes;
static uint64_t taken;
static char folder[] = "/dev/shm/vmoe-fuzz-XXXXXX";

static void finish(void)
{
    char command[100];
    fprintf(stderr, "%s: %llu were read\n", kind->name, (unsigned long long)taken);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    fuzz_must(system(command) == 0, command);
}

/* The kind of that name; without it, the names there are. */
static void choose(const char *name)
{
    for (kind = fuzz_kinds; kind < fuzz_kinds + FUZZ_KINDS; kind++)
        if (strcmp(kind->name, name) == 0)
            return;
    for (size_t i = 0; i < FUZZ_KINDS; i++)
        printf("%s\n", fuzz_kinds[i].name);
    exit(2);
}

/* libFuzzer leaves options with two dashes to the program. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    for (int i = 1; i < *argc; i++)
        if (strncmp((*argv)[i], "--kind=", 7) == 0)
            choose((*argv)[i] + 7);
    fuzz_must(mkdtemp(folder) != NULL, folder);
    atexit(finish);
    good = fuzz_bytes_new(FUZZ_ROOM);
    bytes = fuzz_bytes_new(FUZZ_ROOM);
    kind->make(&good);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_bytes_set(&bytes, data, size);
    int outcome = fuzz_read(kind, folder, &bytes);
    taken += outcome == CASE_TAKEN;
    fuzz_must(outcome < CASE_FAILED,
              outcome < CASE_FAILED ? "" : fuzz_failures[outcome - CASE_FAILED]);
    return 0;
}

/* Begins with the whole file, and again and again: coverage knows nothing of the libraries behind a
 * reader, and would stay with what they refuse. Then libFuzzer's own mutations, which know what
 * comparisons were missed, in turn with ours. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed)
{
    struct fuzz_random r = fuzz_random_start(seed, size);
    bool whole = (size < 2 || fuzz_below(&r, 3) == 0) && good.size <= room, own = fuzz_below(&r, 2);
    if (whole) {
        memcpy(data, good.data, good.size);
        size = good.size;
    }
    if (!own)
        size = LLVMFuzzerMutate(data, size, room);
    fuzz_bytes_set(&bytes, data, size);
    while (own && bytes.size) {
        fuzz_mutate_binary(&bytes, &r);
        own = fuzz_below(&r, 5) < 2;
    }
    if (kind->mend && fuzz_below(&r, 16))
        kind->mend(&bytes);
    size = bytes.size < room ? bytes.size : room;
    memcpy(data, bytes.data, size);
    return size;
}
