/* Routing: which experts each item goes to. */
#include "config.h"

#include "compiler/ops/op.h"

#include <math.h>

#include "compiler/graph/differ.h"
#include "compiler/graph/interpret_node.h"
#include "compiler/plan/launch.h"
#include "compiler/ops/shapes.h"
#include "compiler/ops/balance.h"

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

static void interpret_slots(struct interp *it, const struct node *n)
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

static void interpret(struct interp *it, const struct node *n)
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

static void interpret_dx(struct interp *it, const struct node *n)
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
        balance_softmax_dx(matrix_row(dx, t), r->p, dp, m->experts);
    }
    for (int64_t i = 0; i < group_count(it, m); i++)
        balance_dx(it, m, clean, z, dx, group_of(it, m, i));
}

static void differentiate(struct differ *d, struct node *n, struct value *dgates)
{
    struct node *m = grad_through(d, &op_route_dx, n, dgates, n->in[0], n->out[0]);
    m->weight = NULL;
    node_input(m, n->out[1]);
    node_input(m, n->out[2]);
}

/* The launch of a routing kernel. */
static struct call *moe_call(struct lowering *lo, const struct node *n, enum domain domain,
                             enum kernel k)
{
    struct launch *l = open_launch(lo, domain, n);
    struct call *c = node_call(lo, l, k, n);
    l->moe = c->moe = n->moe;
    return c;
}

static void sort_rows(struct lowering *lo, const struct node *n)
{
    bool training = lo->g->training;
    struct call *c = moe_call(lo, n, DOMAIN_PARTS, KERNEL_route_sort);
    c->size.route_sort = (struct route_sort_sizes){.moe = n->moe->id, .training = training};
    c->operand.route_sort.decisions = operand_decisions(lo, n);
    c->operand.route_sort.balance = operand_region(SPACE_BALANCE, n->moe->balance_offset, 0, 0);
    if (!training)
        c->operand.route_sort.choices =
            operand_region(SPACE_CHOICES, float_bytes(n->moe->choices_offset), 0, 0);
}

static void lower(struct lowering *lo, const struct node *n)
{
    const struct moe *m = n->moe;
    struct call *c = moe_call(lo, n, DOMAIN_GROUPS, KERNEL_route);
    c->size.route = (struct route_sizes){.moe = m->id, .training = lo->g->training};
    c->operand.route.z = operand_image(lo, n->out[0]);
    c->operand.route.logits = operand_image(lo, n->in[0]);
    c->operand.route.gates = operand_image(lo, n->out[1]);
    c->operand.route.bias = operand_param(lo, m->bias, SPACE_PARAMS);
    c->operand.route.decisions = operand_decisions(lo, n);
    c->operand.route.scratch = operand_scratch(lo, n->name, plan_route_scratch(m).bytes);
    sort_rows(lo, n);
}

static void lower_slots(struct lowering *lo, const struct node *n)
{
    struct call *c = moe_call(lo, n, DOMAIN_PARTS, KERNEL_slots);
    c->size.slots.moe = n->moe->id;
    c->operand.slots.decisions = operand_decisions(lo, n);
    sort_rows(lo, n);
}

static void lower_dx(struct lowering *lo, const struct node *n)
{
    struct call *c = moe_call(lo, n, DOMAIN_GROUPS, KERNEL_route_dx);
    c->size.route_dx.moe = n->moe->id;
    c->operand.route_dx.dlogits = operand_image(lo, n->out[0]);
    c->operand.route_dx.dgates = operand_image(lo, n->in[0]);
    c->operand.route_dx.logits = operand_image(lo, n->in[1]);
    c->operand.route_dx.z = operand_image(lo, n->in[2]);
    c->operand.route_dx.gates = operand_image(lo, n->in[3]);
    c->operand.route_dx.decisions = operand_decisions(lo, n);
}

static const char *wrong_choice(const struct moe *m, const struct value *logits,
                                const struct value *z, const struct value *gates)
{
    if (!shape_is(logits, m->tokens, m->experts) || !shape_alike(z, logits))
        return "the logits are not one number for each item and expert";
    return shape_is(gates, m->tokens, m->top_k) ? NULL : "there is not one gate for each choice";
}

static const char *wrong(const struct node *n)
{
    if (!n->moe || !n->out[2]->raw || n->moe->decisions != n->out[2])
        return "the decisions are not those of its layer";
    return wrong_choice(n->moe, n->in[0], n->out[0], n->out[1]);
}

static const char *wrong_slots(const struct node *n)
{
    return n->moe && n->out[0]->raw && n->moe->decisions == n->out[0]
               ? NULL
               : "the decisions are not those of its layer";
}

static const char *wrong_dx(const struct node *n)
{
    if (!n->moe || n->in[4] != n->moe->decisions)
        return "the decisions are not those of its layer";
    if (!shape_alike(n->in[0], n->in[3]) || !shape_alike(n->out[0], n->in[1]))
        return "values and their gradients differ in shape";
    return wrong_choice(n->moe, n->in[1], n->in[2], n->in[3]);
}

const struct op op_route = {
    .name = "route",
    .definition = "x: logits (T,E). out 0: noisy logits z (T,E) = x + noise * n in training, else "
                  "x; n: Box-Muller cosine sqrt(-2 ln(1-u0)) cos(2 pi u1), words 0, 1 of counter "
                  "(image * T + t, e). out 1: gates (T,K) = softmax(z) at the K largest z (of "
                  "softmax(z) + w with a bias w), renormalised if asked; where experts choose, K = "
                  "E and choice j is expert j. out 2: decisions",
    .inputs = 1,
    .outputs = 3,
    .wrong = wrong,
    .interpret = interpret,
    .lower = lower,
    .differentiate = differentiate,
    .again = AGAIN_NEVER,
    .grad_output = 1,
    .balance_loss = balance_losses,
};

const struct op op_slots = {
    .name = "slots",
    .definition = "out 0: decisions: of the M items of a picture, item i goes to expert i / (M / "
                  "E), and none is dropped",
    .inputs = 0,
    .outputs = 1,
    .wrong = wrong_slots,
    .interpret = interpret_slots,
    .lower = lower_slots,
    .again = AGAIN_NEVER,
};

const struct op op_route_dx = {
    .name = "route_dx",
    .definition = "in: d gates (T,K), logits, z, gates, decisions; out: d logits, balance losses "
                  "included (scaled by ctx.balance_scale); see design section 4",
    .inputs = 5,
    .outputs = 1,
    .wrong = wrong_dx,
    .interpret = interpret_dx,
    .lower = lower_dx,
};
