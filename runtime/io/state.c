/* The files that resuming reads: see state.h. */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "runtime/base/file.h"
#include "runtime/io/manifest.h"
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

/* The two files are taken in turn. */
static void state_name(char name[24], uint64_t sequence)
{
    snprintf(name, 24, "%d.state", (int)(sequence % VRT_STATES));
}

static bool state_path(char path[PATH_MAX], const char *folder, uint64_t sequence, struct vrt_error *e)
{
    char name[24];
    state_name(name, sequence);
    int n = snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return (n > 0 && n < PATH_MAX) || vrt_fail(e, VRT_BAD_INPUT, "the name of the folder %.100s... is too long", folder);
}

static uint64_t head_size(const struct head *h)
{
    uint64_t total = sizeof *h + CHECKSUM_BYTES + h->text_bytes;
    for (size_t i = 0; i < h->nblocks; i++)
        if (__builtin_add_overflow(total, h->block_bytes[i], &total))
            return 0;
    return total;
}

static void sum_text(char text[40], const XXH128_canonical_t *digest)
{
    for (size_t i = 0; i < sizeof digest->digest; i++)
        snprintf(text + 2 * i, 3, "%02x", digest->digest[i]);
}

/* Writes go through the checksum, so that it covers exactly what the file was given. */
static bool put(struct vrt_writer *w, XXH3_state_t *sum, const void *data, size_t size, struct vrt_error *e)
{
    XXH3_128bits_update(sum, data, size);
    return vrt_writer_write(w, data, size, e);
}

static bool put_all(struct vrt_writer *w, XXH3_state_t *sum, const struct head *head, const char *text,
                    const struct vrt_state_block *blocks, XXH128_canonical_t *digest, struct vrt_error *e)
{
    if (!vrt_writer_reserve(w, head_size(head), e) || !put(w, sum, head, sizeof *head, e) ||
        !put(w, sum, text, (size_t)head->text_bytes, e))
        return false;
    for (size_t i = 0; i < head->nblocks; i++)
        if (!put(w, sum, blocks[i].data, (size_t)blocks[i].bytes, e))
            return false;
    XXH128_canonicalFromHash(digest, XXH3_128bits_digest(sum));
    return vrt_writer_write(w, digest, sizeof *digest, e) && vrt_writer_commit(w, e);
}

/* The step that a text speaks of, for people who read the list; -1 if it speaks of none. */
static int64_t step_of(const char *text)
{
    json_t *j = json_loads(text, 0, NULL);
    const json_t *step = json_object_get(j, "step");
    int64_t value = json_is_integer(step) ? (int64_t)json_integer_value(step) : -1;
    json_decref(j);
    return value;
}

static bool list_state(const char *folder, const struct head *head, const char *text, const XXH128_canonical_t *digest,
                       struct vrt_error *e)
{
    struct vrt_listed row = { .sequence = head->sequence, .bytes = head_size(head), .step = step_of(text) };
    struct vrt_manifest m;
    state_name(row.file, head->sequence);
    sum_text(row.sum, digest);
    vrt_manifest_read(&m, folder);
    return vrt_manifest_write(&m, folder, &row, e);
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
    XXH128_canonical_t digest;
    XXH3_state_t *sum = XXH3_createState();
    bool ok = sum != NULL || vrt_fail(e, VRT_BAD_INPUT, "no memory to write %s", path);
    if (ok) {
        XXH3_128bits_reset(sum);
        ok = put_all(&w, sum, &head, text, blocks, &digest, e);
    }
    XXH3_freeState(sum);
    vrt_writer_abandon(&w);
    return ok && list_state(folder, &head, text, &digest, e);
}

/* The size that the head promises, 0 if it promises nonsense. */
static size_t promised_size(const struct head *h)
{
    if (memcmp(h->magic, magic, sizeof magic) != 0 || h->version != VERSION || h->nblocks > VRT_STATE_BLOCKS ||
        h->text_bytes > TEXT_LIMIT)
        return 0;
    return (size_t)head_size(h);
}

static const char *check_map(struct vrt_state *s, const struct vrt_listed *listed)
{
    char sum[40];
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
    sum_text(sum, &digest);
    if (listed != NULL && (listed->sequence > s->head.sequence ||
                           (listed->sequence == s->head.sequence && strcmp(listed->sum, sum) != 0)))
        return "it is not the one that manifest.json names";
    s->text = strndup((const char *)s->file.data + sizeof s->head, (size_t)s->head.text_bytes);
    return s->text == NULL ? "there is no memory to read it" : NULL;
}

/* NULL if `s` is now a sound state, else why not; "" if there is no such file and none is listed. */
static const char *open_one(struct vrt_state *s, const struct vrt_listed *listed)
{
    struct vrt_error e;
    if (access(s->path, F_OK) != 0 && errno == ENOENT)
        return listed != NULL ? "it is gone" : "";
    return vrt_file_map(s->path, &s->file, &e) ? check_map(s, listed) : "it cannot be read";
}

void vrt_state_close(struct vrt_state *s)
{
    if (s == NULL)
        return;
    vrt_file_unmap(&s->file);
    free(s->text);
    free(s);
}

static void tell_damage(char *note, size_t size, const struct vrt_state *s, const struct vrt_listed *listed, const char *why)
{
    char step[40] = "";
    if (listed != NULL && listed->step >= 0)
        snprintf(step, sizeof step, ", of step %lld,", (long long)listed->step);
    snprintf(note, size, "%s%s is damaged (%s)", s->path, step, why);
}

bool vrt_state_open(struct vrt_state **out, const char *folder, uint64_t below, char *note, size_t note_size, struct vrt_error *e)
{
    struct vrt_state *best = NULL, *s;
    struct vrt_manifest manifest;
    char name[24];
    *out = NULL;
    note[0] = '\0';
    vrt_manifest_read(&manifest, folder);
    for (uint64_t i = 0; i < VRT_STATES; i++) {
        if ((s = calloc(1, sizeof *s)) == NULL || !state_path(s->path, folder, i, e)) {
            if (s == NULL)
                vrt_fail(e, VRT_BAD_INPUT, "no memory to read the state in %s", folder);
            vrt_state_close(s);
            vrt_state_close(best);
            return false;
        }
        state_name(name, i);
        const struct vrt_listed *listed = vrt_manifest_find(&manifest, name);
        const char *why = open_one(s, listed);
        if (why != NULL && *why != '\0')
            tell_damage(note, note_size, s, listed, why);
        bool better = why == NULL && s->head.sequence < below && (best == NULL || s->head.sequence > best->head.sequence);
        vrt_state_close(better ? best : s);
        best = better ? s : best;
    }
    if (best == NULL && note[0] != '\0')
        return vrt_fail(e, VRT_BAD_INPUT, "%.500s and there is no older state; remove %.200s to start this run again", note,
                        folder);
    if (manifest.damaged && note[0] == '\0')
        snprintf(note, note_size, "%s/manifest.json is damaged; the checksums in the states decide", folder);
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
