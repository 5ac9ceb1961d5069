/* Weights that two programs can make alike, bit for bit: integer hashes of a tensor's name and an
 * element's index.
 *
 *     hash_weights FILE.safetensors [PREFIX] <NAMES
 *
 * NAMES are lines `NAME (D,D,...)`, as `vmoec build --emit graph | sed -n 's/^param //p'` gives
 * them. Tensors whose name begins with PREFIX are zero. README.md of this folder defines the
 * values; record_dense.py makes them a second time. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TENSORS = 2048, NAME = 128, CHUNK = 1 << 16 };

struct tensor {
    char name[NAME], shape[64];
    uint64_t count;  /* of elements */
    uint64_t fan_in; /* elements over the first dimension */
    int rank;
};

/* Layers whose values are 2^-shift of the usual: small where a norm follows, so that its eps
 * counts. */
static const struct {
    const char *layer;
    int shift;
} shifts[] = {
    {"patch_embed.proj", 4}, {"stem", 4},      {"stem.0", 4},
    {"stem.1", 4},           {"cls_token", 4}, {"pos_embed", 4},
    {"attn.proj", 4},        {"mlp.fc2", 4},   {"downsample.1", 4},
};

static _Noreturn void die(const char *what, const char *which)
{
    fprintf(stderr, "hash_weights: %s: %s\n", which, what);
    exit(1);
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

/* The shift of the layer that a tensor belongs to; a layer is a whole label or labels: `stem` is
 * not `system`. */
static int find_shift(const char *name)
{
    char layer[NAME + 1] = ".";
    size_t n = strlen(name) - (ends_with(name, ".weight") ? 7 : ends_with(name, ".bias") ? 5 : 0);
    memcpy(layer + 1, name, n);
    for (size_t i = 0; i < sizeof shifts / sizeof *shifts; i++) {
        char end[NAME] = ".";
        strcat(end, shifts[i].layer);
        if (ends_with(layer, end))
            return shifts[i].shift;
    }
    return 0;
}

/* Values lie in mean +- 2^-bits. */
static void find_range(const struct tensor *t, double *mean, int *bits)
{
    int shift = find_shift(t->name);
    *mean = 0.0;
    *bits = 0;
    if (ends_with(t->name, ".gamma")) {
        *mean = 0.3125;
        *bits = 3;
    } else if (ends_with(t->name, ".bias")) {
        *bits = 5;
    } else if (ends_with(t->name, ".weight") && t->rank == 1) {
        *mean = 1.0;
        *bits = 2;
    } else if (ends_with(t->name, ".weight")) {
        *bits = ilogb((double)t->fan_in) / 2;
    }
    *mean = ldexp(*mean, -shift);
    *bits += shift;
}

static uint32_t mix(uint32_t h)
{
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

/* FNV-1a */
static uint32_t seed_of(const char *name)
{
    uint32_t h = 2166136261u;
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 16777619u;
    return h;
}

static void write_tensor(const struct tensor *t, bool zero, FILE *f)
{
    static float values[CHUNK];
    double mean, scale;
    int bits;
    uint32_t seed = seed_of(t->name);
    find_range(t, &mean, &bits);
    scale = ldexp(1.0, -23 - bits);
    if (zero)
        mean = scale = 0.0;
    for (uint64_t from = 0; from < t->count; from += CHUNK) {
        size_t n = t->count - from < CHUNK ? (size_t)(t->count - from) : CHUNK;
        for (size_t i = 0; i < n; i++) {
            int32_t centred =
                (int32_t)(mix((uint32_t)(from + i) * 0x9e3779b9u + seed) >> 8) - (1 << 23);
            values[i] = (float)(mean + centred * scale);
        }
        if (fwrite(values, sizeof *values, n, f) != n)
            die("cannot be written", t->name);
    }
}

/* `NAME (D,D,...)`, and what follows is no matter */
static bool read_tensor(const char *line, struct tensor *t)
{
    if (sscanf(line, "%127s (%63[0-9,])", t->name, t->shape) != 2)
        return false;
    t->count = 1;
    t->fan_in = 1;
    t->rank = 0;
    for (const char *p = t->shape; *p; t->rank++) {
        char *end;
        uint64_t d = strtoull(p, &end, 10);
        t->count *= d;
        t->fan_in *= t->rank ? d : 1;
        p = *end == ',' ? end + 1 : end;
    }
    return t->count > 0;
}

static void write_header(const struct tensor *t, size_t n, FILE *f)
{
    char *text;
    size_t size;
    uint64_t at = 0;
    FILE *header = open_memstream(&text, &size);
    if (!header)
        die("no memory", "header");
    for (size_t i = 0; i < n; i++) {
        uint64_t end = at + t[i].count * 4;
        fprintf(header,
                "%c\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%" PRIu64 ",%" PRIu64
                "]}",
                i ? ',' : '{', t[i].name, t[i].shape, at, end);
        at = end;
    }
    fputc('}', header);
    while (ftell(header) % 8)
        fputc(' ', header);
    fclose(header);
    uint64_t length = size;
    fwrite(&length, 8, 1, f);
    fwrite(text, 1, size, f);
    free(text);
}

int main(int argc, char **argv)
{
    static struct tensor tensors[TENSORS];
    char line[512];
    size_t n = 0;
    if (argc != 2 && argc != 3)
        die("hash_weights FILE.safetensors [PREFIX] <NAMES", "usage");
    FILE *f = fopen(argv[1], "wb");
    if (!f)
        die("cannot be written", argv[1]);
    for (; fgets(line, sizeof line, stdin); n++)
        if (n == TENSORS || !read_tensor(line, &tensors[n]))
            die("is no tensor, or one too many", line);
    if (!n)
        die("no tensors on stdin", argv[1]);
    write_header(tensors, n, f);
    for (size_t i = 0; i < n; i++)
        write_tensor(&tensors[i], argc == 3 && !strncmp(tensors[i].name, argv[2], strlen(argv[2])),
                     f);
    if (ferror(f) || fclose(f))
        die("cannot be written", argv[1]);
    return 0;
}
