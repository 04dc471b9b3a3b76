#include "common/base/log.h"
#include "replication/raft/group_private.h"
#include "tests/raft/clock_fake.h"
#include "tests/raft/wal_fake.h"
#include "tests/support/test.h"

enum { GROUPS = 1000 };

static void on_apply(void *ctx,
                     const struct group_state *state,
                     struct slice entry,
                     struct proposal *mine)
{
    (void)ctx;
    (void)state;
    (void)entry;
    (void)mine;
}

static void on_role(void *ctx, enum group_role role, uint64_t term, uint64_t leader_node)
{
    (void)ctx;
    (void)role;
    (void)term;
    (void)leader_node;
}

static const struct group_machine machine = {.apply = on_apply, .on_role = on_role};

struct far {
    unsigned batches;
};

static void on_send(void *ctx, uint64_t node, unsigned loop, struct slice batch)
{
    struct far *far = ctx;
    (void)node;
    (void)loop;
    (void)batch;
    far->batches++;
}

static unsigned on_loops(void *ctx, uint64_t node)
{
    (void)ctx;
    (void)node;
    return 1;
}

static struct group *open_one(struct host *host, uint64_t id, unsigned members)
{
    struct group_options options = {.id = id, .replica = 1, .machine = &machine};
    struct group *group = NULL;
    options.state.index = options.state.conf_index = GROUP_BIRTH_INDEX;
    options.state.term = GROUP_BIRTH_TERM;
    options.state.conf.count = members;
    for (unsigned i = 0; i < members; i++) {
        options.state.conf.members[i] = (struct group_member){i + 1, i + 1, MEMBER_VOTER};
    }
    CHECK_EQ(group_open(host, &options, &group), STATUS_OK);
    return group;
}

static struct host *make(struct wal *wal, struct far *far)
{
    struct host_options options = {
        .node = 1,
        .incarnation = 1,
        .seed = 3,
        .election_ms = 600,
        .heartbeat_ms = 100,
        .quiesce_ms = 1000,
        .entry_bytes_max = 1 << 20,
    };
    struct host_env env = {.ctx = far, .send = on_send, .loops = on_loops};
    log_set_level(LOG_ERROR);
    return host_new(&options, &env, wal, wal_fake_reopen(wal));
}

static void run(struct host *host, struct wal *wal, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += HOST_TICK_MS) {
        clock_fake_advance_ms(HOST_TICK_MS);
        host_tick(host);
        host_turn(host);
        wal_fake_sync(wal, wal_fake_waiting(wal));
        host_turn(host);
    }
}

TEST(host_tick, walks_no_quiet_group)
{
    struct far far = {0};
    struct group *groups[GROUPS];
    struct host_stats stats;
    clock_fake_reset();
    struct wal *wal = wal_fake_new();
    struct host *host = make(wal, &far);
    for (unsigned i = 0; i < GROUPS; i++) {
        groups[i] = open_one(host, i + 1, 1);
    }
    run(host, wal, 3000);
    host_stats(host, &stats);
    CHECK_EQ(stats.groups, GROUPS);
    CHECK_EQ(stats.leaders, GROUPS);
    CHECK_EQ(stats.quiesced, GROUPS);
    CHECK(list_empty(&host->awake));
    CHECK(list_empty(&host->storing));
    CHECK(list_empty(&host->dirty));
    for (unsigned i = 0; i < GROUPS; i++) {
        group_close(groups[i]);
    }
    host_free(host);
    wal_fake_free(wal);
}

TEST(host_turn, sends_one_batch_per_node_for_all_groups)
{
    struct far far = {0};
    struct group *groups[50];
    clock_fake_reset();
    struct wal *wal = wal_fake_new();
    struct host *host = make(wal, &far);
    for (unsigned i = 0; i < 50; i++) {
        groups[i] = open_one(host, i + 1, 3);
    }
    run(host, wal, 2000); /* All of them ask for votes, again and again. */
    struct host_stats stats;
    host_stats(host, &stats);
    CHECK(far.batches > 0 && far.batches <= 2 * 2 * 2000 / HOST_TICK_MS);
    CHECK(stats.messages_sent > 50 * 2 * 2);
    CHECK_EQ(stats.batches_sent, far.batches);
    for (unsigned i = 0; i < 50; i++) {
        group_close(groups[i]);
    }
    host_free(host);
    wal_fake_free(wal);
}
