#ifndef SERVER_MACHINE_STREAM_GROUP_H
#define SERVER_MACHINE_STREAM_GROUP_H

#include "server/machine/stream.h"

/* Consumer groups of streams, and their consumers, as rows. A group's row lies under its name; all
 * else that belongs to it under its number, so that one range holds it, whatever the name, and a
 * group that is made again has nothing of an older one. docs/storage_format.md has the bytes.
 *
 * What is here changes the structs; the _put functions write them. Pure. */

/* Pending entries of a group or of a consumer: between these ids. The first is a lower bound, which
 * follows the entries that are acknowledged: without it a read would walk over all that ever were.
 */
struct stream_span {
    uint64_t count;
    struct stream_id first;
    struct stream_id last;
    uint32_t drift; /* Removals since the first one was looked for. */
};

struct stream_group {
    struct slice name; /* The caller's. */
    uint64_t number;
    struct stream_id last; /* Delivered. */
    int64_t read;          /* Entries ever delivered; -1: not known. */
    uint64_t consumers;
    uint64_t last_number; /* Of a consumer. */
    struct stream_span pending;
    uint64_t counted; /* Rows that stream->rows has of it. */
};

struct stream_consumer {
    struct slice name; /* The caller's. */
    uint64_t number;   /* Within the group. */
    uint64_t seen_ms;
    struct stream_span pending;
};

/* Rows of a group: number(8 BE) | the kind below | ... */
enum stream_member {
    STREAM_MEMBER_CONSUMER = 1, /* name -> consumer */
    STREAM_MEMBER_PENDING = 2,  /* id -> see stream_pending.h */
    STREAM_MEMBER_OWNED = 3,    /* number of a consumer(8 BE) | id -> nothing */
};
void stream_group_member_key(const struct stream *stream,
                             uint64_t number,
                             enum stream_member kind,
                             struct buf *key);

/* Rows to structs; the name is not part of them. False: it is none. */
bool stream_group_decode(struct slice row, struct stream_group *group);
bool stream_group_decode_consumer(struct slice row, struct stream_consumer *consumer);

/* number 0: it is not there. For reads too. */
MUST_USE enum status stream_group_load(struct call *call,
                                       const struct stream *stream,
                                       struct slice name,
                                       struct stream_group *group);
/* The stream is put as well if the number of its rows has changed much. */
void stream_group_put(struct call *call, struct stream *stream, struct stream_group *group);
/* A new one, put; the stream is the caller's to put. */
void stream_group_create(struct call *call, struct stream *stream, struct stream_group *group);
/* With all that belongs to it; the stream is the caller's to put. */
MUST_USE enum status stream_group_destroy(struct call *call,
                                          struct stream *stream,
                                          const struct stream_group *group);

/* number 0: it is not there. For reads too. */
MUST_USE enum status stream_group_load_consumer(struct call *call,
                                                const struct stream *stream,
                                                const struct stream_group *group,
                                                struct slice name,
                                                struct stream_consumer *consumer);
void stream_group_put_consumer(struct call *call,
                               const struct stream *stream,
                               const struct stream_group *group,
                               const struct stream_consumer *consumer);
/* Counts a new one in and puts it; the group is the caller's to put. */
void stream_group_add_consumer(struct call *call,
                               const struct stream *stream,
                               struct stream_group *group,
                               struct stream_consumer *consumer);
/* Counts out one that has nothing pending, and deletes it; the group is the caller's to put. */
void stream_group_remove_consumer(struct call *call,
                                  const struct stream *stream,
                                  struct stream_group *group,
                                  const struct stream_consumer *consumer);
/* Loads the one of this name and marks it as seen, or makes it; the consumer is the caller's to
 * put. */
MUST_USE enum status stream_group_meet_consumer(struct call *call,
                                                const struct stream *stream,
                                                struct stream_group *group,
                                                struct slice name,
                                                struct stream_consumer *consumer);

/* How many entries there ever were up to an id; -1: not known. */
int64_t stream_group_estimate(const struct stream *stream, struct stream_id id);
/* How far the group is behind; false: not known. */
bool stream_group_lag(const struct stream *stream, const struct stream_group *group, int64_t *lag);
/* The group delivers the entry of this id, which is greater than the last. */
void stream_group_deliver(const struct stream *stream,
                          struct stream_group *group,
                          struct stream_id id);

#endif
