/* Tars for one split. Input: which they are (shards.c); output: an index into them. What a member
 * is, it tells itself:
 *   CLASS.tar                  a tar of the pictures of one class: how ILSVRC2012_img_train.tar is
 *                              made
 *   CLASS/../FILE              a picture of that class
 *   KEY.cls or KEY.json        the label, a number, of the picture KEY.jpg beside it (webdataset)
 *   FILE                       a picture whose label stands in a file of labels (flat.c)
 * A folder named as the split around all of them is passed over. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/data/shards.h"
#include "runtime/data/source.h"
#include "runtime/data/tar.h"

#define NO_LABEL (-1)
#define MAX_TEXT \
    (1 << 20) /* bytes of a text about one picture; parsed it takes up to forty times as many */

struct sample {                  /* of one key, while its members come by */
    char key[VRT_MAX_NAME];      /* the name up to the first dot after the last slash */
    char name[2 * VRT_MAX_NAME]; /* of the picture, with its class; "": none yet */
    uint64_t offset, size;
    int64_t label;
    char odd[80]; /* a label in JSON that is no number, as text; "": none */
};

struct tars {
    struct vrt_dataset *d;
    struct vrt_shards shards;
    const char *path;         /* of the tar being read */
    char class[VRT_MAX_NAME]; /* of the inner tar */
    struct sample sample;
    struct vrt_buffer text; /* beside a picture */
    bool numbers, names;    /* kinds of labels seen: they must not mix */
    struct vrt_flat_labels labels;
    bool labels_open;
    const struct vrt_dataset *classes_of;
};

/* -- samples -- */

static bool add_item(struct tars *t, int32_t id, struct vrt_error *e)
{
    const struct sample *s = &t->sample;
    struct vrt_index *x = &t->d->index;

    if (!vrt_index_add(x, id, s->name, s->offset, (uint32_t)s->size, e))
        return false;
    x->items[x->nitems - 1].file = (uint16_t)(t->d->nblobs - 1);
    return true;
}

/* The class that the inner tar, the folder or the file of labels gives. */
static const char *class_of(struct tars *t, char *room, struct vrt_error *e)
{
    const struct sample *s = &t->sample;
    const char *slash = strchr(s->name, '/');
    char files[VRT_LABEL_FILES];

    if (t->class[0] != 0)
        return t->class;
    if (slash != NULL) {
        snprintf(room, VRT_MAX_NAME, "%.*s", (int)(slash - s->name), s->name);
        return room;
    }
    if (!t->labels_open &&
        !vrt_flat_labels_open(&t->labels, t->d, t->shards.folder, t->classes_of, e))
        return NULL;
    t->labels_open = true;
    if (t->labels.table.path != NULL)
        return vrt_flat_label(&t->labels, t->path, s->name, e);
    vrt_labels_files(t->d->split, t->d->asked, files);
    vrt_fail(e, VRT_BAD_INPUT,
             "%s: %s has no label; put the labels beside the tar (%s), a .cls or .json right "
             "before or after "
             "each picture, or the pictures into one folder per class",
             t->path, s->name, files);
    return NULL;
}

/* The sample is complete: the members that follow are of another. */
static bool finish_sample(struct tars *t, struct vrt_error *e)
{
    struct sample *s = &t->sample;
    char room[VRT_MAX_NAME];
    const char *class;
    int32_t id;

    if (s->name[0] == 0 && s->label != NO_LABEL)
        return vrt_fail(e, VRT_BAD_INPUT, "%s: %s has a label but no picture", t->path, s->key);
    if (s->name[0] == 0)
        return true;
    if (s->label == NO_LABEL && s->odd[0] != 0)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "%s: %s.json: the label %s is not a whole number between 0 and %d", t->path,
                        s->key, s->odd, VRT_MAX_CLASSES - 1);
    t->numbers |= s->label != NO_LABEL;
    t->names |= s->label == NO_LABEL;
    if (t->numbers && t->names)
        return vrt_fail(
            e, VRT_BAD_INPUT, "%s: %s has %s label, other pictures have %s; pack them alike",
            t->path, s->name,
            s->label == NO_LABEL ? "no .cls or .json for its" : "a .cls or .json for its",
            s->label == NO_LABEL ? "one" : "none");
    if (t->numbers)
        return add_item(t, (int32_t)s->label, e);
    class = class_of(t, room, e);
    return class != NULL && vrt_index_class(&t->d->index, class, strlen(class), &id, e) &&
           add_item(t, id, e);
}

static bool begin_sample(struct tars *t, const char *key, size_t length, struct vrt_error *e)
{
    if (!finish_sample(t, e))
        return false;
    memmove(t->sample.key, key, length); /* it may be its own */
    t->sample.key[length] = 0;
    t->sample.name[0] = 0;
    t->sample.label = NO_LABEL;
    t->sample.odd[0] = 0;
    return true;
}

/* -- labels beside pictures -- */

static bool set_label(struct tars *t, const char *name, json_int_t label, struct vrt_error *e)
{
    if (label < 0 || label >= VRT_MAX_CLASSES)
        return vrt_fail(e, VRT_BAD_INPUT, "%s: %s: the label %lld is not between 0 and %d", t->path,
                        name, (long long)label, VRT_MAX_CLASSES - 1);
    if (t->sample.label != NO_LABEL && t->sample.label != label)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "%s: %s: a second label for this picture, %lld after %lld", t->path, name,
                        (long long)label, (long long)t->sample.label);
    t->sample.label = label;
    return true;
}

static bool read_text(struct tars *t, const struct vrt_member *m, const uint8_t **text,
                      size_t *size, struct vrt_error *e)
{
    size_t skip;

    *text = (const uint8_t *)"";
    *size = 0;
    if (m->size == 0)
        return true;
    if (m->size > MAX_TEXT)
        return vrt_fail(e, VRT_BAD_INPUT, "%s: %s has %llu bytes; at most %d are read", t->path,
                        m->name, (unsigned long long)m->size, MAX_TEXT);
    if (!vrt_blob_read(m->blob, t->path, m->offset, m->size, &t->text, text, e) ||
        !vrt_text_begins(m->name, *text, m->size, &skip, e))
        return false;
    *text += skip;
    *size = m->size - skip;
    return true;
}

static bool take_number(struct tars *t, const struct vrt_member *m, struct vrt_error *e)
{
    char text[16] = "", *end;
    const uint8_t *bytes;
    size_t size;

    if (!read_text(t, m, &bytes, &size, e))
        return false;
    if (size < sizeof text)
        memcpy(text, bytes, size);
    text[strcspn(text, "\r\n")] = 0;
    long label = strtol(text, &end, 10);
    if (end == text || *end != 0)
        return vrt_fail(e, VRT_BAD_INPUT, "%s: %s does not hold one number", t->path, m->name);
    return set_label(t, m->name, label, e);
}

/* 3 or 3.0: tables of floats become such texts. What is no number does no harm beside a .cls. */
static bool take_label(struct tars *t, const char *name, json_t *label, struct vrt_error *e)
{
    double real = json_is_real(label) ? json_real_value(label) : -1;
    char *text;

    if (json_is_integer(label))
        return set_label(t, name, json_integer_value(label), e);
    if (real >= 0 && real < VRT_MAX_CLASSES && real == floor(real))
        return set_label(t, name, (json_int_t)real, e);
    text = vrt_json_write(json_incref(label), JSON_ENCODE_ANY | JSON_COMPACT, name, e);
    snprintf(t->sample.odd, sizeof t->sample.odd, "%s", text != NULL ? text : "");
    free(text);
    return text != NULL;
}

/* "label" or "cls"; other texts about a picture have neither. */
static bool take_json(struct tars *t, const struct vrt_member *m, struct vrt_error *e)
{
    const uint8_t *text;
    struct vrt_error why;
    size_t size;
    json_t *root, *label;
    bool ok;

    if (!read_text(t, m, &text, &size, e))
        return false;
    if (size == 0)
        return vrt_fail(e, VRT_BAD_INPUT, "%s: %s is empty, not JSON", t->path, m->name);
    root = vrt_json_read((const char *)text, size, JSON_REJECT_DUPLICATES, m->name, &why);
    if (root == NULL)
        return vrt_fail(e, why.code, "%s: %s", t->path, why.text);
    label = json_object_get(root, "label");
    label = label != NULL ? label : json_object_get(root, "cls");
    ok = label == NULL || take_label(t, m->name, label, e);
    json_decref(root);
    return ok;
}

static bool take_picture(struct tars *t, const struct vrt_member *m, struct vrt_error *e)
{
    struct sample *s = &t->sample;

    if (!vrt_member_usable(t->path, m, e) ||
        (s->name[0] != 0 && !begin_sample(t, s->key, strlen(s->key), e)))
        return false;
    if (t->class[0] != 0)
        snprintf(s->name, sizeof s->name, "%s/%s", t->class, m->name);
    else
        snprintf(s->name, sizeof s->name, "%s", m->name);
    s->offset = m->offset;
    s->size = m->size;
    return true;
}

static bool take_file(struct tars *t, const struct vrt_member *m, struct vrt_error *e)
{
    const char *slash = strrchr(m->name, '/'), *file = slash != NULL ? slash + 1 : m->name,
               *dot = strrchr(file, '.');
    size_t length = (size_t)(file - m->name) + strcspn(file, ".");

    if ((strlen(t->sample.key) != length || memcmp(t->sample.key, m->name, length) != 0) &&
        !begin_sample(t, m->name, length, e))
        return false;
    if (dot != NULL && strcasecmp(dot, ".cls") == 0)
        return take_number(t, m, e);
    if (dot != NULL && strcasecmp(dot, ".json") == 0)
        return take_json(t, m, e);
    if (vrt_member_is_picture(m))
        return take_picture(t, m, e);
    vrt_odd_add(&t->d->index.odd, file);
    return true;
}

/* -- members -- */

/* The folder SPLIT around all is taken off. */
static struct vrt_member below_split(const struct tars *t, const struct vrt_member *m)
{
    struct vrt_member below = *m;
    size_t length = strlen(t->d->split);

    if (strncmp(m->name, t->d->split, length) == 0 && m->name[length] == '/')
        below.name += length + 1;
    return below;
}

static bool inner_member(void *data, const struct vrt_member *m, struct vrt_error *e)
{
    return m->kind == 'd' || take_file(data, m, e);
}

static bool inner_tar(struct tars *t, const struct vrt_member *m, size_t length,
                      struct vrt_error *e)
{
    bool ok;

    if (m->size == 0)
        return vrt_fail(e, VRT_BAD_INPUT, "%s: %s is empty; get the archive again", t->path,
                        m->name);
    if (!begin_sample(t, "", 0, e))
        return false;
    snprintf(t->class, sizeof t->class, "%.*s", (int)length, m->name);
    ok = vrt_tar_walk(t->path, m->blob, m->offset, m->size, inner_member, t, e) &&
         begin_sample(t, "", 0, e);
    t->class[0] = 0;
    return ok;
}

static bool outer_member(void *data, const struct vrt_member *m, struct vrt_error *e)
{
    struct vrt_member below = below_split(data, m);
    size_t n = strlen(below.name);

    if (m->kind == 'd')
        return true;
    if (n > 4 && strcmp(below.name + n - 4, ".tar") == 0 && strchr(below.name, '/') == NULL &&
        m->kind == 'f')
        return inner_tar(data, &below, n - 4, e);
    return take_file(data, &below, e);
}

static bool read_tar(struct tars *t, const char *file, const struct vrt_blob *blob,
                     struct vrt_error *e)
{
    t->path = file;
    return begin_sample(t, "", 0, e) &&
           vrt_tar_walk(file, blob, 0, blob->size, outer_member, t, e) && begin_sample(t, "", 0, e);
}

/* -- all of them -- */

/* Each stays open while it is read from, and there may be more of them than the system lets us open
 * unasked. */
static void allow_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static const struct vrt_source tars = {"tars", vrt_blob_item};

static bool read_tars(struct tars *t, struct vrt_error *e)
{
    const struct vrt_index *classes = t->classes_of != NULL ? &t->classes_of->index : NULL;
    char *where;
    bool ok = true;

    t->sample.label = NO_LABEL;
    for (size_t i = 0; ok && i < t->shards.count; i++) {
        char *path;
        if (asprintf(&path, "%s/%s", t->shards.folder, t->shards.files[i]) < 0)
            return vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", t->d->root);
        ok = vrt_dataset_blob(t->d, path, NULL, e) && read_tar(t, path, t->d->blobs[i], e);
        free(path);
    }
    where = vrt_dataset_where(t->d);
    if (ok && where == NULL)
        ok = vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", t->d->root);
    t->numbers |= vrt_flat_numbers(&t->labels);
    ok = ok && (t->numbers ? vrt_index_finish_numbers : vrt_index_finish)(&t->d->index, classes,
                                                                          where, e);
    if (t->labels.table.path != NULL)
        t->d->missing = t->labels.table.count - t->d->index.nitems;
    free(where);
    return ok;
}

bool vrt_tars_open(struct vrt_dataset *d, const char *split, const struct vrt_dataset *classes_of,
                   bool *found, struct vrt_error *e)
{
    struct tars t = {.d = d, .classes_of = classes_of};
    bool ok = vrt_shards_find(&t.shards, d->root, split, e);

    *found = !ok || t.shards.count > 0;
    if (ok && *found) {
        d->source = &tars;
        d->split = strdup(t.shards.split);
        d->found = t.shards.split;
        allow_files();
        ok = d->split != NULL ? read_tars(&t, e)
                              : vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", d->root);
    }
    vrt_shards_free(&t.shards);
    vrt_buffer_free(&t.text);
    vrt_flat_labels_free(&t.labels);
    return ok;
}
