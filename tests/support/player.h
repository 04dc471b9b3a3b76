#ifndef TESTS_SUPPORT_PLAYER_H
#define TESTS_SUPPORT_PLAYER_H

#include "common/proto/command.h"
#include "server/machine/machine.h"
#include "server/script/trial.h"
#include "tests/support/player_multi.h"

/* One shard with the whole ring on a store of its own, without replication: runs commands as a
 * leader would, with a clock that the caller sets. Thread: one. */
struct player {
    struct store *store;
    struct txn *txn;
    struct trial *trial;
    struct machine_state state;
    uint64_t now_ms;
    uint64_t seed;
    uint8_t db;
    int protocol;          /* Of the replies: 2, unless it is set to 3. */
    unsigned commit_every; /* Writes per commit: what is not committed is read by later ones. */
    unsigned writes;
    struct player_multi multi;
};

void player_open(struct player *player, const char *path, unsigned commit_every);
void player_close(struct player *player);
/* Flushes, closes and opens again. */
void player_reopen(struct player *player, const char *path);

/* Appends the reply as a client of the protocol gets it. */
void player_run(struct player *player, struct args args, struct buf *reply);
/* A command for shards whose arity is right; the reply is in the machine's form. */
void player_execute(struct player *player,
                    const struct command *command,
                    struct args args,
                    struct buf *reply);

#endif
