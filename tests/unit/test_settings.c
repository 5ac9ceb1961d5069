/* What a command line makes of the keys of a program, and the learning rates that follow. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/json.h"
#include "runtime/program/options.h"
#include "runtime/program/schedule.h"
#include "runtime/program/settings.h"
#include "runtime/vrt.h"

static void plans_learning_rates(void **state)
{
    struct vrt_settings s = {.schedule = "cosine",
                             .lr = 1.0,
                             .final = 0.1,
                             .warmup = 2,
                             .warmup_unit = VRT_UNIT_EPOCHS,
                             .epochs = 10};
    struct vrt_schedule c = vrt_schedule_make(&s, 10);
    (void)state;
    assert_true(c.warmup == 20 && c.total == 100);
    assert_float_equal(vrt_schedule_lr(&c, 0), 0.05, 1e-12);
    assert_float_equal(vrt_schedule_lr(&c, 19), 1.0, 1e-12);
    assert_float_equal(vrt_schedule_lr(&c, 20), 1.0, 1e-12);
    assert_float_equal(vrt_schedule_lr(&c, 60), 0.55, 1e-12);
    assert_true(vrt_schedule_lr(&c, 99) > 0.1 && vrt_schedule_lr(&c, 99) < 0.101);
    c.cosine = false;
    assert_float_equal(vrt_schedule_lr(&c, 60), 1.0, 0);
    s.schedule = "step";
    s.every = 3;
    s.every_unit = VRT_UNIT_EPOCHS;
    s.factor = 0.5;
    c = vrt_schedule_make(&s, 10);
    assert_float_equal(vrt_schedule_lr(&c, 9), 0.5, 1e-12); /* the warm-up */
    assert_float_equal(vrt_schedule_lr(&c, 29), 1.0, 0);
    assert_float_equal(vrt_schedule_lr(&c, 30), 0.5, 0);
    assert_float_equal(vrt_schedule_lr(&c, 99), 0.125, 0);
    assert_float_equal(vrt_schedule_ema(0.99, 0), 0.1, 1e-12);
    assert_float_equal(vrt_schedule_ema(0.99, 100000), 0.99, 0);
}

#define NUMBER(path, flag, help, type, unit, runtime, open, number, min, max) \
    {path, flag, help, type, unit, runtime, open, number, NULL, min, max}
#define WORDS(path, flag, help, text) \
    {path, flag, help, VRT_KEY_TEXT, VRT_UNIT_NONE, 1, 0, 0, text, 0, 0}
static const struct vrt_key keys[] = {
    NUMBER("train.optim.lr", "lr", "learning rate", VRT_KEY_FLOAT, VRT_UNIT_NONE, 1,
           VRT_ABOVE | VRT_BELOW, 1e-3, 0, 1000),
    NUMBER("train.epochs", "epochs", "length", VRT_KEY_INT, VRT_UNIT_EPOCHS, 1, 0, 3, 1, 1e6),
    NUMBER("train.micro", NULL, "pictures per call", VRT_KEY_INT, VRT_UNIT_IMAGES, 0, 0, 64, 1, 64),
    NUMBER("train.schedule.warmup", NULL, "warm-up", VRT_KEY_FLOAT, VRT_UNIT_EPOCHS, 1, 0, 1, 0,
           1e12),
    NUMBER("augment.flip", NULL, "share", VRT_KEY_FLOAT, VRT_UNIT_NONE, 1, 0, 0, 0, 1),
    NUMBER("augment.random_resized_crop", NULL, "crop", VRT_KEY_BOOL, VRT_UNIT_NONE, 1, 0, 0, 0, 0),
    WORDS("data.root", "data", "pictures", ""),
    WORDS("train.schedule.kind", NULL, "over time", "cosine"),
};
static const struct vrt_program program = {
    .name = "m",
    .spec_file = "m.vmoe",
    .keys = keys,
    .nkeys = sizeof keys / sizeof *keys,
    .micro = 64,
    .classes = 10,
};
static const struct vrt_command train_command = {"train", "", NULL, VRT_TRAIN, NULL};

/* The options of a command line, and the settings they make. */
static bool parse(const char *line, struct vrt_options *o, struct vrt_settings *s,
                  struct vrt_error *e)
{
    static char text[300];
    static char *argv[20];
    int argc = 0;
    snprintf(text, sizeof text, "m train %s", line);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    return vrt_options_parse(o, &program, &train_command, argc, argv, e) &&
           vrt_settings_read(s, o, e);
}

static void reads_options(void **state)
{
    struct vrt_options o;
    struct vrt_settings s;
    struct vrt_error e;
    (void)state;
    assert_true(parse("--lr 2e-3 --epochs=7 --set train.schedule.warmup=50steps --set "
                      "augment.flip=50% --threads 2 "
                      "--set augment.random_resized_crop=true --data /a=b --resume",
                      &o, &s, &e));
    assert_true(s.lr == 2e-3 && s.epochs == 7 && s.warmup == 50 &&
                s.warmup_unit == VRT_UNIT_STEPS && s.flip == 0.5);
    assert_true(s.random_resized_crop == 1 && o.threads == 2 && o.resume);
    assert_string_equal(s.data_root, "/a=b");
    json_t *kept = vrt_settings_json(&o);
    vrt_options_free(&o);
    assert_true(parse("--lr 5e-3", &o, &s, &e));
    assert_true(vrt_settings_adopt(&o, kept, &e) && vrt_settings_read(&s, &o, &e));
    assert_true(s.lr == 5e-3 && s.epochs == 7 && s.warmup == 50 &&
                s.warmup_unit == VRT_UNIT_STEPS && s.flip == 0.5);
    vrt_options_free(&o);
    json_decref(kept);
}

static void refuses_options(void **state)
{
    static const struct {
        const char *line, *expect;
    } cases[] = {
        {"--lr 12e", "must be a number"},
        {"--lr inf", "must be a number"},
        {"--lr 0x10", "must be a number"},
        {"--lr 1e999", "must be a number"},
        {"--lr 0", "must be above 0"},
        {"--lr 1000", "and below 1000"},
        {"--lr", "needs a value"},
        {"--epochs 1.5", "whole number"},
        {"--epochs 0", "at least 1"},
        {"--epochs 3steps", "alone or in epochs"},
        {"--epochs 5px", "alone or in epochs"},
        {"--threads 0", "from 1 to"},
        {"--epoch 3", "did you mean --epochs"},
        {"--micro 3", "is fixed in this program (64"},
        {"--set train.micro=3", "vmoec build m.vmoe --set"},
        {"--set lr=3", "no key lr"},
        {"--set lr", "path=value"},
        {"--set augment.random_resized_crop=1", "true or false"},
        {"--set augment.flip=1.5", "at most 1"},
        {"--experts 16", "is fixed in this program"},
        {"--zzzzzzzz", "see m train --help"},
        {"-x", "begin with --"},
        {"word", "takes no operand"},
        {"--split val", "train has no flag --split"},
        {"--resume=1", "takes no value"},
        {"--warmup 3", "write --set train.schedule.warmup"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vrt_options o;
        struct vrt_settings s;
        struct vrt_error e = {.text = ""};
        bool ok = parse(cases[i].line, &o, &s, &e);
        vrt_options_free(&o);
        if (ok != (cases[i].expect[0] == '\0') || strstr(e.text, cases[i].expect) == NULL ||
            (!ok && e.code != VRT_USAGE))
            fail_msg("%s: %s", cases[i].line, e.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_learning_rates),
        cmocka_unit_test(reads_options),
        cmocka_unit_test(refuses_options),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("settings", tests, NULL, NULL);
    return 0;
}
