#ifndef SERVER_MACHINE_STREAM_TRIM_H
#define SERVER_MACHINE_STREAM_TRIM_H

#include "server/machine/stream.h"

/* Takes entries away from the beginning of a stream: XTRIM and the options of XADD. What goes is
 * found by the counts of whole segments and a walk through one of them, and very many entries go
 * by a range delete: so trimming a stream of millions costs milliseconds. Pure. */

struct stream_trim {
    bool by_id;
    bool whole; /* Only whole segments: "~". */
    uint64_t length_max;
    struct stream_id id_min;
    uint64_t limit; /* At most so many entries; 0: any number. Only with whole. */
};

/* For apply; settles the first entry. IO, CORRUPT. */
MUST_USE enum status stream_trim(struct call *call,
                                 struct stream *stream,
                                 const struct stream_trim *trim,
                                 uint64_t *removed);

#endif
