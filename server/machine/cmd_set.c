/* SADD, SREM, SPOP, SMOVE, SISMEMBER, SMISMEMBER, SMEMBERS, SCARD. Semantics: Redis 7.0 t_set.c. */

#include "common/base/assert.h"
#include "common/base/number.h"
#include "common/base/reader.h"
#include "server/machine/collection.h"
#include "server/machine/event.h"
#include "server/machine/planned.h"

static const struct slice nothing = {.data = NULL, .len = 0};

static enum status open_set(struct call *call, struct slice key, struct collection *set)
{
    return collection_open(call, SLOT_A, key, KEYSPACE_SET, set);
}

static enum status plan_as_is(const struct machine_plan_input *input,
                              struct plan *plan,
                              size_t key_count)
{
    planned_begin(plan, input->command->id, input->db, key_count, input->args.argc - 1);
    for (size_t i = 1; i < input->args.argc; i++) {
        planned_bytes(plan, input->args.argv[i]);
    }
    return STATUS_OK;
}

/* Writes what was removed from, and says so. */
static void close_removed(struct collection *set, const char *event, struct slice key)
{
    collection_close(set);
    event_note(set->call, EVENT_SET, event, key);
    if (!set->there) {
        event_note(set->call, EVENT_GENERIC, "del", key);
    }
}

/* A planned SADD or SREM: key, members. */
enum status cmd_sadd_plan(const struct machine_plan_input *input, struct plan *plan)
{
    for (size_t i = 2; i < input->args.argc; i++) {
        const char *error = collection_refuse_size(input->args.argv[i], nothing);
        if (error != NULL) {
            return planned_refuse(plan, error);
        }
    }
    return plan_as_is(input, plan, 1);
}

enum status cmd_sadd_apply(struct call *call)
{
    struct args args = call->args;
    if (args.argc < 2 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct collection set;
    int64_t count = 0;
    enum status status = open_set(call, args.argv[0], &set);
    for (size_t i = 1; i < args.argc && status == STATUS_OK; i++) {
        bool added = false;
        status = collection_put(&set, args.argv[i], nothing, &added);
        count += added ? 1 : 0;
    }
    if (status != STATUS_OK) {
        return status;
    }
    collection_close(&set);
    resp_write_int(call->reply, count);
    if (count > 0) {
        event_note(call, EVENT_SET, "sadd", args.argv[0]);
    }
    return STATUS_OK;
}

enum status cmd_srem_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_as_is(input, plan, 1);
}

enum status cmd_srem_apply(struct call *call)
{
    struct args args = call->args;
    if (args.argc < 2 || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct collection set;
    int64_t count = 0;
    enum status status = open_set(call, args.argv[0], &set);
    for (size_t i = 1; i < args.argc && status == STATUS_OK; i++) {
        bool removed = false;
        status = collection_remove(&set, args.argv[i], &removed);
        count += removed ? 1 : 0;
    }
    if (status == STATUS_OK) {
        status = collection_renew(&set);
    }
    if (status != STATUS_OK) {
        return status;
    }
    resp_write_int(call->reply, count);
    if (count > 0) {
        close_removed(&set, "srem", args.argv[0]);
    }
    return STATUS_OK;
}

/* A planned SPOP: key, u64 seed and, unless it is one member that is wanted, u64 count. */
enum { SPOP_KEY, SPOP_SEED, SPOP_COUNT, SPOP_ARGC_MAX };

enum status cmd_spop_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct args args = input->args;
    int64_t count = 0;
    if (args.argc > 3) {
        return planned_refuse(plan, ERR_SYNTAX);
    }
    if (args.argc == 3 && (!number_parse_i64(args.argv[2], &count) || count < 0)) {
        return planned_refuse(plan, "ERR value is out of range, must be positive");
    }
    planned_begin(plan, CMD_spop, input->db, 1, args.argc);
    planned_bytes(plan, args.argv[1]);
    planned_u64(plan, input->seed);
    if (args.argc == 3) {
        planned_u64(plan, (uint64_t)count);
    }
    return STATUS_OK;
}

static enum status note_member(void *ctx, const struct collection_entry *entry)
{
    buf_append_bytes(ctx, entry->field);
    return STATUS_OK;
}

static enum status reply_member(void *ctx, const struct collection_entry *entry)
{
    resp_write_bulk(ctx, entry->field);
    return STATUS_OK;
}

/* Chooses count members, fewer than there are unless it is one, removes and replies them. */
static enum status pop(struct collection *set, uint64_t count)
{
    struct call *call = set->call;
    struct rand rand;
    rand_init(&rand, planned_number(call->args.argv[SPOP_SEED]));
    struct buf *members = txn_scratch(call->txn, SCRATCH_RESULT);
    enum status status = count == 1 ? collection_pick(set, &rand, 1, note_member, members)
                                    : collection_pick_run(set, &rand, count, note_member, members);
    struct reader in = reader_of(buf_slice(members));
    while (status == STATUS_OK && in.rest.len > 0) {
        struct slice member = reader_bytes(&in, UINT32_MAX);
        assert(!in.failed);
        resp_write_bulk(call->reply, member);
        status = collection_drop(set, member);
    }
    return status == STATUS_OK ? collection_renew(set) : status;
}

enum status cmd_spop_apply(struct call *call)
{
    struct args args = call->args;
    bool single = args.argc == SPOP_COUNT;
    if (args.argc < SPOP_COUNT || args.argc > SPOP_ARGC_MAX || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct collection set;
    enum status status = open_set(call, args.argv[SPOP_KEY], &set);
    if (status != STATUS_OK) {
        return status;
    }
    uint64_t there = collection_count(&set);
    uint64_t count = single ? 1 : planned_number(args.argv[SPOP_COUNT]);
    count = count < there ? count : there;
    if (single && there == 0) {
        resp_write_null(call->reply);
        return STATUS_OK;
    }
    if (!single) {
        resp_write_set(call->reply, count);
    }
    if (count == 0) {
        return STATUS_OK;
    }
    if (count < there || single) {
        status = pop(&set, count);
    } else {
        status = collection_each(&set, reply_member, call->reply);
        collection_clear(&set);
    }
    if (status == STATUS_OK) {
        close_removed(&set, "spop", args.argv[SPOP_KEY]);
    }
    return status;
}

/* A planned SMOVE: from, to, member. */
enum status cmd_smove_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_as_is(input, plan, 2);
}

/* The member is in from, and from is not to. */
static enum status move(struct collection *from, struct collection *to)
{
    const struct slice *argv = from->call->args.argv;
    bool removed = false;
    bool added = false;
    enum status status = collection_remove(from, argv[2], &removed);
    if (status == STATUS_OK) {
        status = collection_put(to, argv[2], nothing, &added);
    }
    if (status != STATUS_OK) {
        return status;
    }
    close_removed(from, "srem", argv[0]);
    collection_close(to);
    if (added) {
        event_note(from->call, EVENT_SET, "sadd", argv[1]);
    }
    return STATUS_OK;
}

enum status cmd_smove_apply(struct call *call)
{
    const struct slice *argv = call->args.argv;
    if (call->args.argc != 3 || call->key_count != 2) {
        return STATUS_CORRUPT;
    }
    struct collection from;
    struct collection to;
    struct slice value;
    bool found = false;
    enum status status = open_set(call, argv[0], &from);
    if (status == STATUS_OK && from.there) {
        status = collection_open(call, SLOT_B, argv[1], KEYSPACE_SET, &to);
    }
    if (status == STATUS_OK) {
        status = collection_get(&from, argv[2], &value, &found);
    }
    if (status != STATUS_OK) {
        return status;
    }
    resp_write_int(call->reply, found ? 1 : 0);
    return found && !slice_equal(argv[0], argv[1]) ? move(&from, &to) : STATUS_OK;
}

enum status cmd_sismember_read(struct call *call)
{
    struct collection set;
    struct slice value;
    bool found = false;
    enum status status = open_set(call, call->args.argv[1], &set);
    if (status == STATUS_OK) {
        status = collection_get(&set, call->args.argv[2], &value, &found);
    }
    if (status == STATUS_OK) {
        resp_write_int(call->reply, found ? 1 : 0);
    }
    return status;
}

enum status cmd_smismember_read(struct call *call)
{
    struct args args = call->args;
    struct collection set;
    enum status status = open_set(call, args.argv[1], &set);
    resp_write_array(call->reply, args.argc - 2);
    for (size_t i = 2; i < args.argc && status == STATUS_OK; i++) {
        struct slice value;
        bool found = false;
        status = collection_get(&set, args.argv[i], &value, &found);
        resp_write_int(call->reply, found ? 1 : 0);
    }
    return status;
}

struct dump {
    struct call *call;
    size_t start; /* Of the reply. */
};

static enum status dump_one(void *ctx, const struct collection_entry *entry)
{
    struct dump *dump = ctx;
    resp_write_bulk(dump->call->reply, entry->field);
    return collection_may_reply(dump->call, dump->call->reply->len - dump->start);
}

enum status cmd_smembers_read(struct call *call)
{
    struct dump dump = {.call = call, .start = call->reply->len};
    struct collection set;
    enum status status = open_set(call, call->args.argv[1], &set);
    if (status != STATUS_OK) {
        return status;
    }
    resp_write_set(call->reply, collection_count(&set));
    return collection_each(&set, dump_one, &dump);
}

enum status cmd_scard_read(struct call *call)
{
    struct collection set;
    enum status status = open_set(call, call->args.argv[1], &set);
    if (status == STATUS_OK) {
        resp_write_int(call->reply, (int64_t)collection_count(&set));
    }
    return status;
}
