/* What lies among pictures: files that are none, in folders and in tars alike; a folder too many.
 */
#include <fcntl.h>
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

#include "runtime/base/file.h"
#include "runtime/data/dataset.h"
#include "runtime/data/doubt.h"
#include "runtime/data/image.h"
#include "runtime/data/odd.h"
#include "tests/unit/datasets.h"
#include "tests/unit/fixture.h"
#include "tests/unit/pictures.h"

enum { GONE, ODD, PICTURE };

/* What each is to be taken for; NULL: the bytes of a picture. */
static const struct {
    const char *name, *bytes;
    int is;
} files[] = {
    {"a", NULL, PICTURE},
    {"b.x", NULL, PICTURE},
    {"c.JPEG", "cut", PICTURE},
    {"d.jpg", "", PICTURE},
    {"e.gif", "cut", PICTURE},
    {"f.heic", "\1\1\1\30ftypheic", PICTURE},
    {"g", "GIF89a", PICTURE},
    {"h.cr2", "II*", ODD},
    {"README", "all mine", ODD},
    {"Makefile", "BMP: x", ODD},
    {"notes.txt", NULL, ODD},
    {"empty", "", ODD},
    {"Thumbs.db", "x", ODD},
    {"desktop.ini", "x", ODD},
    {"z.jpg.part", NULL, ODD},
    {"a.jpg:Zone.Identifier", "[ZoneTransfer]", ODD},
    {"clip.mov", "\1\1\1\30ftypqt  ", ODD},
    {"x.xmp", "<x/>", ODD},
    {".DS_Store", "x", GONE},
    {".hidden.jpg", NULL, GONE},
};
enum { NFILES = sizeof files / sizeof files[0] };

static const char *const gone_folders[] = {"lost+found", "@eaDir", ".ipynb_checkpoints",
                                           "__MACOSX"};

/* In train/cat and train/dog, and beside them; folders that are none with pictures inside. */
static void write_odd(const char *root)
{
    struct vrt_buffer picture = {0};
    struct vrt_error e;

    write_gray(in_folder("one.png"), 1);
    assert_true(vrt_file_read(in_folder("one.png"), 1 << 20, &picture, &e));
    write_tree(root, "train", 1, 1, 0);
    for (size_t i = 0; i < NFILES; i++) {
        const char *bytes = files[i].bytes != NULL ? files[i].bytes : (const char *)picture.data;
        size_t size = files[i].bytes != NULL ? strlen(bytes) : picture.size;
        char path[600];
        snprintf(path, sizeof path, "%s/train/cat/%s", root, files[i].name);
        write_file(path, bytes, size);
        if (files[i].is == ODD) {
            snprintf(path, sizeof path, "%s/train/%s", root, files[i].name);
            write_file(path, bytes, size);
        }
    }
    for (size_t i = 0; i < 4; i++)
        for (int deep = 0; deep < 2; deep++) {
            char path[600];
            snprintf(path, sizeof path, "%s/train/%s%s", root, deep ? "cat/" : "", gone_folders[i]);
            assert_int_equal(mkdir(path, 0777), 0);
            strcat(path, "/x.png");
            write_file(path, picture.data, picture.size);
        }
    vrt_buffer_free(&picture);
}

static void check_odd(const char *root, int times)
{
    struct vrt_dataset *d;
    struct vrt_error e;
    char text[VRT_ODD_TEXT], name[200];
    int pictures = 1, odd = 0; /* 00.png */

    for (size_t i = 0; i < NFILES; i++) {
        pictures += files[i].is == PICTURE;
        odd += files[i].is == ODD;
    }
    if (!vrt_dataset_open(&d, root, "train", NULL, &e))
        fail_msg("%s", e.text);
    assert_int_equal(vrt_dataset_count(d), pictures);
    assert_int_equal(vrt_dataset_odd(d)->count, times * odd);
    vrt_odd_text(vrt_dataset_odd(d), text);
    assert_non_null(strstr(text, " files are no pictures and were passed over: Makefile, README, "
                                 "Thumbs.db, a.jpg:Zone.Identifier, ..."));
    vrt_dataset_item_name(d, 1, name, sizeof name);
    assert_non_null(strstr(name, "cat/a"));
    vrt_dataset_close(d);
}

/* The tar is made by the system's own, with whatever is in the folder. */
static void make_tar(const char *folder_name, const char *what, const char *path)
{
    char command[1500];

    snprintf(command, sizeof command, "tar cf '%s' -C '%s' %s", path, folder_name, what);
    assert_int_equal(system(command), 0);
}

static void passes_over_other_files(void **state)
{
    char *root, *tar;

    (void)state;
    root = strdup(in_folder("odd"));
    write_odd(root);
    check_odd(root, 2);
    tar = strdup(in_folder("odd.tar"));
    make_tar(root, "train", tar);
    check_odd(tar, 2);
    mkdir(in_folder("shards"), 0777);
    free(tar);
    tar = strdup(in_folder("shards/x-train-0.tar"));
    make_tar(in_folder("odd/train"), "cat", tar);
    check_odd(in_folder("shards"), 1);
    free(tar);
    tar = strdup(in_folder("cat.tar"));
    make_tar(in_folder("odd/train/cat"), ".", tar);
    mkdir(in_folder("nested"), 0777);
    make_tar(folder, "cat.tar", in_folder("nested/train.tar"));
    check_odd(in_folder("nested"), 1);
    free(tar);
    free(root);
}

static void looks_at_few_files(void **state)
{
    (void)state;
    write_file(in_folder("shut.jpg"), "x", 1);
    write_file(in_folder("shut"), "x", 1);
    assert_true(vrt_odd_is_picture(AT_FDCWD, in_folder("shut.jpg")));
    assert_false(vrt_odd_is_picture(AT_FDCWD, in_folder("shut")));
    assert_true(vrt_odd_is_picture(AT_FDCWD, in_folder("nothing"))); /* told when it is read */
    assert_int_equal(vrt_odd_sort("ILSVRC2012_val_00000001.JPEG"), VRT_ODD_PICTURE);
    assert_int_equal(vrt_odd_sort("a.Png"), VRT_ODD_PICTURE);
    assert_int_equal(vrt_odd_sort("a.jpg.crdownload"), VRT_ODD_NO_PICTURE);
    assert_int_equal(vrt_odd_sort("n01440764_10026"), VRT_ODD_LOOK);
}

static void names_some(void **state)
{
    static const char *const names[] = {"f", "b", "f", "e", "a", "b", "f"};
    struct vrt_odd o = {0};
    char text[VRT_ODD_TEXT], longest[300];

    (void)state;
    vrt_odd_add(&o, "f");
    vrt_odd_text(&o, text);
    assert_string_equal(text, "1 file is no picture and was passed over: f");
    for (int i = 1; i < 7; i++)
        vrt_odd_add(&o, names[i]);
    vrt_odd_text(&o, text);
    assert_string_equal(text, "7 files are no pictures and were passed over: a, b, e, f");
    vrt_odd_add(&o, "c");
    vrt_odd_add(&o, "z");
    vrt_odd_text(&o, text);
    assert_string_equal(text, "9 files are no pictures and were passed over: a, b, c, e, ...");
    memset(longest, 'A', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    for (int i = 0; i < 4; i++, longest[0]++)
        vrt_odd_add(&o, longest);
    vrt_odd_text(&o, text);
    assert_true(strlen(text) < VRT_ODD_TEXT - 1 && strstr(text, ", ...") != NULL);
}

/* -- a folder too many -- */

static void doubts(const char *root, const char *says)
{
    struct vrt_dataset *d;
    struct vrt_error e;
    char text[VRT_DOUBT_TEXT] = "no doubt";

    if (!vrt_dataset_open(&d, root, "train", NULL, &e))
        fail_msg("%s", e.text);
    assert_int_equal(vrt_doubt_classes(d, "train", text), says != NULL);
    if (says != NULL && strstr(text, says) == NULL)
        fail_msg("'%s' lacks '%s'", text, says);
    vrt_dataset_close(d);
}

static void doubts_one_class(void **state)
{
    char *root, *tar;

    (void)state;
    root = strdup(in_folder("one"));
    write_tree(root, "train", 3, 2, 0);
    doubts(root, NULL);
    assert_int_equal(rename(in_folder("one/train"), in_folder("inner")), 0);
    mkdir(in_folder("one/train"), 0777);
    assert_int_equal(rename(in_folder("inner"), in_folder("one/train/data")), 0);
    doubts(root, "all 6 pictures of ");
    doubts(root,
           "one/train are of one class, `data`: there is nothing to learn; the 3 folders in its "
           "`data` look like classes (cat-2, cat, dog): move them up into ");
    doubts(root, "one/train/data --holdout 0.1");
    tar = strdup(in_folder("one.tar"));
    make_tar(root, "train", tar);
    doubts(tar, "look like classes (cat-2, cat, dog): pack them right into ");
    mkdir(in_folder("one/train/data/deep"), 0777);
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"cat", "cat-2", "dog"};
        char *from = strdup(in_folder("one/train/data/%s", names[i]));
        assert_int_equal(rename(from, in_folder("one/train/data/deep/%s", names[i])), 0);
        free(from);
    }
    doubts(root, "the 3 folders in its `data/deep` look like classes");
    write_tree(in_folder("alone"), "train", 1, 4, 0);
    doubts(in_folder("alone"), "are of one class, `cat`: there is nothing to learn");
    free(tar);
    free(root);
}

/* --data is a level too low or too high. */
static void doubts_roots(void **state)
{
    static const char *const names[] = {"cat", "cat-2", "dog"};
    char says[600];

    (void)state;
    write_tree(in_folder("set"), "train", 3, 2, 0);
    for (int i = 0; i < 3; i++) { /* CLASS/images/FILE */
        char *to = strdup(in_folder("set/train/%s/images", names[i]));
        assert_int_equal(rename(in_folder("set/train/%s", names[i]), in_folder("aside")), 0);
        mkdir(in_folder("set/train/%s", names[i]), 0777);
        assert_int_equal(rename(in_folder("aside"), to), 0);
        free(to);
    }
    snprintf(says, sizeof says, "; perhaps --data %s is meant", in_folder("set"));
    doubts(in_folder("set/train/cat/"), says);
    refused(in_folder("set/train/cat/images"), "train", NULL, "it has: 0");
    refused(in_folder("set/val"), "train", NULL, "cannot open");
    refused(in_folder("set"), "val", NULL, "; --holdout 0.1 takes a part of the training split");
    mkdir(in_folder("above"), 0777);
    assert_int_equal(rename(in_folder("set"), in_folder("above/set")), 0);
    snprintf(says, sizeof says, "it has: set; perhaps --data %s is meant", in_folder("above/set"));
    refused(in_folder("above"), "train", NULL, says);
    write_tree(in_folder("bare"), "x", 3, 2, 0);
    snprintf(says, sizeof says, "; perhaps --data %s is meant", in_folder("bare/x"));
    refused(in_folder("bare"), "train", NULL, says);
    refused(in_folder("bare/x/cat"), "train", NULL, says);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_over_other_files),
        cmocka_unit_test(looks_at_few_files),
        cmocka_unit_test(names_some),
        cmocka_unit_test(doubts_one_class),
        cmocka_unit_test(doubts_roots),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("odd", tests, make_folder, remove_folder);
    return 0;
}
