/* CRC-32C (Castagnoli, reflected 0x82f63b78), as TFRecord wants it. */
#ifndef RUNTIME_REPORT_CRC32C_H
#define RUNTIME_REPORT_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t vrt_crc32c(const void *data, size_t size);

/* The masked form that stands in the file: rotated by 15 bits, plus a constant. */
uint32_t vrt_crc32c_masked(const void *data, size_t size);

#endif
