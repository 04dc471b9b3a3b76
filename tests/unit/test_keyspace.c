#include "server/machine/keyspace.h"

#include <stdlib.h>

#include "common/base/rand.h"
#include "common/base/reader.h"
#include "common/cluster/token.h"
#include "server/store/overlay.h"
#include "tests/support/folder.h"
#include "tests/support/player.h"
#include "tests/support/test.h"

TEST(keyspace_row_key, is_taken_apart_again_and_sorts_by_token)
{
    struct rand rand;
    rand_init(&rand, 3);
    struct buf keys[2];
    uint64_t tokens[2] = {0};
    buf_init(&keys[0], 1 << 10);
    buf_init(&keys[1], 1 << 10);
    for (int round = 0; round < 2000; round++) {
        uint8_t bytes[20];
        for (size_t i = 0; i < sizeof(bytes); i++) {
            bytes[i] = (uint8_t)rand_u64(&rand);
        }
        struct slice key = slice_of(bytes, rand_below(&rand, sizeof(bytes)));
        uint8_t db = (uint8_t)rand_below(&rand, MACHINE_DATABASES);
        size_t n = (size_t)round % 2;
        buf_clear(&keys[n]);
        keyspace_row_key(db, key, &keys[n]);
        uint8_t db_again = 0;
        struct slice key_again;
        CHECK(keyspace_parse_row_key(buf_slice(&keys[n]), &tokens[n], &db_again, &key_again));
        CHECK_EQ(db_again, db);
        CHECK(slice_equal(key_again, key));
        CHECK(tokens[n] == token_of(db, key));
        int order = overlay_compare(buf_slice(&keys[0]), buf_slice(&keys[1]));
        CHECK(tokens[0] == tokens[1] || (order < 0) == (tokens[0] < tokens[1]));
        struct slice cut = slice_of(keys[n].data, keys[n].len - 1);
        CHECK(!keyspace_parse_row_key(cut, &tokens[n], &db_again, &key_again));
        buf_append_u8(&keys[n], 0);
        CHECK(!keyspace_parse_row_key(buf_slice(&keys[n]), &tokens[n], &db_again, &key_again));
        buf_truncate(&keys[n], keys[n].len - 1);
    }
    buf_deinit(&keys[0]);
    buf_deinit(&keys[1]);
}

TEST(keyspace_parse_row, refuses_what_it_does_not_know)
{
    struct row row = {0};
    uint8_t bytes[34] = {KEYSPACE_STRING};
    CHECK_EQ(keyspace_parse_row(slice_of(bytes, 18), &row), STATUS_OK);
    CHECK_EQ(row.size, 0);
    CHECK_EQ(keyspace_parse_row(slice_of(bytes, 17), &row), STATUS_CORRUPT);
    bytes[0] = 0;
    CHECK_EQ(keyspace_parse_row(slice_of(bytes, 18), &row), STATUS_CORRUPT);
    bytes[0] = KEYSPACE_TYPE_END;
    CHECK_EQ(keyspace_parse_row(slice_of(bytes, 34), &row), STATUS_CORRUPT);
    bytes[0] = KEYSPACE_HASH;
    CHECK_EQ(keyspace_parse_row(slice_of(bytes, 34), &row), STATUS_OK);
    CHECK_EQ(keyspace_parse_row(slice_of(bytes, 33), &row), STATUS_CORRUPT);
    bytes[0] = KEYSPACE_STRING;
    bytes[1] = 0x80;
    CHECK_EQ(keyspace_parse_row(slice_of(bytes, 18), &row), STATUS_CORRUPT);
    bytes[1] = KEYSPACE_CHUNKED;
    CHECK_EQ(keyspace_parse_row(slice_of(bytes, 34), &row), STATUS_OK);
    CHECK_EQ(keyspace_parse_row(slice_of(bytes, 33), &row), STATUS_CORRUPT);
    bytes[25] = 0xFF; /* A size of many petabytes. */
    CHECK_EQ(keyspace_parse_row(slice_of(bytes, 34), &row), STATUS_CORRUPT);
}

struct world {
    char folder[FOLDER_SIZE];
    struct player player;
    struct buf reply;
};

static void begin(struct world *world)
{
    *world = (struct world){0};
    folder_make(world->folder, "keyspace");
    player_open(&world->player, world->folder, 1);
    buf_init(&world->reply, 1 << 30);
}

static void end(struct world *world)
{
    player_close(&world->player);
    buf_deinit(&world->reply);
    folder_remove(world->folder);
}

/* Runs words; the reply is in world->reply. */
static void run(struct world *world, const struct slice *words, size_t count)
{
    buf_clear(&world->reply);
    player_run(&world->player, (struct args){.argv = words, .argc = count}, &world->reply);
}

static void say(struct world *world, const char *line, const char *want)
{
    struct slice words[8];
    size_t count = 0;
    while (*line != '\0') {
        size_t len = strcspn(line, " ");
        CHECK(count < 8);
        words[count++] = slice_of(line, len);
        line += len + (line[len] != '\0');
    }
    run(world, words, count);
    CHECK_BYTES(buf_slice(&world->reply), want);
}

static size_t count_rows(struct world *world, enum store_family family)
{
    struct buf from;
    struct buf to;
    buf_init(&from, 64);
    buf_init(&to, 64);
    struct machine_scope scope = {.shard = 7, .start = 0, .last = UINT64_MAX};
    machine_range(scope, family, &from, &to);
    struct store_iter *iter =
        iter_open(world->player.txn, family, buf_slice(&from), buf_slice(&to));
    size_t count = 0;
    for (; iter_valid(iter); iter_next(iter)) {
        count++;
    }
    iter_close(iter);
    buf_deinit(&from);
    buf_deinit(&to);
    return count;
}

TEST(keyspace_set, chunks_long_values)
{
    struct world world;
    begin(&world);
    size_t len = 5 * KEYSPACE_CHUNK_SIZE / 2;
    uint8_t *value = malloc(len);
    CHECK(value != NULL);
    for (size_t i = 0; i < len; i++) {
        value[i] = (uint8_t)(i * 2654435761U >> 24);
    }
    struct slice set[] = {slice_str("set"), slice_str("k"), slice_of(value, len)};
    run(&world, set, 3);
    CHECK_EQ(count_rows(&world, STORE_DATA), 1 + 3);
    say(&world, "dbsize", ":1\r\n");
    say(&world, "keys *", "*1\r\n$1\r\nk\r\n");
    struct slice get[] = {slice_str("get"), slice_str("k")};
    run(&world, get, 2);
    CHECK_EQ(world.reply.len, len + 1 + 6 + 2 + 2);
    CHECK_EQ(memcmp(world.reply.data + 9, value, len), 0);
    say(&world, "append k xyz", ":655363\r\n");
    say(&world, "getrange k 655360 -1", "$3\r\nxyz\r\n");
    say(&world, "rename k l", "+OK\r\n");
    say(&world, "strlen l", ":655363\r\n");
    say(&world, "incr l", "-ERR value is not an integer or out of range\r\n");
    say(&world, "set l short", "+OK\r\n");
    CHECK_EQ(count_rows(&world, STORE_DATA), 1);
    free(value);
    end(&world);
}

TEST(keyspace_patch, stores_no_holes)
{
    struct world world;
    begin(&world);
    say(&world, "setrange k 536870911 x", ":536870912\r\n");
    CHECK_EQ(count_rows(&world, STORE_DATA), 1 + 2);
    say(&world, "setrange k 536870912 x",
        "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    struct slice get[] = {slice_str("getrange"), slice_str("k"), slice_str("536870910"),
                          slice_str("-1")};
    run(&world, get, 4);
    CHECK(slice_equal(buf_slice(&world.reply), slice_of("$2\r\n\0x\r\n", 8)));
    say(&world, "bitcount k", ":4\r\n");
    say(&world, "bitpos k 1", ":4294967289\r\n");
    end(&world);
}

TEST(keyspace_flush, leaves_the_other_databases)
{
    struct world world;
    begin(&world);
    for (uint8_t db = 0; db < 3; db++) {
        world.player.db = db;
        say(&world, "set a 1 px 1000", "+OK\r\n");
        say(&world, "set b 2", "+OK\r\n");
    }
    world.player.db = 0;
    say(&world, "flushdb", "+OK\r\n");
    say(&world, "dbsize", ":0\r\n");
    say(&world, "randomkey", "$-1\r\n");
    world.player.db = 1;
    say(&world, "dbsize", ":2\r\n");
    say(&world, "keys a", "*1\r\n$1\r\na\r\n");
    say(&world, "keys b", "*1\r\n$1\r\nb\r\n");
    say(&world, "flushdb", "+OK\r\n");
    say(&world, "exists a b", ":0\r\n");
    world.player.db = 2;
    say(&world, "mget a b", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    /* Index rows of keys that were flushed do no harm when their time comes. */
    world.player.db = 1;
    say(&world, "set a again", "+OK\r\n");
    world.player.now_ms = 5000;
    say(&world, "get a", "$5\r\nagain\r\n");
    CHECK_EQ(count_rows(&world, STORE_LOCAL), 0);
    say(&world, "copy a a db 2", ":1\r\n");
    world.player.db = 2;
    say(&world, "get a", "$5\r\nagain\r\n");
    say(&world, "flushall", "+OK\r\n");
    CHECK_EQ(count_rows(&world, STORE_DATA), 0);
    CHECK_EQ(world.player.state.keys[1], 0);
    end(&world);
}

TEST(keyspace_load, tells_other_types)
{
    struct world world;
    begin(&world);
    struct buf key;
    buf_init(&key, 64);
    keyspace_row_key(0, slice_str("h"), &key);
    uint8_t row[34] = {KEYSPACE_HASH, KEYSPACE_PACKED}; /* An empty body. */
    txn_put(world.player.txn, STORE_DATA, buf_slice(&key), slice_of(row, sizeof(row)));
    world.player.state.keys[0]++;
    static const char *const commands[] = {
        "get h",           "strlen h",       "append h x",   "getrange h 0 1", "incr h",
        "incrbyfloat h 1", "setrange h 0 x", "setbit h 0 1", "getbit h 0",     "bitcount h",
        "bitpos h 1",      "getset h x",     "getdel h",     "getex h",        "set h x get"};
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        say(&world, commands[i],
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    }
    say(&world, "mget h", "*1\r\n$-1\r\n");
    say(&world, "exists h", ":1\r\n");
    say(&world, "set h x", "+OK\r\n");
    say(&world, "get h", "$1\r\nx\r\n");
    buf_deinit(&key);
    end(&world);
}
