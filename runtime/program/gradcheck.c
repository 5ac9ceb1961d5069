/* The command `gradcheck`: every parameter tensor's gradient against central differences.
 *
 * For a tensor w of n elements and a direction u of signs, scaled to length 1, the sum of u times
 * the gradient must be the derivative at t = 0 of L(w + t u), where L is the scaled loss with the
 * balance losses; derivative.c judges whether it is. A random direction shows a gradient that is
 * wrong anywhere; that of the gradient's own signs has the largest derivative, which stands out
 * best from noise. Two directions that contradict a gradient (of a single number: the only one) are
 * an objection. A tensor fails by objections at two places, a place being weights and pictures:
 * what L does below its noise at one place alone convicts nobody. Where nothing is said, it is not
 * judged.
 *
 * The program computes in float, so L carries noise. It is measured, not supposed: at points on a
 * line, so near each other that fourth differences of anything smooth vanish, what these show is
 * noise (Hamming 1962; More and Wild 2011). Weights are multiples of 2^-12 and steps powers of 2:
 * w + t u is exact, and no rounding of weights comes in.
 *
 * The choice of experts is held as it was at w. The weights are no fresh ones, whose gradients
 * vanish in places: see generic_weights(). */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/random.h"
#include "runtime/io/progress.h"
#include "runtime/program/command.h"
#include "runtime/program/derivative.h"
#include "runtime/program/findings.h"
#include "runtime/program/model.h"
#include "runtime/program/options.h"
#include "runtime/program/settings.h"

enum { IMAGES_MIN = 4, PLACES = 3, DIRECTIONS = 8, DRAWS = 16, POINTS = 16 };

static const double grain = 0x1p-12;       /* of the weights */
static const double noise_step = 0x1p-20;  /* of each weight, between the points of the noise */
static const double noise_radius = 0x1p-8; /* the same for a move of one tensor, at most */

/* Of random numbers. */
enum purpose { FOR_WEIGHTS, FOR_PICTURES, FOR_DIRECTIONS, FOR_NOISE, PURPOSES };

struct tensor {
    int right, wrong;           /* at so many places, where the tensor has any influence */
    struct vrt_finding finding; /* the weightiest */
};

struct check {
    struct vrt_model m; /* MOMENT1 holds the weights: PARAMS is moved about */
    float *direction;
    double loss, noise;  /* at the weights */
    double tensor_noise; /* as far as it is known, where only the tensor at hand moves */
    struct tensor *tensors;
    struct vrt_findings found;
};

static float *values_of(const struct check *k, const struct vrt_param *p, enum vrt_region region)
{
    return (float *)(void *)((char *)k->m.ctx.region[region] + p->offset);
}

static void start_random(const struct check *k, struct vrt_random *r, int64_t tensor,
                         enum purpose purpose, uint32_t place)
{
    vrt_random_start(r, k->m.ctx.seed, VRT_RANDOM_GRADCHECK, (uint32_t)tensor,
                     place * PURPOSES + purpose);
}

/* A place where no gradient vanishes: matrices keep the size of what goes through them (deviation 1
 * / sqrt(inputs)), all other parameters spread around their beginning. */
static double generic_value(const struct vrt_param *p, struct vrt_random *r)
{
    double inputs = 1.0, middle = 0.0, deviation = 0.2;
    for (int32_t i = p->rank == 3 ? 2 : 1; i < p->rank; i++)
        inputs *= (double)p->shape[i];
    if (p->rank >= 2)
        deviation = 1.0 / sqrt(inputs);
    else if (p->init != VRT_INIT_ZERO)
        middle = p->init == VRT_INIT_CONST ? 0.5 : 1.0;
    return grain * nearbyint((middle + deviation * vrt_random_normal(r)) / grain);
}

static void generic_weights(struct check *k, uint32_t place)
{
    const struct vrt_program *p = k->m.program;
    for (int64_t i = 0; i < p->nparams; i++) {
        struct vrt_random r;
        float *w = values_of(k, &p->params[i], VRT_PARAMS);
        start_random(k, &r, i, FOR_WEIGHTS, place);
        for (int64_t j = 0; j < p->params[i].count; j++)
            w[j] = (float)generic_value(&p->params[i], &r);
    }
    memcpy(k->m.ctx.region[VRT_MOMENT1], k->m.ctx.region[VRT_PARAMS], (size_t)p->params_bytes);
}

/* One class has most of a target: gradients are the larger for it. */
static void generic_target(float *target, int64_t classes, struct vrt_random *r)
{
    double sum = 0.0;
    for (int64_t c = 0; c < classes; c++)
        sum += (double)(target[c] = (float)(pow(vrt_random_uniform(r), 4.0) + 0.01));
    for (int64_t c = 0; c < classes; c++)
        target[c] /= (float)sum;
}

static void generic_pictures(struct check *k, uint32_t place)
{
    const struct vrt_program *p = k->m.program;
    int64_t n = k->m.ctx.images;
    float *input = vrt_model_floats(&k->m, VRT_INPUT),
          *target = vrt_model_floats(&k->m, VRT_TARGET);
    struct vrt_random r;
    start_random(k, &r, 0, FOR_PICTURES, place);
    for (int64_t i = 0; i < n * p->height * p->width * p->channels; i++)
        input[i] = (float)vrt_random_normal(&r);
    for (int64_t i = 0; i < n; i++)
        generic_target(target + i * p->classes, p->classes, &r);
}

static double loss_here(struct check *k)
{
    struct vrt_ctx *c = &k->m.ctx;
    k->m.program->pack_train(c);
    c->loss = c->balance_loss = 0.0;
    k->m.program->train_forward(c);
    return c->loss * c->loss_scale + c->balance_loss * c->balance_scale;
}

static void gradient_here(struct check *k)
{
    struct vrt_ctx *c = &k->m.ctx;
    memset(c->region[VRT_GRADS], 0, (size_t)k->m.program->params_bytes);
    k->m.program->pack_train(c);
    k->m.program->train(c);
}

/* -- noise -- */

static void move_all(struct check *k)
{
    const struct vrt_program *p = k->m.program;
    for (int64_t i = 0; i < p->nparams; i++) {
        struct vrt_random r;
        float *w = values_of(k, &p->params[i], VRT_PARAMS);
        start_random(k, &r, i, FOR_NOISE, 0);
        for (int64_t j = 0; j < p->params[i].count; j++)
            w[j] += (float)(vrt_random_u32(&r) & 1 ? noise_step : -noise_step);
    }
}

/* The standard deviation of noise in numbers that are else smooth: of independent errors of
 * deviation 1, fourth differences have a variance of 1 + 16 + 36 + 16 + 1. */
static double deviation_of_noise(const double at[POINTS])
{
    double sum = 0.0;
    for (int i = 0; i + 4 < POINTS; i++) {
        double fourth = at[i] - 4.0 * at[i + 1] + 6.0 * at[i + 2] - 4.0 * at[i + 3] + at[i + 4];
        sum += fourth * fourth / 70.0;
    }
    return sqrt(sum / (POINTS - 4));
}

static void move_back(struct check *k)
{
    const struct vrt_ctx *c = &k->m.ctx;
    memcpy(c->region[VRT_PARAMS], c->region[VRT_MOMENT1], (size_t)k->m.program->params_bytes);
}

/* The rounding of the task's loss, below which there can be no noise: what seems quiet stands on a
 * step of a staircase. */
static double least_noise(const struct check *k)
{
    return 0.25 * FLT_EPSILON * fabs(k->m.ctx.loss * k->m.ctx.loss_scale);
}

static double noise_of_loss(struct check *k)
{
    double at[POINTS];
    for (int i = 0; i < POINTS; i++) {
        at[i] = loss_here(k);
        move_all(k);
    }
    move_back(k);
    return fmax(deviation_of_noise(at), least_noise(k));
}

/* -- one tensor -- */

static double draw_signs(const float *gradient, int64_t n, struct vrt_random *r, float *direction)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        direction[i] = vrt_random_u32(r) & 1 ? 1.0f : -1.0f;
        sum += (double)direction[i] * (double)gradient[i];
    }
    return sum;
}

/* Signs at random: of a few draws the one along which the gradient is largest, for a small
 * derivative would drown in noise. */
static void draw_direction(const float *gradient, int64_t n, struct vrt_random *r, float *direction)
{
    struct vrt_random best = *r;
    double largest = 0.0;
    for (int draw = 0; draw < DRAWS; draw++) {
        struct vrt_random start = *r;
        double sum = fabs(draw_signs(gradient, n, r, direction));
        if (sum > largest) {
            best = start;
            largest = sum;
        }
    }
    draw_signs(gradient, n, &best, direction);
}

/* The gradient's own signs, at random where it has none, and so for a share of all. */
static void follow_gradient(const float *gradient, int64_t n, struct vrt_random *r, double strayed,
                            float *direction)
{
    for (int64_t i = 0; i < n; i++) {
        float sign = vrt_random_u32(r) & 1 ? 1.0f : -1.0f;
        if (gradient[i] != 0.0f && vrt_random_uniform(r) >= strayed)
            sign = gradient[i] > 0.0f ? 1.0f : -1.0f;
        direction[i] = sign;
    }
}

struct beside {
    struct check *check;
    const struct vrt_param *param;
};

/* L where each element of the tensor has moved by the step along the direction. */
static double loss_beside(void *data, double step)
{
    const struct beside *b = data;
    struct check *k = b->check;
    const float *kept = values_of(k, b->param, VRT_MOMENT1);
    float *w = values_of(k, b->param, VRT_PARAMS);
    for (int64_t i = 0; i < b->param->count; i++)
        w[i] = kept[i] + (float)step * k->direction[i];
    double loss = loss_here(k);
    memcpy(w, kept, (size_t)b->param->count * sizeof *w);
    return loss;
}

/* The derivative along the direction that the gradient claims. */
static double claim(const struct check *k, const struct vrt_param *p)
{
    const float *gradient = values_of(k, p, VRT_GRADS);
    double sum = 0.0;
    for (int64_t i = 0; i < p->count; i++)
        sum += (double)k->direction[i] * (double)gradient[i];
    return sum / sqrt((double)p->count);
}

static double noise_of_claim(void *data)
{
    const struct beside *b = data;
    double at[POINTS];
    for (int i = 0; i < POINTS; i++) {
        gradient_here(b->check);
        at[i] = claim(b->check, b->param);
        move_all(b->check);
    }
    move_back(b->check);
    gradient_here(b->check);
    return deviation_of_noise(at);
}

/* Of L along the direction alone, which is less than all weights make where they are not all
 * involved. The points are nearer than what a derivative is taken from, and far enough apart for
 * all roundings between them. */
static double noise_beside(struct beside *b, double length)
{
    double at[POINTS], step = 1.0;
    while (step * length > noise_radius)
        step *= 0.5;
    for (int i = 0; i < POINTS; i++)
        at[i] = loss_beside(b, step * (i - POINTS / 2));
    return fmax(deviation_of_noise(at), least_noise(b->check));
}

static struct vrt_finding judge_direction(struct check *k, const struct vrt_param *p)
{
    double analytic = claim(k, p);
    struct beside beside = {k, p};
    struct vrt_line line = {.value = loss_beside,
                            .data = &beside,
                            .centre = k->loss,
                            .length = sqrt((double)p->count),
                            .noise = k->tensor_noise,
                            .claim_noise = noise_of_claim};
    struct vrt_judgement j = vrt_derivative_judge(&line, analytic);
    if (j.verdict == VRT_UNCLEAR_NOISE && k->tensor_noise == k->noise) {
        k->tensor_noise = line.noise = fmin(k->noise, noise_beside(&beside, line.length));
        j = vrt_derivative_judge(&line, analytic);
    }
    return (struct vrt_finding){j.verdict, analytic, j.numeric, j.error};
}

/* An objection needs two directions, of a single number the only one. */
static struct vrt_finding check_tensor(struct check *k, int64_t index, uint32_t place)
{
    const struct vrt_param *p = &k->m.program->params[index];
    const float *gradient = values_of(k, p, VRT_GRADS);
    int count[VRT_VERDICTS] = {0}, needed = p->count > 1 ? 2 : 1;
    struct vrt_finding all = {.verdict = VRT_UNCLEAR_NOISE};
    struct vrt_random r;
    start_random(k, &r, index, FOR_DIRECTIONS, place);
    k->tensor_noise = k->noise;
    for (int i = 0; i < (p->count > 1 ? DIRECTIONS : 1) && count[VRT_WRONG] < needed; i++) {
        if (i % 2 == 0)
            follow_gradient(gradient, p->count, &r, i == 0 ? 0.0 : 0.25, k->direction);
        else
            draw_direction(gradient, p->count, &r, k->direction);
        struct vrt_finding one = judge_direction(k, p);
        count[one.verdict]++;
        all = i == 0 ? one : vrt_finding_weightier(all, one);
        if (i > 0 && count[VRT_WRONG] == 0 && count[VRT_RIGHT] > 0)
            break;
    }
    if (count[VRT_WRONG] > 0 && count[VRT_WRONG] < needed)
        all.verdict = VRT_UNCLEAR_SHAPE;
    return all;
}

/* -- all of them -- */

/* The gradient with free routing; from then on the choice of experts is held. */
static void go_to(struct check *k, uint32_t place)
{
    generic_weights(k, place);
    generic_pictures(k, place);
    k->m.ctx.hold_routing = 0.0;
    gradient_here(k);
    k->m.ctx.hold_routing = 1.0;
    k->loss = loss_here(k);
    k->noise = noise_of_loss(k);
}

static bool undecided(const struct check *k, int64_t i)
{
    const struct tensor *t = &k->tensors[i];
    bool learns = k->m.program->params[i].lr_factor != 0; /* else no gradient is computed */
    return learns && (t->right == 0 || t->wrong > 0) && t->wrong < 2;
}

static int64_t count_undecided(const struct check *k)
{
    int64_t n = 0;
    for (int64_t i = 0; i < k->m.program->nparams; i++)
        n += undecided(k, i);
    return n;
}

static void check_place(struct check *k, uint32_t place)
{
    struct vrt_progress bar;
    int64_t done = 0;
    double began = vrt_seconds();
    vrt_progress_start(&bar, "gradcheck", 0, count_undecided(k));
    go_to(k, place);
    for (int64_t i = 0; i < k->m.program->nparams; i++) {
        struct tensor *t = &k->tensors[i];
        if (!undecided(k, i))
            continue;
        struct vrt_finding found = check_tensor(k, i, place);
        t->right += found.verdict == VRT_RIGHT && vrt_finding_moves(found);
        t->wrong += found.verdict == VRT_WRONG;
        t->finding = place == 0 ? found : vrt_finding_weightier(t->finding, found);
        double speed = (double)(++done * k->m.ctx.images) / (vrt_seconds() - began + 1e-9);
        vrt_progress_show(&bar, done, speed, k->m.program->params[i].name);
    }
    vrt_progress_clear(&bar);
}

static void check_all(struct check *k)
{
    const struct vrt_program *p = k->m.program;
    for (uint32_t place = 0; place < PLACES && count_undecided(k) > 0; place++)
        check_place(k, place);
    for (int64_t i = 0; i < p->nparams; i++) {
        struct tensor *t = &k->tensors[i];
        if (p->params[i].lr_factor == 0)
            continue;
        if (t->wrong == 1)
            t->finding.verdict = VRT_UNCLEAR_SHAPE;
        vrt_findings_add(&k->found, p->params[i].name, t->finding);
    }
}

static bool set_up(struct check *k, const struct vrt_options *o, const struct vrt_settings *s,
                   struct vrt_error *e)
{
    const struct vrt_program *p = o->program;
    int64_t largest = 1, images;
    if (!vrt_model_open(&k->m, p, VRT_FOR_TRAIN, vrt_threads_wanted(o), e))
        return false;
    for (int64_t i = 0; i < p->nparams; i++)
        largest = p->params[i].count > largest ? p->params[i].count : largest;
    k->direction = calloc((size_t)largest, sizeof *k->direction);
    k->tensors = calloc((size_t)p->nparams + 1, sizeof *k->tensors);
    k->found.kinds = calloc((size_t)p->nparams + 1, sizeof *k->found.kinds);
    if (k->direction == NULL || k->tensors == NULL || k->found.kinds == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to check tensors of %lld elements",
                        (long long)largest);
    images = (IMAGES_MIN + k->m.group - 1) / k->m.group * k->m.group;
    struct vrt_ctx *c = &k->m.ctx;
    c->images = images < p->micro ? images : p->micro;
    c->seed = (uint64_t)s->seed;
    c->loss_scale = 1.0 / (double)c->images;
    c->balance_scale = (double)k->m.group / (double)c->images;
    c->drop_path = s->drop_path;
    return true;
}

int vrt_command_gradcheck(const struct vrt_options *o, struct vrt_error *e)
{
    struct check k = {.direction = NULL};
    struct vrt_settings s;
    bool ok = vrt_settings_read(&s, o, e) && set_up(&k, o, &s, e);
    int64_t failed = 0;
    if (ok) {
        check_all(&k);
        ok = vrt_findings_print(&k.found, o->json, &failed, e);
    }
    free(k.direction);
    free(k.tensors);
    free(k.found.kinds);
    vrt_model_close(&k.m);
    return !ok ? (int)e->code : failed > 0 ? VRT_BAD_INPUT : VRT_OK;
}
