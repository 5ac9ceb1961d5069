/* The inside of a data set: what folder.c, flat.c, archive.c, tars.c, idx.c and cifar.c fill in and
 * dataset.c serves from. */
#ifndef RUNTIME_DATA_SOURCE_H
#define RUNTIME_DATA_SOURCE_H

#include <dirent.h>

#include "runtime/base/file.h"
#include "runtime/data/blob.h"
#include "runtime/data/dataset.h"
#include "runtime/data/image.h"
#include "runtime/data/index.h"
#include "runtime/data/labels.h"
#include "runtime/data/split.h"

/* How items are read. Called from several threads at once. */
struct vrt_source {
    const char *kind;
    bool (*read)(const struct vrt_dataset *d, const struct vrt_item *item, int channels,
                 struct vrt_image *out, struct vrt_error *e);
};

struct vrt_dataset {
    const struct vrt_source *source;
    char *root;        /* as given */
    const char *asked; /* the split asked for; the caller's, while the data set is opened */
    char *split; /* the folder found for the split asked for: "test" for "val", perhaps; "": the
                    root is the split */
    const char *found; /* what it is called there, one of vrt_split_names(); NULL: bare */
    bool bare;         /* class folders where a split would be */
    bool stands_in;    /* a test set for a validation set */
    char *describe;
    struct vrt_index index;
    struct vrt_blob **blobs; /* archive: the tar; IDX: the pixels; CIFAR: its files */
    int nblobs;
    struct vrt_file_id *small; /* files that were read while it was opened: labels, names */
    int nsmall;
    int width, height; /* IDX: of every picture */
    int64_t missing;   /* labels without a picture */
};

/* Files of their own below ROOT/SPLIT, named by their items. */
extern const struct vrt_source vrt_folder_source;

/* 'd' a folder, 'f' a file, '?' neither (a socket, a dangling link); links are followed. */
char vrt_entry_kind(DIR *dir, const struct dirent *entry);

/* Has the folder class folders with pictures right in it, none of which is called as a split is? */
bool vrt_folder_bare(const char *root, bool *bare, struct vrt_error *e);

/* Each fills split, source, what it reads from, and the index: items by class and name, but those
 * of IDX as in the file. */
bool vrt_folder_open(struct vrt_dataset *d, const struct vrt_dataset *classes_of,
                     struct vrt_error *e);
bool vrt_archive_open(struct vrt_dataset *d, const char *split,
                      const struct vrt_dataset *classes_of, struct vrt_error *e);

/* Labels beside pictures without class folders; *l is zeroed before. table.path is NULL where there
 * are none. */
struct vrt_flat_labels {
    struct vrt_labels table;
    const char **classes; /* owned: what numbers stand for; NULL: labels are the classes */
    int64_t nclasses;     /* numbers are below it */
};
bool vrt_flat_labels_open(struct vrt_flat_labels *l, struct vrt_dataset *d, const char *root,
                          const struct vrt_dataset *classes_of, struct vrt_error *e);
const char *vrt_flat_label(const struct vrt_flat_labels *l, const char *where, const char *file,
                           struct vrt_error *e);
bool vrt_flat_numbers(const struct vrt_flat_labels *l); /* are the classes numbers? */
void vrt_flat_labels_free(struct vrt_flat_labels *l);

/* The same for pictures in ROOT/SPLIT itself; `found` is false where they have class folders or no
 * labels. */
bool vrt_flat_open(struct vrt_dataset *d, const struct vrt_dataset *classes_of, bool *found,
                   struct vrt_error *e);

/* A tar for the split, or shards of one, in the folder ROOT; or ROOT is a pattern of shards. */
bool vrt_tars_open(struct vrt_dataset *d, const char *split, const struct vrt_dataset *classes_of,
                   bool *found, struct vrt_error *e);

/* A pair of IDX files in ROOT. The pixels begin after a header. */
#define VRT_IDX_START 16
bool vrt_idx_open(struct vrt_dataset *d, const char *split, const struct vrt_dataset *classes_of,
                  bool *found, struct vrt_error *e);

/* The binary version of CIFAR-10 and -100 in ROOT, or in the folder that its archive unpacks to. */
bool vrt_cifar_open(struct vrt_dataset *d, const char *split, const struct vrt_dataset *classes_of,
                    bool *found, struct vrt_error *e);

/* Nothing was found for the split: is that because the other one's files are there, but not its
 * own? Then an error names what is missing. */
bool vrt_cifar_lacks(const char *root, const char *split, struct vrt_error *e);

/* Open one more blob; `known` as in vrt_blob_open. */
bool vrt_dataset_blob(struct vrt_dataset *d, const char *path, struct vrt_blob *known,
                      struct vrt_error *e);

/* Remember a file that was read, for vrt_dataset_reads(). */
bool vrt_dataset_note(struct vrt_dataset *d, const char *path, struct vrt_error *e);

/* "ROOT/SPLIT"; owned by the caller; NULL when memory is out. */
char *vrt_dataset_where(const struct vrt_dataset *d);

/* Items are bytes of the data set's blobs. */
bool vrt_blob_item(const struct vrt_dataset *d, const struct vrt_item *item, int channels,
                   struct vrt_image *out, struct vrt_error *e);

#endif
