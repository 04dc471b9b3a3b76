#ifndef COMMON_RDB_RDB_PAYLOAD_H
#define COMMON_RDB_RDB_PAYLOAD_H

#include "common/base/buf.h"

/* What DUMP gives and RESTORE takes (Redis 7.0 cluster.c, createDumpPayload()), little endian:
 *
 *   u8 type, the value | u16 version of the format | u64 checksum of all before it
 *
 * Pure. Any thread. */

enum {
    RDB_PAYLOAD_VERSION = 10,     /* That is written: Redis 7.0. */
    RDB_PAYLOAD_VERSION_MAX = 11, /* That is read: Redis 7.2. */
    RDB_PAYLOAD_FOOTER_SIZE = 2 + 8,
};

/* Appends the footer to a value that begins at an offset. */
void rdb_payload_seal(struct buf *out, size_t start);
/* False: the version or the checksum is wrong. *value with its type; it may be empty. */
bool rdb_payload_open(struct slice payload, struct slice *value);

#endif
