#ifndef SERVER_CONTROL_META_ROWS_H
#define SERVER_CONTROL_META_ROWS_H

#include "common/cluster/shard_map.h"
#include "server/store/store.h"

/* The rows of the meta group in the store and their meaning (layout: meta_machine.h). Thread: one
 * owner. */

struct meta_cluster {
    uint8_t cluster[16];
    uint64_t version; /* Of the map. */
    uint64_t next_node;
    uint64_t next_shard;
    uint64_t next_replica;
    unsigned replicas;
    unsigned shards;
};

/* Everything that the rows say. */
struct meta_rows {
    bool exists; /* False before META.INIT: all else is zero. */
    struct meta_cluster cluster;
    struct shard_map map;
    uint64_t *disks; /* Disk ids, parallel to map.nodes. */
};

/* Fills *rows, which the caller deinits whatever the status. AGAIN, IO, CORRUPT. */
MUST_USE enum status meta_rows_load(struct txn *txn, struct meta_rows *rows);
void meta_rows_deinit(struct meta_rows *rows);

/* Only the cluster row. NOT_FOUND before META.INIT. */
MUST_USE enum status meta_rows_get_cluster(struct txn *txn, struct meta_cluster *cluster);

void meta_rows_put_cluster(struct txn *txn, const struct meta_cluster *cluster);
void meta_rows_put_node(struct txn *txn, const struct node_desc *node, uint64_t disk);
void meta_rows_put_shard(struct txn *txn, const struct shard_desc *shard);

/* All rows lie in from <= key < to of STORE_LOCAL. */
void meta_rows_range(struct buf *from, struct buf *to);

#endif
