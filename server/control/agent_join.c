#include "server/control/agent_join.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "server/control/agent_call.h"
#include "server/control/agent_replicas.h"
#include "server/control/meta_machine.h"

enum { NUMBER_SIZE_MAX = 24 };

/* One argument of a META command; the text lives as long as the storage. */
static struct slice number_arg(char *storage, uint64_t value)
{
    int len = snprintf(storage, NUMBER_SIZE_MAX, "%" PRIu64, value);
    assert(len > 0 && len < NUMBER_SIZE_MAX);
    return slice_of(storage, (size_t)len);
}

static void send_init(struct agent *agent, uint64_t peer)
{
    const struct identity *identity = &agent->identity;
    char text[5][NUMBER_SIZE_MAX];
    struct slice argv[META_ARGC_MAX] = {
        slice_str("META.INIT"),
        slice_of(identity->cluster, sizeof(identity->cluster)),
        number_arg(text[0], identity->replicas),
        number_arg(text[1], identity->shards),
        number_arg(text[2], identity->node),
        slice_str(agent->address),
        slice_str(agent->zone),
        number_arg(text[3], agent->incarnation),
        number_arg(text[4], identity->disk),
    };
    agent_call_send(agent, &agent->join, peer, SHARD_META, (struct args){.argv = argv, .argc = 9});
}

static void send_join(struct agent *agent, uint64_t peer)
{
    const struct identity *identity = &agent->identity;
    char text[3][NUMBER_SIZE_MAX];
    struct slice argv[META_ARGC_MAX] = {
        slice_str("META.JOIN"),
        number_arg(text[0], identity->node),
        slice_of(identity->cluster, sizeof(identity->cluster)),
        slice_str(agent->address),
        slice_str(agent->zone),
        number_arg(text[1], agent->incarnation),
        number_arg(text[2], identity->disk),
    };
    agent_call_send(agent, &agent->join, peer, SHARD_META, (struct args){.argv = argv, .argc = 7});
}

void agent_join_step(struct agent *agent)
{
    if (agent->confirmed || agent->saving || agent_call_waits(agent, &agent->join)) {
        return;
    }
    bool self = agent_replicas_has(agent, SHARD_META);
    const struct shard_desc *meta = agent->map.version > 0 ? &agent->map.meta : NULL;
    uint64_t peer = agent_call_target(agent, &agent->join, meta, self);
    if (peer == 0) {
        return;
    }
    bool init = agent->identity.bootstrap && agent->map.version == 0;
    if (init && peer != agent->identity.node) {
        agent->join.turn++;
    } else if (init) {
        send_init(agent, peer);
    } else {
        send_join(agent, peer);
    }
}

void agent_join_confirm(struct agent *agent)
{
    agent->confirmed = true;
    agent->confirmed_before = true;
    agent->dirty = true;
    log_info("agent.joined", "node=%" PRIu64 " address=%s incarnation=%" PRIu64,
             agent->identity.node, agent->address, agent->incarnation);
}

static void on_joined(struct agent *agent, const struct meta_joined *joined)
{
    const struct identity *identity = &agent->identity;
    bool same = memcmp(joined->cluster, identity->cluster, sizeof(joined->cluster)) == 0;
    agent->joined_version = joined->version;
    if (identity->node != 0) {
        if (!same || joined->node != identity->node) {
            agent_state_fail(agent, STATUS_WRONG_CLUSTER,
                             "the cluster knows this node by another id");
            return;
        }
        agent_join_confirm(agent);
        return;
    }
    if (agent->map.version > 0 &&
        memcmp(joined->cluster, agent->map.cluster, sizeof(joined->cluster)) != 0) {
        agent_state_fail(
            agent, STATUS_WRONG_CLUSTER,
            "the addresses given with --join belong to different clusters: give those of one");
        return;
    }
    agent->coming = *identity;
    agent->coming.node = joined->node;
    memcpy(agent->coming.cluster, joined->cluster, sizeof(joined->cluster));
    agent->saving = true;
    agent->env.save_identity(agent->env.ctx, &agent->coming);
}

void agent_join_reply(struct agent *agent, enum status status, struct slice body)
{
    struct meta_joined joined = {0};
    char text[AGENT_TEXT_SIZE_MAX];
    if (status != STATUS_OK) {
        agent_call_again(agent, &agent->join, AGENT_JOIN_MS_MIN, AGENT_JOIN_MS_MAX);
        agent_call_hint(&agent->join, status, body);
        return;
    }
    status = meta_machine_read_joined(body, &joined, text, sizeof(text));
    if (status == STATUS_OK) {
        agent->join = (struct agent_call){0};
        on_joined(agent, &joined);
    } else if (status == STATUS_AGAIN || status == STATUS_PROTOCOL) {
        agent_call_again(agent, &agent->join, AGENT_JOIN_MS_MIN, AGENT_JOIN_MS_MAX);
    } else {
        agent_state_fail(agent, status, text);
    }
}
