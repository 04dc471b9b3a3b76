#include "server/machine/divide.h"

#include <stdio.h>

#include "common/base/rand.h"
#include "common/base/reader.h"
#include "common/cluster/token.h"
#include "server/machine/recount.h"
#include "server/machine/survey.h"
#include "server/machine/transplant.h"
#include "tests/support/folder.h"
#include "tests/support/test.h"

/* Shards of one store, and beside them one shard on a store of its own that is never divided: both
 * get the same commands and must answer the same. */

enum { PARTS_MAX = 16, ARGS_MAX = 8, KEYS = 300 };

struct part {
    struct machine_scope scope;
    struct machine_state state;
};

struct world {
    char folder[FOLDER_SIZE];
    struct store *store;
    struct txn *txn;
    struct store *whole_store;
    struct txn *whole_txn;
    struct part whole;
    struct part parts[PARTS_MAX];
    size_t count;
    uint64_t now_ms;
    struct buf planned, reply, expected;
};

static void open_store(const struct world *world, const char *name, struct store **store)
{
    char path[FOLDER_SIZE + 16];
    struct store_options options = {.cache_size = 1 << 20, .memtable_size = 1 << 20, .threads = 1};
    snprintf(path, sizeof(path), "%s/%s", world->folder, name);
    CHECK_EQ(store_open(path, &options, store), STATUS_OK);
}

static void world_open(struct world *world)
{
    *world = (struct world){.count = 1, .now_ms = 1000000};
    folder_make(world->folder, "divide");
    open_store(world, "parts", &world->store);
    open_store(world, "whole", &world->whole_store);
    world->txn = txn_new(world->store);
    world->whole_txn = txn_new(world->whole_store);
    world->whole.scope = (struct machine_scope){.shard = 2, .last = UINT64_MAX};
    world->parts[0].scope = world->whole.scope;
    buf_init(&world->planned, 1 << 24);
    buf_init(&world->reply, 1 << 24);
    buf_init(&world->expected, 1 << 24);
}

static void world_close(struct world *world)
{
    CHECK_EQ(txn_commit(world->txn), STATUS_OK);
    CHECK_EQ(txn_commit(world->whole_txn), STATUS_OK);
    txn_free(world->txn);
    txn_free(world->whole_txn);
    store_close(world->store);
    store_close(world->whole_store);
    folder_remove(world->folder);
    buf_deinit(&world->planned);
    buf_deinit(&world->reply);
    buf_deinit(&world->expected);
}

static void advance(struct txn *txn, struct part *part, uint64_t now_ms)
{
    CHECK_EQ(machine_advance(txn, &part->state, part->scope, now_ms, NULL), STATUS_OK);
}

static void run(struct world *world,
                struct txn *txn,
                struct part *part,
                const struct machine_plan_input *input,
                struct buf *reply)
{
    buf_clear(reply);
    if ((input->command->flags & CMD_WRITE) == 0) {
        struct machine_read_input read = {.scope = part->scope,
                                          .command = input->command,
                                          .args = input->args,
                                          .db = input->db,
                                          .now_ms = input->now_ms};
        CHECK_EQ(machine_read(txn, &part->state, &read, reply), STATUS_OK);
        return;
    }
    advance(txn, part, input->now_ms);
    buf_clear(&world->planned);
    if (machine_plan(input, &world->planned, reply) == STATUS_OK) {
        struct machine_apply_input apply = {
            .scope = part->scope, .planned = buf_slice(&world->planned), .now_ms = input->now_ms};
        CHECK_EQ(machine_apply(txn, &part->state, &apply, reply), STATUS_OK);
    }
}

static struct part *owner(struct world *world, uint64_t token)
{
    for (size_t i = 0; i < world->count; i++) {
        const struct machine_scope *scope = &world->parts[i].scope;
        if (token >= scope->start && token <= scope->last) {
            return &world->parts[i];
        }
    }
    CHECK(false);
    return NULL;
}

/* The command, whose first argument is its key, on both; the replies are the same. */
static void both(struct world *world, uint8_t db, const char *const *argv, size_t argc)
{
    struct slice slices[ARGS_MAX];
    for (size_t i = 0; i < argc; i++) {
        slices[i] = slice_str(argv[i]);
    }
    struct machine_plan_input input = {.command = command_find(slices[0]),
                                       .args = {.argv = slices, .argc = argc},
                                       .db = db,
                                       .now_ms = world->now_ms};
    struct part *part = owner(world, token_of(db, slices[1]));
    run(world, world->whole_txn, &world->whole, &input, &world->expected);
    run(world, world->txn, part, &input, &world->reply);
    CHECK(slice_equal(buf_slice(&world->reply), buf_slice(&world->expected)));
}

#define BOTH(world, db, ...)                            \
    both(world, db, (const char *const[]){__VA_ARGS__}, \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static size_t part_at(const struct world *world, uint64_t token)
{
    for (size_t i = 0; i < world->count; i++) {
        if (token >= world->parts[i].scope.start && token <= world->parts[i].scope.last) {
            return i;
        }
    }
    return world->count;
}

/* False: it may not be divided now, or not there. */
static bool divide(struct world *world, uint64_t token)
{
    struct part *parent = &world->parts[part_at(world, token)];
    if (world->count == PARTS_MAX || token == parent->scope.start) {
        return false;
    }
    const char *why = NULL;
    CHECK_EQ(divide_check(world->txn, &parent->state, parent->scope, &why), STATUS_OK);
    if (why != NULL) {
        return false;
    }
    struct part *child = &world->parts[world->count];
    *child = (struct part){
        .scope = {.shard = 100 + world->count, .start = token, .last = parent->scope.last}};
    struct machine_scope scope = parent->scope;
    CHECK_EQ(divide_split(world->txn, &parent->state, scope, child->scope, &child->state),
             STATUS_OK);
    parent->scope.last = token - 1;
    world->count++;
    return true;
}

/* The counters are what there is. */
static void check_exact(struct world *world, const struct part *part)
{
    struct buf from;
    struct buf to;
    struct buf next;
    struct buf expiring;
    buf_init(&from, 64);
    buf_init(&to, 64);
    buf_init(&next, 1 << 20);
    buf_init(&expiring, 1 << 24);
    machine_range(part->scope, STORE_DATA, &from, &to);
    struct survey survey = {
        .rows_left = SIZE_MAX, .size_left = SIZE_MAX, .expiring = &expiring, .next = &next};
    CHECK_EQ(survey_walk(world->txn, buf_slice(&from), buf_slice(&to), &survey), STATUS_OK);
    CHECK_EQ(next.len, 0);
    CHECK_EQ(part->state.keys[0], survey.keys);
    CHECK_EQ(part->state.expires[0], survey.expires);
    uint64_t rows = 0;
    struct reader in = reader_of(buf_slice(&expiring));
    struct buf key;
    struct buf value;
    buf_init(&key, 1 << 20);
    buf_init(&value, 16);
    for (; in.rest.len > 0; rows++) { /* Each is in the index of its own shard. */
        uint64_t expire_ms = reader_u64(&in);
        CHECK(part->state.expiry_ms != 0 && part->state.expiry_ms <= expire_ms);
        keyspace_local_key(part->scope.shard, LOCAL_EXPIRY, &key);
        buf_append_u64_be(&key, expire_ms);
        buf_append_slice(&key, reader_bytes(&in, UINT32_MAX));
        CHECK_EQ(txn_get(world->txn, STORE_LOCAL, buf_slice(&key), &value), STATUS_OK);
    }
    buf_deinit(&from);
    buf_deinit(&to);
    buf_deinit(&next);
    buf_deinit(&expiring);
    buf_deinit(&key);
    buf_deinit(&value);
}

static void check_sums(struct world *world)
{
    for (size_t db = 0; db < MACHINE_DATABASES; db++) {
        uint64_t keys = 0;
        uint64_t expires = 0;
        for (size_t i = 0; i < world->count; i++) {
            keys += world->parts[i].state.keys[db];
            expires += world->parts[i].state.expires[db];
        }
        CHECK_EQ(keys, world->whole.state.keys[db]);
        CHECK_EQ(expires, world->whole.state.expires[db]);
    }
}

/* Lets entries pass until nothing is being counted; returns how many of a part it took at most. */
static size_t settle(struct world *world)
{
    size_t most = 0;
    for (size_t i = 0; i < world->count; i++) {
        size_t steps = 0;
        for (; recount_active(&world->parts[i].state); steps++) {
            world->now_ms += RECOUNT_PAUSE_MS;
            advance(world->txn, &world->parts[i], world->now_ms);
        }
        most = steps > most ? steps : most;
    }
    return most;
}

static void fill(struct world *world, const char *prefix, size_t count)
{
    char key[32];
    for (size_t i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "%s%zu", prefix, i);
        if (i % 4 == 0) {
            BOTH(world, 0, "set", key, "value", "px", "100000000");
        } else {
            BOTH(world, 0, "set", key, "value");
        }
    }
}

TEST(divide_split, of_a_small_shard_leaves_both_sides_exact)
{
    struct world world;
    world_open(&world);
    fill(&world, "k", 1000);
    BOTH(&world, 3, "set", "colocated", "value", "px", "5000");
    BOTH(&world, 0, "sadd", "set", "a", "b", "c");
    CHECK(divide(&world, UINT64_C(1) << 63));
    for (size_t i = 0; i < 2; i++) {
        CHECK(!recount_active(&world.parts[i].state));
        CHECK(world.parts[i].state.keys[0] > 300);
        check_exact(&world, &world.parts[i]);
    }
    check_sums(&world);
    CHECK_EQ(owner(&world, token_of(3, slice_str("")))->state.keys[3], 1);
    CHECK_EQ(world.parts[0].state.version, world.parts[1].state.version);
    CHECK_EQ(world.parts[0].state.time_ms, world.parts[1].state.time_ms);
    world_close(&world);
}

TEST(divide_split, of_a_large_shard_counts_the_keys_afterwards)
{
    struct world world;
    world_open(&world);
    fill(&world, "k", 3 * DIVIDE_ROWS);
    CHECK(divide(&world, UINT64_C(1) << 63));
    CHECK(recount_active(&world.parts[0].state) && recount_active(&world.parts[1].state));
    check_sums(&world); /* Estimates, but none is lost. */
    const char *why = NULL;
    CHECK_EQ(divide_check(world.txn, &world.parts[1].state, world.parts[1].scope, &why), STATUS_OK);
    CHECK(why != NULL);
    /* Keys come and go on both sides of the cursors. */
    struct rand rand;
    rand_init(&rand, 1);
    char key[32];
    for (size_t i = 0; i < 4000; i++) {
        world.now_ms += i % 100 == 0 ? 1 : 0;
        snprintf(key, sizeof(key), "k%llu", (unsigned long long)rand_below(&rand, 15000));
        switch (rand_below(&rand, 5)) {
        case 0: BOTH(&world, 0, "del", key); break;
        case 1: BOTH(&world, 0, "set", key, "new"); break;
        case 2: BOTH(&world, 0, "set", key, "new", "px", "90000000"); break;
        case 3: BOTH(&world, 0, "persist", key); break;
        default: BOTH(&world, 0, "pexpire", key, "80000000"); break;
        }
    }
    CHECK(settle(&world) > 3);
    check_exact(&world, &world.parts[0]);
    check_exact(&world, &world.parts[1]);
    check_sums(&world);
    world_close(&world);
}

TEST(divide_split, counts_only_the_larger_side_if_the_other_is_small)
{
    struct world world;
    world_open(&world);
    fill(&world, "k", 2 * DIVIDE_ROWS);
    CHECK(divide(&world, UINT64_MAX / 8)); /* The child gets most. */
    CHECK(!recount_active(&world.parts[0].state));
    CHECK(recount_active(&world.parts[1].state));
    check_sums(&world);
    check_exact(&world, &world.parts[0]);
    (void)settle(&world);
    check_exact(&world, &world.parts[1]);
    world_close(&world);
}

TEST(recount_flushed, ends_the_count_or_begins_it_anew)
{
    struct world world;
    world_open(&world);
    fill(&world, "k", 3 * DIVIDE_ROWS);
    BOTH(&world, 3, "set", "colocated", "value", "px", "50000000");
    CHECK(divide(&world, 1)); /* Everything. */
    struct part *child = &world.parts[1];
    CHECK(recount_active(&child->state));
    world.now_ms += 1000;
    advance(world.txn, child, world.now_ms);
    struct slice name = slice_str("flushdb");
    struct machine_plan_input input = {
        .command = command_find(name), .args = {.argv = &name, .argc = 1}, .now_ms = world.now_ms};
    run(&world, world.txn, child, &input, &world.reply);
    CHECK(recount_active(&child->state)); /* For the index of database 3. */
    CHECK_EQ(child->state.keys[0], 0);
    CHECK_EQ(child->state.keys[3], 1);
    (void)settle(&world);
    check_exact(&world, child);
    CHECK_EQ(child->state.keys[3], 1);
    world_close(&world);
}

TEST(divide_split, takes_the_removed_collections_along)
{
    struct world world;
    world_open(&world);
    char key[32];
    char member[300];
    memset(member, 'x', sizeof(member) - 1);
    member[sizeof(member) - 1] = '\0';
    for (size_t i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "s%zu", i);
        BOTH(&world, 0, "sadd", key, member);
    }
    for (size_t i = 0; i < 40; i++) { /* No entry between these: nothing is swept yet. */
        snprintf(key, sizeof(key), "s%zu", i);
        struct slice argv[] = {slice_str("del"), slice_str(key)};
        struct machine_plan_input input = {.command = command_find(argv[0]),
                                           .args = {.argv = argv, .argc = 2},
                                           .now_ms = world.now_ms};
        buf_clear(&world.planned);
        buf_clear(&world.reply);
        CHECK_EQ(machine_plan(&input, &world.planned, &world.reply), STATUS_OK);
        struct machine_apply_input apply = {.scope = world.parts[0].scope,
                                            .planned = buf_slice(&world.planned),
                                            .now_ms = world.now_ms};
        CHECK_EQ(machine_apply(world.txn, &world.parts[0].state, &apply, &world.reply), STATUS_OK);
    }
    CHECK_EQ(world.parts[0].state.garbage, 40);
    CHECK(divide(&world, UINT64_C(1) << 63));
    CHECK_EQ(world.parts[0].state.garbage + world.parts[1].state.garbage, 40);
    CHECK(world.parts[1].state.garbage > 5);
    for (size_t i = 0; i < 2; i++) {
        advance(world.txn, &world.parts[i], world.now_ms);
        CHECK_EQ(world.parts[i].state.garbage, 0);
        uint64_t left = 0;
        CHECK_EQ(transplant_count(world.txn, world.parts[i].scope.shard, LOCAL_GARBAGE, 9, &left),
                 STATUS_OK);
        CHECK_EQ(left, 0);
    }
    world_close(&world);
}

/* Splits at random places between random commands; all replies as if there had been none. */
static void play(uint64_t seed)
{
    struct world world;
    struct rand rand;
    world_open(&world);
    rand_init(&rand, seed);
    char key[32];
    for (size_t i = 0; i < 6000; i++) {
        world.now_ms += rand_below(&rand, 30);
        uint8_t db = rand_below(&rand, 8) == 0 ? (uint8_t)rand_below(&rand, MACHINE_DATABASES) : 0;
        snprintf(key, sizeof(key), "k%llu", (unsigned long long)rand_below(&rand, KEYS));
        switch (rand_below(&rand, 12)) {
        case 0: BOTH(&world, db, "del", key); break;
        case 1: BOTH(&world, db, "set", key, "v", "px", "2000"); break;
        case 2: BOTH(&world, db, "append", key, "tail"); break;
        case 3: BOTH(&world, db, "rpush", key, "one", "two"); break;
        case 4: BOTH(&world, db, "lpop", key); break;
        case 5: BOTH(&world, db, "pexpire", key, "900"); break;
        case 6: BOTH(&world, db, "persist", key); break;
        case 7: BOTH(&world, db, "sadd", key, "a", "b"); break;
        case 8: BOTH(&world, db, "pttl", key); break;
        case 9: BOTH(&world, db, "get", key); break;
        case 10: BOTH(&world, db, "hset", key, "f", "v"); break;
        default: BOTH(&world, db, "type", key); break;
        }
        if (rand_below(&rand, 500) == 0) {
            (void)divide(&world, rand_u64(&rand));
        }
        if (rand_below(&rand, 100) == 0) {
            CHECK_EQ(txn_commit(world.txn), STATUS_OK);
        }
    }
    world.now_ms += 100000; /* Everything that can expire has. */
    advance(world.whole_txn, &world.whole, world.now_ms);
    for (size_t n = 0; n < 20; n++) {
        advance(world.whole_txn, &world.whole, world.now_ms);
        for (size_t i = 0; i < world.count; i++) {
            advance(world.txn, &world.parts[i], world.now_ms);
        }
    }
    check_sums(&world);
    for (size_t i = 0; i < world.count; i++) {
        check_exact(&world, &world.parts[i]);
    }
    CHECK(world.count > 3);
    world_close(&world);
}

TEST(divide_split, changes_no_reply)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        play(seed);
    }
}
