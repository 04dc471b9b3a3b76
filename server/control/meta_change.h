#ifndef SERVER_CONTROL_META_CHANGE_H
#define SERVER_CONTROL_META_CHANGE_H

#include "server/control/meta_rows.h"

/* One command of the meta group being applied: the rows as they are, and what it makes of them. All
 * checks of a command come before its first change. Shared by meta_machine (nodes), meta_jobs and
 * meta_report. Pure but for the txn: the same on every replica. Thread: one owner. */

struct meta_change {
    struct txn *txn;
    struct meta_rows rows;
    struct buf *reply;
    uint64_t now_ms; /* Stamp of the entry, since 1970; 0 in entries that have none. */
    bool changed;    /* The map. */
    bool counted;    /* The cluster row, but not the map. */
};

/* Index of the node by id, node_count if there is none. */
size_t meta_change_node_index(const struct shard_map *map, uint64_t node);
/* The shard to be changed, the meta group's too; NULL if there is none. */
struct shard_desc *meta_change_shard(struct meta_change *change, uint64_t shard);

/* What was changed in rows goes to the store. */
void meta_change_put_node(struct meta_change *change, size_t index);
void meta_change_put_shard(struct meta_change *change, const struct shard_desc *shard);
void meta_change_put_job(struct meta_change *change, const struct cluster_job *job);
/* Appends a line to the journal. Texts are cut. job may be 0, texts NULL. */
void meta_change_note(struct meta_change *change,
                      uint64_t job,
                      const char *what,
                      const char *why,
                      const char *effect);

/* At the end: the meta group grows, shards are placed, the version rises if the map was changed. */
void meta_change_settle(struct meta_change *change);

#endif
