#include "common/cluster/transaction_home.h"

#include <ctype.h>
#include <inttypes.h>

#include "common/base/assert.h"
#include "common/cluster/token.h"

enum { KEY_SHOWN_MAX = 48 };

/* The first thing that decided, and the first that lies elsewhere. */
struct place {
    bool known;
    size_t position;
    uint8_t db;
    struct slice key;
    const struct command *whole; /* Not a key, but all of the database. */
};

struct search {
    const struct shard_map *map;
    struct place home;
    struct place other; /* known: there is a conflict. */
};

static size_t position_of(const struct shard_map *map, uint64_t token)
{
    const struct shard_desc *shard = shard_map_find(map, token);
    assert(shard != NULL); /* A map that has shards covers the ring. */
    return (size_t)(shard - map->shards);
}

static void meet(struct search *search, struct place place)
{
    place.known = true;
    if (!search->home.known) {
        search->home = place;
    } else if (!search->other.known && search->home.position != place.position) {
        search->other = place;
    }
}

static void meet_key(struct search *search, uint8_t db, struct slice key)
{
    struct place place = {.db = db, .key = key};
    place.position = position_of(search->map, token_of(db, key));
    meet(search, place);
}

/* A command without keys is about its database. */
static void meet_database(struct search *search, const struct transaction_item *item)
{
    struct place place = {.db = item->db, .whole = item->command};
    bool all = item->db == 0 || item->command->id == CMD_flushall;
    if (!all) {
        place.position = position_of(search->map, token_of(item->db, slice_of(NULL, 0)));
        meet(search, place);
        return;
    }
    size_t shards = search->map->shard_count;
    meet(search, place);
    if (shards > 1) {
        place.position = shards - 1; /* As well as on the first. */
        meet(search, place);
        place.position = 0;
        meet(search, place);
    }
}

static void meet_item(struct search *search, const struct transaction_item *item)
{
    if (transaction_is_local(item->command)) {
        return;
    }
    if (!command_has_keys(item->command)) {
        meet_database(search, item);
        return;
    }
    uint8_t target = command_target_db(item->command, item->args, item->db);
    size_t index = 0;
    size_t last = 0;
    for (size_t nth = 0; (index = command_key_at(item->command, item->args, nth)) != 0; nth++) {
        bool there = nth == 1 && target != item->db; /* COPY's second. */
        meet_key(search, there ? target : item->db, item->args.argv[index]);
        last = index;
    }
    if (last == 0 && item->db != 0) {
        meet_database(search, item); /* A script that names no keys may touch any of these. */
    }
    if (target != item->db && item->command->id == CMD_move) {
        meet_key(search, target, item->args.argv[last]);
    }
}

enum status transaction_home_of_item(const struct transaction_item *item,
                                     const struct shard_map *map,
                                     size_t *position)
{
    assert(map->shard_count > 0);
    struct search search = {.map = map};
    meet_item(&search, item);
    if (search.other.known) {
        return STATUS_CONFLICT;
    }
    *position = search.home.known ? search.home.position : *position;
    return STATUS_OK;
}

static void show(const struct shard_map *map, const struct place *place, struct buf *error)
{
    if (place->whole == NULL) {
        buf_append_shown(error, place->key, KEY_SHOWN_MAX);
        buf_append_format(error, " of database %u is on shard %" PRIu64, (unsigned)place->db,
                          map->shards[place->position].id);
        return;
    }
    for (const char *at = place->whole->name; *at != '\0'; at++) {
        buf_append_u8(error, (uint8_t)toupper((unsigned char)*at));
    }
    bool all = place->db == 0 || place->whole->id == CMD_flushall;
    if (all) {
        buf_append_text(error, " needs all shards");
    } else {
        buf_append_format(error, " of database %u needs shard %" PRIu64, (unsigned)place->db,
                          map->shards[place->position].id);
    }
}

static void refuse(const struct search *search, struct buf *error)
{
    const struct place *home = &search->home;
    const struct place *other = &search->other;
    buf_append_text(error, "CROSSSLOT a transaction runs on one shard: ");
    show(search->map, home, error);
    if (home->whole == NULL || home->whole != other->whole || home->db != other->db) {
        buf_append_text(error, ", ");
        show(search->map, other, error);
    }
    buf_append_text(error,
                    "; give all keys the same hash tag, as in {user1}:a and {user1}:b, or use a "
                    "co-located database (SELECT 1 to 15)");
}

enum status transaction_home(struct args args,
                             const struct shard_map *map,
                             size_t *position,
                             struct buf *error)
{
    assert(map->shard_count > 0);
    struct transaction transaction;
    if (transaction_open(args, &transaction) != STATUS_OK) {
        buf_append_text(error, "ERR malformed transaction");
        return STATUS_BAD_ARGUMENT;
    }
    struct search search = {.map = map};
    struct transaction_watch watch;
    while (transaction_next_watch(&transaction, &watch)) {
        meet_key(&search, watch.db, watch.key);
    }
    struct transaction_item item;
    while (transaction_next_item(&transaction, &item)) {
        meet_item(&search, &item);
    }
    if (search.other.known) {
        refuse(&search, error);
        return STATUS_CONFLICT;
    }
    *position = search.home.known ? search.home.position : 0;
    return STATUS_OK;
}
