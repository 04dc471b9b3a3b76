#include "server/machine/dedup.h"

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "common/cluster/session_number.h"
#include "server/machine/keyspace.h"
#include "server/machine/stage.h"

enum {
    WINDOW_FORMAT = 1,
    OFFSET_TIME = 1,
    OFFSET_FLOOR = OFFSET_TIME + 8,
    OFFSET_SEQ_MAX = OFFSET_FLOOR + 8,
    OFFSET_COUNT = OFFSET_SEQ_MAX + 8,
    WINDOW_HEADER_SIZE = OFFSET_COUNT + 4,
    ENTRY_HEADER_SIZE = 8 + 4,
};

/* In place of the size of a reply. */
static const uint32_t reply_apart = UINT32_MAX;
static const uint32_t reply_dropped = UINT32_MAX - 1;

struct entry {
    uint64_t seq;
    uint32_t mark; /* Size, reply_apart or reply_dropped. */
    struct slice reply;
    size_t size; /* Of the whole entry. */
};

static uint64_t get_u64(const struct buf *window, size_t offset)
{
    assert(offset + 8 <= window->len);
    return little_u64(window->data + offset);
}

static void put_u64(struct buf *window, size_t offset, uint64_t value)
{
    assert(offset + 8 <= window->len);
    little_put_u64(window->data + offset, value);
}

static uint32_t get_count(const struct buf *window)
{
    assert(OFFSET_COUNT + 4 <= window->len);
    return little_u32(window->data + OFFSET_COUNT);
}

/* False at the end of the entries, or where they are malformed (then in->failed). */
static bool next_entry(struct reader *in, struct entry *entry)
{
    if (in->rest.len == 0) {
        return false;
    }
    entry->seq = reader_u64(in);
    entry->mark = reader_u32(in);
    size_t len = entry->mark <= DEDUP_INLINE_SIZE_MAX ? entry->mark : 0;
    if (entry->mark > DEDUP_INLINE_SIZE_MAX && entry->mark < reply_dropped) {
        in->failed = true;
    }
    entry->reply = reader_raw(in, len);
    entry->size = ENTRY_HEADER_SIZE + len;
    return !in->failed;
}

static struct reader entries_of(const struct buf *window)
{
    return reader_of(slice_of(window->data + WINDOW_HEADER_SIZE, window->len - WINDOW_HEADER_SIZE));
}

static bool well_formed(const struct buf *window)
{
    return window->len >= WINDOW_HEADER_SIZE && window->data[0] == WINDOW_FORMAT;
}

static struct slice session_key(struct txn *txn, uint64_t shard, uint64_t session)
{
    struct buf *key = txn_scratch(txn, SCRATCH_INDEX);
    keyspace_local_key(shard, LOCAL_SESSION, key);
    buf_append_u64_be(key, session);
    return buf_slice(key);
}

static struct slice reply_row_key(struct txn *txn, uint64_t shard, uint64_t session, uint64_t seq)
{
    struct buf *key = txn_scratch(txn, SCRATCH_INDEX);
    keyspace_local_key(shard, LOCAL_REPLY, key);
    buf_append_u64_be(key, session);
    buf_append_u64_be(key, seq);
    return buf_slice(key);
}

static struct slice reply_key(struct call *call, uint64_t session, uint64_t seq)
{
    return reply_row_key(call->txn, call->scope.shard, session, seq);
}

static enum status repeat_reply(struct call *call,
                                const struct dedup *dedup,
                                const struct entry *entry)
{
    if (entry->mark == reply_dropped) {
        resp_write_error(call->reply,
                         "UNKNOWN this write was applied before, its reply is no longer kept");
        return STATUS_OK;
    }
    if (entry->mark != reply_apart) {
        buf_append_slice(call->reply, entry->reply);
        return STATUS_OK;
    }
    enum status status =
        txn_get(call->txn, STORE_LOCAL, reply_key(call, dedup->session, entry->seq), call->reply);
    return status == STATUS_NOT_FOUND ? STATUS_CORRUPT : status;
}

static enum status find_entry(struct call *call, const struct dedup *dedup, bool *known)
{
    struct reader in = entries_of(dedup->window);
    struct entry entry;
    while (next_entry(&in, &entry)) {
        if (entry.seq == dedup->seq) {
            *known = true;
            return repeat_reply(call, dedup, &entry);
        }
    }
    return in.failed ? STATUS_CORRUPT : STATUS_OK;
}

/* What this shard has recorded itself, if it is asked under the number that it has for others. The
 * sender keeps such a record from being dropped: it does not say that its seq was acknowledged. */
static enum status find_own(struct call *call, const struct dedup *dedup, bool *known)
{
    if ((dedup->session & SESSION_NUMBER_INHERITED) == 0) {
        return STATUS_OK;
    }
    struct dedup own = *dedup;
    own.session = session_number_before(dedup->session, call->scope.shard);
    own.window = txn_scratch(call->txn, SCRATCH_BODY);
    enum status status = txn_get(
        call->txn, STORE_LOCAL, session_key(call->txn, call->scope.shard, own.session), own.window);
    if (status == STATUS_OK && !well_formed(own.window)) {
        status = STATUS_CORRUPT;
    }
    if (status == STATUS_OK) {
        status = find_entry(call, &own, known);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status check_window(struct call *call, const struct dedup *dedup, bool *known)
{
    struct slice key = session_key(call->txn, call->scope.shard, dedup->session);
    enum status status = txn_get(call->txn, STORE_LOCAL, key, dedup->window);
    if (status == STATUS_NOT_FOUND) {
        return STATUS_OK;
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (!well_formed(dedup->window)) {
        return STATUS_CORRUPT;
    }
    if (dedup->seq < get_u64(dedup->window, OFFSET_FLOOR)) {
        *known = true;
        resp_write_error(call->reply, "UNKNOWN this write was acknowledged before");
        return STATUS_OK;
    }
    if (dedup->seq > get_u64(dedup->window, OFFSET_SEQ_MAX)) {
        return STATUS_OK;
    }
    return find_entry(call, dedup, known);
}

enum status dedup_check(struct call *call,
                        const struct machine_apply_input *input,
                        struct dedup *dedup,
                        bool *known)
{
    assert(input->session != 0);
    *known = false;
    *dedup = (struct dedup){.session = input->session,
                            .seq = input->seq,
                            .first_unacked = input->first_unacked,
                            .window = txn_scratch(call->txn, SCRATCH_SESSION)};
    enum status status = check_window(call, dedup, known);
    return status == STATUS_OK && !*known ? find_own(call, dedup, known) : status;
}

static void begin_window(struct call *call, struct buf *window)
{
    buf_append_u8(window, WINDOW_FORMAT);
    buf_append_u64(window, 0);
    buf_append_u64(window, 0);
    buf_append_u64(window, 0);
    buf_append_u32(window, 0);
    assert(window->len == WINDOW_HEADER_SIZE);
    if (call->state->sweep_ms == 0) {
        call->state->sweep_ms = call->now_ms + DEDUP_IDLE_MS;
    }
}

/* Drops the oldest entries while they are acknowledged, or too many. */
static enum status prune(struct call *call, const struct dedup *dedup)
{
    struct buf *window = dedup->window;
    uint64_t floor = get_u64(window, OFFSET_FLOOR);
    floor = dedup->first_unacked > floor ? dedup->first_unacked : floor;
    uint32_t count = get_count(window);
    struct reader in = entries_of(window);
    struct entry entry;
    size_t dropped = 0;
    while (next_entry(&in, &entry) && (entry.seq < floor || count >= DEDUP_OPEN_MAX)) {
        if (entry.mark == reply_apart) {
            txn_delete(call->txn, STORE_LOCAL, reply_key(call, dedup->session, entry.seq));
        }
        floor = entry.seq >= floor ? entry.seq + 1 : floor;
        dropped += entry.size;
        count--;
    }
    if (in.failed) {
        return STATUS_CORRUPT;
    }
    if (dropped > 0) {
        uint8_t *entries = window->data + WINDOW_HEADER_SIZE;
        size_t left = window->len - WINDOW_HEADER_SIZE - dropped;
        memmove(entries, entries + dropped, left);
        buf_truncate(window, WINDOW_HEADER_SIZE + left);
    }
    put_u64(window, OFFSET_FLOOR, floor);
    buf_put_u32(window, OFFSET_COUNT, count);
    return STATUS_OK;
}

enum status dedup_record(struct call *call, struct dedup *dedup, struct slice reply)
{
    struct buf *window = dedup->window;
    if (window->len == 0) {
        begin_window(call, window);
    }
    enum status status = prune(call, dedup);
    if (status != STATUS_OK) {
        return status;
    }
    put_u64(window, OFFSET_TIME, call->now_ms);
    if (dedup->seq > get_u64(window, OFFSET_SEQ_MAX)) {
        put_u64(window, OFFSET_SEQ_MAX, dedup->seq);
    }
    buf_put_u32(window, OFFSET_COUNT, get_count(window) + 1);
    buf_append_u64(window, dedup->seq);
    if (reply.len <= DEDUP_INLINE_SIZE_MAX) {
        buf_append_u32(window, (uint32_t)reply.len);
        buf_append_slice(window, reply);
    } else if (reply.len <= DEDUP_REPLY_SIZE_MAX) {
        buf_append_u32(window, reply_apart);
        txn_put(call->txn, STORE_LOCAL, reply_key(call, dedup->session, dedup->seq), reply);
    } else {
        buf_append_u32(window, reply_dropped);
    }
    txn_put(call->txn, STORE_LOCAL, session_key(call->txn, call->scope.shard, dedup->session),
            buf_slice(window));
    return STATUS_OK;
}

/* What a walk over the sessions finds. */
struct sweep {
    struct buf *idle;   /* Rows to delete: u32 length, key. */
    uint64_t oldest_ms; /* Of those that stay. */
    uint64_t next;      /* Session to go on from; 0: all were seen. */
};

static enum status look_at(struct call *call,
                           struct slice key,
                           struct slice value,
                           struct sweep *sweep)
{
    struct reader session_in = reader_of(slice_of(key.data + 9, key.len - 9));
    uint64_t session = reader_u64_be(&session_in);
    struct buf window = {.data = (uint8_t *)(uintptr_t)value.data, .len = value.len};
    if (!reader_done(&session_in) || !well_formed(&window)) {
        return STATUS_CORRUPT;
    }
    uint64_t time_ms = get_u64(&window, OFFSET_TIME);
    if (time_ms + DEDUP_IDLE_MS > call->now_ms) {
        sweep->oldest_ms = time_ms < sweep->oldest_ms ? time_ms : sweep->oldest_ms;
        return STATUS_OK;
    }
    buf_append_bytes(sweep->idle, key);
    struct reader in = entries_of(&window);
    struct entry entry;
    while (next_entry(&in, &entry)) {
        if (entry.mark == reply_apart) {
            buf_append_bytes(sweep->idle, reply_key(call, session, entry.seq));
        }
    }
    return in.failed ? STATUS_CORRUPT : STATUS_OK;
}

static enum status walk_sessions(struct call *call, struct sweep *sweep)
{
    struct buf *from = txn_scratch(call->txn, SCRATCH_KEY_A);
    struct buf *to = txn_scratch(call->txn, SCRATCH_KEY_B);
    keyspace_local_key(call->scope.shard, LOCAL_SESSION, from);
    buf_append_u64_be(from, call->state->sweep_session);
    keyspace_local_key(call->scope.shard, (enum keyspace_local)(LOCAL_SESSION + 1), to);
    struct store_iter *iter = iter_open(call->txn, STORE_LOCAL, buf_slice(from), buf_slice(to));
    enum status status = STATUS_OK;
    for (size_t n = 0; iter_valid(iter) && status == STATUS_OK; n++) {
        struct slice key = iter_key(iter);
        if (n == DEDUP_SWEEP_COUNT) {
            struct reader in = reader_of(slice_of(key.data + 9, key.len - 9));
            sweep->next = reader_u64_be(&in);
            break;
        }
        status = look_at(call, key, iter_value(iter), sweep);
        iter_next(iter);
    }
    enum status walked = iter_status(iter);
    iter_close(iter);
    return status != STATUS_OK ? status : walked;
}

enum status dedup_sweep(struct call *call)
{
    struct machine_state *state = call->state;
    struct sweep sweep = {.idle = txn_scratch(call->txn, SCRATCH_WORK), .oldest_ms = UINT64_MAX};
    bool whole = state->sweep_session == 0;
    enum status status = whole ? stage_sweep(call) : STATUS_OK;
    if (status != STATUS_OK) {
        return status;
    }
    status = walk_sessions(call, &sweep);
    if (status != STATUS_OK) {
        return status;
    }
    struct reader in = reader_of(buf_slice(sweep.idle));
    while (in.rest.len > 0) {
        txn_delete(call->txn, STORE_LOCAL, reader_bytes(&in, UINT32_MAX));
    }
    assert(!in.failed);
    state->sweep_session = sweep.next;
    if (sweep.next != 0) {
        return STATUS_OK; /* sweep_ms is over: the next entry goes on. */
    }
    if (whole && sweep.oldest_ms == UINT64_MAX) {
        state->sweep_ms = 0;
        return STATUS_OK;
    }
    uint64_t soon_ms = call->now_ms + DEDUP_SWEEP_MS;
    uint64_t due_ms = whole ? sweep.oldest_ms + DEDUP_IDLE_MS : 0;
    state->sweep_ms = due_ms > soon_ms ? due_ms : soon_ms;
    return STATUS_OK;
}

/* Handing on. */

struct hand_on {
    struct txn *txn;
    uint64_t from;
    uint64_t to;
};

static enum status list_sessions(const struct hand_on *work, struct buf *sessions)
{
    struct buf *from = txn_scratch(work->txn, SCRATCH_KEY_A);
    struct buf *to = txn_scratch(work->txn, SCRATCH_KEY_B);
    keyspace_local_key(work->from, LOCAL_SESSION, from);
    keyspace_local_key(work->from, (enum keyspace_local)(LOCAL_SESSION + 1), to);
    struct store_iter *iter = iter_open(work->txn, STORE_LOCAL, buf_slice(from), buf_slice(to));
    enum status status = STATUS_OK;
    for (; iter_valid(iter) && status == STATUS_OK; iter_next(iter)) {
        struct slice key = iter_key(iter);
        struct reader in = reader_of(slice_of(key.data + 9, key.len - 9));
        uint64_t session = reader_u64_be(&in);
        status = reader_done(&in) ? STATUS_OK : STATUS_CORRUPT;
        buf_append_u64(sessions, session);
    }
    enum status walked = iter_status(iter);
    iter_close(iter);
    return status != STATUS_OK ? status : walked;
}

static bool has_entry(const struct buf *window, uint64_t seq)
{
    struct reader in = entries_of(window);
    struct entry entry;
    while (next_entry(&in, &entry)) {
        if (entry.seq == seq) {
            return true;
        }
    }
    return false;
}

/* A reply that has a row of its own. */
static enum status copy_reply(const struct hand_on *work,
                              uint64_t session,
                              uint64_t heir,
                              uint64_t seq)
{
    struct buf *reply = txn_scratch(work->txn, SCRATCH_CHUNK);
    struct slice key = reply_row_key(work->txn, work->from, session, seq);
    enum status status = txn_get(work->txn, STORE_LOCAL, key, reply);
    if (status != STATUS_OK) {
        return status == STATUS_NOT_FOUND ? STATUS_CORRUPT : status;
    }
    key = reply_row_key(work->txn, work->to, heir, seq);
    txn_put(work->txn, STORE_LOCAL, key, buf_slice(reply));
    return STATUS_OK;
}

/* Adds the entries of one window that the heir's does not have yet. */
static enum status join_window(const struct hand_on *work,
                               uint64_t session,
                               const struct buf *window,
                               struct buf *joined)
{
    uint64_t heir = session_number_inherited(session, work->from);
    struct reader in = entries_of(window);
    struct entry entry;
    while (next_entry(&in, &entry)) {
        if (has_entry(joined, entry.seq)) {
            continue;
        }
        const uint8_t *bytes = in.rest.data - entry.size;
        buf_append(joined, bytes, entry.size);
        buf_put_u32(joined, OFFSET_COUNT, get_count(joined) + 1);
        enum status status = STATUS_OK;
        if (entry.mark == reply_apart) {
            status = copy_reply(work, session, heir, entry.seq);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return in.failed ? STATUS_CORRUPT : STATUS_OK;
}

static uint64_t larger(const struct buf *a, const struct buf *b, size_t offset)
{
    return get_u64(a, offset) > get_u64(b, offset) ? get_u64(a, offset) : get_u64(b, offset);
}

static enum status hand_on_one(const struct hand_on *work, uint64_t session)
{
    uint64_t heir = session_number_inherited(session, work->from);
    struct buf *window = txn_scratch(work->txn, SCRATCH_SESSION);
    struct slice key = session_key(work->txn, work->from, session);
    enum status status = txn_get(work->txn, STORE_LOCAL, key, window);
    if (status == STATUS_OK && !well_formed(window)) {
        status = STATUS_CORRUPT;
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct buf *joined = txn_scratch(work->txn, SCRATCH_BODY);
    status = txn_get(work->txn, STORE_LOCAL, session_key(work->txn, work->to, heir), joined);
    if (status == STATUS_NOT_FOUND) {
        buf_append(joined, window->data, WINDOW_HEADER_SIZE);
        buf_put_u32(joined, OFFSET_COUNT, 0);
    } else if (status != STATUS_OK) {
        return status;
    }
    if (!well_formed(joined)) {
        return STATUS_CORRUPT;
    }
    put_u64(joined, OFFSET_TIME, larger(joined, window, OFFSET_TIME));
    put_u64(joined, OFFSET_FLOOR, 0);
    put_u64(joined, OFFSET_SEQ_MAX, larger(joined, window, OFFSET_SEQ_MAX));
    status = join_window(work, session, window, joined);
    if (status == STATUS_OK) {
        txn_put(work->txn, STORE_LOCAL, session_key(work->txn, work->to, heir), buf_slice(joined));
    }
    return status;
}

enum status dedup_hand_on(struct txn *txn,
                          uint64_t from,
                          uint64_t to,
                          struct machine_state *to_state)
{
    assert(from != to);
    struct hand_on work = {.txn = txn, .from = from, .to = to};
    struct buf sessions;
    buf_init(&sessions, SIZE_MAX / 2);
    enum status status = list_sessions(&work, &sessions);
    struct reader in = reader_of(buf_slice(&sessions));
    bool any = in.rest.len > 0;
    while (status == STATUS_OK && in.rest.len > 0) {
        status = hand_on_one(&work, reader_u64(&in));
    }
    buf_deinit(&sessions);
    if (any && to_state->sweep_ms == 0) {
        to_state->sweep_ms = to_state->time_ms + DEDUP_IDLE_MS;
    }
    return status;
}
