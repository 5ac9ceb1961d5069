/* ReaL, the reassessed labels of ImageNet-1k's validation pictures (Beyer et al. 2020): a picture
 * has none or more right classes. */
#ifndef RUNTIME_IO_REAL_H
#define RUNTIME_IO_REAL_H

#include <jansson.h>
#include <stdint.h>

#include "runtime/base/status.h"

struct vrt_verdict;

struct vrt_real {
    const char *path; /* the caller's */
    json_t *list;     /* of lists of labels: places among the sorted classes of ImageNet-1k */
};

struct vrt_real_score {
    int64_t images, top1; /* pictures with a label, and those whose prediction is one of them */
    bool applies;         /* pictures are named as the validation pictures are */
};

/* real.json of the authors, or the same of timm. Free it after an error, too. */
bool vrt_real_read(struct vrt_real *r, const char *path, struct vrt_error *e);
void vrt_real_free(struct vrt_real *r);

/* Judge n pictures, named by name(data, i, ...), by the number in ILSVRC2012_val_00000001.JPEG.
 * `class_of` is the ImageNet-1k label of each output, -1 for none. All pictures have such a name,
 * or none and s->applies is false; else an error. */
typedef void vrt_picture_namer(const void *data, int64_t i, char *text, int size);
bool vrt_real_count(const struct vrt_real *r, const struct vrt_verdict *v, int64_t n,
                    vrt_picture_namer *name, const void *data, const int32_t *class_of,
                    struct vrt_real_score *s, struct vrt_error *e);

#endif
