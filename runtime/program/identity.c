/* See identity.h. Data are known by the list of their pictures, which is in memory: no file is
 * opened for it. */
#include "runtime/program/identity.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "runtime/base/buffer.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/data/dataset.h"
#include "runtime/data/listing.h"
#include "runtime/io/adapt.h"
#include "runtime/io/put.h"
#include "runtime/program/evaluate.h"
#include "runtime/program/message.h"
#include "runtime/program/options.h"
#include "runtime/program/run.h"
#include "runtime/program/settings.h"

enum { PART = 1 << 16, SUM_SIZE = 33 };

static json_t *sum_json(uint64_t sum)
{
    char text[20];
    snprintf(text, sizeof text, "%016" PRIx64, sum);
    return json_string(text);
}

/* {"pictures": n, "classes": sum, "names": sum} and, where they are known, "sizes". */
static json_t *data_json(const struct vrt_dataset *d, struct vrt_error *e)
{
    struct vrt_listing l;
    char *classes = NULL;
    json_t *j = NULL;
    bool ok = vrt_listing_make(&l, d, e) && (classes = vrt_classes_text(d, e)) != NULL;
    if (ok)
        j = json_pack("{s:I, s:o, s:o}", "pictures", (json_int_t)vrt_dataset_count(d), "classes",
                      sum_json(XXH3_64bits(classes, strlen(classes))), "names", sum_json(l.names));
    if (ok && l.sized)
        json_object_set_new(j, "sizes", sum_json(l.sizes));
    if (ok && !vrt_json_whole("the list of the pictures", e)) {
        json_decref(j);
        j = NULL;
    }
    free(classes);
    vrt_listing_free(&l);
    return j;
}

char *vrt_identity_classes(const struct vrt_dataset *d, struct vrt_error *e)
{
    struct vrt_listing l;
    struct vrt_buffer b = {0};
    bool ok = vrt_listing_make(&l, d, e);
    for (int64_t c = 0; ok && c < l.nclasses; c++)
        ok = vrt_put(&b, e, "%s%" PRId64 ":%08" PRIx32, c > 0 ? " " : "", l.classes[c].pictures,
                     (uint32_t)l.classes[c].names);
    ok = ok && vrt_buffer_append(&b, "", 1, e);
    vrt_listing_free(&l);
    if (ok)
        return (char *)b.data;
    vrt_buffer_free(&b);
    return NULL;
}

/* "; class `b`: 24 then, 23 now": of the first class that differs. */
static void tell_class(const char *classes, const struct vrt_dataset *d, char *text, size_t size)
{
    struct vrt_error ignored;
    char *now = vrt_identity_classes(d, &ignored);
    const char *a = classes, *b = now;
    for (int64_t c = 0; b != NULL && *a != '\0' && *b != '\0'; c++) {
        size_t n = strcspn(a, " "), m = strcspn(b, " ");
        if (n != m || memcmp(a, b, n) != 0) {
            snprintf(text, size, "; class `%.100s`: %lld then, %lld now%s",
                     vrt_dataset_class_name(d, c), strtoll(a, NULL, 10), strtoll(b, NULL, 10),
                     strtoll(a, NULL, 10) == strtoll(b, NULL, 10) ? ", of other names" : "");
            break;
        }
        a += n + (a[n] == ' ');
        b += m + (b[m] == ' ');
    }
    free(now);
}

static bool differs(const json_t *then, const json_t *now, const char *key)
{
    const json_t *a = json_object_get(then, key), *b = json_object_get(now, key);
    return a != NULL && b != NULL && !json_equal(a, b);
}

/* "\n  NAME: 24 pictures then, 23 now; .." at the end of the text, if there is room and the two
 * differ. `classes`: of vrt_identity_classes() then, or NULL. A sum that is missing says nothing.
 */
static void tell_list(const char *name, const json_t *then, const json_t *now, const char *classes,
                      const struct vrt_dataset *d, char *text, size_t size)
{
    bool others = differs(then, now, "classes"), names = differs(then, now, "names"),
         count = differs(then, now, "pictures"), sizes = differs(then, now, "sizes");
    size_t used = strlen(text);
    char where[200] = "";
    if (!(others || names || count || sizes) || used >= size)
        return;
    if (classes != NULL && !others)
        tell_class(classes, d, where, sizeof where);
    snprintf(text + used, size - used, "\n  %s: %lld pictures then, %lld now%s%s%s", name,
             (long long)json_integer_value(json_object_get(then, "pictures")),
             (long long)json_integer_value(json_object_get(now, "pictures")),
             others ? ", of other classes" : "",
             !others && !count && !names ? ", files of other sizes" : "", where);
}

static bool sum_file(const char *path, char sum[SUM_SIZE], struct vrt_error *e)
{
    unsigned char part[PART];
    uint64_t size;
    int fd = vrt_file_open(path, &size, e);
    XXH3_state_t *state = fd >= 0 ? XXH3_createState() : NULL;
    bool ok =
        fd >= 0 && (state != NULL || vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", path));
    if (ok)
        XXH3_128bits_reset(state);
    for (uint64_t at = 0; ok && at < size; at += PART) {
        size_t n = size - at < PART ? (size_t)(size - at) : PART;
        ok = vrt_file_read_at(fd, path, part, n, at, e);
        if (ok)
            XXH3_128bits_update(state, part, n);
    }
    if (ok) {
        XXH128_hash_t h = XXH3_128bits_digest(state);
        snprintf(sum, SUM_SIZE, "%016llx%016llx", (unsigned long long)h.high64,
                 (unsigned long long)h.low64);
    }
    XXH3_freeState(state);
    if (fd >= 0)
        close(fd);
    return ok;
}

static void tell_weights(const struct vrt_run *r, const char *path)
{
    char text[1000];
    snprintf(text, sizeof text, "%.500s is not the file that this training was begun with; %s",
             path,
             r->fresh ? "it begins anew with what is there now"
                      : "it is not read, the training goes on from its state");
    vrt_message(r->fresh ? "warning" : "note", text);
}

static bool put_weights(struct vrt_run *r, json_t *path, json_t *sum, struct vrt_error *e)
{
    json_object_set(r->identity, "weights", path);
    json_object_set(r->identity, "weights_sum", sum);
    return vrt_json_whole("the run's identity", e);
}

/* The file of weights that the run begins with, and its checksum. Once there is a state both stay
 * what they were, and the file may be gone. */
static bool add_weights(struct vrt_run *r, const struct vrt_options *o, struct vrt_error *e)
{
    struct vrt_adapt how;
    const char *path = vrt_run_weights(r, o, &how);
    json_t *begun = json_object_get(r->before, "weights"),
           *sum = json_object_get(r->before, "weights_sum");
    char now[SUM_SIZE];
    bool read = path != NULL && sum_file(path, now, e);
    if (path != NULL && !read && r->fresh)
        return false;
    bool known = json_is_string(sum), same = read && known && !strcmp(json_string_value(sum), now);
    if (read && !same && (known || (!r->fresh && o->weights != NULL)))
        tell_weights(r, path);
    if (!r->fresh)
        return !known || put_weights(r, begun, sum, e);
    if (path == NULL)
        return true;
    begun = vrt_json_text(path);
    sum = json_string(now);
    bool ok = put_weights(r, begun, sum, e);
    json_decref(begun);
    json_decref(sum);
    return ok;
}

bool vrt_identity_make(struct vrt_run *r, const struct vrt_options *o,
                       const struct vrt_run_data *data, int64_t images_per_call,
                       struct vrt_error *e)
{
    json_t *train = data_json(data->train, e),
           *val = train != NULL ? data_json(data->val, e) : NULL;
    if (val == NULL) {
        json_decref(train);
        return false;
    }
    r->identity = json_pack("{s:s, s:I, s:o, s:o, s:o}", "spec_hash", o->program->spec_hash,
                            "images_per_call", (json_int_t)images_per_call, "keys",
                            vrt_settings_json(o), "data", train, "val", val);
    return vrt_json_whole("the run's identity", e) && add_weights(r, o, e);
}

/* "train.seed: 1 then, 2 now"; false, with room left in `text`, if the two are the same. */
static bool tell_difference(const char *name, json_t *then, json_t *now, char *text, size_t size)
{
    const size_t flags = JSON_ENCODE_ANY | JSON_COMPACT, used = strlen(text);
    struct vrt_error ignored; /* the error is told, if with less of it */
    if (json_equal(then, now) || used >= size)
        return false;
    char *a = then != NULL ? vrt_json_write(json_incref(then), flags, name, &ignored) : NULL;
    char *b = now != NULL ? vrt_json_write(json_incref(now), flags, name, &ignored) : NULL;
    snprintf(text + used, size - used, "\n  %s: %.100s then, %.100s now", name, a ? a : "nothing",
             b ? b : "nothing");
    free(a);
    free(b);
    return true;
}

static void tell_data(const struct vrt_run *r, const char *key, const struct vrt_dataset *d,
                      char *text, size_t size)
{
    char path[PATH_MAX];
    struct vrt_error ignored;
    json_t *run = vrt_json_read_file(vrt_run_path(r, "run.json", path), &ignored);
    const char *classes =
        strcmp(key, "data") == 0 ? json_string_value(json_object_get(run, "listed")) : NULL;
    tell_list(key, json_object_get(r->before, key), json_object_get(r->identity, key), classes, d,
              text, size);
    json_decref(run);
}

/* The data may have moved, and more bad pictures be borne; everything else must be as it was. What
 * is evaluated on does not change what is learnt. */
bool vrt_identity_compare(const struct vrt_run *r, const struct vrt_run_data *data,
                          struct vrt_error *e)
{
    static const char *const names[] = {"spec_hash", "images_per_call"};
    char text[700] = "", val[300] = "";
    const char *path;
    json_t *now, *keys = json_object_get(r->before, "keys");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        tell_difference(names[i], json_object_get(r->before, names[i]),
                        json_object_get(r->identity, names[i]), text, sizeof text);
    tell_data(r, "data", data->train, text, sizeof text);
    json_object_foreach(json_object_get(r->identity, "keys"), path,
                        now) if (strcmp(path, "data.root") != 0 && strcmp(path, "data.bad") != 0)
        tell_difference(path, json_object_get(keys, path), now, text, sizeof text);
    if (text[0] != '\0')
        return vrt_fail(e, VRT_BAD_INPUT,
                        "the run in %.200s cannot go on, it was begun with other settings:%s\n"
                        "  go on with those, or choose another --out",
                        r->folder, text);
    tell_data(r, "val", data->val, val, sizeof val);
    if (val[0] != '\0') {
        snprintf(text, sizeof text,
                 "the pictures that are evaluated have changed, so results before and after do not "
                 "compare:%s",
                 val);
        vrt_message("warning", text);
    }
    return true;
}
