#ifndef COMMON_CLUSTER_SHARD_LOAD_H
#define COMMON_CLUSTER_SHARD_LOAD_H

#include "common/base/buf.h"
#include "common/base/status.h"

/* What a shard and a node have to do, as they say it to the node that leads the meta group
 * (FRAME_LOAD, every second). Rates are per second, exponentially weighted over 1.5 s, those named
 * `slow` over 30 s. Shares are permille of the shard's load. CPU is what the loops used, in
 * microseconds per second. Pure.
 *
 *   report  u8 format (1) | node_load | u32 count | count * shard_load
 *
 * A shard that had nothing to do lately is told without its details. */

enum {
    SHARD_LOAD_KEYS_MAX = 8,
    SHARD_LOAD_KEY_SIZE_MAX = 56,
    SHARD_LOAD_HEAT = 16, /* Equal parts of the range. */
    SHARD_LOAD_CUTS = 7,  /* The eighths of the load. */
    SHARD_LOAD_COUNT_MAX = 1 << 17,
};

/* Whether and where a split would help. */
enum split_verdict {
    SPLIT_UNKNOWN,   /* Too little was seen. */
    SPLIT_GOOD,      /* At split_token: the larger side has at most 3/4 of the load. */
    SPLIT_ONE_KEY,   /* One token has half of the load or more. */
    SPLIT_ONE_TOKEN, /* The shard has only one. */
    SPLIT_NO_DATA,   /* On one side of every good point nothing was found. */
    SPLIT_UNEVEN,    /* No point is good, though no token has half of it. */
    SPLIT_VERDICTS,
};

/* Where the range may be cut: something is stored on both sides. */
struct load_cut {
    uint64_t token; /* The first of the right side. */
    uint16_t left;  /* Share of the left side. */
};

struct key_load {
    uint64_t token;
    uint16_t share, writes, absent; /* Writes, and reads that found nothing: of share. */
    uint32_t key_size;              /* Of the key, of which there may be less here: */
    uint8_t db;
    uint8_t key_len;
    uint8_t key[SHARD_LOAD_KEY_SIZE_MAX];
};

struct shard_load {
    uint64_t shard;
    uint64_t ver, start, last; /* As the leader's own state has it. */
    uint64_t bytes, keys;      /* Held, about. */
    uint64_t ops, reads, writes, absent;
    uint64_t traffic; /* Bytes of requests and replies. */
    uint64_t cpu;
    uint64_t follower_cpu; /* Of it, what every other replica spends as well, about. */
    uint64_t slow_ops, slow_cpu;

    /* Details; only if slow_ops is not 0. */
    enum split_verdict verdict;
    uint64_t split_token; /* First token of the right side; if verdict is GOOD. */
    uint16_t split_left;  /* Share of the left side. */
    size_t cut_count;     /* Points near the eighths of the load, by rising token. */
    struct load_cut cuts[SHARD_LOAD_CUTS];
    uint64_t hot_token; /* The one with most of the load, 0 if none was found, */
    uint16_t hot_share; /* and how much. */
    uint16_t heat[SHARD_LOAD_HEAT];
    size_t key_count;
    struct key_load hot[SHARD_LOAD_KEYS_MAX]; /* Keys, hottest first. */
};

struct node_load {
    uint64_t node;
    uint64_t incarnation;
    uint64_t up_ms;    /* Since it started. */
    uint64_t loops;    /* That serve shards: its capacity is so many seconds per second. */
    uint64_t cpu;      /* Of these loops. */
    uint64_t busiest;  /* Of the one that has most. */
    uint64_t ops;      /* Of the shards that it leads. */
    uint64_t replicas; /* That are open. */
    uint64_t disk_free;
};

const char *shard_load_verdict_text(enum split_verdict verdict);
/* What takes the load of a key off its shard, where a split cannot. */
const char *shard_load_remedy(const struct key_load *key);

void node_load_encode(const struct node_load *load, struct buf *out);
void shard_load_encode(const struct shard_load *load, struct buf *out);

/* Being read. Borrows. */
struct load_report {
    struct node_load node;
    uint32_t count; /* Still to be taken. */
    struct slice rest;
};

/* The head of a report; shard_load_encode() count times follows. */
void load_report_begin(const struct node_load *node, uint32_t count, struct buf *out);
/* PROTOCOL unless it is a whole report. */
MUST_USE enum status load_report_open(struct slice body, struct load_report *report);
/* False: there are no more. */
bool load_report_next(struct load_report *report, struct shard_load *load);

#endif
