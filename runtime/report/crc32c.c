/* CRC-32C, eight bytes at a time: see crc32c.h. table[k][b] is what byte b leaves after k bytes
 * more. */
#include "runtime/report/crc32c.h"

#include <pthread.h>

static uint32_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_table(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int i = 0; i < 8; i++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
        table[0][b] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (int b = 0; b < 256; b++)
            table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 255];
}

uint32_t vrt_crc32c(const void *data, size_t size)
{
    const uint8_t *byte = data;
    uint32_t crc = ~0u;
    pthread_once(&once, fill_table);
    for (; size >= 8; size -= 8, byte += 8) {
        crc ^= (uint32_t)byte[0] | (uint32_t)byte[1] << 8 | (uint32_t)byte[2] << 16 |
               (uint32_t)byte[3] << 24;
        crc = table[7][crc & 255] ^ table[6][crc >> 8 & 255] ^ table[5][crc >> 16 & 255] ^
              table[4][crc >> 24] ^ table[3][byte[4]] ^ table[2][byte[5]] ^ table[1][byte[6]] ^
              table[0][byte[7]];
    }
    for (; size > 0; size--)
        crc = crc >> 8 ^ table[0][(crc ^ *byte++) & 255];
    return ~crc;
}

uint32_t vrt_crc32c_masked(const void *data, size_t size)
{
    uint32_t crc = vrt_crc32c(data, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}
