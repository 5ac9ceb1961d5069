/* From keys to settings: see settings.h. One table says where a key goes and which values make
 * sense. */
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/thread.h"
#include "runtime/io/adapt.h"
#include "runtime/program/command.h"
#include "runtime/program/model.h"
#include "runtime/program/options.h"
#include "runtime/program/position.h"
#include "runtime/program/settings.h"

/* A whole number; the least, the largest value itself is out; epochs and steps may stand for each
 * other. */
enum { WHOLE = 1, ABOVE = 2, BELOW = 4, TIME = 8 };

static const struct number_row {
    const char *path;
    size_t offset;
    double standard, min, max;
    unsigned rule;
} numbers[] = {
#define ROW(path, field, standard, min, max, rule) \
    {path, offsetof(struct vrt_settings, field), standard, min, max, rule}
    ROW("data.limit", limit, 0, 0, 1e15, WHOLE),
    ROW("data.holdout", holdout, 0, 0, 1, BELOW),
    ROW("data.bad", bad, 0.001, 0, 1, 0),
    ROW("augment.random_resized_crop", random_resized_crop, 0, 0, 1, WHOLE),
    ROW("augment.min_scale", min_scale, 0.08, 0, 1, ABOVE),
    ROW("augment.max_scale", max_scale, 1, 0, 1, ABOVE),
    ROW("augment.min_ratio", min_ratio, 3.0 / 4.0, 0, 100, ABOVE),
    ROW("augment.max_ratio", max_ratio, 4.0 / 3.0, 0, 100, ABOVE),
    ROW("augment.padded_crop", padded_crop, 0, 0, 1024, WHOLE),
    ROW("augment.reflect", reflect, 0, 0, 1, WHOLE),
    ROW("augment.flip", flip, 0, 0, 1, 0),
    ROW("augment.alternating", alternating, 0, 0, 1, WHOLE),
    ROW("augment.randaugment", randaugment, 0, 0, 16, WHOLE),
    ROW("augment.magnitude", magnitude, 9, 0, 10, 0),
    ROW("augment.magnitude_std", magnitude_std, 0.5, 0, 10, 0),
    ROW("augment.increasing", increasing, 1, 0, 1, WHOLE),
    ROW("augment.three_augment", three_augment, 0, 0, 1, WHOLE),
    ROW("augment.color_jitter", color_jitter, 0, 0, 1, 0),
    ROW("augment.random_erase", random_erase, 0, 0, 1, 0),
    ROW("augment.mixup", mixup, 0, 0, 100, 0),
    ROW("augment.cutmix", cutmix, 0, 0, 100, 0),
    ROW("augment.mix_probability", mix_probability, 1, 0, 1, 0),
    ROW("augment.mix_switch", mix_switch, 0.5, 0, 1, 0),
    ROW("augment.repeat", repeat, 1, 1, 16, WHOLE),
    ROW("train.epochs", epochs, 1, 1, 1e6, WHOLE),
    ROW("train.batch", batch, 0, 0, 1e9, WHOLE),
    ROW("train.seed", seed, 0, 0, 0x1p53, WHOLE),
    ROW("train.optim.lr", lr, 1e-3, 0, 1e3, ABOVE),
    ROW("train.optim.weight_decay", weight_decay, 0.05, 0, 1e3, 0),
    ROW("train.optim.beta1", beta1, 0.9, 0, 1, BELOW),
    ROW("train.optim.beta2", beta2, 0.999, 0, 1, BELOW),
    ROW("train.optim.eps", eps, 1e-8, 0, 1, ABOVE),
    ROW("train.optim.momentum", momentum, 0.9, 0, 1, BELOW),
    ROW("train.schedule.warmup", warmup, 0, 0, 1e12, TIME),
    ROW("train.schedule.final", final, 0, 0, 1e3, 0),
    ROW("train.schedule.every", every, 30, 0, 1e12, TIME | ABOVE),
    ROW("train.schedule.factor", factor, 0.1, 0, 1, ABOVE),
    ROW("train.label_smoothing", label_smoothing, 0, 0, 1, BELOW),
    ROW("train.drop_path", drop_path, 0, 0, 1, BELOW),
    ROW("train.clip", clip, 0, 0, 1e9, 0),
    ROW("train.ema", ema, 0, 0, 1, BELOW),
    ROW("train.patience", patience, 0, 0, 1e6, WHOLE),
    ROW("train.keep_best", keep_best, 1, 1, VRT_KEPT, WHOLE),
    ROW("train.overfit", overfit, 0, 0, 1e15, WHOLE),
#undef ROW
};

static const struct {
    const char *path;
    size_t offset;
    const char *standard;
} texts[] = {
    {"data.root", offsetof(struct vrt_settings, data_root), ""},
    {"data.train", offsetof(struct vrt_settings, data_train), "train"},
    {"data.val", offsetof(struct vrt_settings, data_val), "val"},
    {"train.schedule.kind", offsetof(struct vrt_settings, schedule), "constant"},
};

static bool out_of_range(const struct vrt_options *o, int64_t key, const struct number_row *r,
                         double value, struct vrt_error *e)
{
    const char *flag = key >= 0 ? o->program->keys[key].flag : NULL;
    return vrt_fail(e, VRT_USAGE, "%s%s%s%s must be %s%s %.15g%s %.15g, not %.15g", r->path,
                    flag ? " (--" : "", flag ? flag : "", flag ? ")" : "",
                    r->rule & WHOLE ? "a whole number, " : "",
                    r->rule & ABOVE ? "above" : "at least", r->min,
                    r->rule & BELOW ? " and below" : " and at most", r->max, value);
}

static bool read_row(struct vrt_settings *s, const struct vrt_options *o,
                     const struct number_row *r, struct vrt_error *e)
{
    int64_t key = vrt_options_key(o->program, r->path);
    double value = key >= 0 ? o->keys[key].number : r->standard;
    *(double *)((char *)s + r->offset) = value;
    if (key >= 0 && o->keys[key].unit != o->program->keys[key].unit && !(r->rule & TIME))
        return vrt_fail(e, VRT_USAGE, "%s is counted in %s", r->path,
                        o->program->keys[key].unit == VRT_UNIT_EPOCHS ? "epochs" : "steps");
    bool ok = isfinite(value) && value >= r->min && value <= r->max &&
              !(r->rule & ABOVE && value == r->min) && !(r->rule & BELOW && value == r->max) &&
              !(r->rule & WHOLE && value != floor(value));
    return ok || out_of_range(o, key, r, value, e);
}

static bool check_together(const struct vrt_settings *s, struct vrt_error *e)
{
    if (s->min_scale > s->max_scale)
        return vrt_fail(e, VRT_USAGE, "augment.min_scale (%g) is above augment.max_scale (%g)",
                        s->min_scale, s->max_scale);
    if (s->min_ratio > s->max_ratio)
        return vrt_fail(e, VRT_USAGE, "augment.min_ratio (%g) is above augment.max_ratio (%g)",
                        s->min_ratio, s->max_ratio);
    if (strcmp(s->schedule, "cosine") != 0 && strcmp(s->schedule, "step") != 0 &&
        strcmp(s->schedule, "constant") != 0)
        return vrt_fail(e, VRT_USAGE,
                        "train.schedule.kind must be cosine, step or constant, not `%.60s`",
                        s->schedule);
    return true;
}

static int32_t unit_of(const struct vrt_options *o, const char *path, int32_t standard)
{
    int64_t key = vrt_options_key(o->program, path);
    return key >= 0 ? o->keys[key].unit : standard;
}

bool vrt_settings_read(struct vrt_settings *s, const struct vrt_options *o, struct vrt_error *e)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!read_row(s, o, &numbers[i], e))
            return false;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int64_t key = vrt_options_key(o->program, texts[i].path);
        const char *text = key >= 0 ? o->keys[key].text : NULL;
        *(const char **)((char *)s + texts[i].offset) = text != NULL ? text : texts[i].standard;
    }
    s->warmup_unit = unit_of(o, "train.schedule.warmup", VRT_UNIT_STEPS);
    s->every_unit = unit_of(o, "train.schedule.every", VRT_UNIT_EPOCHS);
    if (s->batch == 0)
        s->batch = (double)o->program->micro;
    if (s->overfit > 0) {
        s->limit = s->overfit;
        s->drop_path = s->label_smoothing = s->mixup = s->cutmix = 0;
        s->repeat = 1;
    }
    return check_together(s, e);
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

json_t *vrt_json_text(const char *text)
{
    json_t *whole = json_string(text);
    size_t n = strlen(text), used = 0;
    if (whole != NULL)
        return whole;
    char *clean = malloc(3 * n + 1);
    if (clean == NULL)
        return json_string("");
    while (*text != '\0') {
        size_t length = 1; /* the shortest prefix that is a character by itself */
        json_t *one = json_stringn(text, 1);
        while (one == NULL && length < 4 && text[length] != '\0')
            one = json_stringn(text, ++length);
        length = one != NULL ? length : 1;
        memcpy(clean + used, one != NULL ? text : "\xEF\xBF\xBD", one != NULL ? length : 3);
        used += one != NULL ? length : 3;
        text += length;
        json_decref(one);
    }
    whole = json_stringn(clean, used);
    free(clean);
    return whole;
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

int vrt_threads_wanted(const struct vrt_options *o)
{
    return o->threads > 0 ? (int)o->threads : vrt_threads_available();
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
