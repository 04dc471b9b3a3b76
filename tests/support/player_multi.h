#ifndef TESTS_SUPPORT_PLAYER_MULTI_H
#define TESTS_SUPPORT_PLAYER_MULTI_H

#include "common/base/buf.h"
#include "common/proto/command.h"

/* MULTI, EXEC, DISCARD, WATCH and UNWATCH for a player: what a client's front does, as far as
 * commands for shards go. Thread: one. */

struct player;
struct player_multi {
    bool open;
    bool dirty;
    size_t count;
    struct buf items; /* Each: u8 db | u32 arguments | arguments */
    size_t watch_count;
    struct buf watches; /* Each: u8 db | u64 version | key */
};

void player_multi_init(struct player_multi *multi);
void player_multi_deinit(struct player_multi *multi);
/* True: it was one of these commands, or was queued; the reply, in the machine's form, was
 * appended.
 */
bool player_multi_take(struct player *player, struct args args, struct buf *reply);

#endif
