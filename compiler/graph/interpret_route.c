/* The interpreter's routing: which experts each token goes to, the balance losses, and the ways to
 * the experts and back.
 *
 * Items (struct moe) are routed in groups of moe->group pictures, the last of a call may be
 * smaller; capacity, priority and losses belong to a group. What follows calls them tokens. What
 * nodes.def leaves open is decided here:
 *   - the noise is keyed by moe->key, and not drawn where its deviation is 0 or outside training;
 *   - under a capacity choices are offered rank by rank (all first choices, then all second ones),
 *     always in one order of the tokens: by index, or with batch_priority by falling softmax(z) of
 *     the first choice, ties to the lower index;
 *   - gates are computed for dropped choices too; only slot says what is dropped;
 *   - where experts choose, each takes the tokens with the largest softmax(z) for it, ties to the
 *     lower index;
 *   - a balance bias is added to softmax(z) for the choice, so its order is that of the sums;
 *   - first choices (the switch loss) are those that were made, dropped or not;
 *   - the load loss takes z of the last choice as the threshold, so an expert's own threshold
 *     cancels out of its slope. */
#include "config.h"

#include "compiler/graph/interpret_node.h"

#include <math.h>

/* The tokens first .. first+count-1 of all images of the call, routed together. */
struct group {
    int64_t first, count;
};

static struct group group_of(const struct interp *it, const struct moe *m, int64_t index)
{
    int64_t image = index * m->group, left = it->settings.images - image;
    return (struct group){.first = image * m->tokens,
                          .count = (left < m->group ? left : m->group) * m->tokens};
}

static int64_t group_count(const struct interp *it, const struct moe *m)
{
    return (it->settings.images + m->group - 1) / m->group;
}

/* -- the choice -- */

static void add_noise(const struct interp *it, const struct moe *m, struct matrix z)
{
    for (int64_t t = 0; t < z.rows; t++)
        for (int64_t e = 0; e < z.cols; e++) {
            double u[4];
            int64_t token = it->settings.first_image * m->tokens + t;
            interp_uniform(it, (uint32_t)token, (uint32_t)e, m->key, u);
            matrix_row(z, t)[e] += m->noise * sqrt(-2 * log(1 - u[0])) * cos(2 * M_PI * u[1]);
        }
}

static bool is_chosen(const int32_t *choice, int n, int32_t e)
{
    for (int j = 0; j < n; j++)
        if (choice[j] == e)
            return true;
    return false;
}

/* The K largest of z, by falling z, ties to the lower index. */
static void choose_largest(int32_t *choice, const double *z, int experts, int k)
{
    for (int j = 0; j < k; j++) {
        int32_t best = -1;
        for (int32_t e = 0; e < experts; e++)
            if (!is_chosen(choice, j, e) && (best < 0 || z[e] > z[best]))
                best = e;
        choice[j] = best;
    }
}

static void choose(const struct interp *it, const struct moe *m, const struct interp_routing *r,
                   const double *z, int32_t *choice)
{
    if (!m->bias) {
        choose_largest(choice, z, m->experts, m->top_k);
        return;
    }
    interp_softmax(r->p, z, m->experts);
    for (int e = 0; e < m->experts; e++)
        r->p[e] += it->params[m->bias->id][e];
    choose_largest(choice, r->p, m->experts, m->top_k);
}

static double first_gate(const struct moe *m, const struct interp_routing *r, const double *z,
                         int64_t token)
{
    interp_softmax(r->p, z, m->experts);
    return r->p[r->choice[token * m->top_k]];
}

/* Fills r->order with the group's tokens in the order they are served: an insertion sort, which
 * keeps ties in place. */
static void order_tokens(const struct moe *m, const struct interp_routing *r, struct matrix z,
                         struct group g)
{
    for (int64_t i = 0; i < g.count; i++) {
        int64_t at = i;
        double gate =
            m->batch_priority ? first_gate(m, r, matrix_row(z, g.first + i), g.first + i) : 0;
        for (; at > 0 && m->batch_priority; at--) {
            if (first_gate(m, r, matrix_row(z, r->order[at - 1]), r->order[at - 1]) >= gate)
                break;
            r->order[at] = r->order[at - 1];
        }
        r->order[at] = (int32_t)(g.first + i);
    }
}

/* Marks the choices of a group: slot 0 for kept, -1 for dropped. */
static void offer_group(const struct interp *it, const struct moe *m,
                        const struct interp_routing *r, struct matrix z, struct group g)
{
    int64_t capacity = moe_capacity(m, it->g->training, g.count);
    for (int e = 0; e < m->experts; e++)
        r->load[e] = 0;
    order_tokens(m, r, z, g);
    for (int j = 0; j < m->top_k; j++)
        for (int64_t i = 0; i < g.count; i++) {
            int64_t pair = (int64_t)r->order[i] * m->span * m->top_k + j;
            int32_t *load = &r->load[r->choice[(int64_t)r->order[i] * m->top_k + j]];
            r->slot[pair] = capacity && *load >= capacity ? -1 : 0;
            *load += r->slot[pair] == 0;
        }
}

/* Whether fewer than `most` tokens of the group want expert e more than token t does. */
static bool among_first(const struct interp_routing *r, struct matrix z, struct group g, int64_t t,
                        int e, int64_t most)
{
    interp_softmax(r->p, matrix_row(z, t), z.cols);
    double mine = r->p[e];
    int64_t before = 0;
    for (int64_t s = g.first; s < g.first + g.count; s++) {
        interp_softmax(r->p, matrix_row(z, s), z.cols);
        before += r->p[e] > mine || (r->p[e] == mine && s < t);
    }
    return before < most;
}

/* Each expert takes its tokens: choice j of a token is expert j. */
static void select_group(const struct interp *it, const struct moe *m,
                         const struct interp_routing *r, struct matrix z, struct group g)
{
    int64_t most = moe_capacity(m, it->g->training, g.count);
    for (int64_t t = g.first; t < g.first + g.count; t++)
        for (int32_t e = 0; e < m->experts; e++) {
            r->choice[t * m->experts + e] = e;
            r->slot[t * m->experts + e] = among_first(r, z, g, t, e, most) ? 0 : -1;
        }
}

/* Numbers the rows of kept choices expert by expert, and in each by item; slot says which items
 * were kept. */
static void place_rows(const struct moe *m, const struct interp_routing *r, int64_t items)
{
    int32_t row = 0;
    for (int32_t e = 0; e < m->experts; e++) {
        r->first[e] = row;
        for (int64_t i = 0; i < items * m->top_k; i++) {
            if (r->choice[i] != e)
                continue;
            int64_t pair = i / m->top_k * m->span * m->top_k + i % m->top_k;
            bool kept = r->slot[pair] >= 0;
            for (int64_t s = 0; s < m->span; s++, pair += m->top_k) {
                r->slot[pair] = kept ? row : -1;
                if (!kept)
                    continue;
                r->pair[row] = (int32_t)pair;
                r->expert[row++] = e;
            }
        }
    }
    r->first[m->experts] = row;
}

static void decide(const struct interp *it, const struct moe *m, const struct interp_routing *r,
                   struct matrix z)
{
    for (int64_t t = 0; t < z.rows && m->choice == CHOICE_TOKEN; t++)
        choose(it, m, r, matrix_row(z, t), r->choice + t * m->top_k);
    for (int64_t i = 0; i < group_count(it, m); i++)
        (m->choice == CHOICE_EXPERT ? select_group : offer_group)(it, m, r, z, group_of(it, m, i));
    place_rows(m, r, z.rows);
}

void interpret_slots(struct interp *it, const struct node *n)
{
    const struct moe *m = n->moe;
    const struct interp_routing *r = &it->routing[m->id];
    int64_t items = it->settings.images * m->tokens;
    for (int64_t i = 0; i < items; i++) {
        r->choice[i] = (int32_t)(i % m->tokens / (m->tokens / m->experts));
        r->slot[i] = 0;
    }
    place_rows(m, r, items);
}

void interpret_route(struct interp *it, const struct node *n)
{
    const struct moe *m = n->moe;
    const struct interp_routing *r = &it->routing[m->id];
    struct matrix x = interp_in(it, n, 0), z = interp_out(it, n, 0), gates = interp_out(it, n, 1);
    for (int64_t i = 0; i < x.rows * x.cols; i++)
        z.at[i] = x.at[i];
    if (it->g->training && m->noise > 0)
        add_noise(it, m, z);
    if (!it->settings.hold_routing)
        decide(it, m, r, z);
    for (int64_t t = 0; t < x.rows; t++) {
        double sum = 0, *gate = matrix_row(gates, t);
        interp_softmax(r->p, matrix_row(z, t), m->experts);
        for (int j = 0; j < m->top_k; j++)
            sum += gate[j] = r->p[r->choice[t * m->top_k + j]];
        for (int j = 0; j < m->top_k && m->renormalise; j++)
            gate[j] /= sum;
    }
}

/* -- statistics -- */

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
        if (n->op != NODE_route || n->moe != m || m->choice != CHOICE_TOKEN)
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

/* -- balance losses: weight * var / mean^2 over the experts, of each group -- */

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

double interp_route_balance(struct interp *it, const struct node *route)
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
static void softmax_dx(double *dx, const double *p, const double *dp, int n)
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

static void balance_dx(struct interp *it, const struct moe *m, struct matrix clean, struct matrix z,
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
        softmax_dx(matrix_row(dx, t), r->p, r->importance, m->experts);
        z_dx(m, matrix_row(clean, t), r->p, weight_of(it, m, m->z_loss) * scale / count,
             matrix_row(dx, t));
        if (m->load > 0)
            load_dx(m, r, clean, z, g, t, matrix_row(dx, t));
    }
}

/* dp from the gradient of one token's gates; renormalised, g_j = p_j / s and dp_j = (dg_j - sum_i
 * dg_i g_i) / s. */
static void gate_dp(const struct moe *m, const int32_t *choice, const double *p, const double *gate,
                    const double *dgate, double *dp)
{
    double sum = 0, mean = 0;
    for (int e = 0; e < m->experts; e++)
        dp[e] = 0;
    for (int j = 0; j < m->top_k; j++) {
        sum += p[choice[j]];
        mean += dgate[j] * gate[j];
    }
    for (int j = 0; j < m->top_k; j++)
        dp[choice[j]] = m->renormalise ? (dgate[j] - mean) / sum : dgate[j];
}

void interpret_route_dx(struct interp *it, const struct node *n)
{
    const struct moe *m = n->moe;
    const struct interp_routing *r = &it->routing[m->id];
    struct matrix dgates = interp_in(it, n, 0), clean = interp_in(it, n, 1),
                  z = interp_in(it, n, 2);
    struct matrix gates = interp_in(it, n, 3), dx = interp_out(it, n, 0);
    for (int64_t t = 0; t < dx.rows; t++) {
        double *dp = r->importance; /* free until balance_dx() */
        interp_softmax(r->p, matrix_row(z, t), m->experts);
        gate_dp(m, r->choice + t * m->top_k, r->p, matrix_row(gates, t), matrix_row(dgates, t), dp);
        for (int e = 0; e < m->experts; e++)
            matrix_row(dx, t)[e] = 0;
        softmax_dx(matrix_row(dx, t), r->p, dp, m->experts);
    }
    for (int64_t i = 0; i < group_count(it, m); i++)
        balance_dx(it, m, clean, z, dx, group_of(it, m, i));
}

/* -- to the experts and back -- */

void interpret_dispatch(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), y = interp_out(it, n, 0);
    for (int64_t r = 0; r < y.rows; r++)
        for (int64_t c = 0; c < y.cols; c++)
            matrix_row(y, r)[c] = matrix_row(x, y.routing->pair[y.first + r] / y.moe->top_k)[c];
}

/* The row of x that holds this (token, choice) pair, -1 if it was dropped or went to other
 * experts. */
static int64_t row_of(struct matrix x, int64_t pair)
{
    int64_t slot = x.routing->slot[pair] - x.first;
    return x.routing->slot[pair] >= 0 && slot >= 0 && slot < x.rows ? slot : -1;
}

/* y[t,:] = sum over the kept choices of gate * x[slot,:]; gates may be missing: 1. */
static void gather(struct matrix x, const double *gates, int top_k, struct matrix y)
{
    for (int64_t t = 0; t < y.rows; t++)
        for (int64_t c = 0; c < y.cols; c++) {
            double sum = 0;
            for (int64_t pair = t * top_k; pair < (t + 1) * top_k; pair++)
                if (row_of(x, pair) >= 0)
                    sum += (gates ? gates[pair] : 1) * matrix_row(x, row_of(x, pair))[c];
            matrix_row(y, t)[c] = sum;
        }
}

void interpret_collect(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0);
    gather(x, NULL, x.moe->top_k, interp_out(it, n, 0));
}

void interpret_combine(struct interp *it, const struct node *n)
{
    struct matrix x = interp_in(it, n, 0), gates = interp_in(it, n, 1);
    gather(x, gates.at, x.moe->top_k, interp_out(it, n, 0));
}

void interpret_combine_dx(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), gates = interp_in(it, n, 1), dx = interp_out(it, n, 0);
    for (int64_t r = 0; r < dx.rows; r++)
        for (int64_t c = 0; c < dx.cols; c++) {
            int32_t pair = dx.routing->pair[dx.first + r];
            matrix_row(dx, r)[c] = gates.at[pair] * matrix_row(dy, pair / dx.moe->top_k)[c];
        }
}

void interpret_combine_dgate(struct interp *it, const struct node *n)
{
    struct matrix dy = interp_in(it, n, 0), x = interp_in(it, n, 1), dgates = interp_out(it, n, 0);
    for (int64_t pair = 0; pair < dgates.rows * dgates.cols; pair++) {
        int64_t slot = row_of(x, pair);
        dgates.at[pair] = 0;
        for (int64_t c = 0; c < dy.cols && slot >= 0; c++)
            dgates.at[pair] += matrix_row(dy, pair / dgates.cols)[c] * matrix_row(x, slot)[c];
    }
}
