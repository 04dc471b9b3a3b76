#ifndef SERVER_SHARD_BULK_H
#define SERVER_SHARD_BULK_H

#include "common/base/disk.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/rand.h"
#include "server/shard/transfer.h"

/* What transfer.c, transfer_send.c, transfer_export.c, transfer_take.c and transfer_write.c share.
 * Private to them. */

enum {
    BULK_OFFER = 1,
    BULK_GET,
    BULK_BLOCK,
    BULK_DONE,
    BULK_GONE,
    BULK_TAKEN,
    BULK_REPEAT_MS = 500,    /* Offers and requests without an answer. */
    SEND_SILENCE_MS = 30000, /* Without a word from the receiver: given up. */
    EXPORT_FILE_SIZE = 16 << 20,
    EXPORT_STEP_SIZE = 4 << 20, /* What one job exports. */
    EXPORT_AHEAD = 4,           /* Files that the receiver has not got yet. */
    CHUNK_SIZE = 2 << 20,       /* What one job reads. */
    QUEUE_SIZE = 4 << 20,       /* Bytes that wait to be written. */
    BAD_MAX = 3,                /* A file that is damaged so often is so at the sender. */
};

struct bulk_head {
    uint8_t kind;
    uint64_t shard;
    uint64_t replica;
    uint64_t id;
};

struct place {
    size_t file;
    uint64_t offset;
};

/* A snapshot being sent. */
struct sending {
    struct list link;
    struct transfer *transfer;
    struct group_member to;
    uint64_t token;
    struct manifest *manifest; /* Of the files that are made. */
    char *dir;
    bool complete; /* All are. */
    bool ended;    /* Only a job keeps it. */
    size_t taken;  /* Files that the receiver has, and which are removed here. */
    uint64_t offered_ms;
    uint64_t heard_ms;
    struct list wanted; /* Blocks asked for that are not read yet, or held back by the throttle. */
    size_t wanted_count;
    struct throttle throttle; /* Its own. */
    uint64_t bytes_made;      /* Of all files of the manifest. */
    uint64_t bytes_taken;
    struct place reached; /* The farthest that was sent, and the bytes of the files before it. */
    uint64_t bytes_reached;
    uint64_t estimate;
    uint64_t sent, sent_before, rated_ms, rate;
    /* The job that makes files: its own while it runs. */
    struct job export_job;
    bool exporting;
    struct {
        struct txn *view;
        struct store_export *export;
        struct buf from, to; /* Its range. */
        enum store_family family;
        size_t number;  /* Of the file. */
        size_t useless; /* Files that the receiver has, */
        size_t removed; /* and of these, those that are not here any more. */
        struct manifest_file made;
        bool file_ended, all_ended;
        uint64_t estimate;
        enum status status;
    } work;
    /* The job that reads them. */
    struct job read_job;
    bool reading;
    uint16_t chunk_file;
    uint64_t chunk_offset;
    struct buf chunk;
    enum status read_status;
};

struct wanted_block {
    struct list link;
    uint16_t file;
    uint64_t offset;
    uint32_t len;
};

/* Bytes that came and are not written yet. */
struct arrived_block {
    struct list link;
    uint16_t file;
    uint64_t offset;
    size_t len;
    uint8_t bytes[];
};

/* A snapshot arriving. */
struct taking {
    struct list link;
    struct transfer *transfer;
    uint64_t shard;
    uint64_t replica;
    uint64_t from;
    struct manifest *manifest; /* Grows; what is there does not change. */
    char *dir;
    bool complete;     /* It has all files. */
    struct place next; /* To be asked for. */
    struct place have; /* Up to which everything came. */
    size_t taken;      /* Files that are whole and safe. */
    unsigned bad;      /* How often the one behind them was not what it should be. */
    struct list queue;
    size_t queue_size; /* With what is being written. */
    uint64_t asked_ms;
    bool ready;
    bool forgotten; /* Drop it when the job ends. */
    /* The job: what it has is its own while it runs. */
    struct job job;
    bool working;
    struct {
        bool look; /* At what an earlier process left. */
        size_t count;
        struct list blocks;
        size_t size;
        size_t taken;
        struct place have; /* Found by a look. */
        struct disk_file *out;
        bool bad; /* File `taken` is not what it should be. */
        enum status status;
    } work;
};

/* What arrived and is of no use any more. */
struct leftover {
    struct list link;
    struct transfer *transfer;
    struct job job;
    char *dir;
};

struct transfer {
    struct transfer_env env;
    char *dir;
    struct store *store;
    struct throttle *throttle;
    uint64_t file_size;
    struct rand rand;
    struct map rates; /* shard -> struct rate_rule */
    struct list sendings;
    struct list takings;
    struct list leftovers;
    size_t jobs;
    bool closing; /* Nothing runs any more. */
    struct transfer_stats stats;
};

struct rate_rule {
    uint64_t shard;
    uint64_t rate;
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
/* The same on the pool; takes the name. */
void bulk_remove_later(struct transfer *transfer, char *folder);
void bulk_run(struct transfer *transfer, struct job *job);

enum status sending_get(struct transfer *transfer, const struct bulk_head *head, struct reader *in);
enum status sending_taken(struct transfer *transfer,
                          const struct bulk_head *head,
                          struct reader *in);
void sending_done(struct transfer *transfer, const struct bulk_head *head);
void sending_gone(struct transfer *transfer, const struct bulk_head *head);
void sending_tick(struct transfer *transfer, struct sending *sending, uint64_t now_ms);
void sending_free(struct sending *sending);
/* transfer_export.c tells transfer_send.c. */
void sending_exported(struct sending *sending);
void sending_read(struct sending *sending);
/* More files, if the receiver keeps up. */
void sending_export(struct sending *sending);
/* The part of the file that begins at the offset. */
void sending_load(struct sending *sending, uint16_t file, uint64_t offset);
void sending_release(struct sending *sending);

enum status taking_offer(struct transfer *transfer,
                         uint64_t from,
                         const struct bulk_head *head,
                         struct slice body);
enum status taking_block(struct transfer *transfer,
                         const struct bulk_head *head,
                         struct reader *in);
void taking_gone(struct transfer *transfer, const struct bulk_head *head);
void taking_tick(struct taking *taking, uint64_t now_ms);
void taking_free(struct taking *taking);
/* transfer_write.c tells transfer_take.c. */
void taking_worked(struct taking *taking);
/* Looks at what is there already. */
void taking_look(struct taking *taking);
/* Writes what is queued, if it is not at it. */
void taking_write(struct taking *taking);
void taking_release(struct taking *taking);

#endif
