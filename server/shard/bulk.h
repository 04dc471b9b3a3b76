#ifndef SERVER_SHARD_BULK_H
#define SERVER_SHARD_BULK_H

#include "common/base/disk.h"
#include "common/base/list.h"
#include "common/base/rand.h"
#include "server/shard/transfer.h"

/* What transfer.c, transfer_send.c and transfer_take.c share. Private to them. */

enum {
    BULK_OFFER = 1,
    BULK_GET,
    BULK_BLOCK,
    BULK_DONE,
    BULK_GONE,
    BULK_REPEAT_MS = 500,    /* Offers and requests without an answer. */
    SEND_SILENCE_MS = 30000, /* Without a word from the receiver: given up. */
    EXPORT_FILE_SIZE = 64 << 20,
};

struct bulk_head {
    uint8_t kind;
    uint64_t shard;
    uint64_t replica;
    uint64_t id;
};

/* A snapshot being sent. */
struct sending {
    struct list link;
    struct transfer *transfer;
    struct job job;
    struct group_member to;
    uint64_t token;
    struct txn *view; /* While exporting. */
    struct manifest *manifest;
    char *dir;
    bool exporting;
    bool cancelled;
    enum status status;
    uint64_t offered_ms;
    uint64_t heard_ms;
    struct list wanted; /* Blocks asked for that the throttle holds back. */
    size_t wanted_count;
};

struct wanted_block {
    struct list link;
    uint16_t file;
    uint64_t offset;
    uint32_t len;
};

/* A snapshot arriving. */
struct taking {
    struct list link;
    struct transfer *transfer;
    struct job job;
    uint64_t shard;
    uint64_t replica;
    uint64_t from;
    struct manifest *manifest;
    char *dir;
    size_t file;   /* Being fetched. */
    uint64_t next; /* Offset that the next GET asks for. */
    uint64_t have; /* Offset up to which everything is written. */
    struct disk_file *out;
    uint64_t asked_ms;
    bool verifying;
    bool forgotten; /* Drop it when the job ends. */
    bool ready;
    enum status status;
};

struct transfer {
    struct transfer_env env;
    char *dir;
    uint64_t bytes_per_second;
    int64_t tokens; /* Bytes that may be sent now. */
    uint64_t refilled_ms;
    struct rand rand;
    struct list sendings;
    struct list takings;
    size_t jobs;
    struct transfer_stats stats;
};

/* The body of a frame to the node; NULL if it cannot be reached now. */
struct buf *bulk_begin(struct transfer *transfer,
                       uint64_t node,
                       const struct bulk_head *head,
                       size_t *offset);
/* "<dir>/<direction>-<shard>-<replica>", allocated. */
char *bulk_folder(const struct transfer *transfer,
                  const char *direction,
                  uint64_t shard,
                  uint64_t replica);
/* "<folder>/<n>.sst" */
void bulk_file(const char *folder, size_t n, struct buf *out);
/* Removes the folder's files; the folder too. */
void bulk_clear(const char *folder);
void bulk_remove(const char *folder);

enum status sending_get(struct transfer *transfer, const struct bulk_head *head, struct reader *in);
void sending_done(struct transfer *transfer, const struct bulk_head *head);
void sending_tick(struct transfer *transfer, struct sending *sending, uint64_t now_ms);
void sending_free(struct sending *sending);

enum status taking_offer(struct transfer *transfer,
                         uint64_t from,
                         const struct bulk_head *head,
                         struct slice manifest);
enum status taking_block(struct transfer *transfer,
                         const struct bulk_head *head,
                         struct reader *in);
void taking_gone(struct transfer *transfer, const struct bulk_head *head);
void taking_tick(struct taking *taking, uint64_t now_ms);
void taking_free(struct taking *taking);

#endif
