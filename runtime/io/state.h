/* What resuming needs, in one file: a text (JSON, the caller's) and blocks of memory, under one
 * checksum (XXH3-128).
 *
 * A folder holds two files that are replaced in turn, so that the newest good state survives
 * whatever happens while the next one is written. Layout: "vmoestat", then as little-endian 64-bit
 * numbers version, sequence, bytes of the text, number of blocks, bytes of each block; the text;
 * the blocks; 16 bytes of checksum over all before. What is there is listed in manifest.json, which
 * is written last: see manifest.h. */
#ifndef RUNTIME_IO_STATE_H
#define RUNTIME_IO_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

enum { VRT_STATE_BLOCKS = 8 };

struct vrt_state_block {
    void *data;
    int64_t bytes;
};

struct vrt_state;

/* Write state number `sequence` (1, 2, ...) into `folder`, over the older of the two. */
bool vrt_state_save(const char *folder, uint64_t sequence, const char *text,
                    const struct vrt_state_block *blocks, size_t nblocks, struct vrt_error *e);

/* Open the newest sound state of a folder with a number below `below`. *out is NULL, without an
 * error, when the folder holds none. `note` receives "" or what is wrong: a state that is damaged
 * or gone, or the manifest. That there are states but no sound one is an error, and that one cannot
 * be opened (rights, memory). */
bool vrt_state_open(struct vrt_state **out, const char *folder, uint64_t below, char *note,
                    size_t note_size, struct vrt_error *e);
void vrt_state_close(struct vrt_state *s);

uint64_t vrt_state_sequence(const struct vrt_state *s);
const char *vrt_state_text(const struct vrt_state *s); /* ends in NUL; lives as long as `s` */

/* Copy the blocks back; their number and sizes must be those that were saved. */
bool vrt_state_read(const struct vrt_state *s, const struct vrt_state_block *blocks, size_t nblocks,
                    struct vrt_error *e);

#endif
