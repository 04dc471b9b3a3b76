#include "server/machine/hole.h"

#include "common/base/assert.h"

enum { SEGMENT_SIZE = 1 << HOLE_BITS, DELETE_COUNT_MAX = 4096 };

/* How many bits of a position are within a segment of the level. */
static unsigned shift_of(unsigned level)
{
    return HOLE_BITS * (level + 1);
}

static struct slice key_of(struct call *call,
                           const struct row *row,
                           unsigned level,
                           uint64_t segment)
{
    assert(level < HOLE_LEVELS);
    struct buf *key = txn_scratch(call->txn, SCRATCH_INDEX);
    keyspace_element_key(row, key);
    buf_append_u8(key, HOLE_MARK);
    buf_append_u8(key, (uint8_t)level);
    buf_append_u64_be(key, segment);
    return buf_slice(key);
}

static enum status load(
    struct call *call, const struct row *row, unsigned level, uint64_t segment, uint64_t *value)
{
    struct buf *bytes = txn_scratch(call->txn, SCRATCH_CHUNK);
    enum status status = txn_get(call->txn, STORE_DATA, key_of(call, row, level, segment), bytes);
    *value = 0;
    if (status == STATUS_NOT_FOUND) {
        return STATUS_OK;
    }
    if (status == STATUS_OK && bytes->len != sizeof(*value)) {
        return STATUS_CORRUPT;
    }
    if (status == STATUS_OK) {
        memcpy(value, bytes->data, sizeof(*value));
    }
    return status;
}

static void store(
    struct call *call, const struct row *row, unsigned level, uint64_t segment, uint64_t value)
{
    struct slice key = key_of(call, row, level, segment);
    if (value == 0) {
        txn_delete(call->txn, STORE_DATA, key);
        return;
    }
    struct buf *bytes = txn_scratch(call->txn, SCRATCH_CHUNK);
    buf_append_u64(bytes, value);
    txn_put(call->txn, STORE_DATA, key, buf_slice(bytes));
}

static uint64_t bit_of(uint64_t position)
{
    return UINT64_C(1) << (position % SEGMENT_SIZE);
}

/* Adds count, which may be negative, to the segments of the levels above 0 that position is in. */
static enum status count_up(struct call *call,
                            const struct row *row,
                            uint64_t position,
                            int64_t count)
{
    for (unsigned level = 1; level < HOLE_LEVELS; level++) {
        uint64_t segment = position >> shift_of(level);
        uint64_t value = 0;
        enum status status = load(call, row, level, segment, &value);
        if (status != STATUS_OK) {
            return status;
        }
        value += (uint64_t)count;
        if (value > UINT64_C(1) << shift_of(level)) {
            return STATUS_CORRUPT;
        }
        store(call, row, level, segment, value);
    }
    return STATUS_OK;
}

static enum status change(struct call *call, const struct row *row, uint64_t position, bool hole)
{
    uint64_t bits = 0;
    enum status status = load(call, row, 0, position >> HOLE_BITS, &bits);
    if (status != STATUS_OK) {
        return status;
    }
    if (((bits & bit_of(position)) != 0) == hole) {
        return STATUS_CORRUPT;
    }
    store(call, row, 0, position >> HOLE_BITS, bits ^ bit_of(position));
    return count_up(call, row, position, hole ? 1 : -1);
}

enum status hole_add(struct call *call, const struct row *row, uint64_t position)
{
    return change(call, row, position, true);
}

enum status hole_fill(struct call *call, const struct row *row, uint64_t position)
{
    return change(call, row, position, false);
}

enum status hole_check(struct call *call, const struct row *row, uint64_t position, bool *hole)
{
    uint64_t bits = 0;
    enum status status = load(call, row, 0, position >> HOLE_BITS, &bits);
    *hole = (bits & bit_of(position)) != 0;
    return status;
}

/* The highest level of which a whole segment begins at from and ends by to; -1: none. */
static int level_at(uint64_t from, uint64_t to)
{
    int level = -1;
    while (level + 1 < HOLE_LEVELS) {
        uint64_t size = UINT64_C(1) << shift_of((unsigned)(level + 1));
        if (from % size != 0 || to - from < size) {
            break;
        }
        level++;
    }
    return level;
}

/* Bits of the positions from <= position < to of the segment that from is in. */
static uint64_t mask_of(uint64_t from, uint64_t to)
{
    uint64_t first = from % SEGMENT_SIZE;
    uint64_t count = SEGMENT_SIZE - first < to - from ? SEGMENT_SIZE - first : to - from;
    uint64_t bits = count == SEGMENT_SIZE ? UINT64_MAX : (UINT64_C(1) << count) - 1;
    return bits << first;
}

static enum status count_between(
    struct call *call, const struct row *row, uint64_t from, uint64_t to, uint64_t *count)
{
    *count = 0;
    while (from < to) {
        int level = level_at(from, to);
        unsigned at = level < 1 ? 0 : (unsigned)level;
        uint64_t value = 0;
        enum status status = load(call, row, at, from >> shift_of(at), &value);
        if (status != STATUS_OK) {
            return status;
        }
        *count += at > 0 ? value : (uint64_t)__builtin_popcountll(value & mask_of(from, to));
        uint64_t next = ((from >> shift_of(at)) + 1) << shift_of(at);
        from = next < to ? next : to;
    }
    return STATUS_OK;
}

/* Removes the rows first <= segment < end of a level. */
static void delete_segments(
    struct call *call, const struct row *row, unsigned level, uint64_t first, uint64_t end)
{
    if (end - first <= DELETE_COUNT_MAX) {
        for (uint64_t segment = first; segment < end; segment++) {
            txn_delete(call->txn, STORE_DATA, key_of(call, row, level, segment));
        }
        return;
    }
    struct buf *from = txn_scratch(call->txn, SCRATCH_FROM);
    buf_append_slice(from, key_of(call, row, level, first));
    struct slice to = key_of(call, row, level, end);
    txn_delete_range(call->txn, STORE_DATA, buf_slice(from), to);
}

/* The part of a segment that goes; part is the first of its positions. */
static enum status forget_part(
    struct call *call, const struct row *row, unsigned level, uint64_t part, uint64_t to)
{
    uint64_t segment = part >> shift_of(level);
    uint64_t end = (segment + 1) << shift_of(level);
    uint64_t value = 0;
    uint64_t gone = 0;
    enum status status = load(call, row, level, segment, &value);
    if (status != STATUS_OK || value == 0) {
        return status;
    }
    if (level == 0) {
        store(call, row, level, segment, value & ~mask_of(part, to));
        return STATUS_OK;
    }
    status = count_between(call, row, part, to < end ? to : end, &gone);
    if (status == STATUS_OK && gone > value) {
        return STATUS_CORRUPT;
    }
    if (status == STATUS_OK) {
        store(call, row, level, segment, value - gone);
    }
    return status;
}

enum status hole_forget(struct call *call, const struct row *row, uint64_t from, uint64_t to)
{
    if (from >= to) {
        return STATUS_OK;
    }
    /* From the top: the levels below say what is to be taken off those above. */
    for (unsigned level = HOLE_LEVELS; level-- > 0;) {
        uint64_t first = from >> shift_of(level);
        uint64_t last = (to - 1) >> shift_of(level);
        enum status status = forget_part(call, row, level, from, to);
        if (status == STATUS_OK && last > first) {
            delete_segments(call, row, level, first + 1, last);
            status = forget_part(call, row, level, last << shift_of(level), to);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* The place of the nth bit that is 0. */
static uint64_t select_zero(uint64_t bits, uint64_t nth)
{
    uint64_t zeros = ~bits;
    for (; nth > 0; nth--) {
        zeros &= zeros - 1;
    }
    assert(zeros != 0);
    return (uint64_t)__builtin_ctzll(zeros);
}

enum status hole_seek(struct call *call, const struct row *row, uint64_t nth, uint64_t *position)
{
    uint64_t at = *position;
    bool found = false; /* The segment it is in. */
    unsigned level = 0;
    while (true) {
        int highest = level_at(at, UINT64_MAX);
        if (!found) {
            level = highest < 1 ? 0 : (unsigned)highest;
        }
        uint64_t value = 0;
        enum status status = load(call, row, level, at >> shift_of(level), &value);
        if (status != STATUS_OK) {
            return status;
        }
        uint64_t size = UINT64_C(1) << shift_of(level);
        if (level == 0) {
            value |= bit_of(at) - 1; /* Those before it do not count. */
            uint64_t live = SEGMENT_SIZE - (uint64_t)__builtin_popcountll(value);
            if (live > nth) {
                *position = (at & ~(size - 1)) + select_zero(value, nth);
                return STATUS_OK;
            }
            nth -= live;
        } else if (value > size) {
            return STATUS_CORRUPT;
        } else if (size - value > nth) {
            found = true;
            level--;
            continue;
        } else {
            nth -= size - value;
        }
        at = (at & ~(size - 1)) + size;
    }
}
