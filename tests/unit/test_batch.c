#include "server/machine/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/rand.h"
#include "common/cluster/token.h"
#include "common/proto/transaction.h"
#include "tests/support/folder.h"
#include "tests/support/player.h"
#include "tests/support/test.h"

/* Transactions at the machine; what single commands answer in them is in tests/machine/multi.txt.
 */

enum { WORDS_MAX = 8, COMMANDS_MAX = 8 };

struct world {
    char folder[FOLDER_SIZE];
    struct player player;
    struct machine_scope scope;
    struct buf planned;
    struct buf reply;
    uint64_t seq;
};

static void begin(struct world *world)
{
    *world = (struct world){.scope = {.shard = 7, .start = 0, .last = UINT64_MAX}};
    folder_make(world->folder, "batch");
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/store", world->folder);
    player_open(&world->player, path, 1000);
    world->player.now_ms = 1000;
    buf_init(&world->planned, 1 << 26);
    buf_init(&world->reply, 1 << 28);
}

static void end(struct world *world)
{
    player_close(&world->player);
    buf_deinit(&world->planned);
    buf_deinit(&world->reply);
    folder_remove(world->folder);
}

struct commands {
    struct slice argv[COMMANDS_MAX][WORDS_MAX];
    struct transaction_item items[COMMANDS_MAX];
    size_t count;
};

static void add(struct commands *commands, uint8_t db, const char *line)
{
    CHECK(commands->count < COMMANDS_MAX);
    struct slice *argv = commands->argv[commands->count];
    size_t argc = 0;
    while (*line != '\0') {
        size_t len = strcspn(line, " ");
        argv[argc++] = slice_of(line, len);
        line += len + (line[len] != '\0');
    }
    commands->items[commands->count++] = (struct transaction_item){
        .command = command_find(argv[0]), .db = db, .args = {.argv = argv, .argc = argc}};
}

static void plan(struct world *world,
                 const struct commands *commands,
                 const struct transaction_watch *watches,
                 size_t watch_count)
{
    struct transaction_form form;
    transaction_form_init(&form, commands->items, commands->count, watches, watch_count);
    struct machine_plan_input input = {.command = command_at(CMD_batch),
                                       .args = form.args,
                                       .db = form.db,
                                       .now_ms = world->player.now_ms,
                                       .seed = 5};
    buf_clear(&world->planned);
    buf_clear(&world->reply);
    CHECK_EQ(machine_plan(&input, &world->planned, &world->reply), STATUS_OK);
    transaction_form_deinit(&form);
}

static enum status apply(struct world *world, uint64_t session, uint64_t seq)
{
    struct machine_apply_input input = {.scope = world->scope,
                                        .planned = buf_slice(&world->planned),
                                        .now_ms = world->player.now_ms,
                                        .session = session,
                                        .seq = seq,
                                        .first_unacked = 1};
    buf_clear(&world->reply);
    return machine_apply(world->player.txn, &world->player.state, &input, &world->reply);
}

static void say(struct world *world, const char *line, const char *want)
{
    struct commands commands = {0};
    add(&commands, world->player.db, line);
    buf_clear(&world->reply);
    player_run(&world->player, commands.items[0].args, &world->reply);
    CHECK_BYTES(buf_slice(&world->reply), want);
}

static uint64_t version_of(struct world *world, const char *key)
{
    struct slice argv[] = {slice_str("versions"), slice_str(key)};
    buf_clear(&world->reply);
    player_execute(&world->player, command_at(CMD_versions), (struct args){.argv = argv, .argc = 2},
                   &world->reply);
    CHECK(memcmp(world->reply.data, "*1\r\n:", 5) == 0);
    return strtoull((const char *)world->reply.data + 5, NULL, 10);
}

TEST(cmd_batch_apply, gives_every_item_a_version_of_its_own)
{
    struct world world;
    begin(&world);
    CHECK_EQ(version_of(&world, "a"), 0);
    struct commands commands = {0};
    add(&commands, 0, "set a 1");
    add(&commands, 0, "set b 1");
    add(&commands, 0, "get a");
    add(&commands, 0, "set c 1");
    uint64_t before = world.player.state.version;
    plan(&world, &commands, NULL, 0);
    CHECK_EQ(apply(&world, 0, 0), STATUS_OK);
    CHECK_BYTES(buf_slice(&world.reply), "*4\r\n+OK\r\n+OK\r\n$1\r\n1\r\n+OK\r\n");
    CHECK(world.player.state.version >= before + 4);
    uint64_t a = version_of(&world, "a");
    uint64_t b = version_of(&world, "b");
    uint64_t c = version_of(&world, "c");
    CHECK(a > before && b > a && c > b);
    end(&world);
}

TEST(cmd_batch_apply, changes_nothing_when_a_watched_key_did)
{
    struct world world;
    begin(&world);
    say(&world, "set a 1", "+OK\r\n");
    struct transaction_watch watch = {.version = version_of(&world, "a"), .key = slice_str("a")};
    struct commands commands = {0};
    add(&commands, 0, "set b 1");
    plan(&world, &commands, &watch, 1);
    say(&world, "set a 1", "+OK\r\n"); /* The same value is a change too. */
    CHECK_EQ(apply(&world, 0, 0), STATUS_OK);
    CHECK_BYTES(buf_slice(&world.reply), "*-1\r\n");
    say(&world, "exists b", ":0\r\n");
    watch.version = version_of(&world, "a");
    plan(&world, &commands, &watch, 1);
    CHECK_EQ(apply(&world, 0, 0), STATUS_OK);
    CHECK_BYTES(buf_slice(&world.reply), "*1\r\n+OK\r\n");
    end(&world);
}

TEST(cmd_batch_apply, is_done_once_however_often_it_comes)
{
    struct world world;
    begin(&world);
    struct transaction_watch watch = {.key = slice_str("n")};
    struct commands commands = {0};
    add(&commands, 0, "incr n");
    add(&commands, 0, "append s x");
    plan(&world, &commands, &watch, 1);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(apply(&world, 99, 1), STATUS_OK);
        /* Not the null array, though the key has changed by now. */
        CHECK_BYTES(buf_slice(&world.reply), "*2\r\n:1\r\n:1\r\n");
    }
    say(&world, "get n", "$1\r\n1\r\n");
    CHECK_EQ(apply(&world, 99, 2), STATUS_OK);
    CHECK_BYTES(buf_slice(&world.reply), "*-1\r\n");
    CHECK_EQ(apply(&world, 99, 2), STATUS_OK);
    CHECK_BYTES(buf_slice(&world.reply), "*-1\r\n");
    end(&world);
}

TEST(cmd_batch_apply, does_nothing_unless_it_owns_all)
{
    struct world world;
    begin(&world);
    uint64_t token = token_of_key(slice_str("a"));
    static const char *const others[] = {"set b 1", "get b", "mget a b", "dbsize", "flushall"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct commands commands = {0};
        add(&commands, 0, "set a 1");
        add(&commands, 0, others[i]);
        plan(&world, &commands, NULL, 0);
        world.scope = (struct machine_scope){.shard = 7, .start = token, .last = token};
        CHECK_EQ(apply(&world, 4, i + 1), STATUS_NOT_OWNER);
        CHECK_EQ(world.reply.len, 0);
        say(&world, "exists a", ":0\r\n");
        world.scope = (struct machine_scope){.shard = 7, .start = 0, .last = UINT64_MAX};
        CHECK_EQ(apply(&world, 4, i + 1), STATUS_OK);
        say(&world, "flushall", "+OK\r\n");
    }
    struct transaction_watch watch = {.db = 3, .key = slice_str("w")};
    struct commands commands = {0};
    add(&commands, 0, "set a 1");
    plan(&world, &commands, &watch, 1);
    world.scope = (struct machine_scope){.shard = 7, .start = token, .last = token};
    CHECK_EQ(apply(&world, 0, 0), STATUS_NOT_OWNER);
    end(&world);
}

TEST(cmd_batch_apply, bounds_what_it_answers)
{
    struct world world;
    begin(&world);
    size_t size = 40 << 20;
    uint8_t *value = malloc(size);
    CHECK(value != NULL);
    memset(value, 'x', size);
    struct slice set[] = {slice_str("set"), slice_str("a"), slice_of(value, size)};
    player_run(&world.player, (struct args){.argv = set, .argc = 3}, &world.reply);
    struct commands commands = {0};
    for (int i = 0; i < 3; i++) {
        add(&commands, 0, "get a");
    }
    add(&commands, 0, "incr n");
    plan(&world, &commands, NULL, 0);
    CHECK_EQ(apply(&world, 0, 0), STATUS_OK);
    static const char tail[] =
        "-ERR the replies of this transaction are larger than 64 MB in all\r\n:1\r\n";
    size_t len = sizeof(tail) - 1;
    CHECK(world.reply.len > 2 * size && world.reply.len < 2 * size + 200);
    CHECK(memcmp(world.reply.data + world.reply.len - len, tail, len) == 0);
    free(value);
    end(&world);
}

TEST(batch_open, refuses_what_is_cut_or_longer)
{
    struct world world;
    begin(&world);
    struct commands commands = {0};
    add(&commands, 0, "set a 1");
    add(&commands, 0, "get a");
    add(&commands, 0, "set a 1 nope");
    struct transaction_watch watch = {.version = 3, .key = slice_str("a")};
    plan(&world, &commands, &watch, 1);
    struct planned planned;
    CHECK_EQ(planned_decode(buf_slice(&world.planned), &planned), STATUS_OK);
    CHECK_EQ(planned.command->id, CMD_batch);
    CHECK_EQ(planned.key_count, 4);
    struct slice argv[5];
    CHECK_EQ(planned.arg_count, 5);
    planned_args(&planned, argv);
    struct batch batch;
    CHECK_EQ(batch_open(argv[4], &batch), STATUS_OK);
    CHECK_EQ(batch.watch_count, 1);
    CHECK_EQ(batch.item_count, 3);
    static const enum batch_kind kinds[] = {BATCH_WRITE, BATCH_READ, BATCH_REPLY};
    struct batch_watch seen;
    CHECK(batch_next_watch(&batch, &seen) && seen.version == 3);
    struct batch_item item;
    for (size_t i = 0; i < 3; i++) {
        CHECK(batch_next_item(&batch, &item));
        CHECK_EQ(item.kind, kinds[i]);
    }
    CHECK(!batch_next_item(&batch, &item));
    for (size_t len = 0; len < argv[4].len; len++) {
        CHECK_EQ(batch_open(slice_of(argv[4].data, len), &batch), STATUS_CORRUPT);
    }
    end(&world);
}
