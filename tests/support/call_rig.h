#ifndef TESTS_SUPPORT_CALL_RIG_H
#define TESTS_SUPPORT_CALL_RIG_H

#include "server/machine/handlers.h"
#include "tests/support/folder.h"

/* A shard of one store of its own, and a call against it as an entry makes it, for tests of the
 * modules below the handlers. Thread: one. */
struct call_rig {
    char folder[FOLDER_SIZE];
    struct store *store;
    struct txn *txn;
    struct machine_state state;
    struct call call;
    struct buf reply;
};

void call_rig_open(struct call_rig *rig, const char *name);
void call_rig_close(struct call_rig *rig); /* Commits; removes the folder. */

/* Rows of the shard. */
size_t call_rig_rows(struct call_rig *rig, enum store_family family);

#endif
