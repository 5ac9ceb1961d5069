/* Object files of a module and its kernels. A kernel's object is kept in a folder under the hash of its bitcode and of the machine it
 * was compiled for, so that a program whose shapes were seen before is built without generating their code again. What is missing is
 * compiled on all processors: each thread reads the bitcode into a context of its own. */
#include "config.h"

#include "compiler/emit/module.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
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

#define KEPT_SECONDS (30 * 24 * 60 * 60)        /* objects that no build has used for so long are removed */
#define MOST_THREADS 16

struct job {
    LLVMMemoryBufferRef bitcode;
    const char *path, *kept;            /* where it is written; where it then goes, or NULL */
    char *message;                      /* why it could not be written */
};

struct work {
    const struct target *target;
    struct job *jobs;
    size_t n;
    atomic_size_t next;
};

static void compile(const struct work *w, struct job *j)
{
    LLVMContextRef context = LLVMContextCreate();
    LLVMTargetMachineRef machine = target_machine(w->target);
    LLVMModuleRef module;
    if (LLVMParseBitcodeInContext2(context, j->bitcode, &module)) {
        j->message = strdup("the bitcode of a kernel cannot be read");
    } else {
        char *message = NULL;
        if (LLVMTargetMachineEmitToFile(machine, module, (char *)j->path, LLVMObjectFile, &message)) {
            j->message = strdup(message);
            LLVMDisposeMessage(message);
        }
        LLVMDisposeModule(module);
    }
    LLVMDisposeTargetMachine(machine);
    LLVMContextDispose(context);
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
    size_t n = 0, most = processors < 1 ? 1 : processors > MOST_THREADS ? MOST_THREADS : (size_t)processors;
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

/* VMOE_CACHE, XDG_CACHE_HOME/vmoe or HOME/.cache/vmoe. NULL: none can be had, or VMOE_CACHE is empty. */
static const char *kept_folder(struct arena *a)
{
    const char *own = getenv("VMOE_CACHE"), *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (own)
        return *own && make_folder(own) ? own : NULL;
    if (!base || !*base)
        base = home && *home ? arena_printf(a, "%s/.cache", home) : NULL;
    const char *path = base && make_folder(base) ? arena_printf(a, "%s/vmoe", base) : NULL;
    return path && make_folder(path) ? path : NULL;
}

static const char *kept_path(struct arena *a, const char *folder, LLVMMemoryBufferRef bitcode, const struct target *t)
{
    const char *made_for = arena_printf(a, "1 %s %s %s %s %d", LLVM_VERSION_TEXT, t->triple, t->cpu, t->features, t->quick);
    XXH64_hash_t seed = XXH3_64bits(made_for, strlen(made_for));
    XXH128_hash_t hash = XXH3_128bits_withSeed(LLVMGetBufferStart(bitcode), LLVMGetBufferSize(bitcode), seed);
    return arena_printf(a, "%s/%016llx%016llx.o", folder, (unsigned long long)hash.high64, (unsigned long long)hash.low64);
}

/* Is it there? Then it counts as used today. */
static bool is_kept(const char *path)
{
    struct stat s;
    return !stat(path, &s) && s.st_size > 0 && !utimensat(AT_FDCWD, path, NULL, 0);
}

static void remove_old(struct arena *a, const char *folder)
{
    DIR *d = opendir(folder);
    struct stat s;
    for (const struct dirent *f; d && (f = readdir(d));) {
        const char *path = arena_printf(a, "%s/%s", folder, f->d_name);
        if (strstr(f->d_name, ".o") && !stat(path, &s) && s.st_mtime < time(NULL) - KEPT_SECONDS)
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
    *o = (struct objects){.path = arena_array(a, e->nkernels + 1, sizeof *o->path)};
    *message = NULL;
    for (size_t i = 0; i <= e->nkernels; i++) {
        struct job j = {.bitcode = LLVMWriteBitcodeToMemoryBuffer(i < e->nkernels ? e->kernels[i].module : e->module)};
        const char *own = arena_printf(a, "%s.%zu.o", prefix, i);
        j.kept = folder && i < e->nkernels ? kept_path(a, folder, j.bitcode, w.target) : NULL;
        j.path = j.kept ? arena_printf(a, "%s.%ld", j.kept, (long)getpid()) : own;
        o->path[o->n++] = j.kept ? j.kept : own;
        if (j.kept && is_kept(j.kept))
            LLVMDisposeMemoryBuffer(j.bitcode);
        else
            w.jobs[w.n++] = j;
    }
    compile_all(&w);
    for (size_t i = 0; i < w.n; i++) {
        struct job *j = &w.jobs[i];
        LLVMDisposeMemoryBuffer(j->bitcode);
        if (!j->message && j->kept && rename(j->path, j->kept))
            j->message = strdup(strerror(errno));
        if (j->message && j->kept)
            unlink(j->path);
        if (j->message && !*message)
            *message = arena_copy(a, j->message, strlen(j->message));
        free(j->message);
    }
    if (folder && w.n)
        remove_old(a, folder);
    o->prefix = prefix;
    return !*message;
}

void objects_remove(const struct objects *o)
{
    for (size_t i = 0; i < o->n; i++)
        if (!strncmp(o->path[i], o->prefix, strlen(o->prefix)))
            unlink(o->path[i]);
}
