/* Tars, and data sets that were opened: see datasets.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>

#include "runtime/base/file.h"
#include "runtime/data/dataset.h"
#include "runtime/data/image.h"
#include "tests/unit/datasets.h"
#include "tests/unit/pictures.h"

struct archive *begin_tar(const char *path, int filter)
{
    struct archive *a = archive_write_new();

    archive_write_add_filter(a, filter);
    archive_write_set_format_ustar(a);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    return a;
}

void end_tar(struct archive *a)
{
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

void add_member(struct archive *a, const char *name, const void *bytes, size_t size, int type)
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

void add_path(struct archive *a, const char *name, const char *path)
{
    struct vrt_buffer b = {0};
    struct vrt_error e;

    assert_true(vrt_file_read(path, 1 << 20, &b, &e));
    add_member(a, name, b.data, b.size, AE_IFREG);
    vrt_buffer_free(&b);
}

void add_gray(struct archive *a, const char *name, int value)
{
    write_gray(in_folder("one.png"), value);
    add_path(a, name, in_folder("one.png"));
}

void refused(const char *root, const char *split, const struct vrt_dataset *classes_of,
             const char *says)
{
    struct vrt_dataset *d;
    struct vrt_error e;

    assert_false(vrt_dataset_open(&d, root, split, classes_of, &e));
    assert_null(d);
    if (strstr(e.text, says) == NULL)
        fail_msg("'%s' lacks '%s'", e.text, says);
}

void check_tree_named(const char *root, const char *class, const char *item)
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

void check_tree(const char *root)
{
    check_tree_named(root, "cat-2", "train/cat-2/01.png");
}
