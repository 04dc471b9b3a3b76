#include <rocksdb/c.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "server/store/eraser.h"
#include "server/store/rocks.h"

/* Both families live in one column family, told apart by the first byte of the key. One memtable
 * then holds whole commits, so whatever a flush makes durable is a prefix of the commits: with two
 * column families that takes atomic flushes, and the C API of RocksDB 7.8 can start a flush of one
 * column family only. */

enum {
    FILTER_BITS = 10,
    BLOCK_SIZE = 8 * 1024,
    FORMAT_VERSION = 5,
    LEVELS = 7,         /* As RocksDB has by default. */
    MEMTABLE_PARTS = 8, /* Memtables that one flush merges into a file. */
    MEMTABLES_MAX = 4 * MEMTABLE_PARTS,
    ARENA_SIZE =
        256 * 1024,         /* What memtables grow by; small enough to come from recycled memory. */
    DELETION_WINDOW = 4096, /* Entries; a file with this many and ... */
    DELETION_TRIGGER = 2048,  /* ... this many tombstones among them is compacted soon. */
    PART_ROWS_MIN = 512,      /* Of fewer in the memtable any may be hidden. */
    LEVEL0_FILES_MAX = 18,    /* From 20 on the engine delays writers. */
    LOAD_CHECK_INTERVAL = 64, /* store_overloaded() asks the engine once in so many calls. */
    READ_TIER_ALL = 0,
    READ_TIER_CACHE = 1,
    BOUND_SIZE_MAX = 1 << 20, /* Of keys of a range that is measured. */
    IDLE_MAX = 4,             /* Iterators that a reader keeps. */
    BULK_READAHEAD = 1 << 20,
};

static const double memtable_filter_ratio = 0.02;
static const uint8_t family_bytes[STORE_FAMILY_COUNT] = {
    [STORE_DATA] = 'D',
    [STORE_LOCAL] = 'L',
};

struct engine_reader {
    struct store *store;
    const rocksdb_snapshot_t *snapshot;
    rocksdb_readoptions_t *options;
    bool cache_only;
    bool bulk;         /* Iterators read much, once. */
    uint64_t patience; /* As engine_reader_set_patience() says. */
    struct engine_iter *idle;
    size_t idle_count;
    struct buf key;
};

struct engine_batch {
    struct store *store;
    rocksdb_writebatch_t *batch;
    size_t ranges; /* That it deletes. */
    struct buf key;
    struct buf key_to;
    struct buf list_key; /* Of the eraser. */
    struct buf list_value;
};

/* The engine takes several microseconds to make an iterator, and more if its memtable has deleted
 * ranges: a reader keeps those that are closed for as long as nobody changes the store. The engine
 * reads the bounds in the options anew at every seek (LevelIterator and BlockBasedTableIterator of
 * 7.8 say so), so they may change while the iterator lives. */
struct engine_iter {
    struct engine_iter *next; /* Of the idle ones. */
    struct engine_reader *reader;
    rocksdb_readoptions_t *options;
    rocksdb_iterator_t *engine; /* NULL: given back. */
    uint64_t changes;           /* What it sees. */
    enum store_family family;
    bool cache_only;
    bool bulk;
    bool heeds; /* Range deletions: else there are none within the bounds. */
    uint64_t patience;
    struct buf bounds; /* Both; the engine reads them while it lives. */
    struct buf key;
};

enum status rocks_take_error(const char *doing, char *error)
{
    if (error == NULL) {
        return STATUS_OK;
    }
    enum status status = strncmp(error, "Corruption", 10) == 0 ? STATUS_CORRUPT : STATUS_IO;
    log_error("store.engine", "doing=%s error=\"%s\"", doing, error);
    rocksdb_free(error);
    return status;
}

/* "Result incomplete": what a read that must not touch the disk, or a write that must not wait,
 * says instead. */
static bool is_incomplete(const char *error)
{
    return error != NULL && strncmp(error, "Result incomplete", 17) == 0;
}

void rocks_set_key(struct buf *key, enum store_family family, struct slice bytes)
{
    buf_clear(key);
    buf_append_u8(key, family_bytes[family]);
    buf_append_slice(key, bytes);
}

static rocksdb_block_based_table_options_t *table_options(struct store *store)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(table, store->cache);
    rocksdb_block_based_options_set_block_size(table, BLOCK_SIZE);
    rocksdb_block_based_options_set_format_version(table, FORMAT_VERSION);
    rocksdb_block_based_options_set_filter_policy(
        table, rocksdb_filterpolicy_create_bloom_full(FILTER_BITS));
    rocksdb_block_based_options_set_whole_key_filtering(table, 1);
    return table;
}

static void set_options(struct store *store, const struct store_options *options)
{
    rocksdb_options_t *to = store->options;
    rocksdb_options_set_create_if_missing(to, 1);
    /* Small ones: the cost of an insertion is the walk through the list that it goes into. The
     * files are as large as if there were one. */
    rocksdb_options_set_write_buffer_size(to, options->memtable_size / MEMTABLE_PARTS);
    rocksdb_options_set_min_write_buffer_number_to_merge(to, MEMTABLE_PARTS);
    rocksdb_options_set_max_write_buffer_number(to, MEMTABLES_MAX);
    rocksdb_options_set_arena_block_size(to, ARENA_SIZE);
    rocksdb_options_set_max_background_jobs(to, options->threads < 2 ? 2 : (int)options->threads);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(to, 1);
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(to, memtable_filter_ratio);
    rocksdb_options_set_memtable_whole_key_filtering(to, 1);
    /* Batches are sorted: with a hint an insertion goes on from the place of the last one, which
     * the engine does for concurrent insertion only, and that for a single writer only with
     * unordered_write. What this relaxes: a snapshot may see part of a batch that another thread is
     * writing. A view is made on the loop that alone writes the rows it is made for. See
     * docs/decisions/0001-memtable.md. */
    rocksdb_options_set_allow_concurrent_memtable_write(to, 1);
    rocksdb_options_set_unordered_write(to, 1);
    rocksdb_options_set_max_open_files(to, -1); /* Index and filter blocks stay in memory. */
    rocksdb_options_set_bytes_per_sync(to, 1 << 20);
    rocksdb_options_set_keep_log_file_num(to, 2);
    rocksdb_options_set_max_log_file_size(to, 1 << 20);
    rocksdb_options_set_info_log_level(to, 2);
    rocksdb_options_set_stats_dump_period_sec(to, 0);
    rocksdb_options_set_stats_persist_period_sec(to, 0);
    /* Queues and expiring keys leave tombstones that reads walk over. */
    rocksdb_options_add_compact_on_deletion_collector_factory(to, DELETION_WINDOW,
                                                              DELETION_TRIGGER);
    rocksdb_block_based_table_options_t *table = table_options(store);
    rocksdb_options_set_block_based_table_factory(to, table);
    rocksdb_block_based_options_destroy(table);
}

/* What the C API has no calls for. Closing does not flush, as store_close() says; else a crash
 * would be tested by nothing. */
static enum status set_from_text(struct store *store)
{
    rocksdb_options_t *with = rocksdb_options_create();
    char *error = NULL;
    rocksdb_get_options_from_string(store->options, "avoid_flush_during_shutdown=true", with,
                                    &error);
    rocksdb_options_destroy(store->options);
    store->options = with;
    return rocks_take_error("options", error);
}

/* Which compressions the library has depends on how it was built. */
static enum status open_best(struct store *store, const char *path)
{
    static const int kinds[] = {rocksdb_lz4_compression, rocksdb_snappy_compression,
                                rocksdb_no_compression};
    char *error = NULL;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        /* What is young is soon rewritten: not worth the time to compress. */
        int levels[LEVELS];
        for (size_t level = 0; level < LEVELS; level++) {
            levels[level] = level < 2 ? (int)rocksdb_no_compression : kinds[i];
        }
        rocksdb_options_set_compression_per_level(store->options, levels, LEVELS);
        store->db = rocksdb_open(store->options, path, &error);
        if (error == NULL || strstr(error, "ompression type") == NULL) {
            break;
        }
        if (i + 1 < sizeof(kinds) / sizeof(kinds[0])) {
            rocksdb_free(error);
            error = NULL;
        }
    }
    return rocks_take_error("open", error);
}

static rocksdb_writeoptions_t *make_write_options(bool hints)
{
    rocksdb_writeoptions_t *options = rocksdb_writeoptions_create();
    /* The raft log is the write-ahead log; the applied index in each commit tells where to replay
     * from. */
    rocksdb_writeoptions_disable_WAL(options, 1);
    rocksdb_writeoptions_set_no_slowdown(options, 1);
    rocksdb_writeoptions_set_memtable_insert_hint_per_batch(options, hints);
    return options;
}

enum status store_open(const char *path, const struct store_options *options, struct store **store)
{
    assert(path != NULL && options != NULL);
    struct store *self = calloc(1, sizeof(*self));
    assert(self != NULL);
    atomic_init(&self->generation, 1);
    self->row_cache_size = options->row_cache_size;
    self->cache = rocksdb_cache_create_lru(options->cache_size);
    self->options = rocksdb_options_create();
    set_options(self, options);
    /* The engine (7.8.3) uses one hint for rows and for range deletions, which live in a list of
     * their own: a batch that has both must go without. */
    self->write_options = make_write_options(true);
    self->range_options = make_write_options(false);
    self->list_options = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(self->list_options, 1);
    self->flush_options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(self->flush_options, 1);
    self->part_options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(self->part_options, 0);
    enum status status = set_from_text(self);
    if (status == STATUS_OK) {
        status = open_best(self, path);
    }
    if (status == STATUS_OK) {
        status = eraser_open(self->db, &self->eraser);
    }
    if (status != STATUS_OK) {
        store_close(self);
        return status;
    }
    *store = self;
    return STATUS_OK;
}

void store_close(struct store *store)
{
    assert(store != NULL);
    if (store->eraser != NULL) {
        eraser_close(store->eraser);
    }
    if (store->db != NULL) {
        rocksdb_close(store->db);
    }
    rocksdb_flushoptions_destroy(store->flush_options);
    rocksdb_flushoptions_destroy(store->part_options);
    rocksdb_writeoptions_destroy(store->write_options);
    rocksdb_writeoptions_destroy(store->range_options);
    rocksdb_writeoptions_destroy(store->list_options);
    rocksdb_options_destroy(store->options);
    rocksdb_cache_destroy(store->cache);
    free(store);
}

enum status store_flush(struct store *store)
{
    char *error = NULL;
    rocksdb_flush(store->db, store->flush_options, &error);
    return rocks_take_error("flush", error);
}

static uint64_t property(struct store *store, const char *name)
{
    uint64_t value = 0;
    int result = rocksdb_property_int(store->db, name, &value);
    assert(result == 0);
    return value;
}

/* The engine has this one as text only. */
static uint64_t count_level0(struct store *store)
{
    char *value = rocksdb_property_value(store->db, "rocksdb.num-files-at-level0");
    assert(value != NULL);
    uint64_t count = strtoull(value, NULL, 10);
    rocksdb_free(value);
    return count;
}

uint64_t store_unflushed(struct store *store)
{
    /* An empty memtable has room allocated already. */
    uint64_t rows = property(store, "rocksdb.num-entries-active-mem-table") +
                    property(store, "rocksdb.num-entries-imm-mem-tables");
    return rows == 0 ? 0 : property(store, "rocksdb.cur-size-all-mem-tables");
}

static bool is_overloaded(struct store *store)
{
    return property(store, "rocksdb.is-write-stopped") != 0 ||
           property(store, "rocksdb.actual-delayed-write-rate") != 0 ||
           property(store, "rocksdb.num-immutable-mem-table") + 1 >= MEMTABLES_MAX;
}

bool store_overloaded(struct store *store)
{
    unsigned calls = atomic_fetch_add_explicit(&store->load_checks, 1, memory_order_relaxed);
    bool overloaded = atomic_load_explicit(&store->overloaded, memory_order_relaxed);
    if (calls % LOAD_CHECK_INTERVAL == 0 || overloaded) {
        overloaded = is_overloaded(store);
        atomic_store_explicit(&store->overloaded, overloaded, memory_order_relaxed);
    }
    return overloaded;
}

uint64_t store_size(struct store *store,
                    enum store_family family,
                    struct slice from,
                    struct slice to)
{
    char *error = NULL;
    struct buf low;
    struct buf high;
    buf_init(&low, BOUND_SIZE_MAX);
    buf_init(&high, BOUND_SIZE_MAX);
    rocks_set_key(&low, family, from);
    rocks_set_key(&high, family, to);
    const char *starts[1] = {rocks_text(low.data)};
    const char *limits[1] = {rocks_text(high.data)};
    uint64_t size = 0;
    rocksdb_approximate_sizes(store->db, 1, starts, &low.len, limits, &high.len, &size, &error);
    buf_deinit(&low);
    buf_deinit(&high);
    return rocks_take_error("measure", error) == STATUS_OK ? size : 0;
}

uint64_t engine_generation(const struct store *store)
{
    return atomic_load_explicit(&store->generation, memory_order_acquire);
}

uint64_t engine_generation_advance(struct store *store)
{
    return atomic_fetch_add_explicit(&store->generation, 1, memory_order_acq_rel) + 1;
}

uint64_t engine_row_cache_size(const struct store *store)
{
    return store->row_cache_size;
}

void engine_drain(struct store *store)
{
    eraser_drain(store->eraser);
}

struct engine_reader *engine_reader_new(struct store *store, bool snapshot)
{
    struct engine_reader *reader = calloc(1, sizeof(*reader));
    assert(reader != NULL);
    reader->store = store;
    reader->options = rocksdb_readoptions_create();
    if (snapshot) {
        reader->snapshot = rocksdb_create_snapshot(store->db);
        rocksdb_readoptions_set_snapshot(reader->options, reader->snapshot);
    }
    buf_init(&reader->key, SIZE_MAX / 2);
    return reader;
}

/* Changes nothing about what may be read. */
static void give_back(struct engine_iter *iter)
{
    if (iter->engine != NULL) {
        rocksdb_iter_destroy(iter->engine);
        iter->engine = NULL;
    }
}

static void free_iter(struct engine_iter *iter)
{
    give_back(iter);
    rocksdb_readoptions_destroy(iter->options);
    buf_deinit(&iter->bounds);
    buf_deinit(&iter->key);
    free(iter);
}

void engine_reader_rest(struct engine_reader *reader)
{
    for (struct engine_iter *iter = reader->idle; iter != NULL; iter = iter->next) {
        give_back(iter);
    }
}

void engine_reader_free(struct engine_reader *reader)
{
    while (reader->idle != NULL) {
        struct engine_iter *next = reader->idle->next;
        free_iter(reader->idle);
        reader->idle = next;
    }
    rocksdb_readoptions_destroy(reader->options);
    if (reader->snapshot != NULL) {
        rocksdb_release_snapshot(reader->store->db, reader->snapshot);
    }
    buf_deinit(&reader->key);
    free(reader);
}

void engine_reader_set_cache_only(struct engine_reader *reader, bool cache_only)
{
    reader->cache_only = cache_only;
    rocksdb_readoptions_set_read_tier(reader->options,
                                      cache_only ? READ_TIER_CACHE : READ_TIER_ALL);
}

void engine_reader_set_bulk(struct engine_reader *reader, bool bulk)
{
    reader->bulk = bulk;
}

void engine_reader_set_patience(struct engine_reader *reader, uint64_t rows)
{
    reader->patience = rows;
}

enum status engine_get(struct engine_reader *reader,
                       enum store_family family,
                       struct slice key,
                       struct buf *value)
{
    char *error = NULL;
    rocks_set_key(&reader->key, family, key);
    rocksdb_pinnableslice_t *pinned = rocksdb_get_pinned(
        reader->store->db, reader->options, rocks_text(reader->key.data), reader->key.len, &error);
    if (error != NULL) {
        assert(pinned == NULL);
        if (reader->cache_only && is_incomplete(error)) {
            rocksdb_free(error);
            return STATUS_AGAIN;
        }
        return rocks_take_error("get", error);
    }
    if (pinned == NULL) {
        return STATUS_NOT_FOUND;
    }
    size_t len = 0;
    const char *data = rocksdb_pinnableslice_value(pinned, &len);
    buf_append(value, data, len);
    rocksdb_pinnableslice_destroy(pinned);
    return STATUS_OK;
}

struct engine_batch *engine_batch_new(struct store *store)
{
    struct engine_batch *batch = calloc(1, sizeof(*batch));
    assert(batch != NULL);
    batch->store = store;
    batch->batch = rocksdb_writebatch_create();
    buf_init(&batch->key, SIZE_MAX / 2);
    buf_init(&batch->key_to, SIZE_MAX / 2);
    buf_init(&batch->list_key, SIZE_MAX / 2);
    buf_init(&batch->list_value, SIZE_MAX / 2);
    return batch;
}

void engine_batch_free(struct engine_batch *batch)
{
    assert(batch->ranges == 0);
    rocksdb_writebatch_destroy(batch->batch);
    buf_deinit(&batch->key);
    buf_deinit(&batch->key_to);
    buf_deinit(&batch->list_key);
    buf_deinit(&batch->list_value);
    free(batch);
}

void engine_batch_put(struct engine_batch *batch,
                      enum store_family family,
                      struct slice key,
                      struct slice value)
{
    rocks_set_key(&batch->key, family, key);
    rocksdb_writebatch_put(batch->batch, rocks_text(batch->key.data), batch->key.len,
                           rocks_text(value.data), value.len);
}

void engine_batch_delete(struct engine_batch *batch, enum store_family family, struct slice key)
{
    rocks_set_key(&batch->key, family, key);
    rocksdb_writebatch_delete(batch->batch, rocks_text(batch->key.data), batch->key.len);
}

void engine_batch_delete_range(struct engine_batch *batch,
                               enum store_family family,
                               struct slice from,
                               struct slice to)
{
    rocks_set_key(&batch->key, family, from);
    rocks_set_key(&batch->key_to, family, to);
    buf_clear(&batch->list_key);
    buf_clear(&batch->list_value);
    eraser_begin(batch->store->eraser, buf_slice(&batch->key), buf_slice(&batch->key_to),
                 &batch->list_key, &batch->list_value);
    batch->ranges++;
    rocksdb_writebatch_put(batch->batch, rocks_text(batch->list_key.data), batch->list_key.len,
                           rocks_text(batch->list_value.data), batch->list_value.len);
    rocksdb_writebatch_delete_range(batch->batch, rocks_text(batch->key.data), batch->key.len,
                                    rocks_text(batch->key_to.data), batch->key_to.len);
}

/* A walk that comes upon rows which a deletion in a newer memtable or file hides goes on behind
 * them at once; those of its own memtable it passes one by one. So that all hidden rows are in
 * older ones, the deletion goes into a new memtable. Never waits: where the engine would, BUSY. */
static enum status part_memtables(struct store *store)
{
    if (property(store, "rocksdb.num-entries-active-mem-table") < PART_ROWS_MIN) {
        return STATUS_OK;
    }
    if (is_overloaded(store) || count_level0(store) >= LEVEL0_FILES_MAX) {
        return STATUS_BUSY;
    }
    char *error = NULL;
    rocksdb_flush(store->db, store->part_options, &error);
    if (error != NULL && strstr(error, "ry again") != NULL) {
        rocksdb_free(error);
        return STATUS_BUSY;
    }
    return rocks_take_error("part", error);
}

static enum status write_batch(struct engine_batch *batch)
{
    struct store *store = batch->store;
    enum status status = batch->ranges > 0 ? part_memtables(store) : STATUS_OK;
    if (status != STATUS_OK) {
        return status;
    }
    char *error = NULL;
    rocksdb_write(store->db, batch->ranges > 0 ? store->range_options : store->write_options,
                  batch->batch, &error);
    atomic_fetch_add_explicit(&store->changes, 1, memory_order_release);
    if (is_incomplete(error)) {
        rocksdb_free(error);
        return STATUS_BUSY;
    }
    return rocks_take_error("write", error);
}

enum status engine_batch_write(struct engine_batch *batch)
{
    enum status status = write_batch(batch);
    rocksdb_writebatch_clear(batch->batch);
    if (batch->ranges > 0) {
        eraser_end(batch->store->eraser, batch->ranges);
        batch->ranges = 0;
    }
    if (status == STATUS_BUSY) {
        atomic_store_explicit(&batch->store->overloaded, true, memory_order_relaxed);
    }
    return status;
}

static struct engine_iter *make_iter(struct engine_reader *reader)
{
    struct engine_iter *iter = calloc(1, sizeof(*iter));
    assert(iter != NULL);
    iter->reader = reader;
    buf_init(&iter->key, SIZE_MAX / 2);
    buf_init(&iter->bounds, SIZE_MAX / 2);
    iter->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_snapshot(iter->options, reader->snapshot);
    /* The last one to look at an old state would delete files and free memtables itself. */
    rocksdb_readoptions_set_background_purge_on_iterator_cleanup(iter->options, 1);
    return iter;
}

/* An idle one, best one that can be used as it is. */
static struct engine_iter *take_iter(struct engine_reader *reader)
{
    struct engine_iter **best = &reader->idle;
    for (struct engine_iter **at = best; *at != NULL; at = &(*at)->next) {
        if ((*at)->engine != NULL && (*at)->cache_only == reader->cache_only) {
            best = at;
            break;
        }
    }
    struct engine_iter *iter = *best;
    if (iter == NULL) {
        return make_iter(reader);
    }
    *best = iter->next;
    reader->idle_count--;
    return iter;
}

static void set_bounds(struct engine_iter *iter, struct slice lower, struct slice upper)
{
    buf_clear(&iter->bounds);
    buf_append_u8(&iter->bounds, family_bytes[iter->family]);
    buf_append_slice(&iter->bounds, lower);
    buf_append_u8(&iter->bounds, family_bytes[iter->family]);
    buf_append_slice(&iter->bounds, upper);
    const char *low = rocks_text(iter->bounds.data);
    const char *high = low + 1 + lower.len;
    rocksdb_readoptions_set_iterate_lower_bound(iter->options, low, 1 + lower.len);
    rocksdb_readoptions_set_iterate_upper_bound(iter->options, high, 1 + upper.len);
}

/* Whether what was made before sees and does what one that is made now would. */
static bool is_current(const struct engine_iter *iter, uint64_t changes, bool heeds)
{
    const struct engine_reader *reader = iter->reader;
    return iter->engine != NULL && iter->changes == changes && iter->heeds == heeds &&
           iter->cache_only == reader->cache_only && iter->bulk == reader->bulk &&
           iter->patience == reader->patience;
}

/* In memory only, where range deletions are to be heeded, a walk may leave out rows in silence: it
 * is not begun, and its status is AGAIN. See eraser.h. */
static bool is_refused(const struct engine_iter *iter)
{
    return iter->heeds && iter->cache_only;
}

struct engine_iter *engine_iter_new(struct engine_reader *reader,
                                    enum store_family family,
                                    struct slice lower,
                                    struct slice upper)
{
    struct store *store = reader->store;
    struct engine_iter *iter = take_iter(reader);
    iter->family = family;
    set_bounds(iter, lower, upper);
    /* Read before the iterator is made: it may see more than that, never less. */
    uint64_t changes =
        reader->snapshot != NULL ? 0 : atomic_load_explicit(&store->changes, memory_order_acquire);
    struct slice low = slice_of(iter->bounds.data, 1 + lower.len);
    struct slice high = slice_of(iter->bounds.data + low.len, 1 + upper.len);
    bool heeds = eraser_hides(store->eraser, low, high);
    if (is_current(iter, changes, heeds)) {
        return iter;
    }
    give_back(iter);
    iter->changes = changes;
    iter->heeds = heeds;
    iter->cache_only = reader->cache_only;
    iter->bulk = reader->bulk;
    iter->patience = reader->patience;
    rocksdb_readoptions_set_read_tier(iter->options,
                                      iter->cache_only ? READ_TIER_CACHE : READ_TIER_ALL);
    rocksdb_readoptions_set_ignore_range_deletions(iter->options, !heeds);
    rocksdb_readoptions_set_max_skippable_internal_keys(iter->options, iter->patience);
    rocksdb_readoptions_set_fill_cache(iter->options, !iter->bulk);
    rocksdb_readoptions_set_readahead_size(iter->options, iter->bulk ? BULK_READAHEAD : 0);
    iter->engine = is_refused(iter) ? NULL : rocksdb_create_iterator(store->db, iter->options);
    return iter;
}

void engine_iter_free(struct engine_iter *iter)
{
    struct engine_reader *reader = iter->reader;
    if (reader->idle_count == IDLE_MAX) {
        free_iter(iter);
        return;
    }
    iter->next = reader->idle;
    reader->idle = iter;
    reader->idle_count++;
}

void engine_iter_seek(struct engine_iter *iter, struct slice key)
{
    if (is_refused(iter)) {
        return;
    }
    rocks_set_key(&iter->key, iter->family, key);
    rocksdb_iter_seek(iter->engine, rocks_text(iter->key.data), iter->key.len);
}

void engine_iter_seek_for_prev(struct engine_iter *iter, struct slice key)
{
    if (is_refused(iter)) {
        return;
    }
    rocks_set_key(&iter->key, iter->family, key);
    rocksdb_iter_seek_for_prev(iter->engine, rocks_text(iter->key.data), iter->key.len);
}

void engine_iter_seek_last(struct engine_iter *iter)
{
    if (!is_refused(iter)) {
        rocksdb_iter_seek_to_last(iter->engine);
    }
}

void engine_iter_next(struct engine_iter *iter)
{
    rocksdb_iter_next(iter->engine);
}

void engine_iter_prev(struct engine_iter *iter)
{
    rocksdb_iter_prev(iter->engine);
}

bool engine_iter_valid(const struct engine_iter *iter)
{
    return !is_refused(iter) && rocksdb_iter_valid(iter->engine) != 0;
}

struct slice engine_iter_key(const struct engine_iter *iter)
{
    size_t len = 0;
    const char *key = rocksdb_iter_key(iter->engine, &len);
    assert(len > 0);
    return slice_of(key + 1, len - 1);
}

struct slice engine_iter_value(const struct engine_iter *iter)
{
    size_t len = 0;
    const char *value = rocksdb_iter_value(iter->engine, &len);
    return slice_of(value, len);
}

enum status engine_iter_status(const struct engine_iter *iter)
{
    if (is_refused(iter)) {
        return STATUS_AGAIN;
    }
    char *error = NULL;
    rocksdb_iter_get_error(iter->engine, &error);
    if ((iter->cache_only || iter->patience > 0) && is_incomplete(error)) {
        rocksdb_free(error);
        return STATUS_AGAIN;
    }
    return rocks_take_error("iterate", error);
}
