#ifndef COMMON_CLUSTER_ERRAND_H
#define COMMON_CLUSTER_ERRAND_H

#include "common/base/list.h"
#include "common/base/rand.h"
#include "common/cluster/shard_map.h"
#include "common/proto/frame.h"

/* Requests that are brought to the leader of a shard, whoever that is: asked of the one that is
 * known, of the one that it names instead, of the shard's nodes by turns, until one answers or the
 * time is over. For the control plane, where a request is rare; commands of clients have the
 * router. No sockets, no clock. Thread: one owner. */

enum {
    ERRAND_DEADLINE_MS = 5000,
    ERRAND_SILENCE_MS = 2000, /* Then another node is asked. */
    ERRAND_ARGC_MAX = 128,
    ERRAND_SIZE_MAX = 8 << 20,
    ERRANDS_MAX = 4096, /* Under way; more end with BUSY. */
};

/* Ids of their frames: no request of another kind on the same connection may have such. */
static inline bool errand_owns(uint64_t request_id)
{
    return request_id >> 62 == 1;
}

struct errands_env {
    void *ctx;
    /* Who leads the shard, as far as is known; false: nobody. */
    bool (*leader)(void *ctx, uint64_t shard, struct leader_hint *hint);
    /* The descriptor, to ask its nodes; NULL: not known. */
    const struct shard_desc *(*shard)(void *ctx, uint64_t shard);
    /* Sends it. False: the node cannot be reached now. */
    bool (*send)(void *ctx, uint64_t node, const struct frame_request *request);
};

struct errand;
struct errand_order {
    uint64_t shard;
    struct args args;     /* Copied. */
    uint64_t term;        /* Of the meta group's leader that asks; 0: nobody's. */
    uint32_t deadline_ms; /* 0: ERRAND_DEADLINE_MS. */
    bool once;            /* Not sent again if it may have been done. */
    void *ctx;
    uint64_t tag; /* The caller's. */
    /* Exactly once, but not from inside errands_begin(): OK with the reply, or the last status.
     * New errands may be begun in it. */
    void (*done)(const struct errand_order *order, enum status status, struct slice reply);
};

struct errands {
    struct errands_env env;
    struct list list;
    struct rand rand;
    uint64_t now_ms;
    uint64_t last_id;
    size_t count;
};

void errands_init(struct errands *errands, const struct errands_env *env, uint64_t seed);
/* Nothing is called any more. */
void errands_deinit(struct errands *errands);

void errands_begin(struct errands *errands, const struct errand_order *order);
/* FRAME_REPLY with such an id. */
void errands_reply(struct errands *errands,
                   uint64_t request_id,
                   enum status status,
                   struct slice body);
/* FRAME_PART of such an id. */
void errands_part(struct errands *errands, const struct frame_part *piece);
/* The connection to the node is lost, with what was asked of it. */
void errands_lost(struct errands *errands, uint64_t node);
/* Every 100 ms or so, and after errands_begin(): sends what is due, ends what is over. */
void errands_tick(struct errands *errands, uint64_t now_ms);

/* Ends all that are under way, as if their time were over. */
void errands_expire(struct errands *errands);

/* The error reply to a client whose request came to that. */
void errand_write_failure(enum status status, struct buf *reply);

#endif
