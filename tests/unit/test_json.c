/* JSON whole or not at all: each allocation fails in turn, in building, reading and writing. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/json.h"

static void reads_and_writes(void **state)
{
    static const char text[] = "{\"a\":[1,2.5,\"\xc3\xa9\"]}";
    struct vrt_error e;
    (void)state;
    json_t *j = vrt_json_read(text, strlen(text), 0, "it", &e);
    assert_non_null(j);
    char *again = vrt_json_write(j, JSON_COMPACT, "it", &e);
    assert_string_equal(again, text);
    free(again);
    assert_null(vrt_json_read("[1,\n2", 5, 0, "it", &e));
    assert_int_equal(e.code, VRT_BAD_INPUT);
    assert_non_null(strstr(e.text, "it is no valid JSON (line 2"));
    assert_null(vrt_json_write(NULL, 0, "it", &e));
    assert_int_equal(e.code, VRT_INTERNAL);
    assert_null(vrt_json_read_file("/no/such/file", &e));
    assert_int_equal(e.code, VRT_BAD_INPUT);
}

#ifndef VMOE_SANITIZE

/* In malloc's place: the sanitizers want to be there themselves. */
void *__libc_malloc(size_t size);
void *__libc_realloc(void *block, size_t size);
void __libc_free(void *block);

static long fail_at, calls, blocks; /* fail_at 0: none fails */

static bool fails(void)
{
    return ++calls == fail_at;
}

void *malloc(size_t size)
{
    void *block = fails() ? NULL : __libc_malloc(size);
    blocks += block != NULL;
    return block;
}

void *realloc(void *block, size_t size)
{
    void *grown = fails() ? NULL : __libc_realloc(block, size);
    blocks += grown != NULL && block == NULL;
    return grown;
}

void free(void *block)
{
    blocks -= block != NULL;
    __libc_free(block);
}

/* There and back again, with strings long enough to grow jansson's buffers in their middle. */
static char *round_trip(struct vrt_error *e)
{
    static char text[700];
    json_t *list = json_array();
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < 20; i++)
        json_array_append_new(
            list, json_pack("{s:i, s:o}", "n", i, "text", vrt_json_text(i % 2 ? "a\xff" : text)));
    char *written = vrt_json_write(json_pack("{s:o}", "list", list), JSON_COMPACT, "it", e);
    json_t *j = written != NULL ? vrt_json_read(written, strlen(written), 0, "it", e) : NULL;
    free(written);
    return j != NULL ? vrt_json_write(j, JSON_COMPACT, "it", e) : NULL;
}

static void finds_no_memory(void **state)
{
    struct vrt_error e;
    (void)state;
    fail_at = calls = 0;
    char *right = round_trip(&e);
    long all = calls;
    assert_non_null(right);
    assert_true(all > 200);
    for (long k = 1; k <= all; k++) {
        long before = blocks;
        calls = 0, fail_at = k;
        char *got = round_trip(&e);
        fail_at = 0;
        assert_null(got);
        assert_int_equal(e.code, VRT_NO_MEMORY);
        assert_int_equal(blocks, before);
    }
    calls = 0;
    char *again = round_trip(&e);
    assert_string_equal(again, right);
    free(again);
    free(right);
}

#endif

static void cleans_text(void **state)
{
    static const char *const cases[][2] = {
        {"plain", "plain"},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"a\xff"
         "b",
         "a\xEF\xBF\xBD"
         "b"},
        {"\xff\xc3\xa9\xe2\x82", "\xEF\xBF\xBD\xc3\xa9\xEF\xBF\xBD\xEF\xBF\xBD"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *j = vrt_json_text(cases[i][0]);
        assert_string_equal(json_string_value(j), cases[i][1]);
        json_decref(j);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cleans_text),
        cmocka_unit_test(reads_and_writes),
#ifndef VMOE_SANITIZE
        cmocka_unit_test(finds_no_memory),
#endif
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
