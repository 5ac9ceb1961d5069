/* Functions of a program: a step is a list of parallel launches, a launch is a task that computes
 * its tile's addresses and calls kernels on it. Nothing here walks a graph at run time. */
#include "config.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "compiler/emit/emit.h"
#include "compiler/graph/graph.h"
#include "compiler/plan/lower.h"
#include "lang/base/arena.h"
#include "runtime/vrt.h"

/* -- fields of the context -- */

V ctx_field(struct emit *e, V ctx, size_t offset)
{
    return bytesk(e, ctx, (int64_t)offset);
}

V ctx_int(struct emit *e, V ctx, size_t offset)
{
    return load(e, e->i64, ctx_field(e, ctx, offset));
}

V ctx_float(struct emit *e, V ctx, size_t offset)
{
    return LLVMBuildFPTrunc(e->b, load(e, e->f64, ctx_field(e, ctx, offset)), e->f32, "");
}

V ctx_region(struct emit *e, V ctx, int region)
{
    return load(e, e->ptr,
                ctx_field(e, ctx, offsetof(struct vrt_ctx, region) + 8 * (size_t)region));
}

/* -- kernels: one function for each list of sizes, in a module of its own -- */

static bool same_kernel(const struct call *a, const struct call *b)
{
    if (a->kernel != b->kernel || a->nsteps != b->nsteps || a->real[0] != b->real[0] ||
        a->real[1] != b->real[1])
        return false;
    for (int i = 0; i < kernel_table[a->kernel].nsizes; i++)
        if (a->size.at[i] != b->size.at[i])
            return false;
    for (int i = 0; i < a->nsteps; i++)
        if (a->step[i].then != b->step[i].then || a->step[i].act != b->step[i].act ||
            a->step[i].stored != b->step[i].stored)
            return false;
    return true;
}

static void begin_function(struct emit *e, V f)
{
    e->function = f;
    e->entry = LLVMAppendBasicBlockInContext(e->context, f, "entry");
    LLVMPositionBuilderAtEnd(e->b, LLVMAppendBasicBlockInContext(e->context, f, "start"));
}

static void end_function(struct emit *e)
{
    LLVMBuildRetVoid(e->b);
    LLVMPositionBuilderAtEnd(e->b, e->entry);
    LLVMBuildBr(e->b, LLVMGetNextBasicBlock(e->entry));
}

static V new_function(struct emit *e, LLVMTypeRef type, const char *name, bool exported)
{
    V f = LLVMAddFunction(e->module, name, type);
    LLVMSetLinkage(f, exported ? LLVMExternalLinkage : LLVMInternalLinkage);
    set_attributes(e, f);
    return f;
}

static LLVMTypeRef kernel_type(struct emit *e, const struct call *c)
{
    struct use use[CALL_ALL];
    struct call copy = *c;
    int operands = call_uses(&copy, use);
    LLVMTypeRef t[CALL_ALL + 3];
    for (int i = 0; i < operands; i++)
        t[i] = e->ptr;
    t[operands] = t[operands + 1] = e->i64;
    t[operands + 2] = e->ptr;
    return LLVMFunctionType(e->none, t, (unsigned)operands + 3, false);
}

static kernel_rule *const rules[] = {
#define KERNEL(name, operands, sizes, doc) emit_##name,
#include "compiler/plan/kernels.def"
#undef KERNEL
};

/* The identity of a kernel, as a name: what it does, its sizes, its steps, its real numbers by
 * their bits. */
static const char *kernel_symbol(struct emit *e, const struct call *c)
{
    const char *s = arena_printf(e->arena, "k_%s", kernel_table[c->kernel].name);
    for (int i = 0; i < kernel_table[c->kernel].nsizes; i++)
        s = arena_printf(e->arena, "%s_%lld", s, (long long)c->size.at[i]);
    for (int i = 0; i < c->nsteps; i++)
        s = arena_printf(e->arena, "%s_s%d.%d%s", s, (int)c->step[i].then, (int)c->step[i].act,
                         c->step[i].stored ? "+" : "");
    for (int i = 0; i < 2; i++) {
        uint64_t bits;
        memcpy(&bits, &c->real[i], sizeof bits);
        if (bits)
            s = arena_printf(e->arena, "%s_r%d%llx", s, i, (unsigned long long)bits);
    }
    return s;
}

/* A function that another module of the program defines. */
static V declared(struct emit *e, const struct call *c, const char *symbol)
{
    V f = LLVMGetNamedFunction(e->module, symbol);
    if (!f) {
        f = LLVMAddFunction(e->module, symbol, kernel_type(e, c));
        LLVMSetVisibility(f, LLVMHiddenVisibility);
    }
    return f;
}

/* The parameters of f, in the order of call_uses(). */
static struct kernel_args arguments_of(const struct call *c, V f)
{
    struct kernel_args k = {.call = c};
    unsigned n = 0;
    for (int i = 0; i < kernel_table[c->kernel].noperands; i++)
        k.p.at[i] = LLVMGetParam(f, n++);
    for (int i = 0; i < c->nsteps; i++) {
        k.argument[i] = then_takes(c->step[i].then) ? LLVMGetParam(f, n++) : NULL;
        k.y[i] = c->step[i].stored ? LLVMGetParam(f, n++) : NULL;
    }
    k.m = LLVMGetParam(f, n++);
    k.row = LLVMGetParam(f, n++);
    k.ctx = LLVMGetParam(f, n++);
    assert(n == LLVMCountParams(f));
    return k;
}

V emit_kernel(struct emit *e, const struct call *c)
{
    for (size_t i = 0; i < e->nkernels; i++)
        if (same_kernel(&e->kernels[i].call, c))
            return declared(e, c, e->kernels[i].symbol);
    const char *symbol = kernel_symbol(e, c);
    LLVMModuleRef caller = e->module;
    e->module = module_new(e, symbol);
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b), entry = e->entry;
    V outer = e->function, f = new_function(e, kernel_type(e, c), symbol, true);
    LLVMSetVisibility(f, LLVMHiddenVisibility);
    *ARENA_PUSH(e->arena, e->kernels, e->nkernels, e->cap_kernels) =
        (struct kernel_entry){*c, symbol, e->module};
    begin_function(e, f);
    struct kernel_args k = arguments_of(c, f);
    rules[c->kernel](e, &k);
    end_function(e);
    e->function = outer;
    e->entry = entry;
    if (here)
        LLVMPositionBuilderAtEnd(e->b, here);
    e->module = caller;
    return declared(e, c, symbol);
}

void call_kernel(struct emit *e, const struct call *c, const V *operands, V m, V row, V ctx)
{
    V args[CALL_ALL + 3], f = emit_kernel(e, c);
    unsigned n = LLVMCountParams(f) - 3;
    memcpy(args, operands, n * sizeof *args);
    args[n] = m;
    args[n + 1] = row;
    args[n + 2] = ctx;
    LLVMBuildCall2(e->b, LLVMGlobalGetValueType(f), f, args, n + 3, "");
}

/* -- tasks -- */

struct place {
    V i0, i1, i2, m, row;
}; /* of a tile: see enum domain */

static V clamp(struct emit *e, V v, V limit)
{
    return imin(e, v, limit);
}

static V decision(struct emit *e, const struct launch *l, V ctx, int64_t offset, V index)
{
    V base = bytesk(e, ctx_region(e, ctx, VRT_ARENA), l->decisions->offset + offset);
    V p = LLVMBuildGEP2(e->b, e->i32, base, &index, 1, "");
    return LLVMBuildSExt(e->b, load(e, e->i32, p), e->i64, "");
}

static V images_of(struct emit *e, V ctx)
{
    return ctx_int(e, ctx, offsetof(struct vrt_ctx, images));
}

static V parts_of(struct emit *e, V n, int64_t size)
{
    return idiv(e, iaddk(e, n, size - 1), ki(e, size));
}

/* tile_count() of the plan, at run time. */
static V tiles_in(struct emit *e, V rows, int64_t tile)
{
    V n = parts_of(e, rows, tile), even = imulk(e, parts_of(e, n, TILE_SHARES), TILE_SHARES);
    V pair = choose(e, ilt(e, rows, ki(e, 2 * TILE_LEAST)), n, ki(e, 2));
    return choose(e, ilt(e, n, ki(e, 3)), pair, even);
}

static struct decisions decisions_of(struct emit *e, const struct launch *l)
{
    return plan_decisions(l->experts->moe, e->plan->eval->micro);
}

/* Of the expert that comes `after` the first of this launch. */
static V first_tile(struct emit *e, const struct launch *l, V ctx, int after)
{
    return decision(e, l, ctx, decisions_of(e, l).tile_first, ki(e, l->experts->first + after));
}

static V task_count(struct emit *e, const struct launch *l, V ctx)
{
    switch (l->domain) {
    case DOMAIN_ROWS:   return tiles_in(e, imulk(e, images_of(e, ctx), l->rows), l->tile);
    case DOMAIN_IMAGES: return imulk(e, parts_of(e, images_of(e, ctx), l->tile), l->parts);
    case DOMAIN_PARTS:
    case DOMAIN_TILES:  return ki(e, l->parts);
    case DOMAIN_GROUPS: return parts_of(e, images_of(e, ctx), l->moe->group);
    case DOMAIN_EXPERTS:
        return isub(e, first_tile(e, l, ctx, l->experts->count), first_tile(e, l, ctx, 0));
    default: return ki(e, l->parts * l->experts->count);
    }
}

static struct place place_of(struct emit *e, const struct launch *l, V ctx, V t)
{
    V zero = ki(e, 0), images = images_of(e, ctx);
    struct place p = {zero, zero, zero, zero, zero};
    struct decisions d = {0};
    if (l->experts)
        d = decisions_of(e, l);
    switch (l->domain) {
    case DOMAIN_ROWS: {
        V rows = imulk(e, images, l->rows), n = tiles_in(e, rows, l->tile);
        p.i0 = p.row = idiv(e, imul(e, t, rows), n);
        p.i2 = t;
        p.m = isub(e, idiv(e, imul(e, iaddk(e, t, 1), rows), n), p.i0);
        break;
    }
    case DOMAIN_IMAGES:
        p.i0 = imulk(e, idiv(e, t, ki(e, l->parts)), l->tile);
        p.i2 = p.row = irem(e, t, ki(e, l->parts));
        p.m = l->tile == 1 ? ki(e, 1) : clamp(e, ki(e, l->tile), isub(e, images, p.i0));
        break;
    case DOMAIN_PARTS:
        p.i2 = p.row = t;
        p.m = imulk(e, images, l->rows);
        if (l->tile)
            p.m = parts_of(e, p.m, l->tile);
        break;
    case DOMAIN_TILES:
        p.i2 = p.row = t;
        p.m = tiles_in(e, imulk(e, images, l->rows), l->tile);
        break;
    case DOMAIN_GROUPS:
        p.i0 = p.row = imulk(e, t, l->moe->group);
        p.i2 = t;
        p.m = clamp(e, ki(e, l->moe->group), isub(e, images, p.i0));
        break;
    case DOMAIN_EXPERTS: {
        p.i2 = iadd(e, t, first_tile(e, l, ctx, 0));
        V entry = imulk(e, p.i2, 4);
        p.i1 = iaddk(e, decision(e, l, ctx, d.tile, entry), -l->experts->first);
        p.i0 = p.row = decision(e, l, ctx, d.tile, iaddk(e, entry, 1));
        p.m = decision(e, l, ctx, d.tile, iaddk(e, entry, 2));
        break;
    }
    case DOMAIN_EXPERT_PARTS:
    case DOMAIN_EXPERT_TILES: {
        int64_t table = l->domain == DOMAIN_EXPERT_PARTS ? d.first : d.tile_first;
        p.i1 = idiv(e, t, ki(e, l->parts));
        p.i2 = p.row = irem(e, t, ki(e, l->parts));
        V expert = iaddk(e, p.i1, l->experts->first);
        p.i0 = decision(e, l, ctx, table, expert);
        p.m = isub(e, decision(e, l, ctx, table, iaddk(e, expert, 1)), p.i0);
        break;
    }
    }
    return p;
}

static V constant_table(struct emit *e, size_t index)
{
    char name[32];
    snprintf(name, sizeof name, "table_%zu", index);
    V g = LLVMGetNamedGlobal(e->module, name);
    if (g)
        return g;
    size_t n = e->plan->const_counts[index];
    V *all = arena_array(e->arena, n, sizeof *all);
    for (size_t i = 0; i < n; i++)
        all[i] = kf(e, (double)e->plan->consts[index][i]);
    g = LLVMAddGlobal(e->module, LLVMArrayType2(e->f32, n), name);
    LLVMSetInitializer(g, LLVMConstArray2(e->f32, all, n));
    LLVMSetGlobalConstant(g, true);
    LLVMSetLinkage(g, LLVMInternalLinkage);
    return g;
}

static V address(struct emit *e, const struct operand *o, const struct place *at_, V ctx, V scratch)
{
    enum space space = o->buffer ? o->buffer->space : o->space;
    if (space == SPACE_NONE)
        return LLVMConstNull(e->ptr);
    if (space == SPACE_CONST)
        return constant_table(e, (size_t)o->offset);
    V p = space == SPACE_SCRATCH ? scratch : ctx_region(e, ctx, (int)space);
    p = bytesk(e, p, o->offset + (o->buffer ? o->buffer->offset : 0));
    if (o->s0 && space != SPACE_SCRATCH)
        p = bytes(e, p, imulk(e, at_->i0, o->s0));
    if (o->s1)
        p = bytes(e, p, imulk(e, at_->i1, o->s1));
    if (o->s2)
        p = bytes(e, p, imulk(e, at_->i2, o->s2));
    return p;
}

static V emit_task(struct emit *e, const struct launch *l, const char *name)
{
    V f = new_function(e, e->task_type, name, false), ctx = LLVMGetParam(f, 0),
      scratch = LLVMGetParam(f, 2);
    begin_function(e, f);
    struct place p = place_of(e, l, ctx, LLVMGetParam(f, 1));
    for (size_t i = 0; i < l->ncalls; i++) {
        struct use use[CALL_ALL];
        V operands[CALL_ALL];
        for (int j = 0, n = call_uses(&l->calls[i], use); j < n; j++)
            operands[j] = address(e, use[j].operand, &p, ctx, scratch);
        call_kernel(e, &l->calls[i], operands, p.m, p.row, ctx);
    }
    end_function(e);
    return f;
}

/* -- steps -- */

static void call_sanitizer(struct emit *e, const char *name, V p, int64_t size)
{
    V f = LLVMGetNamedFunction(e->module, name);
    if (!f)
        f = LLVMAddFunction(e->module, name,
                            LLVMFunctionType(e->none, (LLVMTypeRef[]){e->ptr, e->i64}, 2, false));
    LLVMBuildCall2(e->b, LLVMGlobalGetValueType(f), f, (V[]){p, ki(e, size)}, 2, "");
}

/* The arena as this function lays it out: what follows each buffer must not be touched. */
static void poison_arena(struct emit *e, const struct function *f, V ctx)
{
    const struct plan *p = e->plan;
    bool eval = f == &p->eval_step, train = f == &p->train_step;
    if (!e->sanitize || !p->red_zones || !(eval || train || f == &p->norm))
        return;
    V arena = ctx_region(e, ctx, VRT_ARENA);
    call_sanitizer(e, "__asan_unpoison_memory_region", arena,
                   eval ? p->arena_eval_bytes : p->arena_train_bytes);
    struct buffer *const *list = eval ? p->eval_buffers : p->train_buffers;
    for (size_t i = 0; i < (eval ? p->neval_buffers : train ? p->ntrain_buffers : 0); i++)
        call_sanitizer(e, "__asan_poison_memory_region",
                       bytesk(e, arena, list[i]->offset + list[i]->bytes), PLAN_RED_ZONE);
}

void emit_function(struct emit *e, const struct function *f, const char *symbol, size_t nlaunches)
{
    V parallel = LLVMGetNamedFunction(e->module, "vrt_parallel"),
      step = new_function(e, e->step_type, symbol, true);
    V *tasks = arena_array(e->arena, nlaunches + 1, sizeof *tasks);
    for (size_t i = 0; i < nlaunches; i++) {
        const char *name = arena_printf(e->arena, "%s.%zu.%s", f->name, i,
                                        f->launches[i]->name ? f->launches[i]->name : "");
        tasks[i] = LLVMGetNamedFunction(e->module, name);
        if (!tasks[i])
            tasks[i] = emit_task(e, f->launches[i], name);
    }
    begin_function(e, step);
    V ctx = LLVMGetParam(step, 0);
    poison_arena(e, f, ctx);
    for (size_t i = 0; i < nlaunches; i++)
        LLVMBuildCall2(e->b, LLVMGlobalGetValueType(parallel), parallel,
                       (V[]){ctx, tasks[i], task_count(e, f->launches[i], ctx)}, 3, "");
    end_function(e);
}
