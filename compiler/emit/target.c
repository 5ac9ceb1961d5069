/* Targets: this machine, or a level of x86-64. LLVM takes any CPU name and only mutters, so names
 * are checked here first. */
#include "config.h"

#include <string.h>

#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>

#include "compiler/emit/emit.h"
#include "lang/base/arena.h"

static const char *const names[] = {"native", "x86-64-v2", "x86-64-v3", "x86-64-v4", NULL};

const char *const *target_names(void)
{
    return names;
}

static bool known(const char *name)
{
    for (int i = 0; names[i]; i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

static bool has(const char *features, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = features; (p = strstr(p, word)); p += n)
        if (p > features && p[-1] == '+' && (p[n] == ',' || !p[n]))
            return true;
    return false;
}

/* Levels: x86-64-vN has what those before it have. */
static uint64_t needed(const char *name, const char *host_features)
{
    static const struct {
        const char *name;
        int level;
    } features[] = {
#define FEATURE(name, text, level, ...) {name, level},
#include "runtime/processor.def"
#undef FEATURE
    };
    int level = !strncmp(name, "x86-64-v", 8) ? name[8] - '0' : 0;
    uint64_t set = 0;
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        if (level ? features[i].level > 0 && features[i].level <= level
                  : has(host_features, features[i].name))
            set |= (uint64_t)1 << i;
    return set;
}

static const char *take(struct arena *a, char *message)
{
    arena_made(message);
    const char *copy = arena_copy(a, message, strlen(message));
    LLVMDisposeMessage(message);
    return copy;
}

LLVMTargetMachineRef target_machine(const struct target *t)
{
    LLVMTargetRef target;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(t->triple, &target, &message)) {
        LLVMDisposeMessage(message);
        return NULL;
    }
    return LLVMCreateTargetMachine(target, t->triple, t->cpu, t->features,
                                   t->quick ? LLVMCodeGenLevelNone : LLVMCodeGenLevelDefault,
                                   LLVMRelocPIC, LLVMCodeModelDefault);
}

bool target_open(struct arena *a, const char *name, bool quick, struct target *t)
{
    bool native = !strcmp(name, "native");
    if (!known(name))
        return false;
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
    LLVMInitializeNativeAsmParser();
    t->triple = take(a, LLVMGetDefaultTargetTriple());
    t->cpu = native ? take(a, LLVMGetHostCPUName()) : name;
    t->features = native ? take(a, LLVMGetHostCPUFeatures()) : "";
    /* 512-bit vectors need the features of x86-64-v4; others run with 8 floats, in two halves where
     * AVX is missing. */
    bool wide = native ? has(t->features, "avx512f") && has(t->features, "avx512dq") &&
                             has(t->features, "avx512vl") && has(t->features, "avx512bw")
                       : !strcmp(name, "x86-64-v4");
    t->vector = wide ? 16 : 8;
    t->fma = native ? has(t->features, "fma") : !!strcmp(name, "x86-64-v2");
    t->needs = needed(name, t->features);
    t->quick = quick;
    t->machine = target_machine(t);
    return t->machine != NULL;
}

void target_close(struct target *t)
{
    LLVMDisposeTargetMachine(t->machine);
}
