#include "server/machine/sequence.h"

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "server/machine/hole.h"

enum {
    LENGTH_SIZE = 4,
    DELETE_COUNT_MAX = 8192, /* Elements; more of them go by a range delete. */
};

/* Where the first element of a list is; far from both ends. */
static const uint64_t middle = UINT64_C(1) << 63;

enum status sequence_unpack(struct slice body, uint64_t count, struct sequence *sequence)
{
    if (count == 0 || count > SEQUENCE_PACKED_COUNT_MAX) {
        return STATUS_CORRUPT;
    }
    struct reader in = reader_of(body);
    for (uint64_t i = 0; i < count; i++) {
        sequence->items[i] = reader_bytes(&in, SEQUENCE_PACKED_SIZE_MAX);
    }
    sequence->size = count;
    sequence->bytes = body.len;
    return reader_done(&in) ? STATUS_OK : STATUS_CORRUPT;
}

enum status sequence_load(struct call *call,
                          enum keyspace_slot slot,
                          struct slice key,
                          struct sequence *sequence)
{
    sequence->call = call;
    sequence->size = 0;
    sequence->bytes = 0;
    sequence->packed = true;
    enum status status = keyspace_load_type(call, slot, key, KEYSPACE_LIST, &sequence->row);
    if (status != STATUS_OK || !sequence->row.found) {
        return status;
    }
    const struct row *row = &sequence->row;
    sequence->packed = (row->flags & KEYSPACE_PACKED) != 0;
    if (sequence->packed) {
        return sequence_unpack(row->value, row->size, sequence);
    }
    struct reader in = reader_of(row->value);
    sequence->size = row->size;
    sequence->head = reader_u64(&in);
    sequence->tail = reader_u64(&in);
    bool good = reader_done(&in) && sequence->size > 0 && sequence->head < sequence->tail &&
                sequence->size <= sequence->tail - sequence->head;
    return good ? STATUS_OK : STATUS_CORRUPT;
}

void sequence_store(struct sequence *sequence)
{
    struct call *call = sequence->call;
    if (sequence->size == 0) {
        assert(sequence->row.found);
        keyspace_delete(call, &sequence->row);
        return;
    }
    struct buf *body = txn_scratch(call->txn, SCRATCH_BODY);
    if (!sequence->packed) {
        buf_append_u64(body, sequence->head);
        buf_append_u64(body, sequence->tail);
    }
    for (uint64_t i = 0; i < sequence->size && sequence->packed; i++) {
        buf_append_bytes(body, sequence->items[i]);
    }
    keyspace_put(call, &sequence->row, sequence->size, buf_slice(body));
}

static struct slice key_at(struct sequence *sequence, uint64_t position)
{
    struct buf *key = txn_scratch(sequence->call->txn, SCRATCH_ELEMENT);
    keyspace_element_key(&sequence->row, key);
    buf_append_u64_be(key, position);
    return buf_slice(key);
}

static void put_at(struct sequence *sequence, uint64_t position, struct slice value)
{
    txn_put(sequence->call->txn, STORE_DATA, key_at(sequence, position), value);
}

static bool has_holes(const struct sequence *sequence)
{
    return sequence->tail - sequence->head > sequence->size;
}

/* Gives every element a row. */
static void spread(struct sequence *sequence)
{
    assert(sequence->packed);
    sequence->packed = false;
    sequence->row.flags &= (uint8_t)~KEYSPACE_PACKED;
    sequence->head = middle;
    sequence->tail = middle + sequence->size;
    for (uint64_t i = 0; i < sequence->size; i++) {
        put_at(sequence, middle + i, sequence->items[i]);
    }
}

static bool fits(const struct sequence *sequence, struct slice value)
{
    return sequence->size < SEQUENCE_PACKED_COUNT_MAX &&
           value.len <= SEQUENCE_PACKED_SIZE_MAX - LENGTH_SIZE &&
           sequence->bytes <= SEQUENCE_PACKED_SIZE_MAX - LENGTH_SIZE - value.len;
}

static void insert_item(struct sequence *sequence, uint64_t index, struct slice value)
{
    assert(index <= sequence->size && sequence->size < SEQUENCE_PACKED_COUNT_MAX);
    struct slice *at = &sequence->items[index];
    memmove(at + 1, at, (sequence->size - index) * sizeof(*at));
    *at = value;
    sequence->size++;
    sequence->bytes += LENGTH_SIZE + value.len;
}

static void remove_item(struct sequence *sequence, uint64_t index)
{
    assert(index < sequence->size);
    struct slice *at = &sequence->items[index];
    sequence->bytes -= LENGTH_SIZE + at->len;
    sequence->size--;
    memmove(at, at + 1, (sequence->size - index) * sizeof(*at));
}

static void begin(struct sequence *sequence)
{
    if (!sequence->row.found && sequence->size == 0) {
        keyspace_begin(sequence->call, &sequence->row, KEYSPACE_LIST);
    }
}

static enum status push_row(struct sequence *sequence, enum sequence_end end, struct slice value)
{
    if (end == SEQUENCE_LEFT) {
        put_at(sequence, --sequence->head, value);
    } else {
        put_at(sequence, sequence->tail++, value);
    }
    sequence->size++;
    return STATUS_OK;
}

enum status sequence_push(struct sequence *sequence, enum sequence_end end, struct slice value)
{
    begin(sequence);
    if (sequence->packed && !fits(sequence, value)) {
        spread(sequence);
    }
    if (!sequence->packed) {
        return push_row(sequence, end, value);
    }
    insert_item(sequence, end == SEQUENCE_LEFT ? 0 : sequence->size, value);
    return STATUS_OK;
}

/* The elements between the new ends and the old ones are gone already. */
static enum status shrink(struct sequence *sequence, uint64_t head, uint64_t tail, uint64_t size)
{
    enum status status = STATUS_OK;
    if (has_holes(sequence)) {
        struct call *call = sequence->call;
        status = hole_forget(call, &sequence->row, sequence->head, head);
        if (status == STATUS_OK) {
            status = hole_forget(call, &sequence->row, tail, sequence->tail);
        }
    }
    sequence->head = head;
    sequence->tail = tail;
    sequence->size = size;
    return status;
}

/* Behind the removal of an element at an end: where the end is now. */
static enum status next_end(struct sequence *sequence, enum sequence_end end, uint64_t *at)
{
    struct call *call = sequence->call;
    *at = end == SEQUENCE_LEFT ? sequence->head + 1 : sequence->tail - 1;
    if (!has_holes(sequence)) {
        return STATUS_OK;
    }
    if (end == SEQUENCE_LEFT) {
        return hole_seek(call, &sequence->row, 0, at);
    }
    bool hole = false;
    enum status status = hole_check(call, &sequence->row, *at - 1, &hole);
    if (status != STATUS_OK || !hole) {
        return status;
    }
    *at = sequence->head;
    status = hole_seek(call, &sequence->row, sequence->size - 2, at);
    ++*at;
    return status;
}

/* The element row at an end goes. */
static enum status drop_end(struct sequence *sequence, enum sequence_end end)
{
    uint64_t at = end == SEQUENCE_LEFT ? sequence->head : sequence->tail - 1;
    txn_delete(sequence->call->txn, STORE_DATA, key_at(sequence, at));
    if (sequence->size == 1) {
        /* No rows are left: as if it had never had any. */
        sequence->row.flags |= KEYSPACE_PACKED;
        sequence->packed = true;
        sequence->bytes = 0;
        return shrink(sequence, sequence->tail, sequence->tail, 0);
    }
    uint64_t next = 0;
    enum status status = next_end(sequence, end, &next);
    if (status != STATUS_OK) {
        return status;
    }
    uint64_t head = end == SEQUENCE_LEFT ? next : sequence->head;
    uint64_t tail = end == SEQUENCE_LEFT ? sequence->tail : next;
    uint64_t passed = (head - sequence->head) + (sequence->tail - tail);
    if (passed > 1) {
        return shrink(sequence, head, tail, sequence->size - 1);
    }
    sequence->head = head;
    sequence->tail = tail;
    sequence->size--;
    return STATUS_OK;
}

static enum status missing(enum status status)
{
    return status == STATUS_NOT_FOUND ? STATUS_CORRUPT : status;
}

enum status sequence_pop(struct sequence *sequence, enum sequence_end end, struct buf *value)
{
    assert(sequence->size > 0);
    if (sequence->packed) {
        uint64_t index = end == SEQUENCE_LEFT ? 0 : sequence->size - 1;
        buf_append_slice(value, sequence->items[index]);
        remove_item(sequence, index);
        return STATUS_OK;
    }
    uint64_t at = end == SEQUENCE_LEFT ? sequence->head : sequence->tail - 1;
    enum status status = txn_get(sequence->call->txn, STORE_DATA, key_at(sequence, at), value);
    return status == STATUS_OK ? drop_end(sequence, end) : missing(status);
}

static void delete_rows(struct sequence *sequence, uint64_t from, uint64_t to)
{
    struct txn *txn = sequence->call->txn;
    if (to - from <= DELETE_COUNT_MAX) {
        for (uint64_t at = from; at < to; at++) {
            txn_delete(txn, STORE_DATA, key_at(sequence, at));
        }
        return;
    }
    struct buf *lower = txn_scratch(txn, SCRATCH_FROM);
    buf_append_slice(lower, key_at(sequence, from));
    txn_delete_range(txn, STORE_DATA, buf_slice(lower), key_at(sequence, to));
}

enum status sequence_trim(struct sequence *sequence, uint64_t index, uint64_t count)
{
    assert(count <= sequence->size && index <= sequence->size - count);
    if (sequence->packed) {
        while (sequence->size > index + count) {
            remove_item(sequence, sequence->size - 1);
        }
        while (sequence->size > count) {
            remove_item(sequence, 0);
        }
        return STATUS_OK;
    }
    if (count == 0) {
        /* The key goes with all of its rows. */
        sequence->size = 0;
        return STATUS_OK;
    }
    uint64_t head = 0;
    uint64_t last = 0;
    enum status status = sequence_place(sequence, index, &head);
    if (status == STATUS_OK) {
        status = sequence_place(sequence, index + count - 1, &last);
    }
    if (status != STATUS_OK) {
        return status;
    }
    delete_rows(sequence, sequence->head, head);
    delete_rows(sequence, last + 1, sequence->tail);
    return shrink(sequence, head, last + 1, count);
}

enum status sequence_remove(struct sequence *sequence, uint64_t place)
{
    if (sequence->packed) {
        remove_item(sequence, place);
        return STATUS_OK;
    }
    assert(place >= sequence->head && place < sequence->tail);
    if (place == sequence->head || place == sequence->tail - 1) {
        return drop_end(sequence, place == sequence->head ? SEQUENCE_LEFT : SEQUENCE_RIGHT);
    }
    txn_delete(sequence->call->txn, STORE_DATA, key_at(sequence, place));
    sequence->size--;
    return hole_add(sequence->call, &sequence->row, place);
}

/* Moves the elements at from <= position < to by one, to the left or to the right. */
static enum status move_rows(struct sequence *sequence, uint64_t from, uint64_t to, bool left)
{
    struct txn *txn = sequence->call->txn;
    for (uint64_t n = 0; n < to - from; n++) {
        uint64_t at = left ? from + n : to - 1 - n;
        struct buf *value = txn_scratch(txn, SCRATCH_FIELD);
        enum status status = txn_get(txn, STORE_DATA, key_at(sequence, at), value);
        if (status != STATUS_OK) {
            return missing(status);
        }
        put_at(sequence, left ? at - 1 : at + 1, buf_slice(value));
    }
    return STATUS_OK;
}

/* The first place beside the list or hole on the way from place, which is not looked at, on. */
static enum status find_room(struct sequence *sequence, uint64_t place, bool left, uint64_t *room)
{
    bool hole = false;
    enum status status = STATUS_OK;
    do {
        place = left ? place - 1 : place + 1;
        if (place < sequence->head || place >= sequence->tail) {
            break;
        }
        if (has_holes(sequence)) {
            status = hole_check(sequence->call, &sequence->row, place, &hole);
        }
    } while (status == STATUS_OK && !hole);
    *room = place;
    return status;
}

/* Before the element that is at place, which is neither of the ends. */
static enum status insert_row(struct sequence *sequence, uint64_t place, struct slice value)
{
    bool left = place - sequence->head <= sequence->tail - place;
    uint64_t room = 0;
    enum status status = find_room(sequence, left ? place : place - 1, left, &room);
    if (status != STATUS_OK) {
        return status;
    }
    if (room >= sequence->head && room < sequence->tail) {
        status = hole_fill(sequence->call, &sequence->row, room);
    }
    if (status == STATUS_OK) {
        status = left ? move_rows(sequence, room + 1, place, true)
                      : move_rows(sequence, place, room, false);
    }
    if (status != STATUS_OK) {
        return status;
    }
    put_at(sequence, left ? place - 1 : place, value);
    sequence->head -= room < sequence->head ? 1 : 0;
    sequence->tail += room == sequence->tail ? 1 : 0;
    sequence->size++;
    return STATUS_OK;
}

enum status sequence_insert(struct sequence *sequence, uint64_t place, struct slice value)
{
    if (sequence->packed && !fits(sequence, value)) {
        spread(sequence);
        place += sequence->head;
    }
    if (sequence->packed) {
        insert_item(sequence, place, value);
        return STATUS_OK;
    }
    assert(place >= sequence->head && place <= sequence->tail);
    if (place == sequence->head || place == sequence->tail) {
        return push_row(sequence, place == sequence->head ? SEQUENCE_LEFT : SEQUENCE_RIGHT, value);
    }
    return insert_row(sequence, place, value);
}

void sequence_set(struct sequence *sequence, uint64_t place, struct slice value)
{
    if (!sequence->packed) {
        put_at(sequence, place, value);
        return;
    }
    assert(place < sequence->size);
    remove_item(sequence, place);
    if (fits(sequence, value)) {
        insert_item(sequence, place, value);
        return;
    }
    /* Spread with anything in its place. */
    insert_item(sequence, place, slice_of(NULL, 0));
    spread(sequence);
    put_at(sequence, sequence->head + place, value);
}

enum status sequence_place(struct sequence *sequence, uint64_t index, uint64_t *place)
{
    assert(index < sequence->size);
    if (sequence->packed) {
        *place = index;
        return STATUS_OK;
    }
    if (!has_holes(sequence)) {
        *place = sequence->head + index;
        return STATUS_OK;
    }
    if (index == sequence->size - 1) {
        *place = sequence->tail - 1;
        return STATUS_OK;
    }
    *place = sequence->head;
    return hole_seek(sequence->call, &sequence->row, index, place);
}

enum status sequence_get(struct sequence *sequence, uint64_t place, struct slice *value)
{
    if (sequence->packed) {
        assert(place < sequence->size);
        *value = sequence->items[place];
        return STATUS_OK;
    }
    struct txn *txn = sequence->call->txn;
    struct buf *bytes = txn_scratch(txn, SCRATCH_FIELD);
    enum status status = txn_get(txn, STORE_DATA, key_at(sequence, place), bytes);
    *value = buf_slice(bytes);
    return missing(status);
}

enum status sequence_walk_open(struct sequence_walk *walk,
                               struct sequence *sequence,
                               uint64_t index,
                               uint64_t count,
                               bool backward)
{
    *walk = (struct sequence_walk){.sequence = sequence, .backward = backward};
    enum status status = sequence_place(sequence, index, &walk->place);
    if (status != STATUS_OK || sequence->packed) {
        return status;
    }
    uint64_t first = backward ? sequence->head : walk->place;
    uint64_t end = backward ? walk->place + 1 : sequence->tail;
    if (!has_holes(sequence) && count < end - first) {
        first = backward ? end - count : first;
        end = first + count;
    }
    struct txn *txn = sequence->call->txn;
    struct buf *from = txn_scratch(txn, SCRATCH_FROM);
    struct buf *to = txn_scratch(txn, SCRATCH_TO);
    buf_append_slice(from, key_at(sequence, first));
    buf_append_slice(to, key_at(sequence, end));
    walk->iter = iter_open(txn, STORE_DATA, buf_slice(from), buf_slice(to));
    if (backward) {
        iter_seek_last(walk->iter);
    }
    return STATUS_OK;
}

static bool next_item(struct sequence_walk *walk)
{
    if (walk->moved) {
        walk->place = walk->backward ? walk->place - 1 : walk->place + 1;
    }
    walk->moved = true;
    if (walk->place >= walk->sequence->size) {
        return false;
    }
    walk->value = walk->sequence->items[walk->place];
    return true;
}

bool sequence_walk_next(struct sequence_walk *walk)
{
    if (walk->sequence->packed) {
        return next_item(walk);
    }
    if (walk->moved && walk->backward) {
        iter_prev(walk->iter);
    } else if (walk->moved) {
        iter_next(walk->iter);
    }
    walk->moved = true;
    if (!iter_valid(walk->iter)) {
        return false;
    }
    struct slice key = iter_key(walk->iter);
    if (key.len < sizeof(uint64_t)) {
        walk->status = STATUS_CORRUPT;
        return false;
    }
    struct reader in = reader_of(slice_of(key.data + key.len - sizeof(uint64_t), sizeof(uint64_t)));
    walk->place = reader_u64_be(&in);
    walk->value = iter_value(walk->iter);
    return true;
}

enum status sequence_walk_close(struct sequence_walk *walk)
{
    if (walk->iter != NULL) {
        enum status status = iter_status(walk->iter);
        walk->status = walk->status == STATUS_OK ? status : walk->status;
        iter_close(walk->iter);
        walk->iter = NULL;
    }
    return walk->status;
}
