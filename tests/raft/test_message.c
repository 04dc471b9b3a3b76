#include "replication/raft/message.h"
#include "tests/support/test.h"

static void put_all(struct buf *out)
{
    struct buf entries;
    buf_init(&entries, 4096);
    struct message_entry entry = {.term = 3, .type = 1, .data = slice_str("abc")};
    message_put_entry(&entry, &entries);
    message_put_entry(&entry, &entries);
    struct message_header header = {.loop = 3, .incarnation = 9, .seq = 4};
    message_put_header(&header, out);
    for (unsigned kind = MESSAGE_APPEND; kind <= MESSAGE_NO_INSTALL; kind++) {
        struct message message = {.group = 1, .from = 2, .to = 3, .term = 4};
        message.kind = (enum message_kind)kind;
        if (kind == MESSAGE_APPEND) {
            message.append.prev_term = 2;
            message.append.count = 2;
            message.append.entries = buf_slice(&entries);
        }
        if (kind == MESSAGE_INSTALL) {
            message.install.state.index = message.install.state.term = 5;
            message.install.state.conf.count = 1;
            message.install.state.conf.members[0] = (struct group_member){7, 8, MEMBER_VOTER};
            message.install.manifest = slice_str("manifest");
        }
        message_put(&message, out);
    }
    buf_deinit(&entries);
}

static bool take_all(struct slice bytes, unsigned *count)
{
    struct reader in = reader_of(bytes);
    struct message_header header;
    struct message message;
    *count = 0;
    if (!message_take_header(&in, &header)) {
        return false;
    }
    while (message_next(&in, &message)) {
        (*count)++;
        CHECK_EQ(message.kind, *count);
        CHECK_EQ(message.term, 4);
    }
    return reader_done(&in);
}

TEST(message_next, takes_what_message_put_wrote)
{
    struct buf batch;
    unsigned count = 0;
    buf_init(&batch, 1 << 16);
    put_all(&batch);
    CHECK(take_all(buf_slice(&batch), &count));
    CHECK_EQ(count, MESSAGE_NO_INSTALL);
    buf_deinit(&batch);
}

TEST(message_next, refuses_every_truncation_but_those_between_messages)
{
    struct buf batch;
    unsigned count = 0;
    unsigned whole = 0;
    buf_init(&batch, 1 << 16);
    put_all(&batch);
    for (size_t len = 0; len < batch.len; len++) {
        whole += take_all(slice_of(batch.data, len), &count);
    }
    CHECK_EQ(whole, MESSAGE_NO_INSTALL); /* After the header and after each message but the last. */
    buf_deinit(&batch);
}

static bool takes_append(uint64_t prev_term, uint8_t type, uint64_t term, uint32_t count)
{
    struct buf entries;
    struct buf batch;
    struct message_entry entry = {.term = term, .type = type, .data = slice_str("abc")};
    struct message message = {.kind = MESSAGE_APPEND, .group = 1, .from = 2, .to = 3, .term = 4};
    buf_init(&entries, 4096);
    buf_init(&batch, 4096);
    message_put_entry(&entry, &entries);
    message.append.prev_term = prev_term;
    message.append.count = count;
    message.append.entries = buf_slice(&entries);
    message_put(&message, &batch);
    struct reader in = reader_of(buf_slice(&batch));
    bool taken = message_next(&in, &message);
    buf_deinit(&entries);
    buf_deinit(&batch);
    return taken;
}

TEST(message_next, lets_only_sound_entries_through)
{
    CHECK(takes_append(1, 1, 2, 1));
    CHECK(takes_append(2, 2, 2, 1));
    CHECK(!takes_append(3, 1, 2, 1)); /* Terms never fall along a log. */
    CHECK(!takes_append(1, 0, 2, 1));
    CHECK(!takes_append(1, 4, 2, 1));
    CHECK(!takes_append(1, 1, 2, 2)); /* Says two, has one. */
    CHECK(!takes_append(1, 3, 2, 1)); /* No configuration. */
}
