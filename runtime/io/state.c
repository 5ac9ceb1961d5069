/* The files that resuming reads: see state.h. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/io/manifest.h"
#include "runtime/io/state.h"

static const char magic[8] = {'v', 'm', 'o', 'e', 's', 't', 'a', 't'};

enum { VERSION = 1, CHECKSUM_BYTES = 16, TEXT_LIMIT = 16 << 20, PART = 1 << 16 };

struct head {
    char magic[8];
    uint64_t version, sequence, text_bytes, nblocks, block_bytes[VRT_STATE_BLOCKS];
};

struct vrt_state {
    char path[PATH_MAX];
    int fd;
    uint64_t size;
    struct head head;
    char *text;
    char why[sizeof((struct vrt_error *)0)->text]; /* what is wrong with it */
};

/* The two files are taken in turn. */
static void state_name(char name[24], uint64_t sequence)
{
    snprintf(name, 24, "%d.state", (int)(sequence % VRT_STATES));
}

static bool state_path(char path[PATH_MAX], const char *folder, uint64_t sequence,
                       struct vrt_error *e)
{
    char name[24];
    state_name(name, sequence);
    int n = snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return (n > 0 && n < PATH_MAX) ||
           vrt_fail(e, VRT_BAD_INPUT, "the name of the folder %.100s... is too long", folder);
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
static bool put(struct vrt_writer *w, XXH3_state_t *sum, const void *data, size_t size,
                struct vrt_error *e)
{
    XXH3_128bits_update(sum, data, size);
    return vrt_writer_write(w, data, size, e);
}

static bool put_all(struct vrt_writer *w, XXH3_state_t *sum, const struct head *head,
                    const char *text, const struct vrt_state_block *blocks,
                    XXH128_canonical_t *digest, struct vrt_error *e)
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
static bool step_of(const char *text, int64_t *out, struct vrt_error *e)
{
    json_t *j = vrt_json_read(text, strlen(text), 0, "the text of the state", e);
    const json_t *step = json_object_get(j, "step");
    *out = json_is_integer(step) ? (int64_t)json_integer_value(step) : -1;
    json_decref(j);
    return j != NULL;
}

static bool list_state(const char *folder, const struct head *head, const char *text,
                       const XXH128_canonical_t *digest, struct vrt_error *e)
{
    struct vrt_listed row = {.sequence = head->sequence, .bytes = head_size(head)};
    struct vrt_manifest m;
    state_name(row.file, head->sequence);
    sum_text(row.sum, digest);
    return step_of(text, &row.step, e) && vrt_manifest_read(&m, folder, e) &&
           vrt_manifest_write(&m, folder, &row, e);
}

bool vrt_state_save(const char *folder, uint64_t sequence, const char *text,
                    const struct vrt_state_block *blocks, size_t nblocks, struct vrt_error *e)
{
    struct head head = {
        .version = VERSION, .sequence = sequence, .text_bytes = strlen(text), .nblocks = nblocks};
    char path[PATH_MAX];
    struct vrt_writer w;
    memcpy(head.magic, magic, sizeof magic);
    for (size_t i = 0; i < nblocks; i++)
        head.block_bytes[i] = (uint64_t)blocks[i].bytes;
    if (!state_path(path, folder, sequence, e) || !vrt_writer_begin(&w, path, e))
        return false;
    XXH128_canonical_t digest;
    XXH3_state_t *sum = XXH3_createState();
    bool ok = sum != NULL || vrt_fail(e, VRT_NO_MEMORY, "no memory to write %s", path);
    if (ok) {
        XXH3_128bits_reset(sum);
        ok = put_all(&w, sum, &head, text, blocks, &digest, e);
    }
    XXH3_freeState(sum);
    vrt_writer_abandon(&w);
    return ok && list_state(folder, &head, text, &digest, e);
}

/* The size that the head promises, 0 if it promises nonsense. */
static uint64_t promised_size(const struct head *h)
{
    if (memcmp(h->magic, magic, sizeof magic) != 0 || h->version != VERSION ||
        h->nblocks > VRT_STATE_BLOCKS || h->text_bytes > TEXT_LIMIT)
        return 0;
    return head_size(h);
}

enum condition { SOUND, ABSENT, DAMAGED, FAILED };

static enum condition damaged(struct vrt_state *s, const char *why)
{
    snprintf(s->why, sizeof s->why, "%s", why);
    return DAMAGED;
}

/* By reads, not a map: a bad place of the disk is an answer then, not the end of the program. */
static bool get(struct vrt_state *s, void *data, size_t size, uint64_t offset)
{
    struct vrt_error e;
    if (vrt_file_read_at(s->fd, s->path, data, size, offset, &e))
        return true;
    damaged(s, e.text);
    return false;
}

static enum condition check_sum(struct vrt_state *s, XXH3_state_t *sum,
                                const struct vrt_listed *listed)
{
    unsigned char part[PART], own[CHECKSUM_BYTES];
    XXH128_canonical_t digest;
    char text[40];
    uint64_t end = s->size - CHECKSUM_BYTES;
    XXH3_128bits_reset(sum);
    for (uint64_t at = 0; at < end; at += PART) {
        size_t n = end - at < PART ? (size_t)(end - at) : PART;
        if (!get(s, part, n, at))
            return DAMAGED;
        XXH3_128bits_update(sum, part, n);
    }
    if (!get(s, own, sizeof own, end) ||
        !get(s, s->text, (size_t)s->head.text_bytes, sizeof s->head))
        return DAMAGED;
    XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(sum));
    if (memcmp(&digest, own, sizeof own) != 0)
        return damaged(s, "its checksum is wrong");
    sum_text(text, &digest);
    if (listed != NULL &&
        (listed->sequence > s->head.sequence ||
         (listed->sequence == s->head.sequence && strcmp(listed->sum, text) != 0)))
        return damaged(s, "it is not the one that manifest.json names");
    return SOUND;
}

static enum condition check_file(struct vrt_state *s, const struct vrt_listed *listed,
                                 struct vrt_error *e)
{
    if (s->size < sizeof s->head + CHECKSUM_BYTES)
        return damaged(s, "it is cut off");
    if (!get(s, &s->head, sizeof s->head, 0))
        return DAMAGED;
    uint64_t size = promised_size(&s->head);
    if (size == 0)
        return damaged(s, "it is no state of this version");
    if (size != s->size)
        return damaged(s, "its length is wrong");
    XXH3_state_t *sum = XXH3_createState();
    s->text = calloc((size_t)s->head.text_bytes + 1, 1);
    enum condition c = sum != NULL && s->text != NULL ? check_sum(s, sum, listed) : FAILED;
    XXH3_freeState(sum);
    if (c == FAILED)
        vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", s->path);
    return c;
}

/* What a file holds decides whether it is damaged. That it cannot be opened says nothing of that:
 * it fails, lest a good state be passed by and then written over. */
static enum condition open_one(struct vrt_state *s, const struct vrt_listed *listed,
                               struct vrt_error *e)
{
    if (access(s->path, F_OK) != 0 && errno == ENOENT)
        return listed != NULL ? damaged(s, "it is gone") : ABSENT;
    s->fd = vrt_file_open(s->path, &s->size, e);
    return s->fd >= 0 ? check_file(s, listed, e) : FAILED;
}

void vrt_state_close(struct vrt_state *s)
{
    if (s == NULL)
        return;
    if (s->fd >= 0)
        close(s->fd);
    free(s->text);
    free(s);
}

/* State file i, not opened; NULL: no memory, or no such path. */
static struct vrt_state *new_state(const char *folder, uint64_t i, struct vrt_error *e)
{
    struct vrt_state *s = calloc(1, sizeof *s);
    if (s == NULL) {
        vrt_fail(e, VRT_NO_MEMORY, "no memory to read the state in %s", folder);
        return NULL;
    }
    s->fd = -1;
    if (state_path(s->path, folder, i, e))
        return s;
    vrt_state_close(s);
    return NULL;
}

static void tell_damage(char *note, size_t size, const struct vrt_state *s,
                        const struct vrt_listed *listed)
{
    char step[40] = "";
    if (listed != NULL && listed->step >= 0)
        snprintf(step, sizeof step, ", of step %lld,", (long long)listed->step);
    snprintf(note, size, "%s%s is damaged (%s)", s->path, step, s->why);
}

bool vrt_state_open(struct vrt_state **out, const char *folder, uint64_t below, char *note,
                    size_t note_size, struct vrt_error *e)
{
    struct vrt_state *best = NULL, *s;
    struct vrt_manifest manifest;
    char name[24];
    *out = NULL;
    note[0] = '\0';
    if (!vrt_manifest_read(&manifest, folder, e))
        return false;
    for (uint64_t i = 0; i < VRT_STATES; i++) {
        state_name(name, i);
        const struct vrt_listed *listed = vrt_manifest_find(&manifest, name);
        s = new_state(folder, i, e);
        enum condition c = s != NULL ? open_one(s, listed, e) : FAILED;
        if (c == FAILED) {
            vrt_state_close(s);
            vrt_state_close(best);
            return false;
        }
        if (c == DAMAGED)
            tell_damage(note, note_size, s, listed);
        bool better = c == SOUND && s->head.sequence < below &&
                      (best == NULL || s->head.sequence > best->head.sequence);
        vrt_state_close(better ? best : s);
        best = better ? s : best;
    }
    if (best == NULL && note[0] != '\0')
        return vrt_fail(e, VRT_BAD_INPUT,
                        "%.500s and there is no older state; remove %.200s to start this run again",
                        note, folder);
    if (manifest.damaged && note[0] == '\0')
        snprintf(note, note_size, "%s/manifest.json is damaged; the checksums in the states decide",
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

bool vrt_state_read(const struct vrt_state *s, const struct vrt_state_block *blocks, size_t nblocks,
                    struct vrt_error *e)
{
    uint64_t at = sizeof s->head + s->head.text_bytes;
    bool same = nblocks == s->head.nblocks;
    for (size_t i = 0; same && i < nblocks; i++)
        same = (uint64_t)blocks[i].bytes == s->head.block_bytes[i];
    if (!same)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "%s was saved by another program: the sizes of its blocks differ", s->path);
    for (size_t i = 0; i < nblocks; i++) {
        if (!vrt_file_read_at(s->fd, s->path, blocks[i].data, (size_t)blocks[i].bytes, at, e))
            return false;
        at += (uint64_t)blocks[i].bytes;
    }
    return true;
}
