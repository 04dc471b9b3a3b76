#include "server/shard/entry.h"
#include "tests/support/test.h"

static void fill(struct buf *out, uint32_t count)
{
    entry_begin(out, 1234);
    for (uint32_t i = 0; i < count; i++) {
        struct entry_command command = {
            .session = i, .seq = i + 1, .first_unacked = i, .planned = slice_of("abcdef", i % 7)};
        entry_add(out, &command);
    }
}

TEST(entry, comes_back_as_it_was_written)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    fill(&out, 10);
    struct entry entry;
    CHECK_EQ(entry_open(buf_slice(&out), &entry), STATUS_OK);
    CHECK_EQ(entry.stamp_ms, 1234);
    CHECK_EQ(entry.count, 10);
    for (uint32_t i = 0; i < 10; i++) {
        struct entry_command command;
        CHECK_EQ(entry_next(&entry, &command), STATUS_OK);
        CHECK_EQ(command.session, i);
        CHECK_EQ(command.seq, i + 1);
        CHECK_EQ(command.planned.len, i % 7);
    }
    buf_deinit(&out);
}

TEST(entry, without_commands_is_a_header_alone)
{
    struct buf out;
    buf_init(&out, 64);
    fill(&out, 0);
    struct entry entry;
    CHECK_EQ(entry_open(buf_slice(&out), &entry), STATUS_OK);
    CHECK_EQ(entry.count, 0);
    buf_append_u8(&out, 0);
    CHECK_EQ(entry_open(buf_slice(&out), &entry), STATUS_CORRUPT);
    buf_deinit(&out);
}

static enum status read_all(struct slice bytes)
{
    struct entry entry;
    enum status status = entry_open(bytes, &entry);
    while (status == STATUS_OK && entry.taken < entry.count) {
        struct entry_command command;
        status = entry_next(&entry, &command);
    }
    return status;
}

TEST(entry, refuses_every_truncation_and_every_surplus)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    fill(&out, 3);
    for (size_t len = 0; len < out.len; len++) {
        CHECK_EQ(read_all(slice_of(out.data, len)), STATUS_CORRUPT);
    }
    CHECK_EQ(read_all(buf_slice(&out)), STATUS_OK);
    buf_append_u8(&out, 0);
    CHECK_EQ(read_all(buf_slice(&out)), STATUS_CORRUPT);
    buf_deinit(&out);
}

TEST(entry, refuses_an_unknown_format_and_too_many_commands)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    fill(&out, 1);
    out.data[0] = 2;
    CHECK_EQ(read_all(buf_slice(&out)), STATUS_CORRUPT);
    out.data[0] = 1;
    buf_put_u32(&out, 9, ENTRY_COMMANDS_MAX + 1);
    CHECK_EQ(read_all(buf_slice(&out)), STATUS_CORRUPT);
    buf_deinit(&out);
}
