/* Where labelled pictures lie: folders, tars, IDX or CIFAR files. What is there is found out by looking. */
#ifndef RUNTIME_DATA_DATASET_H
#define RUNTIME_DATA_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"

struct vrt_dataset;
struct vrt_image;

/* Open one split ("train", "val", "test"; "val" falls back to "test" and "validation", "test" to "val") below `root`:
 *   a folder     root/SPLIT/CLASS/files          classes sorted by name (strcmp)
 *   a flat one   root/SPLIT/files, or root/SPLIT/images/files, with labels in root/SPLIT, root or the development kit's folder:
 *                caffe's SPLIT.txt (FILE LABEL), Kaggle's LOC_SPLIT_solution.csv, Tiny-ImageNet's SPLIT_annotations.txt,
 *                ILSVRC2012_validation_ground_truth.txt. Numbers are places among the sorted classes: of classes_of, of the folders in
 *                root/train, else ImageNet-1k's
 *   a tar        the same tree inside root (.tar, or .tar.gz inflated once to memory or an unlinked file), with or
 *                without one leading folder; read in place through an index of our own
 *   CIFAR's binary files    data_batch_1.bin .. and test_batch.bin, or train.bin and test.bin, in root or the folder they unpack to
 *   a folder of IDX files   train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte[.gz], t10k-... (val and test)
 * `classes_of`, when not NULL, is the dataset that defines the classes (the train split): a class of this split that it
 * lacks is an error that names it; a class folder without pictures is an error too. */
bool vrt_dataset_open(struct vrt_dataset **out, const char *root, const char *split,
                      const struct vrt_dataset *classes_of, struct vrt_error *e);
void vrt_dataset_close(struct vrt_dataset *d);

int64_t vrt_dataset_count(const struct vrt_dataset *d);
int64_t vrt_dataset_classes(const struct vrt_dataset *d);
const char *vrt_dataset_class_name(const struct vrt_dataset *d, int64_t c);
int64_t vrt_dataset_label(const struct vrt_dataset *d, int64_t i);

/* Where the i-th of `limit` pictures stands that are spread evenly over all: a folder is sorted by class, and its first ones
 * would be of one class. A limit of 0, or beyond the count, is all pictures, in order. */
int64_t vrt_dataset_spread(const struct vrt_dataset *d, int64_t limit, int64_t i);

const char *vrt_dataset_describe(const struct vrt_dataset *d);          /* "folder /data/x: 50000 pictures, 10 classes" */

/* Decode picture i to 8-bit pixels with `channels` (1 or 3) channels. Safe to call from several threads at once. */
bool vrt_dataset_read(const struct vrt_dataset *d, int64_t i, int channels, struct vrt_image *out, struct vrt_error *e);

/* "train/cat/0001.jpg", for messages; into a buffer of the caller. */
void vrt_dataset_item_name(const struct vrt_dataset *d, int64_t i, char *text, int size);

#endif
