/* The command `gradcheck`: every parameter tensor's gradient against central differences.
 *
 * For a tensor w and a random direction u (+-1 in each element, scaled to length 1) the sum of u
 * times the gradient must equal (L(w + r u) - L(w - r u)) / 2r, where L is the scaled loss with the
 * balance losses. The program computes in float, so L carries noise, which calls for a large radius
 * r, while curvature and kinks call for a small one. Two radii whose differences agree with each
 * other, whatever the gradient is, settle what the derivative is; where no two agree, the best of
 * all radii counts. The choice of experts is held as it was at w. The weights are no fresh ones,
 * whose gradients vanish in places: see generic_weights(). */
#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/random.h"
#include "runtime/io/progress.h"
#include "runtime/program/command.h"
#include "runtime/program/message.h"
#include "runtime/program/model.h"
#include "runtime/program/options.h"
#include "runtime/program/settings.h"

enum { IMAGES_MIN = 4, KIND_SIZE = 200, DRAWS = 16 };

static const double radii[] = {0.01, 0.03, 0.003, 0.1, 0.3, 1.0};
enum { NRADII = sizeof radii / sizeof *radii };
static const int pairs[][2] = {
    {0, 1}, {2, 0}, {1, 3}, {3, 4}, {4, 5}}; /* of neighbours, the smaller first */
enum { NPAIRS = sizeof pairs / sizeof *pairs };
static const double tolerance = 1e-2; /* relative */
static const double noise =
    4 * FLT_EPSILON; /* of L, relative: roundings of a sum over a network's depth */
static const double clear_of_noise = 20.0; /* how far a difference must stand out to count */
static const double kink_radius =
    0.03; /* nearer than that, slopes that differ mean a kink and not curvature */

struct slope { /* at one radius */
    double central, ahead, behind;
    double floor;      /* how much of central may be noise */
    bool known, clear; /* clear: it stands out from the noise */
};

struct result {
    double analytic, numeric; /* derivative along the direction */
    double error;             /* relative, of the best radius */
    bool ok;
};

struct kind { /* tensors whose names differ in numbers only */
    char name[KIND_SIZE];
    int64_t tensors, failed;
    double worst;
    struct result example; /* the worst */
};

struct check {
    struct vrt_model m;
    float *kept; /* a copy of one tensor */
    float *direction;
    struct kind *kinds;
    int64_t nkinds;
};

static float *values_of(const struct check *k, const struct vrt_param *p, enum vrt_region region)
{
    return (float *)(void *)((char *)k->m.ctx.region[region] + p->offset);
}

/* A point where no gradient vanishes: matrices keep the size of what goes through them (deviation 1
 * / sqrt(inputs)), all other parameters spread around their beginning. */
static double generic_value(const struct vrt_param *p, struct vrt_random *r)
{
    double inputs = 1.0;
    for (int32_t i = p->rank == 3 ? 2 : 1; i < p->rank; i++)
        inputs *= (double)p->shape[i];
    if (p->rank >= 2)
        return vrt_random_normal(r) / sqrt(inputs);
    return (p->init == VRT_INIT_ZERO    ? 0.0
            : p->init == VRT_INIT_CONST ? 0.5
                                        : 1.0) +
           0.2 * vrt_random_normal(r);
}

static void generic_weights(struct check *k, uint64_t seed)
{
    const struct vrt_program *p = k->m.program;
    for (int64_t i = 0; i < p->nparams; i++) {
        struct vrt_random r;
        float *w = values_of(k, &p->params[i], VRT_PARAMS);
        vrt_random_start(&r, seed, VRT_RANDOM_GRADCHECK, (uint32_t)i, 2);
        for (int64_t j = 0; j < p->params[i].count; j++)
            w[j] = (float)generic_value(&p->params[i], &r);
    }
}

static void generic_pictures(struct check *k, uint64_t seed)
{
    const struct vrt_program *p = k->m.program;
    int64_t n = k->m.ctx.images;
    float *input = vrt_model_floats(&k->m, VRT_INPUT),
          *target = vrt_model_floats(&k->m, VRT_TARGET);
    struct vrt_random r;
    vrt_random_start(&r, seed, VRT_RANDOM_GRADCHECK, 0, 3);
    for (int64_t i = 0; i < n * p->height * p->width * p->channels; i++)
        input[i] = (float)vrt_random_normal(&r);
    for (int64_t i = 0; i < n; i++) {
        double sum = 0.0;
        for (int64_t c = 0; c < p->classes; c++)
            sum += (double)(target[i * p->classes + c] = (float)(vrt_random_uniform(&r) + 0.01));
        for (int64_t c = 0; c < p->classes; c++)
            target[i * p->classes + c] /= (float)sum;
    }
}

static double loss_here(struct check *k)
{
    struct vrt_ctx *c = &k->m.ctx;
    k->m.program->pack_train(c);
    c->loss = c->balance_loss = 0.0;
    k->m.program->train_forward(c);
    return c->loss * c->loss_scale + c->balance_loss * c->balance_scale;
}

/* L at w + step u and at w - step u. */
static void losses_beside(struct check *k, float *w, int64_t n, double step, double loss[2])
{
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < n; i++)
            w[i] = k->kept[i] + (float)(side ? -step : step) * k->direction[i];
        loss[side] = loss_here(k);
    }
    memcpy(w, k->kept, (size_t)n * sizeof *w);
}

/* Signs at random, drawn again (a few times) while the derivative along them is below the usual
 * size, |gradient| / sqrt(n): a small one would drown in noise. Returns the derivative. */
static double draw_direction(struct check *k, const struct vrt_param *p, int64_t index,
                             uint64_t seed)
{
    const float *gradient = values_of(k, p, VRT_GRADS);
    double square = 0.0, sum = 0.0, length = sqrt((double)p->count);
    struct vrt_random r;
    vrt_random_start(&r, seed, VRT_RANDOM_GRADCHECK, (uint32_t)index, 4);
    for (int64_t i = 0; i < p->count; i++)
        square += (double)gradient[i] * (double)gradient[i];
    for (int draw = 0; draw < DRAWS && (draw == 0 || sum * sum < square); draw++) {
        sum = 0.0;
        for (int64_t i = 0; i < p->count; i++) {
            k->direction[i] = vrt_random_u32(&r) & 1 ? 1.0f : -1.0f;
            sum += (double)k->direction[i] * (double)gradient[i];
        }
    }
    return sum / length;
}

/* Keep `numeric` if it is nearer than what was found so far; floor: how much of it may be noise. */
static void compare(struct result *best, double numeric, double floor)
{
    double size = fmax(fabs(best->analytic), fabs(numeric)), error = fabs(numeric - best->analytic);
    if (!(error / fmax(size, floor) < best->error))
        return;
    best->numeric = numeric;
    best->error = error / fmax(size, floor);
    best->ok = error <= tolerance * size + floor;
}

/* Radii are lengths of the whole move; each element moves by r / sqrt(n). */
static struct slope slope_at(struct check *k, const struct vrt_param *p, double r, double loss,
                             double analytic)
{
    double beside[2];
    losses_beside(k, values_of(k, p, VRT_PARAMS), p->count, r / sqrt((double)p->count), beside);
    struct slope s = {
        .central = (beside[0] - beside[1]) / (2.0 * r),
        .ahead = (beside[0] - loss) / r,
        .behind = (loss - beside[1]) / r,
        .floor = noise * (fabs(loss) + 1.0) / (2.0 * r),
        .known = true,
    };
    s.clear = fmax(fabs(s.central), fabs(analytic)) > clear_of_noise * s.floor;
    return s;
}

static bool agree(const struct slope *a, const struct slope *b)
{
    double size = fmax(fabs(a->central), fabs(b->central));
    return a->clear && b->clear &&
           fabs(a->central - b->central) <= 0.5 * tolerance * size + a->floor + b->floor;
}

/* The slopes on the two sides differ, and not by curvature, which would fade with the radius: a
 * kink (of a ReLU, of a maximum) lies at the point itself, and the derivative is that of one
 * side. */
static bool at_kink(const struct slope *near, const struct slope *far)
{
    double gap = fabs(near->ahead - near->behind),
           size = fmax(fabs(near->ahead), fabs(near->behind));
    return gap > tolerance * size + 4.0 * near->floor && gap > 0.6 * fabs(far->ahead - far->behind);
}

/* No two radii agree: a kink near by, or nothing but noise. Then the best match of any side
 * decides. */
static void match_any(struct result *best, const struct slope slopes[NRADII])
{
    for (int i = 0; i < NRADII; i++) {
        const struct slope *s = &slopes[i];
        double size = fmax(fabs(s->ahead), fabs(s->behind));
        if (radii[i] < 1.0 && !s->clear)
            continue;
        compare(best, s->central, s->floor);
        if (radii[i] > kink_radius ||
            fabs(s->ahead - s->behind) <= tolerance * size + 4.0 * s->floor)
            continue;
        compare(best, s->ahead, 2.0 * s->floor);
        compare(best, s->behind, 2.0 * s->floor);
    }
}

static struct result check_tensor(struct check *k, const struct vrt_param *p, int64_t index,
                                  uint64_t seed, double loss)
{
    struct slope slopes[NRADII] = {{.known = false}};
    struct result best = {.analytic = draw_direction(k, p, index, seed), .error = INFINITY};
    memcpy(k->kept, values_of(k, p, VRT_PARAMS), (size_t)p->count * sizeof *k->kept);
    for (int i = 0; i < NPAIRS; i++) {
        struct slope *near = &slopes[pairs[i][0]], *far = &slopes[pairs[i][1]];
        for (int j = 0; j < 2; j++)
            if (!slopes[pairs[i][j]].known)
                slopes[pairs[i][j]] = slope_at(k, p, radii[pairs[i][j]], loss, best.analytic);
        if (!agree(near, far))
            continue;
        compare(&best, near->central, near->floor);
        if (!best.ok && at_kink(near, far)) {
            compare(&best, near->ahead, 2.0 * near->floor);
            compare(&best, near->behind, 2.0 * near->floor);
        }
        return best;
    }
    match_any(&best, slopes);
    return best;
}

/* "stages.2.blocks.8.mlp.fc1.weight" -> "stages.*.blocks.*.mlp.fc1.weight": parts that are numbers
 * alone. */
static void kind_name(char *out, const char *name)
{
    size_t n = 0;
    bool first = true; /* at the beginning of a part */
    while (*name != '\0' && n + 1 < KIND_SIZE) {
        size_t digits = first ? strspn(name, "0123456789") : 0;
        bool number = digits > 0 && (name[digits] == '.' || name[digits] == '\0');
        out[n++] = number ? '*' : *name;
        first = *name == '.';
        name += number ? digits : 1;
    }
    out[n] = '\0';
}

static struct kind *find_kind(struct check *k, const char *name)
{
    char text[KIND_SIZE];
    int64_t i = 0;
    kind_name(text, name);
    while (i < k->nkinds && strcmp(k->kinds[i].name, text) != 0)
        i++;
    if (i == k->nkinds) {
        memcpy(k->kinds[i].name, text, sizeof text);
        k->nkinds++;
    }
    return &k->kinds[i];
}

static void record(struct check *k, const char *name, const struct result *r)
{
    struct kind *kind = find_kind(k, name);
    kind->tensors++;
    kind->failed += !r->ok;
    if (kind->tensors == 1 || r->error > kind->worst || (!r->ok && kind->failed == 1)) {
        kind->worst = r->error;
        kind->example = *r;
    }
}

/* The gradient once, with free routing; from then on the choice of experts is held. */
static double gradient_here(struct check *k)
{
    struct vrt_ctx *c = &k->m.ctx;
    c->hold_routing = 0.0;
    c->loss = c->balance_loss = 0.0;
    k->m.program->pack_train(c);
    k->m.program->train(c);
    c->hold_routing = 1.0;
    return loss_here(k);
}

static void check_all(struct check *k, uint64_t seed)
{
    const struct vrt_program *p = k->m.program;
    struct vrt_progress bar;
    double loss = gradient_here(k), began = vrt_seconds();
    vrt_progress_start(&bar, "gradcheck", 0, p->nparams);
    for (int64_t i = 0; i < p->nparams; i++) {
        if (p->params[i].lr_factor == 0) /* no gradient is computed */
            continue;
        struct result r = check_tensor(k, &p->params[i], i, seed, loss);
        record(k, p->params[i].name, &r);
        double speed = 2.0 * (double)(i * k->m.ctx.images) / (vrt_seconds() - began + 1e-9);
        vrt_progress_show(&bar, i + 1, speed, p->params[i].name);
    }
    vrt_progress_clear(&bar);
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
    k->kept = calloc((size_t)largest, sizeof *k->kept);
    k->direction = calloc((size_t)largest, sizeof *k->direction);
    k->kinds = calloc((size_t)p->nparams + 1, sizeof *k->kinds);
    if (k->kept == NULL || k->direction == NULL || k->kinds == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to check tensors of %lld elements",
                        (long long)largest);
    images = (IMAGES_MIN + k->m.group - 1) / k->m.group * k->m.group;
    struct vrt_ctx *c = &k->m.ctx;
    c->images = images < p->micro ? images : p->micro;
    c->seed = (uint64_t)s->seed;
    c->loss_scale = 1.0 / (double)c->images;
    c->balance_scale = (double)k->m.group / (double)c->images;
    c->drop_path = s->drop_path;
    generic_weights(k, c->seed);
    generic_pictures(k, c->seed);
    return true;
}

static json_t *kind_json(const struct kind *kind)
{
    return json_pack(
        "{s:s, s:I, s:o, s:o, s:o, s:b}", "kind", kind->name, "tensors", (json_int_t)kind->tensors,
        "worst_error", isfinite(kind->worst) ? json_real(kind->worst) : json_null(), "analytic",
        isfinite(kind->example.analytic) ? json_real(kind->example.analytic) : json_null(),
        "numeric", isfinite(kind->example.numeric) ? json_real(kind->example.numeric) : json_null(),
        "ok", kind->failed == 0);
}

static bool report_json(const struct check *k, int64_t failed, struct vrt_error *e)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < k->nkinds; i++)
        json_array_append_new(list, kind_json(&k->kinds[i]));
    return vrt_print_json(json_pack("{s:b, s:I, s:o}", "passed", failed == 0, "failed",
                                    (json_int_t)failed, "kinds", list),
                          JSON_REAL_PRECISION(9), e);
}

static void report_text(const struct check *k, int64_t failed)
{
    vrt_print(stdout, "%-4s %-48s %7s %12s %14s %14s\n", "", "parameter", "tensors", "worst error",
              "gradient", "difference");
    for (int64_t i = 0; i < k->nkinds; i++) {
        const struct kind *kind = &k->kinds[i];
        vrt_print(stdout, "%-4s %-48s %7lld %12.2e %14.6e %14.6e\n", kind->failed ? "FAIL" : "ok",
                  kind->name, (long long)kind->tensors, kind->worst, kind->example.analytic,
                  kind->example.numeric);
    }
    vrt_print(stdout, "%lld kinds of parameters, %lld tensors that fail\n", (long long)k->nkinds,
              (long long)failed);
}

int vrt_command_gradcheck(const struct vrt_options *o, struct vrt_error *e)
{
    struct check k = {.nkinds = 0};
    struct vrt_settings s;
    bool ok = vrt_settings_read(&s, o, e) && set_up(&k, o, &s, e);
    int64_t failed = 0;
    if (ok)
        check_all(&k, (uint64_t)s.seed);
    for (int64_t i = 0; ok && i < k.nkinds; i++)
        failed += k.kinds[i].failed;
    if (ok && o->json)
        ok = report_json(&k, failed, e);
    else if (ok)
        report_text(&k, failed);
    free(k.kept);
    free(k.direction);
    free(k.kinds);
    vrt_model_close(&k.m);
    return !ok ? (int)e->code : failed > 0 ? VRT_BAD_INPUT : VRT_OK;
}
