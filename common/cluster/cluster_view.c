#include "common/cluster/cluster_view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/cluster/command_place.h"
#include "common/cluster/token.h"
#include "common/proto/resp.h"

enum { TEXT_SIZE = 64, DATABASES = 16, EXPLAINED_MAX = 256 };

static void field_int(struct buf *out, const char *name, uint64_t value)
{
    resp_write_text(out, name);
    resp_write_int(out, (int64_t)value);
}

static void field_text(struct buf *out, const char *name, const char *value)
{
    resp_write_text(out, name);
    resp_write_text(out, value);
}

static void field_token(struct buf *out, const char *name, uint64_t token)
{
    char text[TEXT_SIZE];
    (void)snprintf(text, sizeof(text), "%016" PRIx64, token);
    field_text(out, name, text);
}

static struct leader_hint leader_of(const struct cluster_view *view, uint64_t shard)
{
    struct leader_hint hint = {.shard = shard};
    if (!view->leader(view->ctx, shard, &hint)) {
        hint.node = 0;
    }
    return hint;
}

static bool is_up(const struct cluster_view *view, uint64_t node)
{
    return view->node_up(view->ctx, node);
}

size_t cluster_view_led(const struct cluster_view *view)
{
    size_t led = 0;
    for (size_t i = 0; i < view->map->shard_count; i++) {
        struct leader_hint hint = leader_of(view, view->map->shards[i].id);
        led += hint.node != 0 && is_up(view, hint.node);
    }
    return led;
}

/* Has fewer voters than wanted, or nobody who leads it and is up. */
static bool is_short(const struct cluster_view *view, const struct shard_desc *shard)
{
    struct leader_hint hint = leader_of(view, shard->id);
    return hint.node == 0 || !is_up(view, hint.node) || hint.voters < shard->replica_count;
}

size_t cluster_view_short(const struct cluster_view *view)
{
    size_t count = 0;
    for (size_t i = 0; i < view->map->shard_count; i++) {
        count += is_short(view, &view->map->shards[i]);
    }
    return count;
}

static void write_status(const struct cluster_view *view, struct buf *out)
{
    const struct shard_map *map = view->map;
    char cluster[2 * sizeof(map->cluster) + 1];
    for (size_t i = 0; i < sizeof(map->cluster); i++) {
        (void)snprintf(cluster + 2 * i, 3, "%02x", map->cluster[i]);
    }
    size_t nodes = 0; /* Those that are gone for good do not count. */
    size_t nodes_up = 0;
    for (size_t i = 0; i < map->node_count; i++) {
        nodes += map->nodes[i].state != NODE_GONE;
        nodes_up += is_up(view, map->nodes[i].id);
    }
    struct leader_hint meta = leader_of(view, SHARD_META);
    if (!is_up(view, meta.node)) {
        meta = (struct leader_hint){0};
    }
    resp_write_map(out, 12);
    field_text(out, "cluster", cluster);
    field_int(out, "map_version", map->version);
    field_text(out, "role", view->role);
    field_int(out, "nodes", nodes);
    field_int(out, "nodes_up", nodes_up);
    field_int(out, "shards", map->shard_count);
    field_int(out, "shards_led", cluster_view_led(view));
    field_int(out, "shards_short", cluster_view_short(view));
    field_int(out, "replicas", map->replicas);
    field_int(out, "meta_leader", meta.node);
    field_int(out, "meta_voters", meta.voters);
    field_int(out, "meta_replicas", map->meta.replica_count);
}

struct node_count {
    uint64_t leads, replicas;
};

static struct node_count *count_of(const struct shard_map *map,
                                   struct node_count *counts,
                                   uint64_t node)
{
    const struct node_desc *desc = shard_map_node(map, node);
    return desc == NULL ? NULL : &counts[desc - map->nodes];
}

static void count_shard(const struct cluster_view *view,
                        const struct shard_desc *shard,
                        struct node_count *counts)
{
    for (unsigned i = 0; i < shard->replica_count; i++) {
        struct node_count *count = count_of(view->map, counts, shard->replicas[i].node);
        if (count != NULL) {
            count->replicas++;
        }
    }
    struct leader_hint hint = leader_of(view, shard->id);
    struct node_count *count = count_of(view->map, counts, hint.node);
    if (count != NULL) {
        count->leads++;
    }
}

static const char *state_text(enum node_state state)
{
    switch (state) {
    case NODE_UP: return "up";
    case NODE_DRAINING: return "draining";
    case NODE_GONE: return "gone";
    }
    return "?";
}

static void write_nodes(const struct cluster_view *view, struct buf *out)
{
    const struct shard_map *map = view->map;
    struct node_count *counts = calloc(map->node_count + 1, sizeof(*counts));
    assert(counts != NULL);
    for (size_t i = 0; i < map->shard_count; i++) {
        count_shard(view, &map->shards[i], counts);
    }
    resp_write_array(out, map->node_count);
    for (size_t i = 0; i < map->node_count; i++) {
        const struct node_desc *node = &map->nodes[i];
        resp_write_map(out, 7);
        field_int(out, "id", node->id);
        field_text(out, "address", node->address);
        field_text(out, "zone", node->zone);
        field_text(out, "state", state_text(node->state));
        resp_write_text(out, "up");
        resp_write_bool(out, is_up(view, node->id));
        field_int(out, "leads", counts[i].leads);
        field_int(out, "replicas", counts[i].replicas);
    }
    free(counts);
}

static void write_shard(const struct cluster_view *view,
                        const struct shard_desc *shard,
                        struct buf *out)
{
    struct leader_hint hint = leader_of(view, shard->id);
    bool led = hint.node != 0 && is_up(view, hint.node);
    resp_write_map(out, 11);
    field_int(out, "id", shard->id);
    if (shard->id == SHARD_META) { /* It has no range. */
        field_text(out, "start", "-");
        field_text(out, "last", "-");
    } else {
        field_token(out, "start", shard->start);
        field_token(out, "last", shard->last);
    }
    field_int(out, "ver", shard->ver);
    field_int(out, "conf_ver", shard->conf_ver);
    field_int(out, "leader", hint.node);
    field_int(out, "term", hint.term);
    field_int(out, "voters", hint.voters);
    resp_write_text(out, "replicas");
    resp_write_array(out, shard->replica_count);
    for (unsigned i = 0; i < shard->replica_count; i++) {
        char text[TEXT_SIZE];
        (void)snprintf(text, sizeof(text), "%" PRIu64 "@%" PRIu64, shard->replicas[i].id,
                       shard->replicas[i].node);
        resp_write_text(out, text);
    }
    field_int(out, "parent", shard->parent);
    field_text(out, "state", !led ? "no leader" : is_short(view, shard) ? "short" : "ok");
}

static void write_shards(const struct cluster_view *view, struct buf *out)
{
    const struct shard_map *map = view->map;
    bool meta = map->meta.id == SHARD_META;
    resp_write_array(out, map->shard_count + meta);
    if (meta) {
        write_shard(view, &map->meta, out);
    }
    for (size_t i = 0; i < map->shard_count; i++) {
        write_shard(view, &map->shards[i], out);
    }
}

static void write_replicas(const struct cluster_view *view,
                           const struct shard_desc *shard,
                           uint64_t leader,
                           struct buf *out)
{
    resp_write_text(out, "replicas");
    resp_write_array(out, shard->replica_count);
    for (unsigned i = 0; i < shard->replica_count; i++) {
        uint64_t id = shard->replicas[i].node;
        const struct node_desc *node = shard_map_node(view->map, id);
        resp_write_map(out, 5);
        field_int(out, "replica", shard->replicas[i].id);
        field_int(out, "node", id);
        field_text(out, "address", node == NULL ? "" : node->address);
        field_text(out, "zone", node == NULL ? "" : node->zone);
        resp_write_text(out, "leader");
        resp_write_bool(out, id == leader);
    }
}

static void write_key(const struct cluster_view *view,
                      struct slice key,
                      uint8_t db,
                      struct buf *out)
{
    uint64_t token = token_of(db, key);
    const struct shard_desc *shard = shard_map_find(view->map, token);
    if (shard == NULL) {
        resp_write_error(out, "CLUSTERDOWN the cluster map is not known here or has no shards yet");
        return;
    }
    struct leader_hint hint = leader_of(view, shard->id);
    const struct node_desc *node = shard_map_node(view->map, hint.node);
    char range[TEXT_SIZE];
    (void)snprintf(range, sizeof(range), "%016" PRIx64 "-%016" PRIx64, shard->start, shard->last);
    resp_write_map(out, 11);
    resp_write_text(out, "key");
    resp_write_bulk(out, key);
    field_int(out, "db", db);
    resp_write_text(out, "tag");
    resp_write_bulk(out, db == 0 ? token_tag(key) : slice_str(""));
    field_token(out, "token", token);
    field_int(out, "shard", shard->id);
    field_text(out, "range", range);
    field_int(out, "ver", shard->ver);
    field_int(out, "leader", hint.node);
    field_text(out, "leader_address", node == NULL ? "" : node->address);
    field_int(out, "term", hint.term);
    write_replicas(view, shard, hint.node, out);
}

/* What a command would do. */

struct place {
    bool keyless;
    struct slice key;
    uint8_t db;
    uint64_t token;
    size_t position; /* In map->shards. */
};

struct places {
    const struct shard_map *map;
    struct place *list;
    size_t count;
};

static void add_place(struct places *places, struct place place)
{
    place.position = (size_t)(shard_map_find(places->map, place.token) - places->map->shards);
    places->list[places->count++] = place;
}

/* Its keys; without any the token that it goes to, if there is one. */
static void find_places(struct places *places,
                        const struct command *command,
                        struct args args,
                        uint8_t db)
{
    uint8_t target = command_target_db(command, args, db);
    size_t index = 0;
    for (size_t nth = 0; (index = command_key_at(command, args, nth)) != 0; nth++) {
        struct place place = {.key = args.argv[index], .db = nth == 1 ? target : db};
        place.token = token_of(place.db, place.key);
        add_place(places, place);
    }
    if (places->count > 0 && target != db && command->id == CMD_move) {
        struct place place = {.key = args.argv[1], .db = target};
        place.token = token_of(target, place.key);
        add_place(places, place);
    }
    struct place place = {.keyless = true, .db = db};
    if (places->count == 0 && command_place_keyless(command, &args, db, &place.token)) {
        add_place(places, place);
    }
}

static bool is_first_of_shard(const struct places *places, size_t nth)
{
    for (size_t i = 0; i < nth; i++) {
        if (places->list[i].position == places->list[nth].position) {
            return false;
        }
    }
    return true;
}

static size_t count_shards(const struct places *places)
{
    size_t count = 0;
    for (size_t i = 0; i < places->count; i++) {
        count += is_first_of_shard(places, i);
    }
    return count;
}

static void write_places(const struct places *places, size_t position, struct buf *out)
{
    size_t count = 0;
    for (size_t i = 0; i < places->count; i++) {
        count += places->list[i].position == position && !places->list[i].keyless;
    }
    resp_write_text(out, "keys");
    resp_write_array(out, count);
    for (size_t i = 0; i < places->count; i++) {
        const struct place *place = &places->list[i];
        if (place->position != position || place->keyless) {
            continue;
        }
        resp_write_map(out, 3);
        resp_write_text(out, "key");
        resp_write_bulk(out, place->key);
        field_int(out, "db", place->db);
        field_token(out, "token", place->token);
    }
}

static void write_stop(const struct cluster_view *view,
                       const struct places *places,
                       size_t position,
                       struct buf *out)
{
    const struct shard_desc *shard = &view->map->shards[position];
    struct leader_hint hint = leader_of(view, shard->id);
    const struct node_desc *node = shard_map_node(view->map, hint.node);
    char range[TEXT_SIZE];
    (void)snprintf(range, sizeof(range), "%016" PRIx64 "-%016" PRIx64, shard->start, shard->last);
    resp_write_map(out, 10);
    field_int(out, "shard", shard->id);
    field_text(out, "range", range);
    field_int(out, "ver", shard->ver);
    field_int(out, "conf_ver", shard->conf_ver);
    field_int(out, "leader", hint.node);
    field_text(out, "leader_address", node == NULL ? "" : node->address);
    field_text(out, "leader_zone", node == NULL ? "" : node->zone);
    field_int(out, "term", hint.term);
    write_places(places, position, out);
    write_replicas(view, shard, hint.node, out);
}

static const char *way_of(const struct command *command, uint8_t db, size_t shards)
{
    if ((command->flags & CMD_FRONT) != 0) {
        return "here";
    }
    if (command_place_everywhere(command) && !command_place_colocated(command, db)) {
        return command->merge == MERGE_ANY ? "any shard" : "all shards";
    }
    if (shards <= 1) {
        return "one shard";
    }
    bool apart =
        command->merge == MERGE_ORDER || command->merge == MERGE_SUM || command->merge == MERGE_OK;
    return apart ? "shares" : "refused";
}

static void write_way(const struct cluster_view *view,
                      const struct command *command,
                      const struct places *places,
                      uint8_t db,
                      struct buf *out)
{
    size_t shards = count_shards(places);
    const char *way = way_of(command, db, shards);
    bool here = strcmp(way, "here") == 0;
    bool refused = strcmp(way, "refused") == 0;
    bool all = !here && shards == 0;
    resp_write_map(out, 5);
    field_text(out, "command", command->name);
    field_int(out, "db", db);
    field_text(out, "way", way);
    field_text(out, "reason",
               refused ? "CROSSSLOT these keys lie on several shards; give them the same hash tag, "
                         "as in {user1}:a and {user1}:b"
                       : "");
    resp_write_text(out, "shards");
    resp_write_array(out, here ? 0 : all ? view->map->shard_count : shards);
    for (size_t i = 0; all && i < view->map->shard_count; i++) {
        write_stop(view, places, i, out);
    }
    for (size_t i = 0; !here && i < places->count; i++) {
        if (is_first_of_shard(places, i)) {
            write_stop(view, places, places->list[i].position, out);
        }
    }
}

static void write_command(const struct cluster_view *view,
                          struct args args,
                          uint8_t db,
                          struct buf *out)
{
    const struct command *command = command_find(args.argv[0]);
    if (command == NULL || (command->flags & CMD_INTERNAL) != 0) {
        resp_write_error(out, "ERR there is no such command to explain");
        return;
    }
    if (command_check(command, args.argc) != STATUS_OK) {
        resp_write_errorf(out, "ERR wrong number of arguments for '%s' command", command->name);
        return;
    }
    if (view->map->shard_count == 0) {
        resp_write_error(out, "CLUSTERDOWN the cluster map is not known here or has no shards yet");
        return;
    }
    if (args.argc > EXPLAINED_MAX) {
        resp_write_error(out, "ERR a command with so many arguments is not explained");
        return;
    }
    struct place list[EXPLAINED_MAX + 1];
    struct places places = {.map = view->map, .list = list};
    if ((command->flags & CMD_FRONT) == 0) {
        find_places(&places, command, args, db);
    }
    write_way(view, command, &places, db, out);
}

/* False if it is not the number of a database. */
static bool read_db(struct slice text, uint8_t *db)
{
    if (text.len == 0 || text.len > 2) {
        return false;
    }
    unsigned value = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9) {
            return false;
        }
        value = value * 10 + digit;
    }
    *db = (uint8_t)value;
    return value < DATABASES;
}

static void write_explain(const struct cluster_view *view,
                          const struct args *args,
                          uint8_t db,
                          struct buf *out)
{
    uint8_t number = 0;
    bool words = args->argc > 4 || (args->argc == 4 && !read_db(args->argv[3], &number));
    if (words && command_word(args->argv[2], "command")) {
        write_command(view, (struct args){.argv = args->argv + 3, .argc = args->argc - 3}, db, out);
        return;
    }
    if (args->argc > 4) {
        resp_write_error(out, "ERR wrong number of arguments for 'sherd|explain' command");
        return;
    }
    if (args->argc == 4 && !read_db(args->argv[3], &db)) {
        resp_write_error(out, "ERR DB index is out of range");
        return;
    }
    write_key(view, args->argv[2], db, out);
}

static void write_map(const struct cluster_view *view, struct buf *out)
{
    struct buf encoded;
    buf_init(&encoded, SIZE_MAX / 2);
    shard_map_encode(view->map, &encoded);
    resp_write_bulk(out, buf_slice(&encoded));
    buf_deinit(&encoded);
}

enum view_topic { VIEW_STATUS, VIEW_NODES, VIEW_SHARDS, VIEW_EXPLAIN, VIEW_MAP, VIEW_TOPICS };

static const struct {
    const char *name;
    size_t argc_min, argc_max;
} topics[VIEW_TOPICS] = {
    [VIEW_STATUS] = {"status", 2, 2}, [VIEW_NODES] = {"nodes", 2, 2},
    [VIEW_SHARDS] = {"shards", 2, 2}, [VIEW_EXPLAIN] = {"explain", 3, SIZE_MAX},
    [VIEW_MAP] = {"map", 2, 2},
};

bool cluster_view_answer(const struct cluster_view *view,
                         const struct args *args,
                         uint8_t db,
                         struct buf *out)
{
    enum view_topic topic = VIEW_STATUS;
    while (topic < VIEW_TOPICS && args->argc >= 2 &&
           !command_word(args->argv[1], topics[topic].name)) {
        topic++;
    }
    if (args->argc < 2 || topic == VIEW_TOPICS) {
        return false;
    }
    if (args->argc < topics[topic].argc_min || args->argc > topics[topic].argc_max) {
        resp_write_errorf(out, "ERR wrong number of arguments for 'sherd|%s' command",
                          topics[topic].name);
        return true;
    }
    switch (topic) {
    case VIEW_STATUS: write_status(view, out); break;
    case VIEW_NODES: write_nodes(view, out); break;
    case VIEW_SHARDS: write_shards(view, out); break;
    case VIEW_EXPLAIN: write_explain(view, args, db, out); break;
    case VIEW_MAP: write_map(view, out); break;
    case VIEW_TOPICS: assert(false);
    }
    return true;
}
