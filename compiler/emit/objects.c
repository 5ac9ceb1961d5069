/* Objects of a module and its kernels, in one archive. A kernel's object is kept under the hash of
 * its bitcode and of the machine it was compiled for, so that a program whose shapes were seen
 * before is built without generating their code again. What is missing is compiled on all
 * processors: each thread reads the bitcode into a context of its own. */
#include "config.h"

#include "compiler/emit/module.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <llvm-c/BitReader.h>
#include <llvm-c/BitWriter.h>

#include "compiler/emit/emit.h"
#include "compiler/files/kept.h"
#include "compiler/files/scratch.h"
#include "lang/base/arena.h"
#include "lang/base/diag.h"

#define MOST_THREADS 16

struct job {
    LLVMMemoryBufferRef bitcode;
    bool kernel; /* its object may be kept: the program's own is another each time */
    LLVMMemoryBufferRef made;
    void *kept; /* the object is one of the two */
    size_t size;
    char *refused; /* why there is none */
};

struct work {
    const struct target *target;
    const char *maker; /* what objects depend on besides their bitcode */
    struct kept kept;
    struct job *jobs;
    size_t n;
    atomic_size_t next;
};

/* In memory, since LLVM ends the process where it cannot write. NULL with LLVM's message. */
static LLVMMemoryBufferRef make_object(const struct target *t, LLVMMemoryBufferRef bitcode,
                                       char **why)
{
    LLVMTargetMachineRef machine = target_machine(t);
    if (!machine) {
        *why = LLVMCreateMessage("there is no such machine");
        return NULL;
    }
    LLVMContextRef context = LLVMContextCreate();
    LLVMModuleRef module;
    LLVMMemoryBufferRef object = NULL;
    if (LLVMParseBitcodeInContext2(context, bitcode, &module)) {
        *why = LLVMCreateMessage("its bitcode cannot be read");
    } else {
        if (LLVMTargetMachineEmitToMemoryBuffer(machine, module, LLVMObjectFile, why, &object))
            object = NULL;
        LLVMDisposeModule(module);
    }
    LLVMDisposeTargetMachine(machine);
    LLVMContextDispose(context);
    return object;
}

static void do_job(const struct work *w, struct job *j)
{
    char name[KEPT_NAME];
    if (j->kernel) {
        kept_name(name, w->maker, LLVMGetBufferStart(j->bitcode), LLVMGetBufferSize(j->bitcode));
        j->kept = kept_read(&w->kept, name, &j->size);
    }
    if (j->kept)
        return;
    j->made = make_object(w->target, j->bitcode, &j->refused);
    if (!j->made)
        return;
    j->size = LLVMGetBufferSize(j->made);
    if (j->kernel)
        kept_write(&w->kept, name, LLVMGetBufferStart(j->made), j->size);
}

/* The last one first: the program's own takes longest. */
static void *worker(void *data)
{
    struct work *w = data;
    scratch_thread();
    for (size_t i; (i = atomic_fetch_add(&w->next, 1)) < w->n;)
        do_job(w, &w->jobs[w->n - 1 - i]);
    return NULL;
}

/* Those that the compiler may run on. A mask that is smaller than the kernel's is an error of the
 * call: this one has room for 65536. */
static size_t processors(void)
{
    cpu_set_t set[64];
    int n = sched_getaffinity(0, sizeof set, set) ? 1 : CPU_COUNT_S(sizeof set, set);
    return n < MOST_THREADS ? (size_t)n : MOST_THREADS;
}

static void do_all(struct work *w)
{
    pthread_t threads[MOST_THREADS];
    size_t n = 0, most = processors();
    while (n + 1 < most && n + 1 < w->n && !pthread_create(&threads[n], NULL, worker, w))
        n++;
    worker(w);
    while (n)
        pthread_join(threads[--n], NULL);
}

/* -- one file of all: to make hundreds would take longer than all the rest -- */

static bool write_member(int fd, size_t number, const void *bytes, size_t size)
{
    char name[24], header[80];
    snprintf(name, sizeof name, "%zu.o/", number);
    int length = snprintf(header, sizeof header, "%-16s%-12d%-6d%-6d%-8o%-10zu`\n", name, 0, 0, 0,
                          0600u, size);
    return scratch_write(fd, header, (size_t)length) && scratch_write(fd, bytes, size) &&
           scratch_write(fd, "\n", size % 2);
}

/* The bytes that were made or checked are those that are linked: what happens to a kept file from
 * now on is no matter. */
static bool write_archive(const struct work *w, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && scratch_write(fd, "!<arch>\n", 8);
    for (size_t i = 0; ok && i < w->n; i++) {
        const struct job *j = &w->jobs[i];
        ok = write_member(fd, i, j->kept ? j->kept : LLVMGetBufferStart(j->made), j->size);
    }
    int error = errno;
    if (fd >= 0 && close(fd) && ok) {
        ok = false;
        error = errno;
    }
    errno = error;
    return ok;
}

static bool all_made(const struct work *w, struct diag *d)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct job *j = &w->jobs[i];
        if (j->kept || j->made)
            continue;
        diag_report(d, DIAG_CODE_FAILED, (struct loc){0}, "no object is made: %s",
                    j->refused ? j->refused : "out of memory");
        return false;
    }
    return true;
}

static bool any_new(const struct work *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->jobs[i].kernel && w->jobs[i].made)
            return true;
    return false;
}

static void free_jobs(struct work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct job *j = &w->jobs[i];
        LLVMDisposeMemoryBuffer(j->bitcode);
        if (j->made)
            LLVMDisposeMemoryBuffer(j->made);
        free(j->kept);
        LLVMDisposeMessage(j->refused);
    }
}

/* -- the public face -- */

enum objects module_objects(struct module *m, const char *path, struct diag *d)
{
    struct emit *e = &m->e;
    const struct target *t = &m->target;
    struct work w = {.target = t, .n = e->nkernels + 1, .kept = kept_open(e->arena, d)};
    w.maker = arena_printf(e->arena, "2 %s %s %s %s %d", LLVM_VERSION_TEXT, t->triple, t->cpu,
                           t->features, t->quick);
    w.jobs = arena_array(e->arena, w.n, sizeof *w.jobs);
    for (size_t i = 0; i < w.n; i++) {
        w.jobs[i].kernel = i < e->nkernels;
        w.jobs[i].bitcode =
            LLVMWriteBitcodeToMemoryBuffer(w.jobs[i].kernel ? e->kernels[i].module : e->module);
    }
    do_all(&w);
    if (any_new(&w))
        kept_sweep(&w.kept);
    kept_close(&w.kept);
    enum objects result = all_made(&w, d) ? OBJECTS_WRITTEN : OBJECTS_REFUSED;
    if (result == OBJECTS_WRITTEN && !write_archive(&w, path)) {
        int error = errno;
        result = OBJECTS_UNWRITTEN;
        diag_report(d, DIAG_FILE_WRITE, (struct loc){0}, "cannot write %s: %s", path,
                    strerror(error));
        if (error == ENOSPC || error == EDQUOT)
            diag_help(d, "set TMPDIR to a folder with room");
    }
    free_jobs(&w);
    return result;
}
