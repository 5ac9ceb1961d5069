/* A folder of class folders. Input: ROOT/SPLIT on disk, or ROOT alone; output: its index. Links are
 * followed; class folders may have folders inside (to a depth), whose pictures belong to the
 * class. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/data/source.h"

#define MAX_DEPTH 8

struct walk {
    struct vrt_index *index;
    const char *where;       /* ROOT/SPLIT */
    int32_t id;              /* the class that is being read */
    char name[VRT_MAX_NAME]; /* of the folder being read, below `where` */
    struct vrt_error *error;
};

/* The type in the entry saves a call on most file systems. */
char vrt_entry_kind(DIR *dir, const struct dirent *entry)
{
    struct stat s;

    if (entry->d_type == DT_DIR)
        return 'd';
    if (entry->d_type == DT_REG)
        return 'f';
    if (fstatat(dirfd(dir), entry->d_name, &s, 0) != 0)
        return '?';
    return S_ISDIR(s.st_mode) ? 'd' : S_ISREG(s.st_mode) ? 'f' : '?';
}

static bool walk_folder(struct walk *w, int depth);

/* One entry of the folder w->name, which is of `length` bytes. */
static bool walk_entry(struct walk *w, DIR *dir, const struct dirent *entry, size_t length,
                       int depth)
{
    char kind;
    int n;

    if (vrt_odd_hidden(entry->d_name))
        return true;
    kind = vrt_entry_kind(dir, entry);
    if (kind == '?' && depth > 0)
        return vrt_fail(w->error, VRT_BAD_INPUT,
                        "%s/%s/%s is not a file that can be read; remove it", w->where, w->name,
                        entry->d_name);
    if (kind != 'd' && !vrt_odd_is_picture(dirfd(dir), entry->d_name)) {
        vrt_odd_add(&w->index->odd, entry->d_name);
        return true;
    }
    if (kind != 'd' && depth == 0) {
        w->index->loose++;
        return true;
    }
    n = snprintf(w->name + length, sizeof w->name - length, "%s%s", length > 0 ? "/" : "",
                 entry->d_name);
    if (n < 0 || (size_t)n >= sizeof w->name - length)
        return vrt_fail(w->error, VRT_BAD_INPUT,
                        "a name below %s has more than %d bytes; shorten it", w->where,
                        VRT_MAX_NAME - 1);
    if (depth == 0 && !vrt_index_class(w->index, w->name, strlen(w->name), &w->id, w->error))
        return false;
    if (kind == 'd' ? !walk_folder(w, depth + 1)
                    : !vrt_index_add(w->index, w->id, w->name, 0, 0, w->error))
        return false;
    w->name[length] = 0;
    return true;
}

static bool walk_folder(struct walk *w, int depth)
{
    size_t length = strlen(w->name);
    struct dirent *entry;
    char *path;
    DIR *dir;
    bool ok = true;

    if (depth > MAX_DEPTH)
        return vrt_fail(w->error, VRT_BAD_INPUT,
                        "%s/%s: folders inside folders, more than %d deep (a link in a circle?)",
                        w->where, w->name, MAX_DEPTH);
    if (asprintf(&path, "%s/%s", w->where, w->name) < 0)
        return vrt_fail(w->error, VRT_NO_MEMORY, "no memory to read %s", w->where);
    dir = opendir(path);
    if (dir == NULL)
        ok = vrt_fail(w->error, VRT_BAD_INPUT, "cannot read the folder %s: %s", path,
                      strerror(errno));
    errno = 0;
    while (ok && (entry = readdir(dir)) != NULL) {
        ok = walk_entry(w, dir, entry, length, depth);
        errno = 0;
    }
    if (ok && errno != 0)
        ok = vrt_fail(w->error, VRT_BAD_INPUT, "cannot read the folder %s: %s", path,
                      strerror(errno));
    if (dir != NULL)
        closedir(dir);
    free(path);
    return ok;
}

static bool folder_read(const struct vrt_dataset *d, const struct vrt_item *item, int channels,
                        struct vrt_image *out, struct vrt_error *e)
{
    char path[4096];
    const char *name = (const char *)d->index.names.data + item->name;
    int n = snprintf(path, sizeof path, "%s/%s%s%s", d->root, d->split, d->split[0] != 0 ? "/" : "",
                     name);

    if (n < 0 || (size_t)n >= sizeof path)
        return vrt_fail(e, VRT_BAD_INPUT, "the path has more than %zu bytes; shorten it",
                        sizeof path - 1);
    return vrt_file_read(path, VRT_IMAGE_MAX_FILE, &out->file, e) &&
           vrt_image_decode(out, out->file.data, out->file.size, channels, e);
}

const struct vrt_source vrt_folder_source = {"folder", folder_read};

/* What the first entry of a folder is that counts: 'd' a folder, 'f' a file that may be a picture,
 * 0 neither. */
static bool first_kind(int at, const char *name, char *kind, struct vrt_error *e)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    int why = errno;

    *kind = 0;
    while (dir != NULL && *kind == 0 && (entry = readdir(dir)) != NULL) {
        if (vrt_odd_hidden(entry->d_name))
            continue;
        *kind = vrt_entry_kind(dir, entry);
        if (*kind == '?' || (*kind == 'f' && !vrt_odd_is_picture(dirfd(dir), entry->d_name)))
            *kind = 0;
    }
    if (dir != NULL)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
    if (dir != NULL || (fd < 0 && why != ENOMEM && why != EMFILE && why != ENFILE))
        return true;
    return vrt_fail(e, VRT_NO_MEMORY, "cannot look into %s: %s", name, strerror(why));
}

bool vrt_folder_bare(const char *root, bool *bare, struct vrt_error *e)
{
    DIR *dir;
    struct dirent *entry;
    bool split = false, deep = false, pictures = false, ok = vrt_folder_look(&dir, root, e);

    while (ok && dir != NULL && !split && !deep && (entry = readdir(dir)) != NULL)
        if (!vrt_odd_hidden(entry->d_name) && vrt_entry_kind(dir, entry) == 'd') {
            char kind;
            ok = first_kind(dirfd(dir), entry->d_name, &kind, e);
            split = vrt_split_kind(entry->d_name, strlen(entry->d_name)) != VRT_SPLIT_OTHER;
            deep = kind == 'd';
            pictures |= kind == 'f';
        }
    if (dir != NULL)
        closedir(dir);
    *bare = pictures && !split && !deep;
    return ok;
}

bool vrt_folder_open(struct vrt_dataset *d, const struct vrt_dataset *classes_of,
                     struct vrt_error *e)
{
    char *where = vrt_dataset_where(d);
    struct walk w = {.index = &d->index, .where = where, .error = e};
    char files[VRT_LABEL_FILES];
    bool ok;

    if (where == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", d->root);
    d->source = &vrt_folder_source;
    ok = walk_folder(&w, 0);
    if (ok && d->index.nclasses == 0 && d->index.loose > 0) {
        vrt_labels_files(d->split, d->asked, files);
        ok = vrt_fail(
            e, VRT_BAD_INPUT,
            "%s holds %lld pictures but no class folders, so their classes are not known; put "
            "their labels beside them (%s), or sort them into one folder per class",
            where, (long long)d->index.loose, files);
    }
    ok =
        ok && vrt_index_finish(&d->index, classes_of != NULL ? &classes_of->index : NULL, where, e);
    free(where);
    return ok;
}
