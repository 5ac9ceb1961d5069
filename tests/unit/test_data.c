/* Data sets: class folders, archives of them, IDX and CIFAR files, made here in a temporary
 * folder. */
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
#include "runtime/data/tar.h"
#include "tests/unit/datasets.h"
#include "tests/unit/fixture.h"
#include "tests/unit/pictures.h"

/* -- writers -- */

/* The tree of write_tree as a tar, in another order, with a folder in front or not. */
static void write_tar(const char *path, const char *lead, int filter)
{
    static const char *const classes[] = {"dog", "cat", "cat-2"};
    static const char *const hidden[] = {".x/train/cat/0.png", "train/.x/0.png",
                                         "train/cat/.x/0.png", "train/cat/._00.png"};
    static const int values[] = {80, 0, 40};
    struct archive *a = begin_tar(path, filter);
    char name[100];

    snprintf(name, sizeof name, "%snotes.txt", lead);
    add_member(a, name, "x", 1, AE_IFREG);
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
        snprintf(name, sizeof name, "%s%s", lead, hidden[i]);
        add_member(a, name, "x", 1, AE_IFREG);
    }
    for (int c = 0; c < 3; c++)
        for (int n = 4; n >= 0; n--) {
            snprintf(name, sizeof name, "%strain/%s/%02d.png", lead, classes[c], n);
            add_gray(a, name, values[c] + n + 1);
        }
    end_tar(a);
}

static void write_idx(const char *path, int count, int side, bool labels, int extra, bool zip)
{
    uint8_t bytes[4096] = {0, 0, 8, labels ? 1 : 3, 0, 0, 0, (uint8_t)count,
                           0, 0, 0, (uint8_t)side,  0, 0, 0, (uint8_t)side};
    int start = labels ? 8 : 16, size = labels ? count : count * side * side;
    gzFile f = gzopen(path, zip ? "wb" : "wbT");

    for (int i = 0; i < size; i++)
        bytes[start + i] = (uint8_t)(labels ? i % 3 : i);
    assert_int_equal(gzwrite(f, bytes, (unsigned)(start + size + extra)), start + size + extra);
    gzclose(f);
}

static void write_idx_pair(const char *prefix, int count, bool zip)
{
    write_idx(in_folder("%s-images-idx3-ubyte%s", prefix, zip ? ".gz" : ""), count, 5, false, 0,
              zip);
    write_idx(in_folder("%s-labels-idx1-ubyte%s", prefix, zip ? ".gz" : ""), count, 5, true, 0,
              zip);
}

/* -- tests -- */

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

/* How many pictures `val` of this root has, which tells what was opened for it. */
static int64_t count_val(const char *root)
{
    struct vrt_dataset *d;
    struct vrt_error e;
    int64_t n;

    if (!vrt_dataset_open(&d, root, "val", NULL, &e))
        fail_msg("%s", e.text);
    n = vrt_dataset_count(d);
    vrt_dataset_close(d);
    return n;
}

static bool val_stands_in(const char *root)
{
    struct vrt_dataset *d;
    struct vrt_error e;
    bool stands_in;

    if (!vrt_dataset_open(&d, root, "val", NULL, &e))
        fail_msg("%s", e.text);
    stands_in = vrt_dataset_stand_in(d) != NULL;
    vrt_dataset_close(d);
    return stands_in;
}

/* The picture FOLDER/cat/N.png for each N below n. */
static void add_cats(struct archive *a, const char *where, int n)
{
    char name[200];

    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%.100scat/%d.png", where, i);
        add_gray(a, name, i);
    }
}

/* By any name, of folders, files of IDX, tars and shards, and in an archive; each goes before those
 * that were there before. Only the test set stands in. */
static void knows_names_of_splits(void **state)
{
    static const char *const names[] = {"test", "evaluation", "eval", "valid", "validation", "val"};
    struct archive *a;
    char name[100];

    (void)state;
    mkdir(in_folder("sp"), 0777);
    for (int kind = 0; kind < 4; kind++)
        mkdir(in_folder("sp/%d", kind), 0777);
    for (int i = 0; i < 6; i++) {
        write_tree(in_folder("sp/0"), names[i], 1, i + 1, 0);
        snprintf(name, sizeof name, "sp/1/%s", names[i]);
        write_idx_pair(name, i + 1, i % 2);
        a = begin_tar(in_folder(i % 2 ? "sp/2/%s.tar" : "sp/2/x-%s-000.tar", names[i]), 0);
        add_cats(a, "", i + 1);
        end_tar(a);
        a = begin_tar(in_folder("sp/3/all"), ARCHIVE_FILTER_NONE);
        for (int j = 0; j <= i; j++) {
            snprintf(name, sizeof name, "set/%s/", names[j]);
            add_cats(a, name, j + 1);
        }
        end_tar(a);
        for (int kind = 0; kind < 4; kind++) {
            char *root = strdup(in_folder("sp/%d%s", kind, kind < 3 ? "" : "/all"));
            assert_int_equal(count_val(root), i + 1);
            assert_int_equal(val_stands_in(root), i == 0);
            free(root);
        }
    }
}

static void knows_names_of_training(void **state)
{
    struct vrt_dataset *d;
    struct vrt_error e;

    (void)state;
    write_tree(in_folder("tr"), "training", 3, 1, 0);
    write_tree(in_folder("tr"), "eval", 3, 2, 0);
    assert_true(vrt_dataset_open(&d, in_folder("tr"), "train", NULL, &e));
    assert_true(vrt_dataset_count(d) == 3 && vrt_dataset_stand_in(d) == NULL);
    vrt_dataset_close(d);
    assert_true(vrt_dataset_open(&d, in_folder("tr"), "test", NULL, &e));
    assert_true(vrt_dataset_count(d) == 6 && vrt_dataset_stand_in(d) == NULL);
    vrt_dataset_close(d);
    assert_int_equal(rename(in_folder("tr/eval"), in_folder("tr/mine")), 0);
    refused(in_folder("tr"), "val", NULL, "it has: ");
    assert_true(vrt_dataset_open(&d, in_folder("tr"), "mine", NULL, &e));
    vrt_dataset_close(d);
}

/* A validation set goes before the test set. */
static void chooses_validation(void **state)
{
    (void)state;
    write_tree(in_folder("names"), "test", 2, 1, 0);
    assert_int_equal(count_val(in_folder("names")), 2);
    write_tree(in_folder("names"), "validation", 2, 2, 0);
    assert_int_equal(count_val(in_folder("names")), 4);
    write_tree(in_folder("names"), "val", 2, 3, 0);
    assert_int_equal(count_val(in_folder("names")), 6);
    mkdir(in_folder("idx_names"), 0777);
    write_idx_pair("idx_names/t10k", 4, false);
    assert_int_equal(count_val(in_folder("idx_names")), 4);
    write_idx_pair("idx_names/validation", 5, true);
    assert_int_equal(count_val(in_folder("idx_names")), 5);
    write_idx_pair("idx_names/val", 6, false);
    assert_int_equal(count_val(in_folder("idx_names")), 6);
}

/* LEAD/cat/00.png and LEAD/OTHER/01.png, with a note before. */
static void write_bare(const char *path, const char *lead, const char *other)
{
    struct archive *a = begin_tar(path, ARCHIVE_FILTER_NONE);
    char name[100];

    snprintf(name, sizeof name, "%sREADME.txt", lead);
    add_member(a, name, "x", 1, AE_IFREG);
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s%s/%02d.png", lead, i == 0 ? "cat" : other, i);
        add_gray(a, name, 50 + i);
    }
    end_tar(a);
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
    assert_true(vrt_dataset_open(&d, in_folder("sets/a"), "val", NULL, &e));
    assert_int_equal(vrt_dataset_count(d), 6);
    assert_true(vrt_dataset_bare(d));
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
    refused(in_folder("sets"), "val", NULL, "it has: a"); /* folders in folders, no pictures */
    assert_int_equal(rename(in_folder("sets/a"), in_folder("sets/val")), 0);
    assert_true(vrt_dataset_open(&d, in_folder("sets/val//"), "val", NULL, &e));
    assert_false(vrt_dataset_alone(d)); /* beside a training split, perhaps */
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
    struct archive *a;
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
    refused(in_folder("flat"), "train", NULL, "1 pictures but no class folders");
    refused(in_folder("one.png"), "train", NULL, "must be a tar");
    assert_true(vrt_file_read(in_folder("a.tar"), 1 << 20, &b, &e));
    write_file(in_folder("cut.tar"), b.data, 512 * 7 + 20);
    refused(in_folder("cut.tar"), "train", NULL, "cut");
    assert_true(vrt_file_read(in_folder("b.tar.gz"), 1 << 20, &b, &e));
    write_file(in_folder("cut.tar.gz"), b.data, b.size / 2);
    refused(in_folder("cut.tar.gz"), "train", NULL, "cannot inflate");
    a = begin_tar(in_folder("link.tar"), ARCHIVE_FILTER_NONE);
    add_member(a, "train/cat/1.png", "", 0, AE_IFLNK);
    end_tar(a);
    refused(in_folder("link.tar"), "train", NULL, "link");
    vrt_buffer_free(&b);
}

static bool count_member(void *data, const struct vrt_member *m, struct vrt_error *e)
{
    (void)m, (void)e;
    ++*(int *)data;
    return true;
}

/* Another process cuts the file after it was opened: an error, and no signal. */
static void bears_files_that_are_cut(void **state)
{
    static const off_t sizes[] = {0, 512, 5000, 8000};
    struct vrt_buffer b = {0};
    struct vrt_blob *blob;
    struct vrt_error e;
    int n;

    (void)state;
    assert_true(vrt_file_read(in_folder("a.tar"), 1 << 20, &b, &e));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        write_file(in_folder("cut.tar"), b.data, b.size);
        assert_true(vrt_blob_open(&blob, in_folder("cut.tar"), NULL, &e));
        assert_int_equal(truncate(in_folder("cut.tar"), sizes[i]), 0);
        n = 0;
        assert_false(vrt_tar_walk("cut.tar", blob, 0, blob->size, count_member, &n, &e));
        assert_non_null(strstr(e.text, "cut while in use"));
        assert_true(n < 16);
        vrt_blob_close(blob);
    }
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
    write_idx_pair("idx/train", 6, true);
    write_idx_pair("idx/t10k", 4, false);
    assert_true(vrt_dataset_open(&train, in_folder("idx"), "train", NULL, &e));
    assert_true(vrt_dataset_open(&val, in_folder("idx"), "val", train, &e));
    assert_int_equal(vrt_dataset_count(train), 6);
    assert_int_equal(vrt_dataset_classes(train), 3);
    assert_non_null(vrt_dataset_stand_in(val));
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

/* The labels stand in any order in such files: of each class every second picture goes, and keeps
 * its number. */
static void holds_out_of_idx(void **state)
{
    struct vrt_image image = {0};
    struct vrt_dataset *kept, *held;
    struct vrt_error e;
    char name[100];

    (void)state;
    assert_true(vrt_dataset_open(&kept, in_folder("idx"), "train", NULL, &e));
    if (!vrt_dataset_hold_out(kept, 0.5, &held, &e))
        fail_msg("%s", e.text);
    assert_true(vrt_dataset_count(kept) == 3 && vrt_dataset_count(held) == 3);
    for (int i = 0; i < 3; i++)
        assert_true(vrt_dataset_label(kept, i) == i && vrt_dataset_label(held, i) == i);
    vrt_dataset_item_name(held, 1, name, sizeof name);
    assert_string_equal(name, "train-images-idx3-ubyte.gz[1]");
    vrt_dataset_item_name(kept, 1, name, sizeof name);
    assert_string_equal(name, "train-images-idx3-ubyte.gz[4]");
    assert_true(vrt_dataset_read(kept, 1, 1, &image, &e));
    assert_int_equal(image.pixels.data[0], 100);
    vrt_dataset_close(held);
    vrt_dataset_close(kept);
    vrt_image_free(&image);
}

/* `count` records: the label is 7 i % classes, red is i, green 100 + i, blue the place in the
 * plane. */
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

/* Behind a byte-order mark. */
static void write_lines(const char *path, const char *format, int n)
{
    FILE *f = fopen(path, "w");

    fputs("\xef\xbb\xbf", f);
    for (int i = 0; i < n; i++)
        fprintf(f, format, i);
    fclose(f);
}

/* Any file that is missing is told; more than there are by right are read. */
static void lacks_batches(const char *where)
{
    struct vrt_dataset *d;
    struct vrt_error e;
    char *root = strdup(where), file[20], path[300], aside[300];

    snprintf(aside, sizeof aside, "%s/aside", root);
    for (int n = 1; n <= 5; n++) {
        snprintf(file, sizeof file, "data_batch_%d.bin", n);
        snprintf(path, sizeof path, "%s/%s", root, file);
        assert_int_equal(rename(path, aside), 0);
        refused(root, "train", NULL, file);
        refused(root, "train", NULL, "is missing");
        assert_int_equal(rename(aside, path), 0);
    }
    snprintf(path, sizeof path, "%s/test_batch.bin", root);
    assert_int_equal(rename(path, aside), 0);
    refused(root, "val", NULL, "test_batch.bin is missing; get it again, or hold a part");
    assert_int_equal(rename(aside, path), 0);
    snprintf(path, sizeof path, "%s/data_batch_6.bin", root);
    write_cifar(path, 10, 1, 10, 0);
    assert_true(vrt_dataset_open(&d, root, "training", NULL, &e));
    assert_int_equal(vrt_dataset_count(d), 60);
    vrt_dataset_close(d);
    free(root);
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
    assert_true(vrt_dataset_stand_in(val) != NULL && vrt_dataset_stand_in(train) == NULL);
    assert_string_equal(vrt_dataset_class_name(val, 3), "class 3");
    vrt_dataset_item_name(
        train, 11, name,
        sizeof name); /* the second of class 2: records 6 of five files, then class 3 */
    assert_string_equal(name, "train/data_batch_2.bin[00006]");
    assert_true(vrt_dataset_label(train, 11) == 2 && vrt_dataset_read(train, 11, 3, &image, &e));
    assert_true(image.width == 32 && image.height == 32 && image.channels == 3);
    assert_true(image.pixels.data[0] == 6 && image.pixels.data[1] == 106 &&
                image.pixels.data[3 * 77 + 2] == 77);
    assert_true(vrt_dataset_read(train, 11, 1, &image, &e));
    assert_int_equal(image.pixels.data[77], (6 * 19595 + 106 * 38470 + 77 * 7471 + 0x8000) >> 16);
    vrt_dataset_close(val);
    write_cifar(in_folder("cifar/cifar-10-batches-bin/test_batch.bin"), 20, 1, 10, 5);
    refused(in_folder("cifar"), "test", train, "not a number of pictures of 3073");
    write_cifar(in_folder("cifar/cifar-10-batches-bin/test_batch.bin"), 20, 1, 17, 0);
    refused(in_folder("cifar"), "test", train, "is not below 10");
    vrt_dataset_close(train);
    lacks_batches(in_folder("cifar/cifar-10-batches-bin"));
    mkdir(in_folder("cifar100"), 0777);
    write_cifar(in_folder("cifar100/train.bin"), 200, 2, 100, 0);
    assert_true(vrt_dataset_open(&train, in_folder("cifar100"), "train", NULL, &e));
    assert_true(vrt_dataset_classes(train) == 100 && vrt_dataset_label(train, 199) == 99);
    assert_string_equal(vrt_dataset_class_name(train, 7), "07");
    vrt_dataset_close(train);
    refused(in_folder("cifar100"), "test", NULL, "cifar100/test.bin is missing");
    vrt_image_free(&image);
}

static bool reads(const struct vrt_dataset *d, const char *path)
{
    struct vrt_file_id id;

    assert_true(vrt_file_find(path, &id));
    return vrt_dataset_reads(d, &id);
}

/* Pictures, archives and labels, by any path; what lies beside them is not read. */
static void knows_its_files(void **state)
{
    struct vrt_dataset *d, *held = NULL;
    struct vrt_error e;

    (void)state;
    write_tree(in_folder("own"), "train", 3, 5, 1);
    write_file(in_folder("own/train/notes.txt"), "x", 1);
    assert_int_equal(symlink("own/train/cat/01.png", in_folder("own.link")), 0);
    assert_true(vrt_dataset_open(&d, in_folder("own"), "train", NULL, &e));
    assert_true(reads(d, in_folder("own/train/dog/04.png")) && reads(d, in_folder("own.link")));
    assert_false(reads(d, in_folder("own/train/notes.txt")) || reads(d, in_folder("own")));
    vrt_dataset_close(d);

    write_tar(in_folder("own.tar"), "", ARCHIVE_FILTER_NONE);
    assert_true(vrt_dataset_open(&d, in_folder("own.tar"), "train", NULL, &e));
    assert_true(reads(d, in_folder("own.tar")));
    vrt_dataset_close(d);

    mkdir(in_folder("own.idx"), 0777);
    write_idx(in_folder("own.idx/train-images-idx3-ubyte"), 60, 5, false, 0, false);
    write_idx(in_folder("own.idx/train-labels-idx1-ubyte"), 60, 5, true, 0, false);
    assert_true(vrt_dataset_open(&d, in_folder("own.idx"), "train", NULL, &e) &&
                vrt_dataset_hold_out(d, 0.5, &held, &e));
    assert_true(reads(d, in_folder("own.idx/train-images-idx3-ubyte")));
    assert_true(reads(d, in_folder("own.idx/train-labels-idx1-ubyte")));
    assert_true(reads(held, in_folder("own.idx/train-labels-idx1-ubyte")));
    vrt_dataset_close(held);
    vrt_dataset_close(d);
}

static void tells_what_lies_in_it(void **state)
{
    char root[600];

    (void)state;
    write_tree(in_folder("in"), "train", 2, 1, 1);
    write_tree(in_folder("far"), "val", 2, 1, 1);
    assert_int_equal(symlink("../far/val", in_folder("in/val")), 0);
    assert_int_equal(symlink("../../far", in_folder("in/train/fox")), 0);
    assert_int_equal(symlink("in", in_folder("in.link")), 0);
    snprintf(root, sizeof root, "%s", in_folder("in"));
    assert_true(vrt_data_reaches(root, root));
    assert_true(vrt_data_reaches(root, in_folder("in/run")));
    assert_true(vrt_data_reaches(root, in_folder("in.link/new/run")));
    assert_true(vrt_data_reaches(in_folder("in.link"), in_folder("in/train/run/state")));
    assert_true(vrt_data_reaches(root, in_folder("far/val/run")));
    assert_true(vrt_data_reaches(root, in_folder("far/run"))); /* in the class `fox` */
    assert_true(vrt_data_reaches("/", in_folder("elsewhere")));
    assert_false(vrt_data_reaches(root, in_folder("in2/run")));
    assert_false(vrt_data_reaches(root, in_folder("run")));
    assert_false(vrt_data_reaches(root, "."));
    assert_false(vrt_data_reaches(in_folder("nowhere"), in_folder("run")));
    assert_false(vrt_data_reaches(in_folder("in/train"), root));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_its_files),
        cmocka_unit_test(tells_what_lies_in_it),
        cmocka_unit_test(reads_folders_and_archives),
        cmocka_unit_test(maps_classes),
        cmocka_unit_test(chooses_validation),
        cmocka_unit_test(knows_names_of_splits),
        cmocka_unit_test(knows_names_of_training),
        cmocka_unit_test(reads_bare_folders),
        cmocka_unit_test(refuses_data_sets),
        cmocka_unit_test(bears_files_that_are_cut),
        cmocka_unit_test(reads_idx),
        cmocka_unit_test(holds_out_of_idx),
        cmocka_unit_test(reads_cifar),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("data", tests, make_folder, remove_folder);
    return 0;
}
