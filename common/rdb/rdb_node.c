#include "common/rdb/rdb_node.h"

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "common/rdb/listpack.h"
#include "common/rdb/rdb_sink.h"

enum {
    COUNT_MAX = 100,  /* stream-node-max-entries */
    SIZE_FULL = 4096, /* stream-node-max-bytes */
    SAME_FIELDS = 2,
    ID_SIZE = 16,
};

void rdb_node_init(struct rdb_node *node, size_t size_max)
{
    *node = (struct rdb_node){0};
    buf_init(&node->fields, size_max);
    buf_init(&node->entries, size_max);
    buf_init(&node->pack, size_max);
}

void rdb_node_deinit(struct rdb_node *node)
{
    buf_deinit(&node->fields);
    buf_deinit(&node->entries);
    buf_deinit(&node->pack);
}

bool rdb_node_full(const struct rdb_node *node)
{
    return node->count >= COUNT_MAX || node->entries.len >= SIZE_FULL;
}

/* Takes every other string, the first or the second of each pair. */
static bool next_pair(struct reader *in, struct slice *field, struct slice *value)
{
    *field = reader_bytes(in, UINT32_MAX);
    *value = reader_bytes(in, UINT32_MAX);
    return !in->failed;
}

static void keep_fields(struct rdb_node *node, struct slice strings)
{
    struct reader in = reader_of(strings);
    struct slice field;
    struct slice value;
    buf_clear(&node->fields);
    node->field_count = 0;
    while (in.rest.len > 0 && next_pair(&in, &field, &value)) {
        buf_append_bytes(&node->fields, field);
        node->field_count++;
    }
}

/* How many pairs there are, 0 if they are malformed; *same as in the first entry. */
static uint64_t look(const struct rdb_node *node, struct slice strings, bool *same)
{
    struct reader in = reader_of(strings);
    struct reader fields = reader_of(buf_slice(&node->fields));
    struct slice field;
    struct slice value;
    uint64_t pairs = 0;
    *same = true;
    while (in.rest.len > 0 && next_pair(&in, &field, &value)) {
        *same = *same && slice_equal(field, reader_bytes(&fields, UINT32_MAX)) && !fields.failed;
        pairs++;
    }
    *same = *same && reader_done(&fields);
    return in.failed ? 0 : pairs;
}

static void put_number(struct rdb_node *node, uint64_t value)
{
    listpack_put_number(&node->entries, (int64_t)value);
    node->elements++;
}

static void put_text(struct rdb_node *node, struct slice text)
{
    listpack_put(&node->entries, text);
    node->elements++;
}

bool rdb_node_add(struct rdb_node *node, uint64_t ms, uint64_t seq, struct slice strings)
{
    bool same = false;
    if (node->count == 0) {
        node->ms = ms;
        node->seq = seq;
        keep_fields(node, strings);
    }
    uint64_t pairs = look(node, strings, &same);
    if (pairs == 0) {
        return false;
    }
    put_number(node, same ? SAME_FIELDS : 0);
    put_number(node, ms - node->ms);
    put_number(node, seq - node->seq);
    if (!same) {
        put_number(node, pairs);
    }
    struct reader in = reader_of(strings);
    struct slice field;
    struct slice value;
    while (in.rest.len > 0 && next_pair(&in, &field, &value)) {
        if (!same) {
            put_text(node, field);
        }
        put_text(node, value);
    }
    put_number(node, same ? pairs + 3 : 2 * pairs + 4);
    node->count++;
    return true;
}

void rdb_node_put(struct rdb_node *node, struct buf *out)
{
    assert(node->count > 0);
    struct buf *pack = &node->pack;
    buf_clear(pack);
    size_t start = listpack_begin(pack);
    listpack_put_number(pack, (int64_t)node->count);
    listpack_put_number(pack, 0); /* Deleted entries. */
    listpack_put_number(pack, (int64_t)node->field_count);
    struct reader fields = reader_of(buf_slice(&node->fields));
    while (fields.rest.len > 0) {
        listpack_put(pack, reader_bytes(&fields, UINT32_MAX));
    }
    listpack_put_number(pack, 0);
    buf_append_slice(pack, buf_slice(&node->entries));
    listpack_end(pack, start, 4 + node->field_count + node->elements);
    rdb_sink_length(out, ID_SIZE);
    buf_append_u64_be(out, node->ms);
    buf_append_u64_be(out, node->seq);
    rdb_sink_string(out, buf_slice(pack));
    buf_clear(&node->entries);
    node->count = 0;
    node->elements = 0;
}
