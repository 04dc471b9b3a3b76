#ifndef CLIENT_ADMIN_BACKUP_CLUSTER_H
#define CLIENT_ADMIN_BACKUP_CLUSTER_H

#include "client/admin/verb.h"
#include "client/sherd.h"

/* The nodes of a cluster, each with a connection of its own, and which shards they lead, as they
 * say themselves: what `backup` works with. The nodes must be reachable from here under the
 * addresses that the map has. Thread: one. */

enum { BACKUP_ADDRESS_SIZE = 256, BACKUP_TEXT_SIZE = 256, BACKUP_ID_SIZE = 33 };

struct backup_node {
    uint64_t id;
    char address[BACKUP_ADDRESS_SIZE];
    struct sherd *sherd; /* NULL: not connected. */
};

struct backup_shard {
    size_t node; /* Index of who leads it. */
    uint64_t id;
    uint64_t start;
    uint64_t last;
    uint64_t ver;
    uint64_t keys;
    uint64_t version;
    uint64_t index;
    uint64_t term;
    uint8_t *state; /* Owned; of a fence. */
    size_t state_len;
};

struct backup_cluster {
    const struct verb_call *call;
    int timeout_ms;
    char id[BACKUP_ID_SIZE]; /* Of the cluster. */
    struct backup_node *nodes;
    size_t node_count;
    struct backup_shard *shards; /* By their first tokens. */
    size_t shard_count;
    int64_t longest;              /* The greatest integer that the last tell() was answered. */
    char error[BACKUP_TEXT_SIZE]; /* Of the last step that failed. */
};

/* Learns the nodes from --connect and connects to all that are up. A line was printed if it is not
 * VERB_DONE. */
enum verb_exit backup_cluster_open(const struct verb_call *call, struct backup_cluster *cluster);
void backup_cluster_close(struct backup_cluster *cluster);

/* SHERD BACKUP words... to every node at once. False: a node is lost or refused; error says so, and
 * the others were asked all the same. */
bool backup_cluster_tell(struct backup_cluster *cluster, const char *const *words, size_t count);
/* The same with SHARDS or FENCE id hold: learns the shards. False too if they do not cover the ring
 * exactly once. */
bool backup_cluster_learn(struct backup_cluster *cluster, const char *const *words, size_t count);
/* The same until it succeeds, for at most so long; connections that were lost are made again. */
bool backup_cluster_wait(struct backup_cluster *cluster, uint64_t wait_ms);
/* Who owns the token; the ring is covered. */
struct backup_shard *backup_cluster_find(struct backup_cluster *cluster, uint64_t token);
uint64_t backup_cluster_keys(const struct backup_cluster *cluster);

#endif
