/* The modules of a program, its own and one for each kernel: declarations, functions, the table
 * that it hands to the runtime; verified, optionally through the sanitizer's pass, and turned into
 * text, assembly or an object file. */
#include "config.h"

#include "compiler/emit/module.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <llvm-c/Analysis.h>
#include <llvm-c/Linker.h>
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include "compiler/emit/emit.h"
#include "compiler/graph/graph.h"
#include "lang/base/arena.h"
#include "lang/base/diag.h"
#include "lang/spec.h"
#include "runtime/vrt.h"

/* -- set-up -- */

static void make_types(struct emit *e)
{
    LLVMContextRef c = e->context;
    e->f32 = LLVMFloatTypeInContext(c);
    e->f64 = LLVMDoubleTypeInContext(c);
    e->i1 = LLVMInt1TypeInContext(c);
    e->i32 = LLVMInt32TypeInContext(c);
    e->i64 = LLVMInt64TypeInContext(c);
    e->ptr = LLVMPointerTypeInContext(c, 0);
    e->none = LLVMVoidTypeInContext(c);
    e->vf = LLVMVectorType(e->f32, (unsigned)e->W);
    e->vi = LLVMVectorType(e->i32, (unsigned)e->W);
    e->vl = LLVMVectorType(e->i64, (unsigned)e->W);
    e->task_type = LLVMFunctionType(e->none, (LLVMTypeRef[]){e->ptr, e->i64, e->ptr}, 3, false);
    e->step_type = LLVMFunctionType(e->none, &e->ptr, 1, false);
}

/* One row of abi.def: "(ptr ctx, i64 count)". */
static void declare(struct emit *e, LLVMModuleRef m, const char *name, const char *parameters)
{
    LLVMTypeRef types[16];
    unsigned n = 0;
    for (const char *p = parameters; *p; p++) {
        if (*p != '(' && *p != ' ')
            continue;
        const char *word = p + 1;
        LLVMTypeRef t = !strncmp(word, "ptr ", 4)   ? e->ptr
                        : !strncmp(word, "i64 ", 4) ? e->i64
                        : !strncmp(word, "i32 ", 4) ? e->i32
                        : !strncmp(word, "f32 ", 4) ? e->f32
                                                    : NULL;
        if (t)
            types[n++] = t;
    }
    LLVMAddFunction(m, name, LLVMFunctionType(e->none, types, n, false));
}

LLVMModuleRef module_new(struct emit *e, const char *name)
{
    LLVMModuleRef m = LLVMModuleCreateWithNameInContext(name, e->context);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(e->machine);
    char *triple = arena_made(LLVMGetTargetMachineTriple(e->machine));
    LLVMSetTarget(m, triple);
    LLVMSetModuleDataLayout(m, layout);
    LLVMDisposeMessage(triple);
    LLVMDisposeTargetData(layout);
#define ABI(result, name, parameters) declare(e, m, #name, #parameters);
#include "runtime/abi.def"
#undef ABI
    return m;
}

static void text_attribute(struct emit *e, V f, const char *key, const char *value)
{
    LLVMAddAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateStringAttribute(e->context, key, (unsigned)strlen(key), value,
                                                      (unsigned)strlen(value)));
}

static void flag_attribute(struct emit *e, V f, const char *name)
{
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(e->context, kind, 0));
}

void set_attributes(struct emit *e, V f)
{
    /* Explicit vectors must not be cut in two because a CPU prefers short ones. */
    const char *width = e->W == 16 ? "512" : "256";
    text_attribute(e, f, "prefer-vector-width", width);
    text_attribute(e, f, "min-legal-vector-width", width);
    text_attribute(e, f, "frame-pointer", "non-leaf");
    flag_attribute(e, f, "nounwind");
    if (e->sanitize)
        flag_attribute(e, f, "sanitize_address");
}

/* -- constants of the program table -- */

static V text_constant(struct emit *e, const char *text)
{
    if (!text)
        return LLVMConstNull(e->ptr);
    size_t n = strlen(text);
    V g =
        LLVMAddGlobal(e->module, LLVMArrayType2(LLVMInt8TypeInContext(e->context), n + 1), "text");
    LLVMSetInitializer(g, LLVMConstStringInContext2(e->context, text, n, false));
    LLVMSetGlobalConstant(g, true);
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    return g;
}

static V real(struct emit *e, double v)
{
    return LLVMConstReal(e->f64, v);
}

struct row {
    V field[56];
    unsigned n;
};

static void put(struct row *r, V v)
{
    r->field[r->n++] = v;
}

static V structure(struct emit *e, struct row *r)
{
    return LLVMConstStructInContext(e->context, r->field, r->n, false);
}

static V table(struct emit *e, V *rows, size_t n, const char *name)
{
    if (!n)
        return LLVMConstNull(e->ptr);
    LLVMTypeRef t = LLVMTypeOf(rows[0]);
    V g = LLVMAddGlobal(e->module, LLVMArrayType2(t, n), name);
    LLVMSetInitializer(g, LLVMConstArray2(t, rows, n));
    LLVMSetGlobalConstant(g, true);
    LLVMSetLinkage(g, LLVMInternalLinkage);
    LLVMSetAlignment(g, 8);
    return g;
}

static V params_table(struct emit *e)
{
    const struct graph *g = e->plan->train;
    V *rows = arena_array(e->arena, g->nparams + 1, sizeof *rows);
    for (size_t i = 0; i < g->nparams; i++) {
        const struct param *p = g->params[i];
        struct row r = {.n = 0};
        V shape[4];
        for (int j = 0; j < 4; j++)
            shape[j] = ki(e, j < p->rank ? p->shape[j] : 0);
        put(&r, text_constant(e, p->name));
        put(&r, ki32(e, p->rank));
        put(&r, ki32(e, (int64_t)p->init));
        put(&r, LLVMConstArray2(e->i64, shape, 4));
        put(&r, ki(e, e->plan->params[p->id].offset));
        put(&r, ki(e, p->count));
        put(&r, real(e, p->init_value));
        put(&r, real(e, p->decays ? p->weight_decay : 0));
        put(&r, real(e, p->lr_factor));
        put(&r, ki(e, p->drawn));
        rows[i] = structure(e, &r);
    }
    return table(e, rows, g->nparams, "params");
}

static V roles_table(struct emit *e, int64_t *count)
{
    static const int kinds[] = {
        [PARAM_POSITIONS] = VRT_ROLE_POSITIONS, [PARAM_HEAD] = VRT_ROLE_HEAD};
    const struct graph *g = e->plan->train;
    V *rows = arena_array(e->arena, g->nparams + 1, sizeof *rows);
    size_t n = 0;
    for (size_t i = 0; i < g->nparams; i++) {
        const struct param *p = g->params[i];
        if (p->role == PARAM_PLAIN)
            continue;
        struct row r = {.n = 0};
        put(&r, ki(e, (int64_t)i));
        put(&r, ki32(e, kinds[p->role]));
        put(&r, ki32(e, p->grid_height));
        put(&r, ki32(e, p->grid_width));
        put(&r, ki32(e, 0));
        rows[n++] = structure(e, &r);
    }
    *count = (int64_t)n;
    return table(e, rows, n, "roles");
}

static V moes_table(struct emit *e)
{
    const struct graph *g = e->plan->train;
    V *rows = arena_array(e->arena, g->nmoes + 1, sizeof *rows);
    for (size_t i = 0; i < g->nmoes; i++) {
        struct row r = {.n = 0};
        put(&r, text_constant(e, g->moes[i]->name));
        put(&r, text_constant(e, g->moes[i]->prefix));
        put(&r, ki32(e, g->moes[i]->experts));
        put(&r, ki32(e, g->moes[i]->choice == CHOICE_TOKEN ? g->moes[i]->top_k : 0));
        put(&r, ki(e, g->moes[i]->balance_offset));
        put(&r, ki(e, g->moes[i]->choices_offset));
        rows[i] = structure(e, &r);
    }
    return table(e, rows, g->nmoes, "moes");
}

static int key_type(const struct spec_key *k)
{
    bool number = k->value.type == SPEC_INT || k->value.type == SPEC_FLOAT;
    return k->value.type == SPEC_BOOL ? VRT_KEY_BOOL
           : !number                  ? VRT_KEY_TEXT
           : k->range.whole           ? VRT_KEY_INT
                                      : VRT_KEY_FLOAT;
}

static V keys_table(struct emit *e)
{
    const struct spec *s = e->plan->train->spec;
    V *rows = arena_array(e->arena, s->nkeys + 1, sizeof *rows);
    for (size_t i = 0; i < s->nkeys; i++) {
        const struct spec_key *k = &s->keys[i];
        int open = (k->range.above ? VRT_ABOVE : 0) | (k->range.below ? VRT_BELOW : 0);
        struct row r = {.n = 0};
        put(&r, text_constant(e, k->path));
        put(&r, text_constant(e, k->flag));
        put(&r, text_constant(e, k->help));
        put(&r, ki32(e, key_type(k)));
        put(&r, ki32(e, (int64_t)k->value.unit));
        put(&r, ki32(e, k->runtime));
        put(&r, ki32(e, open));
        put(&r, real(e, k->value.f));
        put(&r, text_constant(e, k->value.text));
        put(&r, real(e, k->range.min));
        put(&r, real(e, k->range.max));
        rows[i] = structure(e, &r);
    }
    return table(e, rows, s->nkeys, "keys");
}

static V reals(struct emit *e, const double *v, int n)
{
    V all[8];
    for (int i = 0; i < n; i++)
        all[i] = real(e, v[i]);
    return LLVMConstArray2(e->f64, all, (uint64_t)n);
}

static void put_sizes(struct emit *e, struct row *r)
{
    const struct plan *p = e->plan;
    const int64_t sizes[] = {p->params_bytes,      p->packed_eval_bytes, p->packed_train_bytes,
                             p->balance_bytes,     p->choices,           p->arena_eval_bytes,
                             p->arena_train_bytes, p->scratch_bytes,     plan_moments(p)};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        put(r, ki(e, sizes[i]));
}

static void put_functions(struct emit *e, struct row *r)
{
    static const char *const names[] = {"vmoe_pack_eval", "vmoe_pack_train",    "vmoe_eval",
                                        "vmoe_train",     "vmoe_train_forward", "vmoe_norm",
                                        "vmoe_update"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        put(r, LLVMGetNamedFunction(e->module, names[i]));
}

/* struct vrt_program of runtime/vrt.h, field by field. */
static void program_table(struct emit *e, const struct target *t, const struct program_info *info)
{
    const struct graph *g = e->plan->train;
    const struct spec_model *m = &g->spec->model;
    int64_t nroles;
    struct row r = {.n = 0};
    put(&r, ki(e, VRT_ABI_VERSION));
    put(&r, ki(e, (int64_t)t->needs));
    put(&r, ki(e, !t->fma));
    const char *const texts[] = {m->name,         info->compiler,  g->spec->file,  g->spec->hash,
                                 info->spec_text, info->info_text, info->info_json};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        put(&r, text_constant(e, texts[i]));
    const int64_t sizes[] = {m->channels, m->height, m->width, m->classes,
                             g->features->rows * g->features->cols};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        put(&r, ki(e, sizes[i]));
    put(&r, reals(e, m->mean, 3));
    put(&r, reals(e, m->std, 3));
    put(&r, real(e, m->crop_pct));
    put(&r, ki(e, m->resample == RESAMPLE_BICUBIC));
    put(&r, ki(e, m->fit == FIT_SQUASH));
    put(&r, ki(e, g->micro));
    put(&r, ki(e, g->group));
    put(&r, params_table(e));
    put(&r, ki(e, (int64_t)g->nparams));
    put(&r, roles_table(e, &nroles));
    put(&r, ki(e, nroles));
    put(&r, moes_table(e));
    put(&r, ki(e, (int64_t)g->nmoes));
    put(&r, keys_table(e));
    put(&r, ki(e, (int64_t)g->spec->nkeys));
    put_sizes(e, &r);
    put_functions(e, &r);
    V all = structure(e, &r),
      global = LLVMAddGlobal(e->module, LLVMTypeOf(all), "vrt_program_table");
    LLVMSetInitializer(global, all);
    LLVMSetGlobalConstant(global, true);
    LLVMSetAlignment(global, 8);
}

static void all_functions(struct emit *e)
{
    const struct plan *p = e->plan;
    emit_function(e, &p->pack_eval, "vmoe_pack_eval", p->pack_eval.n);
    emit_function(e, &p->pack_train, "vmoe_pack_train", p->pack_train.n);
    emit_function(e, &p->eval_step, "vmoe_eval", p->eval_step.n);
    emit_function(e, &p->train_step, "vmoe_train", p->train_step.n);
    emit_function(e, &p->train_step, "vmoe_train_forward", p->train_forward);
    emit_function(e, &p->norm, "vmoe_norm", p->norm.n);
    emit_function(e, &p->update, "vmoe_update", p->update.n);
}

/* -- the public face -- */

static void sanitize(struct emit *e, LLVMModuleRef module)
{
    /* Checks as calls: inline ones would make kernels ten times as long. */
    static const char *const options[] = {"vmoec", "-asan-instrumentation-with-call-threshold=0"};
    static bool parsed;
    if (!parsed)
        LLVMParseCommandLineOptions(2, options, NULL);
    parsed = true;
    LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
    LLVMErrorRef err = LLVMRunPasses(module, "asan", e->machine, o);
    LLVMDisposePassBuilderOptions(o);
    if (err)
        LLVMDisposeErrorMessage(LLVMGetErrorMessage(err));
}

/* Verified, and checked at run time if so wished. */
static bool finish(struct emit *e, LLVMModuleRef module, FILE *complaints)
{
    char *message = NULL;
    bool wrong = LLVMVerifyModule(module, LLVMReturnStatusAction, &message);
    if (wrong)
        fprintf(complaints, "the generated module is not well-formed:\n%s\n", message);
    LLVMDisposeMessage(message);
    if (!wrong && e->sanitize)
        sanitize(e, module);
    return !wrong;
}

struct module *module_make(struct arena *a, const struct plan *p, const struct target *t,
                           const struct program_info *info, bool sanitized, FILE *complaints)
{
    struct module *m = arena_alloc(a, sizeof *m);
    struct emit *e = &m->e;
    m->target = *t;
    e->arena = a;
    e->plan = p;
    e->W = p->vector;
    e->sanitize = sanitized;
    e->fma = t->fma;
    e->machine = t->machine;
    e->context = LLVMContextCreate();
    e->b = LLVMCreateBuilderInContext(e->context);
    make_types(e);
    e->module = module_new(e, "vmoe");
    all_functions(e);
    program_table(e, t, info);
    bool ok = finish(e, e->module, complaints);
    for (size_t i = 0; ok && i < e->nkernels; i++)
        ok = finish(e, e->kernels[i].module, complaints);
    if (ok)
        return m;
    module_free(m);
    return NULL;
}

void module_free(struct module *m)
{
    LLVMDisposeBuilder(m->e.b);
    LLVMDisposeModule(m->e.module);
    for (size_t i = 0; i < m->e.nkernels; i++)
        LLVMDisposeModule(m->e.kernels[i].module);
    LLVMContextDispose(m->e.context);
}

/* One module of all; the kernels' are gone then. */
static void join(struct emit *e)
{
    for (size_t i = 0; i < e->nkernels; i++)
        LLVMLinkModules2(e->module, e->kernels[i].module);
    e->nkernels = 0;
}

void module_print(struct module *m, FILE *out)
{
    join(&m->e);
    char *text = arena_made(LLVMPrintModuleToString(m->e.module));
    fputs(text, out);
    LLVMDisposeMessage(text);
}

bool module_write(struct module *m, bool assembly, FILE *out, struct diag *d)
{
    LLVMCodeGenFileType type = assembly ? LLVMAssemblyFile : LLVMObjectFile;
    LLVMMemoryBufferRef bytes;
    char *message;
    join(&m->e);
    if (LLVMTargetMachineEmitToMemoryBuffer(m->e.machine, m->e.module, type, &message, &bytes)) {
        diag_report(d, DIAG_CODE_FAILED, (struct loc){0}, "no code is made: %s", message);
        LLVMDisposeMessage(message);
        return false;
    }
    fwrite(LLVMGetBufferStart(bytes), 1, LLVMGetBufferSize(bytes), out);
    LLVMDisposeMemoryBuffer(bytes);
    return true;
}
