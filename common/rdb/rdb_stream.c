/* Streams in dumps: radix tree nodes with listpacks of entries, then groups. Source: Redis 7.0
 * rdb.c, rdbLoadObject(), and t_stream.c, streamAppendItem() and streamIteratorGetID(). */

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "common/rdb/compact.h"
#include "common/rdb/rdb_private.h"

enum {
    ENTRY_DELETED = 1,
    ENTRY_SAME_FIELDS = 2, /* As the first entry of the node has. */
    ID_SIZE = RDB_VALUE_ID_SIZE,
    PENDING_SIZE = ID_SIZE + 8 + 8 + 1, /* id | u64 time | u64 deliveries | u8 has a consumer */
    PENDING_OWNED = PENDING_SIZE - 1,
};

struct id {
    uint64_t ms;
    uint64_t seq;
};

/* A node being read. */
struct node {
    struct rdb_build *build;
    struct compact pack;
    struct id master;   /* Ids of entries are told from this one. */
    struct id *last;    /* Of the entry before. */
    struct buf *fields; /* Of the first entry: u32 length, bytes. */
    uint64_t field_count;
};

static bool after(struct id a, struct id b)
{
    return a.ms != b.ms ? a.ms > b.ms : a.seq > b.seq;
}

static struct id id_of(const uint8_t *bytes)
{
    struct reader in = reader_of(slice_of(bytes, ID_SIZE));
    struct id id;
    id.ms = reader_u64_be(&in);
    id.seq = reader_u64_be(&in);
    return id;
}

static struct id take_id(struct rdb_source *in)
{
    struct id id;
    id.ms = rdb_source_length(in);
    id.seq = rdb_source_length(in);
    return id;
}

static void put_id(struct rdb_build *build, struct id id)
{
    rdb_private_u64(build, __builtin_bswap64(id.ms));
    rdb_private_u64(build, __builtin_bswap64(id.seq));
}

static void patch_id(struct rdb_build *build, size_t offset, struct id id)
{
    rdb_private_patch(build, offset, __builtin_bswap64(id.ms));
    rdb_private_patch(build, offset + sizeof(uint64_t), __builtin_bswap64(id.seq));
}

static bool good(const struct node *node)
{
    return !node->pack.corrupt && node->build->in->status == STATUS_OK;
}

static void fail(struct node *node)
{
    rdb_source_fail(node->build->in, STATUS_CORRUPT);
}

/* The next number, which is none below zero. */
static uint64_t take_count(struct node *node)
{
    int64_t count = compact_next_number(&node->pack);
    if (count < 0) {
        fail(node);
    }
    return count < 0 ? 0 : (uint64_t)count;
}

static void take_fields(struct node *node)
{
    struct slice text;
    node->field_count = take_count(node);
    for (uint64_t i = 0; i < node->field_count && good(node); i++) {
        if (compact_next(&node->pack, &text)) {
            buf_append_bytes(node->fields, text);
        } else {
            fail(node);
        }
    }
    if (compact_next_number(&node->pack) != 0) {
        fail(node);
    }
}

/* The strings of an entry; nothing is put of one that is deleted. */
static void take_strings(struct node *node, uint64_t flags)
{
    bool same = (flags & ENTRY_SAME_FIELDS) != 0;
    bool live = (flags & ENTRY_DELETED) == 0;
    struct reader fields = reader_of(buf_slice(node->fields));
    uint64_t pairs = same ? node->field_count : take_count(node);
    if (pairs == 0 || pairs > UINT32_MAX / 2) {
        fail(node);
    }
    if (live && rdb_private_room(node->build, sizeof(uint32_t))) {
        buf_append_u32(node->build->out, (uint32_t)(2 * pairs));
    }
    for (uint64_t i = 0; i < 2 * pairs && good(node); i++) {
        struct slice text;
        if (same && i % 2 == 0) {
            text = reader_bytes(&fields, UINT32_MAX);
        } else if (!compact_next(&node->pack, &text)) {
            fail(node);
            return;
        }
        if (live) {
            rdb_private_bytes(node->build, text);
        }
    }
    (void)take_count(node); /* How many elements that were, for who reads backwards. */
}

/* Returns true if the entry is not deleted. */
static bool take_entry(struct node *node)
{
    uint64_t flags = take_count(node);
    struct id id = node->master;
    id.ms += (uint64_t)compact_next_number(&node->pack);
    id.seq += (uint64_t)compact_next_number(&node->pack);
    bool live = (flags & ENTRY_DELETED) == 0;
    if (live && good(node) && !after(id, *node->last)) {
        fail(node);
    }
    if (live) {
        *node->last = id;
        put_id(node->build, id);
    }
    take_strings(node, flags);
    return live;
}

/* Returns the number of entries. */
static uint64_t take_node(struct node *node, struct slice bytes)
{
    node->pack = compact_of(COMPACT_LISTPACK, bytes);
    buf_clear(node->fields);
    uint64_t count = take_count(node);
    uint64_t deleted = take_count(node);
    uint64_t live = 0;
    take_fields(node);
    for (uint64_t i = 0; i < count + deleted && good(node); i++) {
        live += take_entry(node) ? 1 : 0;
    }
    struct slice text;
    if (!good(node) || compact_next(&node->pack, &text) || live != count) {
        fail(node);
    }
    return live;
}

static uint64_t take_nodes(struct rdb_build *build, struct id *last)
{
    struct rdb_source *in = build->in;
    struct buf fields;
    buf_init(&fields, SIZE_MAX / 2); /* At most what the listpack has. */
    struct node node = {.build = build, .last = last, .fields = &fields};
    uint64_t count = 0;
    uint64_t nodes = rdb_source_length(in);
    for (uint64_t i = 0; i < nodes && rdb_source_good(in); i++) {
        struct slice key = rdb_source_string(in);
        if (key.len != ID_SIZE) {
            rdb_source_fail(in, STATUS_CORRUPT);
            break;
        }
        node.master = id_of(key.data);
        struct slice bytes = rdb_source_string(in);
        if (rdb_source_good(in)) {
            count += take_node(&node, bytes);
        }
    }
    /* An entry that was added with id 0-0 there cannot be. */
    bool length = rdb_source_length(in) > 0;
    if (rdb_source_good(in) && length && nodes == 0) {
        rdb_source_fail(in, STATUS_CORRUPT);
    }
    buf_deinit(&fields);
    return count;
}

/* All that is pending in a group, in order; to whom it belongs is told later. */
static void take_pending(struct rdb_source *in, struct buf *pending)
{
    uint64_t count = rdb_source_length(in);
    struct id last = {0};
    for (uint64_t i = 0; i < count && rdb_source_good(in); i++) {
        struct slice id = rdb_source_raw(in, ID_SIZE);
        uint64_t time = rdb_source_u64(in);
        uint64_t deliveries = rdb_source_length(in);
        if (!rdb_source_good(in)) {
            return;
        }
        if (i > 0 && !after(id_of(id.data), last)) {
            rdb_source_fail(in, STATUS_CORRUPT);
        }
        last = id_of(id.data);
        buf_append_slice(pending, id);
        buf_append_u64(pending, time);
        buf_append_u64(pending, deliveries);
        buf_append_u8(pending, 0);
    }
}

/* NULL: it is not pending, or belongs to another consumer. */
static uint8_t *find_pending(struct buf *pending, const uint8_t *id)
{
    size_t low = 0;
    size_t high = pending->len / PENDING_SIZE;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint8_t *row = pending->data + middle * PENDING_SIZE;
        int order = memcmp(row, id, ID_SIZE);
        if (order == 0) {
            return row[PENDING_OWNED] == 0 ? row : NULL;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

/* Returns how much is pending for it. */
static uint64_t take_consumer(struct rdb_build *build, uint8_t type, struct buf *pending)
{
    struct rdb_source *in = build->in;
    rdb_private_u64(build, rdb_source_u64(in));
    if (type == RDB_TYPE_STREAM_LISTPACKS_3) {
        (void)rdb_source_u64(in); /* When it was active last. */
    }
    uint64_t count = rdb_source_length(in);
    rdb_private_u64(build, count);
    for (uint64_t i = 0; i < count && rdb_source_good(in); i++) {
        struct slice id = rdb_source_raw(in, ID_SIZE);
        uint8_t *row = id.len == 0 ? NULL : find_pending(pending, id.data);
        if (row == NULL) {
            rdb_source_fail(in, STATUS_CORRUPT);
            break;
        }
        row[PENDING_OWNED] = 1;
        rdb_private_raw(build, slice_of(row, PENDING_OWNED));
    }
    return count;
}

/* Strings that have to differ are kept aside. */
static void take_name(struct rdb_build *build, struct buf *names)
{
    struct slice name = rdb_source_string(build->in);
    rdb_private_bytes(build, name);
    if (rdb_source_good(build->in)) {
        buf_append_bytes(names, name);
    }
}

static void take_consumers(struct rdb_build *build, uint8_t type, struct buf *pending)
{
    struct rdb_source *in = build->in;
    struct buf names;
    buf_init(&names, SIZE_MAX / 2);
    uint64_t count = rdb_source_length(in);
    uint64_t owned = 0;
    rdb_private_u64(build, count);
    for (uint64_t i = 0; i < count && rdb_source_good(in); i++) {
        take_name(build, &names);
        owned += take_consumer(build, type, pending);
    }
    if (owned != pending->len / PENDING_SIZE) {
        rdb_source_fail(in, STATUS_CORRUPT);
    }
    rdb_private_unique(build,
                       (struct rdb_texts){.bytes = buf_slice(&names), .step = 1, .count = count});
    buf_deinit(&names);
}

static void take_group(struct rdb_build *build, uint8_t type, struct buf *names)
{
    struct rdb_source *in = build->in;
    take_name(build, names);
    put_id(build, take_id(in));
    uint64_t read = RDB_VALUE_READ_ESTIMATED;
    if (type != RDB_TYPE_STREAM_LISTPACKS) {
        read = rdb_source_length(in);
        read = read > INT64_MAX ? UINT64_MAX : read;
    }
    rdb_private_u64(build, read);
    struct buf pending;
    buf_init(&pending, SIZE_MAX / 2); /* Not much more than what is read. */
    take_pending(in, &pending);
    take_consumers(build, type, &pending);
    buf_deinit(&pending);
}

static void take_groups(struct rdb_build *build, uint8_t type)
{
    struct rdb_source *in = build->in;
    struct buf names;
    buf_init(&names, SIZE_MAX / 2);
    uint64_t count = rdb_source_length(in);
    rdb_private_u64(build, count);
    for (uint64_t i = 0; i < count && rdb_source_good(in); i++) {
        take_group(build, type, &names);
    }
    rdb_private_unique(build,
                       (struct rdb_texts){.bytes = buf_slice(&names), .step = 1, .count = count});
    buf_deinit(&names);
}

uint64_t rdb_private_stream(struct rdb_build *build, uint8_t type)
{
    enum { AT_ADDED = 0, AT_LAST = 8, AT_DELETED = AT_LAST + ID_SIZE };
    struct rdb_source *in = build->in;
    const struct id none = {0};
    size_t start = build->out->len;
    rdb_private_u64(build, 0);
    put_id(build, none);
    put_id(build, none);
    size_t at_count = build->out->len;
    rdb_private_u64(build, 0);
    struct id newest = none;
    uint64_t count = take_nodes(build, &newest);
    struct id last = take_id(in);
    struct id deleted = none;
    uint64_t added = count;
    if (type != RDB_TYPE_STREAM_LISTPACKS) {
        (void)take_id(in); /* The first entry. */
        deleted = take_id(in);
        added = rdb_source_length(in);
    }
    if (rdb_source_good(in) && after(newest, last)) {
        rdb_source_fail(in, STATUS_CORRUPT);
    }
    rdb_private_patch(build, start + AT_ADDED, added);
    patch_id(build, start + AT_LAST, last);
    patch_id(build, start + AT_DELETED, deleted);
    rdb_private_patch(build, at_count, count);
    take_groups(build, type);
    return count;
}

static void skip_group(struct rdb_source *in, uint8_t type)
{
    rdb_source_skip_string(in);
    (void)take_id(in);
    if (type != RDB_TYPE_STREAM_LISTPACKS) {
        (void)rdb_source_length(in);
    }
    uint64_t pending = rdb_source_length(in);
    for (uint64_t i = 0; i < pending && rdb_source_good(in); i++) {
        (void)rdb_source_raw(in, ID_SIZE + 8);
        (void)rdb_source_length(in);
    }
    uint64_t consumers = rdb_source_length(in);
    for (uint64_t i = 0; i < consumers && rdb_source_good(in); i++) {
        rdb_source_skip_string(in);
        (void)rdb_source_raw(in, type == RDB_TYPE_STREAM_LISTPACKS_3 ? 16 : 8);
        uint64_t owned = rdb_source_length(in);
        for (uint64_t n = 0; n < owned && rdb_source_good(in); n++) {
            (void)rdb_source_raw(in, ID_SIZE);
        }
    }
}

void rdb_private_skip_stream(struct rdb_source *in, uint8_t type)
{
    uint64_t nodes = rdb_source_length(in);
    for (uint64_t i = 0; i < nodes && rdb_source_good(in); i++) {
        rdb_source_skip_string(in);
        rdb_source_skip_string(in);
    }
    (void)rdb_source_length(in);
    (void)take_id(in);
    if (type != RDB_TYPE_STREAM_LISTPACKS) {
        (void)take_id(in);
        (void)take_id(in);
        (void)rdb_source_length(in);
    }
    uint64_t groups = rdb_source_length(in);
    for (uint64_t i = 0; i < groups && rdb_source_good(in); i++) {
        skip_group(in, type);
    }
}
