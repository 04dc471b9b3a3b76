#ifndef REPLICATION_LOG_WAL_RECORD_H
#define REPLICATION_LOG_WAL_RECORD_H

#include "common/base/buf.h"
#include "common/base/status.h"
#include "replication/log/wal.h"

/* The bytes of a record of the shared log (drawn in docs/log_format.md): a header of 24 bytes, a
 * payload, zeros up to a multiple of 8.
 *
 *   checksum u64 | payload length u32 | type u8 | 0 0 0 | group u64 | payload | padding
 *
 * The checksum is XXH3 over everything behind it, seeded by the segment, so that what a recycled
 * segment held before never passes. Records are made without it (the maker does not know which
 * segment they go to) and sealed on their way to the disk. Pure; any thread. */

enum {
    WAL_RECORD_ALIGN = 8,
    WAL_RECORD_HEADER_SIZE = 24,
    WAL_RECORD_ENTRY_SIZE = 16, /* In front of each entry's data. */
    WAL_RECORD_BATCH_SIZE = 32, /* A whole WAL_BATCH record. */
    WAL_RECORD_PAYLOAD_SIZE_MAX = 1 << 30,
};

/* Values are on disk. */
enum wal_record_type {
    WAL_BATCH = 1,    /* Begins what was written with one sync. */
    WAL_ENTRIES = 2,  /* Of one group, consecutive; replaces what was at first and above. */
    WAL_TRUNCATE = 3, /* Entries at index and above are gone. */
    WAL_VOTE = 4,     /* Term and vote. */
    WAL_RESET = 5,    /* All entries are gone, the log begins behind index. */
    WAL_DROP = 6,     /* The group is gone. */
    WAL_MOVED = 7,    /* As WAL_ENTRIES, copied out of an old segment: replaces these only. */
    WAL_STATE = 8,    /* Term, vote and base, copied out of an old segment: keeps the entries. */
    WAL_TYPE_END,
    WAL_COMPACT = 128, /* From a port to the writer; never on disk. */
};

struct wal_record {
    enum wal_record_type type;
    uint32_t count;     /* Entries. */
    uint64_t group;     /* 0 for WAL_BATCH. */
    uint64_t index;     /* Number of the batch; first entry; cut; base; bound of WAL_COMPACT. */
    uint64_t term;      /* WAL_VOTE, WAL_STATE. */
    uint64_t vote;      /* WAL_VOTE, WAL_STATE. */
    uint64_t base_term; /* WAL_RESET, WAL_STATE. */
    struct slice data;  /* Packed entries, or what WAL_RESET and WAL_STATE carry. */
};

/* Appends any record but entries, unsealed. */
void wal_record_append(struct buf *out, const struct wal_record *record);

/* A record of entries: begin, wal_record_pack() or raw packed bytes for each, end with what begin
 * returned. */
size_t wal_record_begin(struct buf *out, enum wal_record_type type, uint64_t group, uint64_t first);
void wal_record_pack(struct buf *out, const struct wal_entry *entry);
void wal_record_end(struct buf *out, size_t start, uint32_t count);

/* Bytes that one of our own records takes, with padding. */
size_t wal_record_size(const uint8_t *record);
/* Writes the checksum of one of our own records. */
void wal_record_seal(uint8_t *record, uint64_t seed);

/* Bytes from a file, a record at their front. OK: *size is its size with padding. AGAIN: *size
 * bytes are needed to tell. CORRUPT: no record, or not of this segment. */
MUST_USE enum status wal_record_check(struct slice bytes, uint64_t seed, size_t *size);
/* What a checked record, or one of our own, says; record->data borrows. CORRUPT: malformed behind
 * a good checksum, which no crash makes. NEWER_FORMAT: a type that is not known here. */
MUST_USE enum status wal_record_parse(const uint8_t *bytes, struct wal_record *record);
/* As wal_record_parse() for one of our own records, without looking at the entries. */
void wal_record_peek(const uint8_t *bytes, struct wal_record *record);
/* Takes the next packed entry off *packed; false if there is none that is whole. */
bool wal_record_unpack(struct slice *packed, struct wal_entry *entry);

#endif
