/* The loader: the same floats for any number of threads and size of a batch, copies of a picture,
 * pictures that cannot be read, data that have gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/data/dataset.h"
#include "runtime/data/loader.h"
#include "tests/unit/fixture.h"
#include "tests/unit/pictures.h"

/* A folder with the data set that most tests load. */
static int make_tree(void **state)
{
    int status = make_folder(state);

    if (status == 0)
        write_tree(in_folder("tree"), "train", 3, 5, 1);
    return status;
}

/* Deliver an epoch (or its rest) into input and labels; the number of pictures, -1 for an error. */
static int64_t run_epoch(struct vrt_loader_options o, float *input, int32_t *labels,
                         struct vrt_error *e)
{
    struct vrt_loader *l;
    int64_t n = 1, total = 0,
            pixels = (int64_t)o.transform.channels * o.transform.height * o.transform.width;

    assert_true(vrt_loader_open(&l, &o, e));
    while (n > 0 && total >= 0) {
        if (!vrt_loader_next(l, input + total * pixels, labels + total, &n, e))
            total = -1;
        else
            total += n;
    }
    assert_true(vrt_loader_waited(l) >= 0);
    vrt_loader_close(l);
    return total;
}

static void loads_the_same(void **state)
{
    static float first[15 * 48], again[15 * 48];
    int32_t labels[15], labels_again[15], seen[3] = {0};
    struct vrt_loader_options o = {
        .transform = plain(3, 4, 4), .train = true, .batch = 3, .seed = 4, .threads = 1};
    struct vrt_dataset *d;
    struct vrt_error e;

    (void)state;
    assert_true(vrt_dataset_open(&d, in_folder("tree"), "train", NULL, &e));
    o.dataset = d;
    o.transform.flip = 0.5;
    o.transform.padded_crop = 2;
    assert_int_equal(run_epoch(o, first, labels, &e), 15);
    for (int i = 0; i < 15; i++)
        seen[labels[i]]++;
    assert_true(seen[0] == 5 && seen[1] == 5 && seen[2] == 5);
    o.threads = 3;
    o.batch = 5;
    assert_int_equal(run_epoch(o, again, labels_again, &e), 15);
    assert_memory_equal(first, again, sizeof first);
    assert_memory_equal(labels, labels_again, sizeof labels);
    o.first_batch = 2;
    assert_int_equal(run_epoch(o, again, labels_again, &e), 5);
    assert_memory_equal(first + 10 * 48, again, 5 * 48 * sizeof *first);
    o.first_batch = 3;
    assert_int_equal(run_epoch(o, again, labels_again, &e), 0);
    o.threads = 384; /* as many as there are processors, perhaps */
    o.first_batch = 0;
    assert_int_equal(run_epoch(o, again, labels_again, &e), 15);
    assert_memory_equal(first, again, sizeof first);
    o.threads = 3;
    o.epoch = 1;
    assert_int_equal(run_epoch(o, again, labels_again, &e), 15);
    assert_memory_not_equal(labels, labels_again, sizeof labels);
    o.batch = 4; /* the last three are dropped, but not at evaluation */
    assert_int_equal(run_epoch(o, again, labels_again, &e), 12);
    o.train = false;
    assert_int_equal(run_epoch(o, again, labels_again, &e), 15);
    for (int i = 0; i < 15; i++)
        assert_int_equal(labels_again[i], i / 5);
    o.limit = 7;
    assert_int_equal(run_epoch(o, again, labels_again, &e), 7);
    vrt_dataset_close(d);
}

/* Copies of a picture stand `apart`, each augmented by itself; a third of the pictures fills the
 * epoch. */
static void repeats(void **state)
{
    static float input[15 * 48], again[15 * 48];
    int32_t labels[15], labels_again[15];
    struct vrt_loader_options o = {.transform = plain(3, 4, 4),
                                   .train = true,
                                   .batch = 5,
                                   .seed = 4,
                                   .threads = 1,
                                   .copies = 3,
                                   .apart = 2};
    struct vrt_dataset *d;
    struct vrt_error e;
    int differ = 0;

    (void)state;
    assert_true(vrt_dataset_open(&d, in_folder("tree"), "train", NULL, &e));
    o.dataset = d;
    assert_int_equal(run_epoch(o, input, labels, &e), 15);
    for (int i = 0; i < 12; i++) { /* two whole blocks of two pictures, three times each */
        int first = i / 6 * 6 + i % 2;
        assert_int_equal(labels[i], labels[first]);
        assert_memory_equal(input + i * 48, input + first * 48, 48 * sizeof *input);
    }
    o.transform.padded_crop = 3;
    o.threads = 3;
    assert_int_equal(run_epoch(o, again, labels_again, &e), 15);
    assert_memory_equal(labels, labels_again, sizeof labels);
    for (int i = 0; i < 12; i++)
        differ += memcmp(again + i * 48, again + (i / 6 * 6 + i % 2) * 48, 48 * sizeof *again) != 0;
    assert_true(differ >= 6); /* of the eight that are not the first */
    o.copies = 99;
    struct vrt_loader *l;
    assert_false(vrt_loader_open(&l, &o, &e));
    vrt_dataset_close(d);
}

/* An epoch with pictures that cannot be read: their places, ended by -1, and numbers. */
static int64_t run_unread(struct vrt_loader_options o, float *input, int32_t *labels,
                          int64_t *places, int64_t *pictures)
{
    struct vrt_loader *l;
    struct vrt_error e;
    int64_t n, bad, total = 0;

    assert_true(vrt_loader_open(&l, &o, &e));
    for (;;) {
        assert_true(vrt_loader_next(l, input + total * 48, labels + total, &n, &e));
        if (n == 0)
            break;
        const struct vrt_unread *rows = vrt_loader_unread(l, &bad);
        for (int64_t i = 0; i < bad; i++) {
            assert_non_null(strstr(rows[i].reason, "03x.jpg: truncated"));
            *places++ = total + rows[i].place;
            *pictures++ = rows[i].picture;
            assert_int_equal(vrt_loader_picture(l, total + rows[i].place), rows[i].picture);
        }
        total += n;
    }
    *places = -1;
    vrt_loader_close(l);
    return total;
}

/* In training the next picture stands in, whatever the threads and the batches; at evaluation it is
 * zeros under its own label. */
static void bears_bad_pictures(void **state)
{
    static float input[16 * 48], again[16 * 48], zeros[48];
    int32_t labels[16], labels_again[16];
    int64_t places[17], places_again[17], pictures[17];
    struct vrt_loader_options o = {.transform = plain(3, 4, 4), .batch = 4, .threads = 2};
    struct vrt_dataset *d;
    struct vrt_error e;

    (void)state;
    write_file(in_folder("tree/train/cat-2/03x.jpg"), "\xff\xd8\xff\xe0", 4);
    assert_true(vrt_dataset_open(&d, in_folder("tree"), "train", NULL, &e));
    o.dataset = d;
    assert_int_equal(run_unread(o, input, labels, places, pictures), 16);
    assert_true(places[0] >= 0 && places[1] == -1 && places[0] == pictures[0]);
    assert_memory_equal(input + places[0] * 48, zeros, sizeof zeros);
    assert_int_equal(labels[places[0]], vrt_dataset_label(d, places[0]));
    o.train = true;
    o.transform.flip = 0.5;
    for (o.seed = 0; o.seed < 20; o.seed++) {
        o.batch = 4;
        o.threads = 1;
        assert_int_equal(run_unread(o, input, labels, places, pictures), 16);
        assert_true(places[0] >= 0 && places[1] == -1);
        int64_t next = (places[0] + 1) % 16;
        assert_memory_equal(input + places[0] * 48, input + next * 48, 48 * sizeof *input);
        assert_int_equal(labels[places[0]], labels[next]);
        o.batch = 1;
        o.threads = 3;
        assert_int_equal(run_unread(o, again, labels_again, places_again, pictures), 16);
        assert_memory_equal(input, again, sizeof input);
        assert_memory_equal(labels, labels_again, sizeof labels);
        assert_int_equal(places[0], places_again[0]);
    }
    vrt_dataset_close(d);
    unlink(in_folder("tree/train/cat-2/03x.jpg"));
}

/* Rows of pictures that cannot be read, and a folder that is gone, are no bad pictures. */
static void tells_vanished_data(void **state)
{
    static float input[60 * 48];
    int32_t labels[60];
    struct vrt_loader_options o = {.transform = plain(3, 4, 4), .batch = 4, .threads = 2};
    struct vrt_loader *l;
    struct vrt_error e;
    struct vrt_dataset *d;
    char name[80];

    (void)state;
    mkdir(in_folder("gone"), 0777);
    mkdir(in_folder("gone/train"), 0777);
    mkdir(in_folder("gone/train/a"), 0777);
    mkdir(in_folder("gone/train/b"), 0777);
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "gone/train/%c/%02d.jpg", i < 20 ? 'a' : 'b', i);
        write_file(in_folder("%s", name), "\xff\xd8\xff\xe0", i < 20 ? 4 : 3);
    }
    assert_true(vrt_dataset_open(&d, in_folder("gone"), "train", NULL, &e));
    o.dataset = d;
    assert_int_equal(run_epoch(o, input, labels, &e), -1);
    assert_non_null(strstr(e.text, "nor could the 15 pictures before it"));
    o.train = true;
    assert_int_equal(run_epoch(o, input, labels, &e), -1);
    assert_non_null(strstr(e.text, "nor can any of those after it"));
    assert_true(vrt_loader_open(&l, &o, &e)); /* closed while the threads work */
    vrt_loader_close(l);
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "gone/train/%c/%02d.jpg", i < 20 ? 'a' : 'b', i);
        unlink(in_folder("%s", name));
    }
    rmdir(in_folder("gone/train/a"));
    rmdir(in_folder("gone/train/b"));
    assert_int_equal(run_epoch(o, input, labels, &e), -1);
    assert_non_null(strstr(e.text, "the data have gone: there is nothing left in"));
    rmdir(in_folder("gone/train"));
    assert_int_equal(run_epoch(o, input, labels, &e), -1);
    assert_non_null(strstr(e.text, "the data have gone: there is nothing left in"));
    o.threads = 0;
    assert_false(vrt_loader_open(&l, &o, &e));
    vrt_dataset_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_the_same),
        cmocka_unit_test(repeats),
        cmocka_unit_test(bears_bad_pictures),
        cmocka_unit_test(tells_vanished_data),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_run_group_tests_name("loader", tests, make_tree, remove_folder);
    return 0;
}
