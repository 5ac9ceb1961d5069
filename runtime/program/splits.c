/* Opening the splits: see splits.h. */
#include "runtime/program/splits.h"

#include <stdio.h>

#include "runtime/data/dataset.h"
#include "runtime/data/odd.h"
#include "runtime/program/message.h"
#include "runtime/program/settings.h"

static bool refuse_overlap(const struct vrt_settings *s, struct vrt_error *e)
{
    return vrt_fail(e, VRT_BAD_INPUT,
                    "data.val is the split that is learnt from, `%s`: its pictures would be "
                    "evaluated by heart; name "
                    "another (--set data.val=NAME), or hold some out (--set data.holdout=0.1)",
                    s->data_train);
}

static bool open_one(const struct vrt_settings *s, const char *split,
                     const struct vrt_dataset *classes_of, struct vrt_dataset **out,
                     struct vrt_error *e)
{
    char text[2000 + VRT_ODD_TEXT], odd[VRT_ODD_TEXT];
    if (!vrt_dataset_open(out, s->data_root, split, classes_of, e))
        return false;
    if (vrt_dataset_odd(*out)->count > 0) {
        vrt_odd_text(vrt_dataset_odd(*out), odd);
        snprintf(text, sizeof text, "%.1990s; %s", vrt_dataset_describe(*out), odd);
        vrt_message("note", text);
    }
    return true;
}

bool vrt_open_train(const struct vrt_settings *s, struct vrt_dataset **train, struct vrt_error *e)
{
    return open_one(s, s->data_train, NULL, train, e);
}

static bool open_val(const struct vrt_settings *s, struct vrt_dataset *train,
                     struct vrt_dataset **val, struct vrt_error *e)
{
    if (s->holdout > 0)
        return vrt_dataset_hold_out(train, s->holdout, val, e);
    return open_one(s, s->data_val, train, val, e) &&
           (!vrt_dataset_same(train, *val) || refuse_overlap(s, e));
}

bool vrt_open_splits(const struct vrt_settings *s, struct vrt_dataset **train,
                     struct vrt_dataset **val, struct vrt_error *e)
{
    return vrt_open_train(s, train, e) && open_val(s, *train, val, e);
}

bool vrt_open_all(const struct vrt_settings *s, struct vrt_dataset **train,
                  struct vrt_dataset **val, struct vrt_error *e)
{
    return vrt_open_train(s, train, e) &&
           ((s->holdout == 0 && vrt_dataset_bare(*train)) || open_val(s, *train, val, e));
}

bool vrt_open_split(const struct vrt_settings *s, const char *name, struct vrt_dataset **out,
                    struct vrt_error *e)
{
    struct vrt_dataset *train = NULL;
    bool ok;
    if (name != NULL || s->holdout == 0)
        return open_one(s, name != NULL ? name : s->data_val, NULL, out, e);
    ok = vrt_open_splits(s, &train, out, e);
    vrt_dataset_close(train);
    return ok;
}
