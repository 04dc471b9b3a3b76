#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/disk.h"
#include "server/store/eraser.h"
#include "server/store/rocks.h"

/* Whole ranges as files: out of the store and into it. */

enum {
    PATH_SIZE_MAX = 4096,
    SYNC_STEP = 1 << 20, /* So much is written before it is made to leave the page cache. */
};

struct store_export {
    rocksdb_envoptions_t *env;
    rocksdb_sstfilewriter_t *writer;
    struct store_iter *iter;
    enum store_family family;
    uint64_t file_size;
    struct buf key;
    struct disk_file *open; /* The file being written, to sync it; NULL: none. */
    uint64_t size;          /* Of the rows in the open file, */
    uint64_t synced;        /* and of those that were synced. */
};

struct store_export *store_export_begin(struct txn *view,
                                        const struct store_range *range,
                                        uint64_t file_size)
{
    assert(file_size > 0);
    struct store *store = engine_txn_store(view);
    struct store_export *export = calloc(1, sizeof(*export));
    assert(export != NULL);
    buf_init(&export->key, SIZE_MAX / 2);
    export->family = range->family;
    export->file_size = file_size;
    export->env = rocksdb_envoptions_create();
    export->writer = rocksdb_sstfilewriter_create(export->env, store->options);
    struct engine_reader *reader = engine_txn_reader(view);
    engine_reader_set_bulk(reader, true); /* It is not worth its place in the cache. */
    export->iter = iter_open(view, range->family, range->from, range->to);
    engine_reader_set_bulk(reader, false);
    return export;
}

void store_export_end(struct store_export *export)
{
    if (export->open != NULL) {
        disk_close(export->open);
    }
    iter_close(export->iter);
    rocksdb_sstfilewriter_destroy(export->writer);
    rocksdb_envoptions_destroy(export->env);
    buf_deinit(&export->key);
    free(export);
}

static enum status open_file(struct store_export *export, const char *path)
{
    char *error = NULL;
    rocksdb_sstfilewriter_open(export->writer, path, &error);
    enum status status = rocks_take_error("export", error);
    export->size = 0;
    export->synced = 0;
    return status == STATUS_OK ? disk_open(path, DISK_READ, &export->open) : status;
}

/* A sync of a large file at its end would hold up the log's, which share the disk: a megabyte does
 * so for a moment only. */
static enum status sync_some(struct store_export *export)
{
    if (export->size - export->synced < SYNC_STEP) {
        return STATUS_OK;
    }
    export->synced = export->size;
    return disk_sync(export->open);
}

static enum status put_rows(struct store_export *export, uint64_t size)
{
    uint64_t end = export->file_size;
    end = export->size + size < end ? export->size + size : end;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && export->size < end && iter_valid(export->iter)) {
        struct slice value = iter_value(export->iter);
        char *error = NULL;
        rocks_set_key(&export->key, export->family, iter_key(export->iter));
        rocksdb_sstfilewriter_put(export->writer, rocks_text(export->key.data), export->key.len,
                                  rocks_text(value.data), value.len, &error);
        status = rocks_take_error("export", error);
        export->size += export->key.len + value.len;
        status = status == STATUS_OK ? sync_some(export) : status;
        iter_next(export->iter);
    }
    return status == STATUS_OK ? iter_status(export->iter) : status;
}

static enum status finish_file(struct store_export *export)
{
    char *error = NULL;
    rocksdb_sstfilewriter_finish(export->writer, &error);
    disk_close(export->open);
    export->open = NULL;
    return rocks_take_error("export", error);
}

enum status store_export_step(struct store_export *export,
                              const char *path,
                              uint64_t size,
                              enum export_progress *progress)
{
    *progress = EXPORT_NOTHING;
    if (export->open == NULL && !iter_valid(export->iter)) {
        return iter_status(export->iter);
    }
    enum status status = export->open == NULL ? open_file(export, path) : STATUS_OK;
    status = status == STATUS_OK ? put_rows(export, size) : status;
    *progress = EXPORT_GOES_ON;
    if (status != STATUS_OK || (iter_valid(export->iter) && export->size < export->file_size)) {
        return status;
    }
    *progress = iter_valid(export->iter) ? EXPORT_FILE_ENDED : EXPORT_ENDED;
    return finish_file(export);
}

/* Copies it a megabyte at a time, for the reason of sync_some(). */
static enum status copy_bytes(struct disk_file *from, struct disk_file *to)
{
    uint64_t size = 0;
    uint8_t *bytes = malloc(SYNC_STEP);
    assert(bytes != NULL);
    enum status status = disk_size(from, &size);
    for (uint64_t at = 0; status == STATUS_OK && at < size; at += SYNC_STEP) {
        size_t len = size - at < SYNC_STEP ? (size_t)(size - at) : SYNC_STEP;
        status = disk_read(from, at, bytes, len);
        status = status == STATUS_OK ? disk_write(to, at, bytes, len) : status;
        status = status == STATUS_OK ? disk_sync(to) : status;
    }
    free(bytes);
    return status;
}

static enum status copy_file(const char *path, const char *name)
{
    struct disk_file *from = NULL;
    struct disk_file *to = NULL;
    enum status status = disk_open(path, DISK_READ, &from);
    if (status != STATUS_OK) {
        return status;
    }
    status = disk_open(name, DISK_CREATE, &to);
    if (status == STATUS_OK) {
        status = copy_bytes(from, to);
        disk_close(to);
    }
    disk_close(from);
    return status;
}

/* Another name for every file, which the engine may take for its own: nothing is copied. False: the
 * file system cannot. */
static bool link_files(const char *const *paths, char **names, size_t count)
{
    bool linked = true;
    for (size_t i = 0; i < count && linked; i++) {
        linked = link(paths[i], names[i]) == 0;
    }
    return linked;
}

static void unlink_files(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)unlink(names[i]); /* Most are the engine's by now, under other names. */
    }
}

/* Takes the files at these names away. may_number: the engine may write a sequence number into
 * them, which it needs if it has anything in their range. */
static char *take_files(struct store *store, char **names, size_t count, bool may_number)
{
    char *error = NULL;
    rocksdb_ingestexternalfileoptions_t *options = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(options, 1);
    rocksdb_ingestexternalfileoptions_set_allow_global_seqno(options, may_number);
    rocksdb_ingestexternalfileoptions_set_snapshot_consistency(options, may_number);
    rocksdb_ingest_external_file(store->db, (const char *const *)names, count, options, &error);
    rocksdb_ingestexternalfileoptions_destroy(options);
    return error;
}

/* Into a range in which the engine has nothing, as on a node that is new to a shard: costs nothing.
 * Views of before may see some of it: nobody reads there. */
static bool ingest_links(struct store *store, const char *const *paths, char **names, size_t count)
{
    char *error = NULL;
    bool linked = link_files(paths, names, count);
    if (linked) {
        error = take_files(store, names, count, false);
    }
    bool done = linked && error == NULL;
    if (error != NULL) {
        rocksdb_free(error);
    }
    unlink_files(names, count);
    return done;
}

/* A file that has got a number could not be ingested again after a crash: so it is a copy that
 * does. */
static enum status ingest_copies(struct store *store,
                                 const char *const *paths,
                                 char **names,
                                 size_t count)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        status = copy_file(paths[i], names[i]);
    }
    if (status == STATUS_OK && count > 0) {
        status = rocks_take_error("ingest", take_files(store, names, count, true));
    }
    unlink_files(names, count);
    return status;
}

/* Deletes what is there; the eraser's row has to be durable before the deletion is. */
static enum status erase(struct store *store, const struct store_range *range)
{
    char *error = NULL;
    struct buf from;
    struct buf to;
    struct buf key;
    struct buf value;
    struct buf *bufs[] = {&from, &to, &key, &value};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++) {
        buf_init(bufs[i], SIZE_MAX / 2);
    }
    rocks_set_key(&from, range->family, range->from);
    rocks_set_key(&to, range->family, range->to);
    eraser_begin(store->eraser, buf_slice(&from), buf_slice(&to), &key, &value);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_writebatch_put(batch, rocks_text(key.data), key.len, rocks_text(value.data), value.len);
    rocksdb_writebatch_delete_range(batch, rocks_text(from.data), from.len, rocks_text(to.data),
                                    to.len);
    rocksdb_write(store->db, store->list_options, batch, &error);
    rocksdb_writebatch_destroy(batch);
    enum status status = rocks_take_error("erase", error);
    status = status == STATUS_OK ? store_flush(store) : status;
    eraser_end(store->eraser, 1);
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++) {
        buf_deinit(bufs[i]);
    }
    return status;
}

static char **make_names(const char *const *paths, size_t count)
{
    char **names = calloc(count + 1, sizeof(*names));
    assert(names != NULL);
    for (size_t i = 0; i < count; i++) {
        names[i] = malloc(PATH_SIZE_MAX);
        assert(names[i] != NULL);
        int len = snprintf(names[i], PATH_SIZE_MAX, "%s.taken", paths[i]);
        assert(len > 0 && len < PATH_SIZE_MAX);
    }
    unlink_files(names, count);
    return names;
}

enum status store_ingest(struct store *store,
                         const struct store_range *range,
                         const char *const *paths,
                         size_t count)
{
    assert(range->family < STORE_FAMILY_COUNT);
    /* Ingestion holds up all writers while it flushes a memtable that overlaps: leave it little. */
    enum status status = store_flush(store);
    if (status != STATUS_OK) {
        return status;
    }
    char **names = make_names(paths, count);
    if (count == 0 || !ingest_links(store, paths, names, count)) {
        status = erase(store, range);
        status = status == STATUS_OK ? ingest_copies(store, paths, names, count) : status;
    }
    for (size_t i = 0; i < count; i++) {
        free(names[i]);
    }
    free(names);
    atomic_fetch_add_explicit(&store->changes, 1, memory_order_release);
    (void)engine_generation_advance(store);
    return status;
}
