#include "server/machine/zset.h"

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "common/base/reader.h"
#include "server/machine/event.h"
#include "server/machine/score.h"

enum {
    BOUND_EXACT_MAX = ZSET_BOUND_SIZE_MAX - 1, /* A longer sub-key is cut. */
    CHUNK_COUNT = 256,                         /* Elements that are removed at once. */
};

static_assert(ZSET_BOUND_SIZE_MAX <= UINT8_MAX, "a byte holds its size");

/* Behind the sub-key of every number. */
static const uint8_t behind_all[] = {0xff, 0xff};

struct zset_range zset_range_all(void)
{
    return (struct zset_range){.from = slice_of(NULL, 0),
                               .to = slice_of(behind_all, sizeof(behind_all))};
}

void zset_sub_key(double score, struct slice member, struct buf *out)
{
    buf_append_u64_be(out, score_encode(score));
    buf_append_slice(out, member);
}

void zset_reply(struct slice sub_key, bool with_score, struct buf *out)
{
    if (with_score) {
        resp_write_pair(out);
    }
    resp_write_bulk(out, zset_packed_member(sub_key));
    if (with_score) {
        resp_write_double(out, zset_packed_score(sub_key));
    }
}

enum status zset_may_reply(const struct call *call, size_t size)
{
    if (size > ZSET_REPLY_SIZE_MAX) {
        return STATUS_TOO_BIG;
    }
    return size > ZSET_FAST_REPLY_SIZE_MAX && txn_cache_only(call->txn) ? STATUS_AGAIN : STATUS_OK;
}

static struct slice bound_slice(const struct zset_bound *bound)
{
    return slice_of(bound->bytes, bound->size);
}

static struct zset_bound bound_at(struct slice sub_key)
{
    struct zset_bound bound = {0};
    bound.size = (uint8_t)(sub_key.len < BOUND_EXACT_MAX ? sub_key.len : BOUND_EXACT_MAX);
    memcpy(bound.bytes, sub_key.data, bound.size);
    return bound;
}

static struct zset_bound bound_behind(struct slice sub_key)
{
    struct zset_bound bound = bound_at(sub_key);
    if (bound.size == sub_key.len) {
        bound.bytes[bound.size++] = 0;
        return bound;
    }
    /* A score never has only ones, so there is a byte to raise. */
    while (bound.bytes[bound.size - 1] == UINT8_MAX) {
        bound.size--;
    }
    assert(bound.size > 0);
    bound.bytes[bound.size - 1]++;
    return bound;
}

static bool bound_equal(const struct zset_bound *a, const struct zset_bound *b)
{
    return slice_equal(bound_slice(a), bound_slice(b));
}

/* The packed entries in a buffer that may be changed. */
static struct buf *own_body(struct zset *zset)
{
    if (zset->work == NULL) {
        zset->work = txn_scratch(zset->call->txn, SCRATCH_BODY);
        buf_append_slice(zset->work, zset->body);
    }
    return zset->work;
}

static void packed_insert(struct zset *zset, struct slice sub_key)
{
    struct buf *body = own_body(zset);
    zset_packed_insert(body, sub_key);
    zset->body = buf_slice(body);
    zset->size++;
}

static void packed_remove(struct zset *zset, struct slice sub_key)
{
    uint64_t before = 0;
    struct buf *body = own_body(zset);
    size_t at = zset_packed_place(zset->body, sub_key, &before);
    zset_packed_cut(body, at, 1 + sub_key.len);
    zset->body = buf_slice(body);
    zset->size--;
}

/* Element rows. */

void zset_row_key(const struct zset *zset, enum zset_kind kind, struct buf *key)
{
    keyspace_element_key(&zset->row, key);
    buf_append_u8(key, (uint8_t)kind);
}

static struct slice member_key(struct zset *zset, struct slice member)
{
    struct buf *key = txn_scratch(zset->call->txn, SCRATCH_ELEMENT);
    zset_row_key(zset, ZSET_MEMBER, key);
    buf_append_u64_be(key, hash_bytes(member));
    buf_append_slice(key, member);
    return buf_slice(key);
}

static struct slice score_key(struct zset *zset, struct slice sub_key)
{
    struct buf *key = txn_scratch(zset->call->txn, SCRATCH_ELEMENT);
    zset_row_key(zset, ZSET_SCORE, key);
    buf_append_slice(key, sub_key);
    return buf_slice(key);
}

static void put_rows(struct zset *zset, struct slice sub_key)
{
    struct txn *txn = zset->call->txn;
    struct slice member = zset_packed_member(sub_key);
    txn_put(txn, STORE_DATA, score_key(zset, sub_key), slice_of(NULL, 0));
    txn_put(txn, STORE_DATA, member_key(zset, member), slice_of(sub_key.data, SCORE_SIZE));
}

struct rank_index zset_index(struct zset *zset, uint8_t prefixes[2 * ZSET_PREFIX_SIZE])
{
    struct buf *key = txn_scratch(zset->call->txn, SCRATCH_ELEMENT);
    zset_row_key(zset, ZSET_SCORE, key);
    assert(key->len == ZSET_PREFIX_SIZE);
    memcpy(prefixes, key->data, ZSET_PREFIX_SIZE);
    memcpy(prefixes + ZSET_PREFIX_SIZE, key->data, ZSET_PREFIX_SIZE);
    prefixes[2 * ZSET_PREFIX_SIZE - 1] = ZSET_NODE;
    struct rank_index index = {.txn = zset->call->txn,
                               .rows = slice_of(prefixes, ZSET_PREFIX_SIZE),
                               .nodes = slice_of(prefixes + ZSET_PREFIX_SIZE, ZSET_PREFIX_SIZE),
                               .low = bound_slice(&zset->low),
                               .high = bound_slice(&zset->high),
                               .size = zset->size,
                               .leaf_max = RANK_INDEX_LEAF_MAX,
                               .fan_max = RANK_INDEX_FAN_MAX,
                               .levels = zset->levels,
                               .top = zset->top,
                               .first_size = zset->first.size};
    memcpy(index.first, zset->first.bytes, zset->first.size);
    return index;
}

/* What a change of the index changed. */
static void keep_index(struct zset *zset, const struct rank_index *index)
{
    zset->levels = index->levels;
    zset->top = index->top;
    zset->first.size = index->first_size;
    memcpy(zset->first.bytes, index->first, index->first_size);
}

struct zset_range zset_within(const struct zset *zset, struct zset_range range)
{
    struct slice low = bound_slice(&zset->low);
    struct slice high = bound_slice(&zset->high);
    range.from = zset_packed_compare(range.from, low) < 0 ? low : range.from;
    range.to = zset_packed_compare(range.to, high) > 0 ? high : range.to;
    /* An iterator wants its bounds in order. */
    range.to = zset_packed_compare(range.to, range.from) < 0 ? range.from : range.to;
    return range;
}

static struct store_iter *open_scores(struct zset *zset, struct zset_range range)
{
    struct buf *from = txn_scratch(zset->call->txn, SCRATCH_FROM);
    struct buf *to = txn_scratch(zset->call->txn, SCRATCH_TO);
    range = zset_within(zset, range);
    zset_row_key(zset, ZSET_SCORE, from);
    zset_row_key(zset, ZSET_SCORE, to);
    buf_append_slice(from, range.from);
    buf_append_slice(to, range.to);
    return iter_open(zset->call->txn, STORE_DATA, buf_slice(from), buf_slice(to));
}

static struct slice iter_sub_key(struct store_iter *iter)
{
    struct slice key = iter_key(iter);
    assert(key.len > ZSET_PREFIX_SIZE + SCORE_SIZE - 1);
    return slice_of(key.data + ZSET_PREFIX_SIZE, key.len - ZSET_PREFIX_SIZE);
}

static enum status count_index(struct zset *zset, struct slice sub_key, int change, uint64_t count)
{
    uint8_t prefixes[2 * ZSET_PREFIX_SIZE];
    struct rank_index index = zset_index(zset, prefixes);
    enum status status =
        change > 0 ? rank_index_add(&index, sub_key) : rank_index_remove(&index, sub_key, count);
    keep_index(zset, &index);
    return status;
}

static enum status build_index(struct zset *zset)
{
    uint8_t prefixes[2 * ZSET_PREFIX_SIZE];
    struct rank_index index = zset_index(zset, prefixes);
    enum status status = rank_index_build(&index);
    keep_index(zset, &index);
    return status;
}

/* Brings the bounds up to date after the removal of elements from first to last; edge is the
 * element next to them on the side where a walk left off, if that is known. */
static enum status settle_bounds(struct zset *zset, struct slice first, struct slice last)
{
    if (zset->size == 0) {
        zset->low.size = 0;
        zset->high.size = 0;
        zset->levels = 0;
        zset->top = 0;
        zset->first.size = 0;
        return STATUS_OK;
    }
    struct zset_bound low = bound_at(first);
    struct zset_bound high = bound_behind(last);
    bool raise = bound_equal(&low, &zset->low);
    bool lower = bound_equal(&high, &zset->high);
    if (!raise && !lower) {
        return STATUS_OK;
    }
    struct store_iter *iter = open_scores(zset, zset_range_all());
    bool found = iter_valid(iter);
    if (found && raise) {
        zset->low = bound_at(iter_sub_key(iter));
    }
    if (found && lower) {
        iter_seek_last(iter);
        found = iter_valid(iter);
    }
    if (found && lower) {
        zset->high = bound_behind(iter_sub_key(iter));
    }
    enum status status = iter_status(iter);
    iter_close(iter);
    return status == STATUS_OK && !found ? STATUS_CORRUPT : status;
}

static enum status add_element(struct zset *zset, struct slice sub_key)
{
    put_rows(zset, sub_key);
    enum status status = STATUS_OK;
    if (zset->levels > 0) {
        status = count_index(zset, sub_key, 1, 1);
    }
    struct zset_bound low = bound_at(sub_key);
    struct zset_bound high = bound_behind(sub_key);
    if (zset->size == 0 || zset_packed_compare(bound_slice(&low), bound_slice(&zset->low)) < 0) {
        zset->low = low;
    }
    if (zset->size == 0 || zset_packed_compare(bound_slice(&high), bound_slice(&zset->high)) > 0) {
        zset->high = high;
    }
    zset->size++;
    if (status == STATUS_OK && zset->levels == 0 && zset->size > RANK_INDEX_SIZE_MIN) {
        status = build_index(zset);
    }
    return status;
}

/* Of the rows, those of the order alone: the member's stays if the score changes. */
static enum status remove_element(struct zset *zset, struct slice sub_key, bool with_member)
{
    struct txn *txn = zset->call->txn;
    txn_delete(txn, STORE_DATA, score_key(zset, sub_key));
    if (with_member) {
        txn_delete(txn, STORE_DATA, member_key(zset, zset_packed_member(sub_key)));
    }
    enum status status = STATUS_OK;
    if (zset->levels > 0) {
        status = count_index(zset, sub_key, -1, 1);
    }
    zset->size--;
    return status == STATUS_OK ? settle_bounds(zset, sub_key, sub_key) : status;
}

/* The packed entries become rows. */
static enum status unpack(struct zset *zset)
{
    struct slice rest = zset->body;
    enum status status = STATUS_OK;
    zset->packed = false;
    zset->size = 0;
    while (rest.len > 0 && status == STATUS_OK) {
        status = add_element(zset, zset_packed_next(&rest));
    }
    zset->row.flags &= (uint8_t) ~(unsigned)KEYSPACE_PACKED;
    zset->body = slice_of(NULL, 0);
    return status;
}

static bool read_bound(struct reader *in, size_t size_max, struct zset_bound *bound)
{
    bound->size = reader_u8(in);
    struct slice bytes = reader_raw(in, bound->size);
    if (in->failed || bound->size > size_max) {
        return false;
    }
    if (bytes.len > 0) {
        memcpy(bound->bytes, bytes.data, bytes.len);
    }
    return true;
}

static bool read_body(struct zset *zset)
{
    struct reader in = reader_of(zset->row.value);
    zset->levels = reader_u8(&in);
    zset->top = reader_u32(&in);
    return read_bound(&in, RANK_INDEX_FIRST_MAX, &zset->first) &&
           read_bound(&in, BOUND_EXACT_MAX, &zset->low) &&
           read_bound(&in, ZSET_BOUND_SIZE_MAX, &zset->high) && reader_done(&in) &&
           zset->low.size >= SCORE_SIZE && zset->levels <= RANK_INDEX_LEVELS_MAX &&
           (zset->levels > 0) == (zset->top > 0) &&
           zset_packed_compare(bound_slice(&zset->low), bound_slice(&zset->high)) < 0;
}

enum status zset_open(struct call *call, const struct row *row, struct zset *zset)
{
    *zset = (struct zset){.call = call, .row = *row, .packed = true};
    if (!row->found) {
        return STATUS_OK;
    }
    assert(row->type == KEYSPACE_ZSET);
    zset->size = row->size;
    zset->packed = (row->flags & KEYSPACE_PACKED) != 0;
    if (zset->packed) {
        zset->body = row->value;
        return zset_packed_valid(row->value, row->size) ? STATUS_OK : STATUS_CORRUPT;
    }
    return read_body(zset) ? STATUS_OK : STATUS_CORRUPT;
}

enum status zset_load(struct call *call,
                      enum keyspace_slot slot,
                      struct slice key,
                      struct zset *zset)
{
    struct row row;
    enum status status = keyspace_load_type(call, slot, key, KEYSPACE_ZSET, &row);
    return status == STATUS_OK ? zset_open(call, &row, zset) : status;
}

enum status zset_find(struct zset *zset, struct slice member, bool *found, double *score)
{
    *found = false;
    if (zset->packed || zset->size == 0 || member.len > ZSET_MEMBER_SIZE_MAX) {
        *found = zset->packed && zset_packed_find(zset->body, member, score);
        return STATUS_OK;
    }
    struct buf *value = txn_scratch(zset->call->txn, SCRATCH_FIELD);
    enum status status = txn_get(zset->call->txn, STORE_DATA, member_key(zset, member), value);
    if (status != STATUS_OK) {
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    }
    struct reader in = reader_of(buf_slice(value));
    uint64_t bits = reader_u64_be(&in);
    if (!reader_done(&in) || !score_valid(bits)) {
        return STATUS_CORRUPT;
    }
    *found = true;
    *score = score_decode(bits);
    return STATUS_OK;
}

enum status zset_count(struct zset *zset, struct slice sub_key, uint64_t *before)
{
    if (zset->packed) {
        (void)zset_packed_place(zset->body, sub_key, before);
        return STATUS_OK;
    }
    uint8_t prefixes[2 * ZSET_PREFIX_SIZE];
    struct rank_index index = zset_index(zset, prefixes);
    return rank_index_count(&index, sub_key, before);
}

static void begin(struct zset *zset)
{
    if (!zset->row.found && zset->row.type != KEYSPACE_ZSET) {
        keyspace_begin(zset->call, &zset->row, KEYSPACE_ZSET);
    }
}

enum status zset_put(struct zset *zset, struct slice member, double score, const double *old)
{
    assert(member.len <= ZSET_MEMBER_SIZE_MAX);
    begin(zset);
    enum status status = STATUS_OK;
    struct buf *sub_key = txn_scratch(zset->call->txn, SCRATCH_ZSET_SUB);
    if (old != NULL) {
        zset_sub_key(*old, member, sub_key);
        if (zset->packed) {
            packed_remove(zset, buf_slice(sub_key));
        } else {
            status = remove_element(zset, buf_slice(sub_key), false);
        }
    } else if (zset->packed &&
               (zset->size >= ZSET_PACKED_COUNT_MAX || member.len > ZSET_PACKED_MEMBER_MAX)) {
        status = unpack(zset);
    }
    if (status != STATUS_OK) {
        return status;
    }
    buf_clear(sub_key);
    zset_sub_key(score, member, sub_key);
    if (zset->packed) {
        packed_insert(zset, buf_slice(sub_key));
        return STATUS_OK;
    }
    return add_element(zset, buf_slice(sub_key));
}

enum status zset_remove(struct zset *zset, struct slice member, double score)
{
    struct buf *sub_key = txn_scratch(zset->call->txn, SCRATCH_ZSET_SUB);
    zset_sub_key(score, member, sub_key);
    if (zset->packed) {
        packed_remove(zset, buf_slice(sub_key));
        return STATUS_OK;
    }
    return remove_element(zset, buf_slice(sub_key), true);
}

static void packed_remove_range(struct zset *zset, struct zset_removal *removal)
{
    uint64_t first = 0;
    uint64_t behind = 0;
    (void)zset_packed_place(zset->body, removal->range.from, &first);
    (void)zset_packed_place(zset->body, removal->range.to, &behind);
    uint64_t count = behind > first ? behind - first : 0;
    count = count < removal->limit ? count : removal->limit;
    first = removal->reverse ? behind - count : first;
    struct slice sub_keys[ZSET_PACKED_COUNT_MAX];
    struct slice rest = zset->body;
    for (uint64_t n = 0; n < first; n++) {
        (void)zset_packed_next(&rest);
    }
    size_t at = zset->body.len - rest.len;
    for (uint64_t n = 0; n < count; n++) {
        sub_keys[n] = zset_packed_next(&rest);
    }
    for (uint64_t n = 0; n < count && removal->removed != NULL; n++) {
        buf_append_bytes(removal->removed, sub_keys[removal->reverse ? count - 1 - n : n]);
    }
    size_t len = zset->body.len - rest.len - at;
    struct buf *body = own_body(zset);
    zset_packed_cut(body, at, len);
    zset->body = buf_slice(body);
    zset->size -= count;
    removal->count = count;
}

/* A part of the elements to remove, in the order of the walk, and the one that comes next, which
 * has no key if there is none. */
struct chunk {
    struct slice keys[CHUNK_COUNT];
    size_t count;
    struct slice next;
};

static enum status collect(struct zset *zset,
                           const struct zset_removal *removal,
                           struct chunk *chunk)
{
    /* The walk goes on behind the interval, to see who is next. */
    struct zset_range range = zset_range_all();
    uint64_t left = removal->limit - removal->count;
    size_t limit = left < CHUNK_COUNT ? (size_t)left : CHUNK_COUNT;
    if (removal->reverse) {
        range.to = removal->range.to;
    } else {
        range.from = removal->range.from;
    }
    struct buf *bytes = txn_scratch(zset->call->txn, SCRATCH_ZSET_KEYS);
    struct store_iter *iter = open_scores(zset, range);
    if (removal->reverse) {
        iter_seek_last(iter);
    }
    chunk->count = 0;
    while (iter_valid(iter) && chunk->count < limit) {
        struct slice sub_key = iter_sub_key(iter);
        bool inside = removal->reverse ? zset_packed_compare(sub_key, removal->range.from) >= 0
                                       : zset_packed_compare(sub_key, removal->range.to) < 0;
        if (!inside) {
            break;
        }
        buf_append_bytes(bytes, sub_key);
        chunk->count++;
        if (removal->reverse) {
            iter_prev(iter);
        } else {
            iter_next(iter);
        }
    }
    bool more = iter_valid(iter);
    if (more) {
        buf_append_bytes(bytes, iter_sub_key(iter));
    }
    enum status status = iter_status(iter);
    iter_close(iter);
    struct reader in = reader_of(buf_slice(bytes));
    for (size_t n = 0; n < chunk->count; n++) {
        chunk->keys[n] = reader_bytes(&in, UINT32_MAX);
    }
    chunk->next = more ? reader_bytes(&in, UINT32_MAX) : slice_of(NULL, 0);
    return status;
}

/* Counts the elements of a chunk off, leaf by leaf. */
static enum status uncount(struct zset *zset, const struct chunk *chunk, bool reverse)
{
    struct buf *end = txn_scratch(zset->call->txn, SCRATCH_ZSET_SUB);
    enum status status = STATUS_OK;
    size_t at = 0;
    while (at < chunk->count && status == STATUS_OK) {
        size_t next = at + 1;
        struct slice first = chunk->keys[reverse ? chunk->count - 1 - at : at];
        if (next < chunk->count && zset->levels > 0) {
            uint8_t prefixes[2 * ZSET_PREFIX_SIZE];
            struct rank_index index = zset_index(zset, prefixes);
            status = rank_index_leaf_end(&index, first, end);
        }
        while (next < chunk->count &&
               (end->len == 0 ||
                zset_packed_compare(chunk->keys[reverse ? chunk->count - 1 - next : next],
                                    buf_slice(end)) < 0)) {
            next++;
        }
        if (status == STATUS_OK && zset->levels > 0) {
            status = count_index(zset, first, -1, next - at);
        }
        zset->size -= next - at;
        at = next;
    }
    return status;
}

/* The bounds after a chunk went. A queue's end moves to the next one without another look. */
static enum status move_bounds(struct zset *zset, const struct chunk *chunk, bool reverse)
{
    struct slice one = chunk->keys[0];
    struct slice other = chunk->keys[chunk->count - 1];
    struct slice first = reverse ? other : one;
    struct slice last = reverse ? one : other;
    struct zset_bound low = bound_at(first);
    struct zset_bound high = bound_behind(last);
    bool exact = chunk->next.len > 0 && first.len < BOUND_EXACT_MAX && last.len < BOUND_EXACT_MAX;
    if (exact && !reverse && bound_equal(&low, &zset->low)) {
        zset->low = bound_at(chunk->next);
        return STATUS_OK;
    }
    if (exact && reverse && bound_equal(&high, &zset->high)) {
        zset->high = bound_behind(chunk->next);
        return STATUS_OK;
    }
    return settle_bounds(zset, first, last);
}

static enum status remove_chunk(struct zset *zset, struct zset_removal *removal)
{
    struct chunk chunk;
    enum status status = collect(zset, removal, &chunk);
    if (status != STATUS_OK || chunk.count == 0) {
        removal->limit = removal->count;
        return status;
    }
    struct txn *txn = zset->call->txn;
    for (size_t n = 0; n < chunk.count; n++) {
        txn_delete(txn, STORE_DATA, score_key(zset, chunk.keys[n]));
        txn_delete(txn, STORE_DATA, member_key(zset, zset_packed_member(chunk.keys[n])));
        if (removal->removed != NULL) {
            buf_append_bytes(removal->removed, chunk.keys[n]);
        }
    }
    removal->count += chunk.count;
    status = uncount(zset, &chunk, removal->reverse);
    return status == STATUS_OK ? move_bounds(zset, &chunk, removal->reverse) : status;
}

enum status zset_remove_range(struct zset *zset, struct zset_removal *removal)
{
    removal->count = 0;
    if (zset->packed) {
        packed_remove_range(zset, removal);
        return STATUS_OK;
    }
    struct zset_range range = zset_within(zset, removal->range);
    bool all = slice_equal(range.from, bound_slice(&zset->low)) &&
               slice_equal(range.to, bound_slice(&zset->high)) && removal->limit >= zset->size;
    if (all && removal->removed == NULL) {
        removal->count = zset->size;
        zset->size = 0;
        zset->cleared = true;
        return STATUS_OK;
    }
    enum status status = STATUS_OK;
    while (status == STATUS_OK && removal->count < removal->limit && zset->size > 0) {
        status = remove_chunk(zset, removal);
    }
    return status;
}

void zset_save(struct zset *zset)
{
    if (zset->size == 0) {
        if (zset->row.found) {
            /* What was removed one by one leaves no garbage. */
            zset->row.flags |= zset->cleared ? 0 : KEYSPACE_PACKED;
            keyspace_delete(zset->call, &zset->row);
        }
        return;
    }
    if (zset->packed) {
        keyspace_put(zset->call, &zset->row, zset->size, zset->body);
        return;
    }
    struct buf *body = txn_scratch(zset->call->txn, SCRATCH_BODY);
    buf_append_u8(body, zset->levels);
    buf_append_u32(body, zset->top);
    buf_append_u8(body, zset->first.size);
    buf_append_slice(body, bound_slice(&zset->first));
    buf_append_u8(body, zset->low.size);
    buf_append_slice(body, bound_slice(&zset->low));
    buf_append_u8(body, zset->high.size);
    buf_append_slice(body, bound_slice(&zset->high));
    keyspace_put(zset->call, &zset->row, zset->size, buf_slice(body));
}

void zset_finish(struct zset *zset, const char *event, struct slice key)
{
    zset_save(zset);
    event_note(zset->call, EVENT_ZSET, event, key);
    if (zset->size == 0) {
        event_note(zset->call, EVENT_GENERIC, "del", key);
    }
}

static bool fits_packed(const struct slice *sub_keys, size_t count)
{
    if (count > ZSET_PACKED_COUNT_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (sub_keys[i].len > SCORE_SIZE + ZSET_PACKED_MEMBER_MAX) {
            return false;
        }
    }
    return true;
}

static void fill_rows(struct zset *zset, const struct slice *sub_keys, size_t count)
{
    zset->packed = false;
    zset->row.flags &= (uint8_t) ~(unsigned)KEYSPACE_PACKED;
    zset->size = count;
    zset->low = bound_at(sub_keys[0]);
    zset->high = bound_behind(sub_keys[count - 1]);
    uint8_t prefixes[2 * ZSET_PREFIX_SIZE];
    struct rank_index index = zset_index(zset, prefixes);
    bool indexed = count > RANK_INDEX_SIZE_MIN;
    struct rank_builder builder;
    if (indexed) {
        rank_builder_begin(&builder, &index);
    }
    for (size_t i = 0; i < count; i++) {
        put_rows(zset, sub_keys[i]);
        if (indexed) {
            rank_builder_add(&builder, sub_keys[i]);
        }
    }
    if (indexed) {
        rank_builder_end(&builder);
    }
    keep_index(zset, &index);
}

void zset_replace(struct call *call, struct row *row, const struct slice *sub_keys, size_t count)
{
    if (row->found) {
        keyspace_delete(call, row);
    }
    if (count == 0) {
        return;
    }
    struct zset zset = {.call = call, .row = *row, .packed = true};
    begin(&zset);
    if (fits_packed(sub_keys, count)) {
        for (size_t i = 0; i < count; i++) {
            packed_insert(&zset, sub_keys[i]);
        }
    } else {
        fill_rows(&zset, sub_keys, count);
    }
    zset_save(&zset);
}

enum status zset_store(struct call *call,
                       struct slice key,
                       const struct slice *sub_keys,
                       size_t count,
                       const char *event)
{
    struct row row;
    enum status status = keyspace_load(call, SLOT_A, call->db, key, &row);
    if (status != STATUS_OK) {
        return status;
    }
    bool found = row.found;
    zset_replace(call, &row, sub_keys, count);
    resp_write_int(call->reply, (int64_t)count);
    if (count > 0) {
        event_note(call, EVENT_ZSET, event, key);
    } else if (found) {
        event_note(call, EVENT_GENERIC, "del", key);
    }
    return STATUS_OK;
}

uint64_t zset_first_score(const struct zset *zset)
{
    assert(zset->size > 0);
    struct slice rest = zset->body;
    struct slice first = zset->packed ? zset_packed_next(&rest) : bound_slice(&zset->low);
    struct reader in = reader_of(first);
    uint64_t bits = reader_u64_be(&in);
    assert(!in.failed);
    return bits;
}
