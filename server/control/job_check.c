#include "server/control/job_check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"

static const char *say(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static const char *say(char *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, JOB_FAULT_SIZE, format, args);
    va_end(args);
    return text;
}

static bool is_up(const struct shard_map *map, uint64_t node)
{
    const struct node_desc *desc = shard_map_node(map, node);
    return desc != NULL && desc->state == NODE_UP;
}

static bool same_zone(const struct node_desc *a, const struct node_desc *b)
{
    return strcmp(a->zone, b->zone) == 0;
}

/* Nodes that are up in the zone of nodes[i]; 0 if an earlier one stands for that zone. */
static unsigned zone_size(const struct shard_map *map, size_t i)
{
    unsigned size = 0;
    for (size_t j = 0; j < map->node_count; j++) {
        if (map->nodes[j].state != NODE_UP || !same_zone(&map->nodes[i], &map->nodes[j])) {
            continue;
        }
        if (j < i) {
            return 0;
        }
        size++;
    }
    return size;
}

unsigned job_check_zone_cap(const struct shard_map *map, unsigned count)
{
    unsigned *sizes = calloc(map->node_count + 1, sizeof(*sizes));
    assert(sizes != NULL);
    for (size_t i = 0; i < map->node_count; i++) {
        sizes[i] = map->nodes[i].state == NODE_UP ? zone_size(map, i) : 0;
    }
    unsigned cap = 0;
    unsigned room = 0;
    while (room < count && cap < count) {
        cap++;
        room = 0;
        for (size_t i = 0; i < map->node_count; i++) {
            room += sizes[i] < cap ? sizes[i] : cap;
        }
    }
    free(sizes);
    return cap;
}

unsigned job_check_crowd(const struct shard_map *map, const uint64_t *nodes, unsigned count)
{
    unsigned most = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct node_desc *node = shard_map_node(map, nodes[i]);
        unsigned same = 0;
        for (unsigned j = 0; node != NULL && j < count; j++) {
            const struct node_desc *other = shard_map_node(map, nodes[j]);
            same += other != NULL && same_zone(node, other);
        }
        most = same > most ? same : most;
    }
    return most;
}

static const char *check_versions(const struct shard_desc *shard,
                                  const struct job_spec *spec,
                                  char *text)
{
    bool same = (spec->ver == 0 || spec->ver == shard->ver) &&
                (spec->conf_ver == 0 || spec->conf_ver == shard->conf_ver);
    return same ? NULL
                : say(text,
                      "CONFLICT shard %" PRIu64
                      " has changed since this was planned: look again, and plan anew",
                      shard->id);
}

/* The shard, if it is there and as it was when this was decided. */
static const struct shard_desc *find(const struct shard_map *map,
                                     const struct job_spec *spec,
                                     char *text,
                                     const char **fault)
{
    const struct shard_desc *shard = shard_map_shard(map, spec->shard);
    *fault = shard == NULL ? say(text, "CONFLICT there is no shard %" PRIu64, spec->shard)
                           : check_versions(shard, spec, text);
    return shard;
}

static const char *check_zones(const struct shard_map *map,
                               const struct shard_desc *shard,
                               const struct job_spec *spec,
                               char *text)
{
    uint64_t old[SHARD_REPLICAS_MAX];
    uint64_t both[SHARD_REPLICAS_MAX + 1];
    uint64_t new[SHARD_REPLICAS_MAX];
    unsigned count = shard->replica_count;
    for (unsigned i = 0; i < count; i++) {
        old[i] = both[i] = new[i] = shard->replicas[i].node;
        if (new[i] == spec->from) {
            new[i] = spec->to;
        }
    }
    both[count] = spec->to;
    unsigned now = job_check_crowd(map, old, count);
    unsigned cap = job_check_zone_cap(map, count);
    unsigned cap_both = job_check_zone_cap(map, count + 1);
    unsigned after = job_check_crowd(map, new, count);
    unsigned meanwhile = job_check_crowd(map, both, count + 1);
    const struct node_desc *node = shard_map_node(map, spec->to);
    if (after > cap && after > now) {
        return say(text,
                   "UNSAFE zone '%s' of node %" PRIu64
                   " would have %u of %u replicas of shard %" PRIu64
                   ": choose a node of another zone",
                   node->zone, node->id, after, count, shard->id);
    }
    if (meanwhile > cap_both && meanwhile > now) {
        return say(text,
                   "UNSAFE while shard %" PRIu64
                   " moves, one zone would have %u of %u replicas:"
                   " choose a node of another zone",
                   shard->id, meanwhile, count + 1);
    }
    return NULL;
}

static const char *check_move(const struct shard_map *map, const struct job_spec *spec, char *text)
{
    const char *fault = NULL;
    const struct shard_desc *shard = find(map, spec, text, &fault);
    if (fault != NULL) {
        return fault;
    }
    if (shard_map_replica_on(shard, spec->from) == NULL) {
        return say(text, "CONFLICT shard %" PRIu64 " has no replica on node %" PRIu64, spec->shard,
                   spec->from);
    }
    if (!is_up(map, spec->to)) {
        return say(text,
                   "CONFLICT node %" PRIu64 " takes no replicas: it is unknown, gone or draining",
                   spec->to);
    }
    if (shard_map_replica_on(shard, spec->to) != NULL) {
        return say(text, "CONFLICT shard %" PRIu64 " has a replica on node %" PRIu64 " already",
                   spec->shard, spec->to);
    }
    if (shard->replica_count >= SHARD_REPLICAS_MAX) {
        return say(text, "CONFLICT shard %" PRIu64 " is being moved already", spec->shard);
    }
    return check_zones(map, shard, spec, text);
}

static const char *check_transfer(const struct shard_map *map,
                                  const struct job_spec *spec,
                                  char *text)
{
    const char *fault = NULL;
    const struct shard_desc *shard = find(map, spec, text, &fault);
    if (fault == NULL && shard_map_replica_on(shard, spec->to) == NULL) {
        fault = say(text,
                    "CONFLICT shard %" PRIu64 " has no replica on node %" PRIu64
                    ": move one there first",
                    spec->shard, spec->to);
    }
    if (fault == NULL && !is_up(map, spec->to)) {
        fault = say(text, "CONFLICT node %" PRIu64 " is draining", spec->to);
    }
    return fault;
}

static const char *check_split(const struct shard_map *map, struct job_spec *spec, char *text)
{
    const char *fault = NULL;
    const struct shard_desc *shard = find(map, spec, text, &fault);
    if (fault != NULL) {
        return fault;
    }
    if (shard->id == SHARD_META) {
        return say(text, "CONFLICT shard %d is the meta group: it has no range", SHARD_META);
    }
    if (map->shard_count >= MAP_SHARDS_MAX) {
        return say(text, "CONFLICT the cluster has %d shards, its maximum", MAP_SHARDS_MAX);
    }
    if (spec->token == 0) {
        spec->token = shard->start + (shard->last - shard->start) / 2 + 1;
    }
    if (shard->start == shard->last || spec->token <= shard->start || spec->token > shard->last) {
        return say(text,
                   "CONFLICT shard %" PRIu64 " has the tokens %016" PRIx64 " to %016" PRIx64
                   ": it cannot be split at %016" PRIx64,
                   shard->id, shard->start, shard->last, spec->token);
    }
    return NULL;
}

static bool same_nodes(const struct shard_desc *a, const struct shard_desc *b)
{
    bool same = a->replica_count == b->replica_count;
    for (unsigned i = 0; same && i < a->replica_count; i++) {
        same = shard_map_replica_on(b, a->replicas[i].node) != NULL;
    }
    return same;
}

static const char *check_merge(const struct shard_map *map, const struct job_spec *spec, char *text)
{
    const char *fault = NULL;
    const struct shard_desc *source = find(map, spec, text, &fault);
    if (fault != NULL) {
        return fault;
    }
    const struct shard_desc *target = shard_map_shard(map, spec->other);
    if (target == NULL || target->id == SHARD_META || source->id == SHARD_META) {
        return say(text, "CONFLICT there is no shard %" PRIu64 " that could take over the range",
                   target == NULL ? spec->other : (uint64_t)SHARD_META);
    }
    bool left = target->last != UINT64_MAX && target->last + 1 == source->start;
    bool right = source->last != UINT64_MAX && source->last + 1 == target->start;
    if (!left && !right) {
        return say(text, "CONFLICT shards %" PRIu64 " and %" PRIu64 " are not neighbours",
                   source->id, target->id);
    }
    if (!same_nodes(source, target)) {
        return say(text,
                   "CONFLICT shards %" PRIu64 " and %" PRIu64
                   " are on different nodes: move the replicas of one first",
                   source->id, target->id);
    }
    return NULL;
}

/* Without the node, all shards must still find their places. */
static const char *check_drain(const struct shard_map *map, const struct job_spec *spec, char *text)
{
    const struct node_desc *node = shard_map_node(map, spec->from);
    if (node == NULL || node->state == NODE_GONE) {
        return say(text, "CONFLICT there is no node %" PRIu64, spec->from);
    }
    if (spec->kind == JOB_REPLACE && (spec->to == spec->from || !is_up(map, spec->to))) {
        return say(text,
                   "CONFLICT node %" PRIu64
                   " cannot take its place: it must be another one"
                   " that is up",
                   spec->to);
    }
    unsigned others = 0;
    for (size_t i = 0; i < map->node_count; i++) {
        others += map->nodes[i].state == NODE_UP && map->nodes[i].id != spec->from;
    }
    unsigned needed = map->replicas;
    if (shard_map_replica_on(&map->meta, spec->from) != NULL && map->meta.replica_count > needed) {
        needed = map->meta.replica_count;
    }
    if (others < needed) {
        return say(text,
                   "UNSAFE %u other nodes take replicas, and each shard needs %u: add a node first",
                   others, needed);
    }
    return NULL;
}

const char *job_check(const struct shard_map *map, struct job_spec *spec, char *text)
{
    switch (spec->kind) {
    case JOB_SPLIT: return check_split(map, spec, text);
    case JOB_MERGE: return check_merge(map, spec, text);
    case JOB_MOVE: return check_move(map, spec, text);
    case JOB_TRANSFER: return check_transfer(map, spec, text);
    case JOB_DRAIN:
    case JOB_REPLACE:
    case JOB_REBUILD: return check_drain(map, spec, text);
    case JOB_REBALANCE: return NULL;
    case JOB_KINDS: break;
    }
    return say(text, "ERR there is no such kind of job");
}
