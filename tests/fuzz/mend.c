/* Checksums and sizes, made right again. Input: damaged files; output: files whose damage is seen
 * only behind them. */
#include "tests/fuzz/mend.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <xxhash.h>
#include <zlib.h>

#include "runtime/io/state.h"

enum { TENSOR_BYTES = 64, CIFAR_RECORD = 3073 };

static uint32_t big32(const char *p)
{
    const uint8_t *u = (const uint8_t *)p;
    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static void put_big32(char *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (char)(value >> (24 - 8 * i));
}

/* Sides below 256: large pictures take long, and bombs.c is about them. */
void fuzz_mend_jpeg(struct fuzz_bytes *b)
{
    for (size_t at = 2; at + 9 < b->size && (uint8_t)b->data[at] == 0xff;
         at += 2 + (big32(b->data + at) & 0xffff)) {
        int marker = (uint8_t)b->data[at + 1];
        if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc)
            b->data[at + 5] = b->data[at + 7] = 0;
    }
}

/* A chunk: length, type, data, CRC of type and data. Sides below 256 here too. */
void fuzz_mend_png(struct fuzz_bytes *b)
{
    size_t at = 8;
    for (size_t i = 16; i < 24 && b->size > 24; i++)
        if (i % 4 < 3)
            b->data[i] = 0;
    while (at + 12 <= b->size && big32(b->data + at) <= b->size - at - 12) {
        size_t length = big32(b->data + at);
        uint32_t crc = (uint32_t)crc32(0, (const Bytef *)b->data + at + 4, (uInt)length + 4);
        put_big32(b->data + at + 8 + length, crc);
        at += length + 12;
    }
}

/* A tar header is 512 bytes; the sum of all, with blanks for the sum itself, stands at 148 in
 * octal. */
void fuzz_mend_tar(struct fuzz_bytes *b)
{
    for (size_t at = 0; at + 512 <= b->size; at += 512) {
        char *h = b->data + at, text[8];
        unsigned sum = 0;
        if (memcmp(h + 257, "ustar", 5) != 0)
            continue;
        memset(h + 148, ' ', 8);
        for (int i = 0; i < 512; i++)
            sum += (uint8_t)h[i];
        snprintf(text, sizeof text, "%06o", sum);
        memcpy(h + 148, text, 7);
    }
}

/* As many bytes of header as are left by the tensors. */
void fuzz_mend_weights(struct fuzz_bytes *b)
{
    if (b->size < 8 + TENSOR_BYTES)
        return;
    uint64_t header = b->size - 8 - TENSOR_BYTES;
    memcpy(b->data, &header, sizeof header);
}

void fuzz_mend_cifar(struct fuzz_bytes *b)
{
    fuzz_replace(b, b->size - b->size % CIFAR_RECORD, b->size % CIFAR_RECORD, NULL, 0);
}

void fuzz_mend_idx_pixels(struct fuzz_bytes *b)
{
    if (b->size < 16)
        return;
    uint64_t picture = (uint64_t)big32(b->data + 8) * big32(b->data + 12);
    if (picture == 0 || picture > b->size - 16)
        return;
    put_big32(b->data + 4, (uint32_t)((b->size - 16) / picture));
    fuzz_replace(b, b->size - (b->size - 16) % picture, (b->size - 16) % picture, NULL, 0);
}

void fuzz_mend_idx_labels(struct fuzz_bytes *b)
{
    if (b->size >= 8)
        put_big32(b->data + 4, (uint32_t)(b->size - 8));
}

/* The text takes what the blocks leave; then the checksum. */
void fuzz_mend_state(struct fuzz_bytes *b)
{
    enum { TEXT = 3, NBLOCKS = 4, HEAD = 5 + VRT_STATE_BLOCKS, SUM = 16 };
    uint64_t head[HEAD], blocks = 0;
    if (b->size < sizeof head + SUM)
        return;
    memcpy(head, b->data, sizeof head);
    size_t body = b->size - sizeof head - SUM;
    for (size_t i = 0; i < head[NBLOCKS] && i < VRT_STATE_BLOCKS; i++)
        blocks += head[5 + i];
    if (blocks <= body)
        head[TEXT] = body - blocks;
    memcpy(b->data, head, sizeof head);
    XXH128_canonical_t sum;
    XXH128_canonicalFromHash(&sum, XXH3_128bits(b->data, b->size - SUM));
    memcpy(b->data + b->size - SUM, &sum, SUM);
}
