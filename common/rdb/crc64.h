#ifndef COMMON_RDB_CRC64_H
#define COMMON_RDB_CRC64_H

#include "common/base/slice.h"

/* The checksum of Redis' dumps: CRC-64 "Jones" (polynomial 0xad93d23594c935a9, reflected, starting
 * from 0, no final inversion); "123456789" has 0xe9c6d914c4b8d9ca. Pure. Any thread. */

/* The checksum of all so far, of which crc is that of what came before. */
uint64_t crc64_extend(uint64_t crc, struct slice bytes);

#endif
