#ifndef REPLICATION_HOST_H
#define REPLICATION_HOST_H

#include "common/base/slice.h"
#include "common/base/status.h"
#include "replication/log/wal.h"

/* All raft groups of one loop of one node, and what they share: the port to the shared log, one
 * outgoing batch of messages per peer loop and turn, coalesced heartbeats, node liveness,
 * quiescence of idle groups, batched read-index rounds. No sockets, no threads: bytes come in by
 * host_receive(), time by clock.h and host_tick(), durability by host_turn(); bytes go out by
 * env->send(). So the simulator runs exactly this.
 *
 * Thread: the loop it belongs to. */

struct host;

struct host_env {
    void *ctx;
    /* One batch for the host of loop `loop` on `node`. The callee copies. Loss is allowed, also
     * silently; order per (node, loop) is kept and nothing is duplicated while a connection
     * lasts. */
    void (*send)(void *ctx, uint64_t node, unsigned loop, struct slice batch);
    /* How many loops the node has, 0 if it is not connected: batches for it are dropped. */
    unsigned (*loops)(void *ctx, uint64_t node);
};

struct host_options {
    uint64_t node;
    unsigned loop;
    uint64_t incarnation; /* Random per process start. */
    uint64_t seed;        /* Of all randomness in the host. */
    uint32_t election_ms; /* T: the same on every node, see host.c; the lease promise. */
    uint32_t heartbeat_ms;
    uint32_t quiesce_ms;      /* Idle time after which a group falls quiet; 0: never. */
    bool lease_reads;         /* Else every read takes a read-index round. */
    uint64_t entry_bytes_max; /* Log kept in memory per group for slow followers. */
};

enum { HOST_TICK_MS = 20 };

struct host *host_new(const struct host_options *options,
                      const struct host_env *env,
                      struct wal *wal,
                      struct wal_port *port);
/* Groups are closed before. */
void host_free(struct host *host);

/* What a peer's host gave to its env->send(). CORRUPT: malformed, nothing of the rest was looked
 * at: close the connection. */
MUST_USE enum status host_receive(struct host *host, uint64_t from_node, struct slice batch);
/* The connection to a node was lost or made; queued messages were dropped. */
void host_peer_changed(struct host *host, uint64_t node, bool connected);
/* Every HOST_TICK_MS or so. */
void host_tick(struct host *host);
/* End of a loop turn: completes what became durable, runs queued callbacks until none is left,
 * hands the log batch to the writer and the message batches to env->send(). */
void host_turn(struct host *host);

struct host_stats {
    uint64_t groups, leaders, quiesced;
    uint64_t messages_sent, batches_sent;
    uint64_t elections, lease_reads, index_rounds;
};
void host_stats(const struct host *host, struct host_stats *stats);

#endif
