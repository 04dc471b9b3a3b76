#include "server/control/agent_call.h"

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "server/control/agent_links.h"
#include "server/control/agent_report.h"

void agent_call_again(struct agent *agent,
                      struct agent_call *call,
                      uint32_t min_ms,
                      uint32_t max_ms)
{
    uint32_t next = call->retry_ms * 2;
    next = next < min_ms ? min_ms : next;
    call->retry_ms = next > max_ms ? max_ms : next;
    uint64_t jitter = rand_below(&agent->rand, call->retry_ms / 4 + 1);
    call->next_ms = agent->now_ms + call->retry_ms + jitter;
    call->id = 0;
    call->turn++;
}

void agent_call_lost(struct agent *agent, uint64_t peer)
{
    if (agent->join.id != 0 && agent->join.peer == peer) {
        agent_call_again(agent, &agent->join, AGENT_JOIN_MS_MIN, AGENT_JOIN_MS_MAX);
    }
    if (agent->report.id != 0 && agent->report.peer == peer) {
        agent_report_lost(agent);
    }
    size_t at = 0;
    if (agent->leaving_count == 0) {
        return;
    }
    for (struct agent_local *local = map_next(&agent->locals, &at); local != NULL;
         local = map_next(&agent->locals, &at)) {
        if (local->conf.id != 0 && local->conf.peer == peer) {
            agent_call_again(agent, &local->conf, AGENT_CONF_MS_MIN, AGENT_CONF_MS_MAX);
        }
    }
}

bool agent_call_waits(const struct agent *agent, const struct agent_call *call)
{
    return call->id != 0 || agent->now_ms < call->next_ms;
}

void agent_call_send(
    struct agent *agent, struct agent_call *call, uint64_t peer, uint64_t shard, struct args args)
{
    assert(call->id == 0);
    call->id = UINT64_C(1) << 63 | ++agent->last_id;
    call->peer = peer;
    call->deadline_ms = agent->now_ms + AGENT_DEADLINE_MS;
    struct frame_request request = {.id = call->id, .shard = shard, .args = args};
    request.deadline_ms = AGENT_DEADLINE_MS;
    agent->env.request(agent->env.ctx, peer, &request);
}

/* The peer whose turn it is: the hint first, then the nodes of the descriptor (this one too if
 * `self`), then, for the meta group, the seeds. 0: nobody is reachable. */
uint64_t agent_call_target(struct agent *agent,
                           struct agent_call *call,
                           const struct shard_desc *desc,
                           bool self)
{
    uint64_t peers[SHARD_REPLICAS_MAX + AGENT_SEEDS_MAX + 1];
    unsigned count = 0;
    uint64_t hint = call->hint;
    call->hint = 0;
    if (hint != 0 && (agent_links_answers(agent, hint) || (self && hint == agent->identity.node))) {
        return hint;
    }
    if (self) {
        peers[count++] = agent->identity.node;
    }
    for (unsigned i = 0; desc != NULL && i < desc->replica_count; i++) {
        if (agent_links_answers(agent, desc->replicas[i].node)) {
            peers[count++] = desc->replicas[i].node;
        }
    }
    for (unsigned i = 0; call == &agent->join && i < agent->seed_count; i++) {
        if (agent_links_answers(agent, agent_seed_peer(i))) {
            peers[count++] = agent_seed_peer(i);
        }
    }
    return count == 0 ? 0 : peers[call->turn % count];
}

/* A refusal: who leads may be in it. */
void agent_call_hint(struct agent_call *call, enum status status, struct slice body)
{
    struct reader in = reader_of(body);
    struct leader_hint hint;
    bool read = leader_hint_decode(&in, &hint) && reader_done(&in);
    if (status == STATUS_NOT_LEADER && read && !agent_is_seed(hint.node)) {
        call->hint = hint.node;
    }
}
