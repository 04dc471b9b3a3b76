#ifndef SERVER_SHARD_ENTRY_H
#define SERVER_SHARD_ENTRY_H

#include "common/base/buf.h"
#include "common/base/reader.h"
#include "common/base/status.h"

/* A raft log entry of a shard: all writes that one turn of the leader's loop gathered, little
 * endian:
 *   u8 format (1) | u64 stamp_ms | u32 count | count * (u64 session | u64 seq | u64 first_unacked |
 *   u32 length | planned command)
 * Entries outlive the program that wrote them: add formats, never change one. A count of 0 only
 * moves the shard's time. Pure. */

struct entry_command {
    uint64_t session;
    uint64_t seq;
    uint64_t first_unacked;
    struct slice planned; /* Borrows from the entry. */
};

enum { ENTRY_COMMANDS_MAX = 4096 };

void entry_begin(struct buf *out, uint64_t stamp_ms);
/* At most ENTRY_COMMANDS_MAX. */
void entry_add(struct buf *out, const struct entry_command *command);

struct entry {
    uint64_t stamp_ms;
    uint32_t count;
    uint32_t taken;
    struct reader in;
};

/* CORRUPT if the header is malformed. */
MUST_USE enum status entry_open(struct slice bytes, struct entry *entry);
/* Call entry->count times. CORRUPT if the command is malformed, or the last is followed by more. */
MUST_USE enum status entry_next(struct entry *entry, struct entry_command *command);

#endif
