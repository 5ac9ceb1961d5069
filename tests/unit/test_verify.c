/* The verifiers of graph and plan notice what is wrong: into forms that are right, one fault is
 * planted at a time. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/graph/graph.h"
#include "compiler/ops/facts.h"
#include "compiler/ops/op.h"
#include "compiler/plan/plan.h"
#include "lang/base/arena.h"
#include "tests/unit/fixture.h"
#include "tests/unit/networks.h"

/* -- finding what to spoil -- */

static struct node *node_of(struct graph *g, const struct op *op)
{
    for (size_t i = 0; i < g->nnodes; i++)
        if (g->nodes[i]->op == op)
            return g->nodes[i];
    fail_msg("no %s to spoil", op->name);
    return NULL;
}

static struct value *new_value(struct graph *g, int64_t rows, int64_t cols)
{
    struct value *v = graph_value(g, rows, cols, NULL);
    v->from = g->nodes[0];
    return v;
}

/* -- faults of a graph -- */

static void swapped_inputs(struct graph *g)
{
    struct node *n = node_of(g, &op_layernorm_dx);
    struct value *v = n->in[1];
    n->in[1] = n->in[2];
    n->in[2] = v;
}

static void input_from_later(struct graph *g)
{
    struct node *n = node_of(g, &op_gelu);
    n->in[0] = g->logits;
}

static void missing_input(struct graph *g)
{
    node_of(g, &op_add)->nin = 1;
}

static void missing_output(struct graph *g)
{
    node_of(g, &op_layernorm)->nout = 1;
}

static void other_operation(struct graph *g)
{
    node_of(g, &op_gelu)->op = &op_softmax_dx;
}

static void no_rows(struct graph *g)
{
    node_of(g, &op_linear)->out[0]->rows = 0;
}

static void wide_output(struct graph *g)
{
    node_of(g, &op_linear)->out[0]->cols++;
}

static void wide_sum(struct graph *g)
{
    struct node *n = node_of(g, &op_add);
    n->in[1] = new_value(g, n->in[1]->rows, n->in[1]->cols + 1);
}

static void short_bias(struct graph *g)
{
    node_of(g, &op_linear)->bias->shape[0]--;
}

static void turned_weight(struct graph *g)
{
    struct param *w = node_of(g, &op_linear)->weight;
    int64_t rows = w->shape[0];
    w->shape[0] = w->shape[1] + 1;
    w->shape[1] = rows;
}

static void no_weight(struct graph *g)
{
    node_of(g, &op_layernorm)->weight = NULL;
}

static void other_window(struct graph *g)
{
    struct node *n = node_of(g, &op_conv);
    struct conv c = *NODE_FACTS(n, conv);
    c.window.stride++;
    node_set_facts(g, n, &c, sizeof c);
}

static void other_groups(struct graph *g)
{
    struct node *n = node_of(g, &op_conv);
    struct conv c = *NODE_FACTS(n, conv);
    c.groups = 7;
    node_set_facts(g, n, &c, sizeof c);
}

static void other_heads(struct graph *g)
{
    node_set_facts(g, node_of(g, &op_attention), &(struct attention){5}, sizeof(struct attention));
}

static void other_experts(struct graph *g)
{
    struct node *n = node_of(g, &op_dispatch);
    n->out[0]->experts = NULL;
}

static void other_decisions(struct graph *g)
{
    struct node *n = node_of(g, &op_combine);
    n->in[n->nin - 1] = n->in[0];
}

static void few_gates(struct graph *g)
{
    node_of(g, &op_route)->out[1]->cols++;
}

static void wrong_gradient(struct graph *g)
{
    struct node *n = node_of(g, &op_linear_dw);
    n->in[0] = n->in[1];
}

static const struct {
    const char *name, *network;
    void (*plant)(struct graph *g);
} graph_faults[] = {
    {"swapped inputs", "mlp", swapped_inputs},
    {"an input made later", "mlp", input_from_later},
    {"a missing input", "mlp", missing_input},
    {"a missing output", "mlp", missing_output},
    {"another operation", "mlp", other_operation},
    {"no rows", "mlp", no_rows},
    {"an output too wide", "mlp", wide_output},
    {"a sum of two widths", "mlp", wide_sum},
    {"a bias too short", "mlp", short_bias},
    {"a weight turned round", "mlp", turned_weight},
    {"no weight", "mlp", no_weight},
    {"another window", "mlp", other_window},
    {"groups that do not divide", "mlp", other_groups},
    {"heads that do not divide", "attention", other_heads},
    {"rows of no experts", "rich_experts", other_experts},
    {"no decisions", "rich_experts", other_decisions},
    {"gates that nobody chose", "rich_experts", few_gates},
    {"a gradient of another value", "mlp", wrong_gradient},
};
enum { GRAPH_FAULTS = sizeof graph_faults / sizeof *graph_faults };

/* Complaints are read, not shown. */
static FILE *complaints;

static bool complained(void)
{
    long size = ftell(complaints);
    rewind(complaints);
    return size > 0;
}

static void test_graph_faults(void **state)
{
    (void)state;
    for (int i = 0; i < GRAPH_FAULTS; i++) {
        struct graph *g =
            network_train(arena, network_named(graph_faults[i].network), RECOMPUTE_NONE);
        assert_non_null(g);
        assert_true(graph_verify(g, complaints));
        assert_false(complained());
        graph_faults[i].plant(g);
        if (graph_verify(g, complaints) || !complained())
            fail_msg("%s: not noticed", graph_faults[i].name);
    }
}

/* -- faults of a plan -- */

typedef bool picks(const struct launch *l, const struct call *c);

static struct call *call_where(struct plan *p, picks *wanted, struct launch **l)
{
    for (size_t i = 0; i < p->train_step.n; i++) {
        *l = p->train_step.launches[i];
        for (size_t j = 0; j < (*l)->ncalls; j++)
            if (wanted(*l, &(*l)->calls[j]))
                return &(*l)->calls[j];
    }
    fail_msg("no call to spoil");
    return NULL;
}

static bool is_gemm(const struct launch *l, const struct call *c)
{
    (void)l;
    return c->kernel == KERNEL_gemm && c->operand.gemm.c.buffer;
}

static bool has_steps(const struct launch *l, const struct call *c)
{
    (void)l;
    return c->nsteps > 0;
}

static bool has_argument(const struct launch *l, const struct call *c)
{
    (void)l;
    for (int i = 0; i < c->nsteps; i++)
        if (then_takes(c->step[i].then) && c->step[i].argument.buffer)
            return true;
    return false;
}

static bool is_norm_gradient(const struct launch *l, const struct call *c)
{
    (void)l;
    return c->kernel == KERNEL_layernorm_dx;
}

static bool is_dispatch(const struct launch *l, const struct call *c)
{
    (void)l;
    return c->kernel == KERNEL_dispatch;
}

static bool in_scratch(const struct launch *l, const struct call *c)
{
    (void)l;
    return c->operand.at[0].buffer && c->operand.at[0].buffer->space == SPACE_SCRATCH;
}

/* The last buffer of the arena that a later launch reads, and one that lives meanwhile. */
static struct buffer *arena_buffer(struct plan *p, size_t rank)
{
    assert_true(p->ntrain_buffers > rank);
    return p->train_buffers[rank];
}

static struct buffer *kept_for_later(struct plan *p)
{
    for (size_t i = 0; i < p->ntrain_buffers; i++)
        if (p->train_buffers[i]->last > p->train_buffers[i]->first + 4 &&
            p->train_buffers[i]->value && !p->train_buffers[i]->value->raw)
            return p->train_buffers[i];
    fail_msg("nothing is kept for the backward pass");
    return NULL;
}

static void crooked_place(struct plan *p)
{
    arena_buffer(p, 0)->offset += 4;
}

static void place_outside(struct plan *p)
{
    arena_buffer(p, 0)->offset = (p->arena_train_bytes + 63) / 64 * 64;
}

static void small_arena(struct plan *p)
{
    p->arena_train_bytes -= 64;
}

/* Something else is written where a value waits for the backward pass. */
static void shared_place(struct plan *p)
{
    struct buffer *b = kept_for_later(p);
    for (size_t i = 0; i < p->ntrain_buffers; i++) {
        struct buffer *other = p->train_buffers[i];
        if (other != b && other->first > b->first && other->last < b->last && other->value) {
            other->offset = b->offset;
            return;
        }
    }
    fail_msg("nothing to put there");
}

static void two_names(struct plan *p)
{
    struct launch *l = NULL;
    struct call *c = call_where(p, is_norm_gradient, &l);
    c->operand.layernorm_dx.dx.buffer->space = SPACE_ARENA;
    c->operand.layernorm_dx.pw.buffer->offset = c->operand.layernorm_dx.pb.buffer->offset;
}

static void lost_launch(struct plan *p)
{
    struct function *f = &p->train_step;
    memmove(f->launches, f->launches + 1, (f->n - 1) * sizeof *f->launches);
    f->n--;
}

static void late_launch(struct plan *p)
{
    struct function *f = &p->train_step;
    struct launch *first = f->launches[0];
    memmove(f->launches, f->launches + 1, (f->n - 1) * sizeof *f->launches);
    f->launches[f->n - 1] = first;
}

static void lost_call(struct plan *p)
{
    struct launch *l = NULL;
    struct call *c = call_where(p, in_scratch, &l);
    size_t at = (size_t)(c - l->calls);
    memmove(c, c + 1, (l->ncalls - at - 1) * sizeof *c);
    l->ncalls--;
}

static void other_operand(struct plan *p)
{
    struct launch *l = NULL;
    struct call *c = call_where(p, is_gemm, &l);
    c->operand.gemm.a = c->operand.gemm.c;
}

static void extra_operand(struct plan *p)
{
    struct launch *l = NULL;
    struct call *c = call_where(p, is_gemm, &l);
    c->operand.at[5] = c->operand.gemm.a;
}

static void extra_size(struct plan *p)
{
    struct launch *l = NULL;
    call_where(p, is_norm_gradient, &l)->size.at[3] = 8;
}

static void decisions_as_numbers(struct plan *p)
{
    struct launch *l = NULL;
    struct call *c = call_where(p, is_dispatch, &l);
    c->operand.dispatch.x = c->operand.dispatch.decisions;
}

static void numbers_as_decisions(struct plan *p)
{
    struct launch *l = NULL;
    struct call *c = call_where(p, is_dispatch, &l);
    c->operand.dispatch.decisions = c->operand.dispatch.x;
}

static void decisions_overwritten(struct plan *p)
{
    struct buffer *raw = NULL, *late = NULL;
    for (size_t i = 0; i < p->ntrain_buffers; i++) {
        struct buffer *b = p->train_buffers[i];
        if (b->value && b->value->raw)
            raw = b;
        else if (b->value && (!late || b->first > late->first))
            late = b;
    }
    assert_true(raw && late);
    late->offset = raw->offset;
}

static void unwritten_argument(struct plan *p)
{
    struct launch *l = NULL;
    struct call *c = call_where(p, has_argument, &l);
    struct buffer *fresh = arena_alloc(arena, sizeof *fresh);
    *fresh = *c->operand.gemm.c.buffer;
    fresh->id += 1000;
    fresh->space = SPACE_ARENA;
    fresh->offset = 0;
    for (int i = 0; i < c->nsteps; i++)
        if (then_takes(c->step[i].then) && c->step[i].argument.buffer)
            c->step[i].argument.buffer = fresh;
}

static void steps_without_product(struct plan *p)
{
    struct launch *l = NULL;
    struct call *from = call_where(p, has_steps, &l), *to = call_where(p, is_norm_gradient, &l);
    to->nsteps = 1;
    to->step[0] = from->step[0];
}

static void same_number(struct plan *p)
{
    arena_buffer(p, 0)->id = arena_buffer(p, 1)->id;
}

static void small_scratch(struct plan *p)
{
    struct launch *l = NULL;
    call_where(p, in_scratch, &l);
    l->scratch_bytes = 0;
}

static void large_scratch(struct plan *p)
{
    struct launch *l = NULL;
    call_where(p, in_scratch, &l);
    l->scratch_bytes = p->scratch_bytes + 64;
}

static const struct {
    const char *name, *network;
    void (*plant)(struct plan *p);
} plan_faults[] = {
    {"a crooked place", "mlp", crooked_place},
    {"a place outside", "mlp", place_outside},
    {"an arena too small", "mlp", small_arena},
    {"two lives in one place", "mlp", shared_place},
    {"one place under two names", "mlp", two_names},
    {"a launch that is lost", "mlp", lost_launch},
    {"a launch that is late", "mlp", late_launch},
    {"a call that is lost", "mlp", lost_call},
    {"another operand", "mlp", other_operand},
    {"an operand too many", "mlp", extra_operand},
    {"a size too many", "mlp", extra_size},
    {"decisions taken for numbers", "rich_experts", decisions_as_numbers},
    {"numbers taken for decisions", "rich_experts", numbers_as_decisions},
    {"decisions written over", "rich_experts", decisions_overwritten},
    {"an argument that nothing wrote", "mlp", unwritten_argument},
    {"steps that follow no product", "mlp", steps_without_product},
    {"two buffers of one number", "mlp", same_number},
    {"scratch too small", "mlp", small_scratch},
    {"scratch that no thread has", "mlp", large_scratch},
};
enum { PLAN_FAULTS = sizeof plan_faults / sizeof *plan_faults };

static void test_plan_faults(void **state)
{
    struct plan_options o = {.vector = 8, .fuse = true};
    (void)state;
    for (int i = 0; i < PLAN_FAULTS; i++) {
        const struct network *net = network_named(plan_faults[i].network);
        struct plan *p = plan_make(arena, network_eval(arena, net),
                                   network_train(arena, net, RECOMPUTE_NONE), &o);
        assert_true(plan_verify(p, stderr));
        assert_false(complained());
        plan_faults[i].plant(p);
        if (plan_verify(p, complaints) || !complained())
            fail_msg("%s: not noticed", plan_faults[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_graph_faults, new_arena, free_arena),
        cmocka_unit_test_setup_teardown(test_plan_faults, new_arena, free_arena),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    complaints = tmpfile();
    if (!complaints || GRAPH_FAULTS + PLAN_FAULTS < 30)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
