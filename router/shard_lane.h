#ifndef ROUTER_SHARD_LANE_H
#define ROUTER_SHARD_LANE_H

#include "common/base/list.h"
#include "common/base/slice.h"

/* The queue of everything that waits for one shard, in the order of arrival. It keeps a client's
 * pipelined commands to one shard in order even when the first of them has to be sent again: what
 * is behind it is then sent again behind it. Pure: lists and counts, no sending. Thread: the
 * core's.
 *
 *   SHUT   nothing may be sent: no target, or backing off until wake_ms
 *   PROBE  one part was sent to the target, what is behind it waits for its answer
 *   OPEN   the target answers as the leader: what comes is sent at once
 *
 * Every new target, and every new connection to the old one, begins a run. A part whose run is not
 * the lane's has to be sent (again). After BUSY the run goes on: only what was refused is sent
 * again, beginning with a probe. */

struct lane;
struct backend;
struct core_request;

enum lane_state { LANE_SHUT, LANE_PROBE, LANE_OPEN };

/* One command for one shard: a whole request, or a share of one. */
struct lane_part {
    struct list queue;  /* In lane->parts, or in the core's strays. */
    struct list writes; /* In lane->writes, if seq is not 0; in the core's wanderers. */
    struct core_request *request;
    struct lane *lane; /* NULL while it is in none. */
    uint64_t shard;    /* Of the lane that it is or was in last. */
    uint64_t order;    /* Of arrival, over all lanes of the core; also the seq of a write. */
    uint64_t seq;      /* 0: a read. */
    uint64_t session;  /* Inherited from the shard that may have applied it; 0: the sender's own. */
    uint64_t ver;      /* If it is about all of a range: that, */
    uint64_t start;    /* first token */
    uint64_t last;     /* and last. 0: it is not. */
    uint64_t sent_ms;
    size_t size;    /* Of its frame, about. */
    uint32_t run;   /* The lane's when it was sent last; 0: not since it came or was refused. */
    uint32_t slot;  /* Index in the core's table; ids of frames are made of it. */
    uint32_t tries; /* How often it was sent, */
    uint32_t moved; /* and how often before it came to this shard, or got its seq. */
    uint32_t hops;  /* Shards that said that it was not theirs. */
    uint32_t unanswered;       /* Tries that no answer has come to. */
    bool unsure;               /* A try may have been applied, and no answer will come to it. */
    struct backend *parked_at; /* Where it waits; it is in lane->parked then. NULL: nowhere. */
    struct backend *near;      /* A replica that it was sent to beside its lane. NULL: none. */
    uint32_t near_try;         /* Which of its tries that was; 0: none. */
    bool alone;                /* A write in a session of its own. */
    /* A share of a request: argument indexes of its keys, rising. Not owned. */
    const uint32_t *keys;
    uint32_t key_count;
    bool done;
    bool stale;     /* Done without a reply: what it was about is no shard any more. */
    uint8_t *reply; /* Of a share: kept until all are there. Owned. */
    size_t reply_size;
    struct lane_part *sibling; /* Next share of the same request. */
    uint8_t *coming;           /* Of a large reply: what has come of it. Owned. */
    size_t coming_size;
    size_t coming_len;
    uint64_t coming_id; /* Of the frames. */
};

enum { LANE_REPLICAS_MAX = 6 };

struct lane {
    uint64_t shard;
    size_t position; /* In map->shards. */
    enum lane_state state;
    struct list active; /* In the core's list of lanes that have parts. */
    struct list parts;
    struct list writes;
    struct list parked; /* Parts that wait at a node. */
    size_t count;
    size_t size;             /* Bytes of all parts. */
    struct lane_part *next;  /* OPEN: all before it are sent in this run; NULL: all are. */
    struct lane_part *probe; /* PROBE. */
    struct backend *target;  /* PROBE, OPEN; SHUT: whose run will go on, or NULL. */
    uint32_t run;
    uint64_t wake_ms;   /* SHUT: when to try again; OPEN with next: when to go on. 0: no time. */
    unsigned failures;  /* Refusals, silences and lost links since the last answer. */
    unsigned redirects; /* Hints followed at once since then. */
    unsigned silences;
    unsigned turn;           /* Which replica was asked last when no leader was known. */
    uint64_t avoid_until_ms; /* No replica is asked before. */
    uint64_t leader;         /* Node, 0: unknown. */
    uint64_t term;           /* In which it was known, also if it no longer is. */
    /* What a leader itself said last, see struct leader_hint; it stays when `leader` is forgotten
     * because an answer did not come. */
    uint64_t told_node;
    uint64_t told_term;
    uint64_t told_voters;
    unsigned replica_count;
    struct backend *replicas[LANE_REPLICAS_MAX]; /* The map's; NULL if the node is unknown. */
};

void lane_init(struct lane *lane, uint64_t shard);

/* Puts a part where its order says. Its run is 0. */
void lane_insert(struct lane *lane, struct lane_part *part);
void lane_remove(struct lane *lane, struct lane_part *part);
/* NULL if the lane is empty. */
struct lane_part *lane_head(const struct lane *lane);
/* NULL behind the last. */
struct lane_part *lane_after(const struct lane *lane, const struct lane_part *part);

/* All seqs below it have been answered, none from it on has been forgotten; part is in the lane. */
uint64_t lane_first_unacked(const struct lane *lane, const struct lane_part *part);

/* Takes note of who leads. True if that is news: a higher term, or a leader where none was known.
 */
bool lane_learn(struct lane *lane, uint64_t node, uint64_t term);
/* The node says that it does not lead, or cannot be reached. */
void lane_forget(struct lane *lane, uint64_t node);

/* Ends the run. */
void lane_shut(struct lane *lane, uint64_t wake_ms);
/* The run, of which there is one, goes on later. */
void lane_pause(struct lane *lane, uint64_t wake_ms);
/* The first part that this run has not sent, NULL if there is none. */
struct lane_part *lane_unsent(const struct lane *lane);
/* Begins a run at target, or goes on with the paused one if target is NULL. Returns the part for
 * the caller to send as a probe; NULL if there is nothing to send, and then a paused run is OPEN
 * and a new one SHUT. */
struct lane_part *lane_probe(struct lane *lane, struct backend *target);
/* The target has answered part, just before it is removed, as the leader. */
void lane_confirm(struct lane *lane, const struct lane_part *part);

#endif
