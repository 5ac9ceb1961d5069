/* The labels of pictures that lie in one folder without class folders, from the file that came with
 * them. */
#ifndef RUNTIME_DATA_LABELS_H
#define RUNTIME_DATA_LABELS_H

#include <stdint.h>

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"

struct vrt_label {
    const char *file, *class;
}; /* the file without folder and ending */

struct vrt_labels {
    struct vrt_buffer text; /* what the items point into */
    /* by file (strcmp); in_order: by the number in the file's name, from 1 on */
    struct vrt_label *items;
    int64_t count, room;
    bool in_order;
    bool numbers; /* all classes are numbers, as text: caffe's val.txt */
    char *path;   /* NULL: there is no such file */
};

/* Read the first file of labels that is there for the pictures of ROOT/SPLIT; *l is zeroed before.
 * Looks in that folder, in ROOT and in the development kit of ILSVRC2012, unpacked or not. Files
 * are called as the split is, or as the one that was asked for, by any of their names. */
bool vrt_labels_open(struct vrt_labels *l, const char *root, const char *split, const char *asked,
                     struct vrt_error *e);

/* The files that are looked for, for messages. */
enum { VRT_LABEL_FILES = 1600 };
void vrt_labels_files(const char *split, const char *asked, char text[VRT_LABEL_FILES]);

/* The class of a picture: a name, or a number as text; NULL when the file has no label for it. */
const char *vrt_labels_of(const struct vrt_labels *l, const char *file);

void vrt_labels_free(struct vrt_labels *l);

/* The classes of ImageNet-1k by label: sorted (strcmp). */
#define VRT_IMAGENET_CLASSES 1000
void vrt_imagenet_classes(const char *names[VRT_IMAGENET_CLASSES]);

#endif
