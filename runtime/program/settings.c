/* From keys to settings: see settings.h. One table says where a key goes; which values it may have
 * says the program's own, as the compiler made it. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/base/quota.h"
#include "runtime/io/adapt.h"
#include "runtime/program/command.h"
#include "runtime/program/model.h"
#include "runtime/program/options.h"
#include "runtime/program/position.h"
#include "runtime/program/settings.h"

static const struct number_row {
    const char *path;
    size_t offset;
} numbers[] = {
#define ROW(path, field) {path, offsetof(struct vrt_settings, field)}
    ROW("data.limit", limit),
    ROW("data.holdout", holdout),
    ROW("data.bad", bad),
    ROW("augment.random_resized_crop", random_resized_crop),
    ROW("augment.min_scale", min_scale),
    ROW("augment.max_scale", max_scale),
    ROW("augment.min_ratio", min_ratio),
    ROW("augment.max_ratio", max_ratio),
    ROW("augment.padded_crop", padded_crop),
    ROW("augment.reflect", reflect),
    ROW("augment.flip", flip),
    ROW("augment.alternating", alternating),
    ROW("augment.randaugment", randaugment),
    ROW("augment.magnitude", magnitude),
    ROW("augment.magnitude_std", magnitude_std),
    ROW("augment.increasing", increasing),
    ROW("augment.three_augment", three_augment),
    ROW("augment.color_jitter", color_jitter),
    ROW("augment.random_erase", random_erase),
    ROW("augment.mixup", mixup),
    ROW("augment.cutmix", cutmix),
    ROW("augment.mix_probability", mix_probability),
    ROW("augment.mix_switch", mix_switch),
    ROW("augment.repeat", repeat),
    ROW("train.epochs", epochs),
    ROW("train.batch", batch),
    ROW("train.seed", seed),
    ROW("train.optim.lr", lr),
    ROW("train.optim.weight_decay", weight_decay),
    ROW("train.optim.beta1", beta1),
    ROW("train.optim.beta2", beta2),
    ROW("train.optim.eps", eps),
    ROW("train.optim.momentum", momentum),
    ROW("train.schedule.warmup", warmup),
    ROW("train.schedule.final", final),
    ROW("train.schedule.every", every),
    ROW("train.schedule.factor", factor),
    ROW("train.label_smoothing", label_smoothing),
    ROW("train.drop_path", drop_path),
    ROW("train.clip", clip),
    ROW("train.ema", ema),
    ROW("train.patience", patience),
    ROW("train.keep_best", keep_best),
    ROW("train.overfit", overfit),
#undef ROW
};

static const struct {
    const char *path;
    size_t offset;
} texts[] = {
    {"data.root", offsetof(struct vrt_settings, data_root)},
    {"data.train", offsetof(struct vrt_settings, data_train)},
    {"data.val", offsetof(struct vrt_settings, data_val)},
    {"train.schedule.kind", offsetof(struct vrt_settings, schedule)},
};

static bool out_of_range(const struct vrt_key *key, double value, struct vrt_error *e)
{
    return vrt_fail(e, VRT_USAGE, "%s%s%s%s must be %s%s %.15g%s %.15g, not %.15g", key->path,
                    key->flag ? " (--" : "", key->flag ? key->flag : "", key->flag ? ")" : "",
                    key->type == VRT_KEY_INT ? "a whole number, " : "",
                    key->open & VRT_ABOVE ? "above" : "at least", key->min,
                    key->open & VRT_BELOW ? " and below" : " and at most", key->max, value);
}

/* A boolean is a number without a range. */
static bool in_range(const struct vrt_key *key, double value)
{
    if (key->type == VRT_KEY_BOOL)
        return value == 0 || value == 1;
    return isfinite(value) && (key->type != VRT_KEY_INT || value == floor(value)) &&
           (key->open & VRT_ABOVE ? value > key->min : value >= key->min) &&
           (key->open & VRT_BELOW ? value < key->max : value <= key->max);
}

static bool read_row(struct vrt_settings *s, const struct vrt_options *o,
                     const struct number_row *r, struct vrt_error *e)
{
    int64_t key = vrt_options_key(o->program, r->path);
    double value = key >= 0 ? o->keys[key].number : 0;
    *(double *)((char *)s + r->offset) = value;
    return key < 0 || in_range(&o->program->keys[key], value) ||
           out_of_range(&o->program->keys[key], value, e);
}

static bool check_together(const struct vrt_settings *s, const struct vrt_program *p,
                           struct vrt_error *e)
{
    double side = (double)(p->width < p->height ? p->width : p->height);
    if (s->min_scale > s->max_scale)
        return vrt_fail(e, VRT_USAGE, "augment.min_scale (%g) is above augment.max_scale (%g)",
                        s->min_scale, s->max_scale);
    if (s->min_ratio > s->max_ratio)
        return vrt_fail(e, VRT_USAGE, "augment.min_ratio (%g) is above augment.max_ratio (%g)",
                        s->min_ratio, s->max_ratio);
    if (s->padded_crop > side || (s->reflect != 0 && s->padded_crop >= side))
        return vrt_fail(e, VRT_USAGE,
                        "augment.padded_crop must be %s the input's size of %.15g pixels%s, not "
                        "%.15g",
                        s->reflect != 0 ? "less than" : "at most", side,
                        s->reflect != 0 ? " to reflect" : "", s->padded_crop);
    if (strcmp(s->schedule, "cosine") != 0 && strcmp(s->schedule, "step") != 0 &&
        strcmp(s->schedule, "constant") != 0)
        return vrt_fail(e, VRT_USAGE,
                        "train.schedule.kind must be cosine, step or constant, not `%.60s`",
                        s->schedule);
    return true;
}

static int32_t unit_of(const struct vrt_options *o, const char *path)
{
    int64_t key = vrt_options_key(o->program, path);
    return key >= 0 ? o->keys[key].unit : VRT_UNIT_STEPS;
}

bool vrt_settings_read(struct vrt_settings *s, const struct vrt_options *o, struct vrt_error *e)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!read_row(s, o, &numbers[i], e))
            return false;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int64_t key = vrt_options_key(o->program, texts[i].path);
        const char *text = key >= 0 ? o->keys[key].text : NULL;
        *(const char **)((char *)s + texts[i].offset) = text != NULL ? text : "";
    }
    s->warmup_unit = unit_of(o, "train.schedule.warmup");
    s->every_unit = unit_of(o, "train.schedule.every");
    if (s->overfit > 0) {
        s->limit = s->overfit;
        s->drop_path = s->label_smoothing = s->mixup = s->cutmix = 0;
        s->repeat = 1;
    }
    return check_together(s, o->program, e);
}

struct vrt_transform vrt_settings_transform(const struct vrt_settings *s,
                                            const struct vrt_program *p, bool train)
{
    struct vrt_transform t = {
        .channels = (int)p->channels,
        .height = (int)p->height,
        .width = (int)p->width,
        .resample = (int)p->resample,
        .crop_pct = p->crop_pct,
        .squash = p->squash != 0,
    };
    memcpy(t.mean, p->mean, sizeof t.mean);
    memcpy(t.std, p->std, sizeof t.std);
    if (!train)
        return t;
    t.random_resized_crop = s->random_resized_crop != 0;
    t.min_scale = s->min_scale;
    t.max_scale = s->max_scale;
    t.min_ratio = s->min_ratio;
    t.max_ratio = s->max_ratio;
    t.padded_crop = (int)s->padded_crop;
    t.reflect = s->reflect != 0;
    t.flip = s->flip;
    t.alternating = s->alternating != 0;
    t.erase = s->random_erase;
    t.policy = (struct vrt_policy){
        .layers = (int)s->randaugment,
        .magnitude = s->magnitude,
        .magnitude_std = s->magnitude_std,
        .increasing = s->increasing != 0,
        .probability = 0.5,
        .three_augment = s->three_augment != 0,
        .jitter = s->color_jitter,
        .filter = (enum vrt_filter)p->resample,
    };
    for (int c = 0; c < 3; c++)
        t.policy.fill[c] = (uint8_t)fmin(fmax(nearbyint(255.0 * t.mean[c]), 0.0), 255.0);
    return t;
}

struct vrt_mix_options vrt_settings_mix(const struct vrt_settings *s)
{
    return (struct vrt_mix_options){s->mixup, s->cutmix, s->mix_probability, s->mix_switch};
}

static json_t *value_json(const struct vrt_key *key, const struct vrt_value *v)
{
    char text[64];
    if (key->type == VRT_KEY_TEXT)
        return vrt_json_text(v->text != NULL ? v->text : "");
    if (key->type == VRT_KEY_BOOL)
        return json_boolean(v->number != 0);
    if (key->unit == VRT_UNIT_EPOCHS || key->unit == VRT_UNIT_STEPS) {
        snprintf(text, sizeof text, "%.17g %s", v->number,
                 v->unit == VRT_UNIT_STEPS ? "steps" : "epochs");
        return json_string(text);
    }
    return key->type == VRT_KEY_INT ? json_integer((json_int_t)v->number) : json_real(v->number);
}

json_t *vrt_settings_json(const struct vrt_options *o)
{
    json_t *keys = json_object();
    for (int64_t i = 0; i < o->program->nkeys; i++)
        if (o->program->keys[i].runtime)
            json_object_set_new(keys, o->program->keys[i].path,
                                value_json(&o->program->keys[i], &o->keys[i]));
    return keys;
}

/* The texts point into `keys`, which must live as long as the options. */
bool vrt_settings_adopt(const struct vrt_options *o, const json_t *keys, struct vrt_error *e)
{
    for (int64_t i = 0; i < o->program->nkeys; i++) {
        const struct vrt_key *key = &o->program->keys[i];
        const json_t *v = json_object_get(keys, key->path);
        if (!key->runtime || o->keys[i].given || v == NULL)
            continue;
        if (json_is_string(v) &&
            !vrt_options_value(key, key->path, json_string_value(v), &o->keys[i], e))
            return false;
        if (!json_is_string(v))
            o->keys[i].number = json_is_boolean(v) ? json_is_true(v) : json_number_value(v);
        o->keys[i].given = false;
    }
    return true;
}

/* Quotas and masks change while programs run, but what was laid out for so many threads stays. */
int vrt_threads_wanted(const struct vrt_options *o)
{
    static struct vrt_quota q;
    if (o->threads > 0)
        return (int)o->threads;
    if (q.threads == 0)
        vrt_quota_read(&q, "");
    return q.threads;
}

bool vrt_need_weights(const struct vrt_options *o, struct vrt_error *e)
{
    return o->weights != NULL ||
           vrt_fail(e, VRT_USAGE,
                    "%s needs --weights FILE, such as runs/NAME/best.safetensors from a "
                    "training",
                    o->command->name);
}

bool vrt_load_weights(struct vrt_model *m, const struct vrt_options *o,
                      const struct vrt_settings *s, char **classes, struct vrt_error *e)
{
    const struct vrt_adapt how = {
        .upcycle = o->upcycle,
        .noise = o->upcycle_noise,
        .keep = o->keep_experts,
        .seed = (uint64_t)s->seed,
    };
    return vrt_model_load(m, o->weights, &how, classes, e);
}

bool vrt_need_data(const struct vrt_settings *s, const struct vrt_options *o, struct vrt_error *e)
{
    return s->data_root[0] != '\0' ||
           vrt_fail(e, VRT_USAGE, "%s needs data: --data FOLDER, or the key data.root in %s",
                    o->command->name, o->program->spec_file);
}
