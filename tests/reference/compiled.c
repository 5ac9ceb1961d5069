/* The stages of the compiler one after the other, then cc for a shared object, which is opened. */
#include "config.h"

#include "tests/reference/compiled.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "compiler/emit/module.h"
#include "compiler/graph/graph.h"
#include "compiler/ops/facts.h"
#include "compiler/ops/op.h"
#include "compiler/plan/plan.h"
#include "lang/base/arena.h"
#include "lang/base/diag.h"
#include "lang/base/source.h"
#include "runtime/base/blas.h"
#include "runtime/base/thread.h"

#ifdef VMOE_SANITIZE
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif

static const struct spec *resolve(struct arena *a, const char *file, const struct lang_define *sets,
                                  size_t nsets, struct diag *d)
{
    size_t nops;
    const struct lang_op *ops = graph_layers(a, &nops);
    const char *search[] = {arena_printf(a, "%s/stdlib", getenv("top_srcdir"))};
    struct lang_options o = {
        .ops = ops, .nops = nops, .search = search, .nsearch = 1, .sets = sets, .nsets = nsets};
    struct source *src = source_read(a, file);
    struct ast *ast = src ? lang_parse(a, src, d) : NULL;
    const struct spec *spec = ast ? lang_resolve(a, ast, &o, d) : NULL;
    diag_flush(d);
    if (!spec)
        fail_msg("%s does not resolve", file);
    return spec;
}

static struct graph *make_graph(struct arena *a, const struct spec *spec, bool training, double eps,
                                struct diag *d)
{
    struct graph *g = graph_build(a, spec, training, d);
    diag_flush(d);
    assert_non_null(g);
    for (size_t i = 0; i < g->nnodes && eps > 0; i++)
        if (g->nodes[i]->op == &op_layernorm)
            node_set_facts(g, g->nodes[i], &(struct norm){eps}, sizeof(struct norm));
    if (training)
        graph_differentiate(g, RECOMPUTE_CHEAP);
    assert_true(graph_verify(g, stderr));
    return g;
}

static void *open_object(struct arena *a, struct module *m)
{
    char folder[] = "/tmp/vmoe-vectors-XXXXXX";
    assert_non_null(mkdtemp(folder));
    const char *shared = arena_printf(a, "%s/network.so", folder),
               *objects = arena_printf(a, "%s/network.a", folder);
    struct diag *d = diag_new(a, stderr, DIAG_TEXT, 20);
    assert_int_equal(module_objects(m, objects, d), OBJECTS_WRITTEN);
    const char *command = arena_printf(a,
                                       "cc -shared -o %s -Wl,--whole-archive %s "
                                       "-Wl,--no-whole-archive",
                                       shared, objects);
    assert_int_equal(system(command), 0);
    unlink(objects);
    void *library = dlopen(shared, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail_msg("%s", dlerror());
    unlink(shared);
    rmdir(folder);
    return library;
}

static void *region(int64_t bytes, int content)
{
    void *p = NULL;
    size_t size = ((size_t)bytes + 127) / 64 * 64;
    assert_int_equal(posix_memalign(&p, 64, size), 0);
    return memset(p, content, size);
}

static void *cleared(int64_t bytes)
{
    return region(bytes, 0);
}

static void *dirty(int64_t bytes)
{
    return region(bytes, 0x7f); /* large floats: nothing may rely on zeros that it did not write */
}

static void make_regions(struct compiled *c)
{
    const struct vrt_program *p = c->program;
    struct vrt_error e;
    void **r = c->ctx.region;
    for (int i = VRT_PARAMS; i <= VRT_MOMENT2; i++)
        r[i] = i == VRT_PACKED ? dirty(p->packed_train_bytes) : cleared(p->params_bytes);
    r[VRT_ARENA] = dirty(p->arena_train_bytes > p->arena_eval_bytes ? p->arena_train_bytes
                                                                    : p->arena_eval_bytes);
    r[VRT_INPUT] = cleared(4 * p->micro * p->height * p->width * p->channels);
    r[VRT_TARGET] = cleared(4 * p->micro * p->classes);
    r[VRT_OUTPUT] = dirty(4 * p->micro * p->classes);
    r[VRT_FEATURES] = dirty(4 * p->micro * p->features);
    r[VRT_BALANCE] = cleared(p->balance_bytes);
    r[VRT_CHOICES] = dirty(4 * p->micro * p->choices);
    assert_true(!p->blas || vrt_blas_open(2, &e));
    assert_true(vrt_threads_start(&c->ctx, 2, p->scratch_bytes, &e));
}

struct compiled compiled_open(const char *file, const struct lang_define *sets, size_t nsets,
                              double eps)
{
    struct compiled c = {.arena = arena_new()};
    struct diag *d = diag_new(c.arena, stderr, DIAG_TEXT, 20);
    const struct spec *spec = resolve(c.arena, file, sets, nsets, d);
    const struct graph *eval = make_graph(c.arena, spec, false, eps, d),
                       *train = make_graph(c.arena, spec, true, eps, d);
    struct target t;
    assert_true(target_open(c.arena, "native", true, &t));
    struct plan_options o = {.vector = t.vector, .fuse = true, .red_zones = SANITIZED};
    struct plan *plan = plan_make(c.arena, eval, train, &o);
    assert_true(plan_verify(plan, stderr));
    struct program_info nothing = {"test", "", "", "{}"};
    struct module *m = module_make(c.arena, plan, &t, &nothing, SANITIZED, stderr);
    assert_non_null(m);
    c.library = open_object(c.arena, m);
    module_free(m);
    target_close(&t);
    c.program = dlsym(c.library, "vrt_program_table");
    assert_non_null(c.program);
    make_regions(&c);
    return c;
}

void compiled_close(struct compiled *c)
{
    vrt_threads_stop(&c->ctx);
    for (int i = 0; i < VRT_REGIONS; i++)
        free(c->ctx.region[i]);
    dlclose(c->library);
    arena_free(c->arena);
}

float *compiled_region(const struct compiled *c, enum vrt_region region, const struct vrt_param *p)
{
    return (float *)((char *)c->ctx.region[region] + p->offset);
}

void compiled_clear(struct compiled *c, enum vrt_region region)
{
    size_t bytes =
        (size_t)(region == VRT_BALANCE ? c->program->balance_bytes : c->program->params_bytes);
    memset(c->ctx.region[region], 0, bytes);
}

void compiled_average(struct compiled *c)
{
    c->ctx.region[VRT_EMA] = cleared(c->program->params_bytes);
    memcpy(c->ctx.region[VRT_EMA], c->ctx.region[VRT_PARAMS], (size_t)c->program->params_bytes);
}
