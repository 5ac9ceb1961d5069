/* Balance losses and statistics of a routing, in double precision: see balance.h. */
#include "config.h"

#include "compiler/ops/balance.h"

#include <math.h>

#include "compiler/ops/op.h"

struct group group_of(const struct interp *it, const struct moe *m, int64_t index)
{
    int64_t image = index * m->group, left = it->settings.images - image;
    return (struct group){.first = image * m->tokens,
                          .count = (left < m->group ? left : m->group) * m->tokens};
}

int64_t group_count(const struct interp *it, const struct moe *m)
{
    return (it->settings.images + m->group - 1) / m->group;
}

static double entropy_of(const double *p, int n)
{
    double sum = 0;
    for (int e = 0; e < n; e++)
        sum -= p[e] > 0 ? p[e] * log(p[e]) : 0;
    return sum;
}

double interp_entropy(struct interp *it, const struct moe *m)
{
    double sum = 0;
    for (size_t i = 0; i < it->g->nforward; i++) {
        const struct node *n = it->g->nodes[i];
        if (n->op != &op_route || n->moe != m || m->choice != CHOICE_TOKEN)
            continue;
        struct matrix clean = interp_in(it, n, 0);
        for (int64_t t = 0; t < clean.rows; t++) {
            interp_softmax(it->routing[m->id].p, matrix_row(clean, t), m->experts);
            sum += entropy_of(it->routing[m->id].p, m->experts);
        }
    }
    return sum;
}

void interp_counts(struct interp *it, const struct moe *m, double *counts)
{
    const struct interp_routing *r = &it->routing[m->id];
    int64_t each = m->tokens * m->top_k;
    for (int64_t i = 0; i < it->settings.images * m->experts; i++)
        counts[i] = 0;
    for (int64_t i = 0; i < it->settings.images * each && m->choice != CHOICE_SOFT; i++)
        counts[i / each * m->experts + r->choice[i]] +=
            r->slot[i / m->top_k * m->span * m->top_k + i % m->top_k] >= 0;
}

struct balance {
    double mean, variance;
};

static struct balance balance_of(const double *v, int experts)
{
    struct balance b = {0, 0};
    for (int e = 0; e < experts; e++)
        b.mean += v[e] / experts;
    for (int e = 0; e < experts; e++)
        b.variance += (v[e] - b.mean) * (v[e] - b.mean) / experts;
    return b;
}

static double balance_loss(const double *v, int experts)
{
    struct balance b = balance_of(v, experts);
    return b.variance / (b.mean * b.mean);
}

/* Replaces v by the gradient of weight * var / mean^2 to it. */
static void balance_slope(double *v, int experts, double weight)
{
    struct balance b = balance_of(v, experts);
    for (int e = 0; e < experts; e++)
        v[e] = weight * 2 / (experts * b.mean * b.mean) * (v[e] - b.mean - b.variance / b.mean);
}

/* What a weight counts for in the sum over the groups of all layers. */
static double weight_of(const struct interp *it, const struct moe *m, double weight)
{
    return it->g->training ? weight * m->share : 0;
}

/* How far expert e's clean logit lies below the threshold, in deviations of the noise. */
static double below(const struct moe *m, const struct interp_routing *r, struct matrix clean,
                    struct matrix z, int64_t t, int e)
{
    double threshold = matrix_row(z, t)[r->choice[t * m->top_k + m->top_k - 1]];
    return (threshold - matrix_row(clean, t)[e]) / m->noise;
}

/* log sum of exp(x). */
static double log_sum(const double *x, int n)
{
    double largest = x[0], sum = 0;
    for (int e = 1; e < n; e++)
        largest = fmax(largest, x[e]);
    for (int e = 0; e < n; e++)
        sum += exp(x[e] - largest);
    return largest + log(sum);
}

/* r->importance = sum of softmax(clean logits); r->demand = mean of the probability to pass the
 * threshold with new noise; r->load: first choices. */
static void sum_group(const struct moe *m, const struct interp_routing *r, struct matrix clean,
                      struct matrix z, struct group g)
{
    for (int e = 0; e < m->experts; e++)
        r->importance[e] = r->demand[e] = r->load[e] = 0;
    for (int64_t t = g.first; t < g.first + g.count; t++) {
        interp_softmax(r->p, matrix_row(clean, t), m->experts);
        r->load[r->choice[t * m->top_k]]++;
        for (int e = 0; e < m->experts; e++)
            r->importance[e] += r->p[e];
        for (int e = 0; e < m->experts && m->noise > 0; e++)
            r->demand[e] += interp_normal_cdf(-below(m, r, clean, z, t, e)) / (double)g.count;
    }
}

/* E * sum of (share of first choices) * (mean probability): Fedus et al. 2022, eq. 4. */
static double switch_loss(const struct moe *m, const struct interp_routing *r, struct group g)
{
    double sum = 0, count = (double)g.count;
    for (int e = 0; e < m->experts; e++)
        sum += r->load[e] / count * (r->importance[e] / count);
    return m->experts * sum;
}

/* Mean of the squared log-sum-exp: Zoph et al. 2022, eq. 5. */
static double z_loss(const struct moe *m, struct matrix clean, struct group g)
{
    double sum = 0;
    for (int64_t t = g.first; t < g.first + g.count; t++)
        sum += pow(log_sum(matrix_row(clean, t), m->experts), 2);
    return sum / (double)g.count;
}

double balance_losses(struct interp *it, const struct node *route)
{
    const struct moe *m = route->moe;
    const struct interp_routing *r = &it->routing[m->id];
    struct matrix clean = interp_in(it, route, 0), z = interp_out(it, route, 0);
    double sum = 0;
    for (int64_t i = 0; i < group_count(it, m); i++) {
        struct group g = group_of(it, m, i);
        sum_group(m, r, clean, z, g);
        sum += weight_of(it, m, m->importance) * balance_loss(r->importance, m->experts);
        sum += m->load > 0 ? weight_of(it, m, m->load) * balance_loss(r->demand, m->experts) : 0;
        sum += weight_of(it, m, m->switch_loss) * switch_loss(m, r, g);
        sum += weight_of(it, m, m->z_loss) * z_loss(m, clean, g);
    }
    return sum;
}

/* dx += the gradient of softmax(x) * dp. */
void balance_softmax_dx(double *dx, const double *p, const double *dp, int n)
{
    double mean = 0;
    for (int e = 0; e < n; e++)
        mean += p[e] * dp[e];
    for (int e = 0; e < n; e++)
        dx[e] += p[e] * (dp[e] - mean);
}

/* dx += the load loss's part of token t; r->demand holds the slopes. The threshold moves with its
 * expert's clean logit. */
static void load_dx(const struct moe *m, const struct interp_routing *r, struct matrix clean,
                    struct matrix z, struct group g, int64_t t, double *dx)
{
    for (int e = 0; e < m->experts; e++) {
        double slope = r->demand[e] / (double)g.count *
                       interp_normal_pdf(below(m, r, clean, z, t, e)) / m->noise;
        dx[e] += slope;
        dx[r->choice[t * m->top_k + m->top_k - 1]] -= slope;
    }
}

static void z_dx(const struct moe *m, const double *clean, const double *p, double weight,
                 double *dx)
{
    double slope = weight * 2 * log_sum(clean, m->experts);
    for (int e = 0; e < m->experts; e++)
        dx[e] += slope * p[e];
}

void balance_dx(struct interp *it, const struct moe *m, struct matrix clean, struct matrix z,
                struct matrix dx, struct group g)
{
    const struct interp_routing *r = &it->routing[m->id];
    double scale = it->settings.balance_scale, count = (double)g.count;
    sum_group(m, r, clean, z, g);
    balance_slope(r->importance, m->experts, weight_of(it, m, m->importance) * scale);
    for (int e = 0; e < m->experts; e++)
        r->importance[e] +=
            weight_of(it, m, m->switch_loss) * scale * m->experts * r->load[e] / (count * count);
    if (m->load > 0)
        balance_slope(r->demand, m->experts, weight_of(it, m, m->load) * scale);
    for (int64_t t = g.first; t < g.first + g.count; t++) {
        interp_softmax(r->p, matrix_row(clean, t), m->experts);
        balance_softmax_dx(matrix_row(dx, t), r->p, r->importance, m->experts);
        z_dx(m, matrix_row(clean, t), r->p, weight_of(it, m, m->z_loss) * scale / count,
             matrix_row(dx, t));
        if (m->load > 0)
            load_dx(m, r, clean, z, g, t, matrix_row(dx, t));
    }
}
