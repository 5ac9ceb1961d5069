/* Pictures decoded ahead of the step on threads, delivered in order: the same floats for any number
 * of threads. */
#ifndef RUNTIME_DATA_LOADER_H
#define RUNTIME_DATA_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"
#include "runtime/data/policy.h"

struct vrt_dataset;
struct vrt_loader;

/* How one picture becomes the network's input. */
struct vrt_transform {
    /* of the network; grayscale files are repeated, colour ones become luma */
    int channels, height, width;
    double mean[3], std[3]; /* of values in 0..1: (x/255 - mean) / std, in float */
    int resample;           /* 0 bilinear, 1 bicubic; antialiased as Pillow does it */
    double crop_pct; /* evaluation: resize the short side to floor(size/crop_pct), centre crop */
    int squash;      /* 1: resize both sides so, without regard to proportions */
    /* training only, each off at 0 */
    int random_resized_crop; /* timm's: 10 tries, then the centre */
    double min_scale, max_scale, min_ratio, max_ratio;
    int padded_crop; /* 0: off; else cut out at random anywhere, after resizing to cover the size,
                      * and as many pixels beyond each edge: black, or the picture mirrored there */
    bool reflect;
    double flip;              /* probability of a horizontal flip */
    bool alternating;         /* not drawn anew each epoch: see augment.h */
    struct vrt_policy policy; /* changes of the 8-bit pixels, after crop and flip */
    double erase;             /* probability that a part of the input becomes noise, last of all */
};

struct vrt_loader_options {
    const struct vrt_dataset *dataset;
    struct vrt_transform transform;
    bool plain;    /* in training: no augmentation, the input of evaluation */
    bool train;    /* shuffled by (seed, epoch), augmented by (seed, epoch, picture), last
                    * incomplete batch dropped; else in order, all pictures, no augmentation */
    int64_t batch; /* pictures of one vrt_loader_next() */
    int64_t epoch, first_batch; /* where to start (resuming costs nothing) */
    uint64_t seed;
    int threads;    /* decoding threads, >= 1; 256 at most are started */
    int64_t limit;  /* use N pictures, spread evenly over the dataset; 0: all */
    int64_t copies; /* training: each picture so many times, augmented anew (an epoch is as long,
                     * and sees as many times fewer); 0: once */
    int64_t apart;  /* pictures between two copies */
};

bool vrt_loader_open(struct vrt_loader **out, const struct vrt_loader_options *o,
                     struct vrt_error *e);
void vrt_loader_close(struct vrt_loader *l); /* also in the middle of an epoch */

/* The next batch: input (n,H,W,C) f32, labels (n); *n is the number of pictures, 0 at the end of
 * the epoch. Unless a picture is bad, no allocation happens in here or in the threads once running.
 *
 * A picture that cannot be read is no error: in training the next one of the epoch's order that can
 * stands in for it, with the floats and the label that it has in its own place; at evaluation its
 * input is zeros under its own label. vrt_loader_unread() tells. An error is that none of
 * VRT_UNREAD_ROW pictures in a row can be read, that the data are no longer where they were, or
 * that a picture finds no memory. */
enum { VRT_UNREAD_ROW = 16, VRT_UNREAD_TEXT = 400 };

bool vrt_loader_next(struct vrt_loader *l, float *input, int32_t *labels, int64_t *n,
                     struct vrt_error *e);

struct vrt_unread {
    int64_t place, picture; /* in the batch; in the data set */
    char reason[VRT_UNREAD_TEXT];
};

/* The pictures of the last batch that could not be read, by place; valid until the next call. */
const struct vrt_unread *vrt_loader_unread(const struct vrt_loader *l, int64_t *n);

/* The picture at a place of the epoch, 0, 1, ..., as a number in the data set. */
int64_t vrt_loader_picture(const struct vrt_loader *l, int64_t place);

/* Seconds this loader made its caller wait. */
double vrt_loader_waited(const struct vrt_loader *l);

/* One picture, as the loader does it for evaluation (predict). input (H,W,C). */
struct vrt_image;
bool vrt_transform_eval(const struct vrt_transform *t, const struct vrt_image *image, float *input,
                        struct vrt_error *e);

#endif
