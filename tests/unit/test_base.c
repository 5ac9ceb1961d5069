/* Files that are replaced whole or written in place, text for people, tasks on threads, and numbers
 * that are none. */
#include <fcntl.h>
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/blas.h"
#include "runtime/base/file.h"
#include "runtime/base/finite.h"
#include "runtime/base/show.h"
#include "runtime/base/thread.h"
#include "runtime/vrt.h"
#include "tests/unit/fixture.h"
#include "tests/unit/pictures.h"

static void writes_files(void **state)
{
    struct vrt_buffer b = {0};
    struct vrt_writer w;
    struct vrt_error e;

    (void)state;
    write_file(in_folder("f"), "old", 3);
    assert_true(vrt_writer_begin(&w, in_folder("f"), &e) && vrt_writer_write(&w, "new", 3, &e));
    vrt_writer_abandon(&w);
    assert_true(vrt_file_read(in_folder("f"), 100, &b, &e));
    assert_string_equal((char *)b.data, "old");
    write_file(in_folder("f"), "newer", 5);
    assert_false(vrt_file_read(in_folder("f"), 4, &b, &e));
    assert_false(vrt_file_read(folder, 100, &b, &e));
    assert_non_null(strstr(e.text, "not a regular file"));
    assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
    assert_int_equal(vrt_file_update(in_folder("pipe"), &e), -1);
    assert_non_null(strstr(e.text, "not a regular file"));
    assert_int_equal(vrt_file_update(folder, &e), -1);
    assert_non_null(strstr(e.text, "not a regular file"));
    assert_false(vrt_file_write(in_folder("no/such/folder"), "x", 1, &e));
    assert_false(vrt_file_write("/dev/full/x", "x", 1, &e));
    vrt_buffer_free(&b);
}

static void same_content(const char *path, const char *text)
{
    struct vrt_buffer b = {0};
    struct vrt_error e;

    assert_true(vrt_file_read(path, 100, &b, &e));
    assert_string_equal((char *)b.data, text);
    vrt_buffer_free(&b);
}

/* A link stays and its file is replaced, with its mode; a dangling one makes its own. */
static void writes_through_links(void **state)
{
    struct vrt_error e;
    struct stat s;

    (void)state;
    assert_int_equal(mkdir(in_folder("links"), 0777), 0);
    write_file(in_folder("links/real"), "old", 3);
    assert_int_equal(chmod(in_folder("links/real"), 0640), 0);
    assert_int_equal(symlink("links/real", in_folder("near")), 0);
    assert_int_equal(symlink("../near", in_folder("links/far")), 0);
    assert_int_equal(symlink("new", in_folder("links/dangling")), 0);
    assert_int_equal(symlink("circle", in_folder("links/circle")), 0);
    assert_true(vrt_file_write(in_folder("links/far"), "new", 3, &e));
    same_content(in_folder("links/real"), "new");
    assert_true(lstat(in_folder("links/far"), &s) == 0 && S_ISLNK(s.st_mode));
    assert_true(lstat(in_folder("near"), &s) == 0 && S_ISLNK(s.st_mode));
    assert_true(stat(in_folder("links/real"), &s) == 0 && (s.st_mode & 0777) == 0640);
    assert_true(vrt_file_write(in_folder("links/dangling"), "made", 4, &e));
    assert_true(lstat(in_folder("links/dangling"), &s) == 0 && S_ISLNK(s.st_mode));
    same_content(in_folder("links/new"), "made");
    assert_false(vrt_file_write(in_folder("links/circle"), "x", 1, &e));
    assert_false(vrt_file_write(in_folder("links"), "x", 1, &e));
    assert_non_null(strstr(e.text, "it is a folder"));
    assert_true(vrt_path_same(in_folder("links/far"), in_folder("links/real")));
    assert_true(vrt_path_same(in_folder("links/none"), in_folder("links/../links/none")));
    assert_false(vrt_path_same(in_folder("links/none"), in_folder("none")));
    assert_false(vrt_path_same(in_folder("links/none"), in_folder("links/real")));
}

/* The file of a killed writer is neither used nor taken for one's own. */
static void leaves_other_temporaries(void **state)
{
    struct vrt_error e;
    char name[100], path[600];

    (void)state;
    snprintf(name, sizeof name, "t.%ld.tmp", (long)getpid());
    assert_int_equal(symlink("f", in_folder("%s", name)), 0);
    snprintf(path, sizeof path, "%s", in_folder("f"));
    write_file(path, "kept", 4);
    assert_true(vrt_file_write(in_folder("t"), "new", 3, &e));
    same_content(in_folder("t"), "new");
    same_content(path, "kept");
}

/* A pipe is written, not replaced; so is what stdout goes to, and behind what is there. By links of
 * its own: where this fails, nothing of /dev is lost. */
static void writes_in_place(void **state)
{
    struct vrt_error e;
    struct stat s;
    char got[10] = "";

    (void)state;
    assert_int_equal(mkfifo(in_folder("water"), 0666), 0);
    int fd = open(in_folder("water"), O_RDWR | O_NONBLOCK);
    assert_true(vrt_file_write(in_folder("water"), "water", 5, &e));
    assert_int_equal(read(fd, got, sizeof got), 5);
    assert_string_equal(got, "water");
    close(fd);
    assert_true(stat(in_folder("water"), &s) == 0 && S_ISFIFO(s.st_mode));
    assert_int_equal(symlink("/dev/null", in_folder("null")), 0);
    assert_true(vrt_file_write(in_folder("null"), "x", 1, &e));
    assert_true(stat(in_folder("null"), &s) == 0 && S_ISCHR(s.st_mode));

    assert_int_equal(symlink("/proc/self/fd/1", in_folder("fd1")), 0);
    fflush(stdout);
    int kept = dup(STDOUT_FILENO);
    fd = open(in_folder("stdout"), O_WRONLY | O_CREAT, 0666);
    dup2(fd, STDOUT_FILENO);
    bool ok = write(STDOUT_FILENO, "one ", 4) == 4 &&
              vrt_file_write(in_folder("stdout"), "two ", 4, &e) &&
              vrt_file_write(in_folder("fd1"), "three ", 6, &e) &&
              write(STDOUT_FILENO, "four", 4) == 4;
    dup2(kept, STDOUT_FILENO);
    assert_true(ok);
    same_content(in_folder("stdout"), "one two three four");
    close(fd);
    close(kept);
}

/* A file without a name any more is reached by its descriptor alone. */
static void writes_nameless_files(void **state)
{
    struct vrt_error e;
    char path[40], got[10] = "";

    (void)state;
    int fd = open(in_folder("nameless"), O_RDWR | O_CREAT, 0666);
    assert_int_equal(write(fd, "long ago", 8), 8);
    assert_int_equal(unlink(in_folder("nameless")), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    assert_true(vrt_file_write(path, "now", 3, &e));
    assert_int_equal(pread(fd, got, sizeof got, 0), 3);
    assert_string_equal(got, "now");
    close(fd);
}

static void shows_text(void **state)
{
    static const char *const rows[][3] = {
        {"plain", "plain", "plain"},
        {"", "", "''"},
        {"a b", "a b", "'a b'"},
        {"it's", "it's", "'it'\\''s'"},
        {"~/$x`y\\", "~/$x`y\\", "'~/$x`y\\'"},
        {"x=1", "x=1", "'x=1'"},
        {"\xc3\xa4 \xe2\x82\xac", "\xc3\xa4 \xe2\x82\xac", "'\xc3\xa4 \xe2\x82\xac'"},
        {"\x1b[31m'\\", "\\x1b[31m'\\", "$'\\033[31m\\047\\134'"},
        {"a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f", "$'a\\012b\\011c\\177'"},
        {"\xc2\x9b", "\\u009b", "$'\\302\\233'"},
        {"a\xe2\x80\xaegpj", "a\\u202egpj", "$'a\\342\\200\\256gpj'"},
        {"\xe2\x81\xa6\xe2\x80\xa8", "\\u2066\\u2028", "$'\\342\\201\\246\\342\\200\\250'"},
        {"\xff\xc0\xaf\xed\xa0\x80", "\\xff\\xc0\\xaf\\xed\\xa0\\x80",
         "$'\\377\\300\\257\\355\\240\\200'"},
        {"\xe2\x82", "\\xe2\\x82", "$'\\342\\202'"},
    };
    char out[100];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_string_equal(vrt_show_text(out, sizeof out, rows[i][0]), rows[i][1]);
        assert_string_equal(vrt_quote(out, sizeof out, rows[i][0]), rows[i][2]);
        assert_true(strlen(out) <= 4 * strlen(rows[i][0]) + 4);
    }
    assert_string_equal(vrt_show_text(out, 6, "ab\x1b"), "ab"); /* a whole character or none */
    assert_string_equal(vrt_quote(out, 4, "a b"), "'a ");
}

static void reads_texts(void **state)
{
    static const struct {
        const char *bytes, *text;
    } cases[] = {{"a\n", "a\n"},
                 {"\xef\xbb\xbf"
                  "a\n",
                  "a\n"},
                 {"\xef\xbb\xbf", ""},
                 {"", ""},
                 {"\xef\xbb", "\xef\xbb"},
                 {"\xff\xfe"
                  "a",
                  NULL},
                 {"\xfe\xff", NULL}};
    struct vrt_buffer b = {0};
    struct vrt_error e;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_file(in_folder("text"), cases[i].bytes, strlen(cases[i].bytes));
        assert_int_equal(vrt_file_read_text(in_folder("text"), 100, &b, &e), cases[i].text != NULL);
        if (cases[i].text != NULL) {
            assert_string_equal((char *)b.data, cases[i].text);
            assert_int_equal(b.size, strlen(cases[i].text));
        } else
            assert_non_null(strstr(e.text, "text is a text in UTF-16; save it as UTF-8"));
    }
    vrt_buffer_free(&b);
}

struct squares {
    struct vrt_ctx ctx; /* first: tasks get its address */
    int64_t result[1000];
};

static void square(void *ctx, int64_t i, void *scratch)
{
    struct squares *s = ctx;

    assert_int_equal((uintptr_t)scratch % 64, 0);
    memset(scratch, (int)i, 1000);
    s->result[i] = i * i;
}

static void runs_tasks(void **state)
{
    static struct squares s;
    void (*run)(void *, int64_t, void *) = square;
    float a[3 * 4], b[3 * 2], c[4 * 2];
    struct vrt_error e;
    void *task;

    (void)state;
    memcpy(&task, &run, sizeof task);
    assert_false(vrt_threads_start(&s.ctx, 0, 10, &e));
    for (int threads = 1; threads <= 3; threads++) {
        memset(s.result, 0, sizeof s.result);
        assert_true(vrt_threads_start(&s.ctx, threads, 1000, &e));
        assert_int_equal(vrt_threads_count(&s.ctx), threads);
        vrt_parallel(&s, task, 1000);
        for (int64_t i = 0; i < 1000; i++)
            assert_int_equal(s.result[i], i * i);
        vrt_threads_stop(&s.ctx);
    }
    for (int i = 0; i < 12; i++)
        a[i] = (float)i;
    for (int i = 0; i < 6; i++)
        b[i] = (float)(i + 1);
    for (int i = 0; i < 8; i++)
        c[i] = 100;
    assert_true(vrt_blas_open(1, &e));
    vrt_blas_calm();
    vrt_gemm_tn(c, 2, a, 4, b, 2, 4, 2, 3);
    for (int m = 0; m < 4; m++)
        for (int n = 0; n < 2; n++)
            assert_true(c[2 * m + n] ==
                        100 + a[m] * b[n] + a[4 + m] * b[2 + n] + a[8 + m] * b[4 + n]);
}

static void finds_what_is_not_finite(void **state)
{
    enum { N = 3000 };
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY},
                       good[] = {0, -0.0f, 1, -FLT_MAX, FLT_MAX, FLT_TRUE_MIN, -FLT_MIN};
    static float x[N];

    (void)state;
    for (int i = 0; i < N; i++)
        x[i] = good[i % 7];
    for (int n = 0; n < N; n += 7)
        assert_int_equal(vrt_not_finite(x, n), -1);
    for (int i = 0; i < N; i++) {
        float old = x[i];
        x[i] = bad[i % 4];
        assert_int_equal(vrt_not_finite(x, N), i);
        assert_int_equal(vrt_not_finite(x, i), -1);
        x[i] = old;
    }
    x[5] = x[2500] = NAN;
    assert_int_equal(vrt_not_finite(x, N), 5);
    assert_int_equal(vrt_not_finite(x + 6, N - 6), 2494);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(writes_files),
                                       cmocka_unit_test(writes_through_links),
                                       cmocka_unit_test(leaves_other_temporaries),
                                       cmocka_unit_test(writes_in_place),
                                       cmocka_unit_test(writes_nameless_files),
                                       cmocka_unit_test(shows_text),
                                       cmocka_unit_test(reads_texts),
                                       cmocka_unit_test(runs_tasks),
                                       cmocka_unit_test(finds_what_is_not_finite)};

    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("base", tests, make_folder, remove_folder);
    return 0;
}
