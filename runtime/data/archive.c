/* The same tree inside a tar. Input: a blob; output: an index with the place of each picture's
 * bytes, which are then read in place. The split is searched at the top and below one leading
 * folder; the top wins. Where there is none, class folders may be in their place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/source.h"
#include "runtime/data/tar.h"

struct scan {
    const char *path;
    const char *names[VRT_SPLIT_NAMES];         /* of the split, best first */
    struct vrt_index found[2][VRT_SPLIT_NAMES]; /* by leading folders (0, 1) and name */
    bool seen[2][VRT_SPLIT_NAMES];
    /* the leading folder; the first member, for messages */
    char lead[VRT_MAX_NAME], first[VRT_MAX_NAME];
    bool several_leads;
    struct vrt_error *error;
};

/* `name` is below the split: "CLASS", "CLASS/file" or "CLASS/folder/file". */
static bool add_member(const struct scan *s, struct vrt_index *x, const struct vrt_member *m,
                       const char *name, struct vrt_error *e)
{
    const char *slash = strchr(name, '/'), *file = strrchr(name, '/');
    int32_t id;

    if (slash == NULL && m->kind == 'l') /* of a class folder, likely */
        return vrt_member_usable(s->path, m, e);
    if (m->kind != 'd' && !vrt_member_is_picture(m)) {
        vrt_odd_add(&x->odd, file != NULL ? file + 1 : name);
        return true;
    }
    if (m->kind != 'd' && slash == NULL) {
        x->loose++;
        return true;
    }
    if (!vrt_index_class(x, name, slash != NULL ? (size_t)(slash - name) : strlen(name), &id, e))
        return false;
    return m->kind == 'd' || (vrt_member_usable(s->path, m, e) &&
                              vrt_index_add(x, id, name, m->offset, (uint32_t)m->size, e));
}

/* Length of the name of the split `name` begins with, and which; 0 for none. */
static size_t match_split(const struct scan *s, const char *name, int *which)
{
    size_t length = strcspn(name, "/");

    for (int i = 0; i < VRT_SPLIT_NAMES && s->names[i] != NULL; i++)
        if (strlen(s->names[i]) == length && memcmp(s->names[i], name, length) == 0) {
            *which = i;
            return length;
        }
    return 0;
}

static void note_lead(struct scan *s, const char *name, size_t length)
{
    if (s->lead[0] == 0) {
        memcpy(s->lead, name, length);
        s->lead[length] = 0;
    }
    if (strncmp(s->lead, name, length) != 0 || s->lead[length] != 0)
        s->several_leads = true;
}

/* Sort a member into the candidate it belongs to. */
static bool scan_member(void *data, const struct vrt_member *m, struct vrt_error *e)
{
    struct scan *s = data;
    const char *name = m->name;
    size_t lead = strcspn(name, "/"), length;
    int which = 0, depth = 0;

    if (s->first[0] == 0)
        snprintf(s->first, sizeof s->first, "%s", name);
    length = match_split(s, name, &which);
    if (length == 0 && name[lead] == '/') {
        name += lead + 1;
        depth = 1;
        length = match_split(s, name, &which);
        if (length > 0)
            note_lead(s, name - lead - 1, lead);
    }
    if (length == 0 || (name[length] == 0 && m->kind != 'd'))
        return true;
    s->seen[depth][which] = true;
    return name[length] == 0 || add_member(s, &s->found[depth][which], m, name + length + 1, e);
}

/* CLASS/FILE or LEAD/CLASS/FILE alone, without a split. */
struct bare {
    const struct scan *scan;
    struct vrt_index index;
    int depth; /* slashes in a name: 1 or 2; 0: none was seen */
    char lead[VRT_MAX_NAME];
    bool other; /* there is something else */
};

static bool bare_member(void *data, const struct vrt_member *m, struct vrt_error *e)
{
    struct bare *b = data;
    const char *slash = strrchr(m->name, '/'), *class = m->name;
    size_t lead = 0;
    int depth = 0;

    if (b->other || m->kind == 'd' || slash == NULL)
        return true;
    if (!vrt_member_is_picture(m)) {
        vrt_odd_add(&b->index.odd, slash + 1);
        return true;
    }
    for (const char *c = m->name; *c != 0; c++)
        depth += *c == '/';
    if (depth == 2) {
        lead = strcspn(m->name, "/");
        class += lead + 1;
    }
    if (b->depth == 0) {
        b->depth = depth;
        memcpy(b->lead, m->name, lead);
    }
    b->other = depth > 2 || depth != b->depth || strncmp(b->lead, m->name, lead) != 0 ||
               b->lead[lead] != 0 || vrt_split_kind(b->lead, lead) != VRT_SPLIT_OTHER ||
               vrt_split_kind(class, strcspn(class, "/")) != VRT_SPLIT_OTHER;
    return b->other || add_member(b->scan, &b->index, m, class, e);
}

static bool open_bare(struct vrt_dataset *d, const struct scan *s, bool *found, struct vrt_error *e)
{
    struct bare *b = calloc(1, sizeof *b);
    bool ok;

    if (b == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", s->path);
    b->scan = s;
    ok = vrt_tar_walk(s->path, d->blobs[0], 0, d->blobs[0]->size, bare_member, b, e);
    *found = ok && !b->other &&
             (b->depth == 2 || b->index.nclasses > 1); /* one folder of files is a flat data set */
    if (*found) {
        d->index = b->index;
        d->bare = true;
        d->split = strdup(b->lead);
        ok = d->split != NULL || vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", s->path);
    } else
        vrt_index_free(&b->index);
    free(b);
    return ok;
}

/* Move the best candidate into d. */
static bool choose(struct vrt_dataset *d, struct scan *s)
{
    bool bare = false;

    for (int depth = 0; depth < 2; depth++)
        for (int i = 0; i < VRT_SPLIT_NAMES; i++) {
            if (!s->seen[depth][i])
                continue;
            if (depth == 1 && s->several_leads)
                return vrt_fail(s->error, VRT_BAD_INPUT,
                                "%s: several folders have a '%s' inside; pack one data set only",
                                s->path, s->names[i]);
            d->index = s->found[depth][i];
            s->found[depth][i] = (struct vrt_index){0};
            d->found = s->names[i];
            if (asprintf(&d->split, "%s%s%s", depth ? s->lead : "", depth ? "/" : "",
                         s->names[i]) >= 0)
                return true;
            d->split = NULL;
            return vrt_fail(s->error, VRT_NO_MEMORY, "no memory to read %s", s->path);
        }
    if (!open_bare(d, s, &bare, s->error) || bare)
        return bare;
    return vrt_fail(s->error, VRT_BAD_INPUT,
                    "%s has no folder '%s' at its top or below one leading folder (it begins with "
                    "'%.200s'); pack SPLIT/CLASS/files",
                    s->path, s->names[0], s->first);
}

bool vrt_blob_item(const struct vrt_dataset *d, const struct vrt_item *item, int channels,
                   struct vrt_image *out, struct vrt_error *e)
{
    const uint8_t *bytes;

    return vrt_blob_read(d->blobs[item->file], d->root, item->offset, item->size, &out->file,
                         &bytes, e) &&
           vrt_image_decode(out, bytes, item->size, channels, e);
}

static const struct vrt_source tar = {"tar", vrt_blob_item};

bool vrt_archive_open(struct vrt_dataset *d, const char *split,
                      const struct vrt_dataset *classes_of, struct vrt_error *e)
{
    struct scan *s = calloc(1, sizeof *s);
    struct vrt_blob *known =
        classes_of != NULL && classes_of->source == &tar ? classes_of->blobs[0] : NULL;
    char *where = NULL;
    bool ok;

    if (s == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", d->root);
    s->path = d->root;
    s->error = e;
    d->source = &tar;
    vrt_split_names(split, s->names);
    ok = vrt_dataset_blob(d, d->root, known, e) &&
         vrt_tar_walk(d->root, d->blobs[0], 0, d->blobs[0]->size, scan_member, s, e) &&
         choose(d, s);
    if (ok && (where = vrt_dataset_where(d)) == NULL)
        ok = vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", d->root);
    ok =
        ok && vrt_index_finish(&d->index, classes_of != NULL ? &classes_of->index : NULL, where, e);
    free(where);
    for (int i = 0; i < 2 * VRT_SPLIT_NAMES; i++)
        vrt_index_free(&s->found[i / VRT_SPLIT_NAMES][i % VRT_SPLIT_NAMES]);
    free(s);
    return ok;
}
