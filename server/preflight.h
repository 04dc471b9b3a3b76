#ifndef SERVER_PREFLIGHT_H
#define SERVER_PREFLIGHT_H

#include "common/base/status.h"
#include "server/control/identity.h"

/* Before anything of a data directory is opened: do the nodes at the addresses of --join belong to
 * the same cluster as the directory? They are asked all at once, on a loop of its own that ends
 * with the call. Blocks. Thread: the one that starts the process. */

enum {
    PREFLIGHT_MS = 400, /* For all answers. Who says nothing until then is not reached. */
    PREFLIGHT_SEEDS_MAX = 16,
};

struct preflight {
    const struct identity *identity; /* With a cluster. */
    const char *const *seeds;        /* "ADDR:PORT" */
    unsigned seed_count;
    /* Where this process itself listens, and what it calls that: not asked. */
    const char *own[2];
};

/* OK, also if nobody answers. WRONG_CLUSTER: text (IDENTITY_TEXT_SIZE_MAX bytes) is one line that
 * says what to do. */
MUST_USE enum status preflight_run(const struct preflight *preflight, char *text);

#endif
