/* Object files of a module and its kernels. A kernel's object is kept in a folder under the hash of
 * its bitcode and of the machine it was compiled for, so that a program whose shapes were seen
 * before is built without generating their code again. What is missing is compiled on all
 * processors: each thread reads the bitcode into a context of its own. */
#include "config.h"

#include "compiler/emit/module.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <llvm-c/BitReader.h>
#include <llvm-c/BitWriter.h>
#include <xxhash.h>

#include "compiler/emit/emit.h"
#include "lang/base/arena.h"

#define KEPT_SECONDS \
    (30 * 24 * 60 * 60) /* objects that no build has used for so long are removed */
#define MOST_THREADS 16

struct job {
    LLVMMemoryBufferRef bitcode;
    /* where its object goes if it cannot be kept, and where it is kept, or NULL */
    const char *own, *kept;
    const char **path; /* says which it became */
    char *message;     /* why it could not be written */
};

struct work {
    const struct target *target;
    struct job *jobs;
    size_t n;
    atomic_size_t next;
};

/* NULL, or why not. */
static char *write_object(const struct target *t, LLVMMemoryBufferRef bitcode, const char *path)
{
    LLVMContextRef context = LLVMContextCreate();
    LLVMTargetMachineRef machine = target_machine(t);
    LLVMModuleRef module;
    char *message = NULL, *why = NULL;
    if (LLVMParseBitcodeInContext2(context, bitcode, &module)) {
        why = strdup("the bitcode of a kernel cannot be read");
    } else {
        if (LLVMTargetMachineEmitToFile(machine, module, (char *)path, LLVMObjectFile, &message)) {
            why = strdup(message);
            LLVMDisposeMessage(message);
        }
        LLVMDisposeModule(module);
    }
    LLVMDisposeTargetMachine(machine);
    LLVMContextDispose(context);
    return why;
}

/* Under another name first, so that no build ever finds half an object. */
static bool keep(const struct target *t, const struct job *j)
{
    char name[4096];
    snprintf(name, sizeof name, "%s.%ld", j->kept, (long)getpid());
    char *why = write_object(t, j->bitcode, name);
    bool ok = !why && !rename(name, j->kept);
    if (!ok)
        unlink(name);
    free(why);
    return ok;
}

static void compile(const struct work *w, struct job *j)
{
    if (j->kept && keep(w->target, j)) {
        *j->path = j->kept;
    } else {
        *j->path = j->own;
        j->message = write_object(w->target, j->bitcode, j->own);
    }
}

static void *worker(void *data)
{
    struct work *w = data;
    for (size_t i; (i = atomic_fetch_add(&w->next, 1)) < w->n;)
        compile(w, &w->jobs[i]);
    return NULL;
}

static void compile_all(struct work *w)
{
    pthread_t threads[MOST_THREADS];
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t n = 0, most = processors < 1              ? 1
                         : processors > MOST_THREADS ? MOST_THREADS
                                                     : (size_t)processors;
    while (n + 1 < most && n + 1 < w->n && !pthread_create(&threads[n], NULL, worker, w))
        n++;
    worker(w);
    while (n)
        pthread_join(threads[--n], NULL);
}

/* -- the folder -- */

static bool make_folder(const char *path)
{
    return !mkdir(path, 0777) || errno == EEXIST;
}

/* VMOE_CACHE, XDG_CACHE_HOME/vmoe or HOME/.cache/vmoe. NULL: none can be had, or VMOE_CACHE is
 * empty. */
static const char *kept_folder(struct arena *a)
{
    const char *own = getenv("VMOE_CACHE"), *base = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    if (own)
        return *own && make_folder(own) ? own : NULL;
    if (!base || !*base)
        base = home && *home ? arena_printf(a, "%s/.cache", home) : NULL;
    const char *path = base && make_folder(base) ? arena_printf(a, "%s/vmoe", base) : NULL;
    return path && make_folder(path) ? path : NULL;
}

static const char *kept_path(struct arena *a, const char *folder, LLVMMemoryBufferRef bitcode,
                             const struct target *t)
{
    const char *made_for = arena_printf(a, "1 %s %s %s %s %d", LLVM_VERSION_TEXT, t->triple, t->cpu,
                                        t->features, t->quick);
    XXH64_hash_t seed = XXH3_64bits(made_for, strlen(made_for));
    XXH128_hash_t hash =
        XXH3_128bits_withSeed(LLVMGetBufferStart(bitcode), LLVMGetBufferSize(bitcode), seed);
    return arena_printf(a, "%s/%016llx%016llx.o", folder, (unsigned long long)hash.high64,
                        (unsigned long long)hash.low64);
}

/* Is it there? Then it counts as used today. */
static bool is_kept(const char *path)
{
    struct stat s;
    return !stat(path, &s) && S_ISREG(s.st_mode) && s.st_size > 0 &&
           !utimensat(AT_FDCWD, path, NULL, 0);
}

/* As kept_path() and keep() name files: others in the folder, which may be any, are not ours. */
static bool is_ours(const char *name)
{
    return strspn(name, "0123456789abcdef") == 32 && !strncmp(name + 32, ".o", 2) &&
           (!name[34] || name[34] == '.');
}

static void remove_old(struct arena *a, const char *folder)
{
    DIR *d = opendir(folder);
    struct stat s;
    for (const struct dirent *f; d && (f = readdir(d));) {
        const char *path = arena_printf(a, "%s/%s", folder, f->d_name);
        if (is_ours(f->d_name) && !stat(path, &s) && s.st_mtime < time(NULL) - KEPT_SECONDS)
            unlink(path);
    }
    if (d)
        closedir(d);
}

/* -- all objects -- */

bool module_objects(struct module *m, const char *prefix, struct objects *o, char **message)
{
    struct emit *e = &m->e;
    struct arena *a = e->arena;
    struct work w = {.target = &m->target, .jobs = arena_array(a, e->nkernels + 1, sizeof *w.jobs)};
    const char *folder = kept_folder(a);
    *o = (struct objects){.prefix = prefix,
                          .path = arena_array(a, e->nkernels + 1, sizeof *o->path)};
    *message = NULL;
    for (; o->n <= e->nkernels; o->n++) {
        bool kernel = o->n < e->nkernels;
        struct job j = {.bitcode = LLVMWriteBitcodeToMemoryBuffer(kernel ? e->kernels[o->n].module
                                                                         : e->module)};
        j.own = arena_printf(a, "%s.%zu.o", prefix, o->n);
        j.kept = folder && kernel ? kept_path(a, folder, j.bitcode, w.target) : NULL;
        j.path = &o->path[o->n];
        if (j.kept && is_kept(j.kept)) {
            *j.path = j.kept;
            LLVMDisposeMemoryBuffer(j.bitcode);
        } else {
            w.jobs[w.n++] = j;
        }
    }
    compile_all(&w);
    for (size_t i = 0; i < w.n; i++) {
        LLVMDisposeMemoryBuffer(w.jobs[i].bitcode);
        if (w.jobs[i].message && !*message)
            *message = arena_copy(a, w.jobs[i].message, strlen(w.jobs[i].message));
        free(w.jobs[i].message);
    }
    if (folder && w.n)
        remove_old(a, folder);
    return !*message;
}

void objects_remove(const struct objects *o)
{
    for (size_t i = 0; i < o->n; i++)
        if (!strncmp(o->path[i], o->prefix, strlen(o->prefix)))
            unlink(o->path[i]);
}
