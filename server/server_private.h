#ifndef SERVER_SERVER_PRIVATE_H
#define SERVER_SERVER_PRIVATE_H

#include <stdatomic.h>

#include "common/base/map.h"
#include "common/base/thread.h"
#include "common/front/session.h"
#include "common/net/http.h"
#include "common/net/pool.h"
#include "common/net/port.h"
#include "server/node.h"
#include "server/server.h"

/* What server.c, server_link.c, server_front.c and server_metrics.c share. */

enum { SERVER_LOOPS_MAX = 64 };

struct server;

/* One loop and what lives on it. */
struct lane {
    struct server *server;
    unsigned index;
    struct loop *loop;
    struct worker *worker; /* NULL until the node has an identity, and at the end. */
    bool closing;          /* The threads have ended: nothing new is taken. */
    struct port *port;
    struct thread thread;
    bool threaded;
    struct map peers;    /* agent peer or node id -> struct peer: connections made by us. */
    struct map visitors; /* number -> struct visitor: connections made to us. */
    uint64_t visitor_next;
    struct timer tick;
    struct mail wake;
    atomic_bool waking;
    atomic_size_t led;     /* While leaving: shards still to be given away. */
    uint64_t waits;        /* Commands of clients that may wait, ever: their numbers. */
    struct list followers; /* Commands whose shard was split and whose child has no leader yet. */
    uint64_t sampled_ms;
    struct worker_stats seen; /* As of the last sample. */
};

/* Of the process, as of the last sample. */
struct server_seen {
    uint64_t log_bytes, log_syncs, log_sync_ns, log_records, log_rewritten, flushes;
};

struct peer {
    struct lane *lane;
    uint64_t id;
    struct link *link;
    bool up;
    unsigned loops;
};

struct visitor {
    struct lane *lane;
    uint64_t number;
    uint64_t node;
    struct link *link;
};

struct server {
    struct config *config;
    struct metrics *metrics;
    struct front *front;
    struct pool *pool;
    struct http *http;
    struct store *store;
    struct wal *wal;
    struct lockfile *lock;
    struct identity identity;
    struct node *node;
    struct frame_hello hello;
    struct rand rand;
    struct throttle throttle; /* Of the snapshots that the node sends. */
    char *dir;
    char address[CONN_ADDRESS_SIZE];
    char advertise[NODE_ADDRESS_SIZE_MAX];
    unsigned loops;
    struct lane lanes[SERVER_LOOPS_MAX];
    struct server_seen seen;
    atomic_bool leaving; /* SIGTERM came: leadership is being given away. */
    uint64_t leave_by_ms;
    bool marked; /* Store and log of the directory were there before this start. */
    bool stopping;
    int exit_code;
};

/* server.c: to the loop's worker. */
void server_post(struct server *server, unsigned loop, struct worker_mail *mail);

/* server_transfers.c: SHERD TRANSFERS. */
void server_transfers(struct server *server, struct request *request);

/* server_link.c: connections between nodes and from routers. */
extern const struct link_handler server_visitor_handler;
void server_peer_connect(struct lane *lane, uint64_t id, const char *address);
void server_peer_disconnect(struct lane *lane, uint64_t id);
struct peer *server_peer(struct lane *lane, uint64_t id);
/* Connects the loop to every node of the map but this one, and to no other. */
void server_peer_follow(struct lane *lane, const struct shard_map *map);
void server_peer_free_all(struct lane *lane);
struct buf *server_out_node(void *ctx, uint64_t node);
struct buf *server_out_link(void *ctx, uint64_t number);
size_t server_link_pending(void *ctx, uint64_t number);
unsigned server_node_loops(void *ctx, uint64_t node);

/* server_front.c: clients that speak to the node directly. */
extern const struct front_env server_front_env;
/* At every tick: tries those again that wait for the leader of a child; ends them when the lane is
 * closing. */
void server_front_tick(struct lane *lane);

/* server_backup.c: SHERD BACKUP ..., of a lane that has a worker. */
void server_backup(struct lane *lane, struct request *request);

/* server_recover.c: SHERD REPLICA ..., the same. */
void server_recover(struct lane *lane, struct request *request);

/* server_metrics.c */
void server_metrics_sample(struct lane *lane);
enum status server_http_open(struct server *server, char *error);

#endif
