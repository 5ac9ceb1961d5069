/* Learning rates: see schedule.h. */
#include <math.h>
#include <string.h>

#include "runtime/program/schedule.h"
#include "runtime/program/settings.h"
#include "runtime/vrt.h"

struct vrt_schedule vrt_schedule_make(const struct vrt_settings *s, int64_t steps_per_epoch)
{
    double unit = s->warmup_unit == VRT_UNIT_EPOCHS ? (double)steps_per_epoch : 1.0;
    return (struct vrt_schedule){
        .cosine = strcmp(s->schedule, "cosine") == 0, .lr = s->lr, .final = s->final,
        .warmup = llrint(fmin(ceil(s->warmup * unit), 1e15)), .total = llrint(s->epochs) * steps_per_epoch,
    };
}

double vrt_schedule_lr(const struct vrt_schedule *s, int64_t step)
{
    if (step < s->warmup)
        return s->lr * (double)(step + 1) / (double)s->warmup;
    if (!s->cosine)
        return s->lr;
    double share = (double)(step - s->warmup) / (double)(s->total - s->warmup);
    return s->final + (s->lr - s->final) * (1.0 + cos(acos(-1.0) * share)) / 2.0;
}

double vrt_schedule_ema(double decay, int64_t step)
{
    return fmin(decay, (1.0 + (double)step) / (10.0 + (double)step));
}
