#include "tests/support/player.h"

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "common/proto/resp.h"

static const struct machine_scope whole = {.shard = 7, .start = 0, .last = UINT64_MAX};
static const struct store_options options = {
    .cache_size = 8 << 20, .memtable_size = 8 << 20, .threads = 2, .row_cache_size = 64 << 10};

static const struct trial_limits limits = {.memory_max = 64 << 20, .time_ms_max = 2000};

enum { PLAYER_REPLY_SIZE_MAX = 1 << 30, PLAYER_SCRIPT_ARGC_MAX = 16 };

void player_open(struct player *player, const char *path, unsigned commit_every)
{
    *player = (struct player){.commit_every = commit_every, .now_ms = 1, .protocol = 2};
    enum status status = store_open(path, &options, &player->store);
    assert(status == STATUS_OK);
    player->txn = txn_new(player->store);
    player->trial = trial_new(&limits);
    player_multi_init(&player->multi);
}

static void commit(struct player *player)
{
    enum status status = txn_commit(player->txn);
    assert(status == STATUS_OK);
    player->writes = 0;
}

void player_close(struct player *player)
{
    commit(player);
    trial_free(player->trial);
    txn_free(player->txn);
    store_close(player->store);
    player_multi_deinit(&player->multi);
}

void player_reopen(struct player *player, const char *path)
{
    commit(player);
    enum status status = store_flush(player->store);
    assert(status == STATUS_OK);
    txn_free(player->txn);
    store_close(player->store);
    status = store_open(path, &options, &player->store);
    assert(status == STATUS_OK);
    player->txn = txn_new(player->store);
}

static void run_write(struct player *player,
                      const struct command *command,
                      struct args args,
                      struct buf *reply)
{
    struct buf planned;
    buf_init(&planned, PLAYER_REPLY_SIZE_MAX);
    struct machine_plan_input plan = {.command = command,
                                      .args = args,
                                      .db = player->db,
                                      .now_ms = player->now_ms,
                                      .seed = player->seed};
    if (machine_plan(&plan, &planned, reply) == STATUS_OK) {
        struct machine_apply_input apply = {
            .scope = whole, .planned = buf_slice(&planned), .now_ms = player->now_ms};
        enum status status = machine_apply(player->txn, &player->state, &apply, reply);
        assert(status == STATUS_OK);
        if (++player->writes >= player->commit_every) {
            commit(player);
        }
    }
    buf_deinit(&planned);
}

static void run_script(struct player *player,
                       const struct command *command,
                       struct args args,
                       struct buf *reply)
{
    struct trial_place place = {
        .txn = player->txn, .state = &player->state, .scope = whole, .now_ms = player->now_ms};
    struct trial_op op = {
        .command = command, .args = args, .db = player->db, .seed = player->seed, .sought = true};
    if (trial_only_reads(player->trial, command, args)) {
        enum status status = trial_read(player->trial, &place, &op, reply);
        assert(status == STATUS_OK);
        return;
    }
    struct buf planned;
    buf_init(&planned, PLAYER_REPLY_SIZE_MAX);
    enum status status = trial_begin(player->trial, &place);
    assert(status == STATUS_OK);
    enum trial_result result = trial_run(player->trial, &op, &planned, reply, &status);
    trial_end(player->trial);
    assert(result != TRIAL_AGAIN && result != TRIAL_FAILED);
    if (result == TRIAL_PLANNED) {
        struct machine_apply_input apply = {
            .scope = whole, .planned = buf_slice(&planned), .now_ms = player->now_ms};
        size_t kept = reply->len;
        status = machine_apply(player->txn, &player->state, &apply, reply);
        assert(status == STATUS_OK);
        buf_truncate(reply, kept > 0 ? kept : reply->len);
        if (++player->writes >= player->commit_every) {
            commit(player);
        }
    }
    buf_deinit(&planned);
}

/* SCRIPT, as the front takes it apart. */
static const struct command *internal(struct args *args, struct slice *argv)
{
    static const char *const names[][2] = {
        {"load", "script_load"}, {"flush", "script_flush"}, {"exists", "script_exists"}};
    for (size_t i = 0; args->argc > 1 && i < sizeof(names) / sizeof(names[0]); i++) {
        if (command_word(args->argv[1], names[i][0])) {
            memcpy(argv, args->argv + 1, (args->argc - 1) * sizeof(*argv));
            *args = (struct args){.argv = argv, .argc = args->argc - 1};
            return command_find(slice_str(names[i][1]));
        }
    }
    return NULL;
}

static void run_read(struct player *player,
                     const struct command *command,
                     struct args args,
                     struct buf *reply)
{
    struct machine_read_input read = {.scope = whole,
                                      .command = command,
                                      .args = args,
                                      .db = player->db,
                                      .now_ms = player->now_ms,
                                      .seed = player->seed};
    enum status status = machine_read(player->txn, &player->state, &read, reply);
    assert(status == STATUS_OK);
}

void player_execute(struct player *player,
                    const struct command *command,
                    struct args args,
                    struct buf *reply)
{
    if (trial_wanted(command, args)) {
        run_script(player, command, args, reply);
    } else if ((command->flags & CMD_WRITE) != 0) {
        run_write(player, command, args, reply);
    } else {
        run_read(player, command, args, reply);
    }
}

void player_run(struct player *player, struct args args, struct buf *reply)
{
    struct buf machine_reply;
    buf_init(&machine_reply, PLAYER_REPLY_SIZE_MAX);
    uint64_t before = player->seed++;
    player->seed = hash_bytes(slice_of(&before, sizeof(before)));
    enum status status = machine_advance(player->txn, &player->state, whole, player->now_ms, NULL);
    assert(status == STATUS_OK);
    const struct command *command = command_find(args.argv[0]);
    struct slice argv[PLAYER_SCRIPT_ARGC_MAX];
    if (command != NULL && command->id == CMD_script && args.argc <= PLAYER_SCRIPT_ARGC_MAX) {
        command = internal(&args, argv);
        if (command != NULL && command->id == CMD_script_flush) {
            trial_forget(player->trial, whole.shard);
        }
    }
    if (player_multi_take(player, args, &machine_reply)) {
        /* Answered. */
    } else if (command == NULL || (command->flags & CMD_FRONT) != 0) {
        resp_write_error(&machine_reply, "ERR unknown command");
    } else if (command_check(command, args.argc) != STATUS_OK) {
        resp_write_errorf(&machine_reply, "ERR wrong number of arguments for '%s' command",
                          command->name);
    } else {
        player_execute(player, command, args, &machine_reply);
    }
    resp_convert(buf_slice(&machine_reply), player->protocol, reply);
    buf_deinit(&machine_reply);
}
