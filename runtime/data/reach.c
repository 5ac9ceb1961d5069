/* Whether a path lies in the data. Input: a root as --data has it, a path; output: yes or no, by
 * device and inode, so that it does not matter how both are written. */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/data/odd.h"
#include "runtime/data/source.h"
#include "runtime/data/split.h"

/* What of the path is there, without links. */
static bool real_part(const char *path, char real[PATH_MAX])
{
    char part[PATH_MAX], *slash;

    snprintf(part, sizeof part, "%s", path);
    while (realpath(part, real) == NULL) {
        slash = strrchr(part, '/');
        if (slash == NULL)
            return realpath(".", real) != NULL;
        slash[slash == part] = '\0';
        if (strcmp(part, "/") == 0)
            return strcpy(real, "/") != NULL;
    }
    return true;
}

/* Is this folder the end of a real path, or one of those above it? */
static bool lies_in(const char *real, const struct vrt_file_id *folder)
{
    char part[PATH_MAX];
    struct vrt_file_id id;

    snprintf(part, sizeof part, "%s", real);
    for (char *end = part + strlen(part);; end = strrchr(part, '/')) {
        *end = '\0';
        if (vrt_file_find(part[0] != '\0' ? part : "/", &id) && vrt_file_same(&id, folder))
            return true;
        if (part[0] == '\0' || strcmp(part, "/") == 0)
            return false;
    }
}

/* Folders that are in `where` by a link; those of splits are looked into. What is in it without a
 * link is below the root. */
static bool linked(const char *where, const char *real, bool splits)
{
    DIR *dir = opendir(where);
    const struct dirent *entry;
    struct vrt_file_id id;
    char path[PATH_MAX];
    bool found = false;

    while (dir != NULL && !found && (entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        bool split = splits && vrt_split_kind(name, strlen(name)) != VRT_SPLIT_OTHER;
        if (vrt_odd_hidden(name) || vrt_entry_kind(dir, entry) != 'd')
            continue;
        snprintf(path, sizeof path, "%s/%s", where, name);
        found = (entry->d_type != DT_DIR && vrt_file_find(path, &id) && lies_in(real, &id)) ||
                (split && linked(path, real, false));
    }
    if (dir != NULL)
        closedir(dir);
    return found;
}

bool vrt_data_reaches(const char *root, const char *path)
{
    struct stat s;
    struct vrt_file_id id;
    char real[PATH_MAX];

    return stat(root, &s) == 0 && S_ISDIR(s.st_mode) && vrt_file_find(root, &id) &&
           real_part(path, real) && (lies_in(real, &id) || linked(root, real, true));
}

bool vrt_data_takes(const char *path)
{
    const char *slash = strrchr(path, '/');

    return vrt_odd_sort(slash != NULL ? slash + 1 : path) != VRT_ODD_NO_PICTURE;
}
