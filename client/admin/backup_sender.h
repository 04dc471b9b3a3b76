#ifndef CLIENT_ADMIN_BACKUP_SENDER_H
#define CLIENT_ADMIN_BACKUP_SENDER_H

#include "client/admin/backup_cluster.h"
#include "common/base/buf.h"

/* Sends rows of a backup to the shards that own their tokens now, many batches under way at a time.
 * Bringing a batch twice does no harm, so what was not answered well is sent again, cut anew if
 * shards have changed, for a minute. Thread: one. */

enum {
    SENDER_BATCH_SIZE = 256 << 10, /* About: one entry of a log. */
    SENDER_WINDOW = 8,             /* Batches under way to a node. */
};

struct sender_batch {
    struct buf rows; /* u32 length, key | u32 length, value, ... */
    uint64_t token;  /* Of the first row. */
    uint64_t version;
    size_t *pending; /* Counts those that are not there yet. */
};

struct sender_lane {
    struct sender_batch *batches[SENDER_WINDOW];
    size_t first;
    size_t count;
};

struct sender {
    struct backup_cluster *cluster;
    struct sender_lane *lanes; /* By node. */
    struct sender_batch **late;
    size_t late_count;
    uint64_t adopted; /* Keys that came to be. */
    uint64_t retries;
    char error[BACKUP_TEXT_SIZE];
};

/* The cluster has learned its shards. */
void sender_init(struct sender *sender, struct backup_cluster *cluster);
void sender_deinit(struct sender *sender);

struct sender_batch *sender_batch_new(uint64_t token, uint64_t version, size_t *pending);
/* Takes the batch, whose rows are all of the shard that owns its token as far as the cluster knows.
 * May wait for others. False: it failed for good, error says why. */
bool sender_put(struct sender *sender, struct sender_batch *batch);
/* Waits until all are there. */
bool sender_drain(struct sender *sender);

/* SHERD BACKUP APPLY with the words to the shard that owns the token, tried as batches are. */
bool sender_apply(struct sender *sender, uint64_t token, const struct slice *words, size_t count);

#endif
