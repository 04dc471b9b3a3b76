#include <stdio.h>

#include "common/base/assert.h"
#include "common/base/disk.h"
#include "server/store/eraser.h"
#include "server/store/rocks.h"

enum { PATH_SIZE_MAX = 4096 };

/* A store_export() that is under way. */
struct export
{
    rocksdb_sstfilewriter_t *writer;
    struct store_iter *iter;
    enum store_family family;
    struct buf start; /* Engine's key where the open file begins. */
    struct buf key;
    uint64_t file_size;
};

/* Fills the open file up to about file_size. Its range ends where the next row begins, or at to. */
static enum status export_rows(struct export *export, struct slice to)
{
    char *error = NULL;
    uint64_t size = 0;
    while (iter_valid(export->iter) && error == NULL && size < export->file_size) {
        struct slice value = iter_value(export->iter);
        rocks_set_key(&export->key, export->family, iter_key(export->iter));
        rocksdb_sstfilewriter_put(export->writer, rocks_text(export->key.data), export->key.len,
                                  rocks_text(value.data), value.len, &error);
        size += export->key.len + value.len;
        iter_next(export->iter);
    }
    if (error != NULL) {
        return rocks_take_error("export", error);
    }
    enum status status = iter_status(export->iter);
    if (status != STATUS_OK) {
        return status;
    }
    struct slice end = iter_valid(export->iter) ? iter_key(export->iter) : to;
    rocks_set_key(&export->key, export->family, end);
    /* A put is newer than a range delete of the same file, whatever their order in it. */
    rocksdb_sstfilewriter_delete_range(export->writer, rocks_text(export->start.data),
                                       export->start.len, rocks_text(export->key.data),
                                       export->key.len, &error);
    buf_clear(&export->start);
    buf_append_slice(&export->start, buf_slice(&export->key));
    return rocks_take_error("export", error);
}

static enum status export_file(struct export *export, const char *path, struct slice to)
{
    char *error = NULL;
    rocksdb_sstfilewriter_open(export->writer, path, &error);
    enum status status = rocks_take_error("export", error);
    if (status != STATUS_OK) {
        return status;
    }
    status = export_rows(export, to);
    if (status == STATUS_OK) {
        rocksdb_sstfilewriter_finish(export->writer, &error);
        status = rocks_take_error("export", error);
    }
    return status;
}

enum status store_export(struct txn *view, const struct store_range_files *range, size_t *count)
{
    assert(range->file_size > 0);
    struct store *store = engine_txn_store(view);
    rocksdb_envoptions_t *env = rocksdb_envoptions_create();
    struct export export = {.family = range->family, .file_size = range->file_size};
    buf_init(&export.start, SIZE_MAX / 2);
    buf_init(&export.key, SIZE_MAX / 2);
    rocks_set_key(&export.start, range->family, range->from);
    export.writer = rocksdb_sstfilewriter_create(env, store->options);
    struct engine_reader *reader = engine_txn_reader(view);
    engine_reader_set_bulk(reader, true);
    export.iter = iter_open(view, range->family, range->from, range->to);
    engine_reader_set_bulk(reader, false);
    size_t files = 0;
    enum status status = STATUS_OK;
    do {
        char path[PATH_SIZE_MAX];
        int len = snprintf(path, sizeof(path), "%s/%s-%zu.sst", range->dir, range->name, files);
        assert(len > 0 && (size_t)len < sizeof(path));
        status = export_file(&export, path, range->to);
        files++;
    } while (status == STATUS_OK && iter_valid(export.iter));
    iter_close(export.iter);
    rocksdb_sstfilewriter_destroy(export.writer);
    rocksdb_envoptions_destroy(env);
    buf_deinit(&export.start);
    buf_deinit(&export.key);
    if (status == STATUS_OK) {
        status = disk_sync_folder(range->dir);
    }
    *count = files;
    return status;
}

/* The range deletions of the files go on the eraser's list. Its row has to be durable before they
 * are. */
static enum status list_range(struct store *store, const struct store_range *range)
{
    char *error = NULL;
    struct buf from;
    struct buf to;
    struct buf key;
    struct buf value;
    buf_init(&from, SIZE_MAX / 2);
    buf_init(&to, SIZE_MAX / 2);
    buf_init(&key, SIZE_MAX / 2);
    buf_init(&value, SIZE_MAX / 2);
    rocks_set_key(&from, range->family, range->from);
    rocks_set_key(&to, range->family, range->to);
    eraser_begin(store->eraser, buf_slice(&from), buf_slice(&to), &key, &value);
    rocksdb_put(store->db, store->list_options, rocks_text(key.data), key.len,
                rocks_text(value.data), value.len, &error);
    buf_deinit(&from);
    buf_deinit(&to);
    buf_deinit(&key);
    buf_deinit(&value);
    enum status status = rocks_take_error("list", error);
    /* Ingestion holds up all writers while it flushes a memtable that overlaps: leave it little. */
    return status == STATUS_OK ? store_flush(store) : status;
}

enum status store_ingest(struct store *store,
                         const struct store_range *range,
                         const char *const *paths,
                         size_t count)
{
    assert(range->family < STORE_FAMILY_COUNT);
    assert(count > 0);
    enum status status = list_range(store, range);
    if (status == STATUS_OK) {
        char *error = NULL;
        rocksdb_ingestexternalfileoptions_t *options = rocksdb_ingestexternalfileoptions_create();
        rocksdb_ingest_external_file(store->db, paths, count, options, &error);
        rocksdb_ingestexternalfileoptions_destroy(options);
        status = rocks_take_error("ingest", error);
        atomic_fetch_add_explicit(&store->changes, 1, memory_order_release);
    }
    eraser_end(store->eraser, 1);
    (void)engine_generation_advance(store);
    return status;
}
