#include "server/control/admin_desk.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/steward_rig.h"
#include "tests/support/test.h"

static const char *desk(struct steward_rig *world, const char *words, struct buf *reply)
{
    struct meta_order order;
    struct slice argv[8];
    struct args args = {.argv = argv};
    struct buf items;
    char copy[128];
    char *save = NULL;
    buf_init(&items, META_ORDER_SIZE_MAX);
    buf_clear(reply);
    snprintf(copy, sizeof(copy), "SHERD %s", words);
    for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        argv[args.argc++] = slice_str(word);
    }
    enum desk_answer answer =
        admin_desk_take(world->steward, args, world->now_ms, &order, &items, reply);
    if (answer == DESK_ORDER) {
        struct buf bytes;
        struct buf said;
        buf_init(&bytes, META_ORDER_SIZE_MAX);
        buf_init(&said, 1 << 20);
        meta_order_encode(&order, &bytes);
        struct slice meta[] = {slice_str("META.ORDER"), buf_slice(&bytes)};
        steward_rig_run(world, (struct args){.argv = meta, .argc = 2}, &said);
        admin_desk_finish(&order, buf_slice(&said), reply);
        buf_deinit(&bytes);
        buf_deinit(&said);
    }
    buf_deinit(&items);
    buf_append_u8(reply, '\0');
    return answer == DESK_UNKNOWN ? "" : (const char *)reply->data;
}

TEST(admin_desk_take, begins_shows_and_ends_jobs)
{
    struct steward_rig world;
    struct buf reply;
    char words[64];
    steward_rig_init(&world, "aaaa", 9);
    buf_init(&reply, 16 << 20);
    CHECK(strstr(desk(&world, "JOB LIST", &reply), "-TRYAGAIN") != NULL); /* No rows yet. */
    steward_rig_ticks(&world, 10);
    const struct shard_desc *shard = &world.map.shards[0];
    snprintf(words, sizeof(words), "SHARD MOVE %u %u 4", (unsigned)shard->id,
             (unsigned)shard->replicas[0].node);
    CHECK(strcmp(desk(&world, words, &reply), "%1\r\n$3\r\njob\r\n:1\r\n") == 0);
    steward_rig_ticks(&world, 100);
    CHECK(strstr(desk(&world, "JOB GET 1", &reply), "$4\r\ndone\r\n") != NULL);
    CHECK(strncmp(desk(&world, "JOB LIST", &reply), "*1\r\n%21\r\n", 9) == 0);
    CHECK(strstr(desk(&world, "JOB UNDO 1 DRYRUN", &reply), "from node 4 to node") != NULL);
    CHECK_EQ(world.jobs.count, 1);
    CHECK(strncmp(desk(&world, "JOB UNDO 1", &reply), "%1\r\n", 4) == 0);
    steward_rig_ticks(&world, 100);
    CHECK(steward_rig_job(&world, 2)->undo_of == 1 &&
          steward_rig_job(&world, 2)->state == JOB_DONE);
    CHECK_EQ(steward_rig_replicas_on(&world, 4), 0);
    buf_deinit(&reply);
    steward_rig_deinit(&world);
}

TEST(admin_desk_take, applies_a_plan_only_as_it_was_shown)
{
    struct steward_rig world;
    struct buf reply;
    char words[64];
    char hash[17];
    steward_rig_init(&world, "aaaaa", 10);
    buf_init(&reply, 16 << 20);
    steward_rig_ticks(&world, 10);
    const char *plan = desk(&world, "REBALANCE PLAN", &reply);
    const char *at = strstr(plan, "$16\r\n");
    CHECK(at != NULL);
    snprintf(hash, sizeof(hash), "%.16s", at + 5);
    CHECK(strncmp(desk(&world, "REBALANCE APPLY 0123456789abcdef", &reply), "-CONFLICT", 9) == 0);
    CHECK(strncmp(desk(&world, "REBALANCE APPLY 12", &reply), "-ERR", 4) == 0);
    snprintf(words, sizeof(words), "REBALANCE APPLY %s", hash);
    CHECK(strncmp(desk(&world, words, &reply), "%1\r\n", 4) == 0);
    steward_rig_ticks(&world, 1000);
    CHECK(steward_rig_active(&world) == 0 && steward_rig_job(&world, 1)->state == JOB_DONE);
    CHECK(strncmp(desk(&world, words, &reply), "-CONFLICT", 9) == 0);
    CHECK(steward_rig_replicas_on(&world, 4) >= 2 && steward_rig_replicas_on(&world, 5) >= 2);
    steward_rig_check_settled(&world);
    CHECK(strstr(desk(&world, "JOB UNDO 1 DRYRUN", &reply), "from node 5 to node") != NULL);
    buf_deinit(&reply);
    steward_rig_deinit(&world);
}

TEST(admin_desk_take, refuses_what_it_does_not_understand_or_must_not_do)
{
    static const struct {
        const char *words;
        const char *code;
    } rows[] = {
        {"JOB", "-ERR usage"},
        {"JOB GET", "-ERR"},
        {"JOB GET x", "-ERR"},
        {"JOB GET 9", "-GONE"},
        {"JOB LIST SOME", "-ERR"},
        {"JOB THROTTLE 1", "-ERR"},
        {"JOB THROTTLE 1 x", "-ERR"},
        {"JOB FLY 1", "-ERR"},
        {"NODE DRAIN", "-ERR"},
        {"NODE DRAIN 9", "-CONFLICT"},
        {"NODE DRAIN 1", "-UNSAFE"},
        {"NODE REMOVE 1", "-UNSAFE"},
        {"NODE REPLACE 1", "-ERR"},
        {"NODE REPLACE 1 1", "-CONFLICT"},
        {"SHARD MOVE 2 1", "-ERR"},
        {"SHARD MOVE 99 1 2", "-CONFLICT"},
        {"SHARD SPLIT 2 zz", "-ERR"},
        {"SHARD SPLIT 1", "-CONFLICT"},
        {"SHARD MERGE 2 4", "-CONFLICT"},
        {"SHARD TRANSFER 2 9", "-CONFLICT"},
        {"REBALANCE", "-ERR"},
        {"BALANCER MAYBE", "-ERR"},
        {"EVENTS x", "-ERR"},
        {"SHARD MOVE 99999999999999999999 1 2", "-ERR"},
    };
    struct steward_rig world;
    struct buf reply;
    steward_rig_init(&world, "aaa", 11);
    buf_init(&reply, 16 << 20);
    steward_rig_ticks(&world, 10);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *said = desk(&world, rows[i].words, &reply);
        if (strncmp(said, rows[i].code, strlen(rows[i].code)) != 0) {
            fprintf(stderr, "SHERD %s: %s\n", rows[i].words, said);
            CHECK(false);
        }
    }
    CHECK_EQ(world.jobs.count, 0);
    CHECK(strcmp(desk(&world, "NOTHING", &reply), "") == 0);
    CHECK(strcmp(desk(&world, "BALANCER OFF", &reply), "+OK\r\n") == 0);
    buf_deinit(&reply);
    steward_rig_deinit(&world);
}
