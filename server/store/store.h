#ifndef SERVER_STORE_STORE_H
#define SERVER_STORE_STORE_H

#include "common/base/buf.h"
#include "common/base/status.h"

/* An ordered map of bytes to bytes, in two families, with atomic batches and consistent views.
 * The only door to the storage engine: what includes <rocksdb/c.h> is here (rocks.h); tests and the
 * simulator link tests/support/store_memory.c instead. Both stand behind engine.h; txn.c and iter.c
 * are above it and the same for both.
 *
 * There is no write-ahead log here: the shared raft log is one. What was committed survives a
 * crash only up to a flush, and then all of a commit or nothing of it, over both families, in
 * commit order. Every txn_commit() therefore carries the applied index of its shards.
 *
 * Statuses: NOT_FOUND; IO and CORRUPT (the detail is logged; outcome unknown, the node stops). */

enum store_family {
    STORE_DATA,  /* Keys and elements of users, by token: docs/storage_format.md. */
    STORE_LOCAL, /* Rows of a shard that are not addressed by token: state, counters, sessions. */
    STORE_FAMILY_COUNT,
};

struct store; /* Thread: any. */
struct txn;   /* Thread: one owner at a time. */
struct store_iter;

struct store_options {
    uint64_t cache_size;     /* Block cache, bytes. */
    uint64_t memtable_size;  /* Bytes per family before a flush begins by itself. */
    unsigned threads;        /* Background flushes and compactions. */
    uint64_t row_cache_size; /* Rows that a txn for writing remembers, bytes; 0: 32 MB. */
};

/* Opens or creates the store at path. On OK *store is owned by the caller. */
MUST_USE enum status store_open(const char *path,
                                const struct store_options *options,
                                struct store **store);
/* All txns, views and iterators are closed before. Does not flush. */
void store_close(struct store *store);

/* Makes everything that was committed before the call durable. Blocks; any thread but a loop's. */
MUST_USE enum status store_flush(struct store *store);
/* Bytes in memtables that a flush would write: when it is large, flush. */
uint64_t store_unflushed(struct store *store);
/* True while the engine would stall writers: the caller applies back-pressure before proposing. */
bool store_overloaded(struct store *store);
/* Approximate bytes on disk of a key range. */
uint64_t store_size(struct store *store,
                    enum store_family family,
                    struct slice from,
                    struct slice to);

/* A txn for writing reads its own writes on top of the newest committed state; it lives as long as
 * its loop and is reused after every commit. It remembers rows that it read or wrote: between two
 * commits of it nobody else writes what it reads (a loop owns its shards). store_ingest() and
 * ranges that others disowned make it forget. */
struct txn *txn_new(struct store *store);
/* A read-only txn on what is committed now (a snapshot); may be handed to another thread. */
struct txn *txn_view(struct store *store);
/* The same, but it reads its own writes, which go nowhere: for trying out. Never committed. */
struct txn *txn_trial(struct store *store);
void txn_free(struct txn *txn); /* What was not committed is dropped. */

/* Gives back memory and files of the engine that the txn keeps for its next read: whoever keeps a
 * txn calls this now and then, lest an idle one keeps what was compacted long ago. */
void txn_rest(struct txn *txn);

/* Room for the work of the txn's user, kept from call to call: n < TXN_SCRATCH_COUNT. Cleared. */
enum { TXN_SCRATCH_COUNT = 32 };
struct buf *txn_scratch(struct txn *txn, size_t n);

/* In cache-only mode a read that would touch the disk returns AGAIN instead (read_tier). */
void txn_set_cache_only(struct txn *txn, bool cache_only);
bool txn_cache_only(const struct txn *txn);

/* Appends the value to *value (owned by the caller). */
MUST_USE enum status txn_get(struct txn *txn,
                             enum store_family family,
                             struct slice key,
                             struct buf *value);
void txn_put(struct txn *txn, enum store_family family, struct slice key, struct slice value);
void txn_delete(struct txn *txn, enum store_family family, struct slice key);
/* Deletes from <= key < to, the txn's own earlier writes there too. Up to some thousand rows are
 * deleted one by one, for which it looks at them. More of them are a range deletion of the engine,
 * which is swept in the background: until then walks in the range are AGAIN in cache-only mode. */
void txn_delete_range(struct txn *txn,
                      enum store_family family,
                      struct slice from,
                      struct slice to);
/* The same for rows that another txn may write, or had remembered before, from now on: when it is
 * committed, all others forget what they remember. */
void txn_disown_range(struct txn *txn,
                      enum store_family family,
                      struct slice from,
                      struct slice to);
/* From now on another txn writes the rows of the range: what is remembered of them is forgotten.
 * What was written there is committed. */
void txn_forget_range(struct txn *txn,
                      enum store_family family,
                      struct slice from,
                      struct slice to);

/* From here on what is written can be taken back; one mark at a time, and none at a commit. Costs
 * nothing but for what is written while it is set. */
void txn_mark(struct txn *txn);
/* The txn is as it was at the mark, to all readers of it. The mark is gone. */
void txn_rollback(struct txn *txn);
/* Keeps what was written. The mark is gone. */
void txn_release(struct txn *txn);

/* As store_size() of the txn's store: without what it has not committed. May wait for the disk. */
uint64_t txn_size(const struct txn *txn,
                  enum store_family family,
                  struct slice from,
                  struct slice to);
/* True if there is nothing to commit. */
bool txn_empty(const struct txn *txn);
/* Rows, and bytes, that txn_commit() would write. A row written many times counts once, so that
 * committing less often writes less. */
size_t txn_pending(const struct txn *txn, size_t *size);
/* Makes all writes visible at once and empties the txn for reuse. Never waits for a disk: a stall
 * of the engine is BUSY with nothing written (call again later). */
MUST_USE enum status txn_commit(struct txn *txn);

/* Walks lower <= key < upper in order, in both directions, the txn's own writes included. The txn
 * is not written to while the iterator is open. It stands at the first key within the bounds; that
 * is looked for when it is first asked for, so that a seek right after the open is the only one.
 * Slices are valid until the next move. */
struct store_iter *iter_open(struct txn *txn,
                             enum store_family family,
                             struct slice lower,
                             struct slice upper);
void iter_close(struct store_iter *iter);
/* False beyond either end: only a seek leads back. */
bool iter_valid(struct store_iter *iter);
/* Only if valid. To turn costs a seek. */
void iter_next(struct store_iter *iter);
void iter_prev(struct store_iter *iter);
/* To the first key >= key within the bounds. */
void iter_seek(struct store_iter *iter, struct slice key);
/* To the last key <= key within the bounds. */
void iter_seek_for_prev(struct store_iter *iter, struct slice key);
/* To the last key within the bounds. */
void iter_seek_last(struct store_iter *iter);
/* Only if valid. */
struct slice iter_key(struct store_iter *iter);
struct slice iter_value(struct store_iter *iter);
/* Checked after the walk: OK, AGAIN (cache-only mode), IO, CORRUPT. A failure stays: rows may be
 * missing in what was walked, whatever was sought since. */
MUST_USE enum status iter_status(struct store_iter *iter);

/* Rows from <= key < to of a family. */
struct store_range {
    enum store_family family;
    struct slice from;
    struct slice to;
};

enum export_progress {
    EXPORT_GOES_ON,    /* The file is not full. */
    EXPORT_FILE_ENDED, /* It is, and there are more rows. */
    EXPORT_ENDED,
    EXPORT_NOTHING, /* There are no rows at all, and no file. */
};

/* Writes the rows of the range, as the view sees them, to sorted files of about file_size bytes.
 * The range's bytes and the view outlive the export. One owner at a time; begin and end do not
 * block. */
struct store_export *store_export_begin(struct txn *view,
                                        const struct store_range *range,
                                        uint64_t file_size);
/* Writes about size bytes more into the file at path, which is the same until it has ended, and
 * then is synced. Blocks. */
MUST_USE enum status store_export_step(struct store_export *export,
                                       const char *path,
                                       uint64_t size,
                                       enum export_progress *progress);
void store_export_end(struct store_export *export);

/* Replaces the range that the files were exported from by their rows; they are files of nothing
 * else, and if there are none the range is empty afterwards. Durable when it returns. A crash may
 * leave anything in the range: whoever calls this sees to it that it is repeated then. The files
 * stay where they are and as they are; they are not changed any more, as the store may keep them.
 * Uncommitted txn writes in that range must not exist, and nobody reads there. Blocks. */
MUST_USE enum status store_ingest(struct store *store,
                                  const struct store_range *range,
                                  const char *const *paths,
                                  size_t count);

#endif
