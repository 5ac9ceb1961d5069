/* Looking for the folder that was meant: see doubt.h. Input: a data set, or a folder that is none;
 * output: a text. */
#include "runtime/data/doubt.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/data/source.h"

/* -- is a folder one that --data may name? -- */

static bool has_split(const char *root, const char *split)
{
    const char *names[VRT_SPLIT_NAMES];
    char path[PATH_MAX];
    struct stat s;

    vrt_split_names(split, names);
    for (int i = 0; names[i] != NULL; i++)
        if (snprintf(path, sizeof path, "%s/%s", root, names[i]) < (int)sizeof path &&
            stat(path, &s) == 0 && S_ISDIR(s.st_mode))
            return true;
    return false;
}

static bool is_bare(const char *root)
{
    struct vrt_error ignored;
    bool bare;

    return vrt_folder_bare(root, &bare, &ignored) && bare;
}

static bool serves(const char *root, const char *split)
{
    return has_split(root, split) || is_bare(root);
}

/* The one folder inside that serves; false where there is none, or several. */
static bool find_below(const char *root, const char *split, char found[PATH_MAX])
{
    DIR *dir = opendir(root);
    struct dirent *entry;
    char path[PATH_MAX];
    int n = 0;

    while (dir != NULL && n < 2 && (entry = readdir(dir)) != NULL)
        if (!vrt_odd_hidden(entry->d_name) && vrt_entry_kind(dir, entry) == 'd' &&
            snprintf(path, sizeof path, "%s/%s", root, entry->d_name) < (int)sizeof path &&
            serves(path, split) && n++ == 0)
            strcpy(found, path);
    if (dir != NULL)
        closedir(dir);
    return n == 1;
}

/* One or two levels up: what is inside a class, or inside a split's class. */
static bool find_above(const char *root, const char *split, char found[PATH_MAX])
{
    char *slash;

    if (snprintf(found, PATH_MAX, "%s", root) >= PATH_MAX)
        return false;
    for (int level = 0; level < 2; level++) {
        size_t n = strlen(found);
        while (n > 1 && found[n - 1] == '/')
            found[--n] = 0;
        slash = strrchr(found, '/');
        if (slash == NULL || slash == found)
            return false;
        *slash = 0;
        slash = strrchr(found, '/');
        slash = slash != NULL ? slash + 1 : found;
        if (vrt_split_kind(slash, strlen(slash)) == VRT_SPLIT_OTHER && serves(found, split))
            return true;
    }
    return false;
}

void vrt_doubt_root(const char *root, const char *split, char text[VRT_DOUBT_TEXT])
{
    char found[PATH_MAX];
    bool train = has_split(root, "train");

    text[0] = 0;
    if (train && vrt_split_kind(split, strlen(split)) == VRT_SPLIT_VAL)
        snprintf(text, VRT_DOUBT_TEXT,
                 "; --holdout 0.1 takes a part of the training split instead");
    else if (train || has_split(root, "val"))
        return;
    else if (find_below(root, split, found) || find_above(root, split, found))
        snprintf(text, VRT_DOUBT_TEXT, "; perhaps --data %.900s is meant", found);
}

/* -- one class -- */

struct inside {
    char folder[VRT_MAX_NAME]; /* that all pictures are in, the deepest: "CLASS" or "CLASS/X" */
    int64_t folders;           /* in it; 0: pictures lie in it */
    char first[80];            /* names of some of them */
};

static const char *name_of(const struct vrt_dataset *d, int64_t i)
{
    return (const char *)d->index.names.data + d->index.items[i].name;
}

/* Cut `folder` until it is around `name`, too. */
static void meet(char *folder, const char *name)
{
    for (char *slash; folder[0] != 0; *slash = 0) {
        size_t n = strlen(folder);
        if (strncmp(folder, name, n) == 0 && name[n] == '/')
            return;
        slash = strrchr(folder, '/');
        slash = slash != NULL ? slash : folder;
    }
}

static void look_inside(const struct vrt_dataset *d, struct inside *in)
{
    const char *before = "", *class = d->index.classes[0].name;
    size_t n, used = 0, length = 0;

    snprintf(in->folder, sizeof in->folder, "%s", name_of(d, 0));
    if (strncmp(in->folder, class, strlen(class)) != 0 || in->folder[strlen(class)] != '/')
        return; /* labels are not the names of folders */
    for (int64_t i = 0; i < d->index.nitems; i++)
        meet(in->folder, name_of(d, i));
    n = strlen(in->folder) + 1;
    for (int64_t i = 0; n > 1 && i < d->index.nitems; i++) { /* they are sorted */
        const char *name = name_of(d, i) + n;
        if (strchr(name, '/') == NULL) {
            in->folders = 0;
            return;
        }
        if (in->folders > 0 && strncmp(name, before, length) == 0 && name[length] == '/')
            continue;
        before = name;
        length = strcspn(name, "/");
        if (in->folders++ < 3 && used < sizeof in->first)
            used += (size_t)snprintf(in->first + used, sizeof in->first - used, "%s%.*s",
                                     used > 0 ? ", " : "", (int)(length < 20 ? length : 20), name);
    }
}

/* The folders in WHERE/in->folder are the classes. */
static void advise_inside(const struct vrt_dataset *d, const char *where, const struct inside *in,
                          char *text, size_t size)
{
    char path[PATH_MAX];
    int n = snprintf(text, size, "; the %lld folders in its `%.200s` look like classes (%s%s)",
                     (long long)in->folders, in->folder, in->first, in->folders > 3 ? ", .." : "");
    bool folder = d->source == &vrt_folder_source;

    if (n < 0 || (size_t)n >= size)
        return;
    text += n;
    size -= (size_t)n;
    if (folder && snprintf(path, sizeof path, "%s/%s", where, in->folder) < (int)sizeof path &&
        is_bare(path))
        snprintf(text, size, ": move them up into %.200s, or give --data %.300s --holdout 0.1",
                 where, path);
    else
        snprintf(text, size, ": %s them right into %.200s", folder ? "move" : "pack", where);
}

/* Another --data, if that has more classes. */
static void advise_above(const struct vrt_dataset *d, const char *split, char *text, size_t size)
{
    struct vrt_dataset *other = NULL;
    struct vrt_error ignored;
    char found[PATH_MAX];

    if (find_above(d->root, split, found) &&
        vrt_dataset_open(&other, found, split, NULL, &ignored) && other->index.nclasses > 1)
        snprintf(text, size, "; perhaps --data %.300s is meant", found);
    vrt_dataset_close(other);
}

bool vrt_doubt_classes(const struct vrt_dataset *d, const char *split, char text[VRT_DOUBT_TEXT])
{
    struct inside in = {.folder = ""};
    char *where;
    int n;

    if (d->index.nclasses != 1 || d->index.nitems == 0)
        return false;
    where = vrt_dataset_where(d);
    n = snprintf(
        text, VRT_DOUBT_TEXT,
        "all %lld pictures of %.200s are of one class, `%.100s`: there is nothing to learn",
        (long long)d->index.nitems, where != NULL ? where : d->root, d->index.classes[0].name);
    look_inside(d, &in);
    if (in.folders > 1 && where != NULL)
        advise_inside(d, where, &in, text + n, (size_t)(VRT_DOUBT_TEXT - n));
    else if (d->bare)
        advise_above(d, split, text + n, (size_t)(VRT_DOUBT_TEXT - n));
    free(where);
    return true;
}
