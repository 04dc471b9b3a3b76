#include "common/cluster/shard_map.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/reader.h"

enum {
    MAP_FORMAT = 1,
    DESC_PARENT = 0x80, /* In the byte that counts the replicas: a parent stands behind them. */
};

void shard_map_init(struct shard_map *map)
{
    *map = (struct shard_map){0};
}

void shard_map_deinit(struct shard_map *map)
{
    free(map->nodes);
    free(map->shards);
    *map = (struct shard_map){0};
}

static void *copy_array(const void *from, size_t count, size_t size)
{
    if (count == 0) {
        return NULL;
    }
    void *to = malloc(count * size);
    assert(to != NULL);
    memcpy(to, from, count * size);
    return to;
}

void shard_map_copy(struct shard_map *to, const struct shard_map *from)
{
    assert(to != from);
    shard_map_deinit(to);
    *to = *from;
    to->nodes = copy_array(from->nodes, from->node_count, sizeof(*from->nodes));
    to->shards = copy_array(from->shards, from->shard_count, sizeof(*from->shards));
}

const struct shard_desc *shard_map_find(const struct shard_map *map, uint64_t token)
{
    size_t low = 0;
    size_t high = map->shard_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (map->shards[middle].last < token) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == map->shard_count || map->shards[low].start > token) {
        return NULL;
    }
    return &map->shards[low];
}

const struct shard_desc *shard_map_shard(const struct shard_map *map, uint64_t shard)
{
    if (shard == SHARD_META) {
        return map->meta.id == SHARD_META ? &map->meta : NULL;
    }
    for (size_t i = 0; i < map->shard_count; i++) {
        if (map->shards[i].id == shard) {
            return &map->shards[i];
        }
    }
    return NULL;
}

const struct node_desc *shard_map_node(const struct shard_map *map, uint64_t node)
{
    size_t low = 0;
    size_t high = map->node_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (map->nodes[middle].id < node) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < map->node_count && map->nodes[low].id == node ? &map->nodes[low] : NULL;
}

const struct replica_desc *shard_map_replica_on(const struct shard_desc *shard, uint64_t node)
{
    for (unsigned i = 0; i < shard->replica_count; i++) {
        if (shard->replicas[i].node == node) {
            return &shard->replicas[i];
        }
    }
    return NULL;
}

bool shard_desc_fits(const struct shard_map *map, const struct shard_desc *shard)
{
    if (shard->replica_count == 0 || shard->replica_count > SHARD_REPLICAS_MAX) {
        return false;
    }
    for (unsigned i = 0; i < shard->replica_count; i++) {
        const struct replica_desc *replica = &shard->replicas[i];
        if (replica->id == 0 || shard_map_node(map, replica->node) == NULL ||
            shard_map_replica_on(shard, replica->node) != replica) { /* Two on one node. */
            return false;
        }
    }
    return true;
}

enum status shard_map_check(const struct shard_map *map)
{
    for (size_t i = 0; i < map->node_count; i++) {
        uint64_t before = i == 0 ? 0 : map->nodes[i - 1].id;
        if (map->nodes[i].id <= before) {
            return STATUS_CORRUPT;
        }
    }
    if (map->meta.id != 0 && (map->meta.id != SHARD_META || !shard_desc_fits(map, &map->meta))) {
        return STATUS_CORRUPT;
    }
    uint64_t next = 0;
    for (size_t i = 0; i < map->shard_count; i++) {
        const struct shard_desc *shard = &map->shards[i];
        bool wrapped = i > 0 && next == 0;
        if (wrapped || shard->id < SHARD_FIRST || shard->start != next ||
            shard->last < shard->start || !shard_desc_fits(map, shard)) {
            return STATUS_CORRUPT;
        }
        next = shard->last + 1;
    }
    return next == 0 ? STATUS_OK : STATUS_CORRUPT; /* Wrapped: the ring is covered. */
}

/* u64 id | u64 start | u64 last | u64 ver | u64 conf_ver | u64 birth_max | u8 replicas, 128 more if
 * it has a parent | replicas * (u64 id, u64 node) | u64 parent if it has one. Little endian. */
void shard_desc_encode(const struct shard_desc *shard, struct buf *out)
{
    buf_append_u64(out, shard->id);
    buf_append_u64(out, shard->start);
    buf_append_u64(out, shard->last);
    buf_append_u64(out, shard->ver);
    buf_append_u64(out, shard->conf_ver);
    buf_append_u64(out, shard->birth_max);
    unsigned parent = shard->parent != 0 ? DESC_PARENT : 0;
    buf_append_u8(out, (uint8_t)(shard->replica_count | parent));
    for (unsigned i = 0; i < shard->replica_count; i++) {
        buf_append_u64(out, shard->replicas[i].id);
        buf_append_u64(out, shard->replicas[i].node);
    }
    if (shard->parent != 0) {
        buf_append_u64(out, shard->parent);
    }
}

bool shard_desc_decode(struct reader *in, struct shard_desc *shard)
{
    *shard = (struct shard_desc){0};
    shard->id = reader_u64(in);
    shard->start = reader_u64(in);
    shard->last = reader_u64(in);
    shard->ver = reader_u64(in);
    shard->conf_ver = reader_u64(in);
    shard->birth_max = reader_u64(in);
    unsigned count = reader_u8(in);
    bool parent = (count & DESC_PARENT) != 0;
    shard->replica_count = count & ~(unsigned)DESC_PARENT;
    if (shard->replica_count > SHARD_REPLICAS_MAX) {
        in->failed = true;
    }
    for (unsigned i = 0; !in->failed && i < shard->replica_count; i++) {
        shard->replicas[i].id = reader_u64(in);
        shard->replicas[i].node = reader_u64(in);
    }
    if (!in->failed && parent) {
        shard->parent = reader_u64(in);
        in->failed = in->failed || shard->parent == 0; /* Has one encoding only. */
    }
    return !in->failed;
}

void node_desc_encode(const struct node_desc *node, struct buf *out)
{
    buf_append_u64(out, node->id);
    buf_append_u64(out, node->incarnation);
    buf_append_u8(out, (uint8_t)node->state);
    buf_append_bytes(out, slice_str(node->address));
    buf_append_bytes(out, slice_str(node->zone));
}

static void take_text(struct reader *in, char *text, size_t size)
{
    struct slice bytes = reader_bytes(in, size - 1);
    if (bytes.len > 0) {
        memcpy(text, bytes.data, bytes.len);
    }
    text[bytes.len] = '\0';
    if (strlen(text) != bytes.len) {
        in->failed = true;
    }
}

bool node_desc_decode(struct reader *in, struct node_desc *node)
{
    *node = (struct node_desc){0};
    node->id = reader_u64(in);
    node->incarnation = reader_u64(in);
    uint8_t state = reader_u8(in);
    if (state > NODE_GONE) {
        in->failed = true;
    }
    node->state = (enum node_state)state;
    take_text(in, node->address, sizeof(node->address));
    take_text(in, node->zone, sizeof(node->zone));
    return !in->failed;
}

void leader_hint_encode(const struct leader_hint *hint, struct buf *out)
{
    buf_append_u64(out, hint->shard);
    buf_append_u64(out, hint->term);
    buf_append_u64(out, hint->node);
    buf_append_u64(out, hint->voters);
}

bool leader_hint_decode(struct reader *in, struct leader_hint *hint)
{
    hint->shard = reader_u64(in);
    hint->term = reader_u64(in);
    hint->node = reader_u64(in);
    hint->voters = reader_u64(in);
    return !in->failed;
}

void shard_map_encode(const struct shard_map *map, struct buf *out)
{
    buf_append_u8(out, MAP_FORMAT);
    buf_append(out, map->cluster, sizeof(map->cluster));
    buf_append_u64(out, map->version);
    buf_append_u8(out, (uint8_t)map->replicas);
    buf_append_u32(out, map->shards_wanted);
    shard_desc_encode(&map->meta, out);
    buf_append_u32(out, (uint32_t)map->node_count);
    for (size_t i = 0; i < map->node_count; i++) {
        node_desc_encode(&map->nodes[i], out);
    }
    buf_append_u32(out, (uint32_t)map->shard_count);
    for (size_t i = 0; i < map->shard_count; i++) {
        shard_desc_encode(&map->shards[i], out);
    }
}

/* Room for count elements; none if the count cannot be true. */
static void *take_array(struct reader *in, size_t *count, size_t count_max, size_t size)
{
    *count = reader_u32(in);
    if (in->failed || *count > count_max || *count > in->rest.len) {
        in->failed = true;
        *count = 0;
        return NULL;
    }
    void *array = calloc(*count + 1, size);
    assert(array != NULL);
    return array;
}

static void decode_body(struct reader *in, struct shard_map *map)
{
    if (reader_u8(in) != MAP_FORMAT) {
        in->failed = true;
        return;
    }
    struct slice cluster = reader_raw(in, sizeof(map->cluster));
    if (!in->failed) {
        memcpy(map->cluster, cluster.data, cluster.len);
    }
    map->version = reader_u64(in);
    map->replicas = reader_u8(in);
    map->shards_wanted = reader_u32(in);
    (void)shard_desc_decode(in, &map->meta);
    map->nodes = take_array(in, &map->node_count, MAP_NODES_MAX, sizeof(*map->nodes));
    for (size_t i = 0; !in->failed && i < map->node_count; i++) {
        (void)node_desc_decode(in, &map->nodes[i]);
    }
    map->shards = take_array(in, &map->shard_count, MAP_SHARDS_MAX, sizeof(*map->shards));
    for (size_t i = 0; !in->failed && i < map->shard_count; i++) {
        (void)shard_desc_decode(in, &map->shards[i]);
    }
}

enum status shard_map_decode(struct slice bytes, struct shard_map *map)
{
    struct reader in = reader_of(bytes);
    struct shard_map fresh;
    shard_map_init(&fresh);
    decode_body(&in, &fresh);
    if (!reader_done(&in) || shard_map_check(&fresh) != STATUS_OK) {
        shard_map_deinit(&fresh);
        return STATUS_CORRUPT;
    }
    shard_map_deinit(map);
    *map = fresh;
    return STATUS_OK;
}
