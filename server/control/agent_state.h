#ifndef SERVER_CONTROL_AGENT_STATE_H
#define SERVER_CONTROL_AGENT_STATE_H

#include "common/base/map.h"
#include "common/base/rand.h"
#include "server/control/agent.h"

/* What is inside an agent, shared by the files that it is made of: agent.c (inputs and the map),
 * agent_join, agent_links, agent_replicas and agent_call. For nobody else. Thread: loop 0. */

enum {
    AGENT_JOIN_MS_MIN = 50, /* Between attempts; doubles. */
    AGENT_JOIN_MS_MAX = 500,
    AGENT_CONF_MS_MIN = 200,
    AGENT_CONF_MS_MAX = 5000,
    AGENT_DEADLINE_MS = 2000, /* Of a request. */
    AGENT_ALONE_MS = 5000,    /* Without any link for so long: the addresses of --join again. */
};

/* One request that is repeated, by turns to all who may know, until it has the answer. */
struct agent_call {
    uint64_t id;   /* 0: not under way. */
    uint64_t peer; /* That it was sent to. */
    uint64_t deadline_ms;
    uint64_t next_ms; /* Not before. */
    uint64_t hint;    /* A node that was named as the leader, 0: none. */
    uint32_t retry_ms;
    unsigned turn;
};

struct agent_link {
    uint64_t peer;
    char address[NODE_ADDRESS_SIZE_MAX]; /* Last given to env->connect(), empty if never. */
    bool asked;                          /* connect() is in force. */
    bool wanted;
    bool up;
    bool member; /* Up, and its HELLO named a cluster: it can be asked. */
};

/* An address of --join. */
struct agent_seed {
    char address[NODE_ADDRESS_SIZE_MAX];
    bool useless; /* It is this node itself. */
    /* The node that answered there, 0: none. It is there and not where the map says, as long as the
     * map says what it said then: the whole cluster may have moved, and then nobody could tell the
     * meta group. */
    uint64_t node;
    char mapped[NODE_ADDRESS_SIZE_MAX];
};

struct agent_local {
    uint64_t shard;
    uint64_t replica;   /* 0: none here. */
    uint64_t tombstone; /* Up to this id they are dead. */
    bool leaving;       /* The map does not list it any more. */
    bool removing;
    struct agent_call conf; /* Asks the group whether it is out. */
};

struct agent {
    struct agent_env env;
    struct identity identity;
    struct identity coming; /* Being saved. */
    char address[NODE_ADDRESS_SIZE_MAX];
    char zone[NODE_ZONE_SIZE_MAX];
    struct agent_seed seeds[AGENT_SEEDS_MAX];
    unsigned seed_count;
    uint64_t incarnation;
    struct rand rand;
    uint64_t now_ms; /* Of the last tick. */
    uint64_t last_id;

    struct shard_map map;
    struct buf map_bytes;
    struct map links;  /* peer -> struct agent_link */
    struct map locals; /* shard -> struct agent_local */
    struct map news;   /* shard -> what the map does not know, see agent_report.c */
    struct agent_call report;
    size_t up_count;
    size_t leaving_count;
    uint64_t alone_since_ms; /* 0: not alone. */
    uint64_t subscribe_ms;   /* When to ask again. */

    struct agent_call join;
    uint64_t joined_version; /* Of the map that confirmed this start. */
    bool confirmed;
    bool confirmed_before;
    bool saving;
    bool dirty; /* What is wanted is to be computed anew. */
    bool failed;
    bool started; /* Ticked once: all local replicas are known. */
    bool in_env;
    unsigned usurped; /* How often the map said that this node was started anew. */
};

/* Tells the env, once; from then on the agent does nothing. */
void agent_state_fail(struct agent *agent, enum status status, const char *text);

#endif
