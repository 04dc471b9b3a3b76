#include "tests/support/engine_cases.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/disk.h"
#include "tests/support/test.h"

static const struct store_options options = {
    .cache_size = 4 << 20, .memtable_size = 4 << 20, .threads = 2, .row_cache_size = 4 << 10};

enum { PATH_SIZE = 512, FILES_MAX = 64 };

static struct store *open_store(const char *folder)
{
    struct store *store = NULL;
    CHECK_EQ(store_open(folder, &options, &store), STATUS_OK);
    return store;
}

static void put(struct txn *txn, enum store_family family, const char *key, const char *value)
{
    txn_put(txn, family, slice_str(key), slice_str(value));
}

/* value NULL: the key is not there. */
static void check_row(struct txn *txn, enum store_family family, const char *key, const char *value)
{
    struct buf got;
    buf_init(&got, 1 << 20);
    enum status status = txn_get(txn, family, slice_str(key), &got);
    CHECK_EQ(status, value == NULL ? STATUS_NOT_FOUND : STATUS_OK);
    if (value != NULL) {
        CHECK_BYTES(buf_slice(&got), value);
    }
    buf_deinit(&got);
}

/* rows: "key=value " of all that lower <= key < upper has. */
static void check_rows(struct txn *txn, const char *lower, const char *upper, const char *rows)
{
    struct buf got;
    buf_init(&got, 1 << 20);
    struct store_iter *iter = iter_open(txn, STORE_DATA, slice_str(lower), slice_str(upper));
    for (; iter_valid(iter); iter_next(iter)) {
        buf_append_slice(&got, iter_key(iter));
        buf_append_text(&got, "=");
        buf_append_slice(&got, iter_value(iter));
        buf_append_text(&got, " ");
    }
    CHECK_EQ(iter_status(iter), STATUS_OK);
    iter_close(iter);
    CHECK_BYTES(buf_slice(&got), rows);
    buf_deinit(&got);
}

void engine_case_reads_own_writes(const char *folder)
{
    struct store *store = open_store(folder);
    struct txn *txn = txn_new(store);
    CHECK(txn_empty(txn));
    check_row(txn, STORE_DATA, "a", NULL);
    put(txn, STORE_DATA, "a", "1");
    put(txn, STORE_LOCAL, "a", "local");
    CHECK(!txn_empty(txn));
    check_row(txn, STORE_DATA, "a", "1");
    check_row(txn, STORE_LOCAL, "a", "local");
    put(txn, STORE_DATA, "a", "a longer value than before");
    check_row(txn, STORE_DATA, "a", "a longer value than before");
    txn_delete(txn, STORE_DATA, slice_str("a"));
    check_row(txn, STORE_DATA, "a", NULL);
    put(txn, STORE_DATA, "", "of the empty key");
    put(txn, STORE_DATA, "b", "");
    CHECK_EQ(txn_commit(txn), STATUS_OK);
    CHECK(txn_empty(txn));
    check_row(txn, STORE_DATA, "a", NULL);
    check_row(txn, STORE_DATA, "", "of the empty key");
    check_row(txn, STORE_DATA, "b", "");
    check_row(txn, STORE_LOCAL, "a", "local");
    /* What another txn, freed without a commit, wrote is gone. */
    struct txn *dropped = txn_new(store);
    put(dropped, STORE_DATA, "c", "dropped");
    txn_free(dropped);
    check_row(txn, STORE_DATA, "c", NULL);
    CHECK_EQ(txn_commit(txn), STATUS_OK);
    txn_free(txn);
    store_close(store);
}

void engine_case_commits_and_reopens(const char *folder)
{
    struct store *store = open_store(folder);
    struct txn *txn = txn_new(store);
    put(txn, STORE_DATA, "k", "v");
    put(txn, STORE_LOCAL, "applied", "7");
    CHECK_EQ(txn_commit(txn), STATUS_OK);
    txn_free(txn);
    CHECK(store_unflushed(store) > 0);
    CHECK_EQ(store_flush(store), STATUS_OK);
    CHECK_EQ(store_unflushed(store), 0);
    CHECK(!store_overloaded(store));
    store_close(store);
    store = open_store(folder);
    txn = txn_new(store);
    check_row(txn, STORE_DATA, "k", "v");
    check_row(txn, STORE_LOCAL, "applied", "7");
    txn_free(txn);
    store_close(store);
}

void engine_case_forgets_unflushed(const char *folder)
{
    struct store *store = open_store(folder);
    struct txn *txn = txn_new(store);
    put(txn, STORE_DATA, "k", "flushed");
    put(txn, STORE_LOCAL, "applied", "1");
    CHECK_EQ(txn_commit(txn), STATUS_OK);
    CHECK_EQ(store_flush(store), STATUS_OK);
    put(txn, STORE_DATA, "k", "newer");
    put(txn, STORE_LOCAL, "applied", "2");
    CHECK_EQ(txn_commit(txn), STATUS_OK);
    txn_free(txn);
    store_close(store);
    store = open_store(folder);
    txn = txn_new(store);
    check_row(txn, STORE_DATA, "k", "flushed");
    check_row(txn, STORE_LOCAL, "applied", "1");
    txn_free(txn);
    store_close(store);
}

void engine_case_deletes_ranges(const char *folder)
{
    struct store *store = open_store(folder);
    struct txn *txn = txn_new(store);
    struct txn *other = txn_new(store);
    for (const char *key = "abcdef"; *key != '\0'; key++) {
        txn_put(txn, STORE_DATA, slice_of(key, 1), slice_str("old"));
    }
    CHECK_EQ(txn_commit(txn), STATUS_OK);
    check_row(other, STORE_DATA, "c", "old");
    put(txn, STORE_DATA, "b", "overwritten before");
    txn_delete_range(txn, STORE_DATA, slice_str("b"), slice_str("e"));
    put(txn, STORE_DATA, "d", "new");
    txn_delete_range(txn, STORE_DATA, slice_str("x"), slice_str("x")); /* Empty. */
    check_row(txn, STORE_DATA, "a", "old");
    check_row(txn, STORE_DATA, "b", NULL);
    check_row(txn, STORE_DATA, "c", NULL);
    check_row(txn, STORE_DATA, "d", "new");
    check_row(txn, STORE_DATA, "e", "old");
    check_rows(txn, "a", "z", "a=old d=new e=old f=old ");
    CHECK_EQ(txn_commit(txn), STATUS_OK);
    check_rows(txn, "a", "z", "a=old d=new e=old f=old ");
    check_row(txn, STORE_DATA, "c", NULL);
    check_row(other, STORE_DATA, "a", "old");
    txn_disown_range(txn, STORE_DATA, slice_str("a"), slice_str("d"));
    CHECK_EQ(txn_commit(txn), STATUS_OK);
    check_row(other, STORE_DATA, "a", NULL); /* It had been remembered. */
    check_row(other, STORE_DATA, "d", "new");
    txn_free(other);
    txn_free(txn);
    store_close(store);
}

void engine_case_marks(const char *folder)
{
    struct store *store = open_store(folder);
    struct txn *txn = txn_new(store);
    txn_mark(txn);
    txn_rollback(txn);
    CHECK(txn_empty(txn));
    for (const char *key = "abcdef"; *key != '\0'; key++) {
        txn_put(txn, STORE_DATA, slice_of(key, 1), slice_str("old"));
    }
    CHECK_EQ(txn_commit(txn), STATUS_OK);
    check_row(txn, STORE_DATA, "a", "old");
    put(txn, STORE_DATA, "c", "before");
    txn_delete(txn, STORE_DATA, slice_str("d"));
    txn_delete_range(txn, STORE_DATA, slice_str("e"), slice_str("f"));
    size_t size = 0;
    size_t rows = txn_pending(txn, &size);
    txn_mark(txn);
    put(txn, STORE_DATA, "a", "after");
    put(txn, STORE_DATA, "c", "a longer value after");
    put(txn, STORE_DATA, "d", "after");
    put(txn, STORE_LOCAL, "x", "after");
    txn_delete_range(txn, STORE_DATA, slice_str("b"), slice_str("e"));
    txn_delete_range(txn, STORE_DATA, slice_str("d"), slice_str("z"));
    put(txn, STORE_DATA, "d", "again");
    check_rows(txn, "a", "z", "a=after d=again ");
    check_row(txn, STORE_DATA, "b", NULL);
    txn_rollback(txn);
    check_rows(txn, "a", "z", "a=old b=old c=before f=old ");
    check_row(txn, STORE_DATA, "a", "old");
    check_row(txn, STORE_DATA, "b", "old");
    check_row(txn, STORE_DATA, "c", "before");
    check_row(txn, STORE_DATA, "e", NULL);
    check_row(txn, STORE_LOCAL, "x", NULL);
    size_t size_now = 0;
    CHECK_EQ(txn_pending(txn, &size_now), rows);
    CHECK_EQ(size_now, size);
    txn_mark(txn);
    put(txn, STORE_DATA, "c", "kept");
    txn_delete_range(txn, STORE_DATA, slice_str("a"), slice_str("b"));
    txn_release(txn);
    check_rows(txn, "a", "z", "b=old c=kept f=old ");
    CHECK_EQ(txn_commit(txn), STATUS_OK);
    check_rows(txn, "a", "z", "b=old c=kept f=old ");
    /* A txn with a mark may be dropped. */
    txn_mark(txn);
    put(txn, STORE_DATA, "c", "dropped");
    txn_delete_range(txn, STORE_DATA, slice_str("a"), slice_str("d"));
    txn_free(txn);
    store_close(store);
}

void engine_case_iterates(const char *folder)
{
    struct store *store = open_store(folder);
    struct txn *txn = txn_new(store);
    check_rows(txn, "a", "z", "");
    put(txn, STORE_DATA, "b", "1");
    put(txn, STORE_DATA, "d", "1");
    put(txn, STORE_DATA, "f", "1");
    put(txn, STORE_LOCAL, "e", "of the other family");
    CHECK_EQ(txn_commit(txn), STATUS_OK);
    put(txn, STORE_DATA, "a", "2");
    put(txn, STORE_DATA, "d", "2");
    put(txn, STORE_DATA, "e", "2");
    txn_delete(txn, STORE_DATA, slice_str("f"));
    check_rows(txn, "", "zz", "a=2 b=1 d=2 e=2 ");
    check_rows(txn, "b", "e", "b=1 d=2 ");
    struct store_iter *iter = iter_open(txn, STORE_DATA, slice_str("a"), slice_str("z"));
    iter_seek(iter, slice_str("c"));
    CHECK(iter_valid(iter));
    CHECK_BYTES(iter_key(iter), "d");
    iter_seek(iter, slice_str("f"));
    CHECK(!iter_valid(iter));
    iter_seek(iter, slice_str("a"));
    CHECK_BYTES(iter_key(iter), "a");
    CHECK_EQ(iter_status(iter), STATUS_OK);
    iter_close(iter);
    txn_free(txn);
    store_close(store);
}

/* keys: one byte each, of what the walk meets from where it stands to its end. */
static void check_walk(struct store_iter *iter, bool backward, const char *keys)
{
    struct buf got;
    buf_init(&got, 1 << 20);
    while (iter_valid(iter)) {
        buf_append_slice(&got, iter_key(iter));
        if (backward) {
            iter_prev(iter);
        } else {
            iter_next(iter);
        }
    }
    CHECK_EQ(iter_status(iter), STATUS_OK);
    CHECK_BYTES(buf_slice(&got), keys);
    buf_deinit(&got);
}

static void check_turns(struct store_iter *iter)
{
    iter_seek(iter, slice_str("d"));
    iter_prev(iter);
    CHECK_BYTES(iter_key(iter), "c");
    iter_prev(iter);
    CHECK_BYTES(iter_key(iter), "b");
    iter_next(iter);
    CHECK_BYTES(iter_key(iter), "c");
    iter_next(iter);
    CHECK_BYTES(iter_key(iter), "d");
    CHECK_BYTES(iter_value(iter), "2");
    iter_next(iter);
    CHECK_BYTES(iter_key(iter), "h");
    iter_prev(iter);
    CHECK_BYTES(iter_key(iter), "d");
    iter_seek_last(iter);
    iter_next(iter);
    CHECK(!iter_valid(iter));
    iter_seek(iter, slice_str("b"));
    iter_prev(iter);
    CHECK(!iter_valid(iter));
}

void engine_case_walks_backward(const char *folder)
{
    struct store *store = open_store(folder);
    struct txn *txn = txn_new(store);
    for (const char *key = "abdefgh"; *key != '\0'; key++) {
        txn_put(txn, STORE_DATA, slice_of(key, 1), slice_str("1"));
    }
    put(txn, STORE_LOCAL, "c", "of the other family");
    CHECK_EQ(txn_commit(txn), STATUS_OK);
    txn_delete_range(txn, STORE_DATA, slice_str("e"), slice_str("g"));
    txn_delete(txn, STORE_DATA, slice_str("g"));
    put(txn, STORE_DATA, "c", "2");
    put(txn, STORE_DATA, "d", "2");
    put(txn, STORE_DATA, "i", "2");
    struct store_iter *iter = iter_open(txn, STORE_DATA, slice_str("b"), slice_str("i"));
    iter_seek_last(iter);
    check_walk(iter, true, "hdcb");
    iter_seek_for_prev(iter, slice_str("z"));
    check_walk(iter, true, "hdcb");
    iter_seek_for_prev(iter, slice_str("g"));
    check_walk(iter, true, "dcb");
    iter_seek_for_prev(iter, slice_str("c"));
    check_walk(iter, true, "cb");
    iter_seek_for_prev(iter, slice_str("a"));
    CHECK(!iter_valid(iter));
    iter_seek(iter, slice_str("a"));
    check_walk(iter, false, "bcdh");
    check_turns(iter);
    iter_close(iter);
    iter = iter_open(txn, STORE_DATA, slice_str("b"), slice_str("i"));
    iter_prev(iter);
    CHECK(!iter_valid(iter));
    iter_close(iter);
    iter = iter_open(txn, STORE_DATA, slice_str("e"), slice_str("g"));
    iter_seek_last(iter);
    CHECK(!iter_valid(iter));
    iter_close(iter);
    txn_free(txn);
    store_close(store);
}

void engine_case_walks_anew(const char *folder)
{
    struct store *store = open_store(folder);
    struct txn *txn = txn_new(store);
    struct txn *other = txn_new(store);
    put(txn, STORE_DATA, "a", "1");
    put(txn, STORE_DATA, "b", "1");
    put(txn, STORE_LOCAL, "b", "of the other family");
    CHECK_EQ(txn_commit(txn), STATUS_OK);
    check_rows(txn, "a", "z", "a=1 b=1 ");
    check_rows(txn, "b", "z", "b=1 ");
    check_rows(txn, "a", "b", "a=1 ");
    struct store_iter *local = iter_open(txn, STORE_LOCAL, slice_str("a"), slice_str("z"));
    CHECK_BYTES(iter_value(local), "of the other family");
    check_rows(txn, "", "z", "a=1 b=1 ");
    iter_next(local);
    CHECK(!iter_valid(local));
    iter_close(local);
    /* Whoever commits: a walk that begins later sees it. */
    check_rows(other, "a", "z", "a=1 b=1 ");
    put(txn, STORE_DATA, "c", "1");
    CHECK_EQ(txn_commit(txn), STATUS_OK);
    check_rows(txn, "a", "z", "a=1 b=1 c=1 ");
    check_rows(other, "a", "z", "a=1 b=1 c=1 ");
    txn_delete_range(other, STORE_DATA, slice_str("a"), slice_str("c"));
    CHECK_EQ(txn_commit(other), STATUS_OK);
    check_rows(txn, "a", "z", "c=1 ");
    txn_rest(txn);
    check_rows(txn, "a", "z", "c=1 ");
    CHECK_EQ(store_flush(store), STATUS_OK);
    check_rows(txn, "a", "z", "c=1 ");
    txn_free(other);
    txn_free(txn);
    store_close(store);
}

void engine_case_views(const char *folder)
{
    struct store *store = open_store(folder);
    struct txn *txn = txn_new(store);
    put(txn, STORE_DATA, "k", "then");
    CHECK_EQ(txn_commit(txn), STATUS_OK);
    struct txn *view = txn_view(store);
    put(txn, STORE_DATA, "k", "now");
    put(txn, STORE_DATA, "l", "now");
    CHECK_EQ(txn_commit(txn), STATUS_OK);
    check_row(view, STORE_DATA, "k", "then");
    check_row(view, STORE_DATA, "l", NULL);
    check_rows(view, "a", "z", "k=then ");
    check_row(txn, STORE_DATA, "k", "now");
    CHECK(txn_empty(view));
    /* Reading from memory alone is possible where the rows are in memory. */
    txn_set_cache_only(view, true);
    check_row(view, STORE_DATA, "k", "then");
    txn_free(view);
    txn_free(txn);
    store_close(store);
}

static void number_key(uint64_t n, struct buf *key)
{
    buf_clear(key);
    buf_append_text(key, "n");
    buf_append_u64_be(key, n);
}

static void put_numbers(
    struct txn *txn, uint64_t from, uint64_t to, uint64_t step, const char *text)
{
    struct buf key;
    buf_init(&key, 64);
    for (uint64_t n = from; n < to; n += step) {
        number_key(n, &key);
        txn_put(txn, STORE_DATA, buf_slice(&key), slice_str(text));
    }
    buf_deinit(&key);
    CHECK_EQ(txn_commit(txn), STATUS_OK);
}

static void check_numbers(struct txn *txn, uint64_t to, uint64_t step, const char *text)
{
    struct buf key;
    buf_init(&key, 64);
    uint64_t n = 0;
    struct store_iter *iter = iter_open(txn, STORE_DATA, slice_str("n"), slice_str("o"));
    for (; iter_valid(iter); iter_next(iter)) {
        number_key(n, &key);
        CHECK(slice_equal(iter_key(iter), buf_slice(&key)));
        CHECK_BYTES(iter_value(iter), text);
        n += step;
    }
    CHECK_EQ(iter_status(iter), STATUS_OK);
    CHECK(n >= to && n - step < to);
    iter_close(iter);
    number_key(step, &key);
    struct buf value;
    buf_init(&value, 1024);
    CHECK_EQ(txn_get(txn, STORE_DATA, buf_slice(&key), &value), STATUS_OK);
    CHECK_BYTES(buf_slice(&value), text);
    buf_deinit(&value);
    buf_deinit(&key);
}

struct files {
    char names[FILES_MAX][PATH_SIZE];
    const char *paths[FILES_MAX];
    size_t count;
};

static const struct store_range exported = {
    .family = STORE_DATA,
    .from = {.data = (const uint8_t *)"n", .len = 1},
    .to = {.data = (const uint8_t *)"o", .len = 1},
};

static void export_numbers(struct store *store, const char *dir, uint64_t size, struct files *files)
{
    CHECK_EQ(disk_make_folder(dir), STATUS_OK);
    struct txn *view = txn_view(store);
    struct store_export *export = store_export_begin(view, &exported, size);
    enum export_progress progress = EXPORT_GOES_ON;
    for (files->count = 0; progress != EXPORT_ENDED && progress != EXPORT_NOTHING;) {
        CHECK(files->count < FILES_MAX);
        char *name = files->names[files->count];
        (void)snprintf(name, PATH_SIZE, "%s/x-%zu.sst", dir, files->count);
        CHECK_EQ(store_export_step(export, name, size / 3, &progress), STATUS_OK);
        if (progress == EXPORT_FILE_ENDED || progress == EXPORT_ENDED) {
            CHECK(disk_exists(name));
            files->paths[files->count++] = name;
        }
    }
    store_export_end(export);
    txn_free(view);
}

void engine_case_exports_and_ingests(const char *folder)
{
    char path[PATH_SIZE];
    char dir[PATH_SIZE];
    struct files *files = calloc(1, sizeof(*files));
    CHECK(files != NULL);
    (void)snprintf(path, sizeof(path), "%s/from", folder);
    (void)snprintf(dir, sizeof(dir), "%s/files", folder);
    CHECK_EQ(disk_make_folder(folder), STATUS_OK);
    struct store *from = open_store(path);
    struct txn *txn = txn_new(from);
    put_numbers(txn, 0, 9000, 3, "exported");
    export_numbers(from, dir, 20000, files);
    CHECK(files->count > 2);

    (void)snprintf(path, sizeof(path), "%s/to", folder);
    struct store *to = open_store(path);
    struct txn *there = txn_new(to);
    put_numbers(there, 0, 20000, 1, "flushed before");
    CHECK_EQ(store_flush(to), STATUS_OK);
    put_numbers(there, 0, 20000, 2, "not flushed");
    put(there, STORE_DATA, "m", "outside");
    put(there, STORE_DATA, "o", "outside");
    CHECK_EQ(txn_commit(there), STATUS_OK);
    check_row(there, STORE_DATA, "m", "outside");
    CHECK_EQ(store_ingest(to, &exported, files->paths, files->count), STATUS_OK);
    check_numbers(there, 9000, 3, "exported");
    check_row(there, STORE_DATA, "m", "outside");
    check_row(there, STORE_DATA, "o", "outside");
    /* Newer writes win, and a repeat sets them back. */
    put_numbers(there, 0, 9000, 3, "newer");
    check_numbers(there, 9000, 3, "newer");
    CHECK_EQ(store_ingest(to, &exported, files->paths, files->count), STATUS_OK);
    check_numbers(there, 9000, 3, "exported");
    txn_free(there);
    store_close(to);
    /* The ingested rows are durable without a flush. */
    to = open_store(path);
    there = txn_new(to);
    check_numbers(there, 9000, 3, "exported");
    CHECK_EQ(store_ingest(to, &exported, files->paths, files->count), STATUS_OK);
    check_numbers(there, 9000, 3, "exported");
    /* Compactions, which so many flushed files start, change nothing. */
    for (int round = 0; round < 8; round++) {
        put(there, STORE_DATA, "m", "outside");
        put(there, STORE_DATA, "o", "outside");
        CHECK_EQ(txn_commit(there), STATUS_OK);
        CHECK_EQ(store_flush(to), STATUS_OK);
    }
    check_numbers(there, 9000, 3, "exported");
    /* An export of nothing erases. */
    txn_delete_range(txn, STORE_DATA, slice_str("n"), slice_str("o"));
    CHECK_EQ(txn_commit(txn), STATUS_OK);
    export_numbers(from, dir, 20000, files);
    CHECK_EQ(files->count, 0);
    CHECK_EQ(store_ingest(to, &exported, files->paths, files->count), STATUS_OK);
    check_rows(there, "n", "o", "");
    txn_free(there);
    store_close(to);
    txn_free(txn);
    store_close(from);
    free(files);
}
