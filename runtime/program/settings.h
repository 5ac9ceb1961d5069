/* The values of the run-time keys, checked and under names: what the commands work with. */
#ifndef RUNTIME_PROGRAM_SETTINGS_H
#define RUNTIME_PROGRAM_SETTINGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"
#include "runtime/data/loader.h"
#include "runtime/data/mix.h"

struct vrt_options;
struct vrt_program;

struct vrt_settings {
    const char *data_root, *data_train, *data_val, *schedule;
    double limit, epochs, batch, seed; /* whole numbers */
    double holdout;
    double bad;     /* share of the pictures that may be unreadable in an epoch */
    double overfit; /* pictures to learn by heart; `limit` is the same then, and nothing
                       regularises; 0: off */
    double random_resized_crop, min_scale, max_scale, min_ratio, max_ratio, padded_crop, reflect,
        flip, alternating;
    double randaugment, magnitude, magnitude_std, increasing, three_augment, color_jitter,
        random_erase;
    double mixup, cutmix, mix_probability, mix_switch, repeat;
    double lr, weight_decay, beta1, beta2, eps, momentum;
    double warmup, final;            /* final: the learning rate at the end of a cosine */
    double every, factor;            /* of the steps that the learning rate falls by */
    int32_t warmup_unit, every_unit; /* VRT_UNIT_EPOCHS or VRT_UNIT_STEPS */
    double label_smoothing, drop_path, clip, ema;
    double patience, keep_best; /* whole numbers */
};

/* Every key in its range, or an error that names the key and its flag. A key that the program lacks
 * is 0. */
bool vrt_settings_read(struct vrt_settings *s, const struct vrt_options *o, struct vrt_error *e);

/* Pixels to input: for evaluation with the program's alone, for training with the augmentations
 * too. */
struct vrt_transform vrt_settings_transform(const struct vrt_settings *s,
                                            const struct vrt_program *p, bool train);

/* How the batches of a training are mixed. */
struct vrt_mix_options vrt_settings_mix(const struct vrt_settings *s);

/* All run-time keys as {"path": value}, where the value of a number with a unit of its own is "5
 * steps". */
json_t *vrt_settings_json(const struct vrt_options *o);

/* Take over the values of an earlier run for keys that the command line does not give. */
bool vrt_settings_adopt(const struct vrt_options *o, const json_t *keys, struct vrt_error *e);

#endif
