/* What the tests of data sets share: tars made here, and looks at what is opened. */
#ifndef TESTS_UNIT_DATASETS_H
#define TESTS_UNIT_DATASETS_H

#include <stddef.h>

struct archive;
struct vrt_dataset;

struct archive *begin_tar(const char *path, int filter);
void end_tar(struct archive *a);
void add_member(struct archive *a, const char *name, const void *bytes, size_t size, int type);
void add_path(struct archive *a, const char *name, const char *path);
void add_gray(struct archive *a, const char *name, int value); /* a picture of write_gray */

/* Opening `root` fails, and the message has `says`. */
void refused(const char *root, const char *split, const struct vrt_dataset *classes_of,
             const char *says);

/* The data set of write_tree(root, "train", 3, 5, 1), whatever holds it; `class` and `item` are
 * what it calls the second class and the second picture of that. */
void check_tree_named(const char *root, const char *class, const char *item);
void check_tree(const char *root);

#endif
