#include "server/machine/zset_cursor.h"

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "server/machine/score.h"

enum {
    PLACE_BITS = 53, /* Clients read cursors as doubles. */
    PLACE_SHIFT = 64 - PLACE_BITS,
    PAGE_COUNT_MAX = 10000, /* Elements that one call looks at, about. */
};

static void open_packed(struct zset_cursor *cursor, struct zset_range range, uint64_t skip)
{
    struct slice rest = cursor->zset->body;
    size_t count = 0;
    cursor->body = rest;
    cursor->first = 0;
    cursor->behind = 0;
    while (rest.len > 0) {
        assert(count < ZSET_PACKED_COUNT_MAX);
        cursor->offsets[count++] = (uint16_t)(cursor->body.len - rest.len);
        struct slice sub_key = zset_packed_next(&rest);
        cursor->first += zset_packed_compare(sub_key, range.from) < 0;
        cursor->behind += zset_packed_compare(sub_key, range.to) < 0;
    }
    cursor->offsets[count] = (uint16_t)cursor->body.len;
    uint64_t inside = cursor->behind > cursor->first ? cursor->behind - cursor->first : 0;
    size_t dropped = (size_t)(skip < inside ? skip : inside);
    cursor->behind = cursor->first + (size_t)inside;
    if (cursor->reverse) {
        cursor->behind -= dropped;
    } else {
        cursor->first += dropped;
    }
}

static void open_iter(struct zset_cursor *cursor, struct zset_range range)
{
    struct zset *zset = cursor->zset;
    struct buf *from = txn_scratch(zset->call->txn, SCRATCH_FROM);
    struct buf *to = txn_scratch(zset->call->txn, SCRATCH_TO);
    zset_row_key(zset, ZSET_SCORE, from);
    zset_row_key(zset, ZSET_SCORE, to);
    buf_append_slice(from, range.from);
    buf_append_slice(to, range.to);
    cursor->iter = iter_open(zset->call->txn, STORE_DATA, buf_slice(from), buf_slice(to));
}

static void step(struct zset_cursor *cursor, bool backward)
{
    if (backward) {
        iter_prev(cursor->iter);
    } else {
        iter_next(cursor->iter);
    }
}

static void step_many(struct zset_cursor *cursor, uint64_t count, bool backward)
{
    for (uint64_t n = 0; n < count && iter_valid(cursor->iter); n++) {
        step(cursor, backward);
    }
}

/* To the element at a rank, by the counts. */
static enum status place_at(struct zset_cursor *cursor, struct zset_range range, uint64_t rank)
{
    struct zset *zset = cursor->zset;
    uint8_t prefixes[2 * ZSET_PREFIX_SIZE];
    struct rank_index index = zset_index(zset, prefixes);
    struct buf *sub_key = txn_scratch(zset->call->txn, SCRATCH_ZSET_SUB);
    uint64_t skip = 0;
    enum status status = rank_index_at(&index, rank, sub_key, &skip);
    if (status != STATUS_OK) {
        return status;
    }
    struct zset_range tail = {.from = buf_slice(sub_key), .to = range.to};
    open_iter(cursor, zset_within(zset, tail));
    step_many(cursor, skip, false);
    if (!cursor->reverse || !iter_valid(cursor->iter)) {
        return STATUS_OK;
    }
    /* A walk back must know where to end: from the element on with the bounds of the interval. */
    struct buf *key = txn_scratch(zset->call->txn, SCRATCH_ELEMENT);
    buf_append_slice(key, iter_key(cursor->iter));
    status = iter_status(cursor->iter);
    iter_close(cursor->iter);
    open_iter(cursor, range);
    iter_seek_for_prev(cursor->iter, buf_slice(key));
    return status;
}

static enum status open_skipped(struct zset_cursor *cursor, struct zset_range range, uint64_t skip)
{
    uint64_t first = 0;
    uint64_t behind = 0;
    enum status status = zset_count(cursor->zset, range.from, &first);
    if (status == STATUS_OK) {
        status = zset_count(cursor->zset, range.to, &behind);
    }
    if (status != STATUS_OK || behind <= first || skip >= behind - first) {
        return status;
    }
    return place_at(cursor, range, cursor->reverse ? behind - 1 - skip : first + skip);
}

void zset_cursor_open(struct zset_cursor *cursor,
                      struct zset *zset,
                      struct zset_range range,
                      bool reverse,
                      uint64_t skip)
{
    cursor->zset = zset;
    cursor->reverse = reverse;
    cursor->iter = NULL;
    cursor->started = false;
    cursor->status = STATUS_OK;
    cursor->walked = 0;
    cursor->first = 0;
    cursor->behind = 0;
    if (zset->packed) {
        open_packed(cursor, range, skip);
        return;
    }
    range = zset_within(zset, range);
    if (skip > RANK_INDEX_LEAF_MAX && zset->levels > 0) {
        cursor->status = open_skipped(cursor, range, skip);
        return;
    }
    open_iter(cursor, range);
    if (reverse) {
        iter_seek_last(cursor->iter);
    }
    step_many(cursor, skip, reverse);
}

static bool next_packed(struct zset_cursor *cursor, struct slice *sub_key)
{
    if (cursor->first >= cursor->behind) {
        return false;
    }
    size_t at = cursor->reverse ? --cursor->behind : cursor->first++;
    size_t size = (size_t)cursor->offsets[at + 1] - cursor->offsets[at];
    *sub_key = slice_of(cursor->body.data + cursor->offsets[at] + 1, size - 1);
    return true;
}

bool zset_cursor_next(struct zset_cursor *cursor, struct slice *sub_key)
{
    if (cursor->zset->packed) {
        return next_packed(cursor, sub_key);
    }
    if (cursor->iter == NULL || cursor->status != STATUS_OK) {
        return false;
    }
    if (cursor->started) {
        step(cursor, cursor->reverse);
    }
    cursor->started = true;
    if (!iter_valid(cursor->iter)) {
        return false;
    }
    if (++cursor->walked > ZSET_CURSOR_FAST_COUNT && txn_cache_only(cursor->zset->call->txn)) {
        cursor->status = STATUS_AGAIN;
        return false;
    }
    struct slice key = iter_key(cursor->iter);
    if (key.len < ZSET_PREFIX_SIZE + SCORE_SIZE) {
        cursor->status = STATUS_CORRUPT;
        return false;
    }
    *sub_key = slice_of(key.data + ZSET_PREFIX_SIZE, key.len - ZSET_PREFIX_SIZE);
    return true;
}

enum status zset_cursor_close(struct zset_cursor *cursor)
{
    if (cursor->iter != NULL) {
        enum status walked = iter_status(cursor->iter);
        cursor->status = cursor->status == STATUS_OK ? walked : cursor->status;
        iter_close(cursor->iter);
        cursor->iter = NULL;
    }
    return cursor->status;
}

static enum status scan_rows(
    struct zset *zset, uint64_t *place, uint64_t count, zset_take take, void *arg)
{
    struct buf *from = txn_scratch(zset->call->txn, SCRATCH_FROM);
    struct buf *to = txn_scratch(zset->call->txn, SCRATCH_TO);
    zset_row_key(zset, ZSET_MEMBER, from);
    buf_append_u64_be(from, *place << PLACE_SHIFT);
    zset_row_key(zset, (enum zset_kind)(ZSET_MEMBER + 1), to);
    struct store_iter *iter =
        iter_open(zset->call->txn, STORE_DATA, buf_slice(from), buf_slice(to));
    enum status status = STATUS_OK;
    uint64_t last = 0;
    uint64_t next = 0;
    for (uint64_t seen = 0; iter_valid(iter) && status == STATUS_OK; iter_next(iter)) {
        struct reader key = reader_of(iter_key(iter));
        struct reader value = reader_of(iter_value(iter));
        (void)reader_raw(&key, ZSET_PREFIX_SIZE);
        uint64_t hash = reader_u64_be(&key) >> PLACE_SHIFT;
        uint64_t bits = reader_u64_be(&value);
        if (seen >= count && hash != last) {
            next = last + 1;
            break;
        }
        status = key.failed || !reader_done(&value) || !score_valid(bits) ? STATUS_CORRUPT : status;
        if (status == STATUS_OK) {
            take(arg, key.rest, score_decode(bits));
        }
        last = hash;
        seen++;
    }
    enum status walked = iter_status(iter);
    iter_close(iter);
    *place = next;
    return walked != STATUS_OK ? walked : status;
}

enum status zset_cursor_scan(
    struct zset *zset, uint64_t *place, uint64_t count, zset_take take, void *arg)
{
    if (!zset->packed && *place >> PLACE_BITS != 0) {
        *place = 0; /* It never was one of ours: behind all. */
        return STATUS_OK;
    }
    if (!zset->packed) {
        count = count < PAGE_COUNT_MAX ? count : PAGE_COUNT_MAX;
        bool long_walk = count > ZSET_CURSOR_FAST_COUNT && zset->size > ZSET_CURSOR_FAST_COUNT;
        return long_walk && txn_cache_only(zset->call->txn)
                   ? STATUS_AGAIN
                   : scan_rows(zset, place, count, take, arg);
    }
    struct slice rest = zset->body;
    while (rest.len > 0) {
        struct slice sub_key = zset_packed_next(&rest);
        take(arg, zset_packed_member(sub_key), zset_packed_score(sub_key));
    }
    *place = 0;
    return STATUS_OK;
}
