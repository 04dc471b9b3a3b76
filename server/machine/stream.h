#ifndef SERVER_MACHINE_STREAM_H
#define SERVER_MACHINE_STREAM_H

#include "server/machine/keyspace.h"
#include "server/machine/stream_id.h"

/* Streams: entries as rows by id, and a metadata body that says what lies in them, so that neither
 * the length nor the first entry is ever looked for. docs/storage_format.md has the bytes.
 *
 * Entries are counted in segments, as Redis has them in nodes of its radix tree: up to
 * STREAM_SEGMENT_COUNT that were added one after the other. A trim passes whole segments by their
 * counts, whatever the size of the stream. The first and the last segment lie in the body, those
 * between them in rows of their own. A segment has at least one entry; the last one takes no more
 * when it is full.
 *
 * Pure. For apply unless it says otherwise: stream_put() writes what changed in struct stream. */

enum {
    STREAM_SEGMENT_COUNT = 100,   /* stream-node-max-entries */
    STREAM_SEGMENT_SIZE = 4096,   /* stream-node-max-bytes, of a listpack, roughly */
    STREAM_NAME_SIZE_MAX = 65536, /* Of groups and consumers: they stand in keys of rows. */
};

/* The first byte of element keys. */
enum stream_kind {
    STREAM_ENTRY = 1,   /* id -> fields and values, each with its length */
    STREAM_SEGMENT = 2, /* id of its first entry -> u32 entries */
    STREAM_GROUP = 3,   /* name -> see stream_group.h */
    STREAM_MEMBER = 4,  /* number of the group -> see stream_group.h */
};

struct stream_segment {
    struct stream_id first; /* When it began: no entry in it is less. */
    uint32_t live;          /* Entries; 0: there is no such segment. */
};

struct stream {
    struct slice key; /* The caller's. */
    struct row row;
    uint64_t rows; /* About so many element rows. */
    uint64_t length;
    struct stream_id last;    /* The greatest id ever. */
    struct stream_id deleted; /* The greatest id that XDEL removed. */
    struct stream_id first;   /* Of the first entry; 0-0: none. */
    uint64_t added;           /* Entries ever. */
    uint64_t groups;
    uint64_t number; /* Last one that was given to a group or consumer. */
    struct stream_segment head;
    struct stream_segment tail;
    uint64_t middle;     /* Segments between them: none without a head. */
    uint32_t tail_added; /* Entries that ever came to the tail, */
    uint32_t tail_size;  /* and their bytes. */
    bool first_gone;     /* Not stored: see stream_settle(). */
};

/* The body of the metadata row; false if it is none. */
bool stream_decode(struct slice body, struct stream *stream);
void stream_encode(const struct stream *stream, struct buf *body);

/* For reads too. stream->row.found says whether it exists. WRONG_TYPE. */
MUST_USE enum status stream_load(struct call *call, struct slice key, struct stream *stream);
/* Makes of a stream that was not found an empty one. */
void stream_begin(struct call *call, struct stream *stream);
void stream_put(struct call *call, struct stream *stream);

/* Starts the key of an element row. */
void stream_key(const struct stream *stream, enum stream_kind kind, struct buf *key);
void stream_entry_key(const struct stream *stream, struct stream_id id, struct buf *key);

/* What XADD gives an entry: the id that follows the last one at a time. False: there is none. */
bool stream_next_id(const struct stream *stream, uint64_t now_ms, struct stream_id *id);
/* fields and values, count of them. The id is greater than the last. */
void stream_append(struct call *call,
                   struct stream *stream,
                   struct stream_id id,
                   const struct slice *fields,
                   size_t count);
/* Appends the row of an entry to *value, if it is there. For reads too. */
MUST_USE enum status stream_find(struct call *call,
                                 const struct stream *stream,
                                 struct stream_id id,
                                 struct buf *value,
                                 bool *found);
/* Removes an entry, if it is there. */
MUST_USE enum status stream_remove(struct call *call,
                                   struct stream *stream,
                                   struct stream_id id,
                                   bool *removed);

/* Looks for the first entry, if it was removed. Before stream_put(). */
MUST_USE enum status stream_settle(struct call *call, struct stream *stream);

#endif
