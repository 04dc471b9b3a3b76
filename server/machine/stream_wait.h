#ifndef SERVER_MACHINE_STREAM_WAIT_H
#define SERVER_MACHINE_STREAM_WAIT_H

#include "server/machine/stream.h"

/* Whether XREAD and XREADGROUP, as they were sent, would be answered now: as machine_ready().
 * Exact, since one that is tried in vain is asked about again. Pure. */

MUST_USE enum status stream_wait_read(struct call *call, bool first, uint64_t *count);
MUST_USE enum status stream_wait_group(struct call *call, bool first, uint64_t *count);

#endif
