#include "server/archive/archive_rows.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/disk.h"
#include "common/base/reader.h"
#include "server/machine/keyspace.h"
#include "server/shard/manifest.h"

enum {
    PATH_SIZE_MAX = 8192,
    STATE_SIZE_MAX = 1 << 16,
    BOUND_SIZE_MAX = 1 << 17,
    GARBAGE_PREFIX = 8 + 1 + 4 + 8, /* What element keys of a collection begin with. */
    LOCAL_PREFIX = 8 + 1,
    CACHE_SIZE = 8 << 20,
    MEMTABLE_SIZE = 1 << 20,
};

struct archive_rows {
    char *scratch;
    struct store *store;
    struct txn *view;
    struct store_iter *iter;
    struct shard_state state;
    struct buf garbage;    /* Prefixes of elements whose collection is gone, ascending. */
    struct buf unfinished; /* Beginnings of chunks that no row names, each with its length. */
    enum status status;
};

static enum status check_file(const char *folder, const struct archive_file *file)
{
    struct buf path;
    uint64_t size = 0;
    uint64_t sum = 0;
    buf_init(&path, PATH_SIZE_MAX);
    archive_path(folder, file->name, &path);
    enum status status = STATUS_CORRUPT;
    if (disk_exists((const char *)path.data)) {
        status = manifest_measure((const char *)path.data, &size, &sum);
    }
    buf_deinit(&path);
    bool same = size == file->size && sum == file->sum;
    return status == STATUS_OK && !same ? STATUS_CORRUPT : status;
}

enum status archive_rows_check(const char *folder,
                               const struct archive *archive,
                               const struct archive_shard *shard,
                               char *name)
{
    for (size_t i = 0; i < shard->file_count; i++) {
        const struct archive_file *file = &archive->files[shard->file_first + i];
        enum status status = check_file(folder, file);
        if (status != STATUS_OK) {
            memcpy(name, file->name, sizeof(file->name));
            return status;
        }
    }
    return STATUS_OK;
}

static enum status read_state(const char *folder,
                              const struct archive *archive,
                              const struct archive_shard *shard,
                              struct shard_state *state)
{
    struct buf path;
    struct buf bytes;
    enum status status = STATUS_CORRUPT;
    buf_init(&path, PATH_SIZE_MAX);
    buf_init(&bytes, STATE_SIZE_MAX);
    for (size_t i = 0; i < shard->file_count; i++) {
        const struct archive_file *file = &archive->files[shard->file_first + i];
        if (file->kind == ARCHIVE_STATE && file->size <= STATE_SIZE_MAX && bytes.len == 0) {
            archive_path(folder, file->name, &path);
            status = disk_read_file((const char *)path.data, &bytes);
        }
    }
    if (status == STATUS_OK) {
        status = shard_state_decode(buf_slice(&bytes), state);
    }
    bool same = status == STATUS_OK && state->desc.id == shard->id &&
                state->desc.start == shard->start && state->desc.last == shard->last;
    buf_deinit(&path);
    buf_deinit(&bytes);
    return status == STATUS_OK && !same ? STATUS_CORRUPT : status;
}

/* All files of a family at once: each stands for a part of its range. */
static enum status ingest(struct archive_rows *rows,
                          const char *folder,
                          const struct archive *archive,
                          const struct archive_shard *shard,
                          enum archive_kind kind)
{
    char **paths = calloc(shard->file_count + 1, sizeof(*paths));
    assert(paths != NULL);
    size_t count = 0;
    for (size_t i = 0; i < shard->file_count; i++) {
        const struct archive_file *file = &archive->files[shard->file_first + i];
        if (file->kind == kind) {
            struct buf path;
            size_t len = 0;
            buf_init(&path, PATH_SIZE_MAX);
            archive_path(folder, file->name, &path);
            paths[count++] = (char *)buf_take(&path, &len);
        }
    }
    struct buf from;
    struct buf to;
    buf_init(&from, BOUND_SIZE_MAX);
    buf_init(&to, BOUND_SIZE_MAX);
    struct machine_scope scope = {.shard = shard->id, .start = shard->start, .last = shard->last};
    enum store_family family = kind == ARCHIVE_DATA ? STORE_DATA : STORE_LOCAL;
    machine_range(scope, family, &from, &to);
    struct store_range range = {.family = family, .from = buf_slice(&from), .to = buf_slice(&to)};
    enum status status =
        store_ingest(rows->store, &range, (const char *const *)(void *)paths, count);
    buf_deinit(&from);
    buf_deinit(&to);
    for (size_t i = 0; i < count; i++) {
        free(paths[i]);
    }
    free(paths);
    return status;
}

static void unlink_in(void *arg, const char *name)
{
    struct buf path;
    buf_init(&path, PATH_SIZE_MAX);
    archive_path(arg, name, &path);
    enum status status = disk_unlink((const char *)path.data);
    (void)status;
    buf_deinit(&path);
}

void archive_rows_close(struct archive_rows *rows)
{
    if (rows->iter != NULL) {
        iter_close(rows->iter);
    }
    if (rows->view != NULL) {
        txn_free(rows->view);
    }
    if (rows->store != NULL) {
        store_close(rows->store);
    }
    enum status status = disk_list(rows->scratch, unlink_in, rows->scratch);
    status = status == STATUS_OK ? disk_remove_folder(rows->scratch) : status;
    (void)status; /* Nothing of ours is left, or it is for the user to see. */
    buf_deinit(&rows->garbage);
    buf_deinit(&rows->unfinished);
    free(rows->scratch);
    free(rows);
}

static void note(struct archive_rows *rows, uint8_t kind, struct slice key, struct slice value)
{
    if (kind == LOCAL_GARBAGE && key.len == LOCAL_PREFIX + GARBAGE_PREFIX) {
        buf_append(&rows->garbage, key.data + LOCAL_PREFIX, GARBAGE_PREFIX);
    } else if (kind == LOCAL_STAGE) {
        /* stage.c: u8 format | u64 version of the chunks | 3 * u64 | key of the metadata row. */
        struct reader in = reader_of(value);
        (void)reader_u8(&in);
        uint64_t version = reader_u64(&in);
        (void)reader_raw(&in, 3 * sizeof(uint64_t));
        if (!in.failed) {
            buf_append_u32(&rows->unfinished, (uint32_t)(in.rest.len + sizeof(version)));
            buf_append_slice(&rows->unfinished, in.rest);
            buf_append_u64_be(&rows->unfinished, version);
        }
    } else if (kind == LOCAL_GARBAGE) {
        rows->status = STATUS_CORRUPT;
    }
}

static struct store_iter *open_kind(struct archive_rows *rows, enum keyspace_local kind)
{
    struct buf from;
    struct buf to;
    buf_init(&from, BOUND_SIZE_MAX);
    buf_init(&to, BOUND_SIZE_MAX);
    keyspace_local_key(rows->state.desc.id, kind, &from);
    keyspace_local_key(rows->state.desc.id, (enum keyspace_local)(kind + 1), &to);
    struct store_iter *iter = iter_open(rows->view, STORE_LOCAL, buf_slice(&from), buf_slice(&to));
    buf_deinit(&from);
    buf_deinit(&to);
    return iter;
}

static enum status note_all(struct archive_rows *rows, enum keyspace_local kind)
{
    struct store_iter *iter = open_kind(rows, kind);
    for (; iter_valid(iter) && rows->status == STATUS_OK; iter_next(iter)) {
        note(rows, (uint8_t)kind, iter_key(iter), iter_value(iter));
    }
    enum status status = iter_status(iter);
    iter_close(iter);
    return status == STATUS_OK ? rows->status : status;
}

static enum status load(struct archive_rows *rows,
                        const char *folder,
                        const struct archive *archive,
                        const struct archive_shard *shard)
{
    static const struct store_options options = {
        .cache_size = CACHE_SIZE, .memtable_size = MEMTABLE_SIZE, .threads = 1};
    char name[ARCHIVE_NAME_SIZE];
    enum status status = archive_rows_check(folder, archive, shard, name);
    if (status == STATUS_OK) {
        status = read_state(folder, archive, shard, &rows->state);
    }
    if (status == STATUS_OK) {
        status = store_open(rows->scratch, &options, &rows->store);
    }
    if (status == STATUS_OK) {
        status = ingest(rows, folder, archive, shard, ARCHIVE_DATA);
    }
    if (status == STATUS_OK) {
        status = ingest(rows, folder, archive, shard, ARCHIVE_LOCAL);
    }
    if (status != STATUS_OK) {
        return status;
    }
    rows->view = txn_view(rows->store);
    status = note_all(rows, LOCAL_GARBAGE);
    return status == STATUS_OK ? note_all(rows, LOCAL_STAGE) : status;
}

enum status archive_rows_open(const char *folder,
                              const struct archive *archive,
                              const struct archive_shard *shard,
                              const char *scratch,
                              struct archive_rows **rows)
{
    struct archive_rows *self = calloc(1, sizeof(*self));
    assert(self != NULL);
    self->scratch = strdup(scratch);
    assert(self->scratch != NULL);
    buf_init(&self->garbage, SIZE_MAX / 2);
    buf_init(&self->unfinished, SIZE_MAX / 2);
    enum status status = load(self, folder, archive, shard);
    if (status != STATUS_OK) {
        archive_rows_close(self);
        return status;
    }
    *rows = self;
    return STATUS_OK;
}

const struct shard_state *archive_rows_state(const struct archive_rows *rows)
{
    return &rows->state;
}

static bool is_garbage(const struct archive_rows *rows, struct slice key)
{
    size_t low = 0;
    size_t high = rows->garbage.len / GARBAGE_PREFIX;
    while (key.len >= GARBAGE_PREFIX && low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(rows->garbage.data + middle * GARBAGE_PREFIX, key.data, GARBAGE_PREFIX);
        if (order == 0) {
            return true;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return false;
}

static bool is_unfinished(const struct archive_rows *rows, struct slice key)
{
    struct reader in = reader_of(buf_slice(&rows->unfinished));
    while (in.rest.len > 0) {
        struct slice prefix = reader_bytes(&in, UINT32_MAX);
        if (key.len >= prefix.len && memcmp(key.data, prefix.data, prefix.len) == 0) {
            return true;
        }
    }
    return false;
}

/* CORRUPT: no row that belongs here. */
static enum status take(const struct archive_rows *rows, struct archive_row *row, bool *pass)
{
    struct keyspace_prefix prefix;
    struct row parsed = {0};
    const struct shard_desc *desc = &rows->state.desc;
    row->key = iter_key(rows->iter);
    row->value = iter_value(rows->iter);
    if (!keyspace_parse_prefix(row->key, &prefix) || prefix.token < desc->start ||
        prefix.token > desc->last || prefix.db >= MACHINE_DATABASES) {
        return STATUS_CORRUPT;
    }
    row->token = prefix.token;
    row->db = prefix.db;
    row->expire_ms = 0;
    row->is_key = !prefix.element && prefix.size == row->key.len;
    *pass =
        prefix.element ? is_garbage(rows, row->key) : !row->is_key && is_unfinished(rows, row->key);
    enum status status = STATUS_OK;
    if (row->is_key) {
        status = keyspace_parse_row(row->value, &parsed);
        row->expire_ms = parsed.expire_ms;
    }
    return status;
}

static void open_data(struct archive_rows *rows)
{
    const struct shard_desc *desc = &rows->state.desc;
    struct machine_scope scope = {.shard = desc->id, .start = desc->start, .last = desc->last};
    struct buf from;
    struct buf to;
    buf_init(&from, BOUND_SIZE_MAX);
    buf_init(&to, BOUND_SIZE_MAX);
    machine_range(scope, STORE_DATA, &from, &to);
    rows->iter = iter_open(rows->view, STORE_DATA, buf_slice(&from), buf_slice(&to));
    buf_deinit(&from);
    buf_deinit(&to);
}

bool archive_rows_next(struct archive_rows *rows, struct archive_row *row)
{
    bool pass = true;
    while (rows->status == STATUS_OK && pass) {
        if (rows->iter == NULL) {
            open_data(rows);
        } else {
            iter_next(rows->iter);
        }
        if (!iter_valid(rows->iter)) {
            rows->status = iter_status(rows->iter);
            return false;
        }
        rows->status = take(rows, row, &pass);
    }
    return rows->status == STATUS_OK;
}

enum status archive_rows_end(struct archive_rows *rows)
{
    return rows->status;
}

enum status archive_rows_scripts(struct archive_rows *rows,
                                 void (*visit)(void *arg, struct slice source),
                                 void *arg)
{
    struct store_iter *iter = open_kind(rows, LOCAL_SCRIPT);
    for (; iter_valid(iter); iter_next(iter)) {
        visit(arg, iter_value(iter));
    }
    enum status status = iter_status(iter);
    iter_close(iter);
    return status;
}
