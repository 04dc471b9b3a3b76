#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/rand.h"
#include "common/proto/frame.h"
#include "tests/support/history.h"

/* A whole cluster in one process under virtual time, from one seed: nodes, routers and clients are
 * the production code of server/node, server/worker and router/core; the network, the disks, the
 * engine and the clocks are the simulator's. Everything random comes from sim->rand, so the same
 * seed gives the same run, event by event.
 *
 *   sim.c         time, events, the run as a whole
 *   sim_net.c     connections: delay, cuts, loss
 *   sim_node.c    a node process: start, crash, pause, wipe
 *   sim_router.c  a router process
 *   sim_client.c  clients and their history
 *   sim_echo.c    reads of what was just written, through other routers
 *   sim_queue.c   clients that push, and clients that wait for elements
 *   sim_teller.c  clients that run transactions
 *   sim_surgeon.c splits of shards
 *   sim_jobs.c    moves, transfers, drains
 *   sim_fault.c   what goes wrong, and when
 *   sim_check.c   what must hold
 */

enum {
    SIM_NODES_MAX = 6,
    SIM_ROUTERS_MAX = 3,
    SIM_CLIENTS_MAX = 16,
    SIM_POPPERS_MAX = 32,
    SIM_ACTORS_MAX = SIM_NODES_MAX + SIM_ROUTERS_MAX,
};

/* Nanoseconds in a millisecond. */
#define SIM_MS UINT64_C(1000000)

struct sim;

/* Who can be connected: nodes first, then routers. */
struct sim_actor {
    struct sim *sim;
    unsigned index;
    bool alive;
    bool paused;
    uint64_t life;   /* Grows at every start: events of an earlier life are void. */
    int64_t boot_ns; /* Clock offsets. */
    int64_t wall_ms;
    int64_t drift_ppm;
    struct list deferred; /* Events that came while paused. */
};

struct sim_conn;

/* One end's view of what happens on a connection. */
struct sim_end {
    void (*on_up)(void *arg, struct sim_conn *conn, const struct frame_hello *hello);
    void (*on_frame)(void *arg, struct sim_conn *conn, const struct frame *frame);
    void (*on_down)(void *arg, struct sim_conn *conn);
    void *arg;
};

/* A connection from a dialler to an address (an actor). Dials again for ever while it exists. */
struct sim_conn {
    struct sim *sim;
    struct list link;
    uint64_t number;
    struct sim_actor *from;
    struct sim_actor *to;
    struct sim_end ends[2]; /* 0: the dialler's; 1: the acceptor's, while up. */
    bool up;
    bool closed;      /* By the dialler: freed when nothing refers to it any more. */
    uint64_t session; /* Grows with every time it came up: late chunks are void. */
    uint64_t from_life;
    uint64_t to_life;
    uint64_t arrive_ns[2]; /* Of the last chunk each way: they do not overtake each other. */
    struct buf out[2];
    struct buf in[2];
    void *tag;         /* The acceptor's, */
    uint64_t accepted; /* and its number of this time that it came up. */
    uint64_t id;       /* The dialler's. */
};

struct sim_options {
    uint64_t seed;
    unsigned nodes;
    unsigned routers;
    unsigned clients;
    unsigned poppers; /* Clients of lists. */
    unsigned shards;
    unsigned keys;
    uint64_t fault_ms; /* How long things go wrong, */
    uint64_t peace_ms; /* and how long the cluster then has to recover. */
    bool verbose;
    bool faults;
    bool splits;     /* Shards are divided meanwhile, */
    unsigned merges; /* and merged, so many of 1000. */
    bool moves;      /* Replicas move, nodes drain. */
    bool balance;    /* The balancer is at work, in a hurry. */
    bool stale;      /* Replicas answer reads before they have applied enough: that must show. */
    bool deposes;    /* Leaders are deposed, and nothing else happens. */
};

struct sim_event;
struct sim_node;
struct sim_router;
struct sim_client;
struct sim_queue;
struct sim_echo;
struct sim_teller;
struct sim_surgeon;
struct sim_jobs;

enum { SIM_TELLERS = 4, SIM_BANKS = 2 };

/* What tellers know of one. */
struct sim_bank {
    uint64_t done, aborted, unknown; /* Transactions. */
};

struct sim {
    struct sim_options options;
    struct rand rand;
    uint64_t now_ns;
    uint64_t order;
    struct sim_event **heap;
    size_t heap_count, heap_size;
    struct sim_actor actors[SIM_ACTORS_MAX];
    struct sim_actor *entered; /* Whose clocks are shown. */
    struct sim_node *nodes[SIM_NODES_MAX];
    struct sim_router *routers[SIM_ROUTERS_MAX];
    struct sim_client *clients[SIM_CLIENTS_MAX];
    struct sim_queue *queue;
    struct sim_echo *echo;
    struct sim_teller *tellers[SIM_TELLERS];
    struct sim_bank banks[SIM_BANKS];
    struct sim_surgeon *surgeon; /* NULL: there is none. */
    struct sim_jobs *mover;      /* NULL: there is none. */
    struct list conns;
    uint64_t conn_next;
    bool cut[SIM_ACTORS_MAX][SIM_ACTORS_MAX]; /* [from][to] */
    uint64_t cut_until_ns;                    /* Nobody heals what is cut before. */
    unsigned loss_permille;                   /* Of raft batches. */
    uint64_t delay_max_ns;
    bool faulty; /* Things go wrong now. */
    bool calm;   /* Nothing is changed any more: what is there is compared. */
    struct history history;
    uint64_t events, crashes, cuts, pauses, wipes, errors, unknowns, splits, merges, jobs;
};

/* sim.c */
void sim_run(const struct sim_options *options);
/* Calls fn(arg) after delay_ns as actor (NULL: nobody), in its present life only. */
void sim_after(
    struct sim *sim, struct sim_actor *actor, uint64_t delay_ns, void (*fn)(void *arg), void *arg);
/* Sets the clocks to those of the actor. */
void sim_enter(struct sim_actor *actor);
/* The end of a loop turn of the actor: its due work, then its output. */
void sim_turn(struct sim_actor *actor);
/* Goes on after a pause: what came meanwhile comes now. */
void sim_resume(struct sim_actor *actor);
uint64_t sim_random_ns(struct sim *sim, uint64_t min_ns, uint64_t max_ns);
bool sim_chance(struct sim *sim, unsigned permille);
__attribute__((noreturn, format(printf, 2, 3))) void sim_fail(struct sim *sim,
                                                              const char *format,
                                                              ...);
__attribute__((format(printf, 2, 3))) void sim_trace(struct sim *sim, const char *format, ...);
struct sim_actor *sim_actor_at(struct sim *sim, const char *address);
void sim_address(unsigned index, char text[32]);

/* sim_net.c */
struct sim_conn *sim_dial(struct sim_actor *from,
                          const char *address,
                          uint64_t id,
                          const struct sim_end *end);
void sim_hang_up(struct sim_conn *conn); /* The dialler's: for good. */
void sim_break(struct sim_conn *conn);   /* Comes up again by itself. */
/* Sends what the actor appended to its connections. */
void sim_flush(struct sim_actor *actor);
struct buf *sim_out(struct sim_conn *conn, const struct sim_actor *side);
/* All connections of an actor that died. */
void sim_drop_all(struct sim_actor *actor);
/* How an actor says hello and takes a call. */
void sim_actor_hello(struct sim_actor *actor, struct frame_hello *hello);
void sim_actor_accept(struct sim_actor *actor,
                      struct sim_conn *conn,
                      const struct frame_hello *hello);

/* sim_node.c */
void sim_node_make(struct sim *sim, unsigned index);
void sim_node_start(struct sim_node *node);
void sim_node_crash(struct sim_node *node);
void sim_node_wipe(struct sim_node *node);
bool sim_node_joined(const struct sim_node *node);
struct worker;
struct worker *sim_node_worker(const struct sim_node *node);
struct store *sim_node_store(const struct sim_node *node);
void sim_node_hello(struct sim_node *node, struct frame_hello *hello);
void sim_node_accept(struct sim_node *node, struct sim_conn *conn, const struct frame_hello *hello);
void sim_node_turn(struct sim_node *node);
/* Its balancer rests from now on. */
void sim_node_calm(struct sim_node *node);
/* How long a batch of the log takes at most. */
void sim_node_disk(struct sim_node *node, uint64_t latency_max_ns);

/* sim_router.c */
void sim_router_make(struct sim *sim, unsigned index);
void sim_router_start(struct sim_router *router);
void sim_router_crash(struct sim_router *router);
struct core;
struct core *sim_router_core(const struct sim_router *router);
void sim_router_turn(struct sim_router *router);

/* sim_client.c */
void sim_client_make(struct sim *sim, unsigned index);
/* The router of the client died: its command's outcome is unknown. */
void sim_client_orphan(struct sim *sim, const struct sim_router *router);
void sim_client_stop(struct sim_client *client);
bool sim_client_idle(const struct sim_client *client);

/* sim_echo.c */
void sim_echo_make(struct sim *sim);
/* A client was told that the key was written. */
void sim_echo_written(struct sim *sim, const struct sim_router *writer, struct slice key);
void sim_echo_orphan(struct sim *sim, const struct sim_router *router);
bool sim_echo_idle(const struct sim *sim);

/* sim_queue.c */
void sim_queue_make(struct sim *sim);
void sim_queue_orphan(struct sim *sim, const struct sim_router *router);
/* Nothing is pushed any more, and soon everybody waits. */
void sim_queue_close(struct sim *sim);
/* Lists with several elements come to be. */
void sim_queue_burst(struct sim *sim);
/* Reads the lists: nobody who waits is forgotten; and behind sim_queue_let_go(): what is left. */
void sim_queue_read(struct sim *sim);
/* Nobody waits any more, soon. */
void sim_queue_let_go(struct sim *sim);
bool sim_queue_idle(const struct sim *sim);
void sim_queue_check(struct sim *sim);
/* A router for a client, by its number, and the router's actor; NULL if no router takes commands.
 */
struct sim_router *sim_client_router(struct sim *sim, unsigned client, struct sim_actor **actor);

/* sim_teller.c */
void sim_teller_make(struct sim *sim, unsigned index);
void sim_teller_orphan(struct sim *sim, const struct sim_router *router);
void sim_teller_stop(struct sim_teller *teller);
bool sim_teller_idle(const struct sim_teller *teller);
/* A replica that has everything: what it has of the banks is what was executed. */
struct worker;
struct shard;
void sim_teller_check(struct sim *sim, struct worker *worker, struct shard *shard);

/* sim_jobs.c */
void sim_jobs_make(struct sim *sim);
/* Nothing new is asked for: what was has to end. */
void sim_jobs_stop(struct sim *sim);
bool sim_jobs_ended(const struct sim *sim);
const char *sim_jobs_zone(const struct sim *sim, unsigned node);

/* sim_surgeon.c */
void sim_surgeon_make(struct sim *sim);
/* Nothing new is begun any more. */
void sim_surgeon_stop(struct sim *sim);

/* sim_fault.c */
void sim_fault_begin(struct sim *sim);
void sim_fault_heal(struct sim *sim);

/* sim_check.c */
/* Every shard is placed, led, and known to every router. */
bool sim_check_serving(struct sim *sim);
/* Besides: every wanted replica is a voter and has caught up. */
bool sim_check_whole(const struct sim *sim);
/* Replicas at the same applied index hold the same bytes. */
void sim_check_replicas(struct sim *sim);
/* The node leads a shard, or believes so. */
bool sim_check_leads(const struct sim *sim, unsigned node);
void sim_check_end(struct sim *sim);

#endif
