#include "replication/raft/message.h"

#include "common/base/assert.h"

enum { ENTRY_HEADER_SIZE = 8 + 1 + 4 };

void message_put_header(const struct message_header *header, struct buf *out)
{
    assert(header->loop < MESSAGE_LOOPS_MAX);
    size_t start = out->len;
    buf_append_u8(out, MESSAGE_FORMAT);
    buf_append_u8(out, (uint8_t)header->loop);
    buf_append_u64(out, header->incarnation);
    buf_append_u64(out, header->seq);
    assert(out->len - start == MESSAGE_BATCH_HEADER_SIZE);
}

bool message_take_header(struct reader *in, struct message_header *header)
{
    uint8_t format = reader_u8(in);
    header->loop = reader_u8(in);
    header->incarnation = reader_u64(in);
    header->seq = reader_u64(in);
    return !in->failed && format == MESSAGE_FORMAT && header->loop < MESSAGE_LOOPS_MAX;
}

static void put_append(const struct message_append *append, struct buf *out)
{
    buf_append_u64(out, append->prev_index);
    buf_append_u64(out, append->prev_term);
    buf_append_u64(out, append->commit);
    buf_append_u64(out, append->sent_ns);
    buf_append_u32(out, append->count);
    if (append->count > 0) {
        buf_append_bytes(out, append->entries);
    }
}

static void put_body(const struct message *message, struct buf *out)
{
    switch (message->kind) {
    case MESSAGE_APPEND: put_append(&message->append, out); return;
    case MESSAGE_APPEND_RESULT:
        buf_append_u64(out, message->append_result.rejected);
        buf_append_u64(out, message->append_result.last_index);
        buf_append_u64(out, message->append_result.echo_ns);
        return;
    case MESSAGE_VOTE:
        buf_append_u64(out, message->vote.last_index);
        buf_append_u64(out, message->vote.last_term);
        buf_append_u8(out, message->vote.disrupt);
        buf_append_u8(out, message->vote.pre_vote);
        return;
    case MESSAGE_VOTE_RESULT:
        buf_append_u8(out, message->vote_result.granted);
        buf_append_u8(out, message->vote_result.pre_vote);
        return;
    case MESSAGE_INSTALL:
        group_state_encode(&message->install.state, out);
        buf_append_bytes(out, message->install.manifest);
        return;
    case MESSAGE_TIMEOUT_NOW:
        buf_append_u64(out, message->timeout_now.last_index);
        buf_append_u64(out, message->timeout_now.last_term);
        return;
    case MESSAGE_CONFIRM:
        buf_append_u64(out, message->confirm.seq);
        buf_append_u64(out, message->confirm.sent_ns);
        return;
    case MESSAGE_CONFIRM_RESULT:
        buf_append_u64(out, message->confirm_result.seq);
        buf_append_u64(out, message->confirm_result.echo_ns);
        buf_append_u8(out, message->confirm_result.follows);
        return;
    case MESSAGE_QUIESCE:
    case MESSAGE_NO_INSTALL:
        buf_append_u64(out, message->point.index);
        buf_append_u64(out, message->point.index_term);
        return;
    case MESSAGE_ASK_POINT: buf_append_u64(out, message->ask_point.seq); return;
    case MESSAGE_READ_POINT:
        buf_append_u64(out, message->read_point.seq);
        buf_append_u64(out, message->read_point.index);
        buf_append_u64(out, message->read_point.index_term);
        buf_append_u64(out, message->read_point.stamp);
        return;
    case MESSAGE_WAKE: return;
    }
}

void message_put(const struct message *message, struct buf *out)
{
    assert(message->kind >= MESSAGE_APPEND && message->kind <= MESSAGE_READ_POINT);
    buf_append_u8(out, (uint8_t)message->kind);
    buf_append_u64(out, message->group);
    buf_append_u64(out, message->from);
    buf_append_u64(out, message->to);
    buf_append_u64(out, message->term);
    put_body(message, out);
}

size_t message_entry_size(size_t data_len)
{
    return ENTRY_HEADER_SIZE + data_len;
}

void message_put_entry(const struct message_entry *entry, struct buf *out)
{
    assert(entry->term > 0);
    assert(entry->data.len <= MESSAGE_ENTRY_SIZE_MAX);
    buf_append_u64(out, entry->term);
    buf_append_u8(out, entry->type);
    buf_append_bytes(out, entry->data);
}

bool message_next_entry(struct reader *entries, struct message_entry *entry)
{
    if (entries->failed || entries->rest.len == 0) {
        return false;
    }
    entry->term = reader_u64(entries);
    entry->type = reader_u8(entries);
    entry->data = reader_bytes(entries, MESSAGE_ENTRY_SIZE_MAX);
    if (entry->term == 0) {
        entries->failed = true;
    }
    return !entries->failed;
}

/* The core's three types: command 1, barrier 2, change 3. A change is decoded by the library
 * without bounds, so nothing but a whole configuration may get there. */
static bool check_entries(const struct message_append *append)
{
    struct reader entries = reader_of(append->entries);
    struct message_entry entry;
    struct group_conf conf;
    uint64_t term = append->prev_term;
    uint32_t count = 0;
    while (message_next_entry(&entries, &entry)) {
        bool fits = entry.type >= 1 && entry.type <= 3 && entry.term >= term;
        if (!fits || (entry.type == 3 && !group_conf_decode_entry(entry.data, &conf))) {
            return false;
        }
        term = entry.term;
        count++;
    }
    return reader_done(&entries) && count == append->count;
}

static void take_append(struct reader *in, struct message_append *append)
{
    append->prev_index = reader_u64(in);
    append->prev_term = reader_u64(in);
    append->commit = reader_u64(in);
    append->sent_ns = reader_u64(in);
    append->count = reader_u32(in);
    append->entries = slice_of(NULL, 0);
    if (append->count == 0) {
        return;
    }
    append->entries = reader_bytes(in, UINT32_MAX);
    if (append->count > MESSAGE_ENTRIES_MAX || !check_entries(append)) {
        in->failed = true;
    }
}

static bool take_bool(struct reader *in)
{
    uint8_t value = reader_u8(in);
    if (value > 1) {
        in->failed = true;
    }
    return value == 1;
}

static void take_install(struct reader *in, struct message_install *install)
{
    if (!group_state_decode(in, &install->state)) {
        in->failed = true;
        return;
    }
    install->manifest = reader_bytes(in, MESSAGE_MANIFEST_SIZE_MAX);
    if (install->state.index == 0 || install->state.term == 0 || install->state.conf.count == 0) {
        in->failed = true;
    }
}

static void take_body(struct reader *in, struct message *message)
{
    switch (message->kind) {
    case MESSAGE_APPEND: take_append(in, &message->append); return;
    case MESSAGE_APPEND_RESULT:
        message->append_result.rejected = reader_u64(in);
        message->append_result.last_index = reader_u64(in);
        message->append_result.echo_ns = reader_u64(in);
        return;
    case MESSAGE_VOTE:
        message->vote.last_index = reader_u64(in);
        message->vote.last_term = reader_u64(in);
        message->vote.disrupt = take_bool(in);
        message->vote.pre_vote = take_bool(in);
        return;
    case MESSAGE_VOTE_RESULT:
        message->vote_result.granted = take_bool(in);
        message->vote_result.pre_vote = take_bool(in);
        return;
    case MESSAGE_INSTALL: take_install(in, &message->install); return;
    case MESSAGE_TIMEOUT_NOW:
        message->timeout_now.last_index = reader_u64(in);
        message->timeout_now.last_term = reader_u64(in);
        return;
    case MESSAGE_CONFIRM:
        message->confirm.seq = reader_u64(in);
        message->confirm.sent_ns = reader_u64(in);
        return;
    case MESSAGE_CONFIRM_RESULT:
        message->confirm_result.seq = reader_u64(in);
        message->confirm_result.echo_ns = reader_u64(in);
        message->confirm_result.follows = take_bool(in);
        return;
    case MESSAGE_QUIESCE:
    case MESSAGE_NO_INSTALL:
        message->point.index = reader_u64(in);
        message->point.index_term = reader_u64(in);
        return;
    case MESSAGE_ASK_POINT: message->ask_point.seq = reader_u64(in); return;
    case MESSAGE_READ_POINT:
        message->read_point.seq = reader_u64(in);
        message->read_point.index = reader_u64(in);
        message->read_point.index_term = reader_u64(in);
        message->read_point.stamp = reader_u64(in);
        return;
    case MESSAGE_WAKE: return;
    }
}

bool message_next(struct reader *in, struct message *message)
{
    if (in->failed || in->rest.len == 0) {
        return false;
    }
    uint8_t kind = reader_u8(in);
    if (kind < MESSAGE_APPEND || kind > MESSAGE_READ_POINT) {
        in->failed = true;
        return false;
    }
    message->kind = (enum message_kind)kind;
    message->group = reader_u64(in);
    message->from = reader_u64(in);
    message->to = reader_u64(in);
    message->term = reader_u64(in);
    if (message->from == 0 || message->to == 0 || message->from == message->to) {
        in->failed = true;
        return false;
    }
    take_body(in, message);
    return !in->failed;
}
