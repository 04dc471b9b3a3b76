#include "server/control/agent.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/proto/resp.h"
#include "server/control/agent_call.h"
#include "server/control/agent_join.h"
#include "server/control/agent_links.h"
#include "server/control/agent_replicas.h"
#include "server/control/agent_report.h"

enum {
    JOIN_ANEW_MS = 1000, /* Before a start is confirmed again that was confirmed before. */
    MAP_BYTES_MAX = 64 << 20,
    USURPED_MAX = 3,
    LINKS_MAX = MAP_NODES_MAX + AGENT_SEEDS_MAX,
};

void agent_state_fail(struct agent *agent, enum status status, const char *text)
{
    if (!agent->failed) {
        agent->failed = true;
        agent->env.failed(agent->env.ctx, status, text);
    }
}

/* What the map says of this node itself. */
static void look_at_self(struct agent *agent)
{
    const struct node_desc *self = shard_map_node(&agent->map, agent->identity.node);
    char text[AGENT_TEXT_SIZE_MAX];
    if (self == NULL) {
        return;
    }
    if (self->state == NODE_GONE) {
        snprintf(text, sizeof(text),
                 "node %" PRIu64
                 " is no longer part of the cluster: it was removed, or an empty node took its"
                 " place; start with an empty data directory",
                 self->id);
        agent_state_fail(agent, STATUS_CONFLICT, text);
        return;
    }
    if (agent->confirmed && agent->map.version >= agent->joined_version &&
        self->incarnation != agent->incarnation) {
        /* A request of an earlier start of this node was late; or it was not earlier at all. */
        if (++agent->usurped > USURPED_MAX) {
            agent_state_fail(
                agent, STATUS_CONFLICT,
                "another process runs on a copy of this data directory: stop both, keep one copy");
            return;
        }
        agent->confirmed = false;
        agent->join.next_ms = agent->now_ms + JOIN_ANEW_MS;
    } else if (agent->confirmed && self->address[0] == '\0') {
        log_error("agent.address_taken",
                  "address=%s: another node says that it is there; give each node its own"
                  " --advertise",
                  agent->address);
    }
}

/* Takes the contents of *map, which is newer. */
static void install(struct agent *agent, struct shard_map *map)
{
    assert(map->version > agent->map.version);
    struct shard_map old = agent->map;
    agent->map = *map;
    *map = old;
    buf_clear(&agent->map_bytes);
    shard_map_encode(&agent->map, &agent->map_bytes);
    agent->dirty = true;
    if (agent->identity.node != 0) {
        agent->env.save_map(agent->env.ctx, buf_slice(&agent->map_bytes));
    }
    agent->env.map_changed(agent->env.ctx, &agent->map, buf_slice(&agent->map_bytes));
    agent_links_push(agent, 0);
    look_at_self(agent);
}

/* A map from outside may only be of our cluster; one that has not joined yet takes any. */
static bool fits_cluster(const struct agent *agent, const uint8_t *cluster)
{
    const uint8_t *own = agent->identity.cluster;
    if (identity_cluster_is_zero(own) && agent->map.version > 0) {
        own = agent->map.cluster;
    }
    return identity_cluster_is_zero(own) || memcmp(own, cluster, IDENTITY_CLUSTER_SIZE) == 0;
}

/* All that is due. Every input ends here. */
static void advance(struct agent *agent)
{
    assert(!agent->in_env);
    if (!agent->started) {
        return;
    }
    agent->in_env = true;
    if (agent->dirty && !agent->failed) {
        agent->dirty = false;
        if (agent->identity.node != 0) {
            agent_replicas_create(agent);
            agent_replicas_mark(agent);
        }
        agent_links_update(agent);
    }
    if (!agent->failed) {
        agent_join_step(agent);
        agent_replicas_ask(agent);
        agent_report_send(agent);
    }
    agent->in_env = false;
}

/* Inputs. */

static void begin(struct agent *agent)
{
    assert(!agent->in_env);
    agent->in_env = true;
}

static void end(struct agent *agent)
{
    agent->in_env = false;
    advance(agent);
}

struct agent *agent_new(const struct agent_options *options, const struct agent_env *env)
{
    struct agent *agent = calloc(1, sizeof(*agent));
    assert(agent != NULL);
    assert(options->seed_count <= AGENT_SEEDS_MAX);
    assert(strlen(options->address) < sizeof(agent->address));
    assert(strlen(options->zone) < sizeof(agent->zone));
    agent->env = *env;
    agent->identity = options->identity;
    agent->incarnation = options->incarnation;
    agent->seed_count = options->seed_count;
    snprintf(agent->address, sizeof(agent->address), "%s", options->address);
    snprintf(agent->zone, sizeof(agent->zone), "%s", options->zone);
    for (unsigned i = 0; i < options->seed_count; i++) {
        struct agent_seed *seed = &agent->seeds[i];
        assert(strlen(options->seeds[i]) < sizeof(seed->address));
        snprintf(seed->address, sizeof(seed->address), "%s", options->seeds[i]);
    }
    rand_init(&agent->rand, options->random);
    shard_map_init(&agent->map);
    buf_init(&agent->map_bytes, MAP_BYTES_MAX);
    map_init(&agent->links);
    map_init(&agent->locals);
    map_init(&agent->news);
    if (options->map != NULL && options->map->version > 0 && agent->identity.node != 0 &&
        fits_cluster(agent, options->map->cluster)) {
        shard_map_copy(&agent->map, options->map);
        shard_map_encode(&agent->map, &agent->map_bytes);
    }
    agent->dirty = true;
    return agent;
}

static void free_values(struct map *map)
{
    size_t at = 0;
    for (void *value = map_next(map, &at); value != NULL; value = map_next(map, &at)) {
        free(value);
    }
    map_deinit(map);
}

void agent_free(struct agent *agent)
{
    free_values(&agent->links);
    free_values(&agent->locals);
    agent_report_free(agent);
    shard_map_deinit(&agent->map);
    buf_deinit(&agent->map_bytes);
    free(agent);
}

void agent_replica_opened(struct agent *agent, uint64_t shard, uint64_t replica)
{
    struct agent_local *local = agent_replicas_get(agent, shard);
    assert(shard != 0 && replica != 0);
    assert(local->replica == 0 || local->replica == replica);
    local->replica = replica;
    agent->dirty = true;
}

void agent_replica_tombstoned(struct agent *agent, uint64_t shard, uint64_t replica)
{
    struct agent_local *local = agent_replicas_get(agent, shard);
    assert(shard != 0 && replica != 0);
    local->tombstone = local->tombstone > replica ? local->tombstone : replica;
    agent->dirty = true;
}

void agent_replica_born(struct agent *agent, uint64_t shard, uint64_t replica)
{
    begin(agent);
    struct agent_local *local = agent_replicas_get(agent, shard);
    /* It may be there although one that was asked for in its place was given up, or is being. */
    local->removing = local->removing && local->replica == replica;
    local->replica = replica;
    local->leaving = false;
    local->conf = (struct agent_call){0};
    agent->dirty = true;
    end(agent);
}

void agent_replica_merged(struct agent *agent, uint64_t shard, uint64_t replica)
{
    begin(agent);
    struct agent_local *local = agent_replicas_get(agent, shard);
    local->tombstone = local->tombstone > replica ? local->tombstone : replica;
    local->replica = 0;
    local->removing = false;
    local->leaving = false;
    local->conf = (struct agent_call){0};
    agent->dirty = true;
    end(agent);
}

void agent_ranged(struct agent *agent, const struct agent_range *ranges, size_t count)
{
    begin(agent);
    agent_report_take(agent, ranges, count);
    end(agent);
}

void agent_replica_removed(struct agent *agent, uint64_t shard, uint64_t replica)
{
    begin(agent);
    struct agent_local *local = agent_replicas_get(agent, shard);
    local->tombstone = local->tombstone > replica ? local->tombstone : replica;
    if (local->replica == replica) {
        local->replica = 0;
    }
    local->removing = false;
    local->leaving = false;
    local->conf = (struct agent_call){0};
    agent->dirty = true;
    end(agent);
}

void agent_identity_saved(struct agent *agent, enum status status)
{
    assert(agent->saving);
    begin(agent);
    agent->saving = false;
    if (status != STATUS_OK) {
        agent_state_fail(agent, status,
                         "the data directory cannot be written: the node cannot join");
    } else {
        agent->identity = agent->coming;
        agent->env.joined(agent->env.ctx, &agent->identity);
        if (agent->map.version > 0) {
            agent->env.save_map(agent->env.ctx, buf_slice(&agent->map_bytes));
        }
        agent_join_confirm(agent);
    }
    end(agent);
}

static void expire(struct agent *agent)
{
    if (agent->join.id != 0 && agent->now_ms >= agent->join.deadline_ms) {
        agent_call_again(agent, &agent->join, AGENT_JOIN_MS_MIN, AGENT_JOIN_MS_MAX);
    }
    if (agent->report.id != 0 && agent->now_ms >= agent->report.deadline_ms) {
        agent_report_lost(agent);
    }
    size_t at = 0;
    if (agent->leaving_count == 0) {
        return;
    }
    for (struct agent_local *local = map_next(&agent->locals, &at); local != NULL;
         local = map_next(&agent->locals, &at)) {
        if (local->conf.id != 0 && agent->now_ms >= local->conf.deadline_ms) {
            agent_call_again(agent, &local->conf, AGENT_CONF_MS_MIN, AGENT_CONF_MS_MAX);
        }
    }
}

void agent_tick(struct agent *agent, uint64_t now_ms)
{
    assert(now_ms >= agent->now_ms);
    begin(agent);
    bool first = !agent->started;
    agent->started = true;
    agent->now_ms = now_ms;
    if (first && agent->map.version > 0) {
        look_at_self(agent);
    }
    expire(agent);
    if (agent->up_count > 0) {
        agent->dirty = agent->dirty || agent->alone_since_ms != 0;
        agent->alone_since_ms = 0;
    } else if (agent->alone_since_ms == 0) {
        agent->alone_since_ms = now_ms;
    } else if (agent->confirmed && now_ms - agent->alone_since_ms > AGENT_ALONE_MS) {
        agent->dirty = agent->dirty || agent->seed_count > 0;
    }
    agent_links_refresh(agent);
    end(agent);
}

static void fail_wrong_cluster(struct agent *agent, uint64_t peer)
{
    char text[AGENT_TEXT_SIZE_MAX];
    unsigned n = (unsigned)(peer & (AGENT_SEEDS_MAX - 1));
    snprintf(text, sizeof(text),
             "the data directory belongs to another cluster than the node at %s: give --join an"
             " address of its own cluster, or --data an empty directory",
             agent->seeds[n].address);
    agent_state_fail(agent, STATUS_WRONG_CLUSTER, text);
}

/* A peer of another cluster: of those that the operator gave, a mistake to be told at once. */
static bool is_foreign(struct agent *agent, uint64_t peer, const struct frame_hello *hello)
{
    bool foreign = !identity_cluster_is_zero(hello->cluster) &&
                   !identity_cluster_is_zero(agent->identity.cluster) &&
                   memcmp(hello->cluster, agent->identity.cluster, sizeof(hello->cluster)) != 0;
    if (foreign && agent_is_seed(peer) && !agent->confirmed_before) {
        fail_wrong_cluster(agent, peer);
    }
    return foreign;
}

static enum status take_link(struct agent *agent, uint64_t peer, const struct frame_hello *hello)
{
    uint64_t own = agent->identity.node;
    if (agent_is_seed(hello->node)) { /* No node has such an id. */
        return STATUS_CONFLICT;
    }
    if (is_foreign(agent, peer, hello)) {
        return STATUS_WRONG_CLUSTER;
    }
    if (agent_is_seed(peer) &&
        (hello->incarnation == agent->incarnation || (own != 0 && hello->node == own))) {
        agent->seeds[peer & (AGENT_SEEDS_MAX - 1)].useless = true;
        agent->dirty = true;
        return STATUS_CONFLICT;
    }
    if (agent_is_seed(peer) ? !agent_links_is_asked(agent, peer)
                            : hello->node != peer || peer == own || peer == 0) {
        agent_links_lost(agent, peer);
        return STATUS_CONFLICT;
    }
    if (map_get(&agent->links, peer) == NULL && agent->links.count >= LINKS_MAX) {
        return STATUS_OK; /* Ids that others make up cost no more memory than this. */
    }
    struct agent_link *link = agent_links_get(agent, peer);
    agent->up_count += !link->up;
    link->up = true;
    link->member = !identity_cluster_is_zero(hello->cluster);
    if (link->member && agent->join.id == 0) {
        agent->join.next_ms = agent->now_ms; /* Somebody else who may know. */
    }
    agent_links_subscribe(agent, peer);
    if (!agent_is_seed(peer)) {
        agent_links_push(agent, peer);
    } else if (own != 0 && hello->node != 0) {
        agent_links_found(agent, (unsigned)(peer & (AGENT_SEEDS_MAX - 1)), hello->node);
    }
    return STATUS_OK;
}

enum status agent_link_up(struct agent *agent, uint64_t peer, const struct frame_hello *hello)
{
    begin(agent);
    enum status status = take_link(agent, peer, hello);
    end(agent);
    return status;
}

void agent_link_down(struct agent *agent, uint64_t peer)
{
    struct agent_link *link = map_get(&agent->links, peer);
    if (link != NULL && link->up) {
        link->up = false;
        assert(agent->up_count > 0);
        agent->up_count--;
        agent_call_lost(agent, peer);
    }
}

void agent_link_refused(struct agent *agent, uint64_t peer, enum status status, const char *text)
{
    begin(agent);
    log_warn("agent.refused", "%s=%" PRIu64 " status=\"%s\" text=\"%.200s\"",
             agent_is_seed(peer) ? "seed" : "node", peer & ~agent_seed_peer(0), status_text(status),
             text);
    if (status == STATUS_WRONG_CLUSTER && agent_is_seed(peer) && !agent->confirmed_before) {
        fail_wrong_cluster(agent, peer);
    }
    end(agent);
}

static void route_reply(struct agent *agent,
                        uint64_t request_id,
                        enum status status,
                        struct slice body)
{
    size_t at = 0;
    if (request_id == agent->join.id) {
        agent_join_reply(agent, status, body);
        return;
    }
    if (request_id == agent->report.id) {
        agent_report_reply(agent, status, body);
        return;
    }
    for (struct agent_local *local = map_next(&agent->locals, &at); local != NULL;
         local = map_next(&agent->locals, &at)) {
        if (request_id == local->conf.id) {
            agent_replicas_reply(agent, local, status, body);
            return;
        }
    }
}

void agent_reply(struct agent *agent, uint64_t request_id, enum status status, struct slice body)
{
    begin(agent);
    if (agent_owns_request(request_id) && !agent->failed) {
        route_reply(agent, request_id, status, body);
    }
    end(agent);
}

enum status agent_receive_map(struct agent *agent, struct slice encoded)
{
    struct shard_map map;
    shard_map_init(&map);
    begin(agent);
    enum status status = shard_map_decode(encoded, &map);
    if (status == STATUS_OK && (map.version == 0 || !fits_cluster(agent, map.cluster))) {
        status = map.version == 0 ? STATUS_CORRUPT : STATUS_WRONG_CLUSTER;
    }
    if (status == STATUS_OK && map.version > agent->map.version && !agent->failed) {
        install(agent, &map);
    }
    shard_map_deinit(&map);
    end(agent);
    return status;
}

void agent_apply_map(struct agent *agent, const struct shard_map *map)
{
    begin(agent);
    if (map->version > agent->map.version && !agent->failed) {
        assert(fits_cluster(agent, map->cluster));
        struct shard_map copy;
        shard_map_init(&copy);
        shard_map_copy(&copy, map);
        install(agent, &copy);
        shard_map_deinit(&copy);
    }
    end(agent);
}

const struct shard_map *agent_map(const struct agent *agent)
{
    return &agent->map;
}

struct slice agent_map_bytes(const struct agent *agent)
{
    return buf_slice(&agent->map_bytes);
}

const struct identity *agent_identity(const struct agent *agent)
{
    return &agent->identity;
}

bool agent_is_joined(const struct agent *agent)
{
    return agent->confirmed;
}

void agent_write_conf(const struct group_conf *conf, struct buf *reply)
{
    assert(conf->count <= GROUP_MEMBERS_MAX);
    resp_write_array(reply, conf->count);
    for (unsigned i = 0; i < conf->count; i++) {
        resp_write_int(reply, (int64_t)conf->members[i].replica);
    }
}
