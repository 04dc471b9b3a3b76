#include "server/control/agent_links.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"

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

bool agent_links_is_up(const struct agent *agent, uint64_t peer)
{
    const struct agent_link *link = map_get(&agent->links, peer);
    return link != NULL && link->up;
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

static void want_nodes_of(struct agent *agent, const struct shard_desc *shard)
{
    for (unsigned i = 0; i < shard->replica_count; i++) {
        const struct node_desc *node = shard_map_node(&agent->map, shard->replicas[i].node);
        if (node != NULL && node->id != agent->identity.node && node->state != NODE_GONE &&
            node->address[0] != '\0') {
            want_address(agent, node->id, node->address);
        }
    }
}

static bool holds(const struct agent *agent, const struct shard_desc *shard)
{
    const struct agent_local *local = map_get(&agent->locals, shard->id);
    return (local != NULL && local->replica != 0) ||
           shard_map_replica_on(shard, agent->identity.node) != NULL;
}

void agent_links_update(struct agent *agent)
{
    size_t at = 0;
    for (struct agent_link *link = map_next(&agent->links, &at); link != NULL;
         link = map_next(&agent->links, &at)) {
        link->wanted = false;
    }
    bool alone =
        agent->alone_since_ms != 0 && agent->now_ms - agent->alone_since_ms > AGENT_ALONE_MS;
    for (unsigned i = 0; (!agent->confirmed || alone) && i < agent->seed_count; i++) {
        if (!agent->seed_useless[i]) {
            want_address(agent, agent_seed_peer(i), agent->seeds[i]);
        }
    }
    if (agent->map.version > 0) {
        want_nodes_of(agent, &agent->map.meta);
    }
    for (size_t i = 0; agent->identity.node != 0 && i < agent->map.shard_count; i++) {
        if (holds(agent, &agent->map.shards[i])) {
            want_nodes_of(agent, &agent->map.shards[i]);
        }
    }
    at = 0;
    for (struct agent_link *link = map_next(&agent->links, &at); link != NULL;
         link = map_next(&agent->links, &at)) {
        if (link->asked && !link->wanted) {
            link->asked = false;
            agent->up_count -= link->up;
            link->up = false;
            agent->env.disconnect(agent->env.ctx, link->peer);
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
