/* Where labelled pictures lie: folders, tars, IDX or CIFAR files. What is there is found out by
 * looking. */
#ifndef RUNTIME_DATA_DATASET_H
#define RUNTIME_DATA_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"

struct vrt_dataset;
struct vrt_file_id;
struct vrt_image;
struct vrt_odd;

/* Open one split, by any of its names (split.h), of what lies at `root`: class folders (classes
 * sorted by name, strcmp), a folder with labels beside, a tar, tars for splits, shards, IDX or
 * CIFAR files: README.md has the table. Archives are read in place through an index of our own;
 * compressed ones are inflated once to memory or an unlinked file. A folder or tar with class
 * folders right in it is its own only split, whatever split is asked for. `classes_of`, when not
 * NULL, is the dataset that defines the classes (the train split): a class of this split that it
 * lacks is an error that names it; a class folder without pictures is an error too. */
bool vrt_dataset_open(struct vrt_dataset **out, const char *root, const char *split,
                      const struct vrt_dataset *classes_of, struct vrt_error *e);
void vrt_dataset_close(struct vrt_dataset *d);

int64_t vrt_dataset_count(const struct vrt_dataset *d);
int64_t vrt_dataset_classes(const struct vrt_dataset *d);
const char *vrt_dataset_class_name(const struct vrt_dataset *d, int64_t c);
int64_t vrt_dataset_label(const struct vrt_dataset *d, int64_t i);

/* Files beside the pictures that are none. */
const struct vrt_odd *vrt_dataset_odd(const struct vrt_dataset *d);

/* How the test set is called, where it stands in for a validation set; else NULL. */
const char *vrt_dataset_stand_in(const struct vrt_dataset *d);

/* Are there class folders right in the folder or tar, none of which is called as a split is? Then
 * it is its only split. */
bool vrt_dataset_bare(const struct vrt_dataset *d);

/* And is it not called as a split itself? Then no training split lies beside it: it is a set of its
 * own. */
bool vrt_dataset_alone(const struct vrt_dataset *d);

/* Take a share (0 < share < 1) of each class out of d, into a data set of its own with the same
 * classes. */
bool vrt_dataset_hold_out(struct vrt_dataset *d, double share, struct vrt_dataset **out,
                          struct vrt_error *e);

/* Are both the same split of the same data? */
bool vrt_dataset_same(const struct vrt_dataset *a, const struct vrt_dataset *b);

/* Where the i-th of `limit` pictures stands that are spread evenly over all: a folder is sorted by
 * class, and its first ones would be of one class. A limit of 0, or beyond the count, is all
 * pictures, in order. */
int64_t vrt_dataset_spread(const struct vrt_dataset *d, int64_t limit, int64_t i);

const char *vrt_dataset_describe(
    const struct vrt_dataset *d); /* "folder /data/x: 50000 pictures, 10 classes" */

/* Decode picture i to 8-bit pixels with `channels` (1 or 3) channels. Safe to call from several
 * threads at once. */
bool vrt_dataset_read(const struct vrt_dataset *d, int64_t i, int channels, struct vrt_image *out,
                      struct vrt_error *e);

/* Are the pictures of a folder still where they were found? It may be unmounted or removed while it
 * is used. */
bool vrt_dataset_there(const struct vrt_dataset *d, struct vrt_error *e);

/* Is the data set read from this file, as a picture, an archive or labels? Looks at every picture
 * of a folder. */
bool vrt_dataset_reads(const struct vrt_dataset *d, const struct vrt_file_id *file);

/* Would a file or folder at `path` lie in the data at `root`, or in a folder that a link there
 * leads to? What of the path is not there yet is taken to be made. */
bool vrt_data_reaches(const char *root, const char *path);

/* Is a file of this name taken for a picture, where it lies in a class? */
bool vrt_data_takes(const char *path);

/* "train/cat/0001.jpg", for messages; into a buffer of the caller. */
void vrt_dataset_item_name(const struct vrt_dataset *d, int64_t i, char *text, int size);

#endif
