#ifndef COMMON_CLUSTER_COMMAND_PLACE_H
#define COMMON_CLUSTER_COMMAND_PLACE_H

#include "common/proto/command.h"

/* Where on the ring commands belong that have no keys, by their row of the table, their arguments
 * and their database. Pure. Any thread. */

/* About a database that lies whole on one shard (1 to 15), and not about what is in none. */
bool command_place_colocated(const struct command *command, uint8_t db);
/* Its row sends it to all shards, or to any. */
bool command_place_everywhere(const struct command *command);
/* What it says holds for all keys of a shard: it may go only to one whose range is known. */
bool command_place_exact(const struct command *command, uint8_t db);
/* One that goes whole to one shard: the token whose owner that is. False: it goes to any, or to
 * all. */
bool command_place_keyless(const struct command *command,
                           const struct args *args,
                           uint8_t db,
                           uint64_t *token);
/* Where a SCAN goes on: decimal, at most 2^64 - 1. */
bool command_place_cursor(struct slice text, uint64_t *cursor);

#endif
