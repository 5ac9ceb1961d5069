/* Finding the tars of a split by their names: see shards.h. */
#include "runtime/data/shards.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/data/source.h"

static bool separates(char c)
{
    return c == '-' || c == '_';
}

/* How much of "PREFIX-SPLIT-000017.tar" or "SPLIT.tar" there is up to the end of SPLIT; 0: it has
 * none. */
static size_t split_end(const char *file)
{
    size_t n = strlen(file);

    if (file[0] == '.' || n < 4 || strcmp(file + n - 4, ".tar") != 0)
        return 0;
    for (n -= 4; n > 0 && file[n - 1] >= '0' && file[n - 1] <= '9'; n--)
        ;
    return n - (n > 0 && separates(file[n - 1]));
}

static bool belongs(const char *file, const char *split)
{
    size_t n = split_end(file), length = strlen(split);

    return n >= length && memcmp(file + n - length, split, length) == 0 &&
           (n == length || separates(file[n - length - 1]));
}

/* Does the name tell one of the usual splits? */
static bool tells_split(const char *file)
{
    size_t n = split_end(file), first = n;

    while (first > 0 && !separates(file[first - 1]))
        first--;
    return vrt_split_kind(file + first, n - first) != VRT_SPLIT_OTHER;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static bool add_file(struct vrt_shards *s, const char *name, struct vrt_error *e)
{
    char **more = s->files;

    if (s->count == s->room) {
        s->room = s->room ? 2 * s->room : 64;
        more = realloc(s->files, s->room * sizeof *more);
    }
    if (more != NULL)
        s->files = more;
    if (more == NULL || (more[s->count] = strdup(name)) == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", s->folder);
    s->count++;
    return s->count <= UINT16_MAX ||
           vrt_fail(e, VRT_BAD_INPUT, "%s has more than %d tars of one split", s->folder,
                    UINT16_MAX);
}

static bool list_files(struct vrt_shards *s, const char *split, struct vrt_error *e)
{
    DIR *dir = opendir(s->folder);
    struct dirent *entry;
    bool ok = dir != NULL || vrt_fail(e, VRT_BAD_INPUT, "cannot read the folder %s: %s", s->folder,
                                      strerror(errno));

    while (ok && (entry = readdir(dir)) != NULL)
        if (belongs(entry->d_name, split))
            ok = add_file(s, entry->d_name, e);
    if (dir != NULL)
        closedir(dir);
    if (ok && s->count > 0)
        qsort(s->files, s->count, sizeof *s->files, by_name);
    return ok;
}

/* -- a pattern: FOLDER/BEFORE{000..012}AFTER -- */

struct pattern {
    const char *file, *after;
    int before, digits; /* characters of BEFORE, of a number */
    long long first, last;
};

/* A number of at most 9 digits, up to `end`; -1: it is none. */
static long long number_at(const char *text, const char *end)
{
    size_t n = (size_t)(end - text);

    return n >= 1 && n <= 9 && strspn(text, "0123456789") == n ? strtoll(text, NULL, 10) : -1;
}

static bool find_pattern(const char *path, struct pattern *p)
{
    const char *slash = strrchr(path, '/'), *open, *dots, *end;

    p->file = slash != NULL ? slash + 1 : path;
    open = strchr(p->file, '{');
    dots = open != NULL ? strstr(open, "..") : NULL;
    end = dots != NULL ? strchr(dots, '}') : NULL;
    if (end == NULL)
        return false;
    p->before = (int)(open - p->file);
    p->digits = (int)(dots - open - 1);
    p->after = end + 1;
    p->first = number_at(open + 1, dots);
    p->last = number_at(dots + 2, end);
    return p->first >= 0 && p->last >= p->first;
}

bool vrt_shards_pattern(const char *path)
{
    struct pattern p;

    return find_pattern(path, &p);
}

static bool add_numbered(struct vrt_shards *s, const struct pattern *p, long long number,
                         bool *mine, const char *split, struct vrt_error *e)
{
    char *path;
    const char *name;
    bool ok = true;

    if (asprintf(&path, "%s/%.*s%0*lld%s", s->folder, p->before, p->file, p->digits, number,
                 p->after) < 0)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", s->root);
    name = strrchr(path, '/') + 1;
    *mine = belongs(name, split) ||
            (vrt_split_kind(split, strlen(split)) == VRT_SPLIT_TRAIN && !tells_split(name));
    if (*mine && access(path, R_OK) != 0)
        ok = vrt_fail(e, VRT_BAD_INPUT, "cannot read the shard %s: %s", path, strerror(errno));
    ok = ok && (!*mine || add_file(s, name, e));
    free(path);
    return ok;
}

/* The files that the pattern means, if it is for this split. */
static bool list_pattern(struct vrt_shards *s, const char *split, struct vrt_error *e)
{
    struct pattern p;
    bool ok = find_pattern(s->root, &p), mine = true;

    for (long long n = p.first; ok && mine && n <= p.last; n++)
        ok = add_numbered(s, &p, n, &mine, split, e);
    return ok;
}

/* -- all -- */

/* The first name of the split that there are tars for: in the pattern, or in the folder. */
static bool find_name(struct vrt_shards *s, const char *split, bool pattern, struct vrt_error *e)
{
    const char *names[VRT_SPLIT_NAMES];
    bool ok = true;

    vrt_split_names(split, names);
    for (int i = 0; ok && s->count == 0 && i < VRT_SPLIT_NAMES && names[i] != NULL; i++) {
        s->split = names[i];
        ok = (pattern ? list_pattern : list_files)(s, names[i], e);
    }
    return ok;
}

bool vrt_shards_find(struct vrt_shards *s, const char *root, const char *split, struct vrt_error *e)
{
    const char *slash = strrchr(root, '/');
    bool pattern = vrt_shards_pattern(root);

    s->root = root;
    s->folder = !pattern        ? strdup(root)
                : slash == NULL ? strdup(".")
                                : strndup(root, (size_t)(slash - root) + (slash == root));
    if (s->folder == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", root);
    return (!pattern || find_name(s, split, true, e)) &&
           (s->count > 0 || find_name(s, split, false, e));
}

void vrt_shards_free(struct vrt_shards *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->files[i]);
    free(s->files);
    free(s->folder);
}
