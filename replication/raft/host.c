#include "replication/host.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "replication/raft/early.h"
#include "replication/raft/group_private.h"
#include "replication/raft/group_turn.h"
#include "replication/raft/inbox.h"
#include "replication/raft/instance.h"
#include "replication/raft/lane.h"
#include "replication/raft/quiesce.h"
#include "replication/raft/read_index.h"
#include "replication/raft/replica_read.h"

/* Orphans of a lost node stand spread over this much per group, so that a node with many groups
 * causes no storm. */
enum {
    HOST_SPREAD_US_PER_GROUP = 100,
    HOST_SPREAD_MS_MAX = 400,
    HOST_SCRATCH_SIZE_MAX = 256 << 20,
    HOST_SCRATCH_SIZE_KEPT = 4 << 20,
};

struct host *host_new(const struct host_options *options,
                      const struct host_env *env,
                      struct wal *wal,
                      struct wal_port *port)
{
    struct host *host = calloc(1, sizeof *host);
    assert(host != NULL);
    assert(options->node > 0 && options->loop < MESSAGE_LOOPS_MAX);
    assert(options->heartbeat_ms > 0 && options->heartbeat_ms * 2 < options->election_ms);
    host->options = *options;
    host->env = *env;
    host->wal = wal;
    host->port = port;
    rand_init(&host->rand, options->seed);
    map_init(&host->groups);
    map_init(&host->peers);
    list_init(&host->awake);
    list_init(&host->storing);
    list_init(&host->dirty);
    list_init(&host->asking);
    list_init(&host->replica_reads);
    early_init(&host->early);
    buf_init(&host->scratch, HOST_SCRATCH_SIZE_MAX);
    buf_init(&host->chunk, HOST_SCRATCH_SIZE_MAX);
    return host;
}

void host_free(struct host *host)
{
    assert(host->groups.count == 0);
    lane_free_peers(host);
    early_free(&host->early);
    map_deinit(&host->groups);
    buf_deinit(&host->scratch);
    buf_deinit(&host->chunk);
    free(host);
}

void guard_disable(struct host *host, unsigned mask)
{
    assert((mask & ~(unsigned)GUARD_ALL) == 0);
    host->guards_off = mask;
}

static void wake_orphans(struct host *host, struct lane *lane)
{
    uint64_t count = 0;
    for (struct list *node = lane->sleepers.next; node != &lane->sleepers; node = node->next) {
        count++;
    }
    uint64_t spread_ms = count * HOST_SPREAD_US_PER_GROUP / 1000;
    spread_ms = spread_ms > HOST_SPREAD_MS_MAX ? HOST_SPREAD_MS_MAX : spread_ms;
    if (count > 0) {
        log_info("host.wake_orphans", "node=%llu peer=%llu groups=%llu",
                 (unsigned long long)host->options.node, (unsigned long long)lane->peer->node,
                 (unsigned long long)count);
    }
    while (!list_empty(&lane->sleepers)) {
        struct group *group = list_entry(lane->sleepers.next, struct group, sleeper);
        quiesce_wake_orphan(group, spread_ms);
    }
}

/* The node's process is gone, or another one: what its groups led is led by nobody. */
static void lose_node(struct host *host, struct peer *peer)
{
    for (unsigned loop = 0; loop < peer->loops; loop++) {
        if (peer->lanes[loop] != NULL) {
            wake_orphans(host, peer->lanes[loop]);
        }
    }
}

static void change_node(struct host *host, uint64_t node)
{
    size_t at = 0;
    struct group *group;
    while ((group = map_next(&host->groups, &at)) != NULL) {
        group_turn_node_changed(group, node);
    }
}

void host_peer_changed(struct host *host, uint64_t node, bool connected)
{
    struct peer *peer = lane_peer(host, node);
    if (!connected) {
        for (unsigned loop = 0; loop < peer->loops; loop++) {
            if (peer->lanes[loop] != NULL) {
                buf_clear(&peer->lanes[loop]->out);
            }
        }
        lose_node(host, peer);
    }
    change_node(host, node);
}

/* False: a batch of an earlier life of the peer, or out of order. */
static bool admit(struct host *host, struct lane *lane, const struct message_header *header)
{
    struct peer *peer = lane->peer;
    if (header->incarnation == peer->incarnation_before && peer->incarnation_before != 0) {
        return false;
    }
    if (header->incarnation != peer->incarnation) {
        bool restarted = peer->incarnation != 0;
        peer->incarnation_before = peer->incarnation;
        peer->incarnation = header->incarnation;
        for (unsigned loop = 0; loop < peer->loops; loop++) {
            if (peer->lanes[loop] != NULL) {
                peer->lanes[loop]->seq_in = 0;
            }
        }
        if (restarted) {
            lose_node(host, peer);
            change_node(host, peer->node);
        }
    }
    if (header->seq <= lane->seq_in) {
        return false;
    }
    lane->seq_in = header->seq;
    lane->received_ms = clock_now_ms();
    return true;
}

enum status host_receive(struct host *host, uint64_t from_node, struct slice batch)
{
    struct reader in = reader_of(batch);
    struct message_header header;
    struct message message;
    if (from_node == 0 || from_node == host->options.node || !message_take_header(&in, &header)) {
        return STATUS_CORRUPT;
    }
    struct lane *lane = lane_get(lane_peer(host, from_node), header.loop);
    if (!admit(host, lane, &header)) {
        return STATUS_OK;
    }
    for (struct slice at = in.rest; message_next(&in, &message); at = in.rest) {
        struct group *group = map_get(&host->groups, message.group);
        if (group == NULL) {
            early_keep(host, lane, &message, slice_of(at.data, at.len - in.rest.len));
            continue;
        }
        lane->used = true;
        inbox_deliver(group, &message, lane);
    }
    return reader_done(&in) ? STATUS_OK : STATUS_CORRUPT;
}

static void watch_leaders(struct host *host, uint64_t now_ms)
{
    size_t at = 0;
    struct peer *peer;
    while ((peer = map_next(&host->peers, &at)) != NULL) {
        for (unsigned loop = 0; loop < peer->loops; loop++) {
            struct lane *lane = peer->lanes[loop];
            bool silent = lane != NULL && !list_empty(&lane->sleepers) &&
                          now_ms - lane->received_ms >= host->options.election_ms;
            if (silent) {
                wake_orphans(host, lane);
            }
        }
    }
}

/* Also of quiet groups. */
static void tick_replica_reads(struct host *host, uint64_t now_ms)
{
    struct list *next = NULL;
    for (struct list *at = host->replica_reads.next; at != &host->replica_reads; at = next) {
        next = at->next;
        if (!replica_read_tick(list_entry(at, struct group, replica_read.ticked), now_ms)) {
            list_remove(at);
        }
    }
}

void host_tick(struct host *host)
{
    uint64_t now_ms = clock_now_ms();
    struct list later;
    list_init(&later);
    /* A tick may take the group off the list, and others of the list with it; so they are moved
     * one by one. */
    while (!list_empty(&host->awake)) {
        struct group *group = list_entry(list_pop_front(&host->awake), struct group, awake);
        list_push_back(&later, &group->awake);
        group_turn_tick(group, now_ms);
    }
    while (!list_empty(&later)) {
        list_push_back(&host->awake, list_pop_front(&later));
    }
    tick_replica_reads(host, now_ms);
    watch_leaders(host, now_ms);
    early_tick(host, now_ms);
    lane_ping(host, now_ms);
}

static void run_durable(struct host *host)
{
    uint64_t durable = wal_port_durable(host->port);
    if (durable == host->durable) {
        return;
    }
    assert(durable > host->durable);
    host->durable = durable;
    for (struct list *at = host->storing.next; at != &host->storing; at = at->next) {
        instance_mark_dirty(list_entry(at, struct group, storing));
    }
}

void host_turn(struct host *host)
{
    run_durable(host);
    do {
        while (!list_empty(&host->dirty)) {
            group_turn(list_entry(list_pop_front(&host->dirty), struct group, dirty));
        }
        while (!list_empty(&host->asking)) {
            struct list *at = list_pop_front(&host->asking);
            struct group *group = list_entry(at, struct group, asking);
            read_index_ask(group);
            replica_read_ask(group);
        }
    } while (!list_empty(&host->dirty));
    wal_port_submit(host->port);
    lane_flush(host);
    if (host->scratch.size > HOST_SCRATCH_SIZE_KEPT) {
        buf_deinit(&host->scratch);
        buf_init(&host->scratch, HOST_SCRATCH_SIZE_MAX);
    }
    if (host->chunk.size > HOST_SCRATCH_SIZE_KEPT) {
        buf_deinit(&host->chunk);
        buf_init(&host->chunk, HOST_SCRATCH_SIZE_MAX);
    }
}

void host_stats(const struct host *host, struct host_stats *stats)
{
    assert(host->groups.count == host->stats.groups);
    *stats = host->stats;
}
