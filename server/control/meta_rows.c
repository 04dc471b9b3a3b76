#include "server/control/meta_rows.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/reader.h"

enum {
    ROW_FORMAT = 1,
    ROW_FORMAT_JOBS = 2, /* Of the cluster row: with the numbers of jobs. */
    KEY_SIZE_MAX = 8 + 1 + 1 + 8,
    ROW_SIZE_MAX = 2048,
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
    bool jobs = cluster->next_job > 1 || cluster->next_event > 1 || cluster->balancer != 0;
    buf_append_u8(&value, jobs ? ROW_FORMAT_JOBS : ROW_FORMAT);
    buf_append(&value, cluster->cluster, sizeof(cluster->cluster));
    buf_append_u64(&value, cluster->version);
    buf_append_u64(&value, cluster->next_node);
    buf_append_u64(&value, cluster->next_shard);
    buf_append_u64(&value, cluster->next_replica);
    buf_append_u8(&value, (uint8_t)cluster->replicas);
    buf_append_u32(&value, cluster->shards);
    if (jobs) {
        buf_append_u64(&value, cluster->next_job);
        buf_append_u64(&value, cluster->next_event);
        buf_append_u8(&value, cluster->balancer);
    }
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
    cluster->next_job = 1;
    cluster->next_event = 1;
    cluster->balancer = 0;
    if (format == ROW_FORMAT_JOBS) {
        cluster->next_job = reader_u64(&in);
        cluster->next_event = reader_u64(&in);
        cluster->balancer = reader_u8(&in);
    }
    if (!reader_done(&in) || (format != ROW_FORMAT && format != ROW_FORMAT_JOBS) ||
        cluster->balancer >= BALANCER_MODES) {
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

static void drop_row(struct txn *txn, uint8_t kind, uint64_t id)
{
    struct buf key;
    buf_init(&key, KEY_SIZE_MAX);
    key_of(&key, kind, id);
    txn_delete(txn, STORE_LOCAL, buf_slice(&key));
    buf_deinit(&key);
}

void meta_rows_drop_shard(struct txn *txn, uint64_t shard)
{
    assert(shard != SHARD_META);
    drop_row(txn, 's', shard);
}

void meta_rows_put_job(struct txn *txn, const struct cluster_job *job)
{
    struct buf value;
    buf_init(&value, ROW_SIZE_MAX);
    cluster_job_encode(job, &value);
    put_row(txn, 'j', job->id, &value);
    buf_deinit(&value);
}

void meta_rows_drop_job(struct txn *txn, uint64_t job)
{
    drop_row(txn, 'j', job);
}

void meta_rows_put_event(struct txn *txn, const struct job_event *event)
{
    struct buf value;
    buf_init(&value, ROW_SIZE_MAX);
    job_event_encode(event, &value);
    put_row(txn, 'e', event->number, &value);
    buf_deinit(&value);
}

void meta_rows_drop_event(struct txn *txn, uint64_t number)
{
    drop_row(txn, 'e', number);
}

enum status meta_rows_events(struct txn *txn,
                             uint64_t count,
                             void (*visit)(void *arg, const struct job_event *event),
                             void *arg)
{
    struct meta_cluster cluster = {0};
    struct buf from;
    struct buf to;
    enum status status = meta_rows_get_cluster(txn, &cluster);
    if (status != STATUS_OK) {
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    }
    buf_init(&from, KEY_SIZE_MAX);
    buf_init(&to, KEY_SIZE_MAX);
    key_of(&from, 'e', cluster.next_event > count ? cluster.next_event - count : 0);
    key_of(&to, 'e', UINT64_MAX);
    struct store_iter *iter = iter_open(txn, STORE_LOCAL, buf_slice(&from), buf_slice(&to));
    for (; status == STATUS_OK && iter_valid(iter); iter_next(iter)) {
        struct reader in = reader_of(iter_value(iter));
        struct job_event event;
        status = job_event_decode(&in, &event) && reader_done(&in) ? STATUS_OK : STATUS_CORRUPT;
        if (status == STATUS_OK) {
            visit(arg, &event);
        }
    }
    status = status == STATUS_OK ? iter_status(iter) : status;
    iter_close(iter);
    buf_deinit(&from);
    buf_deinit(&to);
    return status;
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

static bool take_job(struct meta_rows *rows, uint64_t id, struct slice value)
{
    struct reader in = reader_of(value);
    struct cluster_job job;
    if (!cluster_job_decode(&in, &job) || !reader_done(&in) || job.id != id) {
        return false;
    }
    job_list_add(&rows->jobs, &job);
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
    if (kind == 'e' || kind == 'j') {
        return reader_done(&name) && (kind == 'e' || take_job(rows, id, value));
    }
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
    job_list_deinit(&rows->jobs);
    *rows = (struct meta_rows){0};
}
