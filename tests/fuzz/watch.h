/* Runs many cases in child processes and notices every one that crashes, hangs, takes too much
 * memory or ends the process.
 *
 * Cases are numbered; a batch of them shares a child, and a failure is still told with its number,
 * from which the case can be made again. Results are printed as TAP comments. */
#ifndef TESTS_FUZZ_WATCH_H
#define TESTS_FUZZ_WATCH_H

#include <stddef.h>
#include <stdint.h>

/* What a case may return. Everything else is a failure, with the texts of `failures`. */
enum { CASE_REFUSED, CASE_TAKEN, CASE_FAILED };

struct watch {
    int (*run)(void *data, uint64_t number); /* CASE_FAILED + i: failures[i] */
    const char *const *failures;             /* NULL-terminated, or NULL */
    /* keep the input of a failed case, say where; or NULL */
    void (*save)(void *data, uint64_t number);
    void *data;
    double seconds;    /* of processor time, for one case */
    size_t memory;     /* bytes above what the process has at the start; 0: no limit */
    uint64_t batch;    /* cases of one child */
    uint64_t patience; /* stop after so many failures */
    int quiet;         /* do not print failures (tests of the watch itself) */
};

struct watch_result {
    uint64_t done, taken, failed;
    double slowest; /* seconds of processor time */
    uint64_t slowest_number;
};

struct watch_result watch_cases(const struct watch *w, uint64_t first, uint64_t count);

#endif
