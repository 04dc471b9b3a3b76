#ifndef SERVER_SHARD_TRANSFER_H
#define SERVER_SHARD_TRANSFER_H

#include "server/shard/job.h"
#include "server/shard/manifest.h"
#include "server/shard/throttle.h"

/* Snapshots of shards on their way between nodes, beside the raft messages
 * (docs/replication.md, Snapshots). The sender exports a view of the shard to sorted files, one
 * after the other, and offers those that it has; the receiver pulls blocks, a few at a time, at the
 * pace that it can take, compares the sum of every file that is whole, syncs it and says so, upon
 * which the sender removes it and makes another one. It goes on where it stopped after a lost
 * connection or a restart of the receiver. When the last file is taken the sender lets
 * InstallSnapshot go, so the follower votes and keeps its old state all the while.
 *
 * FRAME_BULK body: u8 kind | u64 shard | u64 replica (of the receiver) | u64 id (manifest), then
 *   1 OFFER  u8 complete | manifest (of the files that were made so far)
 *   2 GET    u16 file | u64 offset | u32 length
 *   3 BLOCK  u16 file | u64 offset | bytes
 *   4 DONE
 *   5 GONE   the sender no longer has it, or the receiver finds it damaged again and again
 *   6 TAKEN  u16 files: so many are safe at the receiver
 *
 * Folders under <dir>: out-<shard>-<id>, in-<shard>-<replica>. All work with files is done by jobs
 * on the pool. Thread: the loop's. One object per loop; they share the throttle. */

struct transfer;
struct txn;

enum {
    TRANSFER_BLOCK_SIZE = 256 * 1024,
    TRANSFER_WINDOW = 4, /* Blocks under way: what raft messages may have to wait for. */
};

struct transfer_env {
    void *ctx;
    /* Output to a node, NULL if it is not connected or the link is full: try again at a tick. */
    struct buf *(*out)(void *ctx, uint64_t node);
    void (*run)(void *ctx, struct job *job);
    /* The receiver has everything (OK), or it failed. From then on nothing of it is left here. */
    void (*on_sent)(void *ctx,
                    uint64_t shard,
                    uint64_t token,
                    enum status status,
                    const struct manifest *manifest);
    /* False: the shard's range is another one by now, and who gets this snapshot would have to
     * throw most of it away. NULL: never. */
    bool (*is_current)(void *ctx, const struct shard_desc *desc);
};

struct transfer_options {
    const char *dir;
    struct throttle *throttle; /* Of the node: bounds what all loops send. */
    struct store *store;
    uint64_t file_size; /* 0: 16 MB; more for large shards. */
    uint64_t seed;
};

struct transfer *transfer_new(const struct transfer_options *options,
                              const struct transfer_env *env);
/* At start, once per node: removes what sendings of an earlier process left. Blocks. */
void transfer_sweep(struct transfer *transfer);
/* No job is running. Files of arriving snapshots stay. */
void transfer_free(struct transfer *transfer);
/* True while a job runs on the pool. */
bool transfer_busy(const struct transfer *transfer);

/* Sends what view shows of the shard; takes the view. An older sending to the same replica ends
 * without on_sent(). */
void transfer_send(struct transfer *transfer,
                   const struct group_member *to,
                   uint64_t token,
                   const struct shard_state *state,
                   struct txn *view);
/* A limit for the sendings of one shard, beside the node's, from now on until it is changed. 0:
 * none. */
void transfer_set_rate(struct transfer *transfer, uint64_t shard, uint64_t bytes_per_second);

/* A FRAME_BULK body. PROTOCOL: malformed, close the connection. takes: this node has that replica
 * (else offers are ignored). */
MUST_USE enum status transfer_receive(struct transfer *transfer,
                                      uint64_t from,
                                      struct slice body,
                                      bool takes);
void transfer_tick(struct transfer *transfer);

/* True if all files of the manifest are here and whole. */
bool transfer_ready(const struct transfer *transfer, const struct manifest *manifest);
/* Path of file n of the arrived manifest; NUL terminated in out. */
void transfer_path(const struct transfer *transfer,
                   uint64_t shard,
                   uint64_t replica,
                   size_t file,
                   struct buf *out);
/* The snapshot is installed, or the replica is gone: removes what arrived. */
void transfer_forget(struct transfer *transfer, uint64_t shard, uint64_t replica);
/* The shard is closing, or no longer leads: ends its sendings without on_sent(). */
void transfer_cancel(struct transfer *transfer, uint64_t shard);

/* One snapshot being sent. */
struct transfer_progress {
    uint64_t shard;
    struct group_member to;
    uint64_t done;  /* Bytes that the receiver has. */
    uint64_t total; /* Of all files; about, as long as not all of them are made. */
    uint64_t rate;  /* Bytes per second, over the last seconds. */
    uint64_t limit; /* transfer_set_rate() */
};
/* The nth of those under way; false: there are not so many. */
bool transfer_progress(const struct transfer *transfer,
                       size_t nth,
                       struct transfer_progress *progress);

struct transfer_stats {
    uint64_t sending, receiving, bytes_sent, bytes_received, finished, failed;
    uint64_t bytes_left; /* To be sent, about. */
};
const struct transfer_stats *transfer_stats(const struct transfer *transfer);

#endif
