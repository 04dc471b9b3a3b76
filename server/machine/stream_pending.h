#ifndef SERVER_MACHINE_STREAM_PENDING_H
#define SERVER_MACHINE_STREAM_PENDING_H

#include "server/machine/stream_group.h"

/* Entries that a group has delivered and that are not acknowledged. Each is a row of the group, by
 * id, and an empty one of its consumer, so that both can be walked in order:
 *   u64 number of the consumer | u64 time of delivery | u64 deliveries | name of the consumer
 * Groups and consumers are the caller's to put. Pure. */

struct stream_nack {
    uint64_t consumer;
    uint64_t time_ms;
    uint64_t count;
    struct slice name; /* Of the consumer. */
};

/* False: it is none. */
bool stream_pending_decode(struct slice row, struct stream_nack *nack);
/* *found; the name lies in SCRATCH_VALUE_B. For reads too. */
MUST_USE enum status stream_pending_find(struct call *call,
                                         const struct stream *stream,
                                         const struct stream_group *group,
                                         struct stream_id id,
                                         struct stream_nack *nack,
                                         bool *found);
/* Writes the row anew: the time and the number of deliveries. */
void stream_pending_put(struct call *call,
                        const struct stream *stream,
                        const struct stream_group *group,
                        struct stream_id id,
                        const struct stream_nack *nack);
/* One that was not pending is, for a consumer. */
void stream_pending_add(struct call *call,
                        const struct stream *stream,
                        struct stream_group *group,
                        struct stream_consumer *consumer,
                        struct stream_id id,
                        const struct stream_nack *nack);
/* One is not pending any more; its consumer is loaded and put. */
MUST_USE enum status stream_pending_remove(struct call *call,
                                           const struct stream *stream,
                                           struct stream_group *group,
                                           struct stream_id id,
                                           const struct stream_nack *nack);
/* One passes to another consumer, who may be the same; an older one is loaded and put. */
MUST_USE enum status stream_pending_pass(struct call *call,
                                         const struct stream *stream,
                                         const struct stream_group *group,
                                         struct stream_consumer *consumer,
                                         struct stream_id id,
                                         const struct stream_nack *nack);
/* All of a consumer are not pending any more. Linear in their number. */
MUST_USE enum status stream_pending_drop(struct call *call,
                                         const struct stream *stream,
                                         struct stream_group *group,
                                         struct stream_consumer *consumer);

/* A walk from an id on, in order; nothing is written from open to close. Uses SCRATCH_FROM and
 * SCRATCH_TO. */
struct stream_pending_walk {
    struct store_iter *iter; /* NULL: there is nothing. */
    bool started;
    bool corrupt;
};
/* consumer: NULL for those of the group; then *row below is the row, else it is empty. */
void stream_pending_open(struct call *call,
                         const struct stream *stream,
                         const struct stream_group *group,
                         const struct stream_consumer *consumer,
                         struct stream_id from,
                         struct stream_pending_walk *walk);
bool stream_pending_next(struct stream_pending_walk *walk, struct stream_id *id, struct slice *row);
MUST_USE enum status stream_pending_close(struct stream_pending_walk *walk);
/* The greatest id that is pending in a group that has some. For reads. */
MUST_USE enum status stream_pending_last(struct call *call,
                                         const struct stream *stream,
                                         const struct stream_group *group,
                                         struct stream_id *id);

#endif
