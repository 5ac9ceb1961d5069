/* Data sets: folders, archives, shards, IDX and CIFAR files, made here in a temporary folder. */
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
#include <zlib.h>

#include "runtime/base/file.h"
#include "runtime/data/dataset.h"
#include "runtime/data/image.h"
#include "tests/unit/fixture.h"
#include "tests/unit/pictures.h"

/* --- writers --- */

static void add_member(struct archive *a, const char *name, const void *bytes, size_t size, int type)
{
    struct archive_entry *entry = archive_entry_new();

    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, (unsigned)type);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, (la_int64_t)size);
    if (type == AE_IFLNK)
        archive_entry_set_symlink(entry, "elsewhere");
    assert_int_equal(archive_write_header(a, entry), ARCHIVE_OK);
    assert_int_equal(archive_write_data(a, bytes, size), (la_ssize_t)size);
    archive_entry_free(entry);
}

/* The tree of write_tree as a tar, in another order, with a folder in front or not. */
static void write_tar(const char *path, const char *lead, int filter)
{
    static const char *const classes[] = {"dog", "cat", "cat-2"};
    static const int values[] = {80, 0, 40};
    struct archive *a = archive_write_new();
    char name[100];

    archive_write_add_filter(a, filter);
    archive_write_set_format_pax_restricted(a);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    snprintf(name, sizeof name, "%snotes.txt", lead);
    add_member(a, name, "x", 1, AE_IFREG);
    for (int c = 0; c < 3; c++)
        for (int n = 4; n >= 0; n--) {
            struct vrt_buffer b = {0};
            struct vrt_error e;
            write_gray(in_folder("one.png"), values[c] + n + 1);
            assert_true(vrt_file_read(in_folder("one.png"), 1 << 20, &b, &e));
            snprintf(name, sizeof name, "%strain/%s/%02d.png", lead, classes[c], n);
            add_member(a, name, b.data, b.size, AE_IFREG);
            vrt_buffer_free(&b);
        }
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

static void write_idx(const char *path, int count, int side, bool labels, int extra, bool zip)
{
    uint8_t bytes[4096] = {0, 0, 8, labels ? 1 : 3, 0, 0, 0, (uint8_t)count, 0, 0, 0, (uint8_t)side, 0, 0, 0, (uint8_t)side};
    int start = labels ? 8 : 16, size = labels ? count : count * side * side;
    gzFile f = gzopen(path, zip ? "wb" : "wbT");

    for (int i = 0; i < size; i++)
        bytes[start + i] = (uint8_t)(labels ? i % 3 : i);
    assert_int_equal(gzwrite(f, bytes, (unsigned)(start + size + extra)), start + size + extra);
    gzclose(f);
}

/* --- tests --- */

/* The data set of write_tree(root, "train", 3, 5, 1), whatever holds it; `class` and `item` are what it calls the second class and its
 * second picture. */
static void check_tree_named(const char *root, const char *class, const char *item)
{
    struct vrt_image image = {0};
    struct vrt_dataset *d;
    struct vrt_error e;
    char name[100];

    if (!vrt_dataset_open(&d, root, "train", NULL, &e))
        fail_msg("%s", e.text);
    assert_int_equal(vrt_dataset_count(d), 15);
    assert_int_equal(vrt_dataset_classes(d), 3);
    assert_string_equal(vrt_dataset_class_name(d, 1), class);
    for (int i = 0; i < 15; i++) {
        assert_int_equal(vrt_dataset_label(d, i), i / 5);
        assert_true(vrt_dataset_read(d, i, 3, &image, &e));
        assert_true(image.width == 8 && image.height == 6 && image.channels == 3);
        assert_int_equal(image.pixels.data[17], 40 * (i / 5) + i % 5 + 1);
    }
    vrt_dataset_item_name(d, 6, name, sizeof name);
    assert_non_null(strstr(name, item));
    assert_non_null(strstr(vrt_dataset_describe(d), "15 pictures, 3 classes"));
    vrt_dataset_close(d);
    vrt_image_free(&image);
}

static void check_tree(const char *root)
{
    check_tree_named(root, "cat-2", "train/cat-2/01.png");
}

static void reads_folders_and_archives(void **state)
{
    (void)state;
    write_tree(in_folder("tree"), "train", 3, 5, 1);
    write_file(in_folder("tree/train/cat/notes.txt"), "x", 1);
    check_tree(in_folder("tree"));
    write_tar(in_folder("a.tar"), "", ARCHIVE_FILTER_NONE);
    check_tree(in_folder("a.tar"));
    write_tar(in_folder("b.tar.gz"), "set/", ARCHIVE_FILTER_GZIP);
    check_tree(in_folder("b.tar.gz"));
    write_tar(in_folder("c.tar.xz"), "./set/", ARCHIVE_FILTER_XZ);
    check_tree(in_folder("c.tar.xz"));
    write_tar(in_folder("d.tar.zst"), "./", ARCHIVE_FILTER_ZSTD);
    check_tree(in_folder("d.tar.zst"));
}

/* Opening `root` fails, and the message has `says`. */
static void refused(const char *root, const char *split, const struct vrt_dataset *classes_of, const char *says)
{
    struct vrt_dataset *d;
    struct vrt_error e;

    assert_false(vrt_dataset_open(&d, root, split, classes_of, &e));
    assert_null(d);
    if (strstr(e.text, says) == NULL)
        fail_msg("'%s' lacks '%s'", e.text, says);
}

static void maps_classes(void **state)
{
    struct vrt_dataset *train, *val;
    struct vrt_error e;

    (void)state;
    write_tree(in_folder("two"), "train", 3, 1, 0);
    write_tree(in_folder("two"), "test", 1, 2, 0);
    assert_int_equal(rename(in_folder("two/test/cat"), in_folder("two/test/dog")), 0);
    assert_true(vrt_dataset_open(&train, in_folder("two"), "train", NULL, &e));
    assert_true(vrt_dataset_open(&val, in_folder("two"), "val", train, &e));
    assert_int_equal(vrt_dataset_classes(val), 3);
    assert_int_equal(vrt_dataset_label(val, 1), 2);
    vrt_dataset_close(val);
    assert_int_equal(rename(in_folder("two/test/dog"), in_folder("two/test/emu")), 0);
    refused(in_folder("two"), "val", train, "'emu'");
    vrt_dataset_close(train);
}

/* LEAD/cat/00.png and LEAD/OTHER/01.png, with a note before. */
static void write_bare(const char *path, const char *lead, const char *other)
{
    struct archive *a = archive_write_new();
    struct vrt_buffer b = {0};
    struct vrt_error e;
    char name[100];

    archive_write_set_format_pax_restricted(a);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    snprintf(name, sizeof name, "%sREADME.txt", lead);
    add_member(a, name, "x", 1, AE_IFREG);
    for (int i = 0; i < 2; i++) {
        write_gray(in_folder("one.png"), 50 + i);
        assert_true(vrt_file_read(in_folder("one.png"), 1 << 20, &b, &e));
        snprintf(name, sizeof name, "%s%s/%02d.png", lead, i == 0 ? "cat" : other, i);
        add_member(a, name, b.data, b.size, AE_IFREG);
    }
    vrt_buffer_free(&b);
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

static void check_bare(const char *path, const char *first, bool alone)
{
    struct vrt_dataset *d;
    struct vrt_image image = {0};
    struct vrt_error e;
    char name[64];

    if (!vrt_dataset_open(&d, path, "val", NULL, &e))
        fail_msg("%s", e.text);
    assert_int_equal(vrt_dataset_count(d), 2);
    assert_int_equal(vrt_dataset_classes(d), 2);
    assert_string_equal(vrt_dataset_class_name(d, 1), "dog");
    vrt_dataset_item_name(d, 0, name, sizeof name);
    assert_string_equal(name, first);
    assert_true(vrt_dataset_read(d, 1, 1, &image, &e));
    assert_int_equal(image.pixels.data[0], 51);
    assert_int_equal(vrt_dataset_alone(d), alone);
    vrt_dataset_close(d);
    vrt_image_free(&image);
}

/* Class folders right in the root. */
static void reads_bare_folders(void **state)
{
    struct vrt_dataset *d;
    struct vrt_image image = {0};
    struct vrt_error e;
    char name[64];

    (void)state;
    write_tree(in_folder("sets"), "a", 3, 2, 5);
    write_file(in_folder("sets/a/README.txt"), "x", 1);
    assert_true(vrt_dataset_bare(in_folder("sets/a")));
    assert_true(vrt_dataset_open(&d, in_folder("sets/a"), "val", NULL, &e));
    assert_int_equal(vrt_dataset_count(d), 6);
    assert_non_null(strstr(vrt_dataset_describe(d), "sets/a: 6 pictures, 3 classes"));
    vrt_dataset_item_name(d, 5, name, sizeof name);
    assert_string_equal(name, "dog/01.png");
    assert_true(vrt_dataset_read(d, 5, 1, &image, &e));
    assert_int_equal(image.pixels.data[0], 86);
    assert_true(vrt_dataset_alone(d));
    vrt_dataset_close(d);
    vrt_image_free(&image);
    write_bare(in_folder("bare.tar"), "", "dog");
    check_bare(in_folder("bare.tar"), "cat/00.png", true);
    assert_int_equal(rename(in_folder("bare.tar"), in_folder("val.tar")), 0);
    check_bare(in_folder("val.tar"), "cat/00.png", false);
    write_bare(in_folder("bare.tar"), "set-a/", "dog");
    check_bare(in_folder("bare.tar"), "set-a/cat/00.png", true);
    write_bare(in_folder("bare.tar"), "train/", "dog");
    refused(in_folder("bare.tar"), "val", NULL, "no folder 'val'");
    write_bare(in_folder("bare.tar"), "", "train");
    refused(in_folder("bare.tar"), "val", NULL, "no folder 'val'");
    write_bare(in_folder("bare.tar"), "", "dog/deep");
    refused(in_folder("bare.tar"), "val", NULL, "no folder 'val'");
    refused(in_folder("sets"), "val", NULL, "it has: a");                       /* folders in folders, no pictures */
    assert_int_equal(rename(in_folder("sets/a"), in_folder("sets/val")), 0);
    assert_true(vrt_dataset_open(&d, in_folder("sets/val//"), "val", NULL, &e));
    assert_false(vrt_dataset_alone(d));                                         /* beside a training split, perhaps */
    vrt_dataset_close(d);
    assert_true(vrt_dataset_open(&d, in_folder("sets"), "val", NULL, &e));
    assert_false(vrt_dataset_alone(d));
    vrt_dataset_close(d);
    assert_int_equal(rename(in_folder("sets/val/cat"), in_folder("sets/val/train")), 0);
    refused(in_folder("sets/val"), "val", NULL, "it has: ");
}

static void refuses_data_sets(void **state)
{
    struct vrt_buffer b = {0};
    struct archive *a = archive_write_new();
    struct vrt_error e;

    (void)state;
    refused(in_folder("nothing"), "train", NULL, "--data");
    refused(in_folder("a.tar"), "val", NULL, "no folder 'val'");
    refused(in_folder("tree"), "../x", NULL, "split");
    refused(in_folder("tree"), "val", NULL, "it has: train");
    mkdir(in_folder("tree/train/empty"), 0777);
    refused(in_folder("tree"), "train", NULL, "'empty' has no pictures");
    rmdir(in_folder("tree/train/empty"));
    mkdir(in_folder("flat"), 0777);
    mkdir(in_folder("flat/train"), 0777);
    refused(in_folder("flat"), "train", NULL, "no class folders");
    write_gray(in_folder("flat/train/1.png"), 1);
    refused(in_folder("flat"), "train", NULL, "1 files but no class folders");
    refused(in_folder("one.png"), "train", NULL, "must be a tar");
    assert_true(vrt_file_read(in_folder("a.tar"), 1 << 20, &b, &e));
    write_file(in_folder("cut.tar"), b.data, 512 * 7 + 20);
    refused(in_folder("cut.tar"), "train", NULL, "cut");
    assert_true(vrt_file_read(in_folder("b.tar.gz"), 1 << 20, &b, &e));
    write_file(in_folder("cut.tar.gz"), b.data, b.size / 2);
    refused(in_folder("cut.tar.gz"), "train", NULL, "cannot inflate");
    archive_write_set_format_pax_restricted(a);
    archive_write_open_filename(a, in_folder("link.tar"));
    add_member(a, "train/cat/1.png", "", 0, AE_IFLNK);
    archive_write_free(a);
    refused(in_folder("link.tar"), "train", NULL, "link");
    vrt_buffer_free(&b);
}

static void reads_idx(void **state)
{
    struct vrt_image image = {0};
    struct vrt_dataset *train, *val;
    struct vrt_error e;
    char name[100];

    (void)state;
    mkdir(in_folder("idx"), 0777);
    write_idx(in_folder("idx/train-images-idx3-ubyte.gz"), 6, 5, false, 0, true);
    write_idx(in_folder("idx/train-labels-idx1-ubyte.gz"), 6, 5, true, 0, true);
    write_idx(in_folder("idx/t10k-images-idx3-ubyte"), 4, 5, false, 0, false);
    write_idx(in_folder("idx/t10k-labels-idx1-ubyte"), 4, 5, true, 0, false);
    assert_true(vrt_dataset_open(&train, in_folder("idx"), "train", NULL, &e));
    assert_true(vrt_dataset_open(&val, in_folder("idx"), "val", train, &e));
    assert_int_equal(vrt_dataset_count(train), 6);
    assert_int_equal(vrt_dataset_classes(train), 3);
    assert_int_equal(vrt_dataset_label(val, 2), 2);
    assert_true(vrt_dataset_read(val, 3, 3, &image, &e));
    assert_true(image.pixels.data[3] == 76 && image.pixels.data[5] == 76);
    assert_true(vrt_dataset_read(train, 5, 1, &image, &e));
    assert_int_equal(image.pixels.data[0], 125);
    vrt_dataset_item_name(train, 5, name, sizeof name);
    assert_string_equal(name, "train-images-idx3-ubyte.gz[5]");
    vrt_dataset_close(val);
    write_idx(in_folder("idx/t10k-images-idx3-ubyte"), 4, 5, false, 1, false);
    refused(in_folder("idx"), "val", train, "promises");
    write_idx(in_folder("idx/t10k-images-idx3-ubyte"), 5, 5, false, 0, false);
    refused(in_folder("idx"), "val", train, "4 labels for 5 pictures");
    vrt_dataset_close(train);
    vrt_image_free(&image);
}

/* `count` records: the label is 7 i % classes, red is i, green 100 + i, blue the place in the plane. */
static void write_cifar(const char *path, int count, int labels, int classes, int cut)
{
    FILE *f = fopen(path, "wb");

    for (int i = 0; i < count; i++) {
        for (int n = labels; n > 0; n--)
            putc(n == 1 ? 7 * i % classes : 255, f);
        for (int p = 0; p < 3 * 1024 - (i == count - 1) * cut; p++)
            putc(p < 1024 ? i : p < 2048 ? 100 + i : p % 256, f);
    }
    fclose(f);
}

static void write_lines(const char *path, const char *format, int n)
{
    FILE *f = fopen(path, "w");

    for (int i = 0; i < n; i++)
        fprintf(f, format, i);
    fclose(f);
}

static void reads_cifar(void **state)
{
    struct vrt_image image = {0};
    struct vrt_dataset *train, *val;
    struct vrt_error e;
    char name[100];

    (void)state;
    mkdir(in_folder("cifar"), 0777);
    mkdir(in_folder("cifar/cifar-10-batches-bin"), 0777);
    for (int i = 1; i <= 5; i++)
        write_cifar(in_folder("cifar/cifar-10-batches-bin/data_batch_%d.bin", i), 10, 1, 10, 0);
    write_cifar(in_folder("cifar/cifar-10-batches-bin/test_batch.bin"), 20, 1, 10, 0);
    write_lines(in_folder("cifar/cifar-10-batches-bin/batches.meta.txt"), "class %d\n", 10);
    assert_true(vrt_dataset_open(&train, in_folder("cifar"), "train", NULL, &e));
    assert_true(vrt_dataset_open(&val, in_folder("cifar/cifar-10-batches-bin"), "val", train, &e));
    assert_int_equal(vrt_dataset_count(train), 50);
    assert_int_equal(vrt_dataset_count(val), 20);
    assert_int_equal(vrt_dataset_classes(val), 10);
    assert_string_equal(vrt_dataset_class_name(val, 3), "class 3");
    vrt_dataset_item_name(train, 11, name, sizeof name);         /* the second of class 2: records 6 of five files, then class 3 */
    assert_string_equal(name, "train/data_batch_2.bin[00006]");
    assert_true(vrt_dataset_label(train, 11) == 2 && vrt_dataset_read(train, 11, 3, &image, &e));
    assert_true(image.width == 32 && image.height == 32 && image.channels == 3);
    assert_true(image.pixels.data[0] == 6 && image.pixels.data[1] == 106 && image.pixels.data[3 * 77 + 2] == 77);
    assert_true(vrt_dataset_read(train, 11, 1, &image, &e));
    assert_int_equal(image.pixels.data[77], (6 * 19595 + 106 * 38470 + 77 * 7471 + 0x8000) >> 16);
    vrt_dataset_close(val);
    write_cifar(in_folder("cifar/cifar-10-batches-bin/test_batch.bin"), 20, 1, 10, 5);
    refused(in_folder("cifar"), "test", train, "not a number of pictures of 3073");
    write_cifar(in_folder("cifar/cifar-10-batches-bin/test_batch.bin"), 20, 1, 17, 0);
    refused(in_folder("cifar"), "test", train, "is not below 10");
    vrt_dataset_close(train);
    mkdir(in_folder("cifar100"), 0777);
    write_cifar(in_folder("cifar100/train.bin"), 200, 2, 100, 0);
    assert_true(vrt_dataset_open(&train, in_folder("cifar100"), "train", NULL, &e));
    assert_true(vrt_dataset_classes(train) == 100 && vrt_dataset_label(train, 199) == 99);
    assert_string_equal(vrt_dataset_class_name(train, 7), "07");
    vrt_dataset_close(train);
    vrt_image_free(&image);
}

/* -- pictures in one folder -- */

static const char *const flat_classes[] = {"n01440764", "n01443537", "n01484850"};      /* the first three of ImageNet-1k */

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

static void check_flat(const char *root, const struct vrt_dataset *classes_of, int count, int classes)
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
        assert_string_equal(vrt_dataset_class_name(d, label), flat_classes[label]);
        assert_true(vrt_dataset_read(d, i, 1, &image, &e));
        assert_int_equal(image.pixels.data[0], value);
    }
    vrt_dataset_close(d);
    vrt_image_free(&image);
}

/* A line for each picture of a file of labels. */
static void write_labels(const char *path, const char *head, const char *format, int n, const char *const *classes)
{
    FILE *f = fopen(path, "w");

    fputs(head, f);
    for (int i = n; i > 0; i--)
        fprintf(f, format, i, classes[(i - 1) % 3]);
    fclose(f);
}

static void reads_flat_folders(void **state)
{
    static const char *const numbers[] = {"0", "1", "2"};
    static const char *const sizes[] = {"val", "val/images"};
    struct vrt_dataset *train;
    struct vrt_error e;

    (void)state;
    mkdir(in_folder("fl"), 0777);
    write_flat(in_folder("fl/val"), 9);
    refused(in_folder("fl"), "val", NULL, "LOC_val_solution.csv");
    write_labels(in_folder("fl/val.txt"), "", "ILSVRC2012_val_%08d.JPEG %s\n", 9, numbers);
    check_flat(in_folder("fl"), NULL, 9, 3);            /* no training split: the numbers are ImageNet-1k's */
    mkdir(in_folder("fl/train"), 0777);
    for (int c = 0; c < 3; c++) {
        mkdir(in_folder("fl/train/%s", flat_classes[c]), 0777);
        write_gray(in_folder("fl/train/%s/1.JPEG", flat_classes[c]), 1);
    }
    check_flat(in_folder("fl"), NULL, 9, 3);
    assert_true(vrt_dataset_open(&train, in_folder("fl"), "train", NULL, &e));
    check_flat(in_folder("fl"), train, 9, 3);
    write_labels(in_folder("fl/val.txt"), "", "val/ILSVRC2012_val_%08d.JPEG %s\r\n", 8, numbers);
    refused(in_folder("fl"), "val", train, "ILSVRC2012_val_00000009.JPEG has no label in");
    write_labels(in_folder("fl/val.txt"), "ILSVRC2012_val_00000009 3\n", "ILSVRC2012_val_%08d.JPEG %s\n", 8, numbers);
    refused(in_folder("fl"), "val", train, "is not below the number of classes, 3");
    write_labels(in_folder("fl/val.txt"), "ILSVRC2012_val_00000009 1\n", "ILSVRC2012_val_%08d.JPEG %s\n", 9, numbers);
    refused(in_folder("fl"), "val", train, "two labels, ");
    unlink(in_folder("fl/val.txt"));
    write_labels(in_folder("fl/LOC_val_solution.csv"), "ImageId,PredictionString\n",
                 "ILSVRC2012_val_%08d,%s 85 1 499 272 n01440764 131 0 499 254\n", 9, flat_classes);
    check_flat(in_folder("fl"), train, 9, 3);
    unlink(in_folder("fl/LOC_val_solution.csv"));
    /* Class 0 is n01440764, whose ILSVRC2012_ID is 449; then 450 and 442. */
    mkdir(in_folder("fl/ILSVRC2012_devkit_t12"), 0777);
    mkdir(in_folder("fl/ILSVRC2012_devkit_t12/data"), 0777);
    write_file(in_folder("fl/ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"), "449\n450\n442\n449\n450\n442\n449\n450\n442\n",
               36);
    check_flat(in_folder("fl"), train, 9, 3);
    write_file(in_folder("fl/ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"), "449\n1001\n", 9);
    refused(in_folder("fl"), "val", train, ":2: '1001' is not an ILSVRC2012_ID");
    write_file(in_folder("fl/ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"), "449\n\n450\n", 9);
    refused(in_folder("fl"), "val", train, ":3: a line before it is empty");
    write_labels(in_folder("fl/val.txt"), "\n", "ILSVRC2012_val_%08d.JPEG %s\n", 9, numbers);
    check_flat(in_folder("fl"), train, 9, 3);           /* an empty line does no harm where lines name their pictures */
    unlink(in_folder("fl/val.txt"));
    vrt_dataset_close(train);
    mkdir(in_folder("tiny"), 0777);
    for (int i = 0; i < 2; i++)
        mkdir(in_folder("tiny/%s", sizes[i]), 0777);
    write_flat(in_folder("tiny/val/images"), 6);
    write_labels(in_folder("tiny/val/val_annotations.txt"), "", "ILSVRC2012_val_%08d.JPEG\t%s\t0\t32\t44\t62\n", 6, flat_classes);
    check_flat(in_folder("tiny"), NULL, 6, 3);
}

/* -- tars for a split -- */

static struct archive *begin_tar(const char *path, int filter)
{
    struct archive *a = archive_write_new();

    archive_write_add_filter(a, filter);
    archive_write_set_format_ustar(a);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    return a;
}

static void end_tar(struct archive *a)
{
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

static void add_path(struct archive *a, const char *name, const char *path)
{
    struct vrt_buffer b = {0};
    struct vrt_error e;

    assert_true(vrt_file_read(path, 1 << 20, &b, &e));
    add_member(a, name, b.data, b.size, AE_IFREG);
    vrt_buffer_free(&b);
}

static void add_gray(struct archive *a, const char *name, int value)
{
    write_gray(in_folder("one.png"), value);
    add_path(a, name, in_folder("one.png"));
}

/* As check_tree wants it: a tar of a tar for each class. */
static void write_nested(const char *path, const char *const *classes)
{
    struct archive *outer = begin_tar(path, ARCHIVE_FILTER_NONE);
    char name[100];

    for (int c = 2; c >= 0; c--) {
        struct archive *inner = begin_tar(in_folder("inner.tar"), ARCHIVE_FILTER_NONE);
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

/* The same in shards of four: key.png with its label in key.cls or key.json, in this order or the other. */
static void write_shards(const char *folder_name, bool json)
{
    struct archive *a = NULL;
    char name[100], label[100];

    mkdir(in_folder("%s", folder_name), 0777);
    for (int i = 0; i < 15; i++) {
        int c = i % 3, n = i / 3;
        a = i % 4 == 0 ? begin_tar(in_folder("%s/set-train-%06d.tar", folder_name, i / 4), ARCHIVE_FILTER_NONE) : a;
        if (i % 2) {
            snprintf(name, sizeof name, "s%02d.png", i);
            add_gray(a, name, 40 * c + n + 1);
        }
        snprintf(name, sizeof name, "s%02d.%s", i, json ? "json" : "cls");
        snprintf(label, sizeof label, json ? "{\"file\": \"x\", \"label\": %d}" : "%d\n", c);
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
            refused(in_folder("texts"), "train", NULL, "s.json has 1048577 bytes; at most 1048576 are read");
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
    add_member(a, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", truth, sizeof truth - 1, AE_IFREG);
    end_tar(a);
    check_flat(in_folder("official"), train, 6, 3);
    check_flat(in_folder("official"), NULL, 6, 3);
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
    for (int i = 14; i >= 0; i--) {
        snprintf(name, sizeof name, "train/%s/%02d.png", classes[i / 5], i % 5);
        add_gray(a, name, 40 * (i / 5) + i % 5 + 1);
    }
    end_tar(a);
    check_tree(in_folder("split"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_folders_and_archives),
        cmocka_unit_test(maps_classes),
        cmocka_unit_test(reads_bare_folders),
        cmocka_unit_test(refuses_data_sets),
        cmocka_unit_test(reads_idx), cmocka_unit_test(reads_cifar), cmocka_unit_test(reads_flat_folders),
        cmocka_unit_test(reads_tars_of_a_split), cmocka_unit_test(refuses_large_texts),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("data", tests, make_folder, remove_folder);
    return 0;
}
