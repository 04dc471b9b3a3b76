#ifndef ROUTER_ROUTER_LOOP_H
#define ROUTER_ROUTER_LOOP_H

#include "common/base/thread.h"
#include "common/config/read_rules.h"
#include "common/net/link.h"
#include "common/net/listener.h"
#include "router/core.h"
#include "router/router.h"
#include "router/usage.h"

/* One loop of the router: a core, the links that it asks for, a listener for clients. Loops share
 * nothing but the front's parts: each follows the map by itself. Thread: its own, but for what says
 * "before it runs". */

struct router_link; /* One number of the core's. */
struct router_call; /* One command under way. */

struct router_loop {
    struct router *router;
    unsigned index;
    struct loop *loop;
    struct thread thread;
    struct core *core;
    struct listener *listener;
    struct metrics_part *metrics;
    struct frame_hello hello;
    struct router_link **links; /* By the core's number; NULL: not in use. */
    size_t link_size;
    struct router_call *calls_free;
    size_t calls;        /* Under way. */
    struct timer timer;  /* The core's. */
    uint64_t timer_ms;   /* When it runs out; UINT64_MAX: it is not running. */
    struct timer report; /* Counters to the metrics, readiness. */
    struct mail stop;
    uint64_t stop_ms;  /* Stopping: when to give up what is under way; else 0. */
    bool node_seen;    /* A node was up at some time. */
    atomic_bool ready; /* The map is known and every shard is led. */
    size_t answer_labels[STATUS_COUNT];
    size_t end_labels[5];
    struct router_call *counter; /* Asks for the sizes of databases, for INFO. */
    struct usage usage;
    uint64_t usage_ms; /* When it was asked for. */
    bool usage_known;
    const char *rules_text;  /* As the setting was when it was read: read-from-replicas. */
    struct read_rules rules; /* Of that. */
};

/* Before it runs. address: what to listen on; the first loop's listener decides the port, the
 * others join. Statuses and error as listener_open(). */
MUST_USE enum status router_loop_open(struct router_loop *part,
                                      struct router *router,
                                      unsigned index,
                                      const char *address,
                                      char *error);
/* After it ran. */
void router_loop_close(struct router_loop *part);

void router_loop_execute(struct router_loop *part, struct request *request);
/* What the front asks for itself. */
void router_loop_ask(struct router_loop *part, struct front_ask *ask);
/* As front_env.cancel. */
void router_loop_cancel(struct router_loop *part, struct request *request);
/* Any thread. */
void router_loop_stop(struct router_loop *part);
/* What the databases have, but for bytes; NULL: not known yet. Asks anew in the background when
 * that is a second old. */
const struct usage *router_loop_usage(struct router_loop *part);
/* What only the node that leads the meta group can answer. At most ERRAND_ARGC_MAX arguments. */
void router_loop_inquire(struct router_loop *part, struct request *request);
/* SHERD DATABASES. */
void router_loop_databases(struct router_loop *part, struct request *request);

#endif
