/* SINTER, SINTERCARD, SUNION, SDIFF and those that store the result. Semantics: Redis 7.0 t_set.c.
 *
 * Of an intersection or a difference the members of one set are looked at, in portions, and thrown
 * out by the other sets, one after the other. So no more than two sets are open at a time, however
 * many there are. */

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/hash.h"
#include "common/base/number.h"
#include "common/base/reader.h"
#include "server/machine/collection.h"
#include "server/machine/event.h"
#include "server/machine/planned.h"

enum {
    PORTION_SIZE = 256 * 1024, /* Bytes of members that are looked at together, about. */
    TABLE_SIZE_MIN = 64,
};

enum operation { INTERSECT, UNITE, SUBTRACT };

/* Members that were found: u32 size, bytes. */
struct result {
    struct buf *members; /* In scratch. */
    uint64_t count;
    uint64_t limit; /* No more are wanted. */
};

/* One operation at work. */
struct algebra {
    struct call *call;
    enum operation operation;
    struct args keys;
    size_t source;        /* Index of the set whose members are looked at. */
    bool empty;           /* One set is. */
    uint64_t steps;       /* Members to look at, times sets. */
    struct result result; /* What is done. */
};

/* Looks at all keys: WRONG_TYPE if one is no set. */
static enum status survey(struct algebra *algebra)
{
    uint64_t least = UINT64_MAX;
    uint64_t total = 0;
    uint64_t first = 0;
    for (size_t i = 0; i < algebra->keys.argc; i++) {
        struct collection set;
        enum status status =
            collection_open(algebra->call, SLOT_B, algebra->keys.argv[i], KEYSPACE_SET, &set);
        if (status != STATUS_OK) {
            return status;
        }
        uint64_t count = collection_count(&set);
        if (count < least && algebra->operation == INTERSECT) {
            algebra->source = i;
        }
        least = count < least ? count : least;
        total += count;
        first = i == 0 ? count : first;
    }
    algebra->empty = least == 0;
    algebra->steps = total;
    if (algebra->operation != UNITE) {
        uint64_t looked_at = algebra->operation == INTERSECT ? least : first;
        algebra->steps = looked_at * algebra->keys.argc;
    }
    return STATUS_OK;
}

/* Appends a portion of the members, from a place on; *next is where the one behind it begins, 0 at
 * the end. */
static enum status take_portion(struct collection *set,
                                uint64_t from,
                                struct buf *out,
                                uint64_t *next)
{
    struct collection_walk walk;
    bool more = collection_walk_open(&walk, set, from);
    uint64_t last = from;
    *next = 0;
    for (; more; more = collection_walk_next(&walk)) {
        /* All with the same hash together. A packed set, which has none, is one portion. */
        if (out->len > PORTION_SIZE && walk.hash != last) {
            *next = walk.hash;
            break;
        }
        last = walk.hash;
        buf_append_bytes(out, walk.entry.field);
    }
    return collection_walk_close(&walk);
}

/* Leaves those of the members that the set has, or has not. */
static enum status sift(struct collection *set, bool wanted, struct buf *members)
{
    struct reader in = reader_of(buf_slice(members));
    size_t kept = 0;
    while (in.rest.len > 0) {
        struct slice value;
        bool found = false;
        const uint8_t *begin = in.rest.data;
        struct slice member = reader_bytes(&in, UINT32_MAX);
        assert(!in.failed);
        enum status status = collection_get(set, member, &value, &found);
        if (status != STATUS_OK) {
            return status;
        }
        if (found == wanted) {
            size_t size = sizeof(uint32_t) + member.len;
            memmove(members->data + kept, begin, size);
            kept += size;
        }
    }
    buf_truncate(members, kept);
    return STATUS_OK;
}

/* The same by all sets but the source. */
static enum status sift_by_all(struct algebra *algebra, struct buf *members)
{
    for (size_t i = 0; i < algebra->keys.argc && members->len > 0; i++) {
        struct collection set;
        if (i == algebra->source) {
            continue;
        }
        enum status status =
            collection_open(algebra->call, SLOT_B, algebra->keys.argv[i], KEYSPACE_SET, &set);
        if (status == STATUS_OK) {
            status = sift(&set, algebra->operation == INTERSECT, members);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static void add_all(struct result *result, struct slice members)
{
    struct reader in = reader_of(members);
    while (in.rest.len > 0 && result->count < result->limit) {
        buf_append_bytes(result->members, reader_bytes(&in, UINT32_MAX));
        result->count++;
    }
    assert(!in.failed);
}

static enum status sift_portions(struct algebra *algebra)
{
    struct call *call = algebra->call;
    struct result *result = &algebra->result;
    struct collection set;
    struct slice key = algebra->keys.argv[algebra->source];
    enum status status = collection_open(call, SLOT_A, key, KEYSPACE_SET, &set);
    uint64_t next = 0;
    do {
        struct buf *members = txn_scratch(call->txn, SCRATCH_WORK);
        if (status == STATUS_OK) {
            status = take_portion(&set, next, members, &next);
        }
        if (status == STATUS_OK) {
            status = sift_by_all(algebra, members);
        }
        if (status == STATUS_OK) {
            add_all(result, buf_slice(members));
            status = collection_may_reply(call, result->members->len);
        }
    } while (status == STATUS_OK && next != 0 && result->count < result->limit);
    return status;
}

/* Which members are in a result already: places in its bytes, plus one, by hash. */
struct table {
    struct buf *members;
    uint64_t *slots;
    size_t size; /* A power of two. */
    size_t count;
};

static struct slice member_at(const struct table *table, uint64_t place)
{
    struct reader in = reader_of(buf_slice(table->members));
    (void)reader_raw(&in, place - 1);
    return reader_bytes(&in, UINT32_MAX);
}

/* The slot that has the member, or where it would be. */
static uint64_t *find_slot(const struct table *table, struct slice member)
{
    size_t at = hash_bytes(member) & (table->size - 1);
    while (table->slots[at] != 0 && !slice_equal(member_at(table, table->slots[at]), member)) {
        at = (at + 1) & (table->size - 1);
    }
    return &table->slots[at];
}

static void grow(struct table *table)
{
    struct table larger = *table;
    larger.size = table->size == 0 ? TABLE_SIZE_MIN : table->size * 2;
    larger.slots = calloc(larger.size, sizeof(*larger.slots));
    assert(larger.slots != NULL);
    for (size_t i = 0; i < table->size; i++) {
        if (table->slots[i] != 0) {
            *find_slot(&larger, member_at(table, table->slots[i])) = table->slots[i];
        }
    }
    free(table->slots);
    *table = larger;
}

/* Appends the member unless it is there. */
static void add_new(struct table *table, struct slice member)
{
    if (table->count * 2 >= table->size) {
        grow(table);
    }
    uint64_t *slot = find_slot(table, member);
    if (*slot == 0) {
        *slot = table->members->len + 1;
        table->count++;
        buf_append_bytes(table->members, member);
    }
}

static enum status unite(struct algebra *algebra)
{
    struct table table = {.members = algebra->result.members};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < algebra->keys.argc && status == STATUS_OK; i++) {
        struct collection set;
        struct slice key = algebra->keys.argv[i];
        status = collection_open(algebra->call, SLOT_A, key, KEYSPACE_SET, &set);
        if (status != STATUS_OK) {
            break;
        }
        struct collection_walk walk;
        bool more = collection_walk_open(&walk, &set, 0);
        for (; more; more = status == STATUS_OK && collection_walk_next(&walk)) {
            add_new(&table, walk.entry.field);
            status = collection_may_reply(algebra->call, table.members->len);
        }
        enum status walked = collection_walk_close(&walk);
        status = status == STATUS_OK ? walked : status;
    }
    algebra->result.count = table.count;
    free(table.slots);
    return status;
}

/* limit 0: none. */
static enum status compute(struct algebra *algebra, uint64_t limit)
{
    struct call *call = algebra->call;
    enum status status = survey(algebra);
    if (status != STATUS_OK) {
        return status;
    }
    if (algebra->steps > COLLECTION_FAST_COUNT && txn_cache_only(call->txn)) {
        return STATUS_AGAIN;
    }
    algebra->result = (struct result){.members = txn_scratch(call->txn, SCRATCH_RESULT),
                                      .limit = limit == 0 ? UINT64_MAX : limit};
    if (algebra->operation == UNITE) {
        return unite(algebra);
    }
    bool nothing = algebra->operation == INTERSECT && algebra->empty;
    return nothing ? STATUS_OK : sift_portions(algebra);
}

static enum status read_result(struct call *call, enum operation operation)
{
    struct algebra algebra = {.call = call,
                              .operation = operation,
                              .keys = {.argv = call->args.argv + 1, .argc = call->args.argc - 1}};
    enum status status = compute(&algebra, 0);
    if (status != STATUS_OK) {
        return status;
    }
    resp_write_set(call->reply, algebra.result.count);
    struct reader in = reader_of(buf_slice(algebra.result.members));
    while (in.rest.len > 0) {
        resp_write_bulk(call->reply, reader_bytes(&in, UINT32_MAX));
    }
    return STATUS_OK;
}

enum status cmd_sinter_read(struct call *call)
{
    return read_result(call, INTERSECT);
}

enum status cmd_sunion_read(struct call *call)
{
    return read_result(call, UNITE);
}

enum status cmd_sdiff_read(struct call *call)
{
    return read_result(call, SUBTRACT);
}

/* NULL or an error: SINTERCARD numkeys key ... [LIMIT limit]. */
static const char *parse_card(struct args args, size_t *key_count, uint64_t *limit)
{
    int64_t count = 0;
    int64_t most = 0;
    if (!number_parse_i64(args.argv[1], &count) || count < 1) {
        return "ERR numkeys should be greater than 0";
    }
    if ((uint64_t)count > args.argc - 2) {
        return "ERR Number of keys can't be greater than number of args";
    }
    for (size_t i = 2 + (size_t)count; i < args.argc; i += 2) {
        if (!command_word(args.argv[i], "limit") || i + 1 == args.argc) {
            return ERR_SYNTAX;
        }
        if (!number_parse_i64(args.argv[i + 1], &most) || most < 0) {
            return "ERR LIMIT can't be negative";
        }
    }
    *key_count = (size_t)count;
    *limit = (uint64_t)most;
    return NULL;
}

enum status cmd_sintercard_read(struct call *call)
{
    struct algebra algebra = {.call = call, .operation = INTERSECT};
    uint64_t limit = 0;
    const char *error = parse_card(call->args, &algebra.keys.argc, &limit);
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    algebra.keys.argv = call->args.argv + 2;
    enum status status = compute(&algebra, limit);
    if (status == STATUS_OK) {
        resp_write_int(call->reply, (int64_t)algebra.result.count);
    }
    return status;
}

/* Planned as they came: destination, sets. */
static enum status plan_store(const struct machine_plan_input *input, struct plan *plan)
{
    size_t count = input->args.argc - 1;
    planned_begin(plan, input->command->id, input->db, count, count);
    for (size_t i = 1; i <= count; i++) {
        planned_bytes(plan, input->args.argv[i]);
    }
    return STATUS_OK;
}

static enum status store_result(struct call *call, enum operation operation, const char *event)
{
    struct args args = call->args;
    if (args.argc < 2 || call->key_count != args.argc) {
        return STATUS_CORRUPT;
    }
    struct algebra algebra = {.call = call,
                              .operation = operation,
                              .keys = {.argv = args.argv + 1, .argc = args.argc - 1}};
    struct collection set;
    bool existed = false;
    enum status status = compute(&algebra, 0);
    if (status == STATUS_OK) {
        status = collection_overwrite(call, args.argv[0], KEYSPACE_SET, &set, &existed);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct reader in = reader_of(buf_slice(algebra.result.members));
    while (in.rest.len > 0 && status == STATUS_OK) {
        status = collection_add(&set, reader_bytes(&in, UINT32_MAX), slice_of(NULL, 0));
    }
    collection_close(&set);
    resp_write_int(call->reply, (int64_t)algebra.result.count);
    if (algebra.result.count > 0) {
        event_note(call, EVENT_SET, event, args.argv[0]);
    } else if (existed) {
        event_note(call, EVENT_GENERIC, "del", args.argv[0]);
    }
    return status;
}

enum status cmd_sinterstore_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_store(input, plan);
}

enum status cmd_sinterstore_apply(struct call *call)
{
    return store_result(call, INTERSECT, "sinterstore");
}

enum status cmd_sunionstore_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_store(input, plan);
}

enum status cmd_sunionstore_apply(struct call *call)
{
    return store_result(call, UNITE, "sunionstore");
}

enum status cmd_sdiffstore_plan(const struct machine_plan_input *input, struct plan *plan)
{
    return plan_store(input, plan);
}

enum status cmd_sdiffstore_apply(struct call *call)
{
    return store_result(call, SUBTRACT, "sdiffstore");
}
