/* XGROUP, XREADGROUP, XACK. Semantics: Redis 7.0 t_stream.c. */

#include "common/base/assert.h"
#include "common/base/number.h"
#include "server/machine/event.h"
#include "server/machine/stream_args.h"
#include "server/machine/stream_pending.h"
#include "server/machine/stream_range.h"

#define ERR_NAME_SIZE "ERR name of a consumer group or a consumer is longer than 65536 bytes"

enum {
    READ_COUNT_WAITED = 1000, /* Entries for who waited and did not say how many. */
    READ_COUNT_MAX = 10000,   /* Entries that one XREADGROUP delivers of a stream, */
    READ_SIZE_MAX = 16 << 20  /* or about so many bytes. */
};

/* A planned XGROUP: key, group, u64 sub-command, then for CREATE and SETID: id, u64 entries read,
 * u64 make the stream; for CREATECONSUMER and DELCONSUMER: consumer. Ids are 16 bytes, or one of
 * the words below. */
enum group_sub { SUB_CREATE, SUB_SETID, SUB_DESTROY, SUB_ADD, SUB_REMOVE, SUB_HELP, SUB_COUNT };
enum { GROUP_KEY, GROUP_NAME, GROUP_SUB, GROUP_ID, GROUP_READ, GROUP_MAKE, GROUP_CREATE_ARGC };
enum { GROUP_CONSUMER = GROUP_ID, GROUP_CONSUMER_ARGC };
enum { GROUP_DESTROY_ARGC = GROUP_ID };
#define WORD_LAST "$"   /* The last id of the stream. */
#define WORD_NO_ID ""   /* What was given is no id. */
#define WORD_SYNTAX "?" /* The arguments are not those of the sub-command, which follows. */

static const struct stream_args_sub subs[SUB_COUNT] = {
    [SUB_CREATE] = {"create", -5},     [SUB_SETID] = {"setid", -5},
    [SUB_DESTROY] = {"destroy", 4},    [SUB_ADD] = {"createconsumer", 5},
    [SUB_REMOVE] = {"delconsumer", 5}, [SUB_HELP] = {"help", 2}};

static void reply_help(struct buf *reply)
{
    static const char *const lines[] = {
        "CREATE <key> <groupname> <id|$> [option]",
        "    Create a new consumer group. Options are:",
        "    * MKSTREAM",
        "      Create the empty stream if it does not exist.",
        "    * ENTRIESREAD entries_read",
        "      Set the group's entries_read counter (internal use).",
        "CREATECONSUMER <key> <groupname> <consumer>",
        "    Create a new consumer in the specified group.",
        "DELCONSUMER <key> <groupname> <consumer>",
        "    Remove the specified consumer.",
        "DESTROY <key> <groupname>",
        "    Remove the specified group.",
        "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
        "    Set the current group ID and entries_read counter.",
        NULL};
    stream_args_reply_help(reply, "XGROUP", lines);
}

static void put_word(struct plan *plan, const char *word)
{
    planned_bytes(plan, slice_str(word));
}

static bool is_word(struct slice arg, const char *word)
{
    return slice_equal(arg, slice_str(word));
}

/* The options of CREATE and SETID. BAD_ARGUMENT with the error replied. */
static enum status parse_options(
    struct args args, bool create, struct plan *plan, int64_t *read, bool *make)
{
    size_t i = 5;
    while (i < args.argc) {
        if (create && command_word(args.argv[i], "mkstream")) {
            *make = true;
            i++;
            continue;
        }
        if (!command_word(args.argv[i], "entriesread") || args.argc - i < 2) {
            stream_args_refuse_sub(plan->reply, "XGROUP", args.argv[1]);
            return STATUS_BAD_ARGUMENT;
        }
        if (!number_parse_i64(args.argv[i + 1], read)) {
            return planned_refuse(plan, ERR_NOT_INTEGER);
        }
        if (*read < -1) {
            return planned_refuse(plan, "ERR value for ENTRIESREAD must be positive or -1");
        }
        i += 2;
    }
    return STATUS_OK;
}

static void put_id(struct plan *plan, struct args args, bool create)
{
    struct stream_id id;
    struct slice text = args.argv[4];
    bool fits = create ? args.argc <= 8 : args.argc == 5 || args.argc == 7;
    bool parsed = create ? stream_id_parse_strict(text, &id) : stream_id_parse(text, 0, &id);
    if (!fits) {
        buf_append_u32(plan->planned, (uint32_t)(args.argv[1].len + 1));
        buf_append_text(plan->planned, WORD_SYNTAX);
        buf_append_slice(plan->planned, args.argv[1]);
    } else if (is_word(text, "$")) {
        put_word(plan, WORD_LAST);
    } else if (!parsed) {
        put_word(plan, WORD_NO_ID);
    } else {
        stream_args_put_id(plan, id);
    }
}

enum status cmd_xgroup_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct args args = input->args;
    size_t sub = stream_args_find_sub(args, subs, SUB_COUNT, plan->reply);
    if (sub == SUB_HELP) {
        reply_help(plan->reply);
    }
    if (sub >= SUB_HELP) {
        return STATUS_BAD_ARGUMENT;
    }
    bool create = sub == SUB_CREATE;
    bool sets = create || sub == SUB_SETID;
    bool names = sub == SUB_ADD || sub == SUB_REMOVE;
    int64_t read = -1;
    bool make = false;
    enum status status = sets ? parse_options(args, create, plan, &read, &make) : STATUS_OK;
    if (status != STATUS_OK) {
        return status;
    }
    if (args.argv[3].len > STREAM_NAME_SIZE_MAX ||
        (names && args.argv[4].len > STREAM_NAME_SIZE_MAX)) {
        return planned_refuse(plan, ERR_NAME_SIZE);
    }
    size_t argc = names ? GROUP_CONSUMER_ARGC : GROUP_DESTROY_ARGC;
    planned_begin(plan, CMD_xgroup, input->db, 1, sets ? GROUP_CREATE_ARGC : argc);
    planned_bytes(plan, args.argv[2]);
    planned_bytes(plan, args.argv[3]);
    planned_u64(plan, sub);
    if (sets) {
        put_id(plan, args, create);
        planned_u64(plan, (uint64_t)read);
        planned_u64(plan, make ? 1 : 0);
    } else if (names) {
        planned_bytes(plan, args.argv[4]);
    }
    return STATUS_OK;
}

/* Reads the id of CREATE or SETID; false with the error replied. */
static bool take_id(struct call *call, const struct stream *stream, struct stream_id *id)
{
    struct slice arg = call->args.argv[GROUP_ID];
    if (arg.len > 0 && arg.len < STREAM_ID_SIZE && arg.data[0] == WORD_SYNTAX[0]) {
        stream_args_refuse_sub(call->reply, "XGROUP", slice_of(arg.data + 1, arg.len - 1));
        return false;
    }
    if (is_word(arg, WORD_LAST)) {
        *id = stream->last;
        return true;
    }
    if (!stream_args_take_id(arg, id)) {
        resp_write_error(call->reply, ERR_STREAM_ID);
        return false;
    }
    return true;
}

static enum status create(struct call *call, struct stream *stream, struct stream_group *group)
{
    struct stream_id id;
    if (!take_id(call, stream, &id)) {
        return STATUS_OK;
    }
    if (group->number != 0) {
        resp_write_error(call->reply, "BUSYGROUP Consumer Group name already exists");
        return STATUS_OK;
    }
    if (!stream->row.found) {
        stream_begin(call, stream);
    }
    group->last = id;
    group->read = (int64_t)planned_number(call->args.argv[GROUP_READ]);
    stream_group_create(call, stream, group);
    stream_put(call, stream);
    resp_write_ok(call->reply);
    event_note(call, EVENT_STREAM, "xgroup-create", call->args.argv[GROUP_KEY]);
    return STATUS_OK;
}

static enum status set_id(struct call *call, struct stream *stream, struct stream_group *group)
{
    struct stream_id id;
    if (!take_id(call, stream, &id)) {
        return STATUS_OK;
    }
    group->last = id;
    group->read = (int64_t)planned_number(call->args.argv[GROUP_READ]);
    stream_group_put(call, stream, group);
    resp_write_ok(call->reply);
    event_note(call, EVENT_STREAM, "xgroup-setid", call->args.argv[GROUP_KEY]);
    return STATUS_OK;
}

static enum status destroy(struct call *call, struct stream *stream, struct stream_group *group)
{
    resp_write_int(call->reply, group->number != 0 ? 1 : 0);
    if (group->number == 0) {
        return STATUS_OK;
    }
    enum status status = stream_group_destroy(call, stream, group);
    stream_put(call, stream);
    event_note(call, EVENT_STREAM, "xgroup-destroy", call->args.argv[GROUP_KEY]);
    return status;
}

static enum status add(struct call *call, struct stream *stream, struct stream_group *group)
{
    struct stream_consumer consumer;
    enum status status =
        stream_group_load_consumer(call, stream, group, call->args.argv[GROUP_CONSUMER], &consumer);
    if (status != STATUS_OK) {
        return status;
    }
    resp_write_int(call->reply, consumer.number == 0 ? 1 : 0);
    if (consumer.number == 0) {
        stream_group_add_consumer(call, stream, group, &consumer);
        stream_group_put(call, stream, group);
    }
    return STATUS_OK;
}

static enum status remove_consumer(struct call *call,
                                   struct stream *stream,
                                   struct stream_group *group)
{
    struct stream_consumer consumer;
    enum status status =
        stream_group_load_consumer(call, stream, group, call->args.argv[GROUP_CONSUMER], &consumer);
    if (status != STATUS_OK) {
        return status;
    }
    resp_write_int(call->reply, (int64_t)consumer.pending.count);
    if (consumer.number == 0) {
        return STATUS_OK;
    }
    status = stream_pending_drop(call, stream, group, &consumer);
    stream_group_remove_consumer(call, stream, group, &consumer);
    stream_group_put(call, stream, group);
    event_note(call, EVENT_STREAM, "xgroup-delconsumer", call->args.argv[GROUP_KEY]);
    return status;
}

/* True if the stream or the group is missing and has to be there; the error is replied. */
static bool refuse_missing(struct call *call,
                           const struct stream *stream,
                           const struct stream_group *group,
                           uint64_t sub)
{
    bool make = sub == SUB_CREATE && planned_number(call->args.argv[GROUP_MAKE]) != 0;
    if (!stream->row.found && !make) {
        resp_write_error(call->reply,
                         "ERR The XGROUP subcommand requires the key to exist. Note that for "
                         "CREATE you may want to use the MKSTREAM option to create an empty stream "
                         "automatically.");
        return true;
    }
    if (group->number == 0 && sub != SUB_CREATE && sub != SUB_DESTROY) {
        const struct slice pieces[] = {slice_str("NOGROUP No such consumer group '"),
                                       call->args.argv[GROUP_NAME], slice_str("' for key name '"),
                                       call->args.argv[GROUP_KEY], slice_str("'")};
        stream_args_refuse(call->reply, pieces, sizeof(pieces) / sizeof(pieces[0]));
        return true;
    }
    return false;
}

enum status cmd_xgroup_apply(struct call *call)
{
    static const size_t argcs[SUB_COUNT] = {[SUB_CREATE] = GROUP_CREATE_ARGC,
                                            [SUB_SETID] = GROUP_CREATE_ARGC,
                                            [SUB_DESTROY] = GROUP_DESTROY_ARGC,
                                            [SUB_ADD] = GROUP_CONSUMER_ARGC,
                                            [SUB_REMOVE] = GROUP_CONSUMER_ARGC};
    struct args args = call->args;
    uint64_t sub = args.argc > GROUP_SUB ? planned_number(args.argv[GROUP_SUB]) : SUB_HELP;
    if (sub >= SUB_HELP || args.argc != argcs[sub] || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    struct stream stream;
    struct stream_group group;
    enum status status = stream_load(call, args.argv[GROUP_KEY], &stream);
    if (status == STATUS_OK) {
        status = stream_group_load(call, &stream, args.argv[GROUP_NAME], &group);
    }
    if (status != STATUS_OK || refuse_missing(call, &stream, &group, sub)) {
        return status;
    }
    switch ((enum group_sub)sub) {
    case SUB_CREATE: return create(call, &stream, &group);
    case SUB_SETID: return set_id(call, &stream, &group);
    case SUB_DESTROY: return destroy(call, &stream, &group);
    case SUB_ADD: return add(call, &stream, &group);
    case SUB_REMOVE: return remove_consumer(call, &stream, &group);
    case SUB_HELP:
    case SUB_COUNT: break;
    }
    return STATUS_CORRUPT;
}

/* A planned XREADGROUP: keys, group, consumer, u64 flags, u64 count (0: no bound), and an id per
 * key. Ids are 16 bytes, the greatest one asks for what is new; WORD_LAST and WORD_NO_ID are
 * errors. */
enum { READ_GROUP, READ_CONSUMER, READ_FLAGS, READ_COUNT, READ_IDS }; /* Behind the keys. */
enum { READ_NO_ACK = 1 << 0, READ_WAIT_SHIFT = 1 };                   /* How it waits: two bits. */

enum status cmd_xreadgroup_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct args args = input->args;
    struct stream_args_read read;
    const char *error = stream_args_parse_read(args, true, &read);
    if (error != NULL) {
        return planned_refuse(plan, error);
    }
    if (read.group.len > STREAM_NAME_SIZE_MAX || read.consumer.len > STREAM_NAME_SIZE_MAX) {
        return planned_refuse(plan, ERR_NAME_SIZE);
    }
    planned_begin(plan, CMD_xreadgroup, input->db, read.keys, 2 * read.keys + READ_IDS);
    for (size_t i = 0; i < read.keys; i++) {
        planned_bytes(plan, args.argv[read.first + i]);
    }
    planned_bytes(plan, read.group);
    planned_bytes(plan, read.consumer);
    planned_u64(plan, (read.no_ack ? READ_NO_ACK : 0U) | (uint64_t)input->wait << READ_WAIT_SHIFT);
    bool waited = machine_wait_passes(input->wait) && read.count == 0;
    planned_u64(plan, waited ? READ_COUNT_WAITED : read.count);
    for (size_t i = 0; i < read.keys; i++) {
        struct slice text = args.argv[read.first + read.keys + i];
        struct stream_id id;
        if (is_word(text, "$")) {
            put_word(plan, WORD_LAST);
        } else if (is_word(text, ">")) {
            stream_args_put_id(plan, STREAM_ID_MAX);
        } else if (stream_id_parse_strict(text, &id)) {
            stream_args_put_id(plan, id);
        } else {
            put_word(plan, WORD_NO_ID);
        }
    }
    return STATUS_OK;
}

/* An XREADGROUP at work on one of its streams. */
struct reading {
    struct call *call;
    struct slice key;
    struct slice consumer_name;
    uint64_t count;
    bool no_ack;
    struct stream_id id; /* STREAM_ID_MAX: what is new. */
    struct stream stream;
    struct stream_group group;
};

static uint64_t wait_of(const struct call *call)
{
    return planned_number(call->args.argv[call->key_count + READ_FLAGS]) >> READ_WAIT_SHIFT;
}

static enum status load_reading(struct call *call, size_t nth, struct reading *reading)
{
    const struct slice *argv = call->args.argv;
    const struct slice *rest = argv + call->key_count;
    *reading = (struct reading){.call = call,
                                .key = argv[nth],
                                .consumer_name = rest[READ_CONSUMER],
                                .count = planned_number(rest[READ_COUNT]),
                                .no_ack = (planned_number(rest[READ_FLAGS]) & READ_NO_ACK) != 0};
    bool bound = reading->count > 0 && reading->count < READ_COUNT_MAX;
    reading->count = bound ? reading->count : READ_COUNT_MAX;
    enum status status = stream_load(call, reading->key, &reading->stream);
    if (status != STATUS_OK) {
        return status;
    }
    return stream_group_load(call, &reading->stream, rest[READ_GROUP], &reading->group);
}

/* What it waits for is gone; false if not. The error is replied. */
static bool refuse_gone(struct call *call, const struct reading *reading, enum status status)
{
    if (!machine_wait_passes(wait_of(call))) {
        return false;
    }
    if (status == STATUS_WRONG_TYPE || !reading->stream.row.found) {
        resp_write_error(call->reply, "UNBLOCKED the stream key no longer exists");
        return true;
    }
    if (reading->group.number == 0) {
        resp_write_error(call->reply,
                         "NOGROUP the consumer group this client was blocked on no longer exists");
        return true;
    }
    return false;
}

/* Looks at one of the streams; *refused: with the error replied. */
static enum status check_reading(struct call *call, size_t nth, bool *refused)
{
    struct reading reading;
    enum status status = load_reading(call, nth, &reading);
    bool told = status == STATUS_OK || status == STATUS_WRONG_TYPE;
    if (told && refuse_gone(call, &reading, status)) {
        *refused = true;
        return STATUS_OK;
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct slice id = call->args.argv[call->key_count + READ_IDS + nth];
    *refused = true;
    if (reading.group.number == 0) {
        stream_args_refuse_group(call->reply, reading.key, reading.group.name,
                                 " in XREADGROUP with GROUP option");
    } else if (is_word(id, WORD_LAST)) {
        resp_write_error(call->reply,
                         "ERR The $ ID is meaningless in the context of XREADGROUP: you want to "
                         "read the history of this consumer by specifying a proper ID, or use the "
                         "> ID to get new messages. The $ ID would just return an empty result "
                         "set.");
    } else if (is_word(id, WORD_NO_ID)) {
        resp_write_error(call->reply, ERR_STREAM_ID);
    } else {
        *refused = false;
    }
    return STATUS_OK;
}

/* Answers the entries that the group has not delivered yet; notes their ids. */
static enum status deliver(struct reading *reading, struct buf *ids)
{
    struct call *call = reading->call;
    struct stream_range range;
    struct stream_id id = reading->group.last;
    struct slice value;
    if (!stream_id_next(&id)) {
        return STATUS_OK;
    }
    size_t start = call->reply->len;
    uint64_t count = 0;
    enum status status = STATUS_OK;
    stream_range_open(call, &reading->stream, id, STREAM_ID_MAX, &range);
    while (status == STATUS_OK && count < reading->count &&
           call->reply->len - start < READ_SIZE_MAX && stream_range_next(&range, &id, &value)) {
        status = stream_range_reply_entry(call->reply, id, value);
        stream_group_deliver(&reading->stream, &reading->group, id);
        stream_id_append(ids, id);
        count++;
    }
    enum status closed = stream_range_close(&range);
    resp_insert_array(call->reply, start, count);
    return status != STATUS_OK ? status : closed;
}

/* An entry that is delivered is pending, whoever had it. */
static enum status assign(struct reading *reading,
                          struct stream_consumer *consumer,
                          struct stream_id id)
{
    struct call *call = reading->call;
    struct stream_nack old;
    bool found = false;
    enum status status =
        stream_pending_find(call, &reading->stream, &reading->group, id, &old, &found);
    const struct stream_nack nack = {
        .consumer = consumer->number, .time_ms = call->now_ms, .count = 1, .name = consumer->name};
    if (status != STATUS_OK) {
        return status;
    }
    if (!found) {
        stream_pending_add(call, &reading->stream, &reading->group, consumer, id, &nack);
        return STATUS_OK;
    }
    status = stream_pending_pass(call, &reading->stream, &reading->group, consumer, id, &old);
    stream_pending_put(call, &reading->stream, &reading->group, id, &nack);
    return status;
}

/* What is new. *served: there was something. */
static enum status read_new(struct reading *reading, bool *served)
{
    struct call *call = reading->call;
    struct buf *ids = txn_scratch(call->txn, SCRATCH_WORK);
    size_t start = call->reply->len;
    resp_write_entry(call->reply);
    resp_write_bulk(call->reply, reading->key);
    enum status status = deliver(reading, ids);
    *served = ids->len > 0;
    if (status != STATUS_OK || !*served) {
        buf_truncate(call->reply, start);
        return status;
    }
    struct stream_consumer consumer;
    status = stream_group_meet_consumer(call, &reading->stream, &reading->group,
                                        reading->consumer_name, &consumer);
    struct reader in = reader_of(buf_slice(ids));
    while (status == STATUS_OK && !reading->no_ack && in.rest.len > 0) {
        status = assign(reading, &consumer, stream_id_read(&in));
    }
    if (status == STATUS_OK) {
        stream_group_put_consumer(call, &reading->stream, &reading->group, &consumer);
        stream_group_put(call, &reading->stream, &reading->group);
    }
    return status;
}

/* Answers an entry that the consumer has already, and counts the delivery; or null, if it was
 * removed. */
static enum status repeat(struct reading *reading, struct stream_id id)
{
    struct call *call = reading->call;
    struct buf *value = txn_scratch(call->txn, SCRATCH_RESULT);
    struct stream_nack nack;
    bool there = false;
    bool pending = false;
    enum status status = stream_find(call, &reading->stream, id, value, &there);
    if (status == STATUS_OK && !there) {
        resp_write_array(call->reply, 2);
        stream_id_reply(call->reply, id);
        resp_write_null_array(call->reply);
        return STATUS_OK;
    }
    if (status == STATUS_OK) {
        status = stream_range_reply_entry(call->reply, id, buf_slice(value));
    }
    if (status == STATUS_OK) {
        status = stream_pending_find(call, &reading->stream, &reading->group, id, &nack, &pending);
    }
    if (status != STATUS_OK || !pending) {
        return status != STATUS_OK ? status : STATUS_CORRUPT;
    }
    nack.time_ms = call->now_ms;
    nack.count++;
    stream_pending_put(call, &reading->stream, &reading->group, id, &nack);
    return STATUS_OK;
}

/* What the consumer has and has not acknowledged, behind an id. */
static enum status read_history(struct reading *reading)
{
    struct call *call = reading->call;
    struct stream_consumer consumer;
    uint64_t consumers = reading->group.consumers;
    enum status status = stream_group_meet_consumer(call, &reading->stream, &reading->group,
                                                    reading->consumer_name, &consumer);
    if (status != STATUS_OK) {
        return status;
    }
    stream_group_put_consumer(call, &reading->stream, &reading->group, &consumer);
    if (reading->group.consumers != consumers) {
        stream_group_put(call, &reading->stream, &reading->group);
    }
    struct buf *ids = txn_scratch(call->txn, SCRATCH_WORK);
    struct stream_pending_walk walk;
    struct stream_id id = reading->id;
    struct slice row;
    (void)stream_id_next(&id); /* It is not the greatest one. */
    stream_pending_open(call, &reading->stream, &reading->group, &consumer, id, &walk);
    while (ids->len / STREAM_ID_SIZE < reading->count && stream_pending_next(&walk, &id, &row)) {
        stream_id_append(ids, id);
    }
    status = stream_pending_close(&walk);
    resp_write_entry(call->reply);
    resp_write_bulk(call->reply, reading->key);
    size_t start = call->reply->len;
    uint64_t count = 0;
    struct reader in = reader_of(buf_slice(ids));
    while (status == STATUS_OK && in.rest.len > 0 && call->reply->len - start < READ_SIZE_MAX) {
        status = repeat(reading, stream_id_read(&in));
        count++;
    }
    resp_insert_array(call->reply, start, count);
    return status;
}

enum status cmd_xreadgroup_apply(struct call *call)
{
    if (call->args.argc != 2 * call->key_count + READ_IDS) {
        return STATUS_CORRUPT;
    }
    for (size_t i = 0; i < call->key_count; i++) {
        bool refused = false;
        enum status status = check_reading(call, i, &refused);
        if (status != STATUS_OK || refused) {
            return status;
        }
    }
    size_t start = call->reply->len;
    size_t streams = 0;
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < call->key_count; i++) {
        struct reading reading;
        status = load_reading(call, i, &reading);
        if (status != STATUS_OK) {
            return status;
        }
        if (!stream_args_take_id(call->args.argv[call->key_count + READ_IDS + i], &reading.id)) {
            return STATUS_CORRUPT;
        }
        bool served = true;
        bool fresh = stream_id_compare(reading.id, STREAM_ID_MAX) == 0;
        status = fresh ? read_new(&reading, &served) : read_history(&reading);
        streams += served ? 1 : 0;
    }
    if (streams == 0) {
        resp_write_null_array(call->reply);
        call->nothing = machine_wait_goes_on(wait_of(call));
    } else {
        resp_insert_entries(call->reply, start, streams);
    }
    return status;
}

/* A planned XACK: key, group, ids; no ids: one of them was none. */
enum { ACK_KEY, ACK_GROUP, ACK_IDS };

enum status cmd_xack_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct args args = input->args;
    struct stream_id id;
    size_t valid = 3;
    while (valid < args.argc && stream_id_parse_strict(args.argv[valid], &id)) {
        valid++;
    }
    bool all = valid == args.argc;
    planned_begin(plan, CMD_xack, input->db, 1, all ? args.argc - 1 : ACK_IDS);
    planned_bytes(plan, args.argv[1]);
    planned_bytes(plan, args.argv[2]);
    for (size_t i = 3; all && i < args.argc; i++) {
        bool parsed = stream_id_parse_strict(args.argv[i], &id);
        assert(parsed);
        stream_args_put_id(plan, id);
    }
    return STATUS_OK;
}

static enum status acknowledge(struct call *call,
                               struct stream *stream,
                               struct stream_group *group,
                               int64_t *count)
{
    for (size_t i = ACK_IDS; i < call->args.argc; i++) {
        struct stream_id id;
        struct stream_nack nack;
        bool found = false;
        if (!stream_args_take_id(call->args.argv[i], &id)) {
            return STATUS_CORRUPT;
        }
        enum status status = stream_pending_find(call, stream, group, id, &nack, &found);
        if (status == STATUS_OK && found) {
            status = stream_pending_remove(call, stream, group, id, &nack);
            ++*count;
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

enum status cmd_xack_apply(struct call *call)
{
    struct stream stream;
    struct stream_group group = {0};
    if (call->args.argc < ACK_IDS || call->key_count != 1) {
        return STATUS_CORRUPT;
    }
    enum status status = stream_load(call, call->args.argv[ACK_KEY], &stream);
    if (status == STATUS_OK) {
        status = stream_group_load(call, &stream, call->args.argv[ACK_GROUP], &group);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (group.number != 0 && call->args.argc == ACK_IDS) {
        resp_write_error(call->reply, ERR_STREAM_ID);
        return STATUS_OK;
    }
    int64_t count = 0;
    if (group.number != 0) {
        status = acknowledge(call, &stream, &group, &count);
    }
    if (status == STATUS_OK && count > 0) {
        stream_group_put(call, &stream, &group);
    }
    resp_write_int(call->reply, count);
    return status;
}
