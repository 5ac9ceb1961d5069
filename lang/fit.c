/* What must fit together. Input: a resolved spec. Output: reports of keys that are right by
 * themselves, but with which no program would begin to train. */
#include <string.h>

#include "lang/base/arena.h"
#include "lang/resolve.h"

struct fit {
    struct run *run;
    const struct spec *spec;
    int64_t group; /* pictures that are routed together: of all layers */
};

static const struct spec_key *key(const struct fit *f, enum key_name name)
{
    return spec_key(f->spec, name);
}

static int64_t whole(const struct fit *f, enum key_name name)
{
    return key(f, name)->value.i;
}

/* Where a key was set; where it was not, the other one must have been. */
static struct loc place(const struct fit *f, enum key_name name, enum key_name other)
{
    struct loc loc = key(f, name)->loc;
    return loc.src ? loc : key(f, other)->loc;
}

static int64_t common_multiple(int64_t a, int64_t b)
{
    int64_t x = a, y = b;
    while (y) {
        int64_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

static void check_group(struct fit *f, const struct spec_layer *l)
{
    const struct spec_key *micro = key(f, KEY_train_micro);
    if (l->kind == LAYER_MOE && micro->value.i % l->moe->group != 0) {
        diag_report(f->run->diag, DIAG_MICRO_GROUP, micro->loc.src ? micro->loc : l->moe->loc,
                    "`micro` is %lld images, which is no multiple of the routing group of %d",
                    (long long)micro->value.i, l->moe->group);
        if (micro->loc.src)
            diag_note(f->run->diag, l->moe->loc, "the group belongs to this rule");
        else
            diag_help(f->run->diag,
                      "set `micro` in `train { }` of an experiment, or `--set train.micro=...`");
    } else if (l->kind == LAYER_MOE)
        f->group = common_multiple(f->group, l->moe->group);
    for (size_t i = 0; i < l->nkids; i++)
        check_group(f, l->kids[i]);
}

static void check_batch(const struct fit *f)
{
    int64_t batch = whole(f, KEY_train_batch), micro = whole(f, KEY_train_micro);
    if (batch % micro == 0)
        return;
    diag_report(f->run->diag, DIAG_BATCH_MICRO, place(f, KEY_train_batch, KEY_train_micro),
                "`batch` is %lld images, which is no multiple of `micro`, %lld", (long long)batch,
                (long long)micro);
    diag_help(f->run->diag, "a step accumulates whole micro-batches: batch = n x micro");
}

static void check_pairs(const struct fit *f)
{
    enum key_name path =
        key(f, KEY_augment_mixup)->value.f > 0 ? KEY_augment_mixup : KEY_augment_cutmix;
    bool mixes = key(f, path)->value.f > 0 && key(f, KEY_augment_mix_probability)->value.f > 0;
    int64_t micro = whole(f, KEY_train_micro);
    if (!mixes || f->group > 1 || micro % 2 == 0 || whole(f, KEY_train_overfit) > 0)
        return;
    diag_report(f->run->diag, DIAG_TRAIN_FIT, place(f, path, KEY_train_micro),
                "mixup and cutmix mix pairs of pictures, but `micro` is %lld", (long long)micro);
    diag_help(f->run->diag, "set `micro` to an even number of images");
}

static void check_overfit(const struct fit *f)
{
    int64_t few = whole(f, KEY_train_overfit);
    if (few == 0 || few >= f->group)
        return;
    diag_report(f->run->diag, DIAG_TRAIN_FIT, key(f, KEY_train_overfit)->loc,
                "`overfit` is %lld, fewer pictures than the %lld that are routed together",
                (long long)few, (long long)f->group);
    diag_help(f->run->diag, "take %lld images at least", (long long)f->group);
}

static void check_limit(const struct fit *f)
{
    int64_t limit = whole(f, KEY_data_limit), batch = whole(f, KEY_train_batch);
    if (limit == 0 || limit >= batch || whole(f, KEY_train_overfit) > 0)
        return;
    diag_report(f->run->diag, DIAG_TRAIN_FIT, place(f, KEY_data_limit, KEY_train_batch),
                "`limit` is %lld, fewer pictures than one `batch` of %lld", (long long)limit,
                (long long)batch);
    diag_help(f->run->diag, "take %lld images at least, or set a smaller `batch`",
              (long long)batch);
}

static void check_padding(const struct fit *f)
{
    const struct spec_model *m = &f->spec->model;
    int64_t padding = whole(f, KEY_augment_padded_crop),
            side = m->height < m->width ? m->height : m->width;
    bool reflect = whole(f, KEY_augment_reflect) != 0;
    if (padding < side || (padding == side && !reflect))
        return;
    diag_report(f->run->diag, DIAG_TRAIN_FIT, key(f, KEY_augment_padded_crop)->loc,
                "`padding` is %lldpx, which must be %s the input's %lldpx%s", (long long)padding,
                reflect ? "less than" : "at most", (long long)side, reflect ? " to reflect" : "");
}

static void check_splits(const struct fit *f)
{
    const char *train = key(f, KEY_data_train)->value.text, *val = key(f, KEY_data_val)->value.text;
    bool apart = strcmp(train, val) != 0 || key(f, KEY_data_holdout)->value.f > 0;
    if (apart || whole(f, KEY_train_overfit) > 0)
        return;
    diag_report(f->run->diag, DIAG_TRAIN_FIT, place(f, KEY_data_val, KEY_data_train),
                "`val` is the split that is learnt from, `%.100s`: its pictures would be "
                "evaluated by heart",
                val);
    diag_help(f->run->diag, "name another one, or set `holdout`");
}

static void check_warmup(const struct fit *f)
{
    const struct spec_key *warmup = key(f, KEY_train_schedule_warmup);
    int64_t epochs = whole(f, KEY_train_epochs);
    if (warmup->value.unit != UNIT_EPOCHS || warmup->value.f <= (double)epochs)
        return;
    diag_report(f->run->diag, DIAG_LONG_WARMUP,
                place(f, KEY_train_schedule_warmup, KEY_train_epochs),
                "the warm-up of %.15g epochs is longer than the training of %lld", warmup->value.f,
                (long long)epochs);
}

void fit_check(struct run *r, const struct spec *spec)
{
    struct fit f = {r, spec, 1};
    check_batch(&f);
    for (size_t i = 0; i < spec->model.nparts; i++)
        check_group(&f, spec->model.parts[i].body);
    check_pairs(&f);
    check_overfit(&f);
    check_limit(&f);
    check_padding(&f);
    check_splits(&f);
    check_warmup(&f);
}
