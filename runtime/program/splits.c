/* Opening the splits: see splits.h. */
#include "runtime/program/splits.h"

#include "runtime/data/dataset.h"
#include "runtime/program/settings.h"

static bool refuse_overlap(const struct vrt_settings *s, struct vrt_error *e)
{
    return vrt_fail(e, VRT_BAD_INPUT,
                    "data.val is the split that is learnt from, `%s`: its pictures would be "
                    "evaluated by heart; name "
                    "another (--set data.val=NAME), or hold some out (--set data.holdout=0.1)",
                    s->data_train);
}

static bool open_val(const struct vrt_settings *s, struct vrt_dataset *train,
                     struct vrt_dataset **val, struct vrt_error *e)
{
    if (s->holdout > 0)
        return vrt_dataset_hold_out(train, s->holdout, val, e);
    return vrt_dataset_open(val, s->data_root, s->data_val, train, e) &&
           (!vrt_dataset_same(train, *val) || refuse_overlap(s, e));
}

bool vrt_open_splits(const struct vrt_settings *s, struct vrt_dataset **train,
                     struct vrt_dataset **val, struct vrt_error *e)
{
    return vrt_dataset_open(train, s->data_root, s->data_train, NULL, e) &&
           open_val(s, *train, val, e);
}

bool vrt_open_all(const struct vrt_settings *s, struct vrt_dataset **train,
                  struct vrt_dataset **val, struct vrt_error *e)
{
    return vrt_dataset_open(train, s->data_root, s->data_train, NULL, e) &&
           ((s->holdout == 0 && vrt_dataset_bare(*train)) || open_val(s, *train, val, e));
}

bool vrt_open_split(const struct vrt_settings *s, const char *name, struct vrt_dataset **out,
                    struct vrt_error *e)
{
    struct vrt_dataset *train = NULL;
    bool ok;
    if (name != NULL || s->holdout == 0)
        return vrt_dataset_open(out, s->data_root, name != NULL ? name : s->data_val, NULL, e);
    ok = vrt_open_splits(s, &train, out, e);
    vrt_dataset_close(train);
    return ok;
}
