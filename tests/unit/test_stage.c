#include "server/machine/stage.h"

#include "common/base/reader.h"
#include "tests/support/folder.h"
#include "tests/support/player.h"
#include "tests/support/test.h"

enum { PIECE = 512 << 10, SIZE = 3 * PIECE + 1000, SESSION = 99 };

static const struct machine_scope scope = {.shard = 7, .start = 0, .last = UINT64_MAX};

struct world {
    char folder[FOLDER_SIZE];
    struct player player;
    struct buf reply;
    struct buf value;
    uint64_t seq;
};

static void begin(struct world *world)
{
    *world = (struct world){0};
    folder_make(world->folder, "stage");
    player_open(&world->player, world->folder, 1);
    buf_init(&world->reply, 1 << 30);
    buf_init(&world->value, 1 << 30);
    for (size_t i = 0; i < SIZE; i++) {
        buf_append_u8(&world->value, (uint8_t)(i * 7 + i / 1000));
    }
}

static void end(struct world *world)
{
    player_close(&world->player);
    buf_deinit(&world->reply);
    buf_deinit(&world->value);
    folder_remove(world->folder);
}

static void run(struct world *world, struct args args)
{
    buf_clear(&world->reply);
    player_run(&world->player, args, &world->reply);
}

static struct args words_of(const char *line, struct slice *words)
{
    size_t count = 0;
    while (*line != '\0') {
        size_t len = strcspn(line, " ");
        words[count++] = slice_of(line, len);
        line += len + (line[len] != '\0');
    }
    return (struct args){.argv = words, .argc = count};
}

static void say(struct world *world, const char *line, const char *want)
{
    struct slice words[8];
    run(world, words_of(line, words));
    CHECK_BYTES(buf_slice(&world->reply), want);
}

/* Plans and applies one command with a stage; seq 0: the next one. */
static void apply(struct world *world,
                  struct args args,
                  const struct machine_stage *stage,
                  uint64_t seq)
{
    struct buf planned;
    buf_init(&planned, 1 << 30);
    buf_clear(&world->reply);
    struct machine_plan_input plan = {.command = command_find(args.argv[0]),
                                      .args = args,
                                      .now_ms = world->player.now_ms,
                                      .stage = stage};
    if (machine_plan(&plan, &planned, &world->reply) == STATUS_OK) {
        struct machine_apply_input input = {.scope = scope,
                                            .planned = buf_slice(&planned),
                                            .now_ms = world->player.now_ms,
                                            .session = SESSION,
                                            .seq = seq != 0 ? seq : ++world->seq,
                                            .first_unacked = 1};
        CHECK_EQ(machine_apply(world->player.txn, &world->player.state, &input, &world->reply),
                 STATUS_OK);
    }
    buf_deinit(&planned);
}

static void piece(struct world *world, uint64_t id, uint64_t offset, const char *want)
{
    size_t len = SIZE - offset < PIECE ? SIZE - offset : (size_t)PIECE;
    struct slice words[] = {slice_str("set"), slice_str("k"),
                            slice_of(world->value.data + offset, len)};
    struct machine_stage stage = {.id = id, .size = SIZE, .offset = offset, .piece = true};
    apply(world, (struct args){.argv = words, .argc = 3}, &stage, 0);
    CHECK_BYTES(buf_slice(&world->reply), want);
}

static void finish(struct world *world, uint64_t id, const char *line, const char *want)
{
    struct slice words[8];
    struct machine_stage stage = {.id = id, .size = SIZE};
    struct args args = words_of(line, words);
    for (size_t i = 0; i < args.argc; i++) {
        words[i] = slice_equal(words[i], slice_str("VALUE")) ? slice_of("", 0) : words[i];
    }
    apply(world, args, &stage, 0);
    CHECK_BYTES(buf_slice(&world->reply), want);
}

static void all_pieces(struct world *world, uint64_t id)
{
    for (uint64_t offset = 0; offset < SIZE; offset += PIECE) {
        piece(world, id, offset, "+OK\r\n");
    }
}

static void expect_value(struct world *world)
{
    struct slice words[8];
    run(world, words_of("GET k", words));
    struct buf want;
    buf_init(&want, 1 << 30);
    resp_write_bulk(&want, buf_slice(&world->value));
    CHECK(slice_equal(buf_slice(&world->reply), buf_slice(&want)));
    buf_deinit(&want);
}

static size_t count_rows(struct world *world, enum store_family family)
{
    struct buf from;
    struct buf to;
    buf_init(&from, 64);
    buf_init(&to, 64);
    machine_range(scope, family, &from, &to);
    struct store_iter *iter =
        iter_open(world->player.txn, family, buf_slice(&from), buf_slice(&to));
    size_t count = 0;
    for (; iter_valid(iter); iter_next(iter)) {
        bool stage = family == STORE_DATA || iter_key(iter).data[8] == LOCAL_STAGE;
        count += stage;
    }
    CHECK_EQ(iter_status(iter), STATUS_OK);
    iter_close(iter);
    buf_deinit(&from);
    buf_deinit(&to);
    return count;
}

static void expect_rows(struct world *world, size_t data, size_t stages)
{
    CHECK_EQ(count_rows(world, STORE_DATA), data);
    CHECK_EQ(count_rows(world, STORE_LOCAL), stages);
}

enum { CHUNKS = (SIZE + KEYSPACE_CHUNK_SIZE - 1) / KEYSPACE_CHUNK_SIZE };
static const char gone[] =
    "-TRYAGAIN a piece of this value is missing (the keys were flushed, or "
    "it took too long); nothing was changed\r\n";

TEST(stage_apply_piece, makes_a_key_that_is_seen_when_it_is_whole)
{
    struct world world;
    begin(&world);
    say(&world, "SET k old", "+OK\r\n");
    all_pieces(&world, 5);
    say(&world, "GET k", "$3\r\nold\r\n");
    say(&world, "DBSIZE", ":1\r\n");
    say(&world, "KEYS *", "*1\r\n$1\r\nk\r\n");
    expect_rows(&world, 1 + CHUNKS, 1);
    finish(&world, 5, "set k VALUE get", "$3\r\nold\r\n");
    expect_value(&world);
    expect_rows(&world, 1 + CHUNKS, 0);
    player_reopen(&world.player, world.folder);
    expect_value(&world);
    say(&world, "DEL k", ":1\r\n");
    expect_rows(&world, 0, 0);
    end(&world);
}

TEST(stage_apply_piece, keeps_two_values_of_one_key_apart)
{
    struct world world;
    begin(&world);
    piece(&world, 5, 0, "+OK\r\n");
    piece(&world, 6, 0, "+OK\r\n");
    for (uint64_t offset = PIECE; offset < SIZE; offset += PIECE) {
        piece(&world, 5, offset, "+OK\r\n");
        piece(&world, 6, offset, "+OK\r\n");
    }
    finish(&world, 6, "set k VALUE", "+OK\r\n");
    expect_value(&world);
    finish(&world, 5, "psetex k 1000 VALUE", "+OK\r\n");
    expect_value(&world);
    expect_rows(&world, 1 + CHUNKS, 0);
    end(&world);
}

TEST(stage_find, refuses_what_is_not_whole)
{
    struct world world;
    begin(&world);
    piece(&world, 5, PIECE, gone);
    piece(&world, 5, 0, "+OK\r\n");
    piece(&world, 5, 2 * PIECE, gone);
    finish(&world, 5, "set k VALUE", gone);
    finish(&world, 6, "set k VALUE", gone);
    say(&world, "EXISTS k", ":0\r\n");
    end(&world);
}

TEST(stage_drop, leaves_nothing_of_a_value_that_is_not_wanted)
{
    struct world world;
    begin(&world);
    say(&world, "SET k old", "+OK\r\n");
    all_pieces(&world, 5);
    finish(&world, 5, "set k VALUE nx", "_\r\n");
    expect_rows(&world, 1, 0);
    all_pieces(&world, 6);
    finish(&world, 6, "setnx k VALUE", ":0\r\n");
    expect_rows(&world, 1, 0);
    say(&world, "GET k", "$3\r\nold\r\n");
    end(&world);
}

TEST(stage_drop_all, is_a_part_of_a_flush)
{
    struct world world;
    begin(&world);
    all_pieces(&world, 5);
    say(&world, "FLUSHDB", "+OK\r\n");
    expect_rows(&world, 0, 0);
    finish(&world, 5, "set k VALUE", gone);
    piece(&world, 5, PIECE, gone);
    end(&world);
}

TEST(stage_sweep, removes_what_was_given_up)
{
    struct world world;
    begin(&world);
    piece(&world, 5, 0, "+OK\r\n");
    piece(&world, 5, PIECE, "+OK\r\n");
    world.player.now_ms += STAGE_IDLE_MS;
    piece(&world, 6, 0, "+OK\r\n");
    expect_rows(&world, 6, 2); /* Not yet idle for longer than that. */
    world.player.now_ms++;
    piece(&world, 7, 0, "+OK\r\n");
    expect_rows(&world, 4, 2);
    /* Also if nobody writes: with the sessions. */
    world.player.now_ms += 2 * STAGE_IDLE_MS;
    CHECK_EQ(
        machine_advance(world.player.txn, &world.player.state, scope, world.player.now_ms, NULL),
        STATUS_OK);
    expect_rows(&world, 0, 0);
    end(&world);
}

TEST(stage_refuse, takes_only_pieces_that_fit)
{
    struct slice words[] = {slice_str("set"), slice_str("k"), slice_str("v")};
    struct machine_stage stage = {.id = 1, .size = SIZE, .piece = true};
    struct machine_plan_input input = {
        .command = command_find(words[0]), .args = {.argv = words, .argc = 3}, .stage = &stage};
    CHECK(stage_refuse(&input) != NULL); /* No whole chunk, and not the last. */
    stage.offset = KEYSPACE_CHUNK_SIZE * 6;
    stage.size = stage.offset + 1;
    CHECK(stage_refuse(&input) == NULL);
    stage.size = stage.offset;
    CHECK(stage_refuse(&input) != NULL);
    stage.size = (uint64_t)KEYSPACE_VALUE_SIZE_MAX + 1;
    CHECK(stage_refuse(&input) != NULL);
    stage = (struct machine_stage){.id = 1, .size = SIZE};
    CHECK(stage_refuse(&input) == NULL);
    words[0] = slice_str("append");
    input.command = command_find(words[0]);
    CHECK(stage_refuse(&input) != NULL);
}

TEST(stage_read_ref, refuses_what_does_not_lie_in_a_value)
{
    struct buf planned;
    buf_init(&planned, 64);
    struct plan plan = {.planned = &planned};
    struct machine_stage ref = {.id = 1, .size = SIZE, .offset = PIECE};
    stage_plan(&plan, &ref);
    struct reader in = reader_of(buf_slice(&planned));
    struct slice arg = reader_bytes(&in, UINT32_MAX);
    struct machine_stage got;
    CHECK_EQ(stage_read_ref(arg, &got), STATUS_OK);
    CHECK(got.id == 1 && got.size == SIZE && got.offset == PIECE);
    CHECK_EQ(stage_read_ref(slice_of(arg.data, arg.len - 1), &got), STATUS_CORRUPT);
    buf_clear(&planned);
    ref.offset = SIZE;
    stage_plan(&plan, &ref);
    CHECK_EQ(stage_read_ref(slice_of(planned.data + 4, 24), &got), STATUS_CORRUPT);
    buf_deinit(&planned);
}
