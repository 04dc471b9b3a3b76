#include "common/cluster/transaction_home.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/cluster/token.h"
#include "tests/support/test.h"

enum { WORDS_MAX = 8, COMMANDS_MAX = 4 };

struct bench {
    struct shard_map map;
    struct buf error;
    size_t position;
    char keys[4][16]; /* One on each shard in database 0. */
};

/* Four shards of a quarter of the ring each, ids 10..13. */
static void begin(struct bench *bench, uint64_t shards)
{
    *bench = (struct bench){.position = 99};
    buf_init(&bench->error, 4096);
    shard_map_init(&bench->map);
    bench->map.shard_count = shards;
    bench->map.shards = calloc(shards, sizeof(*bench->map.shards));
    CHECK(bench->map.shards != NULL);
    for (uint64_t i = 0; i < shards; i++) {
        bench->map.shards[i] = (struct shard_desc){.id = 10 + i,
                                                   .start = shards == 1 ? 0 : i << 62,
                                                   .last = (i << 62) | (UINT64_MAX >> 2)};
    }
    bench->map.shards[shards - 1].last = UINT64_MAX;
    for (uint64_t quarter = 0; quarter < 4; quarter++) {
        for (int i = 0; bench->keys[quarter][0] == '\0'; i++) {
            char key[16];
            (void)snprintf(key, sizeof(key), "k%d", i);
            if (token_of_key(slice_str(key)) >> 62 == quarter) {
                memcpy(bench->keys[quarter], key, sizeof(key));
            }
        }
    }
}

static void end(struct bench *bench)
{
    shard_map_deinit(&bench->map);
    buf_deinit(&bench->error);
}

struct line {
    uint8_t db;
    const char *words[WORDS_MAX];
};

static enum status home(struct bench *bench, const struct line *lines, size_t count)
{
    struct slice argv[COMMANDS_MAX][WORDS_MAX];
    struct transaction_item items[COMMANDS_MAX];
    CHECK(count <= COMMANDS_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t argc = 0;
        for (; argc < WORDS_MAX && lines[i].words[argc] != NULL; argc++) {
            argv[i][argc] = slice_str(lines[i].words[argc]);
        }
        items[i] = (struct transaction_item){.command = command_find(argv[i][0]),
                                             .db = lines[i].db,
                                             .args = {.argv = argv[i], .argc = argc}};
    }
    struct transaction_form form;
    transaction_form_init(&form, items, count, NULL, 0);
    buf_clear(&bench->error);
    enum status status = transaction_home(form.args, &bench->map, &bench->position, &bench->error);
    transaction_form_deinit(&form);
    return status;
}

static bool says(const struct bench *bench, const char *part)
{
    return bench->error.len > 0 &&
           memmem(bench->error.data, bench->error.len, part, strlen(part)) != NULL;
}

TEST(transaction_home, is_the_shard_of_all_keys)
{
    struct bench bench;
    begin(&bench, 4);
    const struct line together[] = {{0, {"get", bench.keys[2]}},
                                    {0, {"mset", bench.keys[2], "a", bench.keys[2], "b"}}};
    CHECK_EQ(home(&bench, together, 2), STATUS_OK);
    CHECK_EQ(bench.position, 2);
    const struct line apart[] = {{0, {"get", bench.keys[2]}}, {0, {"set", bench.keys[1], "x"}}};
    CHECK_EQ(home(&bench, apart, 2), STATUS_CONFLICT);
    CHECK(says(&bench, "CROSSSLOT"));
    CHECK(says(&bench, bench.keys[1]));
    CHECK(says(&bench, bench.keys[2]));
    CHECK(says(&bench, "of database 0 is on shard 12"));
    CHECK(says(&bench, "of database 0 is on shard 11"));
    CHECK(says(&bench, "co-located database"));
    end(&bench);
}

TEST(transaction_home, may_be_of_several_databases)
{
    struct bench bench;
    begin(&bench, 4);
    uint64_t quarter = token_of(6, slice_str("")) >> 62;
    const struct line near[] = {{6, {"get", "anything"}},
                                {0, {"get", bench.keys[quarter]}},
                                {6, {"dbsize"}},
                                {6, {"move", bench.keys[quarter], "0"}}};
    CHECK_EQ(home(&bench, near, 4), STATUS_OK);
    CHECK_EQ(bench.position, quarter);
    const struct line far[] = {{6, {"dbsize"}}, {0, {"get", bench.keys[(quarter + 1) % 4]}}};
    CHECK_EQ(home(&bench, far, 2), STATUS_CONFLICT);
    CHECK(says(&bench, "DBSIZE of database 6 needs shard"));
    const struct line moved[] = {{6, {"move", bench.keys[(quarter + 1) % 4], "0"}}};
    CHECK_EQ(home(&bench, moved, 1), STATUS_CONFLICT);
    const struct line copied[] = {{6, {"copy", "a", bench.keys[(quarter + 1) % 4], "DB", "0"}}};
    CHECK_EQ(home(&bench, copied, 1), STATUS_CONFLICT);
    const struct line stays[] = {{6, {"copy", "a", bench.keys[quarter], "DB", "0"}}};
    CHECK_EQ(home(&bench, stays, 1), STATUS_OK);
    end(&bench);
}

TEST(transaction_home, is_nowhere_for_what_needs_all_shards)
{
    struct bench bench;
    begin(&bench, 4);
    const struct line size[] = {{0, {"dbsize"}}};
    CHECK_EQ(home(&bench, size, 1), STATUS_CONFLICT);
    CHECK(says(&bench, "DBSIZE needs all shards"));
    const struct line all[] = {{6, {"set", "a", "b"}}, {6, {"flushall"}}};
    CHECK_EQ(home(&bench, all, 2), STATUS_CONFLICT);
    CHECK(says(&bench, "FLUSHALL needs all shards"));
    end(&bench);
    begin(&bench, 1);
    CHECK_EQ(home(&bench, size, 1), STATUS_OK);
    CHECK_EQ(home(&bench, all, 2), STATUS_OK);
    CHECK_EQ(bench.position, 0);
    end(&bench);
}
