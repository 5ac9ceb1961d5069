/* Names in their natural order, and networks compared by the text of their specs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/io/natural.h"
#include "runtime/io/network.h"

static void orders_naturally(void **state)
{
    static const char *const sorted[] = {
        "",
        "0",
        "1",
        "01x",
        "2",
        "10",
        "99999999999999999999",
        "100000000000000000000",
        " 1",
        "a",
        "A1",
        "a1b",
        "a2",
        "A10",
        "a 1",
        "ab1",
        "b",
        "b1c",
        "b1c2",
        "B1c10",
    };
    enum { N = sizeof sorted / sizeof *sorted };
    const char *names[N];
    int64_t places[N];
    (void)state;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            int order = vrt_natural_compare(sorted[i], sorted[j]);
            if ((order > 0) - (order < 0) != (i > j) - (i < j))
                fail_msg("`%s` and `%s` give %d", sorted[i], sorted[j], order);
        }
    assert_int_equal(vrt_natural_compare("a01", "A1"), 0);
    for (int i = 0; i < N; i++)
        names[(i * 7 + 3) % N] = sorted[i];
    assert_true(vrt_natural_order(names, N, places));
    for (int i = 0; i < N; i++)
        assert_string_equal(names[places[i]], sorted[i]);
}

static void compares_networks(void **state)
{
    static const char a[] =
        "vmoe 1\n\nmodel m {\n  input = image(crop: 1.0)\n  stage s {\n    relu\n"
        "    moe mlp {\n      top_k = 1\n      noise = 0.25\n    }\n    moe mlp {\n"
        "      top_k = 1\n    }\n    drop_path(share: 0.5)\n  }\n}\n\nexperiment x {\n"
        "  data {\n    root = \"/home/me\"\n  }\n}\n";
    static const struct {
        const char *from, *to, *expect, *input; /* input: where only that counts */
    } cases[] = {
        {"experiment x", "experiment y", NULL, NULL},
        {"model m", "model other", NULL, NULL},
        {"stage s", "stage trunk", NULL, NULL},
        {"noise = 0.25", "noise = 0.0", NULL, NULL},
        {"drop_path(share: 0.5)", "drop_path(share: 0.0)", NULL, NULL},
        {"    relu\n", "    relu\n    drop = dropout(rate: 0.1)\n", NULL, NULL},
        {"top_k = 1", "top_k = 2", "`top_k = 1` there, `top_k = 2` here", NULL},
        {"relu", "gelu", "`relu` there, `gelu` here", NULL},
        {"    relu\n", "", "`relu` there, `moe mlp {` here", NULL},
        {"crop: 1.0", "crop: 0.9",
         "`input = image(crop: 1.0)` there, `input = image(crop: 0.9)` here",
         "`input = image(crop: 1.0)` there, `input = image(crop: 0.9)` here"},
    };
    char *there = vrt_network_text(a), other[sizeof a + 100], text[400];
    (void)state;
    assert_non_null(there);
    assert_null(strstr(there, "/home/me")); /* no paths in files that are given away */
    assert_null(strstr(there, "experiment"));
    assert_non_null(strstr(there, "drop_path"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *rest = a, *found;
        other[0] = '\0';
        for (; (found = strstr(rest, cases[i].from)) != NULL; rest = found + strlen(cases[i].from))
            snprintf(other + strlen(other), sizeof other - strlen(other), "%.*s%s",
                     (int)(found - rest), rest, cases[i].to);
        snprintf(other + strlen(other), sizeof other - strlen(other), "%s", rest);
        assert_string_not_equal(other, a);
        char *here = vrt_network_text(other);
        const char *expect[] = {cases[i].expect, cases[i].input};
        for (int only = 0; only < 2; only++) {
            bool differs = vrt_network_differs(there, here, only == 1, text, sizeof text);
            assert_int_equal(differs, expect[only] != NULL);
            assert_string_equal(text, expect[only] != NULL ? expect[only] : "");
        }
        free(here);
    }
    assert_true(vrt_network_differs(there, "", false, text, 30)); /* whatever room there is */
    assert_int_equal(strlen(text), 29);
    free(there);
    there = vrt_network_text("vmoe 1\n");
    assert_string_equal(there, "");
    free(there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_naturally),
        cmocka_unit_test(compares_networks),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
