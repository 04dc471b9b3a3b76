#include "server/store/eraser.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/base/reader.h"
#include "common/base/thread.h"
#include "server/store/overlay.h"
#include "server/store/range_set.h"
#include "server/store/rocks.h"

enum {
    PACE_MS = 200,         /* Between two rounds. */
    SNAPSHOT_WAIT_MS = 50, /* Until an old view may be gone. */
    RETRY_MS = 5000,
    READAHEAD = 1 << 20,
    KEY_SIZE = 1 + 8,
    RANGE_SIZE = 16,     /* Of the row of everything. */
    FORCE_OPTIMIZED = 3, /* BottommostLevelCompaction of the engine: kForceOptimized. */
};

struct eraser {
    rocksdb_t *db;
    rocksdb_writeoptions_t *write_options;
    rocksdb_flushoptions_t *flush_options;
    rocksdb_compactoptions_t *compact_options;
    struct thread thread;
    struct mutex mutex;
    struct cond wake;    /* The thread: there is work, or it stops. */
    struct cond drained; /* Nothing is listed. */
    struct range_set ranges;
    uint64_t stamp;   /* Of the last one that began. */
    size_t unwritten; /* Began and did not end. */
    bool stopping;
    atomic_size_t count; /* Of ranges. */
};

static const char *text(struct slice bytes)
{
    return (const char *)bytes.data;
}

static void set_key(uint64_t stamp, struct buf *key)
{
    buf_append_u8(key, 'E');
    buf_append_u64_be(key, stamp);
}

/* With the lock. */
static void note_count(struct eraser *eraser)
{
    atomic_store_explicit(&eraser->count, eraser->ranges.count, memory_order_release);
    if (eraser->ranges.count == 0) {
        cond_broadcast(&eraser->drained);
    }
}

void eraser_begin(
    struct eraser *eraser, struct slice from, struct slice to, struct buf *key, struct buf *value)
{
    mutex_lock(&eraser->mutex);
    uint64_t stamp = ++eraser->stamp;
    (void)range_set_add(&eraser->ranges, from, to, stamp, NULL);
    eraser->unwritten++;
    note_count(eraser);
    mutex_unlock(&eraser->mutex);
    set_key(stamp, key);
    buf_append_bytes(value, from);
    buf_append_bytes(value, to);
}

void eraser_end(struct eraser *eraser, size_t count)
{
    mutex_lock(&eraser->mutex);
    assert(eraser->unwritten >= count);
    eraser->unwritten -= count;
    cond_signal(&eraser->wake);
    mutex_unlock(&eraser->mutex);
}

bool eraser_hides(struct eraser *eraser, struct slice from, struct slice to)
{
    if (atomic_load_explicit(&eraser->count, memory_order_acquire) == 0) {
        return false;
    }
    mutex_lock(&eraser->mutex);
    bool hides = range_set_overlaps(&eraser->ranges, from, to);
    mutex_unlock(&eraser->mutex);
    return hides;
}

void eraser_drain(struct eraser *eraser)
{
    mutex_lock(&eraser->mutex);
    while (eraser->ranges.count > 0) {
        cond_wait(&eraser->drained, &eraser->mutex);
    }
    mutex_unlock(&eraser->mutex);
}

/* Range deletions in files; UINT64_MAX: not known. */
static uint64_t count_deletions(rocksdb_t *db)
{
    static const char name[] = "# range deletions=";
    char *properties = rocksdb_property_value(db, "rocksdb.aggregated-table-properties");
    if (properties == NULL) {
        return UINT64_MAX;
    }
    const char *at = strstr(properties, name);
    uint64_t count = at == NULL ? UINT64_MAX : strtoull(at + sizeof(name) - 1, NULL, 10);
    rocksdb_free(properties);
    return count;
}

/* What the thread works on: a copy of the list. */
struct round {
    struct range *ranges;
    size_t count;
    uint64_t stamp; /* All that were listed up to this one. */
};

static void free_round(struct round *round)
{
    for (size_t i = 0; i < round->count; i++) {
        free(round->ranges[i].bytes);
    }
    free(round->ranges);
    *round = (struct round){0};
}

/* With the lock. */
static void begin_round(const struct eraser *eraser, struct round *round)
{
    const struct range_set *set = &eraser->ranges;
    *round = (struct round){.count = set->count, .stamp = eraser->stamp};
    round->ranges = calloc(set->count, sizeof(*round->ranges));
    assert(round->ranges != NULL);
    for (size_t i = 0; i < set->count; i++) {
        size_t len = set->ranges[i].from_len + set->ranges[i].to_len;
        round->ranges[i] = set->ranges[i];
        round->ranges[i].bytes = malloc(len);
        assert(round->ranges[i].bytes != NULL);
        memcpy(round->ranges[i].bytes, set->ranges[i].bytes, len);
    }
}

/* Returns whether the thread stops. */
static bool rest(struct eraser *eraser, uint64_t ms)
{
    mutex_lock(&eraser->mutex);
    if (!eraser->stopping) {
        cond_wait_for(&eraser->wake, &eraser->mutex, ms);
    }
    bool stopping = eraser->stopping;
    mutex_unlock(&eraser->mutex);
    return stopping;
}

/* A compaction keeps what a snapshot sees: those that are older than the deletions have to go. */
static bool wait_for_snapshots(struct eraser *eraser)
{
    uint64_t now = rocksdb_get_latest_sequence_number(eraser->db);
    while (true) {
        uint64_t oldest = 0; /* There is none. */
        int rv = rocksdb_property_int(eraser->db, "rocksdb.oldest-snapshot-sequence", &oldest);
        assert(rv == 0);
        if (oldest == 0 || oldest >= now) {
            return true;
        }
        if (rest(eraser, SNAPSHOT_WAIT_MS)) {
            return false;
        }
    }
}

static rocksdb_iterator_t *walk(rocksdb_t *db,
                                const struct range *range,
                                const rocksdb_snapshot_t *snapshot,
                                bool ignore,
                                rocksdb_readoptions_t *options)
{
    struct slice from = range_from(range);
    struct slice to = range_to(range);
    rocksdb_readoptions_set_snapshot(options, snapshot);
    rocksdb_readoptions_set_ignore_range_deletions(options, ignore);
    rocksdb_readoptions_set_fill_cache(options, 0);
    rocksdb_readoptions_set_readahead_size(options, READAHEAD);
    rocksdb_readoptions_set_iterate_upper_bound(options, text(to), to.len);
    rocksdb_iterator_t *iter = rocksdb_create_iterator(db, options);
    rocksdb_iter_seek(iter, text(from), from.len);
    return iter;
}

static struct slice key_of(const rocksdb_iterator_t *iter)
{
    size_t len = 0;
    const char *key = rocksdb_iter_key(iter, &len);
    return slice_of(key, len);
}

static bool ended_well(rocksdb_iterator_t *iter)
{
    char *error = NULL;
    rocksdb_iter_get_error(iter, &error);
    return rocks_take_error("compare", error) == STATUS_OK;
}

/* Whether a walk that heeds range deletions and one that does not see the same. */
static bool is_erased(struct eraser *eraser, const struct range *range)
{
    const rocksdb_snapshot_t *snapshot = rocksdb_create_snapshot(eraser->db);
    rocksdb_readoptions_t *options[2] = {rocksdb_readoptions_create(),
                                         rocksdb_readoptions_create()};
    rocksdb_iterator_t *all = walk(eraser->db, range, snapshot, true, options[0]);
    rocksdb_iterator_t *shown = walk(eraser->db, range, snapshot, false, options[1]);
    while (rocksdb_iter_valid(all) && rocksdb_iter_valid(shown) &&
           slice_equal(key_of(all), key_of(shown))) {
        rocksdb_iter_next(all);
        rocksdb_iter_next(shown);
    }
    bool same = !rocksdb_iter_valid(all) && !rocksdb_iter_valid(shown) && ended_well(all) &&
                ended_well(shown);
    rocksdb_iter_destroy(all);
    rocksdb_iter_destroy(shown);
    rocksdb_readoptions_destroy(options[0]);
    rocksdb_readoptions_destroy(options[1]);
    rocksdb_release_snapshot(eraser->db, snapshot);
    return same;
}

/* False: not yet. */
static bool erase(struct eraser *eraser, const struct round *round)
{
    if (!wait_for_snapshots(eraser)) {
        return false;
    }
    char *error = NULL;
    rocksdb_flush(eraser->db, eraser->flush_options, &error);
    if (rocks_take_error("flush", error) != STATUS_OK) {
        return false;
    }
    for (size_t i = 0; i < round->count; i++) {
        struct slice from = range_from(&round->ranges[i]);
        struct slice to = range_to(&round->ranges[i]);
        /* It does not say whether it succeeded. */
        rocksdb_compact_range_opt(eraser->db, eraser->compact_options, text(from), from.len,
                                  text(to), to.len);
    }
    if (count_deletions(eraser->db) == 0) {
        return true;
    }
    for (size_t i = 0; i < round->count; i++) {
        if (!is_erased(eraser, &round->ranges[i])) {
            return false;
        }
    }
    return true;
}

/* Whoever opens the store next need not care for the ranges up to the stamp. Nothing is lost if
 * that fails. */
static void forget_rows(struct eraser *eraser, uint64_t stamp)
{
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    struct buf end;
    buf_init(&end, KEY_SIZE);
    set_key(stamp + 1, &end);
    struct buf from;
    buf_init(&from, KEY_SIZE);
    set_key(1, &from);
    rocksdb_readoptions_set_iterate_upper_bound(options, text(buf_slice(&end)), end.len);
    rocksdb_iterator_t *iter = rocksdb_create_iterator(eraser->db, options);
    enum status status = STATUS_OK;
    rocksdb_iter_seek(iter, text(buf_slice(&from)), from.len);
    for (; rocksdb_iter_valid(iter) && status == STATUS_OK; rocksdb_iter_next(iter)) {
        char *error = NULL;
        struct slice key = key_of(iter);
        rocksdb_delete(eraser->db, eraser->write_options, text(key), key.len, &error);
        status = rocks_take_error("forget", error);
    }
    rocksdb_iter_destroy(iter);
    rocksdb_readoptions_destroy(options);
    buf_deinit(&from);
    buf_deinit(&end);
}

static bool next_round(struct eraser *eraser, struct round *round)
{
    mutex_lock(&eraser->mutex);
    while (!eraser->stopping && (eraser->ranges.count == 0 || eraser->unwritten > 0)) {
        cond_wait(&eraser->wake, &eraser->mutex);
    }
    bool stopping = eraser->stopping;
    if (!stopping) {
        begin_round(eraser, round);
    }
    mutex_unlock(&eraser->mutex);
    return !stopping;
}

static void run(void *arg)
{
    struct eraser *eraser = arg;
    struct round round;
    while (next_round(eraser, &round)) {
        bool erased = erase(eraser, &round);
        if (erased) {
            forget_rows(eraser, round.stamp);
            mutex_lock(&eraser->mutex);
            range_set_prune(&eraser->ranges, round.stamp);
            note_count(eraser);
            mutex_unlock(&eraser->mutex);
        }
        free_round(&round);
        if (rest(eraser, erased ? PACE_MS : RETRY_MS)) {
            return;
        }
    }
}

static enum status load_row(struct eraser *eraser,
                            struct slice key,
                            struct slice value,
                            bool *listed)
{
    struct reader in = reader_of(key);
    (void)reader_u8(&in);
    uint64_t stamp = reader_u64_be(&in);
    if (!in.failed && stamp == 0) {
        *listed = true;
        return STATUS_OK;
    }
    struct reader range = reader_of(value);
    struct slice from = reader_bytes(&range, UINT32_MAX);
    struct slice to = reader_bytes(&range, UINT32_MAX);
    if (in.failed || in.rest.len > 0 || range.failed || range.rest.len > 0 ||
        overlay_compare(from, to) >= 0) {
        log_error("store.eraser", "doing=open error=\"malformed row\"");
        return STATUS_CORRUPT;
    }
    (void)range_set_add(&eraser->ranges, from, to, stamp, NULL);
    eraser->stamp = stamp > eraser->stamp ? stamp : eraser->stamp;
    return STATUS_OK;
}

/* *listed: there is a list. */
static enum status load(struct eraser *eraser, bool *listed)
{
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_iterate_upper_bound(options, "F", 1);
    rocksdb_readoptions_set_fill_cache(options, 0); /* Its neighbours stay as cold as they are. */
    rocksdb_iterator_t *iter = rocksdb_create_iterator(eraser->db, options);
    enum status status = STATUS_OK;
    for (rocksdb_iter_seek(iter, "E", 1); rocksdb_iter_valid(iter) && status == STATUS_OK;
         rocksdb_iter_next(iter)) {
        size_t len = 0;
        const char *value = rocksdb_iter_value(iter, &len);
        status = load_row(eraser, key_of(iter), slice_of(value, len), listed);
    }
    char *error = NULL;
    rocksdb_iter_get_error(iter, &error);
    enum status walked = rocks_take_error("open", error);
    rocksdb_iter_destroy(iter);
    rocksdb_readoptions_destroy(options);
    return status != STATUS_OK ? status : walked;
}

static enum status put_row(struct eraser *eraser, struct slice key, struct slice value)
{
    char *error = NULL;
    rocksdb_put(eraser->db, eraser->write_options, text(key), key.len, text(value), value.len,
                &error);
    return rocks_take_error("open", error);
}

/* A store of a time before there was a list: anything may be hidden anywhere. The first row says
 * that there is a list, and is older than all deletions that are on it. */
static enum status begin_list(struct eraser *eraser)
{
    struct buf key;
    struct buf value;
    buf_init(&key, KEY_SIZE);
    buf_init(&value, RANGE_SIZE);
    enum status status = STATUS_OK;
    if (count_deletions(eraser->db) > 0) {
        eraser_begin(eraser, slice_str("D"), slice_str("M"), &key, &value);
        status = put_row(eraser, buf_slice(&key), buf_slice(&value));
        eraser_end(eraser, 1);
    }
    if (status == STATUS_OK) {
        buf_clear(&key);
        set_key(0, &key);
        status = put_row(eraser, buf_slice(&key), slice_of(NULL, 0));
    }
    buf_deinit(&key);
    buf_deinit(&value);
    return status;
}

static struct eraser *new_eraser(rocksdb_t *db)
{
    struct eraser *eraser = calloc(1, sizeof(*eraser));
    assert(eraser != NULL);
    eraser->db = db;
    mutex_init(&eraser->mutex);
    cond_init(&eraser->wake);
    cond_init(&eraser->drained);
    eraser->write_options = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(eraser->write_options, 1);
    eraser->flush_options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(eraser->flush_options, 1);
    eraser->compact_options = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_exclusive_manual_compaction(eraser->compact_options, 0);
    rocksdb_compactoptions_set_bottommost_level_compaction(eraser->compact_options,
                                                           FORCE_OPTIMIZED);
    return eraser;
}

static void free_eraser(struct eraser *eraser)
{
    range_set_deinit(&eraser->ranges);
    rocksdb_writeoptions_destroy(eraser->write_options);
    rocksdb_flushoptions_destroy(eraser->flush_options);
    rocksdb_compactoptions_destroy(eraser->compact_options);
    cond_deinit(&eraser->wake);
    cond_deinit(&eraser->drained);
    mutex_deinit(&eraser->mutex);
    free(eraser);
}

enum status eraser_open(struct rocksdb_t *db, struct eraser **eraser)
{
    struct eraser *self = new_eraser(db);
    bool listed = false;
    enum status status = load(self, &listed);
    if (status == STATUS_OK && !listed) {
        status = begin_list(self);
    }
    if (status != STATUS_OK) {
        free_eraser(self);
        return status;
    }
    mutex_lock(&self->mutex);
    note_count(self);
    mutex_unlock(&self->mutex);
    thread_start(&self->thread, "eraser", run, self);
    *eraser = self;
    return STATUS_OK;
}

void eraser_close(struct eraser *eraser)
{
    mutex_lock(&eraser->mutex);
    eraser->stopping = true;
    cond_broadcast(&eraser->wake);
    mutex_unlock(&eraser->mutex);
    rocksdb_disable_manual_compaction(eraser->db);
    thread_join(&eraser->thread);
    free_eraser(eraser);
}
