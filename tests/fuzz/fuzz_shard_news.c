/* Any bytes as news of shards: read or refused, and whatever is read leaves a map that covers the
 * ring and in which nothing is older than it was. */

#include "common/base/assert.h"
#include "common/cluster/shard_map_take.h"
#include "common/cluster/shard_news.h"

enum { NODES = 3, SHARDS = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void make(struct shard_map *map, struct node_desc *nodes, struct shard_desc *shards)
{
    shard_map_init(map);
    for (uint64_t i = 0; i < NODES; i++) {
        nodes[i] = (struct node_desc){.id = 1 + i};
    }
    for (uint64_t i = 0; i < SHARDS; i++) {
        shards[i] = (struct shard_desc){.id = SHARD_FIRST + i, .start = i << 62, .ver = 2};
        shards[i].last = shards[i].start + ((UINT64_C(1) << 62) - 1);
        shards[i].conf_ver = 2;
        shards[i].replica_count = 1;
        shards[i].replicas[0] = (struct replica_desc){.id = 9, .node = 1 + i % NODES};
    }
    struct shard_map borrowed = {
        .node_count = NODES, .nodes = nodes, .shard_count = SHARDS, .shards = shards};
    shard_map_copy(map, &borrowed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct shard_news news;
    struct node_desc nodes[NODES];
    struct shard_desc shards[SHARDS];
    struct shard_map map;
    if (!shard_news_decode(slice_of(data, size), &news)) {
        assert(news.count == 0);
        return 0;
    }
    make(&map, nodes, shards);
    bool changed = shard_map_take(&map, news.descs, news.count);
    assert(shard_map_check(&map) == STATUS_OK);
    assert(map.shard_count <= SHARDS + news.count);
    for (size_t i = 0; i < SHARDS; i++) {
        assert(shard_map_find(&map, shards[i].start)->ver >= shards[i].ver);
        assert(shard_map_find(&map, shards[i].last)->ver >= shards[i].ver);
    }
    assert(!shard_map_take(&map, shards, SHARDS));
    assert(changed || map.shard_count == SHARDS);
    shard_map_deinit(&map);
    return 0;
}
