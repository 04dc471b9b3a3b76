/* Commands on hashes and sets that choose at random or in pages: what a script with fixed replies
 * cannot say. */

#include <stdio.h>
#include <stdlib.h>

#include "common/proto/resp.h"
#include "tests/support/folder.h"
#include "tests/support/player.h"
#include "tests/support/test.h"

enum { MEMBERS_MAX = 4096, REPLY_SIZE_MAX = 1 << 24 };

struct world {
    char folder[FOLDER_SIZE];
    char path[64];
    struct player player;
    struct buf reply;
};

static void begin(struct world *world)
{
    *world = (struct world){0};
    folder_make(world->folder, "members");
    (void)snprintf(world->path, sizeof(world->path), "%s/store", world->folder);
    player_open(&world->player, world->path, 3);
    world->player.now_ms = 1000;
    buf_init(&world->reply, REPLY_SIZE_MAX);
}

static void end(struct world *world)
{
    player_close(&world->player);
    buf_deinit(&world->reply);
    folder_remove(world->folder);
}

/* Words with one space between them. */
static struct slice run(struct world *world, const char *words)
{
    struct slice argv[16];
    size_t argc = 0;
    while (*words != '\0') {
        size_t len = strcspn(words, " ");
        CHECK(argc < 16);
        argv[argc++] = slice_of(words, len);
        words += len + (words[len] == ' ' ? 1 : 0);
    }
    buf_clear(&world->reply);
    player_run(&world->player, (struct args){.argv = argv, .argc = argc}, &world->reply);
    return buf_slice(&world->reply);
}

/* SADD s m0 m1 ..., or HSET s m0 v m1 v ... */
static void fill(struct world *world, const char *name, size_t count)
{
    bool hash = strcmp(name, "HSET") == 0;
    for (size_t i = 0; i < count; i++) {
        char words[64];
        (void)snprintf(words, sizeof(words), "%s s m%zu%s", name, i, hash ? " v" : "");
        CHECK_BYTES(run(world, words), ":1\r\n");
    }
}

/* Counts the members that a reply names. */
static size_t tally(struct slice reply, unsigned counts[MEMBERS_MAX])
{
    size_t shown = 0;
    while (reply.len > 0) {
        struct resp_value value;
        CHECK_EQ(resp_value_read(reply, &value), STATUS_OK);
        if (value.type == '$' && value.bytes.len > 1 && value.bytes.data[0] == 'm') {
            size_t number = 0;
            for (size_t i = 1; i < value.bytes.len; i++) {
                number = number * 10 + (size_t)(value.bytes.data[i] - '0');
            }
            CHECK(number < MEMBERS_MAX);
            counts[number]++;
            shown++;
        }
        reply = slice_of(reply.data + value.size_used, reply.len - value.size_used);
    }
    return shown;
}

static void check_drained(struct world *world, size_t count, const char *pop, size_t portion)
{
    unsigned counts[MEMBERS_MAX] = {0};
    fill(world, "SADD", count);
    size_t left = count;
    while (left > 0) {
        size_t popped = tally(run(world, pop), counts);
        CHECK_EQ(popped, portion < left ? portion : left);
        left -= popped;
        char want[32];
        (void)snprintf(want, sizeof(want), ":%zu\r\n", left);
        CHECK_BYTES(run(world, "SCARD s"), want);
    }
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(counts[i], 1);
    }
    CHECK_BYTES(run(world, "EXISTS s"), ":0\r\n");
}

TEST(cmd_spop_apply, gives_every_member_once)
{
    struct world world;
    begin(&world);
    check_drained(&world, 100, "SPOP s", 1);
    check_drained(&world, 400, "SPOP s", 1);
    check_drained(&world, 100, "SPOP s 7", 7);
    check_drained(&world, 1000, "SPOP s 37", 37);
    check_drained(&world, 500, "SPOP s 499", 499);
    end(&world);
}

TEST(cmd_srandmember_read, shows_as_many_as_asked_for_and_none_twice_unless_allowed)
{
    struct world world;
    begin(&world);
    const size_t sizes[] = {100, 1000};
    for (size_t n = 0; n < 2; n++) {
        (void)run(&world, "DEL s");
        fill(&world, "SADD", sizes[n]);
        unsigned counts[MEMBERS_MAX] = {0};
        CHECK_EQ(tally(run(&world, "SRANDMEMBER s"), counts), 1);
        CHECK_EQ(tally(run(&world, "SRANDMEMBER s -5000"), counts), 5000);
        for (size_t i = 0; i < sizes[n]; i++) {
            CHECK(n == 1 || counts[i] > 0);
        }
        static const char *const some[] = {"SRANDMEMBER s 10", "SRANDMEMBER s 60",
                                           "SRANDMEMBER s 99"};
        static const size_t wanted[] = {10, 60, 99};
        for (size_t k = 0; k < 3; k++) {
            unsigned once[MEMBERS_MAX] = {0};
            CHECK_EQ(tally(run(&world, some[k]), once), wanted[k]);
            for (size_t i = 0; i < sizes[n]; i++) {
                CHECK(once[i] <= 1);
            }
        }
    }
    CHECK_BYTES(run(&world, "SRANDMEMBER s -1048577"),
                "-ERR the reply would be too long, ask for less at a time\r\n");
    end(&world);
}

TEST(cmd_hrandfield_read, shows_fields_with_their_values)
{
    struct world world;
    begin(&world);
    fill(&world, "HSET", 300);
    unsigned counts[MEMBERS_MAX] = {0};
    struct slice reply = run(&world, "HRANDFIELD s 20 WITHVALUES");
    CHECK_EQ(memcmp(reply.data, "*40\r\n", 5), 0);
    CHECK_EQ(tally(reply, counts), 20);
    world.player.protocol = 3;
    reply = run(&world, "HRANDFIELD s 20 WITHVALUES");
    CHECK_EQ(memcmp(reply.data, "*20\r\n*2\r\n", 9), 0);
    CHECK_EQ(tally(reply, counts), 20);
    reply = run(&world, "HRANDFIELD s -30 WITHVALUES");
    CHECK_EQ(memcmp(reply.data, "*30\r\n*2\r\n", 9), 0);
    CHECK_EQ(tally(reply, counts), 30);
    end(&world);
}

static void check_scan(struct world *world, const char *name, size_t count)
{
    unsigned counts[MEMBERS_MAX] = {0};
    char cursor[32] = "0";
    size_t pages = 0;
    do {
        char words[96];
        (void)snprintf(words, sizeof(words), "%s s %s COUNT 25", name, cursor);
        struct slice reply = run(world, words);
        struct resp_value header;
        struct resp_value next;
        CHECK_EQ(resp_value_read(reply, &header), STATUS_OK);
        CHECK_EQ(header.number, 2);
        reply = slice_of(reply.data + header.size_used, reply.len - header.size_used);
        CHECK_EQ(resp_value_read(reply, &next), STATUS_OK);
        CHECK(next.bytes.len <= 16);
        (void)snprintf(cursor, sizeof(cursor), "%.*s", (int)next.bytes.len,
                       (const char *)next.bytes.data);
        /* A double holds it. */
        uint64_t number = strtoull(cursor, NULL, 10);
        CHECK((uint64_t)(double)number == number);
        reply = slice_of(reply.data + next.size_used, reply.len - next.size_used);
        CHECK(tally(reply, counts) <= 26);
        pages++;
    } while (strcmp(cursor, "0") != 0);
    CHECK(pages >= count / 26);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(counts[i], 1);
    }
}

TEST(cmd_sscan_read, goes_through_a_large_set_in_pages)
{
    struct world world;
    begin(&world);
    fill(&world, "SADD", 1000);
    check_scan(&world, "SSCAN", 1000);
    (void)run(&world, "DEL s");
    fill(&world, "HSET", 1000);
    check_scan(&world, "HSCAN", 1000);
    end(&world);
}

static enum status read_cold(struct world *world, const char *name, const char *more)
{
    struct slice argv[] = {slice_str(name), slice_str("s"), slice_str(more)};
    struct machine_read_input input = {.scope = {.shard = 7, .last = UINT64_MAX},
                                       .command = command_find(argv[0]),
                                       .args = {.argv = argv, .argc = *more == '\0' ? 2 : 3},
                                       .now_ms = world->player.now_ms};
    buf_clear(&world->reply);
    txn_set_cache_only(world->player.txn, true);
    enum status status =
        machine_read(world->player.txn, &world->player.state, &input, &world->reply);
    txn_set_cache_only(world->player.txn, false);
    CHECK(status == STATUS_OK || world->reply.len == 0);
    return status;
}

TEST(machine_read, leaves_large_sets_to_the_pool)
{
    struct world world;
    begin(&world);
    fill(&world, "SADD", 2000);
    /* All in memory, but too many. */
    CHECK_EQ(read_cold(&world, "SMEMBERS", ""), STATUS_AGAIN);
    CHECK_EQ(read_cold(&world, "SINTER", "s"), STATUS_AGAIN);
    CHECK_EQ(read_cold(&world, "SUNION", "s"), STATUS_AGAIN);
    CHECK_EQ(read_cold(&world, "SRANDMEMBER", "1000"), STATUS_AGAIN);
    CHECK_EQ(read_cold(&world, "SRANDMEMBER", "2"), STATUS_OK);
    CHECK_EQ(read_cold(&world, "SSCAN", "0"), STATUS_OK);
    CHECK_EQ(read_cold(&world, "SCARD", ""), STATUS_OK);
    player_reopen(&world.player, world.path);
    CHECK_EQ(read_cold(&world, "SISMEMBER", "m7"), STATUS_AGAIN);
    CHECK_EQ(read_cold(&world, "SSCAN", "0"), STATUS_AGAIN);
    CHECK_EQ(read_cold(&world, "SRANDMEMBER", ""), STATUS_AGAIN);
    end(&world);
}
