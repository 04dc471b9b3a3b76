#ifndef SERVER_MACHINE_STREAM_RANGE_H
#define SERVER_MACHINE_STREAM_RANGE_H

#include "server/machine/stream.h"

/* Entries of a stream in order, within what the stream knows of its ends: so that no walk meets
 * what was removed before the first entry. For reads and apply. Pure.
 *
 * From open to close nothing is written, and SCRATCH_FROM and SCRATCH_TO are in use. */

enum {
    STREAM_WALK_COUNT_MAX = 1000,   /* Rows that a read on a loop may walk, */
    STREAM_WALK_SIZE_MAX = 1 << 20, /* and bytes that it may answer. */
};

struct stream_range {
    struct store_iter *iter; /* NULL: nothing can be in it. */
    bool back;
    bool started;
    bool corrupt;
};

/* from <= id <= to, from the first on, or from the last on. */
void stream_range_open(struct call *call,
                       const struct stream *stream,
                       struct stream_id from,
                       struct stream_id to,
                       struct stream_range *range);
void stream_range_open_back(struct call *call,
                            const struct stream *stream,
                            struct stream_id from,
                            struct stream_id to,
                            struct stream_range *range);
/* The value is valid until the next call. */
bool stream_range_next(struct stream_range *range, struct stream_id *id, struct slice *value);
/* OK, AGAIN, IO, CORRUPT. */
MUST_USE enum status stream_range_close(struct stream_range *range);

/* Appends [id, [field, value, ...]]. CORRUPT. */
MUST_USE enum status stream_range_reply_entry(struct buf *reply,
                                              struct stream_id id,
                                              struct slice value);

/* What of a range is wanted. */
struct stream_wish {
    struct stream_id from;
    struct stream_id to;
    uint64_t count; /* At most so many; 0: all. */
    bool back;
};
/* Appends the entries, without the header of an array; *count of them. AGAIN for a read that would
 * take long. */
MUST_USE enum status stream_range_reply(struct call *call,
                                        const struct stream *stream,
                                        const struct stream_wish *wish,
                                        uint64_t *count);
/* True if a read that has walked so many rows, and answered so many bytes, is to go on elsewhere.
 */
bool stream_range_too_long(const struct call *call, uint64_t rows, size_t size);

#endif
