#include "server/control/agent_replicas.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/proto/resp.h"
#include "server/control/agent_call.h"
#include "server/control/meta_machine.h"

enum { CONF_REPLICAS_MAX = 2 * GROUP_MEMBERS_MAX };

struct agent_local *agent_replicas_get(struct agent *agent, uint64_t shard)
{
    struct agent_local *local = map_get(&agent->locals, shard);
    if (local == NULL) {
        local = calloc(1, sizeof(*local));
        assert(local != NULL);
        local->shard = shard;
        (void)map_put(&agent->locals, shard, local);
    }
    return local;
}

/* Makes the replica that the descriptor gives to this node, if it is not there.
 *
 * A group is born from the descriptor's first version only: the members that start it must agree on
 * who they are. Who hears of the shard later waits for a snapshot from those. One that was split
 * off is never born so: it comes with the split, or waits for a snapshot. */
static void create_wanted(struct agent *agent, const struct shard_desc *desc)
{
    const struct replica_desc *replica = shard_map_replica_on(desc, agent->identity.node);
    if (replica == NULL) {
        return;
    }
    struct agent_local *local = agent_replicas_get(agent, desc->id);
    if (local->replica != 0 || replica->id <= local->tombstone) {
        return;
    }
    bool birth = replica->id <= desc->birth_max && desc->conf_ver == 1 && desc->parent == 0;
    local->replica = replica->id;
    log_info("agent.replica_create", "shard=%" PRIu64 " replica=%" PRIu64 " birth=%d", desc->id,
             replica->id, birth);
    agent->env.replica_create(agent->env.ctx, desc, replica->id, birth);
}

void agent_replicas_create(struct agent *agent)
{
    if (agent->map.version > 0) {
        create_wanted(agent, &agent->map.meta);
        for (size_t i = 0; i < agent->map.shard_count; i++) {
            create_wanted(agent, &agent->map.shards[i]);
        }
    } else if (agent->identity.bootstrap) {
        struct shard_desc meta;
        meta_machine_birth(&meta);
        create_wanted(agent, &meta);
    }
}

/* Marks the replicas that the map does not list here any more. A map that may be older than one
 * that this node has seen (its file can be lost) says nothing: the join has told how new it must
 * be. */
void agent_replicas_mark(struct agent *agent)
{
    bool sure = agent->confirmed && agent->map.version >= agent->joined_version;
    size_t at = 0;
    agent->leaving_count = 0;
    for (struct agent_local *local = map_next(&agent->locals, &at); local != NULL;
         local = map_next(&agent->locals, &at)) {
        const struct shard_desc *desc = shard_map_shard(&agent->map, local->shard);
        bool leaving = false;
        if (sure && desc != NULL && local->replica != 0) {
            const struct replica_desc *listed = shard_map_replica_on(desc, agent->identity.node);
            leaving = listed == NULL || listed->id > local->replica;
        }
        if (leaving != local->leaving) {
            local->leaving = leaving;
            local->conf = (struct agent_call){0};
        }
        agent->leaving_count += leaving;
    }
}

static void ask_conf(struct agent *agent, struct agent_local *local)
{
    const struct shard_desc *desc = shard_map_shard(&agent->map, local->shard);
    if (local->removing || desc == NULL || agent_call_waits(agent, &local->conf)) {
        return;
    }
    uint64_t peer = agent_call_target(agent, &local->conf, desc, false);
    if (peer != 0) {
        struct slice name = slice_str("GROUP.CONF");
        agent_call_send(agent, &local->conf, peer, local->shard,
                        (struct args){.argv = &name, .argc = 1});
    }
}

void agent_replicas_ask(struct agent *agent)
{
    size_t at = 0;
    if (agent->leaving_count == 0) {
        return;
    }
    for (struct agent_local *local = map_next(&agent->locals, &at); local != NULL;
         local = map_next(&agent->locals, &at)) {
        if (local->leaving) {
            ask_conf(agent, local);
        }
    }
}

/* Reads an array of integers. True if it is one and *found says whether value is in it. */
static bool find_in(struct slice reply, uint64_t value, bool *found)
{
    struct resp_value head;
    if (resp_value_read(reply, &head) != STATUS_OK || head.type != '*' || head.null ||
        head.number < 1 || head.number > CONF_REPLICAS_MAX) {
        return false;
    }
    *found = false;
    struct slice rest = slice_of(reply.data + head.size_used, reply.len - head.size_used);
    for (int64_t i = 0; i < head.number; i++) {
        struct resp_value item;
        if (resp_value_read(rest, &item) != STATUS_OK || item.type != ':' || item.number < 1) {
            return false;
        }
        *found = *found || (uint64_t)item.number == value;
        rest = slice_of(rest.data + item.size_used, rest.len - item.size_used);
    }
    return rest.len == 0;
}

void agent_replicas_reply(struct agent *agent,
                          struct agent_local *local,
                          enum status status,
                          struct slice body)
{
    bool member = true;
    agent_call_again(agent, &local->conf, AGENT_CONF_MS_MIN, AGENT_CONF_MS_MAX);
    if (status != STATUS_OK) {
        agent_call_hint(&local->conf, status, body);
        return;
    }
    if (!local->leaving || local->removing || !find_in(body, local->replica, &member) || member) {
        return;
    }
    local->removing = true;
    log_info("agent.replica_remove", "shard=%" PRIu64 " replica=%" PRIu64, local->shard,
             local->replica);
    agent->env.replica_remove(agent->env.ctx, local->shard, local->replica);
}

bool agent_replicas_has(const struct agent *agent, uint64_t shard)
{
    const struct agent_local *local = map_get(&agent->locals, shard);
    return local != NULL && local->replica != 0 && !local->removing;
}
