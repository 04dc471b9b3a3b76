#include "server/script/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cluster/token.h"
#include "common/proto/transaction.h"
#include "server/machine/event.h"
#include "server/machine/planned.h"
#include "tests/support/folder.h"
#include "tests/support/test.h"

/* Scripts and transactions with scripts, before the log and behind it; what they answer is in
 * tests/machine/multi_script.txt and script_differential.py. */

enum { COMMANDS_MAX = 8, WORDS_MAX = 8, REPLICAS = 2 };

static const struct trial_limits limits = {
    .memory_max = 64 << 20, .time_ms_max = 20000, .slice_ms_max = 20000, .slice_steps_max = 400000};

struct replica {
    struct store *store;
    struct txn *txn;
    struct machine_state state;
    struct buf reply;
    struct buf events;
};

struct world {
    char folder[FOLDER_SIZE];
    struct replica replicas[REPLICAS]; /* The first leads. */
    struct trial *trial;
    struct machine_scope scope;
    bool slice;
    bool sought;
    atomic_bool killed;
    uint64_t now_ms;
    uint64_t session, seq;
    /* Of the last one. */
    enum trial_result result;
    enum status status;
    struct buf planned;
    struct buf long_reply;
};

static void begin(struct world *world)
{
    *world = (struct world){.scope = {.shard = 7, .last = UINT64_MAX}, .now_ms = 1000};
    folder_make(world->folder, "trial");
    for (size_t i = 0; i < REPLICAS; i++) {
        struct replica *replica = &world->replicas[i];
        char path[64];
        (void)snprintf(path, sizeof(path), "%s/%zu", world->folder, i);
        struct store_options options = {
            .cache_size = 8 << 20, .memtable_size = 8 << 20, .threads = 1};
        CHECK_EQ(store_open(path, &options, &replica->store), STATUS_OK);
        replica->txn = txn_new(replica->store);
        buf_init(&replica->reply, SIZE_MAX / 2);
        buf_init(&replica->events, SIZE_MAX / 2);
    }
    world->trial = trial_new(&limits);
    buf_init(&world->planned, SIZE_MAX / 2);
    buf_init(&world->long_reply, SIZE_MAX / 2);
}

static void end(struct world *world)
{
    for (size_t i = 0; i < REPLICAS; i++) {
        txn_free(world->replicas[i].txn);
        store_close(world->replicas[i].store);
        buf_deinit(&world->replicas[i].reply);
        buf_deinit(&world->replicas[i].events);
    }
    trial_free(world->trial);
    buf_deinit(&world->planned);
    buf_deinit(&world->long_reply);
    folder_remove(world->folder);
}

struct commands {
    struct slice argv[COMMANDS_MAX][WORDS_MAX];
    struct transaction_item items[COMMANDS_MAX];
    size_t count;
};

/* Words, the last is NULL. */
static void add(struct commands *commands, const char *const words[])
{
    CHECK(commands->count < COMMANDS_MAX);
    struct slice *argv = commands->argv[commands->count];
    size_t argc = 0;
    for (; words[argc] != NULL; argc++) {
        CHECK(argc < WORDS_MAX);
        argv[argc] = slice_str(words[argc]);
    }
    commands->items[commands->count++] = (struct transaction_item){
        .command = command_find(argv[0]), .args = {.argv = argv, .argc = argc}};
}

#define ADD(commands, ...) add((commands), (const char *const[]){__VA_ARGS__, NULL})
#define EVAL(commands, text) ADD((commands), "eval", (text), "0")

/* What the leader does before the log. */
static void try_args(struct world *world, const struct command *command, struct args args)
{
    struct replica *leader = &world->replicas[0];
    struct trial_place place = {.txn = leader->txn,
                                .state = &leader->state,
                                .scope = world->scope,
                                .now_ms = world->now_ms,
                                .slice = world->slice,
                                .killed = &world->killed};
    struct trial_op op = {.command = command,
                          .args = args,
                          .session = world->session,
                          .seq = world->seq,
                          .first_unacked = 1,
                          .seed = 77,
                          .sought = world->sought};
    buf_clear(&world->planned);
    buf_clear(&world->long_reply);
    CHECK_EQ(trial_begin(world->trial, &place), STATUS_OK);
    world->status = STATUS_OK;
    world->result =
        trial_run(world->trial, &op, &world->planned, &world->long_reply, &world->status);
    trial_end(world->trial);
}

static void try_batch(struct world *world,
                      const struct commands *commands,
                      const struct transaction_watch *watch)
{
    struct transaction_form form;
    transaction_form_init(&form, commands->items, commands->count, watch, watch != NULL);
    try_args(world, command_at(CMD_batch), form.args);
    transaction_form_deinit(&form);
}

static enum status apply_planned(struct world *world, struct replica *replica, struct slice planned)
{
    struct machine_apply_input input = {.scope = world->scope,
                                        .planned = planned,
                                        .now_ms = world->now_ms,
                                        .session = world->session,
                                        .seq = world->seq,
                                        .first_unacked = 1,
                                        .events = &replica->events};
    buf_clear(&replica->reply);
    return machine_apply(replica->txn, &replica->state, &input, &replica->reply);
}

/* Behind the log: all replicas do and say the same. */
static void apply(struct world *world, const char *want)
{
    CHECK_EQ(world->result, TRIAL_PLANNED);
    struct machine_state first = {0};
    for (size_t i = 0; i < REPLICAS; i++) {
        struct replica *replica = &world->replicas[i];
        CHECK_EQ(apply_planned(world, replica, buf_slice(&world->planned)), STATUS_OK);
        CHECK_BYTES(buf_slice(&replica->reply), want);
        first = i == 0 ? replica->state : first;
        CHECK(memcmp(&first, &replica->state, sizeof(first)) == 0);
    }
}

static void write_plain(struct world *world, const char *const words[])
{
    struct commands commands = {0};
    add(&commands, words);
    struct machine_plan_input input = {.command = commands.items[0].command,
                                       .args = commands.items[0].args,
                                       .now_ms = world->now_ms};
    struct buf planned;
    struct buf reply;
    buf_init(&planned, SIZE_MAX / 2);
    buf_init(&reply, SIZE_MAX / 2);
    CHECK_EQ(machine_plan(&input, &planned, &reply), STATUS_OK);
    uint64_t session = world->session;
    world->session = 0;
    for (size_t i = 0; i < REPLICAS; i++) {
        CHECK_EQ(apply_planned(world, &world->replicas[i], buf_slice(&planned)), STATUS_OK);
    }
    world->session = session;
    buf_deinit(&planned);
    buf_deinit(&reply);
}

#define WRITE(world, ...) write_plain((world), (const char *const[]){__VA_ARGS__, NULL})

static void check_get(struct world *world, const char *key, const char *want)
{
    struct slice argv[] = {slice_str("get"), slice_str(key)};
    for (size_t i = 0; i < REPLICAS; i++) {
        struct replica *replica = &world->replicas[i];
        struct machine_read_input input = {.scope = {.shard = 7, .last = UINT64_MAX},
                                           .command = command_find(argv[0]),
                                           .args = {.argv = argv, .argc = 2},
                                           .now_ms = world->now_ms};
        buf_clear(&replica->reply);
        CHECK_EQ(machine_read(replica->txn, &replica->state, &input, &replica->reply), STATUS_OK);
        CHECK_BYTES(buf_slice(&replica->reply), want);
    }
}

static uint64_t scripts_run(struct world *world)
{
    struct trial_stats stats;
    trial_stats(world->trial, &stats);
    return stats.scripts;
}

static bool says(const struct buf *reply, const char *part)
{
    return memmem(reply->data, reply->len, part, strlen(part)) != NULL;
}

TEST(trial_run, makes_what_all_replicas_apply_alike)
{
    struct world world;
    begin(&world);
    struct commands commands = {0};
    ADD(&commands, "set", "a", "5");
    EVAL(&commands, "redis.call('incr','a') return redis.call('incr','a')");
    ADD(&commands, "incr", "a");
    EVAL(&commands, "return {redis.call('get','a'), math.random(1000), #redis.call('time')[1]}");
    EVAL(&commands, "redis.call('sadd','s',1,2,3,4,5,6,7,8) return #redis.call('spop','s',3)");
    ADD(&commands, "scard", "s");
    try_batch(&world, &commands, NULL);
    check_get(&world, "a", "_\r\n"); /* All of it was taken back. */
    CHECK_EQ(world.long_reply.len, 0);
    struct replica *leader = &world.replicas[0];
    CHECK_EQ(apply_planned(&world, leader, buf_slice(&world.planned)), STATUS_OK);
    char reply[200] = {0};
    CHECK(leader->reply.len < sizeof(reply));
    memcpy(reply, leader->reply.data, leader->reply.len);
    static const char head[] = "*6\r\n+OK\r\n:7\r\n:8\r\n*3\r\n$1\r\n8\r\n:";
    CHECK(strncmp(reply, head, sizeof(head) - 1) == 0);
    struct replica *other = &world.replicas[1];
    CHECK_EQ(apply_planned(&world, other, buf_slice(&world.planned)), STATUS_OK);
    CHECK_BYTES(buf_slice(&other->reply), reply);
    CHECK(memcmp(&leader->state, &other->state, sizeof(leader->state)) == 0);
    check_get(&world, "a", "$1\r\n8\r\n");
    end(&world);
}

TEST(trial_run, gives_the_reply_of_that_time_and_runs_nothing_again)
{
    struct world world;
    begin(&world);
    world.session = 9;
    world.seq = 1;
    struct commands commands = {0};
    EVAL(&commands, "return redis.call('incr','n')");
    ADD(&commands, "incr", "n");
    try_batch(&world, &commands, NULL);
    apply(&world, "*2\r\n:1\r\n:2\r\n");
    CHECK_EQ(scripts_run(&world), 1);
    for (size_t i = 0; i < 3; i++) {
        try_batch(&world, &commands, NULL);
        apply(&world, "*2\r\n:1\r\n:2\r\n");
    }
    CHECK_EQ(scripts_run(&world), 1);
    world.seq = 2;
    try_batch(&world, &commands, NULL);
    apply(&world, "*2\r\n:3\r\n:4\r\n");
    end(&world);
}

TEST(trial_run, runs_nothing_if_a_watched_key_has_changed)
{
    struct world world;
    begin(&world);
    world.session = 9;
    world.seq = 1;
    WRITE(&world, "set", "w", "1");
    struct transaction_watch watch = {.version = 1, .key = slice_str("w")};
    struct commands commands = {0};
    EVAL(&commands, "return redis.call('incr','n')");
    try_batch(&world, &commands, &watch);
    apply(&world, "*1\r\n:1\r\n"); /* It was the first of all changes. */
    WRITE(&world, "set", "w", "1");
    world.seq = 2;
    uint64_t before = scripts_run(&world);
    try_batch(&world, &commands, &watch);
    apply(&world, "*-1\r\n");
    try_batch(&world, &commands, &watch);
    apply(&world, "*-1\r\n");
    CHECK_EQ(scripts_run(&world), before);
    check_get(&world, "n", "$1\r\n1\r\n");
    end(&world);
}

TEST(trial_run, keeps_a_long_reply_out_of_the_log)
{
    struct world world;
    begin(&world);
    world.session = 9;
    world.seq = 1;
    static const char later[] =
        "-UNKNOWN this script was applied before, its reply is no longer kept\r\n";
    struct commands commands = {0};
    EVAL(&commands, "return string.rep('x', 100000)");
    ADD(&commands, "incr", "n");
    try_batch(&world, &commands, NULL);
    CHECK_EQ(world.long_reply.len, 4 + 9 + 100000 + 2 + 4);
    CHECK(memcmp(world.long_reply.data, "*2\r\n$100000\r\nxxx", 16) == 0);
    CHECK(world.planned.len < 1000);
    apply(&world, later);
    try_batch(&world, &commands, NULL);
    CHECK_EQ(world.long_reply.len, 0);
    apply(&world, later);
    end(&world);
}

TEST(trial_run, bounds_the_steps_of_all_scripts_together)
{
    struct world world;
    begin(&world);
    world.slice = true;
    struct commands commands = {0};
    ADD(&commands, "set", "a", "1");
    for (size_t i = 0; i < 3; i++) {
        EVAL(&commands, "for i = 1,75000 do end return 1");
    }
    try_batch(&world, &commands, NULL);
    CHECK_EQ(world.result, TRIAL_PLANNED);
    for (size_t i = 0; i < 4; i++) {
        EVAL(&commands, "for i = 1,75000 do end return 1");
    }
    try_batch(&world, &commands, NULL);
    CHECK_EQ(world.result, TRIAL_AGAIN);
    world.slice = false;
    try_batch(&world, &commands, NULL);
    apply(&world, "*8\r\n+OK\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n");
    end(&world);
}

TEST(trial_run, changes_nothing_if_a_script_is_stopped)
{
    struct world world;
    begin(&world);
    struct commands commands = {0};
    ADD(&commands, "set", "a", "1");
    EVAL(&commands, "redis.call('set','b','1')");
    EVAL(&commands, "local s = 'xxxxxxxx' while true do s = s .. s end");
    try_batch(&world, &commands, NULL);
    CHECK_EQ(world.result, TRIAL_STOPPED);
    CHECK(says(&world.long_reply, "-ERR Script needs more memory than script-memory-max"));
    check_get(&world, "a", "_\r\n");
    /* Each of these is over before it looks whether it was killed. */
    commands.count = 2;
    EVAL(&commands, "return 1");
    atomic_store(&world.killed, true);
    try_batch(&world, &commands, NULL);
    CHECK_EQ(world.result, TRIAL_STOPPED);
    CHECK(says(&world.long_reply, "-ERR the scripts of this transaction were killed"));
    atomic_store(&world.killed, false);
    check_get(&world, "a", "_\r\n");
    check_get(&world, "b", "_\r\n");
    end(&world);
}

TEST(trial_run, bounds_writes_and_replies_of_all_together)
{
    struct world world;
    begin(&world);
    struct commands commands = {0};
    for (size_t i = 0; i < 2; i++) {
        EVAL(&commands, "redis.call('set','a',string.rep('x', 16000000)) return 1");
    }
    try_batch(&world, &commands, NULL);
    CHECK_EQ(world.result, TRIAL_STOPPED);
    CHECK_BYTES(buf_slice(&world.long_reply),
                "-ERR the writes of the script are larger than 30 MB in all; nothing was "
                "changed\r\n");
    check_get(&world, "a", "_\r\n");
    commands = (struct commands){0};
    for (size_t i = 0; i < 5; i++) {
        EVAL(&commands, "return string.rep('x', 16000000)");
    }
    try_batch(&world, &commands, NULL);
    CHECK_EQ(world.result, TRIAL_STOPPED);
    CHECK_BYTES(buf_slice(&world.long_reply),
                "-ERR the replies of this transaction are larger than 64 MB in all; nothing was "
                "changed\r\n");
    end(&world);
}

TEST(trial_run, is_not_for_what_another_shard_owns)
{
    struct world world;
    begin(&world);
    uint64_t token = token_of_key(slice_str("a"));
    struct machine_scope whole = world.scope;
    struct machine_scope part = {.shard = 7, .start = token, .last = token};
    static const char incr[] = "return redis.call('incr',KEYS[1])";
    world.scope = part;
    struct commands commands = {0};
    ADD(&commands, "eval", incr, "1", "a");
    try_batch(&world, &commands, NULL);
    CHECK_EQ(world.result, TRIAL_PLANNED);
    struct transaction_watch watch = {.key = slice_str("b")};
    try_batch(&world, &commands, &watch);
    CHECK_EQ(world.result, TRIAL_FAILED);
    CHECK_EQ(world.status, STATUS_NOT_OWNER);
    ADD(&commands, "eval", incr, "1", "b");
    try_batch(&world, &commands, NULL);
    CHECK_EQ(world.result, TRIAL_FAILED);
    CHECK_EQ(world.status, STATUS_NOT_OWNER);
    CHECK_EQ(scripts_run(&world), 1);
    /* The same if the range has shrunk since it was tried. */
    world.scope = whole;
    try_batch(&world, &commands, NULL);
    CHECK_EQ(world.result, TRIAL_PLANNED);
    world.scope = part;
    for (size_t i = 0; i < REPLICAS; i++) {
        CHECK_EQ(apply_planned(&world, &world.replicas[i], buf_slice(&world.planned)),
                 STATUS_NOT_OWNER);
    }
    check_get(&world, "a", "_\r\n");
    world.scope = whole;
    apply(&world, "*2\r\n:1\r\n:1\r\n");
    end(&world);
}

TEST(trial_run, sees_what_script_does_before_it)
{
    struct world world;
    begin(&world);
    static const char sum[] = "59b6ab2fbe0ee4b25733de0f62e6cda4899ef8e9"; /* "return 7" */
    struct commands commands = {0};
    world.sought = true;
    ADD(&commands, "evalsha", sum, "0");
    ADD(&commands, "script_load", "return 7");
    ADD(&commands, "evalsha", sum, "0");
    ADD(&commands, "script_exists", sum, "ffff");
    ADD(&commands, "script_flush");
    ADD(&commands, "evalsha", sum, "0");
    ADD(&commands, "script_load", "this is no Lua");
    try_batch(&world, &commands, NULL);
    apply(&world,
          "*7\r\n-NOSCRIPT No matching script. Please use EVAL.\r\n"
          "$40\r\n59b6ab2fbe0ee4b25733de0f62e6cda4899ef8e9\r\n:7\r\n*2\r\n:1\r\n:0\r\n+OK\r\n"
          "-NOSCRIPT No matching script. Please use EVAL.\r\n"
          "-ERR Error compiling script (new function): user_script:1: '=' expected near 'is'\r\n");
    end(&world);
}

TEST(trial_run, lets_messages_leave_when_it_is_applied)
{
    struct world world;
    begin(&world);
    struct commands commands = {0};
    EVAL(&commands, "return redis.call('publish','c','hello')");
    try_batch(&world, &commands, NULL);
    CHECK_EQ(world.replicas[0].events.len, 0);
    apply(&world, "*1\r\n:0\r\n");
    struct reader in = reader_of(buf_slice(&world.replicas[0].events));
    struct event event;
    CHECK(event_next(&in, &event));
    CHECK_EQ(event.class, EVENT_MESSAGE);
    CHECK_BYTES(event.name, "c");
    CHECK_BYTES(event.key, "hello");
    CHECK(!event_next(&in, &event));
    end(&world);
}

/* Nothing of the leader's store is in memory any more. */
static void make_cold(struct world *world)
{
    struct replica *leader = &world->replicas[0];
    CHECK_EQ(txn_commit(leader->txn), STATUS_OK);
    CHECK_EQ(store_flush(leader->store), STATUS_OK);
    txn_free(leader->txn);
    store_close(leader->store);
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/0", world->folder);
    struct store_options options = {.cache_size = 8 << 20, .memtable_size = 8 << 20, .threads = 1};
    CHECK_EQ(store_open(path, &options, &leader->store), STATUS_OK);
    leader->txn = txn_new(leader->store);
}

TEST(trial_run, does_not_wait_for_the_disk_on_a_loop)
{
    struct world world;
    begin(&world);
    static const char sum[] = "59b6ab2fbe0ee4b25733de0f62e6cda4899ef8e9"; /* "return 7" */
    WRITE(&world, "script_load", "return 7");
    struct commands commands = {0};
    ADD(&commands, "evalsha", sum, "0");
    make_cold(&world);
    world.slice = true;
    try_args(&world, command_at(CMD_evalsha), commands.items[0].args);
    CHECK_EQ(world.result, TRIAL_AGAIN);
    world.slice = false;
    try_args(&world, command_at(CMD_evalsha), commands.items[0].args);
    CHECK_EQ(world.result, TRIAL_PLANNED);
    end(&world);
}

TEST(trial_run, refuses_what_is_no_transaction)
{
    struct world world;
    begin(&world);
    struct slice argv[] = {slice_str("batch"), slice_str("0"), slice_str("x")};
    try_args(&world, command_at(CMD_batch), (struct args){.argv = argv, .argc = 3});
    CHECK_EQ(world.result, TRIAL_REFUSED);
    CHECK_BYTES(buf_slice(&world.long_reply), "-ERR malformed transaction\r\n");
    end(&world);
}

static const char *const seven = "return 7";
static const char *const seven_sha = "59b6ab2fbe0ee4b25733de0f62e6cda4899ef8e9";

static void try_one(struct world *world, struct commands *commands)
{
    CHECK_EQ(commands->count, 1);
    try_args(world, commands->items[0].command, commands->items[0].args);
    commands->count = 0;
}

static void check_unknown(const struct world *world)
{
    CHECK_EQ(world->result, TRIAL_UNKNOWN);
    CHECK_EQ(world->status, STATUS_NO_SCRIPT);
    CHECK_EQ(world->planned.len + world->long_reply.len, 0);
}

TEST(trial_source_check, asks_for_what_the_shard_does_not_know)
{
    struct world world;
    begin(&world);
    struct commands commands = {0};
    ADD(&commands, "evalsha", seven_sha, "0");
    try_one(&world, &commands);
    check_unknown(&world);
    /* What another shard of the same loop has run is not known here. */
    world.scope.shard = 8;
    EVAL(&commands, seven);
    try_one(&world, &commands);
    apply(&world, ":7\r\n");
    ADD(&commands, "evalsha", seven_sha, "0");
    try_one(&world, &commands);
    apply(&world, ":7\r\n");
    world.scope.shard = 7;
    ADD(&commands, "evalsha", seven_sha, "0");
    try_one(&world, &commands);
    check_unknown(&world);
    world.sought = true;
    ADD(&commands, "evalsha", seven_sha, "0");
    try_one(&world, &commands);
    apply(&world, "-NOSCRIPT No matching script. Please use EVAL.\r\n");
    end(&world);
}

TEST(trial_source_check, counts_what_the_transaction_brings_itself)
{
    struct world world;
    begin(&world);
    struct commands commands = {0};
    EVAL(&commands, seven);
    ADD(&commands, "evalsha", seven_sha, "0");
    try_batch(&world, &commands, NULL);
    apply(&world, "*2\r\n:7\r\n:7\r\n");
    commands.count = 0;
    ADD(&commands, "script_flush");
    ADD(&commands, "evalsha", seven_sha, "0");
    try_batch(&world, &commands, NULL);
    apply(&world, "*2\r\n+OK\r\n-NOSCRIPT No matching script. Please use EVAL.\r\n");
    commands.count = 0;
    ADD(&commands, "evalsha", seven_sha, "0");
    EVAL(&commands, seven);
    ADD(&commands, "incr", "n");
    try_batch(&world, &commands, NULL);
    check_unknown(&world);
    world.sought = true;
    try_batch(&world, &commands, NULL);
    apply(&world, "*3\r\n-NOSCRIPT No matching script. Please use EVAL.\r\n:7\r\n:1\r\n");
    world.sought = false;
    commands.count = 0;
    ADD(&commands, "evalsha", "no sum at all", "0"); /* Nobody can know it. */
    try_batch(&world, &commands, NULL);
    apply(&world, "*1\r\n-NOSCRIPT No matching script. Please use EVAL.\r\n");
    end(&world);
}

/* Whether replica n has the row of a source. */
static bool stored(struct world *world, size_t n, const char *sha)
{
    uint8_t sum[SHA1_SIZE];
    struct buf source;
    CHECK(sha1_parse(slice_str(sha), sum));
    buf_init(&source, 1 << 20);
    enum status status = machine_script(world->replicas[n].txn, world->scope, sum, &source);
    CHECK(status == STATUS_OK || status == STATUS_NOT_FOUND);
    buf_deinit(&source);
    return status == STATUS_OK;
}

TEST(trial_source_store, stores_with_the_shard_what_evalsha_found)
{
    struct world world;
    begin(&world);
    struct commands commands = {0};
    EVAL(&commands, seven);
    try_one(&world, &commands);
    apply(&world, ":7\r\n");
    CHECK(!stored(&world, 1, seven_sha)); /* There is no end to what is run once. */
    /* What is dropped has stored nothing. */
    ADD(&commands, "evalsha", seven_sha, "0");
    ADD(&commands, "evalsha", seven_sha, "0");
    try_batch(&world, &commands, NULL);
    CHECK(!stored(&world, 0, seven_sha));
    try_batch(&world, &commands, NULL);
    size_t size = world.planned.len;
    apply(&world, "*2\r\n:7\r\n:7\r\n");
    CHECK(stored(&world, 0, seven_sha) && stored(&world, 1, seven_sha));
    try_batch(&world, &commands, NULL);
    CHECK(world.planned.len < size); /* Once. */
    apply(&world, "*2\r\n:7\r\n:7\r\n");
    end(&world);
}

TEST(trial_unpack, takes_over_what_a_command_needs)
{
    struct world world;
    begin(&world);
    struct commands commands = {0};
    EVAL(&commands, seven);
    try_one(&world, &commands);
    struct buf packed;
    buf_init(&packed, SIZE_MAX / 2);
    for (size_t i = 0; i < 3; i++) {
        ADD(&commands, "evalsha", seven_sha, "0");
    }
    ADD(&commands, "evalsha", "0000000000000000000000000000000000000000", "0");
    struct transaction_form form;
    transaction_form_init(&form, commands.items, commands.count, NULL, 0);
    trial_pack(world.trial, 7, command_at(CMD_batch), form.args, &packed);
    CHECK_EQ(packed.len, 1 + 4 + strlen(seven)); /* Once, and nothing for the unknown. */
    transaction_form_deinit(&form);
    trial_free(world.trial);
    world.trial = trial_new(&limits);
    trial_unpack(world.trial, 7, buf_slice(&packed));
    commands.count = 1;
    try_one(&world, &commands);
    apply(&world, ":7\r\n");
    buf_deinit(&packed);
    end(&world);
}

TEST(trial_learn, knows_what_ran_elsewhere)
{
    struct world world;
    begin(&world);
    struct commands commands = {0};
    EVAL(&commands, seven);
    EVAL(&commands, "no Lua");
    ADD(&commands, "incr", "n");
    struct transaction_form form;
    transaction_form_init(&form, commands.items, commands.count, NULL, 0);
    trial_learn(world.trial, 7, command_at(CMD_batch), form.args);
    transaction_form_deinit(&form);
    commands.count = 0;
    ADD(&commands, "evalsha", seven_sha, "0");
    try_one(&world, &commands);
    apply(&world, ":7\r\n");
    end(&world);
}
