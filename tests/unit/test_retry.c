#include "router/retry.h"

#include "tests/support/test.h"

static struct retry_plan decide(enum status status, bool hint, unsigned redirects)
{
    struct retry_case input = {.status = status, .hint = hint, .redirects = redirects};
    return retry_decide(&input);
}

TEST(retry_decide, follows_a_hint_but_not_for_ever)
{
    CHECK_EQ(decide(STATUS_NOT_LEADER, true, 0).verdict, RETRY_FOLLOW);
    CHECK_EQ(decide(STATUS_NOT_LEADER, true, RETRY_REDIRECTS_MAX - 1).verdict, RETRY_FOLLOW);
    CHECK_EQ(decide(STATUS_NOT_LEADER, true, RETRY_REDIRECTS_MAX).verdict, RETRY_ELSEWHERE);
    CHECK_EQ(decide(STATUS_NOT_LEADER, false, 0).verdict, RETRY_ELSEWHERE);
}

TEST(retry_decide, knows_which_answers_mean_that_nothing_happened)
{
    const enum status nothing[] = {STATUS_NOT_LEADER, STATUS_NOT_OWNER,   STATUS_NO_SHARD,
                                   STATUS_BUSY,       STATUS_AGAIN,       STATUS_DISK_FULL,
                                   STATUS_TOO_BIG,    STATUS_BAD_ARGUMENT};
    for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
        CHECK(decide(nothing[i], false, 0).refused);
    }
    /* CLOSED: a group that is closed fails its pending writes with it, which may be in the log. */
    const enum status perhaps[] = {STATUS_LEADERSHIP_LOST, STATUS_TIMEOUT, STATUS_DISCONNECTED,
                                   STATUS_SESSION_EXPIRED, STATUS_CLOSED,  STATUS_IO,
                                   STATUS_CORRUPT};
    for (size_t i = 0; i < sizeof(perhaps) / sizeof(perhaps[0]); i++) {
        CHECK(!decide(perhaps[i], false, 0).refused);
    }
}

TEST(retry_decide, only_the_owner_speaks_for_earlier_tries)
{
    for (int status = 1; status < STATUS_COUNT; status++) {
        CHECK_EQ(decide((enum status)status, false, 0).none_applied, status == STATUS_NOT_OWNER);
    }
}

TEST(retry_decide, waits_at_the_same_target_when_it_is_busy)
{
    CHECK_EQ(decide(STATUS_BUSY, false, 0).verdict, RETRY_WAIT);
    CHECK_EQ(decide(STATUS_LEADERSHIP_LOST, false, 0).verdict, RETRY_ELSEWHERE);
    CHECK_EQ(decide(STATUS_CLOSED, false, 0).verdict, RETRY_ELSEWHERE);
    CHECK_EQ(decide(STATUS_NO_SHARD, false, 0).verdict, RETRY_ELSEWHERE);
    CHECK(decide(STATUS_NO_SHARD, false, 0).refresh);
    CHECK_EQ(decide(STATUS_NOT_OWNER, false, 0).verdict, RETRY_REMAP);
}

TEST(retry_decide, gives_up_what_cannot_change)
{
    CHECK_EQ(decide(STATUS_DISK_FULL, false, 0).verdict, RETRY_FAIL);
    CHECK_EQ(decide(STATUS_SESSION_EXPIRED, false, 0).verdict, RETRY_FAIL);
    CHECK_EQ(decide(STATUS_TOO_BIG, false, 0).verdict, RETRY_FAIL);
    CHECK_EQ(decide(STATUS_PROTOCOL, false, 0).verdict, RETRY_FAIL);
}

TEST(retry_backoff_ms, doubles_within_its_bounds)
{
    uint32_t before = 0;
    for (unsigned failures = 0; failures < 40; failures++) {
        uint32_t longest = 0;
        for (uint64_t random = 0; random < 1000; random++) {
            uint32_t ms = retry_backoff_ms(failures, random);
            CHECK(ms >= 1 && ms <= RETRY_BACKOFF_MS_MAX);
            longest = ms > longest ? ms : longest;
        }
        CHECK(longest >= before);
        before = longest;
    }
    CHECK_EQ(before, RETRY_BACKOFF_MS_MAX);
    CHECK(retry_backoff_ms(0, 0) < RETRY_BACKOFF_MS_MIN + 1);
}

TEST(retry_end_of, says_unknown_for_writes_only)
{
    CHECK_EQ(retry_end_of(true, true, true), RETRY_END_UNKNOWN);
    CHECK_EQ(retry_end_of(false, true, true), RETRY_END_TIMEOUT);
    CHECK_EQ(retry_end_of(true, false, true), RETRY_END_TIMEOUT);
    CHECK_EQ(retry_end_of(true, false, false), RETRY_END_NO_LEADER);
}

TEST(retry_write_end, begins_with_the_code)
{
    const char *codes[] = {"UNKNOWN ", "TIMEOUT ", "CLUSTERDOWN ", "CLUSTERDOWN "};
    for (int end = RETRY_END_UNKNOWN; end <= RETRY_END_NO_MAP; end++) {
        struct buf out;
        buf_init(&out, 1024);
        retry_write_end(&out, (enum retry_end)end, 7, 3, 10000);
        CHECK_EQ(memcmp(out.data, codes[end], strlen(codes[end])), 0);
        buf_deinit(&out);
    }
}

TEST(retry_write_failure, passes_the_reason_on)
{
    struct buf out;
    buf_init(&out, 1024);
    retry_write_failure(&out, STATUS_DISK_FULL, 7, slice_str("node 2 has 10 MB left"));
    CHECK_BYTES(buf_slice(&out), "DISKFULL node 2 has 10 MB left (shard 7)");
    buf_clear(&out);
    retry_write_failure(&out, STATUS_TOO_BIG, 7, slice_of(NULL, 0));
    CHECK_BYTES(buf_slice(&out), "ERR over a size limit (shard 7)");
    buf_clear(&out);
    retry_write_failure(&out, STATUS_SESSION_EXPIRED, 7, slice_of(NULL, 0));
    CHECK_EQ(memcmp(out.data, "UNKNOWN ", 8), 0);
    buf_deinit(&out);
}
