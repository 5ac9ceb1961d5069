/* The kinds of files that the runtime reads, each with all that fuzzing it needs. */
#ifndef TESTS_FUZZ_READERS_H
#define TESTS_FUZZ_READERS_H

#include "tests/fuzz/mutate.h"
#include "tests/fuzz/watch.h"

/* What may go wrong besides a crash, and NULL-terminated texts for it. */
enum { FUZZ_NO_REASON = CASE_FAILED, FUZZ_WRONG_SIZE };
extern const char *const fuzz_failures[];

struct fuzz_kind {
    const char *name; /* also of its folder and of saved cases */
    /* an outcome; `root` is a folder of its own, kept */
    int (*read)(const char *root, const struct fuzz_bytes *b);
    void (*make)(struct fuzz_bytes *b); /* a whole file */
    void (*mend)(struct fuzz_bytes *b); /* NULL: it has neither checksums nor sizes */
};

enum { FUZZ_KINDS = 23, FUZZ_ROOM = 64 << 10 };
extern const struct fuzz_kind fuzz_kinds[FUZZ_KINDS];

/* Read b as a file of a kind, in a folder below `folder`. */
int fuzz_read(const struct fuzz_kind *k, const char *folder, const struct fuzz_bytes *b);

#endif
