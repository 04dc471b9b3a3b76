#include "common/rdb/crc64.h"

/* Eight bytes at a time: table n has the checksum of a byte that n zero bytes follow. Filled before
 * main() and never written again. */
enum { STEP = 8, BYTES = 256 };
static uint64_t tables[STEP][BYTES];

__attribute__((constructor)) static void fill_tables(void)
{
    static const uint64_t reflected = UINT64_C(0x95ac9329ac4bc9b5);
    for (uint64_t byte = 0; byte < BYTES; byte++) {
        uint64_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 1) != 0 ? (crc >> 1) ^ reflected : crc >> 1;
        }
        tables[0][byte] = crc;
    }
    for (size_t n = 1; n < STEP; n++) {
        for (size_t byte = 0; byte < BYTES; byte++) {
            uint64_t crc = tables[n - 1][byte];
            tables[n][byte] = tables[0][crc & 0xff] ^ (crc >> 8);
        }
    }
}

uint64_t crc64_extend(uint64_t crc, struct slice bytes)
{
    const uint8_t *at = bytes.data;
    size_t left = bytes.len;
    for (; left >= STEP; at += STEP, left -= STEP) {
        uint64_t word = 0;
        memcpy(&word, at, sizeof(word)); /* Little endian, as all of Sherd. */
        word ^= crc;
        crc = 0;
        for (size_t n = 0; n < STEP; n++) {
            crc ^= tables[STEP - 1 - n][(word >> (8 * n)) & 0xff];
        }
    }
    for (; left > 0; at++, left--) {
        crc = tables[0][(crc ^ *at) & 0xff] ^ (crc >> 8);
    }
    return crc;
}
