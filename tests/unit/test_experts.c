/* What is told of the experts, against numbers counted by hand: the sums of an evaluation, its
 * tables, the line of an epoch with more experts than any fixed buffer holds, and analysis.json,
 * read back by another reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/io/experts.h"
#include "runtime/io/metrics.h"
#include "runtime/program/analysis.h"
#include "tests/unit/fixture.h"

/* Two layers: tokens choose among three experts, then two experts choose.
 * Of BALANCE each has made, dropped, items, since, entropy. */
static const struct vrt_moe moes[] = {
    {.name = "a[1].mlp",
     .prefix = "a",
     .experts = 3,
     .top_k = 2,
     .balance_offset = 0,
     .choices_offset = 0},
    {.name = "b, \"2\"",
     .prefix = "b",
     .experts = 2,
     .top_k = 0,
     .balance_offset = 44,
     .choices_offset = 3},
};
static const struct vrt_program program = {
    .moes = moes, .nmoes = 2, .classes = 3, .choices = 5, .balance_bytes = 76};
static const union cell {
    int32_t count;
    float entropy;
} before[19] = {{4}, {3}, {1}, {0}, {1}, {1}, {4}, {0},           {0}, {0}, {.entropy = 3},
                {2}, {2}, {0}, {0}, {4}, {0}, {0}, {.entropy = 0}};
static const float choices[] = {3, 1, 0, 2, 0, 1, 2, 0,
                                0, 2, 0, 0, 0, 1, 1}; /* of three pictures */
static const int32_t labels[] = {0, 2, 2};

static const char *class_name(const void *data, int64_t c)
{
    static const char *const names[] = {"plain", "none", "a, \"b\""};
    (void)data;
    return names[c];
}

static void add_calls(struct vrt_experts *x, bool similarity)
{
    struct vrt_error e;
    union cell balance[19];
    assert_true(vrt_experts_open(x, &program, similarity, &e));
    memcpy(balance, before, sizeof balance);
    vrt_experts_add(x, balance, choices, labels, 2);
    for (int i = 0; i < 19; i++)
        assert_int_equal(balance[i].count, 0);
    memcpy(balance, before, sizeof balance);
    vrt_experts_add(x, balance, choices + 10, labels + 2, 1);
}

/* The buffer holds this text, and is empty again. */
static void is_text(struct vrt_buffer *b, const char *text)
{
    assert_int_equal(b->size, strlen(text));
    assert_memory_equal(b->data, text, b->size);
    vrt_buffer_free(b);
}

static void sums_choices(void **state)
{
    struct vrt_experts x;
    struct vrt_error e;
    struct vrt_buffer b = {0};
    (void)state;
    add_calls(&x, true);
    assert_true(x.balance[0] == 8 && x.balance[4] == 2 && x.balance[6] == 8 && x.balance[10] == 6);
    assert_true(vrt_put_experts(&b, &x, class_name, NULL, &e));
    is_text(&b, "layer,expert,class,images,choices\n"
                "a[1].mlp,0,plain,1,3\na[1].mlp,0,none,0,0\na[1].mlp,0,\"a, \"\"b\"\"\",2,1\n"
                "a[1].mlp,1,plain,1,1\na[1].mlp,1,none,0,0\na[1].mlp,1,\"a, \"\"b\"\"\",2,2\n"
                "a[1].mlp,2,plain,1,0\na[1].mlp,2,none,0,0\na[1].mlp,2,\"a, \"\"b\"\"\",2,0\n"
                "\"b, \"\"2\"\"\",0,plain,1,2\n\"b, \"\"2\"\"\",0,none,0,0\n\"b, "
                "\"\"2\"\"\",0,\"a, \"\"b\"\"\",2,1\n"
                "\"b, \"\"2\"\"\",1,plain,1,0\n\"b, \"\"2\"\"\",1,none,0,0\n\"b, "
                "\"\"2\"\"\",1,\"a, \"\"b\"\"\",2,3\n");
    /* 0 and 1: 2 (1 + 1) / (4 + 3), the third picture has neither. Expert 2 was never chosen. Layer
     * 2: 2 * 1 / (3 + 3). */
    assert_true(vrt_put_similarity(&b, &x, &e));
    is_text(&b, "layer,expert_i,expert_j,similarity\n"
                "a[1].mlp,0,0,1\na[1].mlp,0,1,0.571428571\na[1].mlp,0,2,0\na[1].mlp,1,0,0."
                "571428571\na[1].mlp,1,1,1\n"
                "a[1].mlp,1,2,0\na[1].mlp,2,0,0\na[1].mlp,2,1,0\na[1].mlp,2,2,\n"
                "\"b, \"\"2\"\"\",0,0,1\n\"b, \"\"2\"\"\",0,1,0.333333333\n"
                "\"b, \"\"2\"\"\",1,0,0.333333333\n\"b, \"\"2\"\"\",1,1,1\n");
    vrt_experts_close(&x);
}

static double number_of(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);
    assert_true(json_is_number(v));
    return json_number_value(v);
}

/* 48 layers of 64 experts; expert i of each is chosen i times of 2016, and one time in 16
 * dropped. */
static void tells_many_experts(void **state)
{
    enum { LAYERS = 48, EXPERTS = 64, EACH = 3 * EXPERTS + 2 };
    static struct vrt_moe many[LAYERS];
    static double balance[LAYERS * EACH];
    static char names[LAYERS][40];
    struct vrt_epoch_record r = {
        .step = 7,
        .epoch = 2,
        .val = {4, 2, 3, 6.0, 0},
        .moes = many,
        .nmoes = LAYERS,
        .balance = balance,
    };
    struct vrt_buffer b = {0};
    struct vrt_error e;
    (void)state;
    for (int l = 0; l < LAYERS; l++) {
        snprintf(names[l], sizeof names[l], "stage_number_%d[%d].mlp", l, l + 1);
        many[l] = (struct vrt_moe){
            .name = names[l], .experts = EXPERTS, .top_k = l % 2, .balance_offset = 4 * l * EACH};
        double *own = balance + l * EACH;
        for (int i = 0; i < EXPERTS; i++) {
            own[i] = i;
            own[EXPERTS + i] = i / 16.0;
        }
        own[2 * EXPERTS] = 1000;
        own[3 * EXPERTS + 1] = 1000.0 * l;
    }
    assert_true(vrt_metrics_epoch_text(&b, &r, &e) && b.size > 20000 && b.data[b.size - 1] == '\n');
    json_t *j = json_loadb((char *)b.data, b.size, 0, NULL), *list = json_object_get(j, "moe");
    assert_int_equal(json_array_size(list), LAYERS);
    for (size_t l = 0; l < LAYERS; l++) {
        const json_t *layer = json_array_get(list, l), *load = json_object_get(layer, "load");
        assert_string_equal(json_string_value(json_object_get(layer, "layer")), names[l]);
        assert_int_equal(json_array_size(load), EXPERTS);
        assert_true(fabs(json_number_value(json_array_get(load, 63)) - 63.0 / 2016) < 1e-7);
        assert_true(fabs(number_of(layer, "dropped") - 1.0 / 16) < 1e-7);
        if (l % 2)
            assert_true(number_of(layer, "entropy") == (double)l);
        else
            assert_true(json_is_null(json_object_get(layer, "entropy")));
    }
    json_decref(j);
    vrt_buffer_free(&b);
}

/* Three pictures: a hit, a label that came third, a hit with less confidence. */
static void writes_analysis(void **state)
{
    const struct vrt_epoch_record r = {.step = 30, .epoch = 3, .val = {3, 2, 3, 3.0, 0}};
    struct vrt_analysis a;
    struct vrt_error e;
    char path[600];
    (void)state;
    assert_true(vrt_analysis_open(&a, &program, 3, &e));
    vrt_experts_close(&a.experts);
    add_calls(&a.experts, false);
    a.verdicts[0] = (struct vrt_verdict){0, 0, 0, 0.9f};
    a.verdicts[1] = (struct vrt_verdict){2, 1, 2, 0.5f};
    a.verdicts[2] = (struct vrt_verdict){2, 2, 0, 0.5f};
    snprintf(path, sizeof path, "%s/analysis.json", folder);
    assert_true(vrt_analysis_write(&a, path, &r, "[\"x \\\"y\\\"\",\"\\u0001\"]", &e));
    vrt_analysis_close(&a);
    json_t *got = json_load_file(path, 0, NULL),
           *wanted = json_loads(
               "{\"epoch\":3,\"step\":30,\"images\":3,\"top1\":2,\"top5\":3,\"loss\":1,"
               "\"classes\":[{\"name\":\"x \\\"y\\\"\",\"images\":1,\"top1\":1,\"top5\":1},"
               "{\"name\":\"\\u0001\",\"images\":0,\"top1\":0,\"top5\":0},"
               "{\"name\":\"2\",\"images\":2,\"top1\":1,\"top5\":2}],\"confused\":[{\"true\":2,"
               "\"predicted\":1,\"count\":1}],"
               "\"moe\":[{\"layer\":\"a[1].mlp\",\"load\":[0.5,0.375,0.125],\"dropped\":0.25,"
               "\"entropy\":0.75,"
               "\"classes\":[[3,1,0],[0,0,0],[1,2,0]]},"
               "{\"layer\":\"b, \\\"2\\\"\",\"load\":[0.5,0.5],\"dropped\":0,\"entropy\":null,"
               "\"classes\":[[2,0],[0,0],[1,3]]}]}",
               0, NULL);
    assert_non_null(wanted);
    json_t *calibration = json_incref(json_object_get(got, "calibration")),
           *bins = json_object_get(calibration, "bins");
    json_object_del(got, "calibration");
    const char *const members[] = {"epoch", "step",    "images",  "top1",
                                   "top5",  "classes", "confused"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        assert_true(
            json_equal(json_object_get(got, members[i]), json_object_get(wanted, members[i])));
    assert_true(number_of(got, "loss") == 1);
    const size_t flags = JSON_SORT_KEYS | JSON_REAL_PRECISION(6);
    char *texts[2] = {
        vrt_json_write(json_incref(json_object_get(got, "moe")), flags, "what there is", &e),
        vrt_json_write(json_incref(json_object_get(wanted, "moe")), flags, "what is wanted", &e)};
    assert_string_equal(texts[0], texts[1]);
    /* |1 - 0.9| of one picture, |1 - 1.0| of the two in the bin of 0.5, of three. */
    assert_true(fabs(number_of(calibration, "error") - 0.1 / 3) < 1e-6);
    assert_int_equal(json_array_size(bins), 15);
    assert_true(number_of(json_array_get(bins, 13), "images") == 1 &&
                number_of(json_array_get(bins, 7), "hits") == 1);
    assert_true(number_of(json_array_get(bins, 7), "confidence") == 1.0);
    free(texts[0]);
    free(texts[1]);
    json_decref(calibration);
    json_decref(got);
    json_decref(wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums_choices),
                                       cmocka_unit_test(tells_many_experts),
                                       cmocka_unit_test(writes_analysis)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("experts", tests, make_folder, remove_folder);
    return 0;
}
