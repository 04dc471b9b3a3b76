#ifndef REPLICATION_LOG_WAL_SEGMENT_H
#define REPLICATION_LOG_WAL_SEGMENT_H

#include "common/base/disk.h"
#include "replication/log/wal_record.h"

/* One file of the shared log: a header in a page of its own, then records. A file has its name only
 * after its header was synced, so that a bad header is never the trace of a crash.
 *
 * Thread: the writer; wal_segment_read() any thread while the segment is pinned or newest. */

enum {
    WAL_SEGMENT_FORMAT = 1,
    WAL_SEGMENT_HEADER_SIZE = 56,
    WAL_SEGMENT_START = 4096, /* Where records begin. */
    WAL_SEGMENT_PAGE_SIZE = DISK_PAGE_SIZE,
};

struct wal_header {
    uint64_t sequence;
    uint64_t salt;         /* Random: nobody can put bytes into a value that pass as a record. */
    uint64_t previous_end; /* Where the records of segment sequence - 1 end; 0: there was none. */
    uint64_t batch_first;  /* Number of the first batch in here. */
};

struct wal_segment {
    char *path;
    struct disk_file *file;
    struct wal_header header;
    uint64_t seed;     /* Of the checksums. */
    uint64_t size_max; /* Records end here at the latest. */
    uint64_t filled;   /* The file's size: writes below change no metadata. */
    uint64_t end;      /* Of the records. */
    unsigned pins;     /* Readers in other threads; guarded by the wal's index lock. */
};

void wal_segment_encode(const struct wal_header *header, uint8_t bytes[WAL_SEGMENT_HEADER_SIZE]);
/* CORRUPT; NEWER_FORMAT. */
MUST_USE enum status wal_segment_decode(const uint8_t bytes[WAL_SEGMENT_HEADER_SIZE],
                                        struct wal_header *header);
uint64_t wal_segment_seed(const struct wal_header *header);

/* Opens the file and reads its header. CORRUPT and NEWER_FORMAT are logged with what to do. */
MUST_USE enum status wal_segment_open(const char *path,
                                      uint64_t sequence,
                                      struct wal_segment **segment);
/* Writes a header into the file at path, which is made if it does not exist, and syncs it. */
MUST_USE enum status wal_segment_make(const char *path,
                                      const struct wal_header *header,
                                      uint64_t size_max,
                                      struct wal_segment **segment);
void wal_segment_close(struct wal_segment *segment);
void wal_segment_set_path(struct wal_segment *segment, const char *path);

/* Writes, after zeros were put under what comes next, if the file is still shorter. */
MUST_USE enum status wal_segment_write(struct wal_segment *segment,
                                       uint64_t offset,
                                       const uint8_t *data,
                                       size_t len);
/* Reads the record of `size` bytes at offset into the empty *bytes and checks it. */
MUST_USE enum status wal_segment_read(struct wal_segment *segment,
                                      uint64_t offset,
                                      size_t size,
                                      struct buf *bytes,
                                      struct wal_record *record);
/* Says in the log what is wrong where, and what to do; returns status. */
MUST_USE enum status wal_segment_report(const char *path,
                                        uint64_t offset,
                                        const char *what,
                                        enum status status);

#endif
