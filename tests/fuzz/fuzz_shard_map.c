/* Any bytes as a cluster map: taken or refused, never more memory than the bytes justify, and what
 * is taken covers the ring and encodes back to the same bytes. */

#include "common/base/assert.h"
#include "common/cluster/shard_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ring(const struct shard_map *map)
{
    const uint64_t tokens[] = {0, 1, UINT64_C(1) << 63, UINT64_MAX};
    for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        const struct shard_desc *shard = shard_map_find(map, tokens[i]);
        assert((shard != NULL) == (map->shard_count > 0));
        assert(shard == NULL || (shard->start <= tokens[i] && tokens[i] <= shard->last));
    }
    for (size_t i = 0; i < map->shard_count && i < 64; i++) {
        const struct shard_desc *shard = &map->shards[i];
        assert(shard_map_find(map, shard->start) == shard);
        assert(shard_map_find(map, shard->last) == shard);
        for (unsigned j = 0; j < shard->replica_count; j++) {
            assert(shard_map_node(map, shard->replicas[j].node) != NULL);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shard_map map;
    shard_map_init(&map);
    if (shard_map_decode(slice_of(data, size), &map) == STATUS_OK) {
        struct buf again;
        buf_init(&again, size + 1);
        shard_map_encode(&map, &again);
        assert(slice_equal(buf_slice(&again), slice_of(data, size)));
        buf_deinit(&again);
        check_ring(&map);
    } else {
        assert(map.nodes == NULL && map.shards == NULL);
    }
    shard_map_deinit(&map);
    return 0;
}
