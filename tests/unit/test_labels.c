/* Pictures whose labels lie beside them: in one folder, in tars for a split, in shards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>

#include "runtime/data/dataset.h"
#include "runtime/data/image.h"
#include "tests/unit/datasets.h"
#include "tests/unit/fixture.h"
#include "tests/unit/pictures.h"

/* -- pictures in one folder -- */

static const char *const flat_classes[] = {"n01440764", "n01443537",
                                           "n01484850"}; /* the first three of ImageNet-1k */

/* ILSVRC2012_val_00000001.JPEG and on, whose class (from 0) is i % 3: gray 40 c + i. */
static void write_flat(const char *where, int n)
{
    mkdir(where, 0777);
    for (int i = 0; i < n; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/ILSVRC2012_val_%08d.JPEG", where, i + 1);
        write_gray(path, 40 * (i % 3) + i);
    }
}

static void check_flat_named(const char *root, const struct vrt_dataset *classes_of, int count,
                             int classes, const char *const *names)
{
    struct vrt_image image = {0};
    struct vrt_dataset *d;
    struct vrt_error e;

    if (!vrt_dataset_open(&d, root, "val", classes_of, &e))
        fail_msg("%s", e.text);
    assert_int_equal(vrt_dataset_count(d), count);
    assert_int_equal(vrt_dataset_classes(d), classes);
    for (int i = 0; i < count; i++) {
        int label = i / (count / 3), value = 40 * label + label + 3 * (i % (count / 3));
        assert_int_equal(vrt_dataset_label(d, i), label);
        assert_string_equal(vrt_dataset_class_name(d, label), names[label]);
        assert_true(vrt_dataset_read(d, i, 1, &image, &e));
        assert_int_equal(image.pixels.data[0], value);
    }
    vrt_dataset_close(d);
    vrt_image_free(&image);
}

static void check_flat(const char *root, const struct vrt_dataset *classes_of, int count,
                       int classes)
{
    check_flat_named(root, classes_of, count, classes, flat_classes);
}

/* A line for each picture of a file of labels. */
static void write_labels(const char *path, const char *head, const char *format, int n,
                         const char *const *classes)
{
    FILE *f = fopen(path, "w");

    fputs(head, f);
    for (int i = n; i > 0; i--)
        fprintf(f, format, i, classes[(i - 1) % 3]);
    fclose(f);
}

#define MARK "\xef\xbb\xbf" /* what some editors put before a text */

static const char *const numbers[] = {"0", "1", "2"};

static void reads_flat_folders(void **state)
{
    static const char *const sizes[] = {"val", "val/images"};
    struct vrt_dataset *train;
    struct vrt_error e;

    (void)state;
    mkdir(in_folder("fl"), 0777);
    write_flat(in_folder("fl/val"), 9);
    refused(in_folder("fl"), "val", NULL, "LOC_val_solution.csv");
    write_labels(in_folder("fl/val.txt"), "", "ILSVRC2012_val_%08d.JPEG %s\n", 9, numbers);
    check_flat_named(in_folder("fl"), NULL, 9, 3,
                     numbers); /* no training split: they stay numbers */
    mkdir(in_folder("fl/train"), 0777);
    for (int c = 0; c < 3; c++) {
        mkdir(in_folder("fl/train/%s", flat_classes[c]), 0777);
        write_gray(in_folder("fl/train/%s/1.JPEG", flat_classes[c]), 1);
    }
    check_flat(in_folder("fl"), NULL, 9, 3);
    assert_true(vrt_dataset_open(&train, in_folder("fl"), "train", NULL, &e));
    check_flat(in_folder("fl"), train, 9, 3);
    write_labels(in_folder("fl/val.txt"), MARK, "ILSVRC2012_val_%08d.JPEG %s\r\n", 9, numbers);
    check_flat(in_folder("fl"), train, 9, 3);
    write_file(in_folder("fl/val.txt"),
               "\xff\xfe"
               "I\0",
               4);
    refused(in_folder("fl"), "val", train, "val.txt is a text in UTF-16; save it as UTF-8");
    write_labels(in_folder("fl/val.txt"), "", "val/ILSVRC2012_val_%08d.JPEG %s\r\n", 8, numbers);
    refused(in_folder("fl"), "val", train, "ILSVRC2012_val_00000009.JPEG has no label in");
    write_labels(in_folder("fl/val.txt"), "ILSVRC2012_val_00000009 3\n",
                 "ILSVRC2012_val_%08d.JPEG %s\n", 8, numbers);
    refused(in_folder("fl"), "val", train, "is not below the number of classes, 3");
    write_labels(in_folder("fl/val.txt"), "ILSVRC2012_val_00000009 1\n",
                 "ILSVRC2012_val_%08d.JPEG %s\n", 9, numbers);
    refused(in_folder("fl"), "val", train, "two labels, ");
    unlink(in_folder("fl/val.txt"));
    write_labels(in_folder("fl/LOC_val_solution.csv"), MARK "ImageId,PredictionString\r\n",
                 "ILSVRC2012_val_%08d,%s 85 1 499 272 n01440764 131 0 499 254\n", 9, flat_classes);
    check_flat(in_folder("fl"), train, 9, 3);
    unlink(in_folder("fl/LOC_val_solution.csv"));
    /* Class 0 is n01440764, whose ILSVRC2012_ID is 449; then 450 and 442. */
    mkdir(in_folder("fl/ILSVRC2012_devkit_t12"), 0777);
    mkdir(in_folder("fl/ILSVRC2012_devkit_t12/data"), 0777);
    write_file(in_folder("fl/ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"),
               MARK "449\n450\n442\n449\n450\n442\n449\n450\n442\n", 39);
    check_flat(in_folder("fl"), train, 9, 3);
    write_file(in_folder("fl/ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"),
               "449\n1001\n", 9);
    refused(in_folder("fl"), "val", train, ":2: '1001' is not an ILSVRC2012_ID");
    write_file(in_folder("fl/ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"),
               "449\n\n450\n", 9);
    refused(in_folder("fl"), "val", train, ":3: a line before it is empty");
    write_labels(in_folder("fl/val.txt"), "\n", "ILSVRC2012_val_%08d.JPEG %s\n", 9, numbers);
    check_flat(in_folder("fl"), train, 9,
               3); /* an empty line does no harm where lines name their pictures */
    unlink(in_folder("fl/val.txt"));
    vrt_dataset_close(train);
    mkdir(in_folder("tiny"), 0777);
    for (int i = 0; i < 2; i++)
        mkdir(in_folder("tiny/%s", sizes[i]), 0777);
    write_flat(in_folder("tiny/val/images"), 6);
    write_labels(in_folder("tiny/val/val_annotations.txt"), "",
                 "ILSVRC2012_val_%08d.JPEG\t%s\t0\t32\t44\t62\n", 6, flat_classes);
    check_flat(in_folder("tiny"), NULL, 6, 3);
}

/* The pictures' folder may be called otherwise than the file of labels, where it stands in for that
 * split. */
static void finds_labels_of_validation(void **state)
{
    (void)state;
    mkdir(in_folder("lv"), 0777);
    write_flat(in_folder("lv/validation"), 6);
    refused(in_folder("lv"), "val", NULL,
            "(validation.txt (FILE LABEL), LOC_validation_solution.csv, ");
    write_labels(in_folder("lv/val.txt"), "", "ILSVRC2012_val_%08d.JPEG %s\n", 6, flat_classes);
    check_flat(in_folder("lv"), NULL, 6, 3);
    assert_int_equal(rename(in_folder("lv/validation"), in_folder("lv/eval")), 0);
    check_flat(in_folder("lv"), NULL, 6, 3);
    assert_int_equal(rename(in_folder("lv/val.txt"), in_folder("lv/valid.txt")), 0);
    check_flat(in_folder("lv"), NULL, 6, 3);
    assert_int_equal(rename(in_folder("lv/valid.txt"), in_folder("lv/val.txt")), 0);
    assert_int_equal(rename(in_folder("lv/eval"), in_folder("lv/test")), 0);
    check_flat(in_folder("lv"), NULL, 6, 3);
    refused(in_folder("lv"), "test", NULL,
            "(test.txt (FILE LABEL), LOC_test_solution.csv or test_annotations.txt)");
    unlink(in_folder("lv/val.txt"));
    refused(in_folder("lv"), "val", NULL,
            "test_annotations.txt; `val` may stand for `test` in these names)");
}

/* A split whose file of labels has numbers: train has 5, 0 and 2, val has 2. */
static void write_numbered(const char *root, const char *images)
{
    mkdir(in_folder("%s", root), 0777);
    mkdir(in_folder("%s/train", root), 0777);
    mkdir(in_folder("%s/val", root), 0777);
    mkdir(in_folder("%s/train%s", root, images), 0777);
    mkdir(in_folder("%s/val%s", root, images), 0777);
    for (int i = 0; i < 3; i++)
        write_gray(in_folder("%s/train%s/%d.png", root, images, i), i);
    write_gray(in_folder("%s/val%s/v.png", root, images), 9);
    write_file(in_folder("%s/train.txt", root), "0.png 5\n1.png 0\n2.png 2\n", 24);
    write_file(in_folder("%s/val.txt", root), "v.png 2\n", 8);
}

static void check_numbered(const char *root)
{
    struct vrt_dataset *train, *val;
    struct vrt_error e;

    assert_true(vrt_dataset_open(&train, root, "train", NULL, &e));
    assert_int_equal(vrt_dataset_classes(train), 6);
    for (int i = 0; i < 3; i++)
        assert_int_equal(vrt_dataset_label(train, i), i == 0 ? 0 : 3 * i - 1);
    assert_string_equal(vrt_dataset_class_name(train, 5), "5");
    assert_true(vrt_dataset_open(&val, root, "val", train, &e));
    assert_int_equal(vrt_dataset_label(val, 0), 2);
    assert_int_equal(vrt_dataset_classes(val), 6);
    vrt_dataset_close(val);
    vrt_dataset_close(train);
    assert_true(vrt_dataset_open(&val, root, "val", NULL, &e));
    assert_string_equal(vrt_dataset_class_name(val, vrt_dataset_label(val, 0)), "2");
    vrt_dataset_close(val);
}

/* A training split that is labelled by numbers is not ImageNet, and none of its classes moves where
 * others do not occur. */
static void keeps_numbers(void **state)
{
    (void)state;
    write_numbered("num", "");
    check_numbered(in_folder("num"));
    write_numbered("num_images", "/images");
    check_numbered(in_folder("num_images"));
    write_file(in_folder("num/train.txt"), "0.png 21840\n1.png 0\n2.png 2\n", 28);
    struct vrt_dataset *d;
    struct vrt_error e;
    assert_true(vrt_dataset_open(&d, in_folder("num"), "train", NULL, &e));
    assert_int_equal(vrt_dataset_classes(d), 21841);
    vrt_dataset_close(d);
    write_file(in_folder("num/train.txt"), "0.png 1000000\n1.png 0\n2.png 2\n", 30);
    refused(in_folder("num"), "train", NULL, "the label 1000000 of 0.png is not below");
}

/* -- tars for a split -- */

/* As check_tree wants it: a tar of a tar for each class. */
static void write_nested(const char *path, const char *const *classes)
{
    struct archive *outer = begin_tar(path, ARCHIVE_FILTER_NONE);
    char name[100];

    add_member(outer, "._n01440764.tar", "x", 1, AE_IFREG);
    for (int c = 2; c >= 0; c--) {
        struct archive *inner = begin_tar(in_folder("inner.tar"), ARCHIVE_FILTER_NONE);
        add_member(inner, ".x/0.png", "x", 1, AE_IFREG);
        for (int n = 4; n >= 0; n--) {
            snprintf(name, sizeof name, "%02d.png", n);
            add_gray(inner, name, 40 * c + n + 1);
        }
        end_tar(inner);
        snprintf(name, sizeof name, "%s.tar", classes[c]);
        add_path(outer, name, in_folder("inner.tar"));
    }
    end_tar(outer);
}

/* The same in shards of four: key.png with its label in key.cls or key.json, in this order or the
 * other. */
static void write_shards(const char *folder_name, bool json)
{
    struct archive *a = NULL;
    char name[100], label[100];

    mkdir(in_folder("%s", folder_name), 0777);
    write_file(in_folder("%s/._set-train-000000.tar", folder_name), "x", 1);
    for (int i = 0; i < 15; i++) {
        int c = i % 3, n = i / 3;
        a = i % 4 == 0 ? begin_tar(in_folder("%s/set-train-%06d.tar", folder_name, i / 4),
                                   ARCHIVE_FILTER_NONE)
                       : a;
        if (i % 2) {
            snprintf(name, sizeof name, "s%02d.png", i);
            add_gray(a, name, 40 * c + n + 1);
        }
        snprintf(name, sizeof name, "s%02d.%s", i, json ? "json" : "cls");
        snprintf(label, sizeof label, json ? "%s{\"file\": \"x\", \"label\": %d}" : "%s%d\r\n",
                 i % 5 == 0 ? MARK : "", c);
        add_member(a, name, label, strlen(label), AE_IFREG);
        if (i % 2 == 0) {
            snprintf(name, sizeof name, "s%02d.png", i);
            add_gray(a, name, 40 * c + n + 1);
        }
        if (i % 4 == 3 || i == 14)
            end_tar(a);
    }
}

/* A text about a picture may have a mebibyte, and not a byte more. */
static void refuses_large_texts(void **state)
{
    enum { MOST = 1 << 20 };
    char *text = malloc(MOST + 1);
    struct archive *a;

    (void)state;
    memset(text, ' ', MOST + 1);
    memcpy(text, "{\"label\": 0}", 12);
    mkdir(in_folder("texts"), 0777);
    for (int more = 0; more < 2; more++) {
        struct vrt_dataset *d = NULL;
        struct vrt_error e;
        a = begin_tar(in_folder("texts/train-0.tar"), ARCHIVE_FILTER_NONE);
        add_gray(a, "s.png", 1);
        add_member(a, "s.json", text, (size_t)(MOST + more), AE_IFREG);
        end_tar(a);
        if (more)
            refused(in_folder("texts"), "train", NULL,
                    "s.json has 1048577 bytes; at most 1048576 are read");
        else
            assert_true(vrt_dataset_open(&d, in_folder("texts"), "train", NULL, &e));
        vrt_dataset_close(d);
    }
    free(text);
}

static void reads_tars_of_a_split(void **state)
{
    static const char *const classes[] = {"cat", "cat-2", "dog"};
    static const char truth[] = "449\n450\n442\n449\n450\n442\n";
    struct archive *a;
    struct vrt_dataset *train;
    struct vrt_error e;
    char name[100];

    (void)state;
    mkdir(in_folder("official"), 0777);
    write_nested(in_folder("official/ILSVRC2012_img_train.tar"), classes);
    check_tree(in_folder("official"));
    write_nested(in_folder("official/ILSVRC2012_img_train.tar"), flat_classes);
    a = begin_tar(in_folder("official/ILSVRC2012_img_val.tar"), ARCHIVE_FILTER_NONE);
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "ILSVRC2012_val_%08d.JPEG", i + 1);
        add_gray(a, name, 40 * (i % 3) + i);
    }
    end_tar(a);
    assert_true(vrt_dataset_open(&train, in_folder("official"), "train", NULL, &e));
    refused(in_folder("official"), "val", train, "has no label; put the labels beside the tar");
    a = begin_tar(in_folder("official/ILSVRC2012_devkit_t12.tar.gz"), ARCHIVE_FILTER_GZIP);
    add_member(a, "ILSVRC2012_devkit_t12/readme.txt", "x", 1, AE_IFREG);
    add_member(a, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", truth,
               sizeof truth - 1, AE_IFREG);
    end_tar(a);
    check_flat(in_folder("official"), train, 6, 3);
    check_flat(in_folder("official"), NULL, 6, 3);
    write_labels(in_folder("official/val.txt"), "", "ILSVRC2012_val_%08d.JPEG %s\n", 6, numbers);
    check_flat(in_folder("official"), train, 6, 3);
    check_flat_named(in_folder("official"), NULL, 6, 3, numbers);
    vrt_dataset_close(train);
    write_shards("shards", false);
    check_tree_named(in_folder("shards"), "1", "train/s04.png");
    write_shards("shards_json", true);
    check_tree_named(in_folder("shards_json"), "1", "train/s04.png");
    a = begin_tar(in_folder("shards/set-train-000003.tar"), ARCHIVE_FILTER_NONE);
    add_gray(a, "s99.png", 1);
    end_tar(a);
    refused(in_folder("shards"), "train", NULL, "s99.png has no .cls or .json");
    a = begin_tar(in_folder("shards/set-train-000003.tar"), ARCHIVE_FILTER_NONE);
    add_member(a, "s99.cls", "1x", 2, AE_IFREG);
    end_tar(a);
    refused(in_folder("shards"), "train", NULL, "does not hold one number");
    a = begin_tar(in_folder("shards/set-train-000003.tar"), ARCHIVE_FILTER_NONE);
    add_member(a, "s99.cls", "1", 1, AE_IFREG);
    end_tar(a);
    refused(in_folder("shards"), "train", NULL, "s99 has a label but no picture");
    mkdir(in_folder("split"), 0777);
    a = begin_tar(in_folder("split/train.tar"), ARCHIVE_FILTER_NONE);
    add_member(a, ".x/0.png", "x", 1, AE_IFREG);
    add_member(a, "train/.x/0.png", "x", 1, AE_IFREG);
    add_member(a, "train/cat/.x/0.png", "x", 1, AE_IFREG);
    for (int i = 14; i >= 0; i--) {
        snprintf(name, sizeof name, "train/%s/%02d.png", classes[i / 5], i % 5);
        add_gray(a, name, 40 * (i / 5) + i % 5 + 1);
    }
    end_tar(a);
    check_tree(in_folder("split"));
}

/* A label in JSON is a whole number, or an error: else the folder would become the class. A .cls
 * beside goes before it. */
static void reads_json_labels(void **state)
{
    static const struct {
        const char *json, *cls, *refused;
        int64_t classes;
    } cases[] = {
        {"{\"label\": 3.0}", NULL, NULL, 4},
        {"{\"cls\": 2}", NULL, NULL, 3},
        {"{\"caption\": \"3\"}", NULL, NULL, 1},
        {"{\"label\": \"cat\"}", "5", NULL, 6},
        {"{\"label\": \"3\"}", NULL, "cat/s.json: the label \"3\" is not a whole number", 0},
        {"{\"label\": 1.5}", NULL, "cat/s.json: the label 1.5 is not a whole number", 0},
        {"{\"cls\": \"n01440764\"}", NULL,
         "cat/s.json: the label \"n01440764\" is not a whole number", 0},
    };
    struct vrt_dataset *d;
    struct vrt_error e;

    (void)state;
    mkdir(in_folder("json"), 0777);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct archive *a = begin_tar(in_folder("json/train-0.tar"), ARCHIVE_FILTER_NONE);
        add_gray(a, "cat/s.png", 1);
        add_member(a, "cat/s.json", cases[i].json, strlen(cases[i].json), AE_IFREG);
        if (cases[i].cls != NULL)
            add_member(a, "cat/s.cls", cases[i].cls, 1, AE_IFREG);
        end_tar(a);
        if (cases[i].refused != NULL) {
            refused(in_folder("json"), "train", NULL, cases[i].refused);
            continue;
        }
        if (!vrt_dataset_open(&d, in_folder("json"), "train", NULL, &e))
            fail_msg("%s", e.text);
        assert_int_equal(vrt_dataset_classes(d), cases[i].classes);
        vrt_dataset_close(d);
    }
}

/* A shard of one picture of class 0, whose value tells which shard it is. */
static void write_shard(const char *path, int value)
{
    struct archive *a = begin_tar(path, ARCHIVE_FILTER_NONE);

    add_gray(a, "s.png", value);
    add_member(a, "s.cls", "0", 1, AE_IFREG);
    end_tar(a);
}

/* Shards whose largest label is 300, and class folders called by numbers. */
static void finds_numbered_classes(void **state)
{
    static const int classes[] = {2, 9, 10, 100, 257, 300};
    struct vrt_dataset *train, *val;
    struct vrt_error e;
    struct archive *a;

    (void)state;
    mkdir(in_folder("many"), 0777);
    mkdir(in_folder("many/val"), 0777);
    a = begin_tar(in_folder("many/train-0.tar"), ARCHIVE_FILTER_NONE);
    add_gray(a, "s.png", 1);
    add_member(a, "s.cls", "300", 3, AE_IFREG);
    end_tar(a);
    for (int i = 0; i < 6; i++) {
        mkdir(in_folder("many/val/%d", classes[i]), 0777);
        write_gray(in_folder("many/val/%d/v.png", classes[i]), 1);
    }
    assert_true(vrt_dataset_open(&train, in_folder("many"), "train", NULL, &e));
    if (!vrt_dataset_open(&val, in_folder("many"), "val", train, &e))
        fail_msg("%s", e.text);
    for (int i = 0; i < 6; i++)
        assert_int_equal(vrt_dataset_label(val, i), classes[i]);
    vrt_dataset_close(val);
    mkdir(in_folder("many/val/301"), 0777);
    write_gray(in_folder("many/val/301/v.png"), 1);
    refused(in_folder("many"), "val", train, "'301' is not among the 301 classes");
    vrt_dataset_close(train);
}

/* A pattern is what it says, whatever lies beside; the other splits are found in its folder. */
static void reads_patterns(void **state)
{
    static const char *const files[] = {
        "x-train", "x-val", "x-validation", "x-test", "other", "lone/x-validation", "lone/x-train"};
    static const struct {
        const char *file, *split;
        int value;
    } cases[] = {
        {"x-test", "val", 3},         {"x-validation", "val", 2},
        {"x-val", "val", 1},          {"x-train", "val", 1},
        {"other", "val", 1},          {"x-test", "train", 0},
        {"x-validation", "train", 0}, {"x-val", "train", 0},
        {"other", "train", 4},        {"lone/x-validation", "train", 6},
        {"lone/x-train", "val", 5},
    };
    struct vrt_image image = {0};
    struct vrt_dataset *d;
    struct vrt_error e;

    (void)state;
    mkdir(in_folder("pattern"), 0777);
    mkdir(in_folder("pattern/lone"), 0777);
    for (int i = 0; i < 7; i++)
        write_shard(in_folder("pattern/%s-0.tar", files[i]), i);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (!vrt_dataset_open(&d, in_folder("pattern/%s-{0..0}.tar", cases[i].file), cases[i].split,
                              NULL, &e))
            fail_msg("%s", e.text);
        assert_true(vrt_dataset_read(d, 0, 1, &image, &e));
        if (image.pixels.data[0] != cases[i].value)
            fail_msg("%s as %s is %s", cases[i].file, cases[i].split, files[image.pixels.data[0]]);
        vrt_dataset_close(d);
    }
    vrt_image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_flat_folders), cmocka_unit_test(finds_labels_of_validation),
        cmocka_unit_test(keeps_numbers),      cmocka_unit_test(reads_tars_of_a_split),
        cmocka_unit_test(reads_json_labels),  cmocka_unit_test(refuses_large_texts),
        cmocka_unit_test(reads_patterns),     cmocka_unit_test(finds_numbered_classes),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("labels", tests, make_folder, remove_folder);
    return 0;
}
