/* Integer hashes and weights made of them: see hashes.h. */
#include "config.h"

#include "tests/reference/hashes.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* FNV-1a, */
uint32_t hash_text(const char *text)
{
    uint32_t h = 2166136261u;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 16777619u;
    return h;
}

/* then the last mixer of MurmurHash3. */
int hash16(uint32_t text, int64_t i)
{
    uint32_t x = text + (uint32_t)i * 0x9E3779B1u;
    x = (x ^ x >> 16) * 0x85EBCA6Bu;
    x = (x ^ x >> 13) * 0xC2B2AE35u;
    return (int)((x ^ x >> 16) >> 16) - 32768;
}

void hash_fill(const char *text, float value, float deviation, float *to, int64_t n)
{
    uint32_t h = hash_text(text);
    for (int64_t i = 0; i < n; i++)
        to[i] = value + deviation * 0x1p-15f * (float)hash16(h, i);
}

static const struct kind {
    const char *end;
    float value, deviation;
} kinds[] = {
    {".temperature", 0.5f, 0x1p-2f}, {"router.scale", 2, 0x1p-1f}, {"gamma", 0.3125f, 0x1p-3f},
    {".bias", 0, 0x1p-4f},           {"balance_bias", 0, 0x1p-4f}, {"cls_token", 0, 0x1p-3f},
    {"pos_embed", 0, 0x1p-3f},
};

/* Matrices and kernels keep the size of what they multiply, roughly; vectors are norms' factors. */
static struct kind kind_of(const struct vrt_param *p)
{
    size_t length = strlen(p->name);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t end = strlen(kinds[i].end);
        if (length >= end && !strcmp(p->name + length - end, kinds[i].end))
            return kinds[i];
    }
    if (p->rank < 2)
        return (struct kind){"", 1, 0x1p-2f};
    int64_t fan_in = p->rank == 4 ? p->shape[1] * p->shape[2] * p->shape[3] : p->shape[p->rank - 1];
    int log2 = 0;
    while (fan_in >> (log2 + 1))
        log2++;
    return (struct kind){"", 0, ldexpf(1, 1 - (log2 + 1) / 2)};
}

void hash_weights(int salt, const struct vrt_param *p, float *to)
{
    char text[256];
    struct kind k = kind_of(p);
    snprintf(text, sizeof text, "%d/%s", salt, p->name);
    hash_fill(text, k.value, k.deviation, to, p->count);
}
