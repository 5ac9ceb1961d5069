/* The interpreter itself: its memory, its matrices and random numbers, the loss, and the loop over
 * the nodes, each of which its operation's room computes.
 *
 * Uniforms are multiples of 2^-24: the same numbers in single and in double precision, and never
 * 1. */
#include "config.h"

#include "compiler/graph/interpret_node.h"

#include <math.h>
#include <string.h>

#include <Random123/philox.h>

#include "compiler/ops/op.h"
#include "lang/base/arena.h"

static double *new_doubles(struct arena *a, int64_t n)
{
    return arena_array(a, (size_t)n, sizeof(double));
}

static int32_t *new_ints(struct arena *a, int64_t n)
{
    return arena_array(a, (size_t)n, sizeof(int32_t));
}

static struct interp_routing new_routing(struct arena *a, const struct moe *m, int64_t images)
{
    int64_t pairs = images * m->tokens * m->span * m->top_k;
    return (struct interp_routing){
        .choice = new_ints(a, pairs),
        .slot = new_ints(a, pairs),
        .pair = new_ints(a, pairs),
        .first = new_ints(a, m->experts + 1),
        .expert = new_ints(a, pairs),
        .order = new_ints(a, m->group * m->tokens),
        .load = new_ints(a, m->experts),
        .p = new_doubles(a, m->experts),
        .importance = new_doubles(a, m->experts),
        .demand = new_doubles(a, m->experts),
    };
}

struct interp *interp_new(struct arena *a, const struct graph *g, const struct interp_settings *s)
{
    struct interp *it = arena_alloc(a, sizeof *it);
    it->g = g;
    it->settings = *s;
    it->values = arena_array(a, g->nvalues + 1, sizeof *it->values);
    it->params = arena_array(a, g->nparams + 1, sizeof *it->params);
    it->grads = arena_array(a, g->nparams + 1, sizeof *it->grads);
    it->routing = arena_array(a, g->nmoes + 1, sizeof *it->routing);
    for (size_t i = 0; i < g->nvalues; i++)
        if (!g->values[i]->raw)
            it->values[i] = new_doubles(a, s->images * g->values[i]->rows * g->values[i]->cols);
    for (size_t i = 0; i < g->nparams; i++) {
        it->params[i] = new_doubles(a, g->params[i]->count);
        it->grads[i] = new_doubles(a, g->params[i]->count);
    }
    for (size_t i = 0; i < g->nmoes; i++)
        it->routing[i] = new_routing(a, g->moes[i], s->images);
    return it;
}

struct interp_settings *interp_settings(struct interp *it)
{
    return &it->settings;
}

double *interp_param(struct interp *it, const struct param *p)
{
    return it->params[p->id];
}

double *interp_grad(struct interp *it, const struct param *p)
{
    return it->grads[p->id];
}

double *interp_value(struct interp *it, const struct value *v)
{
    return it->values[v->id];
}

int32_t *interp_choice(struct interp *it, const struct moe *m)
{
    return it->routing[m->id].choice;
}

int32_t *interp_slot(struct interp *it, const struct moe *m)
{
    return it->routing[m->id].slot;
}

int32_t *interp_first(struct interp *it, const struct moe *m)
{
    return it->routing[m->id].first;
}

struct matrix interp_matrix(const struct interp *it, const struct value *v)
{
    const struct experts *x = v->experts;
    if (!x)
        return (struct matrix){
            .at = it->values[v->id], .rows = it->settings.images * v->rows, .cols = v->cols};
    const struct interp_routing *routing = &it->routing[x->moe->id];
    int64_t first = routing->first[x->first];
    return (struct matrix){.at = it->values[v->id] + first * v->cols,
                           .rows = routing->first[x->first + x->count] - first,
                           .cols = v->cols,
                           .routing = routing,
                           .moe = x->moe,
                           .first = first,
                           .expert = x->first};
}

struct matrix interp_in(const struct interp *it, const struct node *n, int i)
{
    return interp_matrix(it, n->in[i]);
}

struct matrix interp_out(const struct interp *it, const struct node *n, int i)
{
    return interp_matrix(it, n->out[i]);
}

double *interp_slice(double *const *table, const struct param *p, struct matrix x, int64_t r)
{
    if (!p)
        return NULL;
    return table[p->id] +
           (x.routing ? (x.routing->expert[x.first + r] - x.expert) * (p->count / p->experts) : 0);
}

double interp_normal_cdf(double x)
{
    return 0.5 * erfc(-x * M_SQRT1_2);
}

double interp_normal_pdf(double x)
{
    return exp(-0.5 * x * x) * (0.5 * M_2_SQRTPI * M_SQRT1_2);
}

void interp_softmax(double *p, const double *x, int64_t n)
{
    double largest = x[0], sum = 0;
    for (int64_t i = 1; i < n; i++)
        largest = fmax(largest, x[i]);
    for (int64_t i = 0; i < n; i++)
        sum += p[i] = exp(x[i] - largest);
    for (int64_t i = 0; i < n; i++)
        p[i] /= sum;
}

void interp_zero(struct matrix m)
{
    memset(m.at, 0, (size_t)(m.rows * m.cols) * sizeof *m.at);
}

double interp_dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

void interp_uniform(const struct interp *it, uint32_t c0, uint32_t c1, uint32_t key, double u[4])
{
    const struct interp_settings *s = &it->settings;
    philox4x32_ctr_t counter = {{c0, c1, key, (uint32_t)s->step}};
    philox4x32_key_t seed = {{(uint32_t)s->seed, (uint32_t)(s->seed >> 32)}};
    philox4x32_ctr_t words = philox4x32(counter, seed);
    for (int i = 0; i < 4; i++)
        u[i] = (words.v[i] >> 8) * 0x1p-24;
}

void interp_run(struct interp *it, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        it->g->nodes[i]->op->interpret(it, it->g->nodes[i]);
}

double interp_balance_loss(struct interp *it)
{
    double sum = 0;
    for (size_t i = 0; i < it->g->nnodes; i++)
        if (it->g->nodes[i]->op->balance_loss)
            sum += it->g->nodes[i]->op->balance_loss(it, it->g->nodes[i]);
    return sum;
}

double interp_loss(struct interp *it)
{
    double sum = 0;
    for (size_t i = 0; i < it->g->nnodes; i++)
        if (it->g->nodes[i]->op->loss) {
            struct matrix loss = interp_out(it, it->g->nodes[i], 0);
            for (int64_t r = 0; r < loss.rows; r++)
                sum += loss.at[r];
        }
    return sum * it->settings.loss_scale + interp_balance_loss(it) * it->settings.balance_scale;
}
