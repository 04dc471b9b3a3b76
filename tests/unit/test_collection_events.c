/* The keyspace events of commands on hashes and sets: those of Redis 7.0, notifyKeyspaceEvent() in
 * t_hash.c, t_set.c and sort.c. */

#include "common/base/reader.h"
#include "server/machine/event.h"
#include "tests/support/folder.h"
#include "tests/support/player.h"
#include "tests/support/test.h"

struct world {
    char folder[FOLDER_SIZE];
    struct player player;
    struct buf reply;
    struct buf planned;
    struct buf events;
    struct buf text;
};

static void begin(struct world *world)
{
    *world = (struct world){0};
    folder_make(world->folder, "events");
    player_open(&world->player, world->folder, 1);
    world->player.now_ms = 1000;
    buf_init(&world->reply, 1 << 20);
    buf_init(&world->planned, 1 << 20);
    buf_init(&world->events, 1 << 20);
    buf_init(&world->text, 1 << 20);
}

static void end(struct world *world)
{
    player_close(&world->player);
    buf_deinit(&world->reply);
    buf_deinit(&world->planned);
    buf_deinit(&world->events);
    buf_deinit(&world->text);
    folder_remove(world->folder);
}

/* What a command of words notes, but for keys that are new: "CLASS NAME KEY, ..." */
static void check(struct world *world, const char *words, const char *want)
{
    struct slice argv[16];
    size_t argc = 0;
    while (*words != '\0') {
        size_t len = strcspn(words, " ");
        CHECK(argc < 16);
        argv[argc++] = slice_of(words, len);
        words += len + (words[len] == ' ' ? 1 : 0);
    }
    buf_clear(&world->planned);
    buf_clear(&world->events);
    buf_clear(&world->text);
    struct machine_plan_input plan = {.command = command_find(argv[0]),
                                      .args = {.argv = argv, .argc = argc},
                                      .now_ms = world->player.now_ms,
                                      .seed = 1};
    CHECK_EQ(machine_plan(&plan, &world->planned, &world->reply), STATUS_OK);
    struct machine_apply_input apply = {.scope = {.shard = 7, .last = UINT64_MAX},
                                        .planned = buf_slice(&world->planned),
                                        .now_ms = world->player.now_ms,
                                        .events = &world->events};
    CHECK_EQ(machine_apply(world->player.txn, &world->player.state, &apply, &world->reply),
             STATUS_OK);
    struct reader in = reader_of(buf_slice(&world->events));
    struct event event;
    while (event_next(&in, &event)) {
        if (event.class == EVENT_NEW) {
            continue;
        }
        buf_append_format(&world->text, "%s%c %.*s %.*s", world->text.len > 0 ? ", " : "",
                          event.class, (int)event.name.len, (const char *)event.name.data,
                          (int)event.key.len, (const char *)event.key.data);
    }
    CHECK_BYTES(buf_slice(&world->text), want);
}

TEST(event_note, is_called_by_commands_on_hashes)
{
    struct world world;
    begin(&world);
    check(&world, "HSET h f 1 g 2", "h hset h");
    check(&world, "HSET h f 1", "h hset h");
    check(&world, "HMSET h f 3", "h hset h");
    check(&world, "HSETNX h f 3", "");
    check(&world, "HSETNX h i 3", "h hset h");
    check(&world, "HINCRBY h f 3", "h hincrby h");
    check(&world, "HINCRBYFLOAT h f 0.5", "h hincrbyfloat h");
    check(&world, "HINCRBY h f 3", "");
    check(&world, "HDEL h none", "");
    check(&world, "HDEL h i none", "h hdel h");
    check(&world, "HDEL h f g", "h hdel h, g del h");
    check(&world, "HDEL h f", "");
    end(&world);
}

TEST(event_note, is_called_by_commands_on_sets)
{
    struct world world;
    begin(&world);
    check(&world, "SADD s a b c", "s sadd s");
    check(&world, "SADD s a", "");
    check(&world, "SREM s none", "");
    check(&world, "SREM s c", "s srem s");
    check(&world, "SMOVE s t none", "");
    check(&world, "SMOVE s s a", "");
    check(&world, "SMOVE s t a", "s srem s, s sadd t");
    check(&world, "SADD t b", "s sadd t");
    check(&world, "SMOVE s t b", "s srem s, g del s");
    check(&world, "SPOP t 0", "");
    check(&world, "SPOP t", "s spop t");
    check(&world, "SPOP t", "s spop t, g del t");
    check(&world, "SPOP t", "");
    check(&world, "SADD t 1 2 3", "s sadd t");
    check(&world, "SPOP t 2", "s spop t");
    check(&world, "SPOP t 9", "s spop t, g del t");
    check(&world, "SREM t 1", "");
    end(&world);
}

TEST(event_note, is_called_by_commands_that_store_a_result)
{
    struct world world;
    begin(&world);
    check(&world, "SADD a 1 2", "s sadd a");
    check(&world, "SADD b 2 3", "s sadd b");
    check(&world, "SINTERSTORE r a b", "s sinterstore r");
    check(&world, "SUNIONSTORE r a b", "s sunionstore r");
    check(&world, "SDIFFSTORE r a b", "s sdiffstore r");
    check(&world, "SINTERSTORE r a none", "g del r");
    check(&world, "SINTERSTORE r a none", "");
    check(&world, "SORT a", "");
    check(&world, "SORT a STORE r", "l sortstore r");
    check(&world, "SORT none STORE r", "g del r");
    check(&world, "SORT none STORE r", "");
    end(&world);
}
