#ifndef SERVER_CONTROL_AGENT_REPLICAS_H
#define SERVER_CONTROL_AGENT_REPLICAS_H

#include "server/control/agent_state.h"

/* The replicas of this node against those that the map gives to it. */

/* Made if it is not known. */
struct agent_local *agent_replicas_get(struct agent *agent, uint64_t shard);
bool agent_replicas_has(const struct agent *agent, uint64_t shard);
/* Creates what is wanted and not there. */
void agent_replicas_create(struct agent *agent);
/* Marks what is there and not wanted; agent_replicas_ask() then asks the groups of those. */
void agent_replicas_mark(struct agent *agent);
void agent_replicas_ask(struct agent *agent);
void agent_replicas_reply(struct agent *agent,
                          struct agent_local *local,
                          enum status status,
                          struct slice body);

#endif
