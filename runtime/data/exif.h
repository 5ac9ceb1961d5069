/* The EXIF orientation of a picture: how the camera was held. */
#ifndef RUNTIME_DATA_EXIF_H
#define RUNTIME_DATA_EXIF_H

#include "runtime/data/image.h"

/* What the bytes of a JPEG's APP1 or of a PNG's eXIf say: 1 (upright) to 8; 0: nothing, or they are
 * damaged. */
int vrt_exif_orientation(const uint8_t *bytes, size_t size);

/* Turn and mirror the pixels so that the picture is upright, as Pillow's ImageOps.exif_transpose
 * does. */
bool vrt_exif_turn(struct vrt_image *image, int orientation, struct vrt_error *e);

#endif
