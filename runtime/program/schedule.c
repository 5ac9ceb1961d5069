/* Learning rates and updates: see schedule.h. */
#include <math.h>
#include <string.h>

#include "runtime/program/schedule.h"
#include "runtime/program/settings.h"
#include "runtime/vrt.h"

static int64_t in_steps(double time, int32_t unit, int64_t steps_per_epoch)
{
    return llrint(
        fmin(ceil(time * (unit == VRT_UNIT_EPOCHS ? (double)steps_per_epoch : 1.0)), 1e15));
}

struct vrt_schedule vrt_schedule_make(const struct vrt_settings *s, int64_t steps_per_epoch)
{
    return (struct vrt_schedule){
        .cosine = strcmp(s->schedule, "cosine") == 0,
        .falls = strcmp(s->schedule, "step") == 0,
        .lr = s->lr,
        .final = s->final,
        .factor = s->factor,
        .warmup = in_steps(s->warmup, s->warmup_unit, steps_per_epoch),
        .every = in_steps(s->every, s->every_unit, steps_per_epoch),
        .total = llrint(s->epochs) * steps_per_epoch,
    };
}

double vrt_schedule_lr(const struct vrt_schedule *s, int64_t step)
{
    if (step < s->warmup)
        return s->lr * (double)(step + 1) / (double)s->warmup;
    if (s->falls)
        return s->lr * pow(s->factor, (double)(step / s->every));
    if (!s->cosine)
        return s->lr;
    double share = (double)(step - s->warmup) / (double)(s->total - s->warmup);
    return s->final + (s->lr - s->final) * (1.0 + cos(acos(-1.0) * share)) / 2.0;
}

double vrt_schedule_ema(double decay, int64_t step)
{
    return fmin(decay, (1.0 + (double)step) / (10.0 + (double)step));
}

void vrt_schedule_constants(const struct vrt_settings *s, struct vrt_ctx *c)
{
    c->weight_decay = s->weight_decay;
    c->beta1 = s->beta1;
    c->beta2 = s->beta2;
    c->eps = s->eps;
    c->momentum = s->momentum;
}

/* 1 - beta^step, of beta as the float that the generated code counts with: 1 - 0.999f is off by
 * 1e-5 of itself, and the first steps would be, too. */
static double bias(double beta, int64_t step)
{
    return 1.0 - pow((double)(float)beta, (double)step);
}

void vrt_schedule_update(const struct vrt_settings *s, int64_t step, double norm, struct vrt_ctx *c)
{
    c->grad_scale = s->clip > 0 && norm > s->clip ? s->clip / norm : 1.0;
    c->bias1 = bias(s->beta1, step + 1);
    c->bias2 = bias(s->beta2, step + 1);
    c->ema_decay = s->ema > 0 ? vrt_schedule_ema(s->ema, step) : 0.0;
}
