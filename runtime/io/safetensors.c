/* Reading and writing safetensors: see safetensors.h. jansson parses the header; every number in it
 * is checked here before it is used as an offset. The file is read, not mapped: one that another
 * process cuts is an error then, not the end of the program. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/base/finite.h"
#include "runtime/base/json.h"
#include "runtime/io/safetensors.h"
#include "runtime/vrt.h"

enum { HEADER_LIMIT = 100 << 20, DATA_ALIGN = 64, PIECE = 32768 };

static const char metadata[] = "__metadata__"; /* the one name in a header that is no tensor's */

struct vrt_tensors {
    char *path;
    int fd;
    uint64_t size, data; /* of the file; where its data begin, behind the header */
    uint64_t data_bytes;
    json_t *header;
    struct vrt_tensor *tensors; /* sorted by name */
    size_t count;
};

/* Types of elements. Only floats of 4 and 2 bytes can become weights; the others are known to check
 * the layout. */
static void convert_bf16(float *to, const unsigned char *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)from[2 * i] << 16 | (uint32_t)from[2 * i + 1] << 24;
        memcpy(&to[i], &bits, 4);
    }
}

static void convert_f16(float *to, const unsigned char *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t half = (uint32_t)from[2 * i] | (uint32_t)from[2 * i + 1] << 8;
        uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
        uint32_t bits = sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | fraction << 13;
        if (exponent == 0) { /* zero or subnormal: fraction x 2^-24 */
            float value = (float)fraction * 0x1p-24f;
            memcpy(&bits, &value, 4);
            bits |= sign;
        }
        memcpy(&to[i], &bits, 4);
    }
}

static const struct vrt_dtype {
    const char *name;
    uint64_t bytes;
    bool readable;
    void (*convert)(float *to, const unsigned char *from, int64_t n); /* NULL: they are floats */
} dtypes[] = {
    {"F32", 4, true, NULL},   {"F16", 2, true, convert_f16}, {"BF16", 2, true, convert_bf16},
    {"F64", 8, false, NULL},  {"I64", 8, false, NULL},       {"U64", 8, false, NULL},
    {"I32", 4, false, NULL},  {"U32", 4, false, NULL},       {"I16", 2, false, NULL},
    {"U16", 2, false, NULL},  {"I8", 1, false, NULL},        {"U8", 1, false, NULL},
    {"BOOL", 1, false, NULL}, {"F8_E4M3", 1, false, NULL},   {"F8_E5M2", 1, false, NULL},
};

static const struct vrt_dtype *find_dtype(const char *name)
{
    for (size_t i = 0; name != NULL && i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, name) == 0)
            return &dtypes[i];
    return NULL;
}

static bool read_size(const json_t *value, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static bool broken(const struct vrt_tensors *t, const char *name, const char *why,
                   struct vrt_error *e)
{
    return vrt_fail(e, VRT_BAD_INPUT,
                    "%s is not a sound safetensors file: tensor %.120s %s; copy or write it again",
                    t->path, name, why);
}

/* One tensor's row of the header, read out and checked. */
static bool read_entry(const struct vrt_tensors *t, const char *name, const json_t *row,
                       struct vrt_tensor *out, struct vrt_error *e)
{
    const json_t *shape = json_object_get(row, "shape"),
                 *offsets = json_object_get(row, "data_offsets");
    *out = (struct vrt_tensor){
        .name = name, .dtype = find_dtype(json_string_value(json_object_get(row, "dtype")))};
    if (out->dtype == NULL)
        return broken(t, name, "has no known dtype", e);
    if (!json_is_array(shape) || json_array_size(shape) > VRT_RANK_LIMIT)
        return broken(t, name, "has no shape, or one of more than 8 dimensions", e);
    uint64_t bytes = out->dtype->bytes;
    out->rank = json_array_size(shape);
    for (size_t i = 0; i < out->rank; i++)
        if (!read_size(json_array_get(shape, i), &out->shape[i]) ||
            __builtin_mul_overflow(bytes, out->shape[i], &bytes))
            return broken(t, name, "has an impossible shape", e);
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !read_size(json_array_get(offsets, 0), &out->begin) ||
        !read_size(json_array_get(offsets, 1), &out->end) || out->begin > out->end)
        return broken(t, name, "has no data_offsets of two numbers in order", e);
    if (out->end > t->data_bytes)
        return broken(t, name, "ends behind the end of the file (is the file cut off?)", e);
    if (out->end - out->begin != bytes)
        return broken(t, name, "has a shape that does not fit its data_offsets", e);
    return true;
}

static int compare_begin(const void *a, const void *b)
{
    const struct vrt_tensor *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* The tensors must tile the data exactly: no gap, no overlap, nothing behind the last one. */
static bool check_tiling(const struct vrt_tensors *t, struct vrt_tensor *entries, size_t n,
                         struct vrt_error *e)
{
    uint64_t at = 0;
    qsort(entries, n, sizeof *entries, compare_begin);
    for (size_t i = 0; i < n; i++) {
        if (entries[i].begin != at)
            return broken(t, entries[i].name,
                          entries[i].begin < at ? "overlaps another one" : "has a gap before it",
                          e);
        at = entries[i].end;
    }
    if (at != t->data_bytes)
        return vrt_fail(e, VRT_BAD_INPUT,
                        "%s is not a sound safetensors file: %llu bytes too many at its end",
                        t->path, (unsigned long long)(t->data_bytes - at));
    return true;
}

static int compare_names(const void *a, const void *b)
{
    const struct vrt_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static bool check_layout(struct vrt_tensors *t, struct vrt_error *e)
{
    t->tensors = calloc(json_object_size(t->header) + 1, sizeof *t->tensors);
    if (t->tensors == NULL)
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", t->path);
    bool ok = true;
    const char *name;
    json_t *row;
    json_object_foreach(t->header, name, row) if (ok && strcmp(name, metadata) != 0) ok =
        read_entry(t, name, row, &t->tensors[t->count++], e);
    ok = ok && check_tiling(t, t->tensors, t->count, e);
    if (ok)
        qsort(t->tensors, t->count, sizeof *t->tensors, compare_names);
    return ok;
}

static bool is_pickle(const unsigned char *begin)
{
    return memcmp(begin, "PK\3\4", 4) == 0 || (begin[0] == 0x80 && begin[1] >= 2 && begin[1] <= 5);
}

static bool refuse_pickle(const struct vrt_tensors *t, struct vrt_error *e)
{
    return vrt_fail(
        e, VRT_BAD_INPUT,
        "%s is a pickle file, which can run any program when it is read; convert it where "
        "PyTorch is installed:\n"
        "    import torch, safetensors.torch; w = torch.load(\"weights.pth\", "
        "map_location=\"cpu\", weights_only=True)\n"
        "    safetensors.torch.save_file({k: v.contiguous() for k, v in w.get(\"state_dict\", "
        "w.get(\"model\", w)).items()}, "
        "\"weights.safetensors\")",
        t->path);
}

/* Is there a header, and how long is it? A file that is too short for one has zeros there. */
static bool measure_header(struct vrt_tensors *t, uint64_t *length, struct vrt_error *e)
{
    unsigned char begin[9] = {0};
    size_t n = t->size < sizeof begin ? (size_t)t->size : sizeof begin;
    if (!vrt_file_read_at(t->fd, t->path, begin, n, 0, e))
        return false;
    if (is_pickle(begin))
        return refuse_pickle(t, e);
    for (int i = 7; i >= 0; i--)
        *length = *length << 8 | begin[i];
    if (t->size < 10 || *length < 2 || *length > t->size - 8 || begin[8] != '{')
        return vrt_fail(e, VRT_BAD_INPUT, "%s is not a safetensors file, or it is cut off",
                        t->path);
    return *length <= HEADER_LIMIT ||
           vrt_fail(e, VRT_BAD_INPUT,
                    "%s has a header of more than 100 MB: it cannot be a file of weights", t->path);
}

static bool parse_header(struct vrt_tensors *t, uint64_t length, struct vrt_error *e)
{
    struct vrt_error why;
    char *text = malloc((size_t)length);
    bool ok = text != NULL || vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", t->path);
    ok = ok && vrt_file_read_at(t->fd, t->path, text, (size_t)length, 8, e);
    if (ok)
        t->header = vrt_json_read(text, (size_t)length, JSON_REJECT_DUPLICATES, "its header", &why);
    free(text);
    if (ok && t->header == NULL)
        return vrt_fail(e, why.code, "%s%s: %s", t->path,
                        why.code == VRT_NO_MEMORY ? "" : " is not a sound safetensors file",
                        why.text);
    return ok;
}

static bool read_header(struct vrt_tensors *t, struct vrt_error *e)
{
    uint64_t length = 0;
    if (!measure_header(t, &length, e) || !parse_header(t, length, e))
        return false;
    t->data = 8 + length;
    t->data_bytes = t->size - t->data;
    json_t *meta = json_object_get(t->header, metadata);
    if (meta != NULL && !json_is_object(meta))
        return vrt_fail(e, VRT_BAD_INPUT,
                        "%s is not a sound safetensors file: __metadata__ is no object", t->path);
    return check_layout(t, e);
}

bool vrt_tensors_open(struct vrt_tensors **out, const char *path, struct vrt_error *e)
{
    struct vrt_tensors *t = calloc(1, sizeof *t);
    *out = NULL;
    if (t == NULL || (t->path = strdup(path)) == NULL) {
        free(t);
        return vrt_fail(e, VRT_NO_MEMORY, "no memory to read %s", path);
    }
    t->fd = vrt_file_open(path, &t->size, e);
    if (t->fd < 0 || !read_header(t, e)) {
        vrt_tensors_close(t);
        return false;
    }
    *out = t;
    return true;
}

void vrt_tensors_close(struct vrt_tensors *t)
{
    if (t == NULL)
        return;
    free(t->tensors);
    json_decref(t->header);
    if (t->fd >= 0)
        close(t->fd);
    free(t->path);
    free(t);
}

const char *vrt_tensors_meta(const struct vrt_tensors *t, const char *key)
{
    return json_string_value(json_object_get(json_object_get(t->header, metadata), key));
}

const char *vrt_tensors_path(const struct vrt_tensors *t)
{
    return t->path;
}

size_t vrt_tensors_count(const struct vrt_tensors *t)
{
    return t->count;
}

const struct vrt_tensor *vrt_tensors_at(const struct vrt_tensors *t, size_t i)
{
    return &t->tensors[i];
}

const struct vrt_tensor *vrt_tensors_find(const struct vrt_tensors *t, const char *name)
{
    const struct vrt_tensor key = {.name = name};
    return bsearch(&key, t->tensors, t->count, sizeof key, compare_names);
}

bool vrt_tensor_readable(const struct vrt_tensor *tensor)
{
    return tensor->dtype->readable;
}

static bool not_finite(const struct vrt_tensors *t, const struct vrt_tensor *tensor, uint64_t at,
                       struct vrt_error *e)
{
    return vrt_fail(e, VRT_BAD_INPUT,
                    "%s: tensor %.120s has a number that is not finite (NaN or infinity, the first "
                    "at place %" PRIu64 " of it); its training failed there, or the file is "
                    "damaged: take weights from before",
                    t->path, tensor->name, at);
}

/* In pieces that stay in the cache between reading, converting and checking. */
bool vrt_tensors_read(const struct vrt_tensors *t, const struct vrt_tensor *tensor, uint64_t first,
                      uint64_t n, float *to, struct vrt_error *e)
{
    const struct vrt_dtype *type = tensor->dtype;
    unsigned char halves[2 * PIECE];
    for (uint64_t at = 0; at < n; at += PIECE) {
        uint64_t count = n - at < PIECE ? n - at : PIECE;
        void *raw = type->convert != NULL ? (void *)halves : to + at;
        if (!vrt_file_read_at(t->fd, t->path, raw, (size_t)(count * type->bytes),
                              t->data + tensor->begin + (first + at) * type->bytes, e))
            return false;
        if (type->convert != NULL)
            type->convert(to + at, halves, (int64_t)count);
        int64_t bad = vrt_not_finite(to + at, (int64_t)count);
        if (bad >= 0)
            return not_finite(t, tensor, first + at + (uint64_t)bad, e);
    }
    return true;
}

static json_t *make_header(const struct vrt_param *params, int64_t nparams,
                           const struct vrt_meta *meta, size_t nmeta)
{
    json_t *header = json_object(), *texts = json_object();
    for (size_t i = 0; i < nmeta; i++)
        json_object_set_new(texts, meta[i].key, vrt_json_text(meta[i].value));
    json_object_set_new(header, metadata, texts);
    int64_t at = 0;
    for (int64_t i = 0; i < nparams; i++) {
        json_t *shape = json_array();
        for (int32_t j = 0; j < params[i].rank; j++)
            json_array_append_new(shape, json_integer(params[i].shape[j]));
        json_int_t end = at + params[i].count * 4;
        json_object_set_new(header, params[i].name,
                            json_pack("{s:s, s:o, s:[I,I]}", "dtype", "F32", "shape", shape,
                                      "data_offsets", (json_int_t)at, end));
        at = end;
    }
    return header;
}

/* The header is given up; it is padded with spaces so that the data begin at a multiple of 64
 * bytes. */
static bool write_header(struct vrt_writer *w, json_t *header, uint64_t data_bytes,
                         struct vrt_error *e)
{
    char *text = vrt_json_write(header, JSON_COMPACT, w->path, e);
    if (text == NULL)
        return false;
    static const char spaces[DATA_ALIGN + 1] =
        "                                                                ";
    size_t length = strlen(text), padding = (DATA_ALIGN - (8 + length) % DATA_ALIGN) % DATA_ALIGN;
    unsigned char size[8];
    for (int i = 0; i < 8; i++)
        size[i] = (unsigned char)((uint64_t)(length + padding) >> 8 * i);
    bool ok = vrt_writer_reserve(w, 8 + length + padding + data_bytes, e) &&
              vrt_writer_write(w, size, 8, e) && vrt_writer_write(w, text, length, e) &&
              vrt_writer_write(w, spaces, padding, e);
    free(text);
    return ok;
}

bool vrt_tensors_save(const char *path, const struct vrt_param *params, int64_t nparams,
                      const void *block, const struct vrt_meta *meta, size_t nmeta,
                      struct vrt_error *e)
{
    struct vrt_writer w;
    uint64_t bytes = 0;
    for (int64_t i = 0; i < nparams; i++) {
        bytes += (uint64_t)params[i].count * 4;
        if (strcmp(params[i].name, metadata) == 0)
            return vrt_fail(e, VRT_INTERNAL,
                            "cannot write %s: a tensor is called __metadata__, which is no name of "
                            "one in a safetensors file",
                            path);
    }
    if (!vrt_writer_begin(&w, path, e))
        return false;
    bool ok = write_header(&w, make_header(params, nparams, meta, nmeta), bytes, e);
    for (int64_t i = 0; ok && i < nparams; i++)
        ok = vrt_writer_write(&w, (const char *)block + params[i].offset,
                              (size_t)params[i].count * 4, e);
    ok = ok && vrt_writer_commit(&w, e);
    vrt_writer_abandon(&w);
    return ok;
}
