#include "router/route.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/cluster/command_place.h"
#include "common/cluster/token.h"
#include "common/cluster/transaction_home.h"

enum { KEY_SHOWN_MAX = 48 };

void route_init(struct route *route)
{
    *route = (struct route){0};
}

void route_deinit(struct route *route)
{
    free(route->shares);
    free(route->keys);
    free(route->marks);
    *route = (struct route){0};
}

static void *grown(void *array, size_t *size, size_t wanted, size_t item_size)
{
    if (wanted <= *size) {
        return array;
    }
    size_t size_new = *size == 0 ? 16 : *size;
    while (size_new < wanted) {
        size_new *= 2;
    }
    uint8_t *bytes = realloc(array, size_new * item_size);
    assert(bytes != NULL);
    memset(bytes + *size * item_size, 0, (size_new - *size) * item_size);
    *size = size_new;
    return bytes;
}

static size_t position_of(const struct shard_map *map, uint64_t token)
{
    const struct shard_desc *shard = shard_map_find(map, token);
    assert(shard != NULL); /* A map that has shards covers the ring. */
    return (size_t)(shard - map->shards);
}

static uint64_t token_at(
    const struct command *command, const struct args *args, uint8_t db, size_t nth, size_t index)
{
    if (nth == 1) {
        db = command_target_db(command, *args, db);
    }
    return token_of(db, args->argv[index]);
}

static enum status refuse_apart(const struct shard_map *map,
                                struct slice a,
                                struct slice b,
                                const size_t positions[2],
                                struct buf *error)
{
    buf_append_text(error, "CROSSSLOT Keys in request don't hash to the same slot: ");
    buf_append_shown(error, a, KEY_SHOWN_MAX);
    buf_append_format(error, " is on shard %" PRIu64 ", ", map->shards[positions[0]].id);
    buf_append_shown(error, b, KEY_SHOWN_MAX);
    buf_append_format(error, " on shard %" PRIu64 "; ", map->shards[positions[1]].id);
    buf_append_text(error, "give both the same hash tag, as in {user1}:a and {user1}:b");
    return STATUS_CONFLICT;
}

/* OK if all keys lie on one shard, found[0] by position; else CONFLICT, and found[1] is the
 * argument index of the first that lies elsewhere. */
static enum status one_shard(const struct command *command,
                             const struct args *args,
                             uint8_t db,
                             const struct shard_map *map,
                             size_t found[2])
{
    size_t index = command_key_at(command, *args, 0);
    uint64_t first = 0;
    if (index != 0) {
        first = token_at(command, args, db, 0, index);
    } else {
        (void)command_place_keyless(command, args, db, &first);
    }
    found[0] = position_of(map, first);
    const struct shard_desc *shard = &map->shards[found[0]];
    for (size_t nth = 1; index != 0; nth++) {
        index = command_key_at(command, *args, nth);
        if (index == 0) {
            break;
        }
        uint64_t token = token_at(command, args, db, nth, index);
        if (token < shard->start || token > shard->last) {
            found[1] = index;
            return STATUS_CONFLICT;
        }
    }
    return STATUS_OK;
}

void route_regroup(struct route *route,
                   const struct args *args,
                   uint8_t db,
                   const struct shard_map *map,
                   uint32_t *keys,
                   size_t count)
{
    assert(count > 0 && map->shard_count > 0);
    route->marks = grown(route->marks, &route->mark_size, map->shard_count, sizeof(uint32_t));
    route->keys = grown(route->keys, &route->key_size, 2 * count, sizeof(uint32_t));
    /* The upper half remembers the share of each key between the two walks. */
    uint32_t *share_of = route->keys + count;
    route->share_count = 0;
    for (size_t i = 0; i < count; i++) {
        size_t position = position_of(map, token_of(db, args->argv[keys[i]]));
        if (route->marks[position] == 0) {
            size_t wanted = route->share_count + 1;
            route->shares =
                grown(route->shares, &route->share_size, wanted, sizeof(*route->shares));
            route->shares[route->share_count] = (struct route_share){.shard = position};
            route->share_count = wanted;
            route->marks[position] = (uint32_t)wanted;
        }
        share_of[i] = route->marks[position] - 1;
        route->shares[share_of[i]].key_count++;
    }
    uint32_t from = 0;
    for (size_t i = 0; i < route->share_count; i++) {
        route->shares[i].key_from = from;
        from += route->shares[i].key_count;
        route->shares[i].key_count = 0;
        route->marks[route->shares[i].shard] = 0;
    }
    for (size_t i = 0; i < count; i++) {
        struct route_share *share = &route->shares[share_of[i]];
        route->keys[share->key_from + share->key_count] = keys[i];
        share->key_count++;
    }
    memcpy(keys, route->keys, count * sizeof(*keys));
}

static void spread(struct route *route,
                   const struct command *command,
                   const struct args *args,
                   uint8_t db,
                   const struct shard_map *map)
{
    size_t count = 0;
    uint32_t *keys = malloc(args->argc * sizeof(*keys));
    assert(keys != NULL);
    for (;;) {
        size_t index = command_key_at(command, *args, count);
        if (index == 0) {
            break;
        }
        keys[count] = (uint32_t)index;
        count++;
    }
    route->shape = ROUTE_SPREAD;
    route_regroup(route, args, db, map, keys, count);
    free(keys);
}

/* COPY and MOVE from one database to another. OK, or CONFLICT with the reason. */
static enum status check_databases(const struct command *command,
                                   const struct args *args,
                                   uint8_t db,
                                   const struct shard_map *map,
                                   struct buf *error)
{
    uint8_t to_db = command_target_db(command, *args, db);
    if (to_db == db) {
        return STATUS_OK;
    }
    struct slice from = args->argv[1];
    struct slice to = command->id == CMD_move ? from : args->argv[2];
    size_t position = position_of(map, token_of(db, from));
    size_t to_position = position_of(map, token_of(to_db, to));
    if (position == to_position) {
        return STATUS_OK;
    }
    buf_append_text(error, "CROSSSLOT ");
    buf_append_shown(error, from, KEY_SHOWN_MAX);
    buf_append_format(error, " of database %u is on shard %" PRIu64 ", ", (unsigned)db,
                      map->shards[position].id);
    buf_append_shown(error, to, KEY_SHOWN_MAX);
    buf_append_format(error,
                      " of database %u on shard %" PRIu64
                      "; between databases a key is moved or copied only if both lie on one shard",
                      (unsigned)to_db, map->shards[to_position].id);
    return STATUS_CONFLICT;
}

static enum status plan_by_keys(struct route *route,
                                const struct command *command,
                                const struct args *args,
                                uint8_t db,
                                const struct shard_map *map,
                                struct buf *error)
{
    size_t found[2] = {0, 0};
    route->shape = ROUTE_ONE;
    bool moves = command->id == CMD_move || command->id == CMD_copy;
    if (moves && check_databases(command, args, db, map, error) != STATUS_OK) {
        return STATUS_CONFLICT;
    }
    if (one_shard(command, args, db, map, found) == STATUS_OK) {
        route->shard = found[0];
        return STATUS_OK;
    }
    if (command->merge != MERGE_NONE) {
        if ((args->argc - (size_t)command->key_first) % (size_t)command->key_step != 0) {
            buf_append_format(error, "ERR wrong number of arguments for '%s' command",
                              command->name);
            return STATUS_BAD_ARGUMENT;
        }
        spread(route, command, args, db, map);
        return STATUS_OK;
    }
    struct slice first = args->argv[command_key_at(command, *args, 0)];
    struct slice other = args->argv[found[1]];
    size_t nth = 0;
    while (command_key_at(command, *args, nth) != found[1]) {
        nth++;
    }
    uint64_t token = token_at(command, args, db, nth, found[1]);
    size_t positions[2] = {found[0], position_of(map, token)};
    return refuse_apart(map, first, other, positions, error);
}

static enum status plan_scan(struct route *route,
                             const struct args *args,
                             uint8_t db,
                             const struct shard_map *map,
                             struct buf *error)
{
    uint64_t cursor = 0;
    if (args->argc < 2 || !command_place_cursor(args->argv[1], &cursor)) {
        buf_append_text(error, "ERR invalid cursor");
        return STATUS_BAD_ARGUMENT;
    }
    route->shape = ROUTE_ONE;
    route->shard = position_of(map, db == 0 ? cursor : token_of(db, (struct slice){0}));
    return STATUS_OK;
}

enum status route_plan(struct route *route,
                       const struct command *command,
                       const struct args *args,
                       uint8_t db,
                       const struct shard_map *map,
                       struct buf *error)
{
    assert((command->flags & CMD_FRONT) == 0);
    buf_clear(error);
    if (map->shard_count == 0) {
        return STATUS_NO_SHARD;
    }
    if (command->id == CMD_batch) {
        route->shape = ROUTE_ONE;
        return transaction_home(*args, map, &route->shard, error);
    }
    bool one = command_place_colocated(command, db);
    switch (command->merge) {
    case MERGE_NONE:
    case MERGE_ORDER:
    case MERGE_SUM:
    case MERGE_OK: return plan_by_keys(route, command, args, db, map, error);
    case MERGE_SCAN: return plan_scan(route, args, db, map, error);
    case MERGE_ALL_SUM:
    case MERGE_ALL_OK:
    case MERGE_ALL_SAME:
    case MERGE_ALL_ONE:
    case MERGE_ALL_FOUND:
    case MERGE_ALL_CONCAT: route->shape = ROUTE_EVERY; break;
    case MERGE_ANY: route->shape = ROUTE_ANY; break;
    }
    if (one || map->shard_count == 1) {
        route->shape = ROUTE_ONE;
        route->shard = one ? position_of(map, token_of(db, (struct slice){0})) : 0;
    }
    return STATUS_OK;
}
