/* What a script of replies of one redis-server cannot say of SORT. */

#include "common/cluster/token.h"
#include "common/proto/resp.h"
#include "tests/support/folder.h"
#include "tests/support/player.h"
#include "tests/support/test.h"

struct world {
    char folder[FOLDER_SIZE];
    struct player player;
    struct buf reply;
};

static void begin(struct world *world)
{
    *world = (struct world){0};
    folder_make(world->folder, "sort");
    player_open(&world->player, world->folder, 1);
    world->player.now_ms = 1000;
    buf_init(&world->reply, 1 << 20);
}

static void end(struct world *world)
{
    player_close(&world->player);
    buf_deinit(&world->reply);
    folder_remove(world->folder);
}

/* Words with one space between them. */
static struct args split(const char *words, struct slice argv[16])
{
    size_t argc = 0;
    while (*words != '\0') {
        size_t len = strcspn(words, " ");
        CHECK(argc < 16);
        argv[argc++] = slice_of(words, len);
        words += len + (words[len] == ' ' ? 1 : 0);
    }
    return (struct args){.argv = argv, .argc = argc};
}

static void check(struct world *world, const char *words, const char *want)
{
    struct slice argv[16];
    buf_clear(&world->reply);
    player_run(&world->player, split(words, argv), &world->reply);
    CHECK_BYTES(buf_slice(&world->reply), want);
}

static const char foreign[] =
    "-CROSSSLOT BY or GET of SORT names a key of another shard: give all keys one hash tag, "
    "or use a database other than 0\r\n";

/* The same on a shard that has the token of the key alone. */
static void check_alone(struct world *world, const char *words, const char *want)
{
    struct slice argv[16];
    struct args args = split(words, argv);
    const struct command *command = command_find(argv[0]);
    uint64_t token = token_of(0, argv[1]);
    struct machine_scope scope = {.shard = 7, .start = token, .last = token};
    buf_clear(&world->reply);
    if ((command->flags & CMD_WRITE) == 0) {
        struct machine_read_input read = {
            .scope = scope, .command = command, .args = args, .now_ms = world->player.now_ms};
        CHECK_EQ(machine_read(world->player.txn, &world->player.state, &read, &world->reply),
                 STATUS_OK);
        CHECK_BYTES(buf_slice(&world->reply), want);
        return;
    }
    struct buf planned;
    buf_init(&planned, 1 << 16);
    struct machine_plan_input plan = {
        .command = command, .args = args, .now_ms = world->player.now_ms};
    CHECK_EQ(machine_plan(&plan, &planned, &world->reply), STATUS_OK);
    struct machine_apply_input apply = {
        .scope = scope, .planned = buf_slice(&planned), .now_ms = world->player.now_ms};
    CHECK_EQ(machine_apply(world->player.txn, &world->player.state, &apply, &world->reply),
             STATUS_OK);
    CHECK_BYTES(buf_slice(&world->reply), want);
    buf_deinit(&planned);
}

TEST(cmd_sort_apply, refuses_patterns_that_name_keys_of_another_shard)
{
    struct world world;
    begin(&world);
    check(&world, "SADD {t}ids 1 2", ":2\r\n");
    check(&world, "MSET w1 2 w2 1 {t}w1 2 {t}w2 1", "+OK\r\n");
    check_alone(&world, "SORT {t}ids BY w*", foreign);
    check_alone(&world, "SORT_RO {t}ids BY w*", foreign);
    check_alone(&world, "SORT {t}ids GET w*", foreign);
    check_alone(&world, "SORT_RO {t}ids GET w*->f", foreign);
    check_alone(&world, "SORT {t}ids GET w* STORE {t}out", foreign);
    check(&world, "EXISTS {t}out", ":0\r\n");
    check_alone(&world, "SORT_RO {t}ids BY {t}w*", "*2\r\n$1\r\n2\r\n$1\r\n1\r\n");
    check_alone(&world, "SORT {t}ids BY {t}w* GET {t}w*", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    end(&world);
}

TEST(cmd_sort_apply, refuses_scores_out_of_range_and_is_not_disturbed_by_them)
{
    static const char refusal[] = "-ERR One or more scores can't be converted into double\r\n";
    struct world world;
    begin(&world);
    check(&world, "SADD far 1e999 1", ":2\r\n");
    check(&world, "SADD near 2 1", ":2\r\n");
    check(&world, "SORT far", refusal);
    check(&world, "SORT near", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    check(&world, "SORT far STORE near", refusal);
    check(&world, "SCARD near", ":2\r\n");
    end(&world);
}
