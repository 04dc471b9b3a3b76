#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "server/store/engine.h"
#include "server/store/overlay.h"

enum {
    ROW_CACHE_SIZE_DEFAULT = 32 << 20,
    SCRATCH_SIZE_KEPT = 1 << 20, /* A larger one is given back at its next use. */
    SINGLE_COUNT_MAX = 4096,     /* Rows of a range that are deleted one by one, ... */
    SINGLE_PATIENCE = 4096,      /* ... if not more than that were deleted before between two. */
};

struct txn {
    struct store *store;
    struct engine_reader *reader;
    struct engine_batch *batch; /* NULL: a view. */
    struct overlay overlay;     /* Only if there is a batch. */
    uint64_t generation;        /* The clean rows of the overlay are of this generation. */
    bool cache_only;
    bool trial; /* Is never committed. */
    struct iter_shelf shelf;
    struct buf scratch[TXN_SCRATCH_COUNT];
};

static struct txn *new_txn(struct store *store, bool snapshot)
{
    struct txn *txn = calloc(1, sizeof(*txn));
    assert(txn != NULL);
    txn->store = store;
    txn->reader = engine_reader_new(store, snapshot);
    for (size_t i = 0; i < TXN_SCRATCH_COUNT; i++) {
        buf_init(&txn->scratch[i], SIZE_MAX / 2);
    }
    return txn;
}

static struct txn *new_writable(struct store *store, bool snapshot)
{
    struct txn *txn = new_txn(store, snapshot);
    txn->batch = engine_batch_new(store);
    txn->generation = engine_generation(store);
    uint64_t size = engine_row_cache_size(store);
    overlay_init(&txn->overlay, size == 0 ? ROW_CACHE_SIZE_DEFAULT : size);
    return txn;
}

struct txn *txn_new(struct store *store)
{
    return new_writable(store, false);
}

struct txn *txn_trial(struct store *store)
{
    struct txn *txn = new_writable(store, true);
    txn->trial = true;
    return txn;
}

struct txn *txn_view(struct store *store)
{
    return new_txn(store, true);
}

void txn_free(struct txn *txn)
{
    engine_shelf_clear(&txn->shelf);
    if (txn->batch != NULL) {
        engine_batch_free(txn->batch);
        overlay_deinit(&txn->overlay);
    }
    engine_reader_free(txn->reader);
    for (size_t i = 0; i < TXN_SCRATCH_COUNT; i++) {
        buf_deinit(&txn->scratch[i]);
    }
    free(txn);
}

void txn_rest(struct txn *txn)
{
    engine_reader_rest(txn->reader);
}

struct buf *txn_scratch(struct txn *txn, size_t n)
{
    assert(n < TXN_SCRATCH_COUNT);
    struct buf *scratch = &txn->scratch[n];
    if (scratch->size > SCRATCH_SIZE_KEPT) {
        buf_deinit(scratch);
        buf_init(scratch, SIZE_MAX / 2);
    }
    buf_clear(scratch);
    return scratch;
}

void txn_set_cache_only(struct txn *txn, bool cache_only)
{
    engine_reader_set_cache_only(txn->reader, cache_only);
    txn->cache_only = cache_only;
}

bool txn_cache_only(const struct txn *txn)
{
    return txn->cache_only;
}

struct store *engine_txn_store(const struct txn *txn)
{
    return txn->store;
}

struct engine_reader *engine_txn_reader(const struct txn *txn)
{
    return txn->reader;
}

struct overlay *engine_txn_overlay(struct txn *txn)
{
    return txn->batch == NULL ? NULL : &txn->overlay;
}

struct iter_shelf *engine_txn_shelf(struct txn *txn)
{
    return &txn->shelf;
}

/* A walk stands on rows of the overlay. */
static void check_writable(const struct txn *txn)
{
    assert(txn->batch != NULL);
    assert(txn->shelf.open_count == 0);
}

static enum status get_and_remember(struct txn *txn,
                                    enum store_family family,
                                    struct slice key,
                                    struct buf *value)
{
    size_t offset = value->len;
    enum status status = engine_get(txn->reader, family, key, value);
    if (status == STATUS_NOT_FOUND) {
        overlay_remember(&txn->overlay, family, key, NULL);
    } else if (status == STATUS_OK) {
        struct slice found = slice_of(value->data + offset, value->len - offset);
        overlay_remember(&txn->overlay, family, key, &found);
    }
    return status;
}

enum status txn_get(struct txn *txn, enum store_family family, struct slice key, struct buf *value)
{
    assert(family < STORE_FAMILY_COUNT);
    if (txn->batch == NULL) {
        return engine_get(txn->reader, family, key, value);
    }
    uint64_t generation = engine_generation(txn->store);
    if (generation != txn->generation) {
        overlay_forget(&txn->overlay);
        txn->generation = generation;
    }
    const struct overlay_row *row = overlay_find(&txn->overlay, family, key);
    if (row != NULL) {
        if (!row->present) {
            return STATUS_NOT_FOUND;
        }
        buf_append_slice(value, overlay_row_value(row));
        return STATUS_OK;
    }
    if (overlay_covers(&txn->overlay, family, key)) {
        return STATUS_NOT_FOUND;
    }
    return get_and_remember(txn, family, key, value);
}

void txn_put(struct txn *txn, enum store_family family, struct slice key, struct slice value)
{
    check_writable(txn);
    assert(family < STORE_FAMILY_COUNT);
    overlay_put(&txn->overlay, family, key, value);
}

void txn_delete(struct txn *txn, enum store_family family, struct slice key)
{
    check_writable(txn);
    assert(family < STORE_FAMILY_COUNT);
    overlay_delete(&txn->overlay, family, key);
}

/* Deletes the rows of the range if they are few and can be looked at, else does nothing. */
static bool delete_each(struct txn *txn,
                        enum store_family family,
                        struct slice from,
                        struct slice to)
{
    struct buf keys;
    buf_init(&keys, SIZE_MAX / 2);
    size_t count = 0;
    engine_reader_set_patience(txn->reader, SINGLE_PATIENCE);
    struct store_iter *iter = iter_open(txn, family, from, to);
    for (; count <= SINGLE_COUNT_MAX && iter_valid(iter); iter_next(iter), count++) {
        buf_append_bytes(&keys, iter_key(iter));
    }
    bool few = count <= SINGLE_COUNT_MAX && iter_status(iter) == STATUS_OK;
    iter_close(iter);
    engine_reader_set_patience(txn->reader, 0);
    struct reader in = reader_of(buf_slice(&keys));
    while (few && in.rest.len > 0) {
        overlay_delete(&txn->overlay, family, reader_bytes(&in, UINT32_MAX));
    }
    buf_deinit(&keys);
    return few;
}

static void delete_range(struct txn *txn,
                         enum store_family family,
                         struct slice from,
                         struct slice to)
{
    check_writable(txn);
    assert(family < STORE_FAMILY_COUNT);
    if (overlay_compare(from, to) < 0) {
        overlay_delete_range(&txn->overlay, family, from, to);
    }
}

void txn_delete_range(struct txn *txn, enum store_family family, struct slice from, struct slice to)
{
    check_writable(txn);
    assert(family < STORE_FAMILY_COUNT);
    if (overlay_compare(from, to) < 0 && !delete_each(txn, family, from, to)) {
        delete_range(txn, family, from, to);
    }
}

void txn_disown_range(struct txn *txn, enum store_family family, struct slice from, struct slice to)
{
    delete_range(txn, family, from, to);
    txn->overlay.disowned = true;
}

void txn_forget_range(struct txn *txn, enum store_family family, struct slice from, struct slice to)
{
    check_writable(txn);
    if (overlay_compare(from, to) < 0) {
        overlay_forget_range(&txn->overlay, family, from, to);
    }
}

void txn_mark(struct txn *txn)
{
    check_writable(txn);
    overlay_mark(&txn->overlay);
}

void txn_rollback(struct txn *txn)
{
    check_writable(txn);
    overlay_rollback(&txn->overlay);
}

void txn_release(struct txn *txn)
{
    check_writable(txn);
    overlay_release(&txn->overlay);
}

uint64_t txn_size(const struct txn *txn,
                  enum store_family family,
                  struct slice from,
                  struct slice to)
{
    return store_size(txn->store, family, from, to);
}

bool txn_empty(const struct txn *txn)
{
    return txn->batch == NULL || overlay_clean(&txn->overlay);
}

static void put_row(const struct txn *txn, const struct overlay_row *row)
{
    enum store_family family = (enum store_family)row->family;
    if (row->present) {
        engine_batch_put(txn->batch, family, overlay_row_key(row), overlay_row_value(row));
    } else {
        engine_batch_delete(txn->batch, family, overlay_row_key(row));
    }
}

/* In the order of the keys: the engine's memtable goes on from where the last key went. Range
 * deletes first: what is dirty in such a range was written after it. */
static void fill_batch(const struct txn *txn)
{
    const struct overlay *overlay = &txn->overlay;
    const struct overlay_row **rows = calloc(overlay_dirty_count(overlay) + 1, sizeof(*rows));
    assert(rows != NULL);
    size_t count = 0;
    for (int i = 0; i < STORE_FAMILY_COUNT; i++) {
        enum store_family family = (enum store_family)i;
        const struct range_set *deleted = &overlay->families[i].deleted;
        for (size_t n = 0; n < deleted->count; n++) {
            const struct range *range = &deleted->ranges[n];
            engine_batch_delete_range(txn->batch, family, range_from(range), range_to(range));
        }
        overlay_collect(overlay, family, rows + count);
        count += overlay->families[i].dirty_count;
    }
    for (size_t i = 0; i < count; i++) {
        put_row(txn, rows[i]);
    }
    free(rows);
}

size_t txn_pending(const struct txn *txn, size_t *size)
{
    *size = txn->overlay.dirty_size;
    return overlay_dirty_count(&txn->overlay);
}

enum status txn_commit(struct txn *txn)
{
    assert(!txn->trial);
    check_writable(txn);
    assert(!txn->overlay.marked);
    if (overlay_clean(&txn->overlay)) {
        return STATUS_OK;
    }
    fill_batch(txn);
    enum status status = engine_batch_write(txn->batch);
    engine_reader_rest(txn->reader);
    if (status != STATUS_OK) {
        return status;
    }
    bool disowned = txn->overlay.disowned;
    overlay_settle(&txn->overlay);
    if (disowned) {
        /* Our own rows are right, unless somebody else advanced it as well. */
        uint64_t generation = engine_generation_advance(txn->store);
        if (generation == txn->generation + 1) {
            txn->generation = generation;
        }
    }
    return STATUS_OK;
}
