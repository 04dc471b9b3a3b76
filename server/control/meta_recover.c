#include "server/control/meta_recover.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/assert.h"
#include "common/proto/resp.h"
#include "server/control/meta_jobs.h"

enum { LINE_SIZE = 160, REPLICA_BITS = 40 };

static const uint64_t generation = UINT64_C(1) << 32;

static void drop_replica(struct meta_change *change, struct shard_desc *shard, uint64_t node)
{
    unsigned at = 0;
    while (at < shard->replica_count && shard->replicas[at].node != node) {
        at++;
    }
    /* The only copy stays where it is: nothing else may take the shard's place. */
    if (at == shard->replica_count || shard->replica_count == 1) {
        return;
    }
    for (; at + 1 < shard->replica_count; at++) {
        shard->replicas[at] = shard->replicas[at + 1];
    }
    shard->replica_count--;
    shard->replicas[shard->replica_count] = (struct replica_desc){0};
    shard->conf_ver++;
    meta_change_put_shard(change, shard);
}

void meta_recover_lost(struct meta_change *change, size_t index)
{
    struct shard_map *map = &change->rows.map;
    struct node_desc *node = &map->nodes[index];
    char line[LINE_SIZE];
    assert(index < map->node_count && node->state != NODE_GONE);
    meta_jobs_drop(change, node->id, 0, "a node was lost");
    node->state = NODE_GONE;
    memset(node->address, 0, sizeof(node->address));
    meta_change_put_node(change, index);
    drop_replica(change, &map->meta, node->id);
    for (size_t i = 0; i < map->shard_count; i++) {
        drop_replica(change, &map->shards[i], node->id);
    }
    (void)snprintf(line, sizeof(line), "node %" PRIu64 " is lost", node->id);
    meta_change_note(change, 0, line, "an administrator said so",
                     "its replicas are made anew elsewhere; it cannot come back with its data");
    resp_write_ok(change->reply);
}

/* True if the replica of the node goes on already; then *fresh is its id. */
static bool done_before(const struct shard_desc *shard,
                        const struct meta_order *order,
                        uint64_t *fresh)
{
    const struct replica_desc *listed = shard_map_replica_on(shard, order->value);
    *fresh = listed == NULL ? 0 : listed->id;
    return listed != NULL && listed->id > order->parent &&
           (order->undo_of == 0 || listed->id == order->undo_of);
}

static bool is_gone(const struct shard_map *map, uint64_t node)
{
    const struct node_desc *desc = shard_map_node(map, node);
    return desc == NULL || desc->state == NODE_GONE;
}

static void renew(struct meta_change *change, struct shard_desc *shard, struct replica_desc first)
{
    struct shard_desc old = *shard;
    memset(shard->replicas, 0, sizeof(shard->replicas));
    shard->replicas[0] = first;
    shard->replica_count = 1;
    for (unsigned i = 0; i < old.replica_count; i++) {
        uint64_t node = old.replicas[i].node;
        if (node == first.node || is_gone(&change->rows.map, node) ||
            shard->replica_count == SHARD_REPLICAS_MAX) {
            continue;
        }
        struct replica_desc *replica = &shard->replicas[shard->replica_count++];
        replica->id = change->rows.cluster.next_replica++;
        replica->node = node;
    }
    shard->conf_ver++;
    meta_change_put_shard(change, shard);
}

void meta_recover_shard(struct meta_change *change, const struct meta_order *order)
{
    struct meta_cluster *cluster = &change->rows.cluster;
    struct shard_desc *shard = meta_change_shard(change, order->id);
    uint64_t fresh = 0;
    if (shard == NULL) {
        resp_write_errorf(change->reply, "GONE there is no shard %" PRIu64, order->id);
        return;
    }
    if (is_gone(&change->rows.map, order->value)) {
        resp_write_errorf(change->reply, "GONE there is no node %" PRIu64, order->value);
        return;
    }
    if (done_before(shard, order, &fresh)) {
        if (shard->replicas[0].id != fresh) {
            /* It goes on from another node: a second group would be two of it. */
            resp_write_errorf(change->reply,
                              "CONFLICT shard %" PRIu64 " goes on from node %" PRIu64, shard->id,
                              shard->replicas[0].node);
            return;
        }
        resp_write_int(change->reply, (int64_t)fresh);
        return;
    }
    bool odd = order->undo_of < cluster->next_replica || order->undo_of >> REPLICA_BITS != 0;
    if (order->undo_of != 0 && odd) {
        resp_write_errorf(change->reply,
                          "CONFLICT replica %" PRIu64 " may have been there before, or is no id",
                          order->undo_of);
        return;
    }
    meta_jobs_drop(change, 0, shard->id, "the shard lost its majority");
    fresh = order->undo_of != 0 ? order->undo_of : cluster->next_replica;
    cluster->next_replica = fresh + 1;
    renew(change, shard, (struct replica_desc){.id = fresh, .node = order->value});
    if (shard->id == SHARD_META) {
        /* Old members that come back together would go on counting where they stopped: no map of
         * theirs is ever newer than ours. */
        cluster->version += generation;
    }
    char line[LINE_SIZE];
    char effect[LINE_SIZE];
    (void)snprintf(line, sizeof(line), "recover shard %" PRIu64 " from node %" PRIu64, shard->id,
                   order->value);
    (void)snprintf(effect, sizeof(effect), "replica %" PRIu64 " goes on as %" PRIu64, order->parent,
                   fresh);
    meta_change_note(change, 0, line, order->why[0] == '\0' ? "it lost its majority" : order->why,
                     effect);
    resp_write_int(change->reply, (int64_t)fresh);
}
