#include "server/control/agent_links.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "server/control/agent_call.h"
#include "server/control/agent_replicas.h"

/* One peer is asked for its map again: a lost push is made up for. */
enum { SUBSCRIBE_ANEW_MS = 10000 };

struct agent_link *agent_links_get(struct agent *agent, uint64_t peer)
{
    struct agent_link *link = map_get(&agent->links, peer);
    if (link == NULL) {
        link = calloc(1, sizeof(*link));
        assert(link != NULL);
        link->peer = peer;
        (void)map_put(&agent->links, peer, link);
    }
    return link;
}

bool agent_links_answers(const struct agent *agent, uint64_t peer)
{
    const struct agent_link *link = map_get(&agent->links, peer);
    return link != NULL && link->up && link->member;
}

bool agent_links_is_asked(const struct agent *agent, uint64_t peer)
{
    const struct agent_link *link = map_get(&agent->links, peer);
    return link != NULL && link->asked;
}

static void want_address(struct agent *agent, uint64_t peer, const char *address)
{
    struct agent_link *link = agent_links_get(agent, peer);
    link->wanted = true;
    if (!link->asked || strcmp(link->address, address) != 0) {
        link->asked = true;
        snprintf(link->address, sizeof(link->address), "%s", address);
        agent->env.connect(agent->env.ctx, peer, link->address);
    }
}

const char *agent_address(const struct agent *agent, uint64_t id)
{
    const struct node_desc *node = shard_map_node(&agent->map, id);
    if (node == NULL) {
        return "";
    }
    for (unsigned i = 0; i < agent->seed_count; i++) {
        const struct agent_seed *seed = &agent->seeds[i];
        if (seed->node == id && strcmp(seed->mapped, node->address) == 0) {
            return seed->address;
        }
    }
    return node->address;
}

void agent_links_found(struct agent *agent, unsigned seed_number, uint64_t id)
{
    struct agent_seed *seed = &agent->seeds[seed_number];
    const struct node_desc *node = shard_map_node(&agent->map, id);
    if (node == NULL || strcmp(agent_address(agent, id), seed->address) == 0) {
        return;
    }
    for (unsigned i = 0; i < agent->seed_count; i++) { /* It answered elsewhere before. */
        agent->seeds[i].node = agent->seeds[i].node == id ? 0 : agent->seeds[i].node;
    }
    log_info("agent.found", "node=%" PRIu64 " address=%s map=%s", id, seed->address, node->address);
    seed->node = id;
    snprintf(seed->mapped, sizeof(seed->mapped), "%s", node->address);
    agent->dirty = true;
    agent->env.addresses_changed(agent->env.ctx);
}

void agent_links_lost(struct agent *agent, uint64_t id)
{
    bool was = false;
    for (unsigned i = 0; i < agent->seed_count; i++) {
        struct agent_seed *seed = &agent->seeds[i];
        was = was || seed->node == id;
        seed->node = seed->node == id ? 0 : seed->node;
    }
    if (was && id != 0) {
        agent->dirty = true;
        agent->env.addresses_changed(agent->env.ctx);
    }
}

static void want_node(struct agent *agent, uint64_t id)
{
    const struct node_desc *node = shard_map_node(&agent->map, id);
    const char *address = agent_address(agent, id);
    if (id != agent->identity.node && node != NULL && node->state != NODE_GONE &&
        address[0] != '\0') {
        want_address(agent, id, address);
    }
}

static void want_nodes_of(struct agent *agent, const struct shard_desc *shard)
{
    for (unsigned i = 0; i < shard->replica_count; i++) {
        want_node(agent, shard->replicas[i].node);
    }
}

static void want_all(struct agent *agent)
{
    bool alone =
        agent->alone_since_ms != 0 && agent->now_ms - agent->alone_since_ms > AGENT_ALONE_MS;
    bool lost = alone || agent->map.version == 0; /* Nobody else is known. */
    for (unsigned i = 0; (!agent->confirmed || lost) && i < agent->seed_count; i++) {
        if (!agent->seeds[i].useless) {
            want_address(agent, agent_seed_peer(i), agent->seeds[i].address);
        }
    }
    if (agent->map.version > 0) {
        want_nodes_of(agent, &agent->map.meta);
    }
    /* All of them: a group's members need not be those that the map wants any more, and each of
     * them must be able to answer the others. */
    for (size_t i = 0; agent->identity.node != 0 && i < agent->map.node_count; i++) {
        want_node(agent, agent->map.nodes[i].id);
    }
}

void agent_links_update(struct agent *agent)
{
    size_t at = 0;
    for (struct agent_link *link = map_next(&agent->links, &at); link != NULL;
         link = map_next(&agent->links, &at)) {
        link->wanted = false;
    }
    want_all(agent);
    at = 0;
    for (struct agent_link *link = map_next(&agent->links, &at); link != NULL;
         link = map_next(&agent->links, &at)) {
        if (link->asked && !link->wanted) {
            link->asked = false;
            agent->up_count -= link->up;
            link->up = false;
            agent_call_lost(agent, link->peer);
            agent->env.disconnect(agent->env.ctx, link->peer);
        }
    }
}

void agent_links_push(struct agent *agent, uint64_t peer)
{
    if (agent->map.version == 0 || !agent_replicas_has(agent, SHARD_META)) {
        return;
    }
    size_t at = 0;
    for (struct agent_link *link = map_next(&agent->links, &at); link != NULL;
         link = map_next(&agent->links, &at)) {
        if (link->up && !agent_is_seed(link->peer) && (peer == 0 || peer == link->peer)) {
            agent->env.push_map(agent->env.ctx, link->peer, buf_slice(&agent->map_bytes));
        }
    }
}

void agent_links_subscribe(struct agent *agent, uint64_t peer)
{
    agent->env.subscribe(agent->env.ctx, peer, agent->map.version);
}

/* Asks a peer at random again. */
void agent_links_refresh(struct agent *agent)
{
    if (agent->now_ms < agent->subscribe_ms || agent->up_count == 0) {
        return;
    }
    agent->subscribe_ms = agent->now_ms + SUBSCRIBE_ANEW_MS;
    uint64_t skip = rand_below(&agent->rand, agent->up_count);
    size_t at = 0;
    for (struct agent_link *link = map_next(&agent->links, &at); link != NULL;
         link = map_next(&agent->links, &at)) {
        if (link->up && skip-- == 0) {
            agent_links_subscribe(agent, link->peer);
            return;
        }
    }
}
