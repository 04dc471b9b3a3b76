#include "router/usage.h"

#include "common/base/assert.h"
#include "common/cluster/token.h"
#include "common/proto/resp.h"

enum { COLUMN_DB = 1, COLUMN_KEYS, COLUMN_EXPIRES, COLUMN_BYTES, COLUMN_OPS, COLUMNS };

/* Takes a value off the front: its type is `type`. */
static bool take(struct slice *rest, uint8_t type, int64_t *number)
{
    struct resp_value value;
    if (resp_value_read(*rest, &value) != STATUS_OK || value.type != type || value.null ||
        value.number < 0) {
        return false;
    }
    *number = value.number;
    *rest = slice_of(rest->data + value.size_used, rest->len - value.size_used);
    return true;
}

static bool add_row(struct slice *rest, struct usage *usage)
{
    int64_t count = 0;
    int64_t columns[COLUMNS];
    if (!take(rest, '*', &count) || count != COLUMNS) {
        return false;
    }
    for (size_t i = 0; i < COLUMNS; i++) {
        if (!take(rest, ':', &columns[i])) {
            return false;
        }
    }
    if (columns[COLUMN_DB] >= USAGE_DATABASES) {
        return false;
    }
    struct usage_database *database = &usage->databases[columns[COLUMN_DB]];
    database->keys += (uint64_t)columns[COLUMN_KEYS];
    database->expires += (uint64_t)columns[COLUMN_EXPIRES];
    database->bytes += (uint64_t)columns[COLUMN_BYTES];
    database->ops_per_second += (uint64_t)columns[COLUMN_OPS];
    return true;
}

bool usage_read(struct slice reply, struct usage *usage)
{
    struct usage sum = {0};
    int64_t count = 0;
    if (!take(&reply, '*', &count)) {
        return false;
    }
    for (int64_t i = 0; i < count; i++) {
        if (!add_row(&reply, &sum)) {
            return false;
        }
    }
    if (reply.len > 0) {
        return false;
    }
    *usage = sum;
    return true;
}

static void field(struct buf *out, const char *name, uint64_t value)
{
    resp_write_text(out, name);
    resp_write_int(out, (int64_t)value);
}

static void write_place(uint8_t db, const struct cluster_view *view, struct buf *out)
{
    const struct shard_desc *shard =
        db == 0 ? NULL : shard_map_find(view->map, token_of(db, slice_of(NULL, 0)));
    struct leader_hint hint = {0};
    bool led = shard != NULL && view->leader(view->ctx, shard->id, &hint);
    const struct node_desc *node = led ? shard_map_node(view->map, hint.node) : NULL;
    resp_write_text(out, "colocated");
    resp_write_bool(out, db != 0);
    field(out, "shards", db == 0 ? view->map->shard_count : 1);
    field(out, "shard", shard == NULL ? 0 : shard->id);
    field(out, "leader", led ? hint.node : 0);
    resp_write_text(out, "leader_address");
    resp_write_text(out, node == NULL ? "" : node->address);
}

void usage_write(const struct usage *usage, const struct cluster_view *view, struct buf *out)
{
    assert(view->leader != NULL);
    resp_write_array(out, USAGE_DATABASES);
    for (unsigned db = 0; db < USAGE_DATABASES; db++) {
        const struct usage_database *database = &usage->databases[db];
        resp_write_map(out, 10);
        field(out, "db", db);
        field(out, "keys", database->keys);
        field(out, "expires", database->expires);
        field(out, "bytes", database->bytes);
        field(out, "ops_per_second", database->ops_per_second);
        write_place((uint8_t)db, view, out);
    }
}
