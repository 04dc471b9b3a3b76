#ifndef COMMON_CLUSTER_CLUSTER_VIEW_H
#define COMMON_CLUSTER_CLUSTER_VIEW_H

#include "common/cluster/shard_map.h"
#include "common/proto/command.h"

/* What the command SHERD answers, the same on node and router: the cluster as the one who is asked
 * sees it. Replies in the machine's form (resp.h). Pure. Any thread. */

struct cluster_view {
    const struct shard_map *map;
    const char *role; /* "router", "node". */
    void *ctx;
    /* Who leads the shard, as far as is known here. False: nobody is known. */
    bool (*leader)(void *ctx, uint64_t shard, struct leader_hint *hint);
    bool (*node_up)(void *ctx, uint64_t node);
};

/* Appends the reply to `SHERD subcommand ...`:
 *   STATUS            {cluster, map_version, role, nodes, nodes_up, shards, shards_led,
 *                      shards_short, replicas, meta_leader, meta_voters, meta_replicas}
 *   NODES             [{id, address, zone, state, up, leads, replicas}]
 *   SHARDS            [{id, start, last, ver, conf_ver, leader, term, voters,
 *                       replicas: ["replica@node"], parent, state}], the meta group first (start
 *                      and last "-"); parent: what it was split off from, 0: nothing; state: "ok",
 *                      "short" of voters, "no leader"
 *   EXPLAIN key [db]  {key, db, tag, token, shard, range, ver, leader, leader_address, term,
 *                      replicas: [{replica, node, address, zone, leader}]}
 *   EXPLAIN COMMAND word...
 *                     {command, db, way, reason, shards: [{shard, range, ver, conf_ver, leader,
 *                      leader_address, leader_zone, term, keys: [{key, db, token}], replicas: as
 *                      above}]}: what would become of it. way: "here" (the one who is asked answers
 *                      it), "one shard", "shares" (each shard gets its keys), "all shards", "any
 *                      shard", "refused" (reason says why)
 *   MAP               shard_map_encode() as a bulk string
 * Tokens are 16 hexadecimal digits; leader 0: nobody is known; voters: struct leader_hint;
 * shards_short: how many have fewer voters than replicas, or no leader that is up; meta_...: of the
 * meta group, its leader only if it is up, replicas are those wanted; tag: the bytes of the key
 * that are hashed. Wrong arguments give an error reply. False, with nothing appended: no such
 * subcommand. */
bool cluster_view_answer(const struct cluster_view *view,
                         const struct args *args,
                         uint8_t db,
                         struct buf *out);

/* How many shards of the map have a known leader that is up. */
size_t cluster_view_led(const struct cluster_view *view);
/* How many have fewer voters than wanted replicas, or no known leader that is up. */
size_t cluster_view_short(const struct cluster_view *view);

#endif
