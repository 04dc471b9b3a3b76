#ifndef ROUTER_ROUTE_H
#define ROUTER_ROUTE_H

#include "common/base/buf.h"
#include "common/base/status.h"
#include "common/cluster/shard_map.h"
#include "common/proto/command.h"

/* Which shards a command goes to. A function of (row, arguments, database, map); the only state is
 * scratch memory that is kept between calls. Pure. Thread: one owner. */

enum route_shape {
    ROUTE_ONE,    /* The whole command to one shard. */
    ROUTE_SPREAD, /* Its keys apart, one share per shard: at least two. */
    ROUTE_EVERY,  /* The whole command to every shard. */
    ROUTE_ANY,    /* The whole command to one shard after the other until one has something. */
};

struct route_share {
    size_t shard; /* Position in map->shards. */
    uint32_t key_from;
    uint32_t key_count;
};

struct route {
    enum route_shape shape;
    size_t shard;       /* ONE. */
    size_t share_count; /* SPREAD: shares in the order of their first keys. */
    struct route_share *shares;
    uint32_t *keys; /* Argument indexes, share by share, rising within each. */
    size_t share_size;
    size_t key_size;
    uint32_t *marks; /* Per shard: its share + 1, or 0. All 0 between calls. */
    size_t mark_size;
};

void route_init(struct route *route);
void route_deinit(struct route *route);

/* The command is none of the front's and its arity is right. NO_SHARD: the map has no shards yet.
 * CONFLICT (keys on several shards that the command needs together), BAD_ARGUMENT (a cursor that is
 * none, a key without its value): *error, cleared before, holds the text with its code. */
MUST_USE enum status route_plan(struct route *route,
                                const struct command *command,
                                const struct args *args,
                                uint8_t db,
                                const struct shard_map *map,
                                struct buf *error);

/* Sorts count argument indexes in place by the shards of today's map, stable; the shares are as
 * after a SPREAD (key_from counts from keys[0]), and may be a single one. For a share whose shard
 * was split. The map has shards. */
void route_regroup(struct route *route,
                   const struct args *args,
                   uint8_t db,
                   const struct shard_map *map,
                   uint32_t *keys,
                   size_t count);

#endif
