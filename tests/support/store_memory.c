#include "tests/support/store_memory.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/disk.h"
#include "common/base/hash.h"
#include "common/base/reader.h"
#include "server/store/engine.h"
#include "server/store/overlay.h"
#include "tests/support/store_pages.h"

enum {
    PENDING_MAX = 128, /* Commits that a crash can choose from; the older ones are thinned out. */
    PATH_SIZE_MAX = 4096,
    FILE_SIZE_MAX = 1 << 30,
};

static const uint64_t file_magic = UINT64_C(0x73746f72656d656d);

/* What is on the disk and in the memory of one path. */
struct image {
    struct image *next;
    char *path;
    struct pages *live;
    struct pages *flushed;
    struct pages *pending[PENDING_MAX]; /* After each commit since the flush; the last is live. */
    size_t pending_count;
    uint64_t epoch; /* Grows by a crash. */
    uint64_t unflushed;
};

static struct image *images;

struct store {
    struct image *image; /* NULL: it was wiped. */
    struct store *next;
    uint64_t epoch;
    uint64_t generation;
    uint64_t row_cache_size;
};

static struct store *stores;

struct engine_reader {
    struct store *store;
    struct pages *snapshot; /* NULL: the newest. */
    struct buf key;
};

/* One change of a batch: kind byte, then byte strings. */
enum { CHANGE_PUT, CHANGE_DELETE, CHANGE_DELETE_RANGE };

struct engine_batch {
    struct store *store;
    struct buf changes;
};

struct engine_iter {
    enum store_family family;
    struct pages *pages; /* NULL: the store is dead. */
    struct pages_at at;
    bool valid; /* at is a row within the bounds. */
    struct buf lower;
    struct buf upper;
    struct buf key;
};

static void set_key(struct buf *key, enum store_family family, struct slice bytes)
{
    buf_clear(key);
    buf_append_u8(key, (uint8_t)family);
    buf_append_slice(key, bytes);
}

static bool alive(const struct store *store)
{
    return store->image != NULL && store->epoch == store->image->epoch;
}

static bool has_prefix(const char *path, const char *prefix)
{
    return strncmp(path, prefix, strlen(prefix)) == 0;
}

static void clear_pending(struct image *image)
{
    for (size_t i = 0; i < image->pending_count; i++) {
        pages_unref(image->pending[i]);
    }
    image->pending_count = 0;
    image->unflushed = 0;
}

static void set_pages(struct pages **to, struct pages *pages)
{
    struct pages *old = *to;
    *to = pages_ref(pages);
    pages_unref(old);
}

enum status store_open(const char *path, const struct store_options *options, struct store **store)
{
    struct image *image = images;
    while (image != NULL && strcmp(image->path, path) != 0) {
        image = image->next;
    }
    if (image == NULL) {
        image = calloc(1, sizeof(*image));
        assert(image != NULL);
        image->path = strdup(path);
        image->live = pages_new();
        image->flushed = pages_new();
        image->next = images;
        images = image;
    }
    struct store *self = calloc(1, sizeof(*self));
    assert(self != NULL);
    self->image = image;
    self->epoch = image->epoch;
    self->row_cache_size = options->row_cache_size;
    self->next = stores;
    stores = self;
    *store = self;
    return STATUS_OK;
}

/* What was not flushed is gone, as after the process' end. */
void store_close(struct store *store)
{
    if (alive(store)) {
        set_pages(&store->image->live, store->image->flushed);
        clear_pending(store->image);
    }
    struct store **at = &stores;
    while (*at != store) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = store->next;
    free(store);
}

void store_memory_crash(const char *prefix, struct rand *rand)
{
    for (struct image *image = images; image != NULL; image = image->next) {
        if (!has_prefix(image->path, prefix)) {
            continue;
        }
        size_t kept = rand == NULL ? 0 : rand_below(rand, image->pending_count + 1);
        if (kept > 0) {
            set_pages(&image->flushed, image->pending[kept - 1]);
        }
        set_pages(&image->live, image->flushed);
        clear_pending(image);
        image->epoch++;
    }
}

void store_memory_wipe(const char *prefix)
{
    struct image **at = &images;
    while (*at != NULL) {
        struct image *image = *at;
        if (!has_prefix(image->path, prefix)) {
            at = &image->next;
            continue;
        }
        for (struct store *store = stores; store != NULL; store = store->next) {
            if (store->image == image) {
                store->image = NULL;
            }
        }
        *at = image->next;
        clear_pending(image);
        pages_unref(image->live);
        pages_unref(image->flushed);
        free(image->path);
        free(image);
    }
}

uint64_t store_memory_hash(struct store *store, enum store_family family)
{
    assert(alive(store));
    uint64_t hash = 0;
    uint8_t prefix = (uint8_t)family;
    struct pages *pages = store->image->live;
    struct pages_at at = pages_seek(pages, slice_of(&prefix, 1));
    const struct pages_row *row = pages_row_at(pages, at);
    while (row != NULL && row->bytes[0] == prefix) {
        hash = hash_bytes_seeded(pages_key(row), hash);
        hash = hash_bytes_seeded(pages_value(row), hash);
        at = pages_after(pages, at);
        row = pages_row_at(pages, at);
    }
    return hash;
}

enum status store_flush(struct store *store)
{
    if (!alive(store)) {
        return STATUS_IO;
    }
    set_pages(&store->image->flushed, store->image->live);
    clear_pending(store->image);
    return STATUS_OK;
}

uint64_t store_unflushed(struct store *store)
{
    return alive(store) ? store->image->unflushed : 0;
}

bool store_overloaded(struct store *store)
{
    (void)store;
    return false;
}

uint64_t store_size(struct store *store,
                    enum store_family family,
                    struct slice from,
                    struct slice to)
{
    if (!alive(store)) {
        return 0;
    }
    struct buf low;
    struct buf high;
    buf_init(&low, SIZE_MAX / 2);
    buf_init(&high, SIZE_MAX / 2);
    set_key(&low, family, from);
    set_key(&high, family, to);
    uint64_t size = 0;
    struct pages *pages = store->image->live;
    struct pages_at at = pages_seek(pages, buf_slice(&low));
    const struct pages_row *row = pages_row_at(pages, at);
    while (row != NULL && overlay_compare(pages_key(row), buf_slice(&high)) < 0) {
        size += row->key_len + row->value_len;
        at = pages_after(pages, at);
        row = pages_row_at(pages, at);
    }
    buf_deinit(&low);
    buf_deinit(&high);
    return size;
}

uint64_t engine_generation(const struct store *store)
{
    return store->generation;
}

uint64_t engine_generation_advance(struct store *store)
{
    return ++store->generation;
}

uint64_t engine_row_cache_size(const struct store *store)
{
    return store->row_cache_size;
}

struct engine_reader *engine_reader_new(struct store *store, bool snapshot)
{
    struct engine_reader *reader = calloc(1, sizeof(*reader));
    assert(reader != NULL);
    reader->store = store;
    if (snapshot) {
        assert(alive(store));
        reader->snapshot = pages_ref(store->image->live);
    }
    buf_init(&reader->key, SIZE_MAX / 2);
    return reader;
}

void engine_reader_free(struct engine_reader *reader)
{
    if (reader->snapshot != NULL) {
        pages_unref(reader->snapshot);
    }
    buf_deinit(&reader->key);
    free(reader);
}

void engine_reader_set_cache_only(struct engine_reader *reader, bool cache_only)
{
    (void)reader;
    (void)cache_only;
}

void engine_reader_set_bulk(struct engine_reader *reader, bool bulk)
{
    (void)reader;
    (void)bulk;
}

void engine_reader_set_patience(struct engine_reader *reader, uint64_t rows)
{
    (void)reader;
    (void)rows;
}

/* Nothing is hidden. */
void engine_drain(struct store *store)
{
    (void)store;
}

/* Nothing is kept. */
void engine_reader_rest(struct engine_reader *reader)
{
    (void)reader;
}

/* NULL if the store is dead. */
static struct pages *reader_pages(const struct engine_reader *reader)
{
    if (reader->snapshot != NULL) {
        return reader->snapshot;
    }
    return alive(reader->store) ? reader->store->image->live : NULL;
}

enum status engine_get(struct engine_reader *reader,
                       enum store_family family,
                       struct slice key,
                       struct buf *value)
{
    struct pages *pages = reader_pages(reader);
    if (pages == NULL) {
        return STATUS_IO;
    }
    set_key(&reader->key, family, key);
    const struct pages_row *row = pages_row_at(pages, pages_seek(pages, buf_slice(&reader->key)));
    if (row == NULL || !slice_equal(pages_key(row), buf_slice(&reader->key))) {
        return STATUS_NOT_FOUND;
    }
    buf_append_slice(value, pages_value(row));
    return STATUS_OK;
}

struct engine_batch *engine_batch_new(struct store *store)
{
    struct engine_batch *batch = calloc(1, sizeof(*batch));
    assert(batch != NULL);
    batch->store = store;
    buf_init(&batch->changes, SIZE_MAX / 2);
    return batch;
}

void engine_batch_free(struct engine_batch *batch)
{
    buf_deinit(&batch->changes);
    free(batch);
}

static void add_change(struct engine_batch *batch,
                       uint8_t kind,
                       enum store_family family,
                       struct slice key,
                       struct slice value)
{
    buf_append_u8(&batch->changes, kind);
    buf_append_u8(&batch->changes, (uint8_t)family);
    buf_append_bytes(&batch->changes, key);
    buf_append_bytes(&batch->changes, value);
}

void engine_batch_put(struct engine_batch *batch,
                      enum store_family family,
                      struct slice key,
                      struct slice value)
{
    add_change(batch, CHANGE_PUT, family, key, value);
}

void engine_batch_delete(struct engine_batch *batch, enum store_family family, struct slice key)
{
    add_change(batch, CHANGE_DELETE, family, key, slice_of(NULL, 0));
}

void engine_batch_delete_range(struct engine_batch *batch,
                               enum store_family family,
                               struct slice from,
                               struct slice to)
{
    add_change(batch, CHANGE_DELETE_RANGE, family, from, to);
}

static void delete_range(struct pages *pages,
                         enum store_family family,
                         struct slice from,
                         struct slice to)
{
    struct buf low;
    struct buf high;
    buf_init(&low, SIZE_MAX / 2);
    buf_init(&high, SIZE_MAX / 2);
    set_key(&low, family, from);
    set_key(&high, family, to);
    pages_delete_range(pages, buf_slice(&low), buf_slice(&high));
    buf_deinit(&low);
    buf_deinit(&high);
}

/* The batch's changes on top of the newest state. */
static struct pages *changed(const struct engine_batch *batch)
{
    struct pages *pages = pages_copy(batch->store->image->live);
    struct reader in = reader_of(buf_slice(&batch->changes));
    struct buf key;
    buf_init(&key, SIZE_MAX / 2);
    while (in.rest.len > 0) {
        uint8_t kind = reader_u8(&in);
        enum store_family family = (enum store_family)reader_u8(&in);
        struct slice bytes = reader_bytes(&in, UINT32_MAX);
        struct slice value = reader_bytes(&in, UINT32_MAX);
        assert(!in.failed);
        set_key(&key, family, bytes);
        if (kind == CHANGE_PUT) {
            pages_put(pages, buf_slice(&key), value);
        } else if (kind == CHANGE_DELETE) {
            pages_delete(pages, buf_slice(&key));
        } else {
            delete_range(pages, family, bytes, value);
        }
    }
    buf_deinit(&key);
    return pages;
}

static void thin_out(struct image *image)
{
    size_t kept = 0;
    for (size_t i = 0; i < image->pending_count; i++) {
        if (i % 2 == 1) {
            image->pending[kept++] = image->pending[i];
        } else {
            pages_unref(image->pending[i]);
        }
    }
    image->pending_count = kept;
}

enum status engine_batch_write(struct engine_batch *batch)
{
    if (!alive(batch->store)) {
        return STATUS_IO;
    }
    struct image *image = batch->store->image;
    struct pages *pages = changed(batch);
    set_pages(&image->live, pages);
    if (image->pending_count == PENDING_MAX) {
        thin_out(image);
    }
    image->pending[image->pending_count++] = pages;
    image->unflushed += batch->changes.len;
    buf_clear(&batch->changes);
    return STATUS_OK;
}

struct engine_iter *engine_iter_new(struct engine_reader *reader,
                                    enum store_family family,
                                    struct slice lower,
                                    struct slice upper)
{
    struct engine_iter *iter = calloc(1, sizeof(*iter));
    assert(iter != NULL);
    iter->family = family;
    struct pages *pages = reader_pages(reader);
    iter->pages = pages == NULL ? NULL : pages_ref(pages);
    buf_init(&iter->lower, SIZE_MAX / 2);
    buf_init(&iter->upper, SIZE_MAX / 2);
    buf_init(&iter->key, SIZE_MAX / 2);
    set_key(&iter->lower, family, lower);
    set_key(&iter->upper, family, upper);
    return iter;
}

void engine_iter_free(struct engine_iter *iter)
{
    if (iter->pages != NULL) {
        pages_unref(iter->pages);
    }
    buf_deinit(&iter->lower);
    buf_deinit(&iter->upper);
    buf_deinit(&iter->key);
    free(iter);
}

static void check_bounds(struct engine_iter *iter)
{
    const struct pages_row *row = pages_row_at(iter->pages, iter->at);
    iter->valid = row != NULL && overlay_compare(pages_key(row), buf_slice(&iter->lower)) >= 0 &&
                  overlay_compare(pages_key(row), buf_slice(&iter->upper)) < 0;
}

/* To the row before the place, which is a row or behind the last. */
static void step_back(struct engine_iter *iter)
{
    iter->valid = false;
    if (iter->at.page > 0 || iter->at.row > 0) {
        iter->at = pages_before(iter->pages, iter->at);
        check_bounds(iter);
    }
}

void engine_iter_seek(struct engine_iter *iter, struct slice key)
{
    if (iter->pages == NULL) {
        return;
    }
    set_key(&iter->key, iter->family, key);
    struct slice from = buf_slice(&iter->key);
    if (overlay_compare(from, buf_slice(&iter->lower)) < 0) {
        from = buf_slice(&iter->lower);
    }
    iter->at = pages_seek(iter->pages, from);
    check_bounds(iter);
}

void engine_iter_seek_last(struct engine_iter *iter)
{
    if (iter->pages == NULL) {
        return;
    }
    iter->at = pages_seek(iter->pages, buf_slice(&iter->upper));
    step_back(iter);
}

void engine_iter_seek_for_prev(struct engine_iter *iter, struct slice key)
{
    if (iter->pages == NULL) {
        return;
    }
    set_key(&iter->key, iter->family, key);
    struct slice target = buf_slice(&iter->key);
    if (overlay_compare(target, buf_slice(&iter->upper)) >= 0) {
        engine_iter_seek_last(iter);
        return;
    }
    iter->at = pages_seek(iter->pages, target);
    const struct pages_row *row = pages_row_at(iter->pages, iter->at);
    if (row != NULL && slice_equal(pages_key(row), target)) {
        check_bounds(iter);
    } else {
        step_back(iter);
    }
}

void engine_iter_next(struct engine_iter *iter)
{
    assert(iter->valid);
    iter->at = pages_after(iter->pages, iter->at);
    check_bounds(iter);
}

void engine_iter_prev(struct engine_iter *iter)
{
    assert(iter->valid);
    step_back(iter);
}

bool engine_iter_valid(const struct engine_iter *iter)
{
    return iter->valid;
}

struct slice engine_iter_key(const struct engine_iter *iter)
{
    struct slice key = pages_key(pages_row_at(iter->pages, iter->at));
    return slice_of(key.data + 1, key.len - 1);
}

struct slice engine_iter_value(const struct engine_iter *iter)
{
    return pages_value(pages_row_at(iter->pages, iter->at));
}

enum status engine_iter_status(const struct engine_iter *iter)
{
    return iter->pages == NULL ? STATUS_IO : STATUS_OK;
}

/* A file: u64 magic, u8 family, from, to, then key and value of every row, u64 hash of it all. */
static enum status write_file(struct buf *bytes, const char *path)
{
    buf_append_u64(bytes, hash_bytes(buf_slice(bytes)));
    struct disk_file *file = NULL;
    enum status status = disk_open(path, DISK_CREATE, &file);
    if (status != STATUS_OK) {
        return status;
    }
    status = disk_write(file, 0, bytes->data, bytes->len);
    if (status == STATUS_OK) {
        status = disk_sync(file);
    }
    disk_close(file);
    return status;
}

struct store_export {
    struct store_iter *iter;
    enum store_family family;
    uint64_t file_size;
    struct buf rows; /* Of the open file. */
};

struct store_export *store_export_begin(struct txn *view,
                                        const struct store_range *range,
                                        uint64_t file_size)
{
    struct store_export *export = calloc(1, sizeof(*export));
    assert(export != NULL);
    buf_init(&export->rows, SIZE_MAX / 2);
    export->family = range->family;
    export->file_size = file_size;
    export->iter = iter_open(view, range->family, range->from, range->to);
    return export;
}

void store_export_end(struct store_export *export)
{
    iter_close(export->iter);
    buf_deinit(&export->rows);
    free(export);
}

static enum status end_file(struct store_export *export, const char *path)
{
    struct buf bytes;
    buf_init(&bytes, SIZE_MAX / 2);
    buf_append_u64(&bytes, file_magic);
    buf_append_u8(&bytes, (uint8_t) export->family);
    buf_append_slice(&bytes, buf_slice(&export->rows));
    buf_clear(&export->rows);
    enum status status = write_file(&bytes, path);
    buf_deinit(&bytes);
    return status;
}

enum status store_export_step(struct store_export *export,
                              const char *path,
                              uint64_t size,
                              enum export_progress *progress)
{
    size_t before = export->rows.len;
    while (iter_valid(export->iter) && export->rows.len < export->file_size &&
           export->rows.len - before < size) {
        buf_append_bytes(&export->rows, iter_key(export->iter));
        buf_append_bytes(&export->rows, iter_value(export->iter));
        iter_next(export->iter);
    }
    enum status status = iter_status(export->iter);
    bool more = iter_valid(export->iter);
    *progress = export->rows.len == 0 ? EXPORT_NOTHING : EXPORT_GOES_ON;
    if (status != STATUS_OK || export->rows.len == 0 ||
        (more && export->rows.len < export->file_size)) {
        return status;
    }
    *progress = more ? EXPORT_FILE_ENDED : EXPORT_ENDED;
    return end_file(export, path);
}

static enum status check_file(struct slice bytes, enum store_family family, struct reader *in)
{
    if (bytes.len < 2 * sizeof(uint64_t)) {
        return STATUS_CORRUPT;
    }
    struct slice body = slice_of(bytes.data, bytes.len - sizeof(uint64_t));
    struct reader tail = reader_of(slice_of(bytes.data + body.len, sizeof(uint64_t)));
    if (reader_u64(&tail) != hash_bytes(body)) {
        return STATUS_CORRUPT;
    }
    *in = reader_of(body);
    bool proper = reader_u64(in) == file_magic && reader_u8(in) == (uint8_t)family;
    return proper ? STATUS_OK : STATUS_CORRUPT;
}

static void erase(struct pages **pages, const struct store_range *range)
{
    struct pages *copy = pages_copy(*pages);
    delete_range(copy, range->family, range->from, range->to);
    pages_unref(*pages);
    *pages = copy;
}

static void add_rows(struct pages **pages, enum store_family family, struct reader in)
{
    struct pages *copy = pages_copy(*pages);
    struct buf key;
    buf_init(&key, SIZE_MAX / 2);
    while (in.rest.len > 0) {
        set_key(&key, family, reader_bytes(&in, UINT32_MAX));
        pages_put(copy, buf_slice(&key), reader_bytes(&in, UINT32_MAX));
    }
    assert(!in.failed);
    buf_deinit(&key);
    pages_unref(*pages);
    *pages = copy;
}

static enum status ingest_file(struct image *image, enum store_family family, const char *path)
{
    struct buf bytes;
    buf_init(&bytes, FILE_SIZE_MAX);
    struct reader in = {0};
    enum status status = disk_read_file(path, &bytes);
    if (status == STATUS_OK) {
        status = check_file(buf_slice(&bytes), family, &in);
    }
    if (status == STATUS_OK) {
        /* Durable at once, and whatever a crash rolls back to, it is there. */
        add_rows(&image->live, family, in);
        add_rows(&image->flushed, family, in);
        for (size_t i = 0; i < image->pending_count; i++) {
            add_rows(&image->pending[i], family, in);
        }
    }
    buf_deinit(&bytes);
    return status;
}

enum status store_ingest(struct store *store,
                         const struct store_range *range,
                         const char *const *paths,
                         size_t count)
{
    if (!alive(store)) {
        return STATUS_IO;
    }
    struct image *image = store->image;
    erase(&image->live, range);
    erase(&image->flushed, range);
    for (size_t i = 0; i < image->pending_count; i++) {
        erase(&image->pending[i], range);
    }
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        status = ingest_file(image, range->family, paths[i]);
    }
    (void)engine_generation_advance(store);
    return status;
}
