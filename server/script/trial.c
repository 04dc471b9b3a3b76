#include "server/script/trial.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/cluster/token.h"
#include "common/proto/resp.h"
#include "common/proto/transaction.h"
#include "server/machine/keyspace.h"
#include "server/machine/stream_args.h"
#include "server/script/trial_private.h"

enum {
    KEY_SHOWN_MAX = 64,
    DATABASES = 16,
    EFFECTS_SIZE_MAX = 30 << 20, /* What fits an entry of the log. */
    SCRIPT_STEPS = 500,          /* The least that a script is charged. */
};

struct trial *trial_new(const struct trial_limits *limits)
{
    struct trial *trial = calloc(1, sizeof(*trial));
    assert(trial != NULL);
    trial->limits = *limits;
    trial->engine = script_engine_new(limits->memory_max);
    effects_init(&trial->effects);
    map_init(&trial->fresh);
    buf_init(&trial->planned, SIZE_MAX / 2);
    buf_init(&trial->source, SIZE_MAX / 2);
    buf_init(&trial->reply, SIZE_MAX / 2);
    return trial;
}

void trial_free(struct trial *trial)
{
    assert(!trial->begun);
    script_engine_free(trial->engine);
    effects_deinit(&trial->effects);
    map_deinit(&trial->fresh);
    buf_deinit(&trial->planned);
    buf_deinit(&trial->source);
    buf_deinit(&trial->reply);
    free(trial);
}

enum status trial_begin(struct trial *trial, const struct trial_place *place)
{
    assert(!trial->begun);
    trial->place = *place;
    trial->state = *place->state;
    if (trial->fresh.count > 0) {
        map_deinit(&trial->fresh);
        map_init(&trial->fresh);
    }
    txn_mark(place->txn);
    enum status status =
        machine_advance(place->txn, &trial->state, place->scope, place->now_ms, NULL);
    if (status != STATUS_OK) {
        txn_rollback(place->txn);
        return status;
    }
    trial->begun = true;
    return STATUS_OK;
}

void trial_end(struct trial *trial)
{
    assert(trial->begun);
    txn_rollback(trial->place.txn);
    trial->begun = false;
}

struct machine_apply_input trial_input(const struct trial *trial, const struct trial_op *op)
{
    return (struct machine_apply_input){.scope = trial->place.scope,
                                        .now_ms = trial->place.now_ms,
                                        .session = op->session,
                                        .seq = op->seq,
                                        .first_unacked = op->first_unacked};
}

enum status trial_apply(struct trial *trial, const struct trial_op *op, struct slice planned)
{
    assert(trial->begun);
    struct machine_apply_input input = trial_input(trial, op);
    input.planned = planned;
    buf_clear(&trial->reply);
    enum status status = machine_apply(trial->place.txn, &trial->state, &input, &trial->reply);
    return status == STATUS_NOT_OWNER ? STATUS_OK : status; /* It will be that again. */
}

/* What scripts call. */

static enum status refuse(struct buf *reply, const char *text)
{
    resp_write_error(reply, text);
    return STATUS_OK;
}

/* Commands that a script may call although no shard runs them. False: the command is none. */
static bool call_front(struct trial *trial,
                       const struct command *command,
                       struct args args,
                       struct buf *reply)
{
    if (command->id == CMD_ping) {
        if (args.argc == 1) {
            resp_write_simple(reply, "PONG");
        } else if (args.argc == 2) {
            resp_write_bulk(reply, args.argv[1]);
        } else {
            resp_write_error(reply, "ERR wrong number of arguments for 'ping' command");
        }
    } else if (command->id == CMD_echo) {
        resp_write_bulk(reply, args.argv[1]);
    } else if (command->id == CMD_time) {
        uint64_t now_ms = trial->place.now_ms;
        char text[NUMBER_I64_SIZE_MAX];
        resp_write_array(reply, 2);
        resp_write_bulk(reply, slice_of(text, number_format_u64(now_ms / 1000, text)));
        resp_write_bulk(reply, slice_of(text, number_format_u64(now_ms % 1000 * 1000, text)));
    } else if (command->id == CMD_select) {
        int64_t db = 0;
        if (!number_parse_i64(args.argv[1], &db) || db > INT32_MAX || db < INT32_MIN) {
            resp_write_error(reply, "ERR value is not an integer or out of range");
        } else if (db < 0 || db >= DATABASES) {
            resp_write_error(reply, "ERR DB index is out of range");
        } else {
            trial->db = (uint8_t)db;
            resp_write_ok(reply);
        }
    } else {
        return false;
    }
    return true;
}

static bool spans_shards(const struct trial *trial, const struct command *command)
{
    bool every = false;
    switch (command->merge) {
    case MERGE_NONE:
    case MERGE_ORDER:
    case MERGE_SUM:
    case MERGE_OK: break;
    case MERGE_ALL_SUM:
    case MERGE_ALL_OK:
    case MERGE_ALL_CONCAT:
    case MERGE_SCAN:
    case MERGE_ANY:
    case MERGE_ALL_FOUND:
    case MERGE_ALL_SAME:
    case MERGE_ALL_ONE: every = true; break;
    }
    const struct machine_scope *scope = &trial->place.scope;
    bool whole = scope->start == 0 && scope->last == UINT64_MAX;
    return every && !whole && (trial->db == 0 || command->id == CMD_flushall);
}

/* What Redis' order of checks says against the call; NULL: nothing. */
static const char *refusal_of(const struct trial *trial,
                              const struct command *command,
                              struct args args)
{
    if (command == NULL || (command->flags & (CMD_INTERNAL | CMD_NODE)) != 0) {
        return "ERR Unknown Redis command called from script";
    }
    if (command_check(command, args.argc) != STATUS_OK) {
        return "ERR Wrong number of args calling Redis command from script";
    }
    if ((command->flags & (CMD_NO_SCRIPT | CMD_TRIAL)) != 0) {
        return "ERR This Redis command is not allowed from script";
    }
    if ((command->flags & CMD_WRITE) != 0 && !trial->writes) {
        return "ERR Write commands are not allowed from read-only scripts.";
    }
    if ((command->flags & CMD_GROWS) != 0 && trial->place.refuse_growth) {
        return "DISKFULL the free disk space of the leader's node is under free-space-min; delete "
               "keys or make room, then try again";
    }
    if ((command->flags & CMD_FRONT) == 0 && spans_shards(trial, command)) {
        return "ERR this command spans all shards, a script sees one: use a database from 1 to 15, "
               "which is whole on its shard";
    }
    return NULL;
}

/* False: a key is elsewhere, and *reply says so. */
static bool owns_keys(const struct trial *trial,
                      const struct command *command,
                      struct args args,
                      struct buf *reply)
{
    for (size_t nth = 0;; nth++) {
        size_t at = command_key_at(command, args, nth);
        if (at == 0) {
            return true;
        }
        struct slice key = args.argv[at];
        if (keyspace_owns(&trial->place.scope, trial->db, key)) {
            continue;
        }
        size_t shown = key.len < KEY_SHOWN_MAX ? key.len : KEY_SHOWN_MAX;
        resp_write_errorf(reply,
                          "ERR Script attempted to access a non local key in a cluster node: "
                          "'%.*s' is on another shard; give all keys of a script one hash tag, as "
                          "in {user1}:a and {user1}:b, or use a database from 1 to 15",
                          (int)shown, (const char *)key.data);
        return false;
    }
}

static enum status not_owner(enum status status, struct buf *reply)
{
    if (status != STATUS_NOT_OWNER) {
        return status;
    }
    return refuse(reply, "ERR Script attempted to access a non local key in a cluster node");
}

static enum status call_write(struct trial *trial,
                              const struct command *command,
                              struct args args,
                              struct buf *reply)
{
    struct machine_plan_input plan = {.command = command,
                                      .args = args,
                                      .db = trial->db,
                                      .now_ms = trial->place.now_ms,
                                      .seed = rand_u64(&trial->rand),
                                      .nested = true,
                                      .script = trial->script};
    buf_clear(&trial->planned);
    if (machine_plan(&plan, &trial->planned, reply) != STATUS_OK) {
        return STATUS_OK;
    }
    struct machine_apply_input apply = {.scope = trial->place.scope,
                                        .planned = buf_slice(&trial->planned),
                                        .now_ms = trial->place.now_ms};
    size_t reply_len = reply->len;
    enum status status = machine_apply(trial->place.txn, &trial->state, &apply, reply);
    if (status == STATUS_OK && reply->data[reply_len] != '-') {
        effects_add(&trial->effects, buf_slice(&trial->planned)); /* An error changes nothing. */
    }
    if (trial->effects.items.len > EFFECTS_SIZE_MAX) {
        return STATUS_TOO_BIG;
    }
    return not_owner(status, reply);
}

static enum status call_read(struct trial *trial,
                             const struct command *command,
                             struct args args,
                             struct buf *reply)
{
    if (trial->place.slice && (command->flags & CMD_LARGE) != 0) {
        return STATUS_AGAIN;
    }
    struct machine_read_input read = {.scope = trial->place.scope,
                                      .command = command,
                                      .args = args,
                                      .db = trial->db,
                                      .now_ms = trial->place.now_ms,
                                      .seed = rand_u64(&trial->rand),
                                      .script = trial->script};
    return not_owner(machine_read(trial->place.txn, &trial->state, &read, reply), reply);
}

/* PUBLISH, SPUBLISH: the message leaves when the effects are applied; who gets it is not known now.
 */
static enum status call_publish(struct trial *trial,
                                const struct command *command,
                                struct args args,
                                struct buf *reply)
{
    if (!trial->writes) {
        return refuse(reply, "ERR Write commands are not allowed from read-only scripts.");
    }
    struct slice kind = slice_str(command->id == CMD_publish ? "c" : "s");
    struct slice argv[] = {slice_str("script_publish"), args.argv[1], kind, args.argv[2]};
    struct machine_plan_input plan = {.command = command_at(CMD_script_publish),
                                      .args = {.argv = argv, .argc = 4},
                                      .db = trial->db,
                                      .now_ms = trial->place.now_ms};
    buf_clear(&trial->planned);
    if (machine_plan(&plan, &trial->planned, reply) == STATUS_OK) {
        effects_add(&trial->effects, buf_slice(&trial->planned));
        resp_write_int(reply, 0);
    }
    return STATUS_OK;
}

static enum status on_call(void *ctx, const struct script_call *call, struct buf *reply)
{
    struct trial *trial = ctx;
    const struct command *command = command_find(call->args.argv[0]);
    trial->stats.commands++;
    const char *refusal = refusal_of(trial, command, call->args);
    if (refusal != NULL) {
        return refuse(reply, refusal);
    }
    if (command->id == CMD_publish || command->id == CMD_spublish) {
        return call_publish(trial, command, call->args, reply);
    }
    if ((command->flags & CMD_FRONT) != 0) {
        bool done = call_front(trial, command, call->args, reply);
        return done ? STATUS_OK
                    : refuse(reply, "ERR This Redis command is not allowed from script");
    }
    if (stream_args_may_block(command, call->args)) {
        struct slice name = call->args.argv[0];
        resp_write_errorf(reply, "ERR %.*s command is not allowed with BLOCK option from scripts",
                          (int)name.len, (const char *)name.data);
        return STATUS_OK;
    }
    if (!owns_keys(trial, command, call->args, reply)) {
        return STATUS_OK;
    }
    bool write = (command->flags & CMD_WRITE) != 0;
    return write ? call_write(trial, command, call->args, reply)
                 : call_read(trial, command, call->args, reply);
}

bool trial_owns(const struct trial *trial, const struct trial_op *op)
{
    uint8_t target = command_target_db(op->command, op->args, op->db);
    for (size_t nth = 0, at = 0; (at = command_key_at(op->command, op->args, nth)) != 0; nth++) {
        uint8_t db = nth == 1 ? target : op->db; /* COPY's second. */
        if (!keyspace_owns(&trial->place.scope, db, op->args.argv[at])) {
            return false;
        }
    }
    return true;
}

enum trial_result trial_failed(enum status from, enum status *status)
{
    *status = from;
    return from == STATUS_AGAIN ? TRIAL_AGAIN : TRIAL_FAILED;
}

static enum trial_result failed_call(enum status from, struct buf *reply, enum status *status)
{
    if (from != STATUS_TOO_BIG) {
        return trial_failed(from, status);
    }
    buf_clear(reply);
    resp_write_error(reply,
                     "ERR the writes of the script are larger than 30 MB in all; nothing was "
                     "changed");
    return TRIAL_STOPPED;
}

enum trial_result trial_command(struct trial *trial,
                                const struct trial_op *op,
                                struct buf *reply,
                                enum status *status)
{
    bool slice = trial->place.slice;
    trial->db = op->db;
    trial->script = false;
    trial->writes = true;
    rand_init(&trial->rand, op->seed);
    if (spans_shards(trial, op->command)) {
        resp_write_error(reply, "ERR this command cannot run in a transaction");
        return TRIAL_PLANNED;
    }
    if (slice) {
        txn_set_cache_only(trial->place.txn, true);
    }
    bool write = (op->command->flags & CMD_WRITE) != 0;
    *status = write ? call_write(trial, op->command, op->args, reply)
                    : call_read(trial, op->command, op->args, reply);
    if (slice) {
        txn_set_cache_only(trial->place.txn, false);
    }
    return *status == STATUS_OK ? TRIAL_PLANNED : failed_call(*status, reply, status);
}

/* What runs. */

struct eval {
    struct args keys;
    struct args argv;
    char sha[SHA1_HEX_SIZE + 1];
    unsigned flags;
};

static bool split_args(struct args args, struct eval *eval, struct buf *reply)
{
    int64_t count = 0;
    const char *error = NULL;
    if (!number_parse_i64(args.argv[2], &count)) {
        error = "ERR value is not an integer or out of range";
    } else if (count > (int64_t)args.argc - 3) {
        error = "ERR Number of keys can't be greater than number of args";
    } else if (count < 0) {
        error = "ERR Number of keys can't be negative";
    }
    if (error != NULL) {
        resp_write_error(reply, error);
        return false;
    }
    size_t keys = (size_t)count;
    eval->keys = (struct args){.argv = args.argv + 3, .argc = keys};
    eval->argv = (struct args){.argv = args.argv + 3 + keys, .argc = args.argc - 3 - keys};
    return true;
}

/* Compiles the script if need be. OK; BAD_ARGUMENT: *reply has the error; NOT_FOUND: that too,
 * which is for a leader to say; AGAIN, IO, CORRUPT. */
static enum status prepare(struct trial *trial,
                           const struct trial_op *op,
                           struct eval *eval,
                           struct buf *reply)
{
    if (!split_args(op->args, eval, reply)) {
        return STATUS_BAD_ARGUMENT;
    }
    struct slice script = op->args.argv[1];
    enum status status = STATUS_OK;
    if (trial_by_sha(op->command)) {
        status = trial_source_find(trial, script, &eval->flags);
        if (status == STATUS_NOT_FOUND) {
            resp_write_error(reply, "NOSCRIPT No matching script. Please use EVAL.");
            return STATUS_NOT_FOUND;
        }
        if (status == STATUS_OK) {
            memcpy(eval->sha, script.data, SHA1_HEX_SIZE);
        }
    } else {
        sha1_hex(script, eval->sha);
        struct slice sha = slice_str(eval->sha);
        if (!script_engine_find(trial->engine, sha, &eval->flags)) {
            status = script_engine_load(trial->engine, script, &eval->flags, reply);
        }
        if (status == STATUS_OK) {
            script_engine_note(trial->engine, trial->place.scope.shard, sha, false);
        }
    }
    bool writes = (eval->flags & (SCRIPT_PLAIN | SCRIPT_NO_WRITES)) == 0;
    if (status == STATUS_OK && writes && (op->command->flags & CMD_READ) != 0) {
        resp_write_error(reply, "ERR Can not execute a script with write flag using *_ro command.");
        return STATUS_BAD_ARGUMENT;
    }
    return status;
}

/* A transaction has as many slices as a client may hope for: its scripts are run again from the
 * first if they need more. */
static void start_clock(struct trial *trial, const struct trial_op *op)
{
    const struct trial_limits *limits = &trial->limits;
    bool slice = trial->place.slice;
    /* By the clock alone a simulated run would never end. */
    bool many = op->command->id == CMD_batch && limits->transaction_slices > 0;
    uint64_t slices = many ? limits->transaction_slices : 1;
    uint64_t steps_max = limits->slice_steps_max * slices;
    uint64_t ms_max = limits->slice_ms_max * slices;
    trial->steps_left = slice ? steps_max : limits->time_ms_max * 1000 * 1000;
    trial->end_ms = clock_now_ms() + (slice ? ms_max : limits->time_ms_max);
}

/* What a transaction's scripts before this one have left. */
static struct script_run bounds_of(const struct trial *trial)
{
    uint64_t now_ms = clock_now_ms();
    uint64_t left_ms = trial->end_ms > now_ms ? trial->end_ms - now_ms : 1;
    return (struct script_run){.steps_max = trial->steps_left,
                               .time_ms_max = left_ms,
                               .slice = trial->place.slice,
                               .killed = trial->place.killed};
}

static void charge(struct trial *trial)
{
    uint64_t spent = script_engine_spent(trial->engine) + SCRIPT_STEPS;
    if (trial->steps_left != 0) { /* Else they are not bounded. */
        trial->steps_left = trial->steps_left > spent ? trial->steps_left - spent : 1;
    }
}

static enum script_end run(struct trial *trial,
                           const struct trial_op *op,
                           const struct eval *eval,
                           struct buf *reply,
                           enum status *status)
{
    bool slice = trial->place.slice;
    trial->db = op->db;
    trial->script = true;
    trial->writes = (op->command->flags & CMD_READ) == 0 && (eval->flags & SCRIPT_NO_WRITES) == 0;
    rand_init(&trial->rand, op->seed);
    struct script_run input = bounds_of(trial);
    input.sha = slice_of(eval->sha, SHA1_HEX_SIZE);
    input.keys = eval->keys;
    input.argv = eval->argv;
    input.seed = rand_u64(&trial->rand);
    input.ctx = trial;
    input.call = on_call;
    if (slice) {
        txn_set_cache_only(trial->place.txn, true);
    }
    enum script_end end = script_engine_run(trial->engine, &input, reply, status);
    if (slice) {
        txn_set_cache_only(trial->place.txn, false);
    }
    charge(trial);
    trial->stats.scripts += end == SCRIPT_DONE;
    trial->stats.stopped += end == SCRIPT_STOPPED;
    trial->stats.too_long += end == SCRIPT_AGAIN;
    return end;
}

enum status trial_conclude(struct trial *trial,
                           const struct trial_op *op,
                           struct buf *planned,
                           struct buf *reply)
{
    static const char dropped[] =
        "-UNKNOWN this script was applied before, its reply is no longer kept\r\n";
    bool kept = reply->len <= EFFECTS_REPLY_SIZE_MAX;
    struct slice recorded = kept ? buf_slice(reply) : slice_str(dropped);
    effects_write(&trial->effects, op->db, recorded, planned);
    enum status status = STATUS_OK;
    if (op->session != 0) {
        struct machine_apply_input input = trial_input(trial, op);
        status = machine_record(trial->place.txn, &trial->state, &input, recorded);
    }
    if (kept) {
        buf_clear(reply);
    }
    return status;
}

enum trial_result trial_script(struct trial *trial,
                               const struct trial_op *op,
                               struct buf *reply,
                               enum status *status)
{
    struct eval eval = {0};
    bool slice = trial->place.slice;
    if (slice) {
        txn_set_cache_only(trial->place.txn, true);
    }
    *status = prepare(trial, op, &eval, reply);
    if (*status == STATUS_OK && trial_by_sha(op->command)) {
        *status = trial_source_store(trial, op->args.argv[1]);
    }
    if (slice) {
        txn_set_cache_only(trial->place.txn, false);
    }
    if (*status == STATUS_NOT_FOUND) {
        return TRIAL_PLANNED; /* It did nothing. Another leader may have what is not here. */
    }
    if (*status == STATUS_BAD_ARGUMENT) {
        return TRIAL_REFUSED;
    }
    if (*status != STATUS_OK) {
        return trial_failed(*status, status);
    }
    switch (run(trial, op, &eval, reply, status)) {
    case SCRIPT_DONE: return TRIAL_PLANNED;
    case SCRIPT_AGAIN: return TRIAL_AGAIN;
    case SCRIPT_STOPPED: return TRIAL_STOPPED;
    case SCRIPT_UNKNOWN:
    case SCRIPT_FAILED: break;
    }
    return failed_call(*status, reply, status);
}

static enum trial_result run_eval(struct trial *trial,
                                  const struct trial_op *op,
                                  struct buf *planned,
                                  struct buf *reply,
                                  enum status *status)
{
    if (!trial_owns(trial, op)) {
        return trial_failed(STATUS_NOT_OWNER, status);
    }
    enum trial_result result = trial_source_check(trial, op, status);
    if (result != TRIAL_PLANNED) {
        return result;
    }
    effects_clear(&trial->effects);
    result = trial_script(trial, op, reply, status);
    if (result != TRIAL_PLANNED) {
        return result;
    }
    *status = trial_conclude(trial, op, planned, reply);
    return *status == STATUS_OK ? TRIAL_PLANNED : trial_failed(*status, status);
}

enum trial_result trial_load(struct trial *trial,
                             const struct trial_op *op,
                             struct buf *planned,
                             struct buf *reply,
                             enum status *status)
{
    unsigned flags = 0;
    if (script_engine_load(trial->engine, op->args.argv[1], &flags, reply) != STATUS_OK) {
        return TRIAL_REFUSED;
    }
    struct machine_plan_input plan = {
        .command = op->command, .args = op->args, .db = op->db, .now_ms = trial->place.now_ms};
    if (machine_plan(&plan, planned, reply) != STATUS_OK) {
        return TRIAL_REFUSED;
    }
    trial_source_fresh(trial, op->args.argv[1]);
    *status = trial_apply(trial, op, buf_slice(planned));
    return *status == STATUS_OK ? TRIAL_PLANNED : trial_failed(*status, status);
}

enum trial_result trial_run(struct trial *trial,
                            const struct trial_op *op,
                            struct buf *planned,
                            struct buf *reply,
                            enum status *status)
{
    assert(trial->begun && planned->len == 0 && reply->len == 0);
    assert((op->command->flags & CMD_TRIAL) != 0 || op->command->id == CMD_batch);
    start_clock(trial, op);
    if (op->session != 0) {
        struct machine_apply_input input = trial_input(trial, op);
        bool known = false;
        *status = machine_known(trial->place.txn, &trial->state, &input, reply, &known);
        buf_clear(reply);
        if (*status != STATUS_OK) {
            return trial_failed(*status, status);
        }
        if (known) {
            /* Nothing of this is applied: the reply of that time is given again. */
            trial_learn(trial, trial->place.scope.shard, op->command, op->args);
            effects_clear(&trial->effects);
            effects_write(&trial->effects, op->db, slice_str("+OK\r\n"), planned);
            return TRIAL_PLANNED;
        }
    }
    if (op->command->id == CMD_batch) {
        return trial_batch(trial, op, planned, reply, status);
    }
    return op->command->id == CMD_script_load ? trial_load(trial, op, planned, reply, status)
                                              : run_eval(trial, op, planned, reply, status);
}

bool trial_wanted(const struct command *command, struct args args)
{
    struct transaction transaction;
    if (command->id == CMD_batch) {
        return transaction_open(args, &transaction) == STATUS_OK && transaction.trial;
    }
    return (command->flags & CMD_TRIAL) != 0;
}

/* Reads. */

bool trial_only_reads(struct trial *trial, const struct command *command, struct args args)
{
    if ((command->flags & CMD_READ) != 0) {
        return true;
    }
    unsigned flags = SCRIPT_PLAIN;
    if (command->id == CMD_evalsha) {
        (void)script_engine_find(trial->engine, args.argv[1], &flags);
    } else if (command->id == CMD_eval) {
        flags = script_engine_flags(args.argv[1]);
    }
    return (flags & SCRIPT_NO_WRITES) != 0;
}

enum status trial_read(struct trial *trial,
                       const struct trial_place *place,
                       const struct trial_op *op,
                       struct buf *reply)
{
    assert(!trial->begun);
    trial->place = *place;
    trial->state = *place->state;
    start_clock(trial, op);
    if (!trial_owns(trial, op)) {
        return STATUS_NOT_OWNER;
    }
    if (op->command->id == CMD_script_exists || op->command->id == CMD_script_find) {
        return trial_source_show(trial, op, reply);
    }
    struct eval eval = {0};
    enum status status = prepare(trial, op, &eval, reply);
    if (status == STATUS_NOT_FOUND && !op->sought) {
        buf_clear(reply);
        return STATUS_NO_SCRIPT;
    }
    if (status == STATUS_BAD_ARGUMENT || status == STATUS_NOT_FOUND) {
        return STATUS_OK;
    }
    if (status != STATUS_OK) {
        return status;
    }
    eval.flags |= SCRIPT_NO_WRITES;
    effects_clear(&trial->effects);
    enum script_end end = run(trial, op, &eval, reply, &status);
    switch (end) {
    case SCRIPT_DONE:
    case SCRIPT_STOPPED: return STATUS_OK;
    case SCRIPT_AGAIN: return STATUS_AGAIN;
    case SCRIPT_UNKNOWN:
    case SCRIPT_FAILED: break;
    }
    return status;
}

void trial_count(struct trial *trial, enum trial_result result)
{
    trial->stats.scripts += result == TRIAL_PLANNED;
    trial->stats.stopped += result == TRIAL_STOPPED;
}

void trial_stats(const struct trial *trial, struct trial_stats *stats)
{
    struct script_engine_stats engine;
    script_engine_stats(trial->engine, &engine);
    *stats = trial->stats;
    stats->memory = engine.memory;
    stats->kept = engine.kept;
}
