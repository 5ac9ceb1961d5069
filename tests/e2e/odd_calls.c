/* A library to preload that makes calls as odd as some file systems do.
 *
 *   SLOW_FOLDERS=FILE    each entry of a folder takes 0.1 s; FILE is made when the first is read
 *   FLOCK_FAILS=1        there are no locks
 *   NETWORK_FOLDERS=1    every file system is NFS
 *   MANY_PROCESSORS=1    the affinity mask has 3000 processors
 *   NO_LIBRARY=TEXT      libraries whose name holds this text cannot be opened */
#include "config.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

#define REAL(result, name, ...) ((result(*)(__VA_ARGS__))(uintptr_t)dlsym(RTLD_NEXT, #name))

struct dirent *readdir(DIR *d)
{
    const char *told = getenv("SLOW_FOLDERS");
    if (told != NULL) {
        close(open(told, O_WRONLY | O_CREAT, 0666));
        usleep(100000);
    }
    return REAL(struct dirent *, readdir, DIR *)(d);
}

int flock(int fd, int operation)
{
    if (getenv("FLOCK_FAILS") == NULL)
        return REAL(int, flock, int, int)(fd, operation);
    errno = ENOLCK;
    return -1;
}

int fstatfs(int fd, struct statfs *s)
{
    int status = REAL(int, fstatfs, int, struct statfs *)(fd, s);
    if (getenv("NETWORK_FOLDERS") != NULL)
        s->f_type = 0x6969;
    return status;
}

int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    if (getenv("MANY_PROCESSORS") == NULL)
        return REAL(int, sched_getaffinity, pid_t, size_t, cpu_set_t *)(pid, size, set);
    errno = EINVAL;
    if (size < 3000 / 8)
        return -1;
    memset(set, 0, size);
    memset(set, 0xff, 3000 / 8);
    return 0;
}

void *dlopen(const char *name, int mode)
{
    const char *missing = getenv("NO_LIBRARY");
    bool lacks = missing != NULL && name != NULL && strstr(name, missing) != NULL;
    return REAL(void *, dlopen, const char *, int)(lacks ? "no-such-library.so" : name, mode);
}
