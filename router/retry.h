#ifndef ROUTER_RETRY_H
#define ROUTER_RETRY_H

#include "common/base/buf.h"
#include "common/base/status.h"

/* What to do after an answer that is not the reply, and what to tell the client when there is no
 * time left. Pure. Any thread. */

enum retry_verdict {
    RETRY_FOLLOW,    /* Go on at once at the leader that was named. */
    RETRY_WAIT,      /* The same target, later. */
    RETRY_ELSEWHERE, /* Another replica, or the leader if one is known, later. */
    RETRY_REMAP,     /* A newer map must tell the shard. */
    RETRY_FAIL,      /* Nothing that trying again could change. */
};

enum {
    RETRY_BACKOFF_MS_MIN = 2,
    RETRY_BACKOFF_MS_MAX = 100,
    RETRY_REDIRECTS_MAX = 2, /* Hints followed at once between two answers. */
};

struct retry_case {
    enum status status;
    bool hint;          /* NOT_LEADER named a node that can be asked. */
    unsigned redirects; /* Followed since the lane's last answer. */
    unsigned failures;  /* Since the lane's last answer, this one not counted. */
    uint64_t random;
};

struct retry_plan {
    enum retry_verdict verdict;
    uint32_t wait_ms;  /* WAIT, ELSEWHERE. */
    bool refused;      /* This try certainly changed nothing. */
    bool none_applied; /* Nor did any earlier one at this shard, and none will. */
    bool refresh;      /* Ask for the newest map. */
};

struct retry_plan retry_decide(const struct retry_case *input);

/* Doubles from MIN to MAX with the number of failures; between half of that and all of it, by
 * random. */
uint32_t retry_backoff_ms(unsigned failures, uint64_t random);

/* Why a request ends without its reply. */
enum retry_end {
    RETRY_END_UNKNOWN,   /* A write that may have been applied. */
    RETRY_END_TIMEOUT,   /* Nobody who should answer did; nothing was changed. */
    RETRY_END_NO_LEADER, /* No node could be asked. */
    RETRY_END_NO_MAP,
};

/* unsure: some try may have been applied. asked: a try was sent. */
enum retry_end retry_end_of(bool write, bool unsure, bool asked);

/* Appends the error text with its code. node: the last known leader, 0 if none. */
void retry_write_end(
    struct buf *out, enum retry_end end, uint64_t shard, uint64_t node, uint32_t deadline_ms);
/* The error for a FAIL. text: what the node said, may be empty. */
void retry_write_failure(struct buf *out, enum status status, uint64_t shard, struct slice text);

#endif
