#include "server/control/meta_rows.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/reader.h"

enum {
    ROW_FORMAT = 1,
    KEY_SIZE_MAX = 8 + 1 + 1 + 8,
    ROW_SIZE_MAX = 1024,
    PREFIX_SIZE = 8 + 1, /* Shard and 'M'. */
};

static void key_of(struct buf *key, uint8_t kind, uint64_t id)
{
    buf_append_u64_be(key, SHARD_META);
    buf_append_u8(key, 'M');
    buf_append_u8(key, kind);
    if (kind != 'c') {
        buf_append_u64_be(key, id);
    }
}

static void put_row(struct txn *txn, uint8_t kind, uint64_t id, const struct buf *value)
{
    struct buf key;
    buf_init(&key, KEY_SIZE_MAX);
    key_of(&key, kind, id);
    txn_put(txn, STORE_LOCAL, buf_slice(&key), buf_slice(value));
    buf_deinit(&key);
}

void meta_rows_put_cluster(struct txn *txn, const struct meta_cluster *cluster)
{
    struct buf value;
    buf_init(&value, ROW_SIZE_MAX);
    buf_append_u8(&value, ROW_FORMAT);
    buf_append(&value, cluster->cluster, sizeof(cluster->cluster));
    buf_append_u64(&value, cluster->version);
    buf_append_u64(&value, cluster->next_node);
    buf_append_u64(&value, cluster->next_shard);
    buf_append_u64(&value, cluster->next_replica);
    buf_append_u8(&value, (uint8_t)cluster->replicas);
    buf_append_u32(&value, cluster->shards);
    put_row(txn, 'c', 0, &value);
    buf_deinit(&value);
}

static bool decode_cluster(struct slice bytes, struct meta_cluster *cluster)
{
    struct reader in = reader_of(bytes);
    uint8_t format = reader_u8(&in);
    struct slice id = reader_raw(&in, sizeof(cluster->cluster));
    cluster->version = reader_u64(&in);
    cluster->next_node = reader_u64(&in);
    cluster->next_shard = reader_u64(&in);
    cluster->next_replica = reader_u64(&in);
    cluster->replicas = reader_u8(&in);
    cluster->shards = reader_u32(&in);
    if (!reader_done(&in) || format != ROW_FORMAT) {
        return false;
    }
    memcpy(cluster->cluster, id.data, id.len);
    return true;
}

enum status meta_rows_get_cluster(struct txn *txn, struct meta_cluster *cluster)
{
    struct buf key;
    struct buf value;
    buf_init(&key, KEY_SIZE_MAX);
    buf_init(&value, ROW_SIZE_MAX);
    key_of(&key, 'c', 0);
    enum status status = txn_get(txn, STORE_LOCAL, buf_slice(&key), &value);
    if (status == STATUS_OK && !decode_cluster(buf_slice(&value), cluster)) {
        status = STATUS_CORRUPT;
    }
    buf_deinit(&key);
    buf_deinit(&value);
    return status;
}

void meta_rows_put_node(struct txn *txn, const struct node_desc *node, uint64_t disk)
{
    struct buf value;
    assert(node->id != 0 && disk != 0);
    buf_init(&value, ROW_SIZE_MAX);
    buf_append_u8(&value, ROW_FORMAT);
    node_desc_encode(node, &value);
    buf_append_u64(&value, disk);
    put_row(txn, 'n', node->id, &value);
    buf_deinit(&value);
}

void meta_rows_put_shard(struct txn *txn, const struct shard_desc *shard)
{
    struct buf value;
    assert(shard->id != 0 && shard->replica_count > 0);
    buf_init(&value, ROW_SIZE_MAX);
    buf_append_u8(&value, ROW_FORMAT);
    shard_desc_encode(shard, &value);
    put_row(txn, 's', shard->id, &value);
    buf_deinit(&value);
}

void meta_rows_range(struct buf *from, struct buf *to)
{
    buf_append_u64_be(from, SHARD_META);
    buf_append_u8(from, 'M');
    buf_append_u64_be(to, SHARD_META);
    buf_append_u8(to, 'M' + 1);
}

/* Makes room for one more element. */
static void *grow(void *array, size_t count, size_t size)
{
    if ((count & (count - 1)) != 0) {
        return array; /* Grows at 0 and at powers of two only. */
    }
    size_t room = count == 0 ? 1 : count * 2;
    void *bigger = realloc(array, room * size);
    assert(bigger != NULL);
    return bigger;
}

static bool take_node(struct meta_rows *rows, uint64_t id, struct reader *in)
{
    struct shard_map *map = &rows->map;
    if (map->node_count == MAP_NODES_MAX) {
        return false;
    }
    map->nodes = grow(map->nodes, map->node_count, sizeof(*map->nodes));
    rows->disks = grow(rows->disks, map->node_count, sizeof(*rows->disks));
    struct node_desc *node = &map->nodes[map->node_count];
    if (!node_desc_decode(in, node)) {
        return false;
    }
    rows->disks[map->node_count] = reader_u64(in);
    map->node_count++;
    return reader_done(in) && node->id == id;
}

static bool take_shard(struct meta_rows *rows, uint64_t id, struct reader *in)
{
    struct shard_map *map = &rows->map;
    struct shard_desc shard;
    if (!shard_desc_decode(in, &shard) || !reader_done(in) || shard.id != id) {
        return false;
    }
    if (id == SHARD_META) {
        map->meta = shard;
        return true;
    }
    if (map->shard_count == MAP_SHARDS_MAX) {
        return false;
    }
    map->shards = grow(map->shards, map->shard_count, sizeof(*map->shards));
    map->shards[map->shard_count++] = shard;
    return true;
}

static bool take_row(struct meta_rows *rows, struct slice key, struct slice value)
{
    struct reader name = reader_of(key);
    (void)reader_raw(&name, PREFIX_SIZE);
    uint8_t kind = reader_u8(&name);
    if (kind == 'c' && reader_done(&name)) {
        rows->exists = true;
        return decode_cluster(value, &rows->cluster);
    }
    uint64_t id = reader_u64_be(&name);
    struct reader in = reader_of(value);
    if (!reader_done(&name) || reader_u8(&in) != ROW_FORMAT) {
        return false;
    }
    if (kind == 'n') {
        return take_node(rows, id, &in);
    }
    return kind == 's' && take_shard(rows, id, &in);
}

static int by_start(const void *a, const void *b)
{
    const struct shard_desc *left = a;
    const struct shard_desc *right = b;
    return left->start < right->start ? -1 : left->start > right->start;
}

static enum status read_rows(struct txn *txn, struct meta_rows *rows)
{
    struct buf from;
    struct buf to;
    buf_init(&from, KEY_SIZE_MAX);
    buf_init(&to, KEY_SIZE_MAX);
    meta_rows_range(&from, &to);
    struct store_iter *iter = iter_open(txn, STORE_LOCAL, buf_slice(&from), buf_slice(&to));
    bool good = true;
    for (; good && iter_valid(iter); iter_next(iter)) {
        struct slice key = iter_key(iter);
        struct slice value = iter_value(iter);
        good = take_row(rows, key, value);
    }
    enum status status = good ? iter_status(iter) : STATUS_CORRUPT;
    iter_close(iter);
    buf_deinit(&from);
    buf_deinit(&to);
    return status;
}

enum status meta_rows_load(struct txn *txn, struct meta_rows *rows)
{
    *rows = (struct meta_rows){0};
    enum status status = read_rows(txn, rows);
    if (status != STATUS_OK) {
        return status;
    }
    struct shard_map *map = &rows->map;
    if (!rows->exists) {
        return map->node_count == 0 && map->shard_count == 0 ? STATUS_OK : STATUS_CORRUPT;
    }
    if (map->shard_count > 0) {
        qsort(map->shards, map->shard_count, sizeof(*map->shards), by_start);
    }
    memcpy(map->cluster, rows->cluster.cluster, sizeof(map->cluster));
    map->version = rows->cluster.version;
    map->replicas = rows->cluster.replicas;
    map->shards_wanted = rows->cluster.shards;
    bool whole = map->meta.id == SHARD_META && map->node_count > 0;
    return whole ? shard_map_check(map) : STATUS_CORRUPT;
}

void meta_rows_deinit(struct meta_rows *rows)
{
    shard_map_deinit(&rows->map);
    free(rows->disks);
    *rows = (struct meta_rows){0};
}
