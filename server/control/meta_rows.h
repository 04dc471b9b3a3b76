#ifndef SERVER_CONTROL_META_ROWS_H
#define SERVER_CONTROL_META_ROWS_H

#include "common/cluster/cluster_job.h"
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
    uint64_t next_job;
    uint64_t next_event;
    uint8_t balancer; /* enum balancer_mode */
};

/* What the cluster does about its load by itself. */
enum balancer_mode { BALANCER_ON, BALANCER_ADVISE, BALANCER_OFF, BALANCER_MODES };

/* Everything that the rows say. */
struct meta_rows {
    bool exists; /* False before META.INIT: all else is zero. */
    struct meta_cluster cluster;
    struct shard_map map;
    uint64_t *disks; /* Disk ids, parallel to map.nodes. */
    struct job_list jobs;
};

/* Fills *rows, which the caller deinits whatever the status. AGAIN, IO, CORRUPT. */
MUST_USE enum status meta_rows_load(struct txn *txn, struct meta_rows *rows);
void meta_rows_deinit(struct meta_rows *rows);

/* Only the cluster row. NOT_FOUND before META.INIT. */
MUST_USE enum status meta_rows_get_cluster(struct txn *txn, struct meta_cluster *cluster);

void meta_rows_put_cluster(struct txn *txn, const struct meta_cluster *cluster);
void meta_rows_put_node(struct txn *txn, const struct node_desc *node, uint64_t disk);
void meta_rows_put_shard(struct txn *txn, const struct shard_desc *shard);

void meta_rows_put_job(struct txn *txn, const struct cluster_job *job);
void meta_rows_drop_job(struct txn *txn, uint64_t job);
void meta_rows_drop_shard(struct txn *txn, uint64_t shard);
void meta_rows_put_event(struct txn *txn, const struct job_event *event);
void meta_rows_drop_event(struct txn *txn, uint64_t number);
/* Calls visit for the newest count lines of the journal, oldest first. AGAIN, IO, CORRUPT. */
MUST_USE enum status meta_rows_events(struct txn *txn,
                                      uint64_t count,
                                      void (*visit)(void *arg, const struct job_event *event),
                                      void *arg);

/* All rows lie in from <= key < to of STORE_LOCAL. */
void meta_rows_range(struct buf *from, struct buf *to);

#endif
