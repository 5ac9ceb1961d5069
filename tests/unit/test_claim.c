/* Claims on folders by several processes: with locks, and on a file system that has none. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/claim.h"
#include "tests/unit/fixture.h"

static int lock_error; /* of flock(); 0: it works */
static char place[PATH_MAX];

/* Stands in front of the C library's. */
int flock(int fd, int operation)
{
    errno = lock_error;
    return lock_error != 0 ? -1 : (int)syscall(SYS_flock, fd, operation);
}

static int new_place(int error)
{
    static int n;
    lock_error = error;
    snprintf(place, sizeof place, "%s/%d", folder, n++);
    return mkdir(place, 0777);
}

static int with_locks(void **state)
{
    (void)state;
    return new_place(0);
}

static int without_locks(void **state)
{
    (void)state;
    return new_place(ENOLCK);
}

static const char *in_place(const char *name)
{
    static char path[3 * PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", place, name);
    return path;
}

/* Entries of a folder. */
static int count(const char *path)
{
    DIR *d = opendir(path);
    int n = -2;
    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static struct vrt_claim *take(char who[VRT_CLAIM_WHO])
{
    struct vrt_claim *c;
    struct vrt_error e = {.text = ""};
    bool took = vrt_claim_take(&c, place, who, &e);
    assert_true(took == (c != NULL));
    if (e.text[0] != '\0')
        fail_msg("%s", e.text);
    return c;
}

static void must_take(void)
{
    char who[VRT_CLAIM_WHO];
    struct vrt_claim *c = take(who);
    if (c == NULL)
        fail_msg("held by %s", who);
    vrt_claim_drop(c);
}

/* The claim of another: a file of that name, so many seconds old. */
static void put_claim(const char *name, int age)
{
    char path[400];
    struct timespec times[2] = {{.tv_sec = time(NULL) - age}, {.tv_sec = time(NULL) - age}};
    mkdir(in_place("claim"), 0777);
    snprintf(path, sizeof path, "claim/%s", name);
    close(open(in_place(path), O_WRONLY | O_CREAT, 0666));
    assert_int_equal(utimensat(AT_FDCWD, in_place(path), times, 0), 0);
}

/* A child that takes the claim and ends without giving it up. */
static void die_holding(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        char who[VRT_CLAIM_WHO];
        _exit(take(who) != NULL ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void one_at_a_time(void **state)
{
    char who[VRT_CLAIM_WHO];
    struct vrt_error e;
    struct vrt_claim *c = take(who);
    (void)state;
    assert_non_null(c);
    assert_true(vrt_claim_holds(c, &e) && vrt_claim_holds(NULL, &e));
    assert_true(vrt_claim_seen(place));
    assert_null(take(who));
    assert_true(who[0] != '\0');
    assert_int_equal(count(place), lock_error != 0);
    assert_true(lock_error == 0 || vrt_claim_entry("claim"));
    vrt_claim_drop(c);
    vrt_claim_drop(NULL);
    assert_false(vrt_claim_seen(place));
    assert_int_equal(count(place), 0);
    must_take();
}

/* The dead of this machine are known to be dead. */
static void of_the_dead(void **state)
{
    (void)state;
    die_holding();
    assert_false(vrt_claim_seen(place));
    must_take();
    assert_int_equal(count(place), 0);
}

static void who_holds_it(void **state)
{
    char who[VRT_CLAIM_WHO], host[65] = "", text[100];
    struct vrt_claim *c = take(who);
    (void)state;
    assert_non_null(c);
    assert_null(take(who));
    gethostname(host, sizeof host - 1);
    snprintf(text, sizeof text, "process %ld on %s", (long)getpid(), host);
    assert_string_equal(who, text);
    vrt_claim_drop(c);
}

/* Of those of other machines the time tells; so it does for a name that says nothing. */
static void of_others(void **state)
{
    char who[VRT_CLAIM_WHO];
    struct vrt_claim *c;
    struct vrt_error e;
    (void)state;
    put_claim("node3,17,5,4026531836,another-boot", 60);
    assert_null(take(who));
    assert_string_equal(who, "process 17 on node3");
    assert_true(vrt_claim_seen(place));
    put_claim("node3,17,5,4026531836,another-boot", 600);
    assert_false(vrt_claim_seen(place));
    must_take();
    put_claim("something", 600); /* no training made it, however old it is */
    assert_false(vrt_claim_take(&c, place, who, &e));
    assert_string_equal(who, "");
    assert_int_equal(unlink(in_place("claim/something")), 0);
    must_take();
    assert_int_equal(count(place), 0);
    lock_error = 0; /* who has locks sees the folder, too */
    put_claim("node3,17,5,4026531836,another-boot", 60);
    assert_null(take(who));
    put_claim("node3,17,5,4026531836,another-boot", 600);
    must_take();
    assert_int_equal(count(place), 0);
}

static void unfinished(void **state)
{
    char who[VRT_CLAIM_WHO];
    struct timespec old[2] = {{.tv_sec = time(NULL) - 600}, {.tv_sec = time(NULL) - 600}};
    (void)state;
    mkdir(in_place("claim"), 0777); /* dropped by half */
    must_take();
    mkdir(in_place("claim.tmp,node3,17,5,1,b"), 0777);
    close(open(in_place("claim.tmp,node3,17,5,1,b/node3,17,5,1,b"), O_WRONLY | O_CREAT, 0666));
    assert_true(vrt_claim_entry("claim.tmp,node3,17,5,1,b"));
    must_take();
    assert_int_equal(count(place), 1); /* it may be of a process that is alive */
    utimensat(AT_FDCWD, in_place("claim.tmp,node3,17,5,1,b"), old, 0);
    must_take();
    assert_int_equal(count(place), 0);
    close(open(in_place("claim"), O_WRONLY | O_CREAT, 0666));
    struct vrt_claim *c;
    struct vrt_error e;
    assert_false(vrt_claim_take(&c, place, who, &e));
    assert_string_equal(who, "");
    assert_non_null(strstr(e.text, "choose another --out"));
}

/* A claim that another has taken over meanwhile. */
static void lost(void **state)
{
    char who[VRT_CLAIM_WHO], path[300] = "claim/";
    struct vrt_error e;
    struct vrt_claim *c = take(who);
    (void)state;
    assert_non_null(c);
    DIR *d = opendir(in_place("claim"));
    for (struct dirent *f = readdir(d); f != NULL; f = readdir(d))
        if (f->d_name[0] != '.')
            snprintf(path, sizeof path, "claim/%.200s", f->d_name);
    closedir(d);
    char *own = strdup(in_place(path));
    assert_int_equal(rename(own, in_place("claim/node3,17,5,1,b")), 0);
    free(own);
    assert_false(vrt_claim_holds(c, &e));
    assert_non_null(strstr(e.text, "taken over"));
    vrt_claim_drop(c);
    assert_int_equal(count(in_place("claim")), 1); /* that of the other stays */
}

/* Inside of a claim a file can be made that must not be there yet. False if two are inside. */
static bool work_alone(void)
{
    char who[VRT_CLAIM_WHO];
    int times = lock_error != 0 ? 100 : 5; /* who waits for a lock looks each 50 ms */
    for (int i = 0; i < times;) {
        struct vrt_claim *c = take(who);
        if (c == NULL)
            continue;
        int fd = open(in_place("inside"), O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (fd < 0 || close(fd) != 0 || unlink(in_place("inside")) != 0)
            return false;
        vrt_claim_drop(c);
        i++;
    }
    return true;
}

static void many_processes(void **state)
{
    enum { PROCESSES = 6 };
    int status;
    (void)state;
    for (int i = 0; i < PROCESSES; i++)
        if (fork() == 0)
            _exit(work_alone() ? 0 : 1);
    for (int i = 0; i < PROCESSES; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(count(place), 0);
}

/* Of many who find a dead claim one gets it: it says so, and holds it until all have tried. */
static void one_heir(void **state)
{
    enum { PROCESSES = 8, ROUNDS = 20 };
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        int go[2], done[2], heirs = 0, status;
        char byte, who[VRT_CLAIM_WHO];
        pid_t child[PROCESSES];
        if (round % 2 == 0)
            die_holding();
        else
            put_claim("node3,17,5,4026531836,another-boot", 600);
        assert_true(pipe(go) == 0 && pipe(done) == 0);
        for (int i = 0; i < PROCESSES; i++)
            if ((child[i] = fork()) == 0) {
                close(go[1]);
                (void)!read(go[0], &byte, 1); /* until all are there */
                struct vrt_claim *c = take(who);
                (void)!write(done[1], c != NULL ? "y" : "n", 1);
                close(done[1]);
                while (c != NULL)
                    pause();
                _exit(0);
            }
        close(go[0]);
        close(go[1]);
        for (int i = 0; i < PROCESSES; i++) {
            assert_int_equal(read(done[0], &byte, 1), 1);
            heirs += byte == 'y';
        }
        assert_int_equal(heirs, 1);
        for (int i = 0; i < PROCESSES; i++) {
            kill(child[i], SIGKILL);
            waitpid(child[i], &status, 0);
        }
        close(done[0]);
        close(done[1]);
        must_take();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_at_a_time, with_locks),
        cmocka_unit_test_setup(of_the_dead, with_locks),
        cmocka_unit_test_setup(many_processes, with_locks),
        cmocka_unit_test_setup(one_at_a_time, without_locks),
        cmocka_unit_test_setup(of_the_dead, without_locks),
        cmocka_unit_test_setup(many_processes, without_locks),
        cmocka_unit_test_setup(who_holds_it, without_locks),
        cmocka_unit_test_setup(of_others, without_locks),
        cmocka_unit_test_setup(unfinished, without_locks),
        cmocka_unit_test_setup(lost, without_locks),
        cmocka_unit_test_setup(one_heir, without_locks),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("claim", tests, make_folder, remove_folder);
    return 0;
}
