#ifndef TESTS_SUPPORT_ELASTIC_NODES_H
#define TESTS_SUPPORT_ELASTIC_NODES_H

#include "common/base/rand.h"
#include "tests/support/script_nodes.h"

/* Nodes for a router core that lose leaders, links and time at random, and whose shards split and
 * merge meanwhile. They keep the promises that real ones make: what a shard owns is decided by its
 * own log, which is one queue here; it looks for the record of a write before it looks whether it
 * owns the key; who takes over tokens takes over the records. script.map is always the truth, of
 * which the router hears late, in part, or only by refusals. */

enum {
    ELASTIC_NODES = 3,
    ELASTIC_SHARDS_MAX = 1024,
    ELASTIC_BODY_SIZE_MAX = 4096,
    ELASTIC_REPLY_SIZE = 64,
    ELASTIC_SESSIONS_MAX = 8, /* Not inherited. */
};

struct elastic_record {
    uint64_t session;
    uint64_t seq;
    uint64_t at_ms;
    char reply[ELASTIC_REPLY_SIZE];
};

/* By id less SHARD_FIRST. */
struct elastic_shard {
    bool alive;
    uint64_t frozen_until_ms; /* Then it is merged into `target`; 0: it is not frozen. */
    uint64_t target;
    uint64_t start, last; /* As it was last. */
    uint64_t leader;
    uint64_t term;
    struct elastic_floor {
        uint64_t session;
        uint64_t floor; /* Below it all was acknowledged. */
    } floors[ELASTIC_SESSIONS_MAX];
    struct elastic_record *records;
    size_t record_count, record_size;
};

struct elastic_answer {
    uint64_t at_ms;
    uint64_t node;
    unsigned connection;
    bool parked;       /* No answer yet: it waits. */
    uint64_t until_ms; /* Of one that waits. */
    enum status status;
    uint64_t hint_term, hint_node;
    uint8_t body[ELASTIC_BODY_SIZE_MAX];
    size_t body_len;
    struct script_request request;
    struct elastic_answer *next;
};

struct elastic {
    struct script script;
    struct rand rand;
    unsigned restless; /* Per mille and millisecond that a shard splits or merges. */
    bool trouble;      /* Nodes stop, links end, answers are lost. */
    struct elastic_shard shards[ELASTIC_SHARDS_MAX];
    uint64_t next_id;
    bool paused[ELASTIC_NODES + 1];
    unsigned connections[ELASTIC_NODES + 1];
    bool latched[ELASTIC_NODES + 1][ELASTIC_SHARDS_MAX];
    struct elastic_answer *answers; /* By time. */
    struct elastic_answer *waiting; /* Requests that are parked, the oldest first. */
    uint64_t map_due_ms;            /* When the router hears of the newest map; 0: it has. */
    unsigned splits, merges, parked;
    void *ctx;
    /* A command that is applied, or read, at a shard of that range; writes one RESP value. False:
     * it found nothing, and would wait. */
    bool (*execute)(void *ctx,
                    const struct frame_request *frame,
                    const struct shard_desc *desc,
                    char reply[ELASTIC_REPLY_SIZE]);
};

/* Two shards, led by node 1. */
void elastic_open(struct elastic *elastic, uint64_t seed);
void elastic_close(struct elastic *elastic);
bool elastic_chance(struct elastic *elastic, unsigned per_mille);
/* One millisecond: begin is called between what the router hears and what it sent. */
void elastic_turn(struct elastic *elastic, void (*begin)(void *ctx));
/* Something may go wrong, or change. */
void elastic_trouble(struct elastic *elastic);
/* All are well, and shards stay as they are. */
void elastic_heal(struct elastic *elastic);

#endif
