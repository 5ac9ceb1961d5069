/* The watch over child processes. Input: cases. Output: how many were taken, refused, and failed,
 * and why.
 *
 * The child notes the number of its case in shared memory before it begins; whatever ends it is
 * then the fault of that case, and the next child goes on behind it. */
#include "tests/fuzz/watch.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WALL_SECONDS = 60, MESSAGE = 400 };

struct shared {
    volatile uint64_t number; /* of the case that runs; behind the last one when all are done */
    volatile int failure;     /* what the case returned, if not taken or refused */
    struct watch_result result;
};

static double processor_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void limit_memory(size_t bytes)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%lu", &pages) != 1)
        abort();
    fclose(f);
    rlim_t all = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + bytes;
    setrlimit(RLIMIT_AS, &(struct rlimit){all, all});
}

/* Processor time, so that a busy machine makes no failure; and the clock, far larger, for what
 * waits. */
static void start_clocks(double seconds)
{
    struct itimerval cpu = {
        .it_value = {(time_t)seconds, (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6)}};
    setitimer(ITIMER_PROF, &cpu, NULL);
    alarm(seconds > 0 ? WALL_SECONDS : 0);
}

static _Noreturn void child(const struct watch *w, struct shared *s, uint64_t last, int messages)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    dup2(messages, STDERR_FILENO);
    if (w->memory)
        limit_memory(w->memory);
    for (; s->number < last; s->number++) {
        double start = processor_seconds();
        start_clocks(w->seconds);
        int outcome = w->run(w->data, s->number);
        double took = processor_seconds() - start;
        if (took > s->result.slowest) {
            s->result.slowest = took;
            s->result.slowest_number = s->number;
        }
        if (outcome >= CASE_FAILED) {
            s->failure = outcome;
            _exit(0);
        }
        s->result.done++;
        s->result.taken += outcome == CASE_TAKEN;
    }
    start_clocks(0);
    exit(0); /* not _exit: a leak checker, if there is one, speaks now */
}

/* The end of what the child said, in one line. */
static void print_message(int messages)
{
    char text[MESSAGE + 1];
    off_t size = lseek(messages, 0, SEEK_END);
    ssize_t n = pread(messages, text, MESSAGE, size > MESSAGE ? size - MESSAGE : 0);
    if (n <= 0)
        return;
    text[n] = '\0';
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = ' ';
    printf("#   it said: %s\n", text);
}

static void describe(const struct watch *w, const struct shared *s, int status, char *text,
                     size_t size)
{
    if (s->failure)
        snprintf(text, size, "%s", w->failures ? w->failures[s->failure - CASE_FAILED] : "wrong");
    else if (WIFEXITED(status))
        snprintf(text, size, "the process ended with status %d", WEXITSTATUS(status));
    else if (WTERMSIG(status) == SIGPROF || WTERMSIG(status) == SIGALRM)
        snprintf(text, size, "more than %g s", w->seconds);
    else
        snprintf(text, size, "%s", strsignal(WTERMSIG(status)));
}

static void report(const struct watch *w, const struct shared *s, int status, uint64_t last,
                   int messages)
{
    char what[200];
    if (w->quiet)
        return;
    describe(w, s, status, what, sizeof what);
    if (s->number >= last)
        printf("# in the end of the batch before case %llu: %s\n", (unsigned long long)last, what);
    else
        printf("# case %llu: %s\n", (unsigned long long)s->number, what);
    print_message(messages);
    if (w->save && s->number < last)
        w->save(w->data, s->number);
    fflush(stdout);
}

/* True when the child went through all of its cases. */
static bool run_batch(const struct watch *w, struct shared *s, uint64_t last)
{
    int status = 0, messages = memfd_create("messages", MFD_CLOEXEC);
    s->failure = 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        child(w, s, last, messages);
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror("fork");
        exit(99);
    }
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0 && !s->failure;
    if (!good)
        report(w, s, status, last, messages);
    close(messages);
    return good;
}

struct watch_result watch_cases(const struct watch *w, uint64_t first, uint64_t count)
{
    struct shared *s =
        mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED)
        abort();
    s->number = first;
    while (s->number < first + count && s->result.failed < w->patience) {
        uint64_t last = s->number + w->batch;
        if (last > first + count)
            last = first + count;
        if (run_batch(w, s, last))
            continue;
        s->result.failed++;
        if (s->number < last) {
            s->result.done++;
            s->number++;
        }
    }
    struct watch_result result = s->result;
    munmap(s, sizeof *s);
    return result;
}
