/* TFRecord frames around protobuf messages, both by hand: see events.h.
 *
 * A frame: length (8 bytes), its masked CRC, the message, its masked CRC. A message is Event {
 * wall_time = 1: double, step = 2: varint, file_version = 3: text, summary = 5 { value = 1 { tag =
 * 1: text, simple_value = 2: float }, ... } }. */
#include "runtime/report/events.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/report/crc32c.h"

enum { TAG = 200, USUAL = 160 }; /* bytes of a tag at most, of a step's frame */
static const char prefix[] = "events.out.tfevents.", suffix[] = ".vmoe";

struct events {
    struct vrt_buffer *out;
    struct vrt_buffer message, summary;
    struct vrt_error *e;
    bool failed;
};

/* -- bytes -- */

static void put(struct events *v, struct vrt_buffer *b, const void *data, size_t size)
{
    v->failed = v->failed || !vrt_buffer_append(b, data, size, v->e);
}

static void put_fixed(struct events *v, struct vrt_buffer *b, uint64_t value, size_t bytes)
{
    uint8_t little[8];
    for (size_t i = 0; i < bytes; i++)
        little[i] = (uint8_t)(value >> (8 * i));
    put(v, b, little, bytes);
}

static size_t varint(uint8_t text[10], uint64_t value)
{
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        text[n++] = (uint8_t)(value | 0x80);
    text[n++] = (uint8_t)value;
    return n;
}

static void put_varint(struct events *v, struct vrt_buffer *b, uint8_t field, uint64_t value)
{
    uint8_t text[11] = {field};
    put(v, b, text, 1 + varint(text + 1, value));
}

static void put_bytes(struct events *v, struct vrt_buffer *b, uint8_t field, const void *data,
                      size_t size)
{
    put_varint(v, b, field, size);
    put(v, b, data, size);
}

/* -- messages -- */

static void begin_event(struct events *v, double wall_time)
{
    uint64_t bits;
    memcpy(&bits, &wall_time, sizeof bits);
    v->message.size = v->summary.size = 0;
    put(v, &v->message, "\x09", 1);
    put_fixed(v, &v->message, bits, 8);
}

static void end_event(struct events *v)
{
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)v->message.size >> (8 * i));
    put(v, v->out, length, 8);
    put_fixed(v, v->out, vrt_crc32c_masked(length, 8), 4);
    put(v, v->out, v->message.data, v->message.size);
    put_fixed(v, v->out, vrt_crc32c_masked(v->message.data, v->message.size), 4);
}

static void scalar(struct events *v, const char *tag, double value)
{
    float x = (float)value;
    size_t n = strlen(tag);
    uint8_t head[10];
    uint32_t bits;
    if (!isfinite(value))
        return;
    memcpy(&bits, &x, sizeof bits);
    put_varint(v, &v->summary, 0x0a, 1 + varint(head, n) + n + 5);
    put_bytes(v, &v->summary, 0x0a, tag, n);
    put(v, &v->summary, "\x15", 1);
    put_fixed(v, &v->summary, bits, 4);
}

/* The step, and the scalars that were gathered. */
static void end_scalars(struct events *v, double step)
{
    put_varint(v, &v->message, 0x10, step >= 0 && step < 0x1p53 ? (uint64_t)step : 0);
    if (v->summary.size > 0)
        put_bytes(v, &v->message, 0x2a, v->summary.data, v->summary.size);
    end_event(v);
}

static void step_event(struct events *v, const struct vrt_step_point *s, double wall_time)
{
    begin_event(v, wall_time);
    scalar(v, "train/loss", s->loss);
    scalar(v, "train/balance_loss", s->balance);
    scalar(v, "train/lr", s->lr);
    scalar(v, "train/grad_norm", s->norm);
    scalar(v, "train/img_per_s", s->speed);
    end_scalars(v, s->step);
}

static void layer_scalars(struct events *v, const json_t *entry)
{
    const char *name = json_string_value(json_object_get(entry, "layer"));
    const json_t *load = json_object_get(entry, "load");
    char tag[TAG];
    double most = 0;
    for (size_t k = 0; k < json_array_size(load); k++)
        most = fmax(most, json_number_value(json_array_get(load, k)));
    if (name == NULL)
        return;
    snprintf(tag, sizeof tag, "moe/%.150s/entropy", name);
    scalar(v, tag, vrt_member(entry, "entropy"));
    snprintf(tag, sizeof tag, "moe/%.150s/max_load", name);
    scalar(v, tag, json_array_size(load) > 0 ? most : NAN);
    snprintf(tag, sizeof tag, "moe/%.150s/dropped", name);
    scalar(v, tag, vrt_member(entry, "dropped"));
}

static void epoch_event(struct events *v, const struct vrt_epoch_point *p, double wall_time)
{
    begin_event(v, wall_time);
    scalar(v, "val/top1", p->top1 / p->images);
    scalar(v, "val/top5", p->top5 / p->images);
    scalar(v, "val/loss", p->loss);
    for (size_t i = 0; i < json_array_size(p->moe); i++)
        layer_scalars(v, json_array_get(p->moe, i));
    end_scalars(v, p->step);
}

bool vrt_events_make(struct vrt_buffer *b, const struct vrt_history *h, struct vrt_error *e)
{
    static const char version[] = "brain.Event:2";
    struct events v = {.out = b, .e = e};
    double now = vrt_history_started(h), batch = vrt_history_key(h, "train.batch");
    size_t epoch = 0;
    b->size = 0;
    v.failed = !vrt_buffer_reserve(b, (h->nsteps + h->nepochs + 1) * USUAL, e) ||
               !vrt_buffer_reserve(&v.message, TAG, e) || !vrt_buffer_reserve(&v.summary, TAG, e);
    begin_event(&v, now);
    put_bytes(&v, &v.message, 0x1a, version, sizeof version - 1);
    end_event(&v);
    for (size_t i = 0; i <= h->nsteps && !v.failed; i++) {
        for (; epoch < h->nepochs && h->epochs[epoch].steps_before == i; epoch++)
            epoch_event(&v, &h->epochs[epoch], now);
        if (i == h->nsteps)
            break;
        double took = batch / h->steps[i].speed;
        now += isfinite(took) && took > 0 ? took : 0;
        step_event(&v, &h->steps[i], now);
    }
    vrt_buffer_free(&v.message);
    vrt_buffer_free(&v.summary);
    return !v.failed;
}

/* -- the file -- */

static void file_name(char *name, size_t size, const struct vrt_history *h)
{
    const char *host = json_string_value(json_object_get(json_object_get(h->run, "host"), "name"));
    int n = snprintf(name, size, "%s%.0f.%.60s%s", prefix, vrt_history_started(h),
                     host != NULL && *host != '\0' ? host : "host", suffix);
    for (int i = (int)sizeof prefix - 1; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && strchr("._-", name[i]) == NULL)
            name[i] = '_';
}

bool vrt_events_named(const char *name)
{
    size_t n = strlen(name);
    return n > sizeof prefix + sizeof suffix && strncmp(name, prefix, sizeof prefix - 1) == 0 &&
           strcmp(name + n - (sizeof suffix - 1), suffix) == 0;
}

/* Ours of an earlier beginning: its steps are not of this run any more. */
static bool remove_others(const char *folder, const char *keep, struct vrt_error *e)
{
    DIR *d;
    if (!vrt_folder_look(&d, folder, e))
        return false;
    for (struct dirent *entry = d != NULL ? readdir(d) : NULL; entry != NULL; entry = readdir(d)) {
        if (vrt_events_named(entry->d_name) && strcmp(entry->d_name, keep) != 0)
            unlinkat(dirfd(d), entry->d_name, 0);
    }
    if (d != NULL)
        closedir(d);
    return true;
}

/* Bytes at the beginning of the file that are already right. */
static size_t same_bytes(const char *path, const struct vrt_buffer *b)
{
    struct vrt_error ignored;
    struct vrt_buffer file = {0};
    size_t n = 0;
    if (vrt_file_read(path, SIZE_MAX - 1, &file, &ignored)) {
        size_t most = file.size < b->size ? file.size : b->size;
        while (n < most && file.data[n] == b->data[n])
            n++;
    }
    vrt_buffer_free(&file);
    return n;
}

static bool replace_rest(const char *path, const struct vrt_buffer *b, struct vrt_error *e)
{
    size_t same = same_bytes(path, b);
    int fd = vrt_file_update(path, e);
    if (fd < 0)
        return false;
    bool ok = ftruncate(fd, (off_t)same) == 0 && lseek(fd, 0, SEEK_END) >= 0;
    ok = ok ? vrt_file_put(fd, path, b->data + same, b->size - same, e)
            : vrt_fail(e, VRT_BAD_INPUT, "cannot write %s: %s", path, strerror(errno));
    close(fd);
    return ok;
}

bool vrt_events_write(const char *folder, const struct vrt_history *h, struct vrt_error *e)
{
    char name[200], path[PATH_MAX];
    struct vrt_buffer b = {0};
    file_name(name, sizeof name, h);
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (n <= 0 || n >= (int)sizeof path)
        return vrt_fail(e, VRT_BAD_INPUT, "the name of the folder %.100s... is too long", folder);
    bool ok =
        vrt_events_make(&b, h, e) && replace_rest(path, &b, e) && remove_others(folder, name, e);
    vrt_buffer_free(&b);
    return ok;
}
