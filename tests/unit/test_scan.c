#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/rand.h"
#include "common/proto/resp.h"
#include "server/machine/machine.h"
#include "tests/support/folder.h"
#include "tests/support/player.h"
#include "tests/support/test.h"

/* A walk by SCAN through a co-located database, all of whose keys have one token. */

enum { STAY = 1500, SEED = 11 };

struct world {
    char folder[FOLDER_SIZE];
    struct player player;
    struct buf reply;
};

static void begin(struct world *world)
{
    *world = (struct world){0};
    folder_make(world->folder, "scan");
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/store", world->folder);
    player_open(&world->player, path, 50);
    world->player.now_ms = 1000;
    buf_init(&world->reply, 1 << 24);
}

static void end(struct world *world)
{
    player_close(&world->player);
    buf_deinit(&world->reply);
    folder_remove(world->folder);
}

static void say(struct world *world, const char *name, const char *key, const char *value)
{
    struct slice argv[] = {slice_str(name), slice_str(key), slice_str(value)};
    buf_clear(&world->reply);
    player_run(&world->player, (struct args){.argv = argv, .argc = *value == '\0' ? 2 : 3},
               &world->reply);
}

static void set_key(struct world *world, const char *prefix, int n)
{
    char key[32];
    (void)snprintf(key, sizeof(key), "%s:%06d", prefix, n);
    say(world, "SET", key, "v");
}

/* One page; counts each key stay:N; returns the next cursor. */
static uint64_t page(struct world *world, uint64_t cursor, unsigned count[STAY], size_t *keys)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)cursor);
    struct slice argv[] = {slice_str("SCAN"), slice_str(text), slice_str("COUNT"), slice_str("20")};
    buf_clear(&world->reply);
    player_run(&world->player, (struct args){.argv = argv, .argc = 4}, &world->reply);
    struct slice rest = buf_slice(&world->reply);
    struct resp_value value;
    uint64_t next = 0;
    *keys = 0;
    for (size_t n = 0; rest.len > 0; n++) {
        CHECK_EQ(resp_value_read(rest, &value), STATUS_OK);
        rest = slice_of(rest.data + value.size_used, rest.len - value.size_used);
        if (n == 1) {
            next = strtoull((const char *)value.bytes.data, NULL, 10);
        }
        *keys += n > 2 ? 1 : 0;
        if (n > 2 && value.bytes.len == 11 && memcmp(value.bytes.data, "stay:", 5) == 0) {
            count[strtoul((const char *)value.bytes.data + 5, NULL, 10)]++;
        }
    }
    return next;
}

TEST(scan, returns_in_pages_what_stays_while_other_keys_come_and_go)
{
    struct world world;
    begin(&world);
    for (int n = 0; n < STAY; n++) {
        world.player.db = (uint8_t)(n % 3 == 0 ? 4 : 2); /* What is in others is not returned. */
        set_key(&world, n % 3 == 0 ? "other" : "gone", n);
        world.player.db = 3;
        set_key(&world, "stay", n);
    }
    struct rand rand;
    rand_init(&rand, SEED);
    unsigned count[STAY] = {0};
    uint64_t cursor = 0;
    size_t pages = 0;
    do {
        size_t keys = 0;
        cursor = page(&world, cursor, count, &keys);
        pages++;
        CHECK(keys <= 20);
        for (int i = 0; i < 10; i++) {
            int n = (int)rand_below(&rand, 500);
            char key[32];
            (void)snprintf(key, sizeof(key), "come:%06d", n);
            if (rand_below(&rand, 2) == 0) {
                set_key(&world, "come", n);
            } else {
                say(&world, "DEL", key, "");
            }
        }
        if (pages % 20 == 0) {
            char path[64];
            (void)snprintf(path, sizeof(path), "%s/store", world.folder);
            player_reopen(&world.player, path);
        }
    } while (cursor != 0 && pages < 1000);
    CHECK(pages >= STAY / 20 && pages < 300);
    for (int n = 0; n < STAY; n++) {
        CHECK_EQ(count[n], 1);
    }
    end(&world);
}

TEST(randomkey, reaches_the_keys_of_a_colocated_database)
{
    struct world world;
    begin(&world);
    world.player.db = 9;
    for (int n = 0; n < 4; n++) {
        set_key(&world, "k", n);
    }
    unsigned seen = 0;
    for (int round = 0; round < 500 && seen != 15; round++) {
        struct slice name = slice_str("RANDOMKEY");
        buf_clear(&world.reply);
        player_run(&world.player, (struct args){.argv = &name, .argc = 1}, &world.reply);
        CHECK_EQ(world.reply.len, 4 + 8 + 2); /* $8, k:00000N */
        seen |= 1U << (world.reply.data[11] - '0');
    }
    CHECK_EQ(seen, 15);
    end(&world);
}

TEST(machine_read, is_not_the_owner_of_a_database_that_lies_elsewhere)
{
    struct world world;
    begin(&world);
    static const char *const names[] = {"dbsize", "keys", "scan", "randomkey"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct slice argv[] = {slice_str(names[i]), slice_str("0")};
        const struct command *command = command_find(argv[0]);
        struct machine_read_input input = {.scope = {.shard = 2, .start = 0, .last = 0},
                                           .command = command,
                                           .args = {.argv = argv, .argc = 2},
                                           .db = 6,
                                           .now_ms = 1000};
        struct machine_state *state = &world.player.state;
        buf_clear(&world.reply);
        CHECK_EQ(machine_read(world.player.txn, state, &input, &world.reply), STATUS_NOT_OWNER);
        input.scope.last = UINT64_MAX;
        CHECK_EQ(machine_read(world.player.txn, state, &input, &world.reply), STATUS_OK);
    }
    end(&world);
}
