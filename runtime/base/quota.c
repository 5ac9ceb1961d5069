/* How many processors this process may use: see quota.h. The control group of the process is in
 * /proc/self/cgroup; where its hierarchy is mounted, in /proc/self/mountinfo; a group's quota, in
 * cpu.max (version 2) or cpu.cfs_quota_us and cpu.cfs_period_us (version 1). */
#include "runtime/base/quota.h"

#include <limits.h>
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/thread.h"

/* -- files -- */

/* These files have no size to go by. */
static FILE *open_below(const char *root, const char *path)
{
    char whole[PATH_MAX];
    int n = snprintf(whole, sizeof whole, "%s%s", root, path);
    return n > 0 && n < (int)sizeof whole ? fopen(whole, "re") : NULL;
}

/* The first line of FOLDER/name, with its words. */
static bool read_line(const char *folder, const char *name, char line[64])
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "/%s", name);
    FILE *f = n > 0 && n < (int)sizeof path ? open_below(folder, path) : NULL;
    bool read = f != NULL && fgets(line, 64, f) != NULL;
    if (f != NULL)
        fclose(f);
    return read;
}

/* The quota of one group, in processors; 0: none. "max" and "-1" are no numbers above 0. */
static double quota_of(const char *folder, bool version2)
{
    char line[64], period[64];
    double us = 0, of = 0;
    if (version2 && read_line(folder, "cpu.max", line))
        sscanf(line, "%lf %lf", &us, &of);
    if (!version2 && read_line(folder, "cpu.cfs_quota_us", line) &&
        read_line(folder, "cpu.cfs_period_us", period)) {
        us = atof(line);
        of = atof(period);
    }
    return us > 0 && of > 0 ? us / of : 0;
}

/* -- where the groups are -- */

/* Is the word among those between commas? */
static bool lists(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = list; at != NULL; at = strchr(at, ','), at += at != NULL)
        if (strncmp(at, word, n) == 0 && (at[n] == ',' || at[n] == '\0' || at[n] == '\n'))
            return true;
    return false;
}

/* The path of the process's group; "0::/a" of version 2, "4:cpu,cpuacct:/a" of version 1. */
static bool own_group(const char *root, bool version2, char path[PATH_MAX])
{
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    FILE *f = open_below(root, "/proc/self/cgroup");
    while (f != NULL && !found && getline(&line, &room, f) >= 0) {
        char *list = strchr(line, ':'), *own = list != NULL ? strchr(list + 1, ':') : NULL;
        if (own == NULL)
            continue;
        *own++ = '\0';
        own[strcspn(own, "\n")] = '\0';
        found = version2 ? strncmp(line, "0:", 2) == 0 && list[1] == '\0' : lists(list + 1, "cpu");
        if (found)
            snprintf(path, PATH_MAX, "%s", own);
    }
    free(line);
    if (f != NULL)
        fclose(f);
    return found;
}

/* "\040" is a blank, in mountinfo. */
static void decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; to++)
        if (from[0] == '\\' && strspn(from + 1, "01234567") >= 3) {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else
            *to = *from++;
    *to = '\0';
}

struct mount {
    char *top;   /* the group that stands at the mount's root */
    char *point; /* where it is mounted */
};

/* "36 35 0:30 TOP POINT rw shared:1 - cgroup2 cgroup2 rw"; of version 1 the last word lists the
 * controllers. */
static bool read_mount(char *line, bool version2, struct mount *m)
{
    char *rest = strstr(line, " - "), *word = NULL, *field[6] = {NULL};
    int n = 0;
    if (rest == NULL)
        return false;
    *rest = '\0';
    for (char *w = strtok_r(line, " ", &word); w != NULL && n < 6; w = strtok_r(NULL, " ", &word))
        field[n++] = w;
    const char *kind = strtok_r(rest + 3, " \n", &word);
    strtok_r(NULL, " \n", &word);
    const char *options = strtok_r(NULL, " \n", &word);
    if (n < 5 || kind == NULL || strcmp(kind, version2 ? "cgroup2" : "cgroup") != 0 ||
        (!version2 && (options == NULL || !lists(options, "cpu"))))
        return false;
    *m = (struct mount){field[3], field[4]};
    decode(m->top);
    decode(m->point);
    return true;
}

/* The folder of a group below a mount. A group that is not below the mount's root is seen from
 * inside of a container: the mount is all that can be known of it. */
static void group_folder(const char *root, const struct mount *m, const char *group,
                         char folder[PATH_MAX])
{
    size_t n = strcmp(m->top, "/") == 0 ? 0 : strlen(m->top);
    bool below = strncmp(group, m->top, n) == 0 && (group[n] == '/' || group[n] == '\0') &&
                 strstr(group, "/..") == NULL;
    snprintf(folder, PATH_MAX, "%s%s%s", root, m->point, below ? group + n : "");
}

static double smaller(double a, double b)
{
    return a > 0 && (b <= 0 || a < b) ? a : b;
}

/* The smallest quota from a group up to the mount that it lies in. */
static double quota_up(char *folder, size_t mount, bool version2)
{
    double least = 0;
    for (size_t n = strlen(folder); n >= mount && n > 0;) {
        folder[n] = '\0';
        least = smaller(quota_of(folder, version2), least);
        do
            n--;
        while (n > mount && folder[n] != '/');
    }
    return least;
}

static double quota_of_version(const char *root, bool version2)
{
    char group[PATH_MAX], folder[PATH_MAX], *line = NULL;
    size_t room = 0;
    double least = 0;
    struct mount m;
    if (!own_group(root, version2, group))
        return 0;
    FILE *f = open_below(root, "/proc/self/mountinfo");
    while (f != NULL && getline(&line, &room, f) >= 0)
        if (read_mount(line, version2, &m)) {
            group_folder(root, &m, group, folder);
            least = smaller(quota_up(folder, strlen(root) + strlen(m.point), version2), least);
        }
    free(line);
    if (f != NULL)
        fclose(f);
    return least;
}

double vrt_quota_cpus(const char *root)
{
    return smaller(quota_of_version(root, false), quota_of_version(root, true));
}

/* -- the processors -- */

/* A mask that is too small for the machine is an error of the call. */
static int allowed_processors(void)
{
    for (int n = 1024; n <= 1 << 20; n *= 4) {
        size_t size = CPU_ALLOC_SIZE(n);
        cpu_set_t *set = CPU_ALLOC(n);
        int count =
            set != NULL && sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (count > 0)
            return count;
    }
    return 1;
}

void vrt_quota_read(struct vrt_quota *q, const char *root)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    *q = (struct vrt_quota){.allowed = allowed_processors(), .cpus = vrt_quota_cpus(root)};
    q->processors = processors > q->allowed ? (int)processors : q->allowed;
    q->threads = q->allowed < VRT_MAX_THREADS ? q->allowed : VRT_MAX_THREADS;
    if (q->cpus > 0 && ceil(q->cpus) < q->threads)
        q->threads = (int)ceil(q->cpus);
}
