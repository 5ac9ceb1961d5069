/* The files that resuming reads: see state.h. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "runtime/base/file.h"
#include "runtime/io/state.h"

static const char magic[8] = { 'v', 'm', 'o', 'e', 's', 't', 'a', 't' };

enum { VERSION = 1, CHECKSUM_BYTES = 16, TEXT_LIMIT = 16 << 20 };

struct head {
    char magic[8];
    uint64_t version, sequence, text_bytes, nblocks, block_bytes[VRT_STATE_BLOCKS];
};

struct vrt_state {
    char path[PATH_MAX];
    struct vrt_map file;
    struct head head;
    char *text;
};

static bool state_path(char path[PATH_MAX], const char *folder, uint64_t sequence, struct vrt_error *e)
{
    int n = snprintf(path, PATH_MAX, "%s/%d.state", folder, (int)(sequence % 2));
    return (n > 0 && n < PATH_MAX) || vrt_fail(e, VRT_BAD_INPUT, "the name of the folder %.100s... is too long", folder);
}

/* Writes go through the checksum, so that it covers exactly what the file was given. */
static bool put(struct vrt_writer *w, XXH3_state_t *sum, const void *data, size_t size, struct vrt_error *e)
{
    XXH3_128bits_update(sum, data, size);
    return vrt_writer_write(w, data, size, e);
}

static bool put_all(struct vrt_writer *w, XXH3_state_t *sum, const struct head *head, const char *text,
                    const struct vrt_state_block *blocks, struct vrt_error *e)
{
    if (!put(w, sum, head, sizeof *head, e) || !put(w, sum, text, (size_t)head->text_bytes, e))
        return false;
    for (size_t i = 0; i < head->nblocks; i++)
        if (!put(w, sum, blocks[i].data, (size_t)blocks[i].bytes, e))
            return false;
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(sum));
    return vrt_writer_write(w, &digest, sizeof digest, e) && vrt_writer_commit(w, e);
}

bool vrt_state_save(const char *folder, uint64_t sequence, const char *text, const struct vrt_state_block *blocks,
                    size_t nblocks, struct vrt_error *e)
{
    struct head head = { .version = VERSION, .sequence = sequence, .text_bytes = strlen(text), .nblocks = nblocks };
    char path[PATH_MAX];
    struct vrt_writer w;
    memcpy(head.magic, magic, sizeof magic);
    for (size_t i = 0; i < nblocks; i++)
        head.block_bytes[i] = (uint64_t)blocks[i].bytes;
    if (!state_path(path, folder, sequence, e) || !vrt_writer_begin(&w, path, e))
        return false;
    XXH3_state_t *sum = XXH3_createState();
    bool ok = sum != NULL || vrt_fail(e, VRT_BAD_INPUT, "no memory to write %s", path);
    if (ok) {
        XXH3_128bits_reset(sum);
        ok = put_all(&w, sum, &head, text, blocks, e);
    }
    XXH3_freeState(sum);
    vrt_writer_abandon(&w);
    return ok;
}

/* The size that the head promises, 0 if it promises nonsense. */
static size_t promised_size(const struct head *h)
{
    uint64_t total = sizeof *h + CHECKSUM_BYTES;
    if (memcmp(h->magic, magic, sizeof magic) != 0 || h->version != VERSION || h->nblocks > VRT_STATE_BLOCKS ||
        h->text_bytes > TEXT_LIMIT)
        return 0;
    total += h->text_bytes;
    for (size_t i = 0; i < h->nblocks; i++)
        if (__builtin_add_overflow(total, h->block_bytes[i], &total))
            return 0;
    return (size_t)total;
}

static const char *check_map(struct vrt_state *s)
{
    if (s->file.size < sizeof s->head + CHECKSUM_BYTES)
        return "it is cut off";
    memcpy(&s->head, s->file.data, sizeof s->head);
    size_t size = promised_size(&s->head);
    if (size == 0)
        return "it is no state of this version";
    if (size != s->file.size)
        return "its length is wrong";
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits(s->file.data, s->file.size - CHECKSUM_BYTES));
    if (memcmp(&digest, s->file.data + s->file.size - CHECKSUM_BYTES, CHECKSUM_BYTES) != 0)
        return "its checksum is wrong";
    s->text = strndup((const char *)s->file.data + sizeof s->head, (size_t)s->head.text_bytes);
    return s->text == NULL ? "there is no memory to read it" : NULL;
}

/* NULL if `s` is now a sound state, else why not; "" if there is no such file. */
static const char *open_one(struct vrt_state *s)
{
    struct vrt_error e;
    if (access(s->path, F_OK) != 0 && errno == ENOENT)
        return "";
    return vrt_file_map(s->path, &s->file, &e) ? check_map(s) : "it cannot be read";
}

void vrt_state_close(struct vrt_state *s)
{
    if (s == NULL)
        return;
    vrt_file_unmap(&s->file);
    free(s->text);
    free(s);
}

bool vrt_state_open(struct vrt_state **out, const char *folder, char *note, size_t note_size, struct vrt_error *e)
{
    struct vrt_state *best = NULL, *s;
    *out = NULL;
    note[0] = '\0';
    for (uint64_t i = 0; i < 2; i++) {
        if ((s = calloc(1, sizeof *s)) == NULL || !state_path(s->path, folder, i, e)) {
            if (s == NULL)
                vrt_fail(e, VRT_BAD_INPUT, "no memory to read the state in %s", folder);
            vrt_state_close(s);
            vrt_state_close(best);
            return false;
        }
        const char *why = open_one(s);
        if (why != NULL && *why != '\0')
            snprintf(note, note_size, "%s is damaged (%s)", s->path, why);
        bool better = why == NULL && (best == NULL || s->head.sequence > best->head.sequence);
        vrt_state_close(better ? best : s);
        best = better ? s : best;
    }
    if (best == NULL && note[0] != '\0')
        return vrt_fail(e, VRT_BAD_INPUT, "%.500s and there is no older state; remove %.200s to start this run again", note,
                        folder);
    *out = best;
    return true;
}

uint64_t vrt_state_sequence(const struct vrt_state *s)
{
    return s->head.sequence;
}

const char *vrt_state_text(const struct vrt_state *s)
{
    return s->text;
}

bool vrt_state_read(const struct vrt_state *s, const struct vrt_state_block *blocks, size_t nblocks, struct vrt_error *e)
{
    const unsigned char *at = s->file.data + sizeof s->head + s->head.text_bytes;
    bool same = nblocks == s->head.nblocks;
    for (size_t i = 0; same && i < nblocks; i++)
        same = (uint64_t)blocks[i].bytes == s->head.block_bytes[i];
    if (!same)
        return vrt_fail(e, VRT_BAD_INPUT, "%s was saved by another program: the sizes of its blocks differ", s->path);
    for (size_t i = 0; i < nblocks; i++) {
        memcpy(blocks[i].data, at, (size_t)blocks[i].bytes);
        at += blocks[i].bytes;
    }
    return true;
}
