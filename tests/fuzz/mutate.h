/* Small damage to texts and to binary files, the same for the same seed.
 *
 * A mutation changes a struct fuzz_bytes in place and keeps it within its room. Nothing here knows
 * what the bytes mean beyond lines, words and numbers. */
#ifndef TESTS_FUZZ_MUTATE_H
#define TESTS_FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/* Random numbers: SplitMix64 (Steele, Lea and Flood 2014). */
struct fuzz_random {
    uint64_t state;
};

struct fuzz_random fuzz_random_start(uint64_t seed, uint64_t index);
uint64_t fuzz_below(struct fuzz_random *r, uint64_t n); /* 0 .. n-1; 0 when n is 0 */

struct fuzz_bytes {
    char *data; /* owned by fuzz_bytes_new(); `room` bytes and one more */
    size_t size, room;
};

struct fuzz_bytes fuzz_bytes_new(size_t room);
void fuzz_bytes_free(struct fuzz_bytes *b);
void fuzz_bytes_set(struct fuzz_bytes *b, const void *data, size_t size); /* cut to the room */

/* Replace the `count` bytes at `at` by others; what goes beyond the room is lost. `with` must not
 * lie inside b. */
void fuzz_replace(struct fuzz_bytes *b, size_t at, size_t count, const void *with, size_t size);

/* Other inputs, from which pieces are taken. */
struct fuzz_corpus {
    struct fuzz_file {
        char *path;
        struct fuzz_bytes bytes;
    } *files;
    size_t n;
};

/* Add the files that match a pattern of glob(3), sorted; ends the program if there is none. */
void fuzz_corpus_add(struct fuzz_corpus *c, const char *folder, const char *pattern);
void fuzz_corpus_free(struct fuzz_corpus *c);

/* One random mutation out of a table each. */
void fuzz_mutate_text(struct fuzz_bytes *b, const struct fuzz_corpus *donors,
                      struct fuzz_random *r);
void fuzz_mutate_binary(struct fuzz_bytes *b, struct fuzz_random *r);

/* "path=value" from a random assignment of the text, perhaps with another value; into `out`. 0 if
 * the text has none. */
size_t fuzz_assignment(const struct fuzz_bytes *b, struct fuzz_random *r, char *out, size_t room);

#endif
