#ifndef SERVER_CONTROL_IDENTITY_H
#define SERVER_CONTROL_IDENTITY_H

#include "common/base/buf.h"
#include "common/base/lockfile.h"
#include "common/base/status.h"
#include "common/cluster/shard_map.h"

/* Who a node is: DIR/identity says to which cluster and to which node id a data directory belongs,
 * and DIR/map is the last map that the node saw.
 *
 *   u32 "SHID" | u8 format | cluster[16] | u64 node | u64 disk | u8 bootstrap | u8 replicas |
 *   u32 shards | u64 XXH3 of all before                                         (little endian)
 *
 * DIR/format is a line of text that says that store and log were made.
 *
 * Thread: any; the functions that take a directory block on the disk. */

enum {
    IDENTITY_CLUSTER_SIZE = 16,
    IDENTITY_NODE_FIRST = 1,    /* Node id of the node that creates the cluster. */
    IDENTITY_REPLICA_FIRST = 1, /* Replica id of its replica of the meta group. */
    IDENTITY_TEXT_SIZE_MAX = 512,
};

struct identity {
    uint8_t cluster[IDENTITY_CLUSTER_SIZE]; /* All zero until the node has joined. */
    uint64_t node;                          /* 0 until it has joined. */
    /* Random, made with the directory: the meta group recognises by it a directory that joined
     * but crashed before it could write its node id down, and refuses a copied one. */
    uint64_t disk;
    bool bootstrap;    /* This directory created the cluster, with: */
    unsigned replicas; /* wanted copies of a shard, */
    unsigned shards;   /* the first cut, a power of two. Both 0 if not bootstrap. */
};

void identity_encode(const struct identity *identity, struct buf *out);
/* CORRUPT; NEWER_FORMAT. *identity is untouched unless OK. */
MUST_USE enum status identity_decode(struct slice bytes, struct identity *identity);

/* How a node was told to start. */
struct identity_request {
    const char *folder; /* --data */
    bool bootstrap;     /* --bootstrap; else join is what was given with --join. */
    bool join;
    unsigned replicas; /* --replicas, --shards: looked at by a fresh bootstrap only. */
    unsigned shards;
    uint8_t random[IDENTITY_CLUSTER_SIZE + 8]; /* From rand_os(): cluster id and disk id. */
};

/* Takes the directory for this process: reads who it is or, if it is new, makes it. On failure
 * nothing on the disk was changed and `text` (IDENTITY_TEXT_SIZE_MAX bytes) is one line that says
 * what to do. BAD_ARGUMENT: neither --bootstrap nor --join for a new directory, or bad numbers.
 * CONFLICT: not empty and not ours, in use by another process, --bootstrap of a joined directory.
 * NEWER_FORMAT, CORRUPT, IO (not usable).
 * lock NULL: no lock is taken (the simulator). Else on OK *lock is the caller's. */
MUST_USE enum status identity_open(const struct identity_request *request,
                                   struct identity *identity,
                                   struct lockfile **lock,
                                   char *text);
/* Durable on OK. */
MUST_USE enum status identity_save(const char *folder, const struct identity *identity);

/* DIR/format, written once when the store and the log of the directory have been made and are
 * durable, before the directory can have a vote in anything. From then on a start that does not
 * find them must not make them anew. Durable on OK. */
MUST_USE enum status identity_mark(const char *folder);
/* True if store and log must be there: the mark is, or this node cannot have come to its id
 * without them. */
bool identity_is_marked(const char *folder, const struct identity *identity);

/* The saved map. *map, initialised before, is replaced on OK. NOT_FOUND; CORRUPT: to be treated as
 * if there were none, the cluster has it. */
MUST_USE enum status identity_load_map(const char *folder, struct shard_map *map);
MUST_USE enum status identity_save_map(const char *folder, struct slice encoded);

/* True if all bytes are zero: no cluster yet. */
bool identity_cluster_is_zero(const uint8_t *cluster);
/* Checks the numbers of a new cluster: replicas 1, 3 or 5; shards a power of two up to
 * MAP_SHARDS_MAX. NULL if they are good, else what is wrong with them. */
const char *identity_numbers_fault(unsigned replicas, unsigned shards);

#endif
