/* Quotas of processor time, from made-up control groups: files below a folder of the test. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "runtime/base/quota.h"
#include "tests/unit/fixture.h"

static char root[PATH_MAX];

/* A new root, empty. */
static int new_root(void **state)
{
    static int n;
    (void)state;
    snprintf(root, sizeof root, "%s/%d", folder, n++);
    return mkdir(root, 0777);
}

/* A file below the root, with its folders. */
static void put(const char *path, const char *text)
{
    char whole[2 * PATH_MAX];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(whole, 0777);
        *slash = '/';
    }
    FILE *f = fopen(whole, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void is(double wanted)
{
    assert_true(vrt_quota_cpus(root) == wanted);
}

static const char mounts2[] = "25 1 0:20 / /proc rw - proc proc rw\n"
                              "36 25 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 "
                              "rw,nsdelegate\n";

static void none(void **state)
{
    struct vrt_quota q;
    (void)state;
    is(0);
    put("/proc/self/cgroup", "");
    put("/proc/self/mountinfo", "broken\n1 2 - \n - cgroup2\n\n");
    is(0);
    put("/proc/self/cgroup", "0::/a\nbroken\n:\n::\n");
    put("/proc/self/mountinfo", mounts2);
    is(0);
    vrt_quota_read(&q, root);
    assert_true(q.cpus == 0 && q.allowed >= 1 && q.processors >= q.allowed);
    assert_int_equal(q.threads, q.allowed < 1024 ? q.allowed : 1024);
}

static void version2(void **state)
{
    struct vrt_quota q;
    (void)state;
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/proc/self/mountinfo", mounts2);
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    is(0);
    put("/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
    is(1.5);
    put("/sys/fs/cgroup/cpu.max", "100000 50000\n");
    is(1.5);
    put("/sys/fs/cgroup/a/b/cpu.max", "25000 100000\n");
    is(0.25);
    vrt_quota_read(&q, root);
    assert_int_equal(q.threads, 1);
    put("/sys/fs/cgroup/a/b/cpu.max", "nonsense\n");
    is(1.5);
    put("/sys/fs/cgroup/other/cpu.max", "1 100000\n");
    is(1.5);
}

/* Version 1, as a container sees it: its group is the root of the mount. */
static void version1(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "5:cpuset:/x\n4:cpu,cpuacct:/docker/c0ffee\n1:name=systemd:/x\n");
    put("/proc/self/mountinfo",
        "40 30 0:31 /docker/c0ffee /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
        "41 30 0:32 / /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpuset/x/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpuset/x/cpu.cfs_quota_us", "1000\n");
    is(0);
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "250000\n");
    is(2.5);
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "0\n");
    is(0);
}

static void both_versions(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "1:cpu:/j\n0::/j\n");
    put("/proc/self/mountinfo", "32 31 0:30 / /v1 rw - cgroup cgroup rw,cpu\n"
                                "41 31 0:38 / /v2\\040b rw - cgroup2 cgroup2 rw\n");
    put("/v1/j/cpu.cfs_period_us", "100000\n");
    put("/v1/j/cpu.cfs_quota_us", "300000\n");
    is(3);
    put("/v2 b/j/cpu.max", "200000 100000\n");
    is(2);
    put("/v1/cpu.cfs_period_us", "10000\n");
    put("/v1/cpu.cfs_quota_us", "10000\n");
    is(1);
}

/* Groups that are not below what is mounted. */
static void elsewhere(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", "36 25 0:30 /pod /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    put("/sys/fs/cgroup/cpu.max", "400000 100000\n");
    put("/sys/fs/cgroup/s/cpu.max", "100000 100000\n");
    put("/proc/self/cgroup", "0::/../s\n");
    is(4);
    put("/proc/self/cgroup", "0::/pods/s\n");
    is(4);
    put("/proc/self/cgroup", "0::/pod/s\n");
    is(1);
    put("/proc/self/cgroup", "0::/pod\n");
    is(4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(none, new_root),
        cmocka_unit_test_setup(version2, new_root),
        cmocka_unit_test_setup(version1, new_root),
        cmocka_unit_test_setup(both_versions, new_root),
        cmocka_unit_test_setup(elsewhere, new_root),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("quota", tests, make_folder, remove_folder);
    return 0;
}
