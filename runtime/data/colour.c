/* Changes of colour. Input: an 8-bit picture; output: the same one, changed. Most go through a
 * table of 256 values.
 *
 * Inner loops run over a constant count of values, so that compilers turn them into vectors at -O2,
 * too. */
#include "runtime/data/colour.h"

#include <string.h>

#define RUN   16 /* values a step */
#define GRAYS 64 /* pixels whose grays are made at a time */

static size_t pixels_of(const struct vrt_image *image)
{
    return (size_t)image->width * (size_t)image->height;
}

static uint8_t to_byte(int v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* ITU-R 601-2 luma, 16-bit fixed point. */
static uint8_t luma(const uint8_t *rgb)
{
    return (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

static void map_all(struct vrt_image *image, const uint8_t table[256])
{
    uint8_t *p = image->pixels.data;

    for (size_t n = pixels_of(image) * (size_t)image->channels; n > 0; n--, p++)
        *p = table[*p];
}

static void map_channel(struct vrt_image *image, int channel, const uint8_t table[256])
{
    uint8_t *p = image->pixels.data + channel;

    for (size_t n = pixels_of(image); n > 0; n--, p += image->channels)
        *p = table[*p];
}

/* Neighbours are often alike: four counters in turn spare a sum the wait for the one before. */
static void count_values(const struct vrt_image *image, int channel, uint32_t counts[256])
{
    const uint8_t *p = image->pixels.data + channel;
    uint32_t turns[4][256] = {{0}};

    for (size_t n = pixels_of(image); n > 0; n--, p += image->channels)
        turns[n & 3][*p]++;
    for (int v = 0; v < 256; v++)
        counts[v] = turns[0][v] + turns[1][v] + turns[2][v] + turns[3][v];
}

static bool stretch(const uint32_t counts[256], uint8_t table[256])
{
    int low = 0, high = 255;
    double scale, offset;

    while (low < 255 && counts[low] == 0)
        low++;
    while (high > 0 && counts[high] == 0)
        high--;
    if (high <= low)
        return false;
    scale = 255.0 / (high - low);
    offset = -low * scale;
    for (int v = 0; v < 256; v++)
        table[v] = to_byte((int)(v * scale + offset));
    return true;
}

/* The brightest value's pixels do not count towards the step. */
static bool flatten(const uint32_t counts[256], uint8_t table[256])
{
    uint32_t total = 0, brightest = 0, step, n;

    for (int v = 0; v < 256; v++) {
        total += counts[v];
        brightest = counts[v] > 0 ? counts[v] : brightest;
    }
    step = (total - brightest) / 255;
    if (step == 0)
        return false;
    n = step / 2;
    for (int v = 0; v < 256; v++) {
        table[v] = (uint8_t)(n / step < 255 ? n / step : 255);
        n += counts[v];
    }
    return true;
}

static void map_by_counts(struct vrt_image *image,
                          bool (*make)(const uint32_t counts[256], uint8_t table[256]))
{
    uint32_t counts[256];
    uint8_t table[256];

    for (int c = 0; c < image->channels; c++) {
        count_values(image, c, counts);
        if (make(counts, table))
            map_channel(image, c, table);
    }
}

void vrt_colour_autocontrast(struct vrt_image *image)
{
    map_by_counts(image, stretch);
}

void vrt_colour_equalize(struct vrt_image *image)
{
    map_by_counts(image, flatten);
}

void vrt_colour_invert(struct vrt_image *image)
{
    vrt_colour_solarize(image, 0);
}

void vrt_colour_posterize(struct vrt_image *image, int bits)
{
    uint8_t table[256];

    for (int v = 0; v < 256; v++)
        table[v] = (uint8_t)(v & ~(0xff >> bits));
    map_all(image, table);
}

void vrt_colour_solarize(struct vrt_image *image, int threshold)
{
    uint8_t table[256];

    for (int v = 0; v < 256; v++)
        table[v] = (uint8_t)(v < threshold ? v : 255 - v);
    map_all(image, table);
}

void vrt_colour_solarize_add(struct vrt_image *image, int add, int threshold)
{
    uint8_t table[256];

    for (int v = 0; v < 256; v++)
        table[v] = to_byte(v < threshold ? v + add : v);
    map_all(image, table);
}

void vrt_colour_grayscale(struct vrt_image *image)
{
    uint8_t *p = image->pixels.data;

    if (image->channels == 3)
        for (size_t n = pixels_of(image); n > 0; n--, p += 3)
            p[0] = p[1] = p[2] = luma(p);
}

static uint8_t blend(int base, int value, float factor)
{
    float v = (float)base + factor * (float)(value - base);

    v = v < 0 ? 0 : v;
    v = v > 255 ? 255 : v;
    return (uint8_t)(int)v;
}

static inline void blend_run(uint8_t *restrict values, const uint8_t *restrict base, float factor,
                             const size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = blend(base[i], values[i], factor);
}

static void blend_row(uint8_t *values, const uint8_t *base, float factor, size_t count)
{
    size_t i = 0;

    for (; i + RUN <= count; i += RUN)
        blend_run(values + i, base + i, factor, RUN);
    blend_run(values + i, base + i, factor, count - i);
}

static void blend_all(struct vrt_image *image, int base, double factor)
{
    uint8_t table[256];

    for (int v = 0; v < 256; v++)
        table[v] = blend(base, v, (float)factor);
    map_all(image, table);
}

void vrt_colour_brightness(struct vrt_image *image, double factor)
{
    blend_all(image, 0, factor);
}

void vrt_colour_contrast(struct vrt_image *image, double factor)
{
    const uint8_t *p = image->pixels.data;
    size_t count = pixels_of(image);
    uint64_t sum = 0;

    for (size_t n = count; n > 0; n--, p += image->channels)
        sum += image->channels == 3 ? luma(p) : *p;
    blend_all(image, (int)((double)sum / (double)count + 0.5), factor);
}

void vrt_colour_saturation(struct vrt_image *image, double factor)
{
    uint8_t *p = image->pixels.data;
    uint8_t grays[3 * GRAYS];

    if (image->channels == 1)
        return;
    for (size_t n = pixels_of(image), run; n > 0; n -= run, p += 3 * run) {
        run = n < GRAYS ? n : GRAYS;
        for (size_t i = 0; i < 3 * run; i += 3)
            grays[i] = grays[i + 1] = grays[i + 2] = luma(p + i);
        blend_row(p, grays, (float)factor, 3 * run);
    }
}

/* (5 here + its 8 neighbours) / 13, rounded: s / 13 is s x 5042 >> 16 for all s below 4096. Rows
 * begin a pixel to the left. */
static inline void smooth_run(uint8_t *restrict to, const uint8_t *restrict above,
                              const uint8_t *restrict here, const uint8_t *restrict below,
                              size_t step, const size_t count)
{
    uint16_t sum[RUN];

    for (size_t i = 0; i < count; i++)
        sum[i] = (uint16_t)(above[i] + above[i + step] + above[i + 2 * step] + here[i] +
                            here[i + step] * 5);
    for (size_t i = 0; i < count; i++)
        sum[i] = (uint16_t)(sum[i] + here[i + 2 * step] + below[i] + below[i + step] +
                            below[i + 2 * step] + 6);
    for (size_t i = 0; i < count; i++)
        to[i] = (uint8_t)(sum[i] * 5042u >> 16);
}

/* All but the pixels at the ends, which stay. */
static void smooth_row(uint8_t *to, const uint8_t *above, const uint8_t *here, const uint8_t *below,
                       size_t step, size_t count)
{
    size_t i = 0, inner = count - 2 * step;

    memcpy(to, here, step);
    for (; i + RUN <= inner; i += RUN)
        smooth_run(to + step + i, above + i, here + i, below + i, step, RUN);
    smooth_run(to + step + i, above + i, here + i, below + i, step, inner - i);
    memcpy(to + count - step, here + count - step, step);
}

bool vrt_colour_sharpness(struct vrt_image *image, double factor, struct vrt_buffer *rows,
                          struct vrt_error *e)
{
    size_t step = (size_t)image->channels, stride = (size_t)image->width * step;
    uint8_t *row = image->pixels.data, *above, *here, *smooth;

    if (image->width < 3 || image->height < 3)
        return true;
    if (!vrt_buffer_reserve(rows, 3 * stride, e))
        return false;
    above = rows->data;
    here = above + stride;
    smooth = here + stride;
    memcpy(here, row, stride);
    for (int y = 1; y < image->height - 1; y++) {
        uint8_t *spare = above;
        above = here;
        here = spare;
        row += stride;
        memcpy(here, row, stride);
        smooth_row(smooth, above, here, row + stride, step, stride);
        blend_row(row, smooth, (float)factor, stride);
    }
    return true;
}
