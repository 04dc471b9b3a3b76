#ifndef SERVER_CONTROL_AGENT_CALL_H
#define SERVER_CONTROL_AGENT_CALL_H

#include "server/control/agent_state.h"

/* Requests of the agent that are repeated until they have an answer. */

/* It failed: the next one goes to another peer after a pause between min_ms and max_ms that doubles
 * every time. */
void agent_call_again(struct agent *agent,
                      struct agent_call *call,
                      uint32_t min_ms,
                      uint32_t max_ms);
/* The link to the peer is lost: what was asked of it has failed. */
void agent_call_lost(struct agent *agent, uint64_t peer);
/* True while it is under way or pausing. */
bool agent_call_waits(const struct agent *agent, const struct agent_call *call);
void agent_call_send(
    struct agent *agent, struct agent_call *call, uint64_t peer, uint64_t shard, struct args args);
/* The peer whose turn it is: the hint first, then this node itself if `self`, the nodes of the
 * descriptor (may be NULL), then, for the meta group, the seeds. 0: nobody is reachable. */
uint64_t agent_call_target(struct agent *agent,
                           struct agent_call *call,
                           const struct shard_desc *desc,
                           bool self);
/* Keeps the leader that a refusal names. */
void agent_call_hint(struct agent_call *call, enum status status, struct slice body);

#endif
