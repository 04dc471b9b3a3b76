#ifndef SERVER_MACHINE_STREAM_ID_H
#define SERVER_MACHINE_STREAM_ID_H

#include "common/base/buf.h"
#include "common/base/reader.h"

/* Ids of stream entries: a time in ms and a number within it; their order is that of the entries.
 * In rows they are 16 bytes, big endian. Semantics: Redis 7.0 t_stream.c,
 * streamGenericParseIDOrReply() and streamParseIntervalIDOrReply(). Pure. */

struct stream_id {
    uint64_t ms;
    uint64_t seq;
};

enum {
    STREAM_ID_SIZE = 16,
    STREAM_ID_TEXT_SIZE_MAX = 20 + 1 + 20,
};

#define STREAM_ID_MAX ((struct stream_id){.ms = UINT64_MAX, .seq = UINT64_MAX})
#define ERR_STREAM_ID "ERR Invalid stream ID specified as stream command argument"

/* Less than, equal to or greater than 0. */
static inline int stream_id_compare(struct stream_id a, struct stream_id b)
{
    if (a.ms != b.ms) {
        return a.ms < b.ms ? -1 : 1;
    }
    return a.seq == b.seq ? 0 : (a.seq < b.seq ? -1 : 1);
}

static inline bool stream_id_zero(struct stream_id id)
{
    return id.ms == 0 && id.seq == 0;
}

/* The neighbours. False: there is none, and the id went around to the other end. */
bool stream_id_next(struct stream_id *id);
bool stream_id_previous(struct stream_id *id);

void stream_id_append(struct buf *out, struct stream_id id);
struct stream_id stream_id_read(struct reader *in);

/* "ms", "ms-seq", "-" and "+". What lacks of it is missing_seq. */
bool stream_id_parse(struct slice text, uint64_t missing_seq, struct stream_id *id);
/* The same without "-" and "+". */
bool stream_id_parse_strict(struct slice text, struct stream_id *id);
/* The same, and "ms-*" too: then *seq_given is false. */
bool stream_id_parse_new(struct slice text, struct stream_id *id, bool *seq_given);

/* Both ends of an interval, "(" in front of an end excludes it. NULL or an error. */
const char *stream_id_parse_start(struct slice text, struct stream_id *id);
const char *stream_id_parse_end(struct slice text, struct stream_id *id);

/* A bulk string "ms-seq". */
void stream_id_reply(struct buf *reply, struct stream_id id);

#endif
