#ifndef TESTS_SUPPORT_MACHINE_RIG_H
#define TESTS_SUPPORT_MACHINE_RIG_H

#include "common/proto/resp.h"
#include "server/machine/handlers.h"
#include "tests/support/folder.h"
#include "tests/support/player.h"

/* A player in a folder of its own for tests that look at rows: commands as text, and calls as a
 * handler gets them. Thread: one. */
struct machine_rig {
    struct player player;
    char folder[FOLDER_SIZE];
    struct resp_parser parser;
    struct buf reply;
    struct call call; /* Against the player's txn and state. */
};

void machine_rig_open(struct machine_rig *rig, unsigned commit_every);
void machine_rig_close(struct machine_rig *rig); /* Removes the folder. */

/* Runs an inline request; the reply of a RESP2 client is valid until the next one. */
struct slice machine_rig_do(struct machine_rig *rig, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The number of an integer reply; others fail the test. */
int64_t machine_rig_count(struct machine_rig *rig, const char *command);

/* Rows that begin with the prefix; an empty one: all of the family. */
size_t machine_rig_rows(struct machine_rig *rig, enum store_family family, struct slice prefix);
/* Lets entries pass until removed collections are gone; returns how many. */
size_t machine_rig_sweep(struct machine_rig *rig);

#endif
