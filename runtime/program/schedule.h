/* The learning rate of each step, and what else an update of the weights is told. */
#ifndef RUNTIME_PROGRAM_SCHEDULE_H
#define RUNTIME_PROGRAM_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct vrt_ctx;
struct vrt_settings;

struct vrt_schedule {
    bool cosine, falls; /* falls: by `factor` after each `every` */
    double lr, final, factor;
    int64_t warmup, total, every; /* steps */
};

struct vrt_schedule vrt_schedule_make(const struct vrt_settings *s, int64_t steps_per_epoch);

/* Of step 0, 1, ...: rises linearly, lr (step + 1) / warmup, then stays, or falls as half a cosine
 * from lr to final: final + (lr - final) (1 + cos(pi (step - warmup) / (total - warmup))) / 2, or
 * in steps: lr factor^floor(step / every) (PyTorch's StepLR, with the warm-up counted in). */
double vrt_schedule_lr(const struct vrt_schedule *s, int64_t step);

/* min(decay, (1 + step) / (10 + step)): a short run's average is not held back by its random
 * beginning. */
double vrt_schedule_ema(double decay, int64_t step);

/* What an optimiser is told: settings that stay the same; and, when gradients of this norm are
 * there, those of a step but for the learning rate. */
void vrt_schedule_constants(const struct vrt_settings *s, struct vrt_ctx *c);
void vrt_schedule_update(const struct vrt_settings *s, int64_t step, double norm,
                         struct vrt_ctx *c);

#endif
