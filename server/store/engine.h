#ifndef SERVER_STORE_ENGINE_H
#define SERVER_STORE_ENGINE_H

#include "server/store/store.h"

/* What txn.c and iter.c need of an engine: plain reads, one atomic batch, ordered iteration.
 * Implemented by store_rocksdb.c and by tests/support/store_memory.c, each with the store_*
 * functions of store.h. Statuses as there. */

struct engine_reader; /* How to read: the newest state, or a snapshot. One owner at a time. */
struct engine_batch;
struct engine_iter;

/* Grows whenever rows changed otherwise than by the one txn that owns them. Any thread. */
uint64_t engine_generation(const struct store *store);
/* Returns the new one. */
uint64_t engine_generation_advance(struct store *store);
uint64_t engine_row_cache_size(const struct store *store);

/* snapshot: sees for ever what is committed now. */
struct engine_reader *engine_reader_new(struct store *store, bool snapshot);
void engine_reader_free(struct engine_reader *reader);
void engine_reader_set_cache_only(struct engine_reader *reader, bool cache_only);
/* Iterators that are opened now read much, once. */
void engine_reader_set_bulk(struct engine_reader *reader, bool bulk);
/* Iterators that are opened now give up, with AGAIN, where they would pass more than so many rows
 * that are deleted; 0: never. What is in memory only may ignore it. */
void engine_reader_set_patience(struct engine_reader *reader, uint64_t rows);
/* Gives back what is kept of the engine's memory and files between reads. */
void engine_reader_rest(struct engine_reader *reader);
MUST_USE enum status engine_get(struct engine_reader *reader,
                                enum store_family family,
                                struct slice key,
                                struct buf *value);

struct engine_batch *engine_batch_new(struct store *store);
void engine_batch_free(struct engine_batch *batch);
void engine_batch_put(struct engine_batch *batch,
                      enum store_family family,
                      struct slice key,
                      struct slice value);
void engine_batch_delete(struct engine_batch *batch, enum store_family family, struct slice key);
void engine_batch_delete_range(struct engine_batch *batch,
                               enum store_family family,
                               struct slice from,
                               struct slice to);
/* Writes all of it or, with BUSY, nothing; the batch is empty afterwards. */
MUST_USE enum status engine_batch_write(struct engine_batch *batch);

/* Waits until no range deletion slows down walks any more, or keeps them off in cache-only mode.
 * For tests. */
void engine_drain(struct store *store);

/* Freed before its reader. The bounds are copied; nothing outside of them is looked at. Not
 * positioned until a seek. A move beyond a bound leaves it not valid, until the next seek. */
struct engine_iter *engine_iter_new(struct engine_reader *reader,
                                    enum store_family family,
                                    struct slice lower,
                                    struct slice upper);
void engine_iter_free(struct engine_iter *iter);
/* To the first key >= key. */
void engine_iter_seek(struct engine_iter *iter, struct slice key);
/* To the last key <= key. */
void engine_iter_seek_for_prev(struct engine_iter *iter, struct slice key);
void engine_iter_seek_last(struct engine_iter *iter);
void engine_iter_next(struct engine_iter *iter);
void engine_iter_prev(struct engine_iter *iter);
bool engine_iter_valid(const struct engine_iter *iter);
struct slice engine_iter_key(const struct engine_iter *iter);
struct slice engine_iter_value(const struct engine_iter *iter);
MUST_USE enum status engine_iter_status(const struct engine_iter *iter);

/* Iterators of a txn: those that are open are counted, those that are closed kept for the next. */
struct iter_shelf {
    struct store_iter *idle; /* A chain. */
    size_t idle_count;
    size_t open_count;
};
/* From iter.c, for txn.c. None is open. */
void engine_shelf_clear(struct iter_shelf *shelf);

/* From txn.c, for iter.c and store_export(). */
struct overlay;
struct store *engine_txn_store(const struct txn *txn);
struct engine_reader *engine_txn_reader(const struct txn *txn);
/* NULL for a view. */
struct overlay *engine_txn_overlay(struct txn *txn);
struct iter_shelf *engine_txn_shelf(struct txn *txn);

#endif
