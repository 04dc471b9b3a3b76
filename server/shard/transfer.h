#ifndef SERVER_SHARD_TRANSFER_H
#define SERVER_SHARD_TRANSFER_H

#include "server/shard/job.h"
#include "server/shard/manifest.h"

/* Snapshots of shards on their way between nodes, beside the raft messages
 * (docs/replication.md, Snapshots). The sender exports a view of the shard to sorted files and
 * offers them; the receiver pulls blocks, a few at a time, at the pace that it can take, and goes
 * on where it stopped after a lost connection or a restart; at the end it checks every file's sum.
 * Only then does the sender let InstallSnapshot go, so the follower votes and keeps its old state
 * all the while.
 *
 * FRAME_BULK body: u8 kind | u64 shard | u64 replica (of the receiver) | u64 id (manifest), then
 *   1 OFFER  manifest
 *   2 GET    u16 file | u64 offset | u32 length
 *   3 BLOCK  u16 file | u64 offset | bytes
 *   4 DONE
 *   5 GONE   the sender no longer has it
 *
 * Folders under <dir>: out-<shard>-<replica>, in-<shard>-<replica>. Thread: the loop's; jobs on the
 * pool. One object per loop. */

struct transfer;
struct txn;

enum { TRANSFER_BLOCK_SIZE = 256 * 1024, TRANSFER_WINDOW = 4 };

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
};

struct transfer_options {
    const char *dir;
    uint64_t bytes_per_second; /* Sending, of this loop; 0: no limit. */
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

struct transfer_stats {
    uint64_t sending, receiving, bytes_sent, bytes_received, finished, failed;
};
const struct transfer_stats *transfer_stats(const struct transfer *transfer);

#endif
