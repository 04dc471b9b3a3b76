/* XCLAIM, XAUTOCLAIM. Semantics: Redis 7.0 t_stream.c. */

#include "common/base/assert.h"
#include "common/base/number.h"
#include "server/machine/stream_args.h"
#include "server/machine/stream_pending.h"
#include "server/machine/stream_range.h"

#define ERR_NAME_SIZE "ERR name of a consumer group or a consumer is longer than 65536 bytes"

enum {
    AUTO_COUNT_DEFAULT = 100,
    AUTO_COUNT_MAX = 10000, /* Of one call, whatever it asks for: its reply says where to go on. */
    AUTO_ATTEMPTS = 10,     /* Pending entries that are looked at, per entry that is wanted. */
    CLAIM_SIZE_MAX = 16 << 20,
};

/* A planned XCLAIM: key, group, consumer, an error for those who get so far (empty: none), i64
 * least idle time, u64 flags, i64 time of delivery, i64 deliveries (-1: one more), last id of the
 * group, ids. */
enum {
    CLAIM_KEY,
    CLAIM_GROUP,
    CLAIM_CONSUMER,
    CLAIM_ERROR,
    CLAIM_IDLE,
    CLAIM_FLAGS,
    CLAIM_TIME,
    CLAIM_RETRY,
    CLAIM_LAST,
    CLAIM_IDS
};
enum claim_flag {
    CLAIM_FORCE = 1 << 0,
    CLAIM_JUST_ID = 1 << 1,
    CLAIM_TIME_GIVEN = 1 << 2, /* The time is one since 1970. */
    CLAIM_IDLE_GIVEN = 1 << 3, /* The time is one before now. */
};

struct claim_options {
    int64_t min_idle;
    unsigned flags;
    int64_t time;
    int64_t retry;
    struct stream_id last;
    size_t ids; /* argv[5] and following. */
};

/* NULL or an error; *at is then the last argument of the option. */
static const char *parse_time(struct args args, size_t *at, struct claim_options *options)
{
    bool idle = command_word(args.argv[*at], "idle");
    if (!number_parse_i64(args.argv[++*at], &options->time)) {
        return idle ? "ERR Invalid IDLE option argument for XCLAIM"
                    : "ERR Invalid TIME option argument for XCLAIM";
    }
    options->flags &= ~(unsigned)(CLAIM_TIME_GIVEN | CLAIM_IDLE_GIVEN);
    options->flags |= idle ? CLAIM_IDLE_GIVEN : CLAIM_TIME_GIVEN;
    return NULL;
}

/* One option at *at. *known is false if it is none. */
static const char *parse_option(struct args args,
                                size_t *at,
                                struct claim_options *options,
                                bool *known)
{
    struct slice word = args.argv[*at];
    bool more = args.argc - *at > 1;
    *known = true;
    if (command_word(word, "force")) {
        options->flags |= CLAIM_FORCE;
        return NULL;
    }
    if (command_word(word, "justid")) {
        options->flags |= CLAIM_JUST_ID;
        return NULL;
    }
    if (more && (command_word(word, "idle") || command_word(word, "time"))) {
        return parse_time(args, at, options);
    }
    if (more && command_word(word, "retrycount")) {
        bool parsed = number_parse_i64(args.argv[++*at], &options->retry);
        return parsed ? NULL : "ERR Invalid RETRYCOUNT option argument for XCLAIM";
    }
    if (more && command_word(word, "lastid")) {
        return stream_id_parse_strict(args.argv[++*at], &options->last) ? NULL : ERR_STREAM_ID;
    }
    *known = false;
    return NULL;
}

/* Appends the line of an error, if there is one. */
static void parse_claim(struct args args, struct claim_options *options, struct buf *error)
{
    *options = (struct claim_options){.retry = -1};
    if (!number_parse_i64(args.argv[4], &options->min_idle)) {
        resp_write_error(error, "ERR Invalid min-idle-time argument for XCLAIM");
        return;
    }
    struct stream_id id;
    size_t i = 5;
    while (i < args.argc && stream_id_parse_strict(args.argv[i], &id)) {
        i++;
    }
    options->ids = i - 5;
    for (; i < args.argc && error->len == 0; i++) {
        bool known = true;
        const char *text = parse_option(args, &i, options, &known);
        if (text != NULL) {
            resp_write_error(error, text);
        } else if (!known) {
            const struct slice pieces[] = {slice_str("ERR Unrecognized XCLAIM option '"),
                                           args.argv[i], slice_str("'")};
            stream_args_refuse(error, pieces, sizeof(pieces) / sizeof(pieces[0]));
        }
    }
}

enum status cmd_xclaim_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct args args = input->args;
    if (args.argv[2].len > STREAM_NAME_SIZE_MAX || args.argv[3].len > STREAM_NAME_SIZE_MAX) {
        return planned_refuse(plan, ERR_NAME_SIZE);
    }
    struct claim_options options;
    struct buf error;
    buf_init(&error, SIZE_MAX / 2);
    parse_claim(args, &options, &error);
    size_t ids = error.len > 0 ? 0 : options.ids;
    planned_begin(plan, CMD_xclaim, input->db, 1, CLAIM_IDS + ids);
    planned_bytes(plan, args.argv[1]);
    planned_bytes(plan, args.argv[2]);
    planned_bytes(plan, args.argv[3]);
    planned_bytes(plan, buf_slice(&error));
    planned_u64(plan, (uint64_t)options.min_idle);
    planned_u64(plan, options.flags);
    planned_u64(plan, (uint64_t)options.time);
    planned_u64(plan, (uint64_t)options.retry);
    stream_args_put_id(plan, options.last);
    for (size_t i = 0; i < ids; i++) {
        struct stream_id id;
        bool parsed = stream_id_parse_strict(args.argv[5 + i], &id);
        assert(parsed);
        stream_args_put_id(plan, id);
    }
    buf_deinit(&error);
    return STATUS_OK;
}

/* A claim at work. */
struct claim {
    struct call *call;
    struct stream stream;
    struct stream_group group;
    struct stream_consumer consumer; /* number 0: nothing was claimed yet. */
    int64_t min_idle;
    uint64_t flags;
    uint64_t time_ms;
    int64_t retry;
    bool changed;
};

/* Loads stream and group, keys and names being the first arguments; *refused: with the error
 * replied. */
static enum status begin_claim(struct call *call, struct claim *claim, bool *refused)
{
    const struct slice *argv = call->args.argv;
    *claim = (struct claim){.call = call, .retry = -1, .time_ms = call->now_ms};
    *refused = false;
    enum status status = stream_load(call, argv[CLAIM_KEY], &claim->stream);
    if (status == STATUS_OK) {
        status = stream_group_load(call, &claim->stream, argv[CLAIM_GROUP], &claim->group);
    }
    if (status == STATUS_OK && claim->group.number == 0) {
        stream_args_refuse_group(call->reply, argv[CLAIM_KEY], argv[CLAIM_GROUP], "");
        *refused = true;
    }
    return status;
}

static void finish_claim(struct claim *claim)
{
    if (claim->consumer.number != 0) {
        stream_group_put_consumer(claim->call, &claim->stream, &claim->group, &claim->consumer);
    }
    if (claim->changed) {
        stream_group_put(claim->call, &claim->stream, &claim->group);
    }
}

/* Forgets that an entry is pending which was removed from the stream. */
static enum status forget(struct claim *claim, struct stream_id id, const struct stream_nack *nack)
{
    struct call *call = claim->call;
    bool met = claim->consumer.number != 0;
    if (met) { /* The entry may be this consumer's. */
        stream_group_put_consumer(call, &claim->stream, &claim->group, &claim->consumer);
    }
    enum status status = stream_pending_remove(call, &claim->stream, &claim->group, id, nack);
    claim->changed = true;
    if (status == STATUS_OK && met) {
        status = stream_group_load_consumer(call, &claim->stream, &claim->group,
                                            claim->consumer.name, &claim->consumer);
    }
    return status;
}

static bool is_idle(const struct claim *claim, const struct stream_nack *nack)
{
    int64_t idle = (int64_t)(claim->call->now_ms - nack->time_ms);
    return claim->min_idle <= 0 || idle >= claim->min_idle;
}

/* An entry becomes the consumer's; value: its row. pending: nack is what it was. */
static enum status take(struct claim *claim,
                        struct stream_id id,
                        struct slice value,
                        const struct stream_nack *pending)
{
    struct call *call = claim->call;
    bool just_id = (claim->flags & CLAIM_JUST_ID) != 0;
    struct stream_nack nack = {.time_ms = claim->time_ms, .name = claim->consumer.name};
    nack.consumer = claim->consumer.number;
    nack.count = pending == NULL ? 1 : pending->count;
    nack.count += just_id ? 0 : 1;
    nack.count = claim->retry >= 0 ? (uint64_t)claim->retry : nack.count;
    enum status status = STATUS_OK;
    if (pending == NULL) {
        stream_pending_add(call, &claim->stream, &claim->group, &claim->consumer, id, &nack);
        claim->changed = true;
    } else {
        status =
            stream_pending_pass(call, &claim->stream, &claim->group, &claim->consumer, id, pending);
        stream_pending_put(call, &claim->stream, &claim->group, id, &nack);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (just_id) {
        stream_id_reply(call->reply, id);
        return STATUS_OK;
    }
    return stream_range_reply_entry(call->reply, id, value);
}

/* The consumer is met when there is something for it. */
static enum status meet(struct claim *claim)
{
    if (claim->consumer.number != 0) {
        return STATUS_OK;
    }
    uint64_t consumers = claim->group.consumers;
    enum status status =
        stream_group_meet_consumer(claim->call, &claim->stream, &claim->group,
                                   claim->call->args.argv[CLAIM_CONSUMER], &claim->consumer);
    claim->changed = claim->changed || claim->group.consumers != consumers;
    return status;
}

/* One of the ids of XCLAIM; *taken: it was answered. */
static enum status claim_id(struct claim *claim, struct stream_id id, bool *taken)
{
    struct call *call = claim->call;
    struct buf *value = txn_scratch(call->txn, SCRATCH_RESULT);
    struct stream_nack nack;
    bool pending = false;
    bool there = false;
    *taken = false;
    enum status status = stream_find(call, &claim->stream, id, value, &there);
    if (status == STATUS_OK) {
        status = stream_pending_find(call, &claim->stream, &claim->group, id, &nack, &pending);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (!there) {
        return pending ? forget(claim, id, &nack) : STATUS_OK;
    }
    bool wanted = pending ? is_idle(claim, &nack) : (claim->flags & CLAIM_FORCE) != 0;
    if (!wanted) {
        return STATUS_OK;
    }
    status = meet(claim);
    if (status == STATUS_OK) {
        *taken = true;
        status = take(claim, id, buf_slice(value), pending ? &nack : NULL);
    }
    return status;
}

/* What is bogus, as clients compute with their own clocks, is now. */
static uint64_t delivery_time(const struct call *call, uint64_t flags, uint64_t time)
{
    int64_t now = (int64_t)call->now_ms;
    int64_t given = (int64_t)((flags & CLAIM_IDLE_GIVEN) != 0 ? call->now_ms - time : time);
    bool any = (flags & (CLAIM_IDLE_GIVEN | CLAIM_TIME_GIVEN)) != 0;
    return any && given >= 0 && given <= now ? (uint64_t)given : call->now_ms;
}

enum status cmd_xclaim_apply(struct call *call)
{
    struct args args = call->args;
    struct stream_id last;
    if (args.argc < CLAIM_IDS || call->key_count != 1 ||
        !stream_args_take_id(args.argv[CLAIM_LAST], &last)) {
        return STATUS_CORRUPT;
    }
    struct claim claim;
    bool refused = false;
    enum status status = begin_claim(call, &claim, &refused);
    if (status != STATUS_OK || refused) {
        return status;
    }
    if (args.argv[CLAIM_ERROR].len > 0) {
        buf_append_slice(call->reply, args.argv[CLAIM_ERROR]);
        return STATUS_OK;
    }
    claim.min_idle = (int64_t)planned_number(args.argv[CLAIM_IDLE]);
    claim.flags = planned_number(args.argv[CLAIM_FLAGS]);
    claim.time_ms = delivery_time(call, claim.flags, planned_number(args.argv[CLAIM_TIME]));
    claim.retry = (int64_t)planned_number(args.argv[CLAIM_RETRY]);
    if (stream_id_compare(last, claim.group.last) > 0) {
        claim.group.last = last;
        claim.changed = true;
    }
    size_t start = call->reply->len;
    size_t count = 0;
    for (size_t i = CLAIM_IDS; status == STATUS_OK && i < args.argc; i++) {
        struct stream_id id;
        bool taken = false;
        status =
            stream_args_take_id(args.argv[i], &id) ? claim_id(&claim, id, &taken) : STATUS_CORRUPT;
        count += taken ? 1 : 0;
    }
    resp_insert_array(call->reply, start, count);
    finish_claim(&claim);
    return status;
}

/* A planned XAUTOCLAIM: key, group, consumer, i64 least idle time, id to start at, u64 count, u64
 * flags. */
enum { AUTO_IDLE = CLAIM_ERROR, AUTO_START, AUTO_COUNT, AUTO_FLAGS, AUTO_ARGC };

enum status cmd_xautoclaim_plan(const struct machine_plan_input *input, struct plan *plan)
{
    struct args args = input->args;
    int64_t min_idle = 0;
    int64_t count = AUTO_COUNT_DEFAULT;
    uint64_t flags = 0;
    struct stream_id start;
    if (!number_parse_i64(args.argv[4], &min_idle)) {
        return planned_refuse(plan, "ERR Invalid min-idle-time argument for XAUTOCLAIM");
    }
    const char *error = stream_id_parse_start(args.argv[5], &start);
    for (size_t i = 6; error == NULL && i < args.argc; i++) {
        if (command_word(args.argv[i], "count") && args.argc - i > 1) {
            bool parsed = number_parse_i64(args.argv[++i], &count);
            bool fits = count > 0 && count <= INT64_MAX / STREAM_ID_SIZE;
            error = parsed && fits ? NULL : "ERR COUNT must be > 0";
        } else if (command_word(args.argv[i], "justid")) {
            flags |= CLAIM_JUST_ID;
        } else {
            error = ERR_SYNTAX;
        }
    }
    if (error == NULL &&
        (args.argv[2].len > STREAM_NAME_SIZE_MAX || args.argv[3].len > STREAM_NAME_SIZE_MAX)) {
        error = ERR_NAME_SIZE;
    }
    if (error != NULL) {
        return planned_refuse(plan, error);
    }
    planned_begin(plan, CMD_xautoclaim, input->db, 1, AUTO_ARGC);
    planned_bytes(plan, args.argv[1]);
    planned_bytes(plan, args.argv[2]);
    planned_bytes(plan, args.argv[3]);
    planned_u64(plan, (uint64_t)min_idle);
    stream_args_put_id(plan, start);
    planned_u64(plan, (uint64_t)count);
    planned_u64(plan, flags);
    return STATUS_OK;
}

/* Notes the ids of pending entries that are gone or idle for long enough: u8 gone, id, each. *next
 * is the one to go on at, 0-0 at the end. */
static enum status collect(struct claim *claim,
                           struct stream_id from,
                           uint64_t count,
                           struct stream_id *next,
                           struct buf *found)
{
    struct call *call = claim->call;
    struct stream_pending_walk walk;
    struct stream_id id;
    struct slice row;
    size_t size = 0;
    uint64_t attempts = count * AUTO_ATTEMPTS;
    enum status status = STATUS_OK;
    stream_pending_open(call, &claim->stream, &claim->group, NULL, from, &walk);
    bool more = stream_pending_next(&walk, &id, &row);
    while (status == STATUS_OK && more && attempts > 0 && count > 0 && size < CLAIM_SIZE_MAX) {
        struct buf *value = txn_scratch(call->txn, SCRATCH_RESULT);
        struct stream_nack nack;
        bool there = false;
        status = stream_pending_decode(row, &nack) ? STATUS_OK : STATUS_CORRUPT;
        if (status == STATUS_OK) {
            status = stream_find(call, &claim->stream, id, value, &there);
        }
        if (!there || is_idle(claim, &nack)) {
            buf_append_u8(found, there ? 0 : 1);
            stream_id_append(found, id);
            size += value->len;
            count--;
        }
        attempts--;
        more = stream_pending_next(&walk, &id, &row);
    }
    *next = more ? id : (struct stream_id){0};
    enum status closed = stream_pending_close(&walk);
    return status != STATUS_OK ? status : closed;
}

/* Takes what was collected, or forgets it; gone gets the ids that were. */
static enum status take_all(struct claim *claim,
                            struct slice found,
                            struct buf *gone,
                            size_t *gone_count)
{
    struct reader in = reader_of(found);
    enum status status = STATUS_OK;
    size_t start = claim->call->reply->len;
    size_t count = 0;
    while (status == STATUS_OK && in.rest.len > 0) {
        bool was_gone = reader_u8(&in) != 0;
        struct stream_id id = stream_id_read(&in);
        bool taken = false;
        status = claim_id(claim, id, &taken);
        assert(IMPLIES(status == STATUS_OK, taken == !was_gone));
        count += taken ? 1 : 0;
        if (was_gone) {
            stream_id_reply(gone, id);
            ++*gone_count;
        }
    }
    resp_insert_array(claim->call->reply, start, count);
    return status;
}

enum status cmd_xautoclaim_apply(struct call *call)
{
    struct args args = call->args;
    struct stream_id next;
    if (args.argc != AUTO_ARGC || call->key_count != 1 ||
        !stream_args_take_id(args.argv[AUTO_START], &next)) {
        return STATUS_CORRUPT;
    }
    struct claim claim;
    bool refused = false;
    enum status status = begin_claim(call, &claim, &refused);
    if (status != STATUS_OK || refused) {
        return status;
    }
    claim.min_idle = (int64_t)planned_number(args.argv[AUTO_IDLE]);
    claim.flags = planned_number(args.argv[AUTO_FLAGS]);
    uint64_t count = planned_number(args.argv[AUTO_COUNT]);
    struct buf *found = txn_scratch(call->txn, SCRATCH_WORK);
    count = count < AUTO_COUNT_MAX ? count : AUTO_COUNT_MAX;
    status = collect(&claim, next, count, &next, found);
    if (status != STATUS_OK) {
        return status;
    }
    struct buf *gone = txn_scratch(call->txn, SCRATCH_CHUNK);
    size_t gone_count = 0;
    resp_write_array(call->reply, 3);
    stream_id_reply(call->reply, next);
    status = take_all(&claim, buf_slice(found), gone, &gone_count);
    resp_write_array(call->reply, gone_count);
    buf_append_slice(call->reply, buf_slice(gone));
    finish_claim(&claim);
    return status;
}
