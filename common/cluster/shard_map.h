#ifndef COMMON_CLUSTER_SHARD_MAP_H
#define COMMON_CLUSTER_SHARD_MAP_H

#include "common/base/buf.h"
#include "common/base/status.h"

/* The cluster map: nodes, and shards by token range with their replicas. Written by the meta
 * group (shard 1 with no range), followed by nodes and routers, kept on disk by both. Who leads a
 * shard is not in it: that changes without the meta group and travels as struct leader_hint.
 *
 * Shape: node_count nodes by rising id; shard_count shards by rising start, which cover the ring
 * without gap or overlap once placed. Pure. Thread: one owner; immutable once shared. */

enum {
    SHARD_META = 1, /* Id of the meta group, whose descriptor is map->meta. */
    SHARD_FIRST = 2,
    /* Five wanted, and one more while a replica moves. */
    SHARD_REPLICAS_MAX = 6,
    NODE_ADDRESS_SIZE_MAX = 64, /* "ADDR:PORT" with its NUL. */
    NODE_ZONE_SIZE_MAX = 32,
    MAP_NODES_MAX = 4096,
    MAP_SHARDS_MAX = 1 << 17,
};

enum node_state { NODE_UP, NODE_DRAINING, NODE_GONE /* Its disk is lost; never comes back. */ };

struct node_desc {
    uint64_t id; /* From 1, never reused. */
    uint64_t incarnation;
    enum node_state state;
    char address[NODE_ADDRESS_SIZE_MAX];
    char zone[NODE_ZONE_SIZE_MAX];
};

struct replica_desc {
    uint64_t id; /* Raft server id, never reused. */
    uint64_t node;
};

struct shard_desc {
    uint64_t id;
    uint64_t start;    /* First token. */
    uint64_t last;     /* Last token, inclusive. */
    uint64_t ver;      /* Grows when the range changes. */
    uint64_t conf_ver; /* Grows when replicas[] changes. */
    /* Replicas with id <= birth_max were members when the group was created: they alone may start
     * it from the synthetic snapshot. Any other waits for InstallSnapshot. */
    uint64_t birth_max;
    /* The shard that it was split off from; 0: none, it was born by itself. Its first state is then
     * a part of that shard's, so nobody starts it but by applying the split. */
    uint64_t parent;
    unsigned replica_count;
    /* Wanted members; [0] is the preferred leader. */
    struct replica_desc replicas[SHARD_REPLICAS_MAX];
};

struct shard_map {
    uint8_t cluster[16];    /* Random, from bootstrap; all zero: no map yet. */
    uint64_t version;       /* Grows with every change. */
    unsigned replicas;      /* Wanted per shard. */
    unsigned shards_wanted; /* Initial cut, a power of two. */
    struct shard_desc meta;
    size_t node_count;
    struct node_desc *nodes;
    size_t shard_count; /* 0 until the shards are placed. */
    struct shard_desc *shards;
};

/* Who was last seen to lead a shard, and in what state its leader sees it. The higher term wins.
 * shard 0: the node is about to stop and takes no leadership any more. */
struct leader_hint {
    uint64_t shard;
    uint64_t term;
    uint64_t node; /* 0: unknown, or nobody any more. */
    /* Wanted replicas that vote, are connected to the leader and have caught up, less the voters
     * that are not wanted and still to be removed. Fewer than wanted: the shard is short. 0 also
     * from those who do not lead it. */
    uint64_t voters;
};

enum { LEADER_HINT_SIZE = 4 * 8 }; /* Encoded. */

void shard_map_init(struct shard_map *map);
void shard_map_deinit(struct shard_map *map);
void shard_map_copy(struct shard_map *to, const struct shard_map *from); /* *to is initialised. */

/* NULL before placement. */
const struct shard_desc *shard_map_find(const struct shard_map *map, uint64_t token);
/* By id, SHARD_META too; NULL if there is none. */
const struct shard_desc *shard_map_shard(const struct shard_map *map, uint64_t shard);
const struct node_desc *shard_map_node(const struct shard_map *map, uint64_t node);
/* NULL if the node has no replica of the shard. */
const struct replica_desc *shard_map_replica_on(const struct shard_desc *shard, uint64_t node);

/* It has replicas, on different nodes of the map. */
bool shard_desc_fits(const struct shard_map *map, const struct shard_desc *shard);
/* Checks order, coverage of the ring, counts, that node references exist and ids are not 0. */
MUST_USE enum status shard_map_check(const struct shard_map *map);

void shard_desc_encode(const struct shard_desc *shard, struct buf *out);
void node_desc_encode(const struct node_desc *node, struct buf *out);
struct reader;
/* False if malformed. */
bool shard_desc_decode(struct reader *in, struct shard_desc *shard);
bool node_desc_decode(struct reader *in, struct node_desc *node);

/* As it is in FRAME_LEADERS and in the reply NOT_LEADER. */
void leader_hint_encode(const struct leader_hint *hint, struct buf *out);
/* False if malformed. */
bool leader_hint_decode(struct reader *in, struct leader_hint *hint);

void shard_map_encode(const struct shard_map *map, struct buf *out);
/* On OK *map, initialised before, is replaced. CORRUPT leaves it as it was. */
MUST_USE enum status shard_map_decode(struct slice bytes, struct shard_map *map);

#endif
