/* How far a training is, as JSON: see position.h. */
#include "runtime/program/position.h"

#include <stddef.h>

/* The numbers of a position, by name: whole ones, and sums. */
static const struct {
    const char *name;
    size_t offset;
} wholes[] =
    {
#define FIELD(name) {#name, offsetof(struct vrt_position, name)}
        FIELD(step),    FIELD(epoch),         FIELD(batch),  FIELD(best_top1), FIELD(best_epoch),
        FIELD(skipped), FIELD(epoch_skipped), FIELD(in_row), FIELD(went_back), FIELD(epoch_unread),
},
  reals[] = {
      FIELD(epoch_loss),
      FIELD(epoch_balance),
      FIELD(epoch_seconds),
      FIELD(lr_factor),
#undef FIELD
};
enum { NWHOLES = sizeof wholes / sizeof *wholes, NREALS = sizeof reals / sizeof *reals };

json_t *vrt_position_json(const struct vrt_position *at)
{
    json_t *j = json_object();
    for (size_t i = 0; i < NWHOLES; i++)
        json_object_set_new(
            j, wholes[i].name,
            json_integer(*(const int64_t *)(const void *)((const char *)at + wholes[i].offset)));
    for (size_t i = 0; i < NREALS; i++)
        json_object_set_new(
            j, reals[i].name,
            json_real(*(const double *)(const void *)((const char *)at + reals[i].offset)));
    json_t *kept = json_array();
    for (int64_t i = 0; i < at->nkept; i++)
        json_array_append_new(
            kept, json_pack("[I,I]", (json_int_t)at->kept[i].epoch, (json_int_t)at->kept[i].top1));
    json_object_set_new(j, "kept", kept);
    return j;
}

static bool read_kept(struct vrt_position *at, const json_t *list)
{
    if (!json_is_array(list) || json_array_size(list) > VRT_KEPT)
        return false;
    at->nkept = (int64_t)json_array_size(list);
    for (int64_t i = 0; i < at->nkept; i++) {
        const json_t *pair = json_array_get(list, (size_t)i), *epoch = json_array_get(pair, 0),
                     *top1 = json_array_get(pair, 1);
        if (!json_is_integer(epoch) || !json_is_integer(top1))
            return false;
        at->kept[i] = (struct vrt_kept){json_integer_value(epoch), json_integer_value(top1)};
    }
    return true;
}

bool vrt_position_read(struct vrt_position *at, const json_t *j)
{
    for (size_t i = 0; i < NWHOLES; i++) {
        const json_t *v = json_object_get(j, wholes[i].name);
        if (!json_is_integer(v))
            return false;
        *(int64_t *)(void *)((char *)at + wholes[i].offset) = json_integer_value(v);
    }
    for (size_t i = 0; i < NREALS; i++) {
        const json_t *v = json_object_get(j, reals[i].name);
        if (!json_is_number(v))
            return false;
        *(double *)(void *)((char *)at + reals[i].offset) = json_number_value(v);
    }
    return read_kept(at, json_object_get(j, "kept"));
}
