#include "server/machine/machine.h"

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "server/machine/adopt.h"
#include "server/machine/dedup.h"
#include "server/machine/effects.h"
#include "server/machine/garbage.h"
#include "server/machine/handlers.h"
#include "server/machine/keyspace.h"
#include "server/machine/planned.h"
#include "server/machine/recount.h"
#include "server/machine/stage.h"

enum {
    STATE_FORMAT = 3, /* 1 had no garbage and what follows it, 2 no recount. */
    STATE_FORMAT_GARBAGE = 2,
    ARGV_SMALL = 16,
    EXPIRE_COUNT = 64,   /* Expired keys that are removed per log entry, */
    GARBAGE_COUNT = 512, /* and elements of removed collections. */
};

static const struct handler handlers[CMD_COUNT] = {
#define READ_COMMAND(id, ...) [CMD_##id] = {.read = cmd_##id##_read},
#define WRITE_COMMAND(id, ...) [CMD_##id] = {.plan = cmd_##id##_plan, .apply = cmd_##id##_apply},
#define FRONT_COMMAND(id, ...)
#define NODE_COMMAND(id, ...)
#include "common/proto/command.def"
#undef READ_COMMAND
#undef WRITE_COMMAND
#undef FRONT_COMMAND
#undef NODE_COMMAND
};

const struct handler *handler_of(enum command_id id)
{
    return &handlers[id];
}

void machine_state_encode(const struct machine_state *state, struct buf *out)
{
    buf_append_u8(out, STATE_FORMAT);
    buf_append_u64(out, state->time_ms);
    for (size_t i = 0; i < MACHINE_DATABASES; i++) {
        buf_append_u64(out, state->keys[i]);
    }
    buf_append_u64(out, state->version);
    buf_append_u64(out, state->expiry_ms);
    buf_append_u64(out, state->sweep_ms);
    buf_append_u64(out, state->sweep_session);
    buf_append_u64(out, state->garbage);
    buf_append_u32(out, state->notify);
    for (size_t i = 0; i < MACHINE_DATABASES; i++) {
        buf_append_u64(out, state->expires[i]);
    }
    buf_append_u64(out, state->recount_ms);
}

bool machine_state_decode(struct reader *in, struct machine_state *state)
{
    uint8_t format = reader_u8(in);
    state->time_ms = reader_u64(in);
    for (size_t i = 0; i < MACHINE_DATABASES; i++) {
        state->keys[i] = reader_u64(in);
    }
    state->version = reader_u64(in);
    state->expiry_ms = reader_u64(in);
    state->sweep_ms = reader_u64(in);
    state->sweep_session = reader_u64(in);
    state->garbage = format >= STATE_FORMAT_GARBAGE ? reader_u64(in) : 0;
    state->notify = format >= STATE_FORMAT_GARBAGE ? reader_u32(in) : 0;
    for (size_t i = 0; i < MACHINE_DATABASES; i++) {
        state->expires[i] = format >= STATE_FORMAT_GARBAGE ? reader_u64(in) : 0;
    }
    state->recount_ms = format >= STATE_FORMAT ? reader_u64(in) : 0;
    return !in->failed && format >= 1 && format <= STATE_FORMAT;
}

/* The largest key among the arguments, as the table says where they are. */
static bool keys_fit(const struct command *command, struct args args)
{
    for (size_t n = 0;; n++) {
        size_t index = command_key_at(command, args, n);
        if (index == 0) {
            return true;
        }
        if (args.argv[index].len > KEYSPACE_KEY_SIZE_MAX) {
            return false;
        }
    }
}

enum status machine_plan(const struct machine_plan_input *input,
                         struct buf *planned,
                         struct buf *reply)
{
    assert(input->command != NULL);
    assert(handlers[input->command->id].plan != NULL);
    assert(command_check(input->command, input->args.argc) == STATUS_OK);
    assert(input->db < MACHINE_DATABASES);
    struct plan plan = {.planned = planned, .reply = reply};
    if (!keys_fit(input->command, input->args)) {
        return planned_refuse(&plan, "ERR key is longer than 65536 bytes");
    }
    for (size_t i = 1; i < input->args.argc; i++) {
        if (input->args.argv[i].len > KEYSPACE_VALUE_SIZE_MAX) {
            return planned_refuse(&plan, ERR_STRING_SIZE);
        }
    }
    const char *refusal = input->stage != NULL ? stage_refuse(input) : NULL;
    if (refusal != NULL) {
        return planned_refuse(&plan, refusal);
    }
    size_t planned_len = planned->len;
    size_t reply_len = reply->len;
    enum status status = handlers[input->command->id].plan(input, &plan);
    assert(status == STATUS_OK || status == STATUS_BAD_ARGUMENT);
    assert(IMPLIES(status == STATUS_OK, planned->len > planned_len && reply->len == reply_len));
    assert(IMPLIES(status != STATUS_OK, planned->len == planned_len && reply->len > reply_len));
    return status;
}

/* A command without keys is about all of its database: that of a co-located one lies elsewhere, or
 * here. */
static bool owns_database(const struct machine_scope *scope,
                          const struct command *command,
                          uint8_t db)
{
    bool whole = command->id == CMD_flushall || command->id == CMD_usage;
    return db == 0 || whole || command_has_keys(command) ||
           keyspace_owns(scope, db, slice_of(NULL, 0));
}

static bool owns_all(const struct call *call)
{
    if (call->key_count == 0 && !owns_database(&call->scope, call->command, call->db)) {
        return false;
    }
    for (size_t i = 0; i < call->key_count; i++) {
        if (!keyspace_owns(&call->scope, call->db, call->args.argv[i])) {
            return false;
        }
    }
    if (call->command->id == CMD_adopt) {
        return adopt_owned(call);
    }
    return call->command->id != CMD_effects || effects_owned(call);
}

enum status call_apply(struct call *call)
{
    call->state->version++;
    size_t reply_len = call->reply->len;
    enum status status = handlers[call->command->id].apply(call);
    if (status == STATUS_WRONG_TYPE) {
        buf_truncate(call->reply, reply_len);
        resp_write_error(call->reply, ERR_WRONG_TYPE);
        status = STATUS_OK;
    }
    assert(IMPLIES(status == STATUS_OK, call->reply->len > reply_len));
    return status == STATUS_OK ? call->failed : status;
}

static enum status apply_once(struct call *call, const struct machine_apply_input *input)
{
    struct dedup dedup = {0};
    if (input->session != 0) {
        bool known = false;
        enum status status = dedup_check(call, input, &dedup, &known);
        if (status != STATUS_OK || known) {
            return status;
        }
    }
    /* Behind the look for a repetition: what was applied before the range shrank was applied. */
    if (!owns_all(call)) {
        return STATUS_NOT_OWNER;
    }
    size_t reply_len = call->reply->len;
    enum status status = call_apply(call);
    if (status != STATUS_OK) {
        return status;
    }
    if (input->nothing != NULL) {
        *input->nothing = call->nothing;
    }
    /* What found nothing may be applied again, with a reply that is worth keeping. */
    if (input->session == 0 || call->nothing) {
        return STATUS_OK;
    }
    struct slice reply = slice_of(call->reply->data + reply_len, call->reply->len - reply_len);
    return dedup_record(call, &dedup, reply);
}

enum status machine_apply(struct txn *txn,
                          struct machine_state *state,
                          const struct machine_apply_input *input,
                          struct buf *reply)
{
    struct planned planned;
    enum status status = planned_decode(input->planned, &planned);
    if (status != STATUS_OK) {
        return status;
    }
    struct slice small[ARGV_SMALL];
    struct slice *argv = small;
    if (planned.arg_count > ARGV_SMALL) {
        struct buf *room = txn_scratch(txn, SCRATCH_ARGS);
        argv = (struct slice *)(void *)buf_reserve(room, planned.arg_count * sizeof(*argv));
    }
    planned_args(&planned, argv);
    struct call call = {.txn = txn,
                        .state = state,
                        .seen = state,
                        .scope = input->scope,
                        .command = planned.command,
                        .args = {.argv = argv, .argc = planned.arg_count},
                        .key_count = planned.key_count,
                        .session = input->session,
                        .db = planned.db,
                        .now_ms = input->now_ms,
                        .reply = reply,
                        .events = input->events,
                        .ready = input->ready};
    return apply_once(&call, input);
}

static struct call bare_call(struct txn *txn,
                             struct machine_state *state,
                             const struct machine_apply_input *input,
                             struct buf *reply)
{
    return (struct call){.txn = txn,
                         .state = state,
                         .seen = state,
                         .scope = input->scope,
                         .session = input->session,
                         .now_ms = input->now_ms,
                         .reply = reply};
}

enum status machine_known(struct txn *txn,
                          struct machine_state *state,
                          const struct machine_apply_input *input,
                          struct buf *reply,
                          bool *known)
{
    struct call call = bare_call(txn, state, input, reply);
    struct dedup dedup;
    return dedup_check(&call, input, &dedup, known);
}

enum status machine_record(struct txn *txn,
                           struct machine_state *state,
                           const struct machine_apply_input *input,
                           struct slice reply)
{
    struct buf unused = {0};
    struct call call = bare_call(txn, state, input, &unused);
    struct dedup dedup;
    bool known = false;
    enum status status = dedup_check(&call, input, &dedup, &known);
    assert(IMPLIES(status == STATUS_OK, !known));
    return status == STATUS_OK ? dedup_record(&call, &dedup, reply) : status;
}

enum status machine_script(struct txn *txn,
                           struct machine_scope scope,
                           const uint8_t sha[SHA1_SIZE],
                           struct buf *source)
{
    struct buf *key = txn_scratch(txn, SCRATCH_INDEX);
    keyspace_local_key(scope.shard, LOCAL_SCRIPT, key);
    buf_append(key, sha, SHA1_SIZE);
    return txn_get(txn, STORE_LOCAL, buf_slice(key), source);
}

static bool sweep_wanted(const struct machine_state *state, uint64_t now_ms)
{
    return state->sweep_ms != 0 && now_ms >= state->sweep_ms;
}

static bool expiry_wanted(const struct machine_state *state, uint64_t now_ms)
{
    return state->expiry_ms != 0 && now_ms > state->expiry_ms;
}

enum status machine_advance(struct txn *txn,
                            struct machine_state *state,
                            struct machine_scope scope,
                            uint64_t now_ms,
                            struct buf *events)
{
    if (now_ms > state->time_ms) {
        state->time_ms = now_ms;
    }
    struct call call = {.txn = txn,
                        .state = state,
                        .seen = state,
                        .scope = scope,
                        .now_ms = state->time_ms,
                        .events = events};
    if (expiry_wanted(state, call.now_ms)) {
        enum status status = keyspace_expire(&call, EXPIRE_COUNT);
        status = status == STATUS_OK ? call.failed : status;
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (state->garbage > 0) {
        enum status status = garbage_sweep(&call, GARBAGE_COUNT);
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (sweep_wanted(state, call.now_ms)) {
        enum status status = dedup_sweep(&call);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return recount_step(&call);
}

bool machine_advance_wanted(struct txn *txn,
                            const struct machine_state *state,
                            struct machine_scope scope,
                            uint64_t now_ms)
{
    (void)txn;
    (void)scope;
    return expiry_wanted(state, now_ms) || sweep_wanted(state, now_ms) || state->garbage > 0 ||
           recount_active(state);
}

static enum status check_keys(const struct machine_read_input *input, struct buf *reply)
{
    for (size_t n = 0;; n++) {
        size_t index = command_key_at(input->command, input->args, n);
        if (index == 0) {
            bool owned = n > 0 || owns_database(&input->scope, input->command, input->db);
            return owned ? STATUS_OK : STATUS_NOT_OWNER;
        }
        struct slice key = input->args.argv[index];
        if (!keyspace_owns(&input->scope, input->db, key)) {
            return STATUS_NOT_OWNER;
        }
        if (key.len > KEYSPACE_KEY_SIZE_MAX) {
            resp_write_error(reply, "ERR key is longer than 65536 bytes");
            return STATUS_BAD_ARGUMENT;
        }
    }
}

enum status machine_read(struct txn *txn,
                         const struct machine_state *state,
                         const struct machine_read_input *input,
                         struct buf *reply)
{
    assert(input->command != NULL);
    assert(handlers[input->command->id].read != NULL);
    assert(input->db < MACHINE_DATABASES);
    size_t reply_len = reply->len;
    enum status status = check_keys(input, reply);
    if (status != STATUS_OK) {
        return status == STATUS_BAD_ARGUMENT ? STATUS_OK : status;
    }
    struct call call = {.txn = txn,
                        .seen = state,
                        .scope = input->scope,
                        .command = input->command,
                        .args = input->args,
                        .db = input->db,
                        .now_ms = input->now_ms,
                        .seed = input->seed,
                        .script = input->script,
                        .load = input->load,
                        .reply = reply,
                        .frozen = input->frozen};
    status = handlers[input->command->id].read(&call);
    if (status != STATUS_OK) {
        buf_truncate(reply, reply_len);
    }
    if (status == STATUS_WRONG_TYPE) {
        resp_write_error(reply, ERR_WRONG_TYPE);
        status = STATUS_OK;
    }
    if (status == STATUS_TOO_BIG) {
        resp_write_error(reply, "ERR the reply would be too long, ask for less at a time");
        status = STATUS_OK;
    }
    assert(IMPLIES(status == STATUS_OK, reply->len > reply_len));
    if (input->nothing != NULL) {
        *input->nothing = status == STATUS_OK && call.nothing;
    }
    return status;
}

void machine_range(struct machine_scope scope,
                   enum store_family family,
                   struct buf *from,
                   struct buf *to)
{
    assert(scope.start <= scope.last);
    if (family == STORE_DATA) {
        buf_append_u64_be(from, scope.start);
        buf_append_u64_be(to, scope.last);
        buf_append_u8(to, UINT8_MAX); /* Behind every database. */
        return;
    }
    buf_append_u64_be(from, scope.shard);
    buf_append_u8(from, LOCAL_STATE + 1);
    buf_append_u64_be(to, scope.shard);
    buf_append_u8(to, UINT8_MAX);
}
