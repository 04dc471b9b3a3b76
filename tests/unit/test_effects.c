#include "server/machine/effects.h"

#include <stdlib.h>

#include "common/cluster/token.h"
#include "common/proto/resp.h"
#include "tests/support/player.h"
#include "tests/support/test.h"

enum { ARGS_MAX = 8 };

static void plan(uint8_t db, struct buf *planned, const char *const *words, size_t count)
{
    struct slice argv[ARGS_MAX];
    for (size_t i = 0; i < count; i++) {
        argv[i] = slice_str(words[i]);
    }
    struct buf reply;
    buf_init(&reply, 1024);
    struct machine_plan_input input = {.command = command_find(argv[0]),
                                       .args = {.argv = argv, .argc = count},
                                       .db = db,
                                       .now_ms = 1};
    buf_clear(planned);
    CHECK_EQ(machine_plan(&input, planned, &reply), STATUS_OK);
    buf_deinit(&reply);
}

/* SET a 1, INCRBY a 5, SET b in database 3. */
static void make(struct buf *out)
{
    static const char *const words[][3] = {
        {"set", "a", "1"}, {"incrby", "a", "5"}, {"set", "b", "2"}};
    struct effects effects;
    struct buf planned;
    effects_init(&effects);
    buf_init(&planned, 4096);
    for (size_t i = 0; i < 3; i++) {
        plan(i == 2 ? 3 : 0, &planned, words[i], 3);
        effects_add(&effects, buf_slice(&planned));
    }
    effects_write(&effects, 0, slice_str("+done\r\n"), out);
    effects_deinit(&effects);
    buf_deinit(&planned);
}

TEST(effects_write, names_each_key_of_its_database_once)
{
    struct buf out;
    buf_init(&out, 4096);
    make(&out);
    struct planned planned;
    struct slice argv[ARGS_MAX];
    CHECK_EQ(planned_decode(buf_slice(&out), &planned), STATUS_OK);
    CHECK(planned_is(buf_slice(&out), CMD_effects));
    CHECK_EQ(planned.key_count, 1);
    CHECK_EQ(planned.arg_count, 1 + 1 + 3);
    planned_args(&planned, argv);
    CHECK_BYTES(argv[0], "a");
    CHECK_BYTES(argv[1], "+done\r\n");
    buf_deinit(&out);
}

static enum status apply(struct player *player,
                         struct machine_scope scope,
                         struct slice planned,
                         uint64_t seq,
                         struct buf *reply)
{
    struct machine_apply_input input = {
        .scope = scope, .planned = planned, .now_ms = 1, .session = 9, .seq = seq};
    return machine_apply(player->txn, &player->state, &input, reply);
}

TEST(machine_apply, applies_effects_once_and_wholly_or_not_at_all)
{
    struct player player;
    char path[] = "effects-XXXXXX";
    CHECK(mkdtemp(path) != NULL);
    player_open(&player, path, 1);
    struct buf out;
    struct buf reply;
    buf_init(&out, 4096);
    buf_init(&reply, 4096);
    make(&out);
    struct machine_scope whole = {.shard = 7, .start = 0, .last = UINT64_MAX};
    /* It has the key of database 0 and not the database 3. */
    uint64_t other = token_of(3, slice_of(NULL, 0));
    uint64_t mine = token_of(0, slice_str("a"));
    struct machine_scope part = whole;
    part.start = mine > other ? other + 1 : 0;
    part.last = mine > other ? UINT64_MAX : other - 1;
    CHECK_EQ(apply(&player, part, buf_slice(&out), 1, &reply), STATUS_NOT_OWNER);
    CHECK_EQ(player.state.keys[0], 0);
    for (int i = 0; i < 2; i++) {
        buf_clear(&reply);
        CHECK_EQ(apply(&player, whole, buf_slice(&out), 1, &reply), STATUS_OK);
        CHECK_BYTES(buf_slice(&reply), "+done\r\n");
    }
    CHECK_EQ(player.state.keys[0], 1);
    CHECK_EQ(player.state.keys[3], 1);
    struct slice get[] = {slice_str("get"), slice_str("a")};
    buf_clear(&reply);
    player_run(&player, (struct args){.argv = get, .argc = 2}, &reply);
    CHECK_BYTES(buf_slice(&reply), "$1\r\n6\r\n");
    buf_deinit(&out);
    buf_deinit(&reply);
    player_close(&player);
}
