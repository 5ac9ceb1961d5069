/* A decoded picture: 8-bit pixels, 1 (gray) or 3 (RGB) channels, interleaved.
 *
 * JPEG and PNG, told apart by their first bytes, never by name. Pixels are those Pillow gives for
 * convert('RGB') or convert('L'): exact DCT and interpolated chroma, CMYK taken as Adobe writes it
 * (inverted), alpha dropped, 16 bits cut to 8, no colour management. The EXIF orientation is not
 * applied unless that is asked for: the training pipelines that published accuracies come from do
 * not apply it either. */
#ifndef RUNTIME_DATA_IMAGE_H
#define RUNTIME_DATA_IMAGE_H

#include "runtime/base/buffer.h"
#include "runtime/base/status.h"

#define VRT_IMAGE_MAX_SIDE   65500       /* pixels: the limit of JPEG */
#define VRT_IMAGE_MAX_PIXELS (128 << 20) /* in all: 384 MiB of RGB */
#define VRT_IMAGE_MAX_FILE   (64 << 20)  /* bytes of an encoded picture */

enum vrt_exif { VRT_EXIF_IGNORE, VRT_EXIF_READ, VRT_EXIF_TURN };

/* A zeroed struct is an empty image. Its buffers grow and stay, so one image decodes any number of
 * files. */
struct vrt_image {
    int width, height, channels;
    const char *format;       /* "JPEG" or "PNG", as the file was; a constant */
    enum vrt_exif exif;       /* what to do with the orientation; the caller's */
    int orientation;          /* as the file says, 1 to 8; 0: it says nothing, or was not asked */
    bool cmyk;                /* as the file was */
    int warnings;             /* faults of the file that the decoder could pass over */
    struct vrt_buffer pixels; /* (H,W,C) */
    struct vrt_buffer file;   /* the encoded bytes, for readers */
};

/* Make pixels (height, width, channels); what they hold is not defined. Refuses sizes beyond the
 * limits above. */
bool vrt_image_resize(struct vrt_image *image, int64_t width, int64_t height, int channels,
                      struct vrt_error *e);
void vrt_image_free(struct vrt_image *image);

/* Bring what was decoded, 1, 3 or 4 (CMYK, inverted) channels, down to `channels` (1 or 3): gray by
 * the luma of ITU-R 601-2. */
void vrt_image_reduce(struct vrt_image *image, int channels);

/* Decode to `channels` (1 or 3). Errors say what is wrong, without the file's name, which only the
 * caller knows. */
bool vrt_image_decode(struct vrt_image *image, const uint8_t *bytes, size_t size, int channels,
                      struct vrt_error *e);

/* Do the first bytes of a file, at most so many, tell a picture, of a format that is decoded or
 * not? */
enum { VRT_IMAGE_HEAD = 16 };
bool vrt_image_known(const uint8_t *bytes, size_t size);

/* The picture in the file `path`; errors name it. */
bool vrt_image_read(struct vrt_image *image, const char *path, int channels, struct vrt_error *e);

/* The decoders behind it. Each leaves 1, 3 or 4 (CMYK, inverted) channels, which vrt_image_decode
 * then brings down. */
bool vrt_jpeg_decode(struct vrt_image *image, const uint8_t *bytes, size_t size, int channels,
                     struct vrt_error *e);
bool vrt_png_decode(struct vrt_image *image, const uint8_t *bytes, size_t size, int channels,
                    struct vrt_error *e);

#endif
