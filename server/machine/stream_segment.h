#ifndef SERVER_MACHINE_STREAM_SEGMENT_H
#define SERVER_MACHINE_STREAM_SEGMENT_H

#include "server/machine/stream.h"

/* The segments in which the entries of a stream are counted; see stream.h. For apply. Pure. */

/* What Redis has as nodes of a radix tree. */
uint64_t stream_segment_count(const struct stream *stream);

/* Counts an entry in, which comes to the end; it has count strings with so many bytes in all. */
void stream_segment_enter(
    struct call *call, struct stream *stream, struct stream_id id, size_t strings, size_t count);
/* Counts an entry out. IO, CORRUPT. */
MUST_USE enum status stream_segment_leave(struct call *call,
                                          struct stream *stream,
                                          struct stream_id id);

enum stream_segment_place { STREAM_SEGMENT_HEAD, STREAM_SEGMENT_MIDDLE, STREAM_SEGMENT_TAIL };

/* A walk from the first segment on; what is passed goes at its end. Uses SCRATCH_WORK. */
struct stream_segment_walk {
    struct call *call;
    const struct stream *stream;
    struct stream_segment at;   /* live 0: all are passed. */
    struct stream_segment next; /* live 0: at is the last. */
    enum stream_segment_place place;
    enum stream_segment_place next_place;
    struct store_iter *iter; /* Over those in the middle; NULL: not needed yet. */
    struct buf *passed;      /* Ids of those in the middle. */
    uint64_t gone;           /* Entries in what is passed. */
    bool corrupt;
};

void stream_segment_start(struct call *call,
                          const struct stream *stream,
                          struct stream_segment_walk *walk);
void stream_segment_pass(struct stream_segment_walk *walk);
/* Ends the walk and counts what was passed out of the segments, not out of the length. IO, CORRUPT.
 */
MUST_USE enum status stream_segment_finish(struct stream_segment_walk *walk, struct stream *stream);
/* Counts so many entries out of the first segment, which has them. IO, CORRUPT. */
MUST_USE enum status stream_segment_shrink(struct call *call,
                                           struct stream *stream,
                                           uint64_t count);

#endif
