#ifndef SERVER_CONTROL_LOAD_VIEW_H
#define SERVER_CONTROL_LOAD_VIEW_H

#include "common/cluster/shard_map.h"
#include "common/proto/command.h"
#include "server/control/balancer.h"

/* What `SHERD LOAD`, `SHERD HOT` and `SHERD HEAT` answer, on the node that leads the meta group.
 * Replies in the machine's form. Pure. Any thread.
 *
 *   LOAD          {mode, waits, skew_percent, hot, splits, transfers, moves, merges,
 *                  nodes: [{node, use_percent, busiest_percent, ops, leads, replicas, bytes,
 *                  disk_free, up_s}]}
 *   HOT [count]   {shards: [{shard, node, start, last, ops, reads, writes, absent, of_node_percent,
 *                  cpu_percent, bytes, keys, advice}],
 *                  keys: [{key, db, token, shard, node, ops, of_shard_percent, writes_percent,
 *                  absent_percent, advice}]}, hottest first, count (20) of each at most
 *   HEAT [count]  {columns, row_ms, rows: [{ago_ms, ops: [of each column]}]}, newest first; a
 * column is an equal part of the ring
 *
 * mode: on, advise, off; waits: why the balancer decides nothing now, "" if nothing holds it back.
 * CPU in percent of one processor. key: of a long one the beginning. */

struct load_view {
    const struct load_table *table;
    const struct shard_map *map;
    const struct balancer *balancer; /* May be NULL. */
    enum balancer_mode mode;
    uint64_t now_ms;
};

/* False, with nothing appended: not one of these. */
bool load_view_answer(const struct load_view *view, const struct args *args, struct buf *reply);

#endif
