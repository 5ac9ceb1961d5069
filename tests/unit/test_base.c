/* Files that are replaced whole, and tasks on threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/file.h"
#include "runtime/base/thread.h"
#include "runtime/vrt.h"
#include "tests/unit/fixture.h"
#include "tests/unit/pictures.h"

static void writes_files(void **state)
{
    struct vrt_buffer b = {0};
    struct vrt_writer w;
    struct vrt_error e;
    struct vrt_map m;

    (void)state;
    write_file(in_folder("f"), "old", 3);
    assert_true(vrt_writer_begin(&w, in_folder("f"), &e) && vrt_writer_write(&w, "new", 3, &e));
    vrt_writer_abandon(&w);
    assert_true(vrt_file_read(in_folder("f"), 100, &b, &e));
    assert_string_equal((char *)b.data, "old");
    write_file(in_folder("f"), "newer", 5);
    assert_true(vrt_file_map(in_folder("f"), &m, &e));
    assert_int_equal(m.size, 5);
    assert_memory_equal(m.data, "newer", 5);
    vrt_file_unmap(&m);
    assert_false(vrt_file_read(in_folder("f"), 4, &b, &e));
    assert_false(vrt_file_read(folder, 100, &b, &e));
    assert_non_null(strstr(e.text, "not a regular file"));
    assert_false(vrt_file_write(in_folder("no/such/folder"), "x", 1, &e));
    assert_false(vrt_file_write("/dev/full/x", "x", 1, &e));
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
    vrt_gemm_tn(c, 2, a, 4, b, 2, 4, 2, 3);
    for (int m = 0; m < 4; m++)
        for (int n = 0; n < 2; n++)
            assert_true(c[2 * m + n] ==
                        100 + a[m] * b[n] + a[4 + m] * b[2 + n] + a[8 + m] * b[4 + n]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(writes_files),
                                       cmocka_unit_test(runs_tasks)};

    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("base", tests, make_folder, remove_folder);
    return 0;
}
