#include "server/control/group_ask.h"

#include "common/proto/resp.h"
#include "tests/support/test.h"

static enum group_ask ask(size_t argc, const char *const *words, uint64_t numbers[2])
{
    struct slice argv[4];
    for (size_t i = 0; i < argc; i++) {
        argv[i] = slice_str(words[i]);
    }
    return group_ask_of((struct args){.argv = argv, .argc = argc}, numbers);
}

TEST(group_ask_of, knows_its_own)
{
    uint64_t numbers[2];
    CHECK_EQ(ask(1, (const char *[]){"group.conf"}, numbers), GROUP_ASK_CONF);
    CHECK_EQ(ask(1, (const char *[]){"GROUP.INFO"}, numbers), GROUP_ASK_INFO);
    CHECK_EQ(ask(2, (const char *[]){"GROUP.LEAD", "12"}, numbers), GROUP_ASK_LEAD);
    CHECK_EQ(numbers[0], 12);
    CHECK_EQ(ask(3, (const char *[]){"GROUP.PACE", "12", "1000"}, numbers), GROUP_ASK_PACE);
    CHECK(numbers[0] == 12 && numbers[1] == 1000);
    CHECK_EQ(ask(2, (const char *[]){"GROUP.CONF", "1"}, numbers), GROUP_ASK_NONE);
    CHECK_EQ(ask(1, (const char *[]){"GROUP.LEAD"}, numbers), GROUP_ASK_NONE);
    CHECK_EQ(ask(2, (const char *[]){"GROUP.LEAD", "x"}, numbers), GROUP_ASK_NONE);
    CHECK_EQ(ask(2, (const char *[]){"GROUP.LEAD", ""}, numbers), GROUP_ASK_NONE);
    CHECK_EQ(ask(1, (const char *[]){"META.MAP"}, numbers), GROUP_ASK_NONE);
}

TEST(group_ask_read_report, reads_what_was_written_and_nothing_shorter)
{
    struct group_report report = {.term = 5, .commit_index = 77, .size = 1 << 20, .count = 2};
    struct group_report back;
    struct buf reply;
    report.members[0].replica = 4;
    report.members[0].node = 1;
    report.members[0].role = MEMBER_VOTER;
    report.members[0].match = 77;
    report.members[0].connected = true;
    report.members[1].replica = 9;
    report.members[1].node = 3;
    report.members[1].sent = 10;
    report.members[1].size = 20;
    buf_init(&reply, 4096);
    group_ask_write_report(&report, &reply);
    CHECK(group_ask_read_report(buf_slice(&reply), &back));
    CHECK(memcmp(&report, &back, sizeof(report)) == 0);
    for (size_t len = 0; len < reply.len; len++) {
        CHECK(!group_ask_read_report(slice_of(reply.data, len), &back));
    }
    CHECK(!group_ask_read_report(slice_str("*4\r\n:1\r\n:1\r\n:1\r\n:9\r\n"), &back));
    CHECK(!group_ask_read_report(slice_str("*3\r\n:1\r\n:1\r\n:1\r\n"), &back));
    CHECK(!group_ask_read_report(slice_str("*4\r\n:1\r\n:1\r\n:-1\r\n:0\r\n"), &back));
    buf_deinit(&reply);
}
